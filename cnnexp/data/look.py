"""A quick look at data that brings its own shape, before the network is checked against it. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnexp.errors import Problem


def look(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """What a data set knows about itself where the config leaves it open: its shape and its number of classes.

    Arguments:
        data: the plain `data` section of a config.

    Returns:
        the keys to fill in, and the problems of a file that does not hold what the config says.
    """
    if data.get("name") != "arrays":
        return {}, []
    found = read_arrays(data["path"]) if isinstance(data.get("path"), str) else None
    if not isinstance(found, tuple):
        # A stand-in, so that the network is not blamed for what the file would have told.
        return {"num_classes": data.get("num_classes") or 1}, [found] if found else []
    path, images, labels = data["path"], found[0], found[1]
    known = {"shape": list(images.shape[1:]), "num_classes": int(labels.max()) + 1}
    problems = []
    shape, classes = data.get("shape"), data.get("num_classes")
    if shape is not None and shape != known["shape"]:
        text = f"data.shape (={shape}) must be {known['shape']}, the shape of the samples in '{path}'"
        problems.append(Problem("wrong-size", ("data", "shape"), text, "leave shape out to have it found in the file"))
    if isinstance(classes, int) and classes < known["num_classes"]:
        text = f"data.num_classes (={classes}) must be at least {known['num_classes']}: the largest label in '{path}' is {labels.max()}"
        problems.append(Problem("wrong-size", ("data", "num_classes"), text))
    return {k: v for k, v in known.items() if data.get(k) is None}, problems


def read_arrays(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None] | Problem:
    """The samples and labels for training, and those for the test where the file has them, or what is wrong with it."""
    where = ("data", "path")
    try:
        with np.load(Path(path).expanduser(), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        return Problem("no-file", where, f"data.path: there is no file '{path}'")
    except (OSError, ValueError, AttributeError) as error:
        return Problem("bad-file", where, f"data.path: '{path}' is not an .npz file of plain arrays ({error})")
    names = ("x_train", "y_train") if "x_train" in arrays else ("x", "y")
    missing = [n for n in names if n not in arrays]
    if missing:
        text = f"data.path: '{path}' holds {', '.join(sorted(arrays)) or 'nothing'}, but no {' and no '.join(missing)}"
        return Problem("bad-file", where, text, "save it with np.savez(path, x_train=…, y_train=…, x_test=…, y_test=…)")
    x, y = (arrays[n] for n in names)
    pairs = [(x, y)] + ([(arrays["x_test"], arrays.get("y_test"))] if "x_test" in arrays else [])
    for samples, labels in pairs:
        if labels is None or len(samples) != len(labels) or labels.ndim != 1 or len(labels) == 0:
            text = f"data.path: '{path}' must hold one label for each sample"
            return Problem("bad-file", where, text)
        if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
            return Problem("bad-file", where, f"data.path: the labels in '{path}' must be whole numbers from 0 up")
        if samples.dtype != np.uint8 and not np.issubdtype(samples.dtype, np.floating):
            return Problem("bad-file", where, f"data.path: the samples in '{path}' must be uint8 or floats, not {samples.dtype}")
        if samples.ndim < 2 or samples.shape[1:] != x.shape[1:]:
            return Problem("bad-file", where, f"data.path: the samples in '{path}' must be arrays of one and the same shape")
    return x, y, arrays.get("x_test"), arrays.get("y_test")
