"""`--picture`: a network drawn by `check`, and the window of a layer that walks, drawn by `layers`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnexp.cli.arguments import bad_option
from cnnexp.records import files

if TYPE_CHECKING:
    from PIL import Image

    from cnnexp.architecture.plan import Plan

NETWORK = (".svg", ".png", ".html")
WINDOW = (".svg", ".gif", ".png")


def wanted(arguments: argparse.Namespace, suffixes: tuple[str, ...]) -> Path | None:
    """The file that a picture is asked for, or None.

    Raises:
        ConfigError: there is no picture of this kind, none for what else is asked for, or no folder for it.
    """
    name = getattr(arguments, "picture", None)
    if name is None:
        return None
    for option in ("multirun", "json", "against", "advice"):
        if getattr(arguments, option, None):
            raise bad_option(f"--picture draws one network; it does not go with --{option}")
    path = Path(name)
    if path.suffix.lower() not in suffixes:
        raise bad_option(f"--picture: {name} must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}")
    if not os.path.isdir(path.parent):  # Path.is_dir raises for what it may not look at
        raise bad_option(
            f"--picture: {path} cannot be written: there is no folder {path.parent}",
            "choose a folder that is there, or make it",
        )
    return path


def of_network(path: Path, plan: Plan, title: str) -> None:
    """Draw a network into a file, as what its name ends in, and say where."""
    from cnnexp.pictures import page, raster, svg
    from cnnexp.pictures.network import network

    suffix = path.suffix.lower()
    if suffix == ".html":
        save(path, page.page(plan, title))
    elif suffix == ".svg":
        save(path, svg.paint(network(plan, title)))
    else:
        save(path, _png(raster.paint(network(plan, title))))


def of_window(path: Path, type_name: str, params: Mapping[str, Any], sizes: tuple[int, ...]) -> bytes | str:
    """The content of a file with the window of a layer, as what its name ends in.

    Arguments:
        path: the file.
        type_name: the layer type.
        params: its parameters, which fit.
        sizes: the sample shape that arrives.

    Raises:
        ConfigError: no window walks, or there is too much of it to be drawn.
    """
    from cnnexp.architecture.catalog import DTYPES
    from cnnexp.architecture.parsing import parse
    from cnnexp.architecture.planning import make_plan
    from cnnexp.pictures import film, sliding, walking

    stack, _ = parse({"layers": [{"type": type_name, **params}]})
    plan, _ = make_plan(stack, sizes, params["dtype"] if params.get("dtype") in DTYPES else "float32")
    tour = walking.tour(plan.layers[0]) if plan.layers else None
    if tour is None:
        raise bad_option(f"--picture: {type_name} has no window that walks from place to place, so nothing moves")
    if why := sliding.too_large(tour):
        raise bad_option(
            f"--picture: {why}", "smaller numbers show the same: the input's, after --input, or the layer's"
        )
    found = sliding.sliding(plan.layers[0], tour)
    if path.suffix.lower() == ".svg":
        return film.moving(found)
    return film.animation(found) if path.suffix.lower() == ".gif" else _png(film.frames(found))


def save(path: Path, content: str | bytes) -> None:
    """Write the whole file or nothing, and say where it is."""
    try:
        files.write(path, content)
    except OSError as error:
        reason = error.strerror or error
        raise bad_option(f"--picture: {path} cannot be written: {reason}", "choose another place") from None
    print(path, file=sys.stderr)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
