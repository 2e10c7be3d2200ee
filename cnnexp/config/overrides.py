"""Command-line overrides: read one by one, with a located problem for each that cannot be read or cannot be meant."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from cnnexp.config.locate import as_path
from cnnexp.config.reading import MAX_DEPTH
from cnnexp.errors import Problem, reason

MAX_LENGTH = 4096


def parse(texts: Sequence[str]) -> tuple[list[Override], list[Problem]]:
    """The overrides that can be read, and the problems of the others."""
    parser, parsed, problems = OverridesParser.create(), list[Override](), list[Problem]()
    for text in texts:
        if found := _shape(text):
            problems.append(found)
            continue
        try:
            parsed.append(parser.parse_override(text))
        except (HydraException, ValueError, RecursionError) as error:
            key, _, value = text.partition("=")
            if missing := _missing(value):
                hint = f"values follow each other without a space: {key}=1,2; for a single one leave the comma out"
                problems.append(_problem(text, f"cannot be read: a value is missing {missing}", hint))
                continue
            odd = any(value.count(quote) % 2 for quote in "\"'")
            hint = "close the quote" if odd else f"quote it for the shell and for Hydra: '{key}=\"{value}\"'"
            problems.append(_problem(text, f"cannot be read: {_said(error)}", hint))
    return parsed, problems


def where(override: Override) -> str:
    """The place of everything that an override sets."""
    return f"override '{override.input_line}'"


def form(override: Override) -> Problem | None:
    """The problem of an override that Hydra reads and that cannot be meant here, or None."""
    text = str(override.input_line)
    if override.is_delete() and any(isinstance(p, int) for p in as_path(override.key_or_group)):
        return _undeletable(text)
    if override.is_sweep_override():
        hint = "or quote the value to mean one text"
        return _problem(text, "several values need --multirun", hint, "sweep-without-multirun")
    return None


def _shape(text: str) -> Problem | None:
    """The problem of a text that should not reach Hydra's parser."""
    key, equals, value = text.lstrip("+").partition("=")
    key = key.removeprefix("~")
    if not key.strip("@:") or (not equals and not text.startswith("~")):
        return _problem(text, "an override is written key=value", None)
    if any(ord(char) < 32 for char in text):
        return _problem(repr(text)[1:-1], "holds a control character", None)
    if len(text) > MAX_LENGTH or len(key) > 250:
        shown = f"{text[:40]}…"
        return _problem(shown, f"is longer than {MAX_LENGTH} characters, or its key than 250", None)
    if _depth(value) > MAX_DEPTH or key.count(".") > MAX_DEPTH:
        return _problem(f"{text[:40]}…", f"nested deeper than {MAX_DEPTH} levels", None)
    if re.search(r"\[\d+\]", key):
        if text.startswith("~"):
            return _undeletable(text)
        dotted = re.sub(r"\[(\d+)\]", r".\1", text.partition("=")[0])
        return _problem(text, "the entry of a list is written with a dot", f"write {dotted}={value}")
    return None


def _missing(value: str) -> str | None:
    """Where a comma stands without a value, or None; quotes and brackets that stay open are at fault themselves."""
    value, found = re.sub(r"\"[^\"]*\"|'[^']*'", "x", value), 1
    while found:
        value, found = re.subn(r"[\[{(][^\[\]{}()]*[\]})]", "x", value)
    parts = [part.strip() for part in value.split(",")]
    if set(value) & set("\"'[]{}()") or len(parts) == 1 or all(parts):
        return None
    return "behind the last comma" if not parts[-1] else "before the first comma" if not parts[0] else "between commas"


def _said(error: BaseException) -> str:
    """What the parser said, without its list of everything that might have stood there."""
    text = re.sub(r" expecting \{.*", "", reason(error))
    return "it ends too early" if text == "mismatched input '<EOF>'" else text


def _undeletable(text: str) -> Problem:
    dotted = re.sub(r"\[(\d+)\]", r".\1", text.lstrip("~").partition("=")[0])
    message = "an entry of a list cannot be deleted from the command line"
    return _problem(text, message, f"set it to null to leave it out: {dotted}=null")


def _depth(value: str) -> int:
    deepest = depth = 0
    for char in value:
        depth += (char in "[{(") - (char in "]})")
        deepest = max(deepest, depth)
    return deepest


def _problem(text: str, message: str, hint: str | None, code: str = "bad-override") -> Problem:
    return Problem(code, (), message, hint, f"override '{text}'")
