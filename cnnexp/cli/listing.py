"""The verbs that look at what is there and need no config."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import yaml

from cnnexp.cli import picture
from cnnexp.cli.arguments import bad_option
from cnnexp.errors import ConfigError


def say(line: str, stream: TextIO | None = None) -> None:
    """Print a line of a work that goes on when nobody reads: to the errors, unless another stream is given."""
    stream = sys.stderr if stream is None else stream
    try:
        print(line, file=stream, flush=True)
    except OSError as error:
        if not isinstance(error, BrokenPipeError) and stream is not sys.stderr:
            raise  # a result that cannot be written is lost
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # what is printed later is no error either


def print_json(told: object) -> None:
    """Print plain data for machines."""
    print(json.dumps(told, indent=2, ensure_ascii=False))


def runs(arguments: argparse.Namespace) -> int:
    """What was recorded: ranked tables, a row for each run, or plain data."""
    from cnnexp import report
    from cnnexp.records import find

    found = find(Path(arguments.folder))
    if arguments.json:
        rows: list[dict[str, Any]] = [{"path": str(r.path), **r.fields} for r in found]
        print_json(rows)
    elif not found:
        print(f"no runs in {arguments.folder}")
    elif getattr(arguments, "each", False):
        print(report.each(found))
    else:
        print("\n\n".join(map(report.table, report.rankings(found))))
    return 0


def layers(arguments: argparse.Namespace) -> int:
    """The catalogue of layer types, or one of them explained."""
    from cnnexp.architecture import explain
    from cnnexp.architecture.catalog import catalog_of
    from cnnexp.architecture.composites import COMPOSITES

    name, drawing = arguments.name, picture.wanted(arguments, picture.WINDOW)
    if name is None:
        if drawing:
            raise bad_option("--picture needs a layer type: cnnexp layers Conv2d --picture conv.svg")
        print(explain.catalogue())
        return 0
    component = COMPOSITES.find(name) or catalog_of(name).find(name)
    if component is None:
        raise ConfigError([catalog_of(name).missing(name, (), "layers")])
    params = _values(arguments.params)
    sizes = shape(arguments.input)
    if sizes is None and drawing:
        from cnnexp.pictures import sliding

        sizes = sliding.example_input(component.name, params)
    sizes = sizes or explain.example_input(component)
    text, problems = explain.explain(component, params, sizes)
    if problems:
        raise ConfigError(problems)
    if drawing:
        given = {**params, **explain.examples(component, params, sizes)}
        content = picture.of_window(drawing, component.name, given, sizes)
    print(text)
    if drawing:
        picture.save(drawing, content)
    return 0


def _values(words: Sequence[str]) -> dict[str, Any]:
    """`key=value` words as plain values, read as config files are."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise bad_option(f"'{word}' is no parameter; one is written key=value")
        try:
            read = OmegaConf.to_container(OmegaConf.create(f"value: {value}"))
            assert isinstance(read, dict)
            found[key] = read["value"]
        except (yaml.YAMLError, OmegaConfBaseException, KeyError):
            raise bad_option(f"'{word}': the value is no YAML") from None
    return found


def shape(text: str | None) -> tuple[int, ...] | None:
    """The sample shape that `--input 3,32,32` names; None where it is not given."""
    if text is None:
        return None
    sizes = text.strip("[]()").replace("x", ",").replace("×", ",").split(",")
    if not all(size.strip().isdigit() and int(size) > 0 for size in sizes):
        raise bad_option(f"--input must be sizes such as 3,32,32 (channels, height, width), not '{text}'")
    return tuple(map(int, sizes))


def schema(arguments: argparse.Namespace) -> int:
    """The JSON Schema of a model file, or of a file of blocks."""
    from cnnexp import schema

    print(schema.text(schema.of_blocks() if arguments.kind == "blocks" else schema.of_model()), end="")
    return 0


def advice() -> int:
    """Every piece of advice that there is: its code, why and the cure."""
    from cnnexp.architecture.advice import RULES

    for rule in RULES.values():
        print(f"{rule.code}\n  why:  {rule.why}\n  cure: {rule.cure}")
    print("\nno_advice: [code, …] in a model file, or +model.no_advice=[code], switches one off for this model.")
    return 0
