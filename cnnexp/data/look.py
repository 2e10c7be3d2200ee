"""What can be known of a data set without loading it into torch: shape, classes, number of samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnexp.errors import Problem, reason

_MOST = 2**50
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]


@dataclass(frozen=True)
class Facts:
    """What is fixed about a data set.

    Arguments:
        samples: how many samples there are to train and validate on.
        classes: how many classes its labels have.
        shape: the shape of a sample; None where the set can be shown in several.
    """

    samples: int
    classes: int
    shape: tuple[int, ...] | None


FACTS: Mapping[str, Facts] = {
    "digits": Facts(1437, 10, None),
    "cifar10": Facts(50_000, 10, (3, 32, 32)),
    "cifar100": Facts(50_000, 100, (3, 32, 32)),
    "mnist": Facts(60_000, 10, (1, 28, 28)),
    "fashion_mnist": Facts(60_000, 10, (1, 28, 28)),
    "svhn": Facts(73_257, 10, (3, 32, 32)),
}


def look(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """What a data set knows about itself where the config leaves it open: its shape and its number of classes.

    Arguments:
        data: the plain `data` section of a config.

    Returns:
        the keys to fill in, and the problems of a file that cannot be looked at.
    """
    if data.get("name") != "arrays":
        return {}, []
    found = read_arrays(data["path"]) if isinstance(data.get("path"), str) else None
    if not isinstance(found, tuple):
        # A stand-in, so that the network is not blamed for what the file would have told.
        return {"num_classes": data.get("num_classes") or 1}, [found] if found else []
    known = {"shape": list(found[0].shape[1:]), "num_classes": _classes(found)}
    return {k: v for k, v in known.items() if data.get(k) is None}, []


def check(data: Mapping[str, Any]) -> list[Problem]:
    """The problems of a data section against the data set itself: shape, classes, a batch larger than the set."""
    shape = data.get("shape")
    if isinstance(shape, list) and all(isinstance(s, int) for s in shape) and math.prod(shape) > _MOST:
        text = f"data.shape: a sample of {'×'.join(map(str, shape))} is larger than torch can count"
        return [Problem("too-large", ("data", "shape"), text)]
    facts = _facts(data)
    if facts is None:
        return []
    problems = []
    name, shape, classes = data["name"], data.get("shape"), data.get("num_classes")
    if facts.shape is not None and isinstance(shape, list) and shape != list(facts.shape):
        text = f"data.shape (={shape}) must be {list(facts.shape)}, the shape of the samples of '{name}'"
        problems.append(Problem("wrong-size", ("data", "shape"), text))
    if name == "digits" and isinstance(shape, list) and (len(shape) != 3 or shape[0] not in (1, 3)):
        text = f"data.shape (={shape}) must be [1 or 3, height, width] for 'digits'"
        problems.append(Problem("wrong-size", ("data", "shape"), text))
    if isinstance(classes, int) and classes < facts.classes:
        text = f"data.num_classes (={classes}) must be at least {facts.classes}: '{name}' has that many"
        problems.append(Problem("wrong-size", ("data", "num_classes"), text))
    return problems + too_large(data, facts.samples)


def too_large(data: Mapping[str, Any], samples: int) -> list[Problem]:
    """The problem of a batch that is larger than what is left to train on after the validation share."""
    share, batch = data.get("validation"), data.get("batch_size")
    if not isinstance(share, (int, float)) or not isinstance(batch, int):
        return []
    left = samples - held_out(samples, share)
    if batch <= left:
        return []
    text = f"data.batch_size (={batch}) is larger than the {left} samples there are to train on"
    return [Problem("batch-too-large", ("data", "batch_size"), text)]


def held_out(samples: int, share: float) -> int:
    """How many of the training samples are kept for validation."""
    return max(1, round(samples * share)) if share else 0


def _classes(arrays: Arrays) -> int:
    return 1 + max(int(labels.max()) for labels in (arrays[1], arrays[3]) if labels is not None)


def _facts(data: Mapping[str, Any]) -> Facts | None:
    name = data.get("name")
    if name == "synthetic" and isinstance(data.get("samples"), int):
        return Facts(data["samples"], 1, None)
    if name == "arrays" and isinstance(data.get("path"), str):
        found = read_arrays(data["path"])
        if isinstance(found, tuple):
            samples = len(found[0]) if found[2] is not None else len(found[0]) - held_out(len(found[0]), 0.2)
            return Facts(samples, _classes(found), found[0].shape[1:])
    return FACTS.get(str(name))


def read_arrays(path: str) -> Arrays | Problem:
    """The samples and labels of an .npz file, for training and (where it has them) for the test.

    Returns:
        x, y and the test's x and y or None; or the problem of a file that does not hold them.
    """
    try:
        # Opened here, because numpy leaves a broken archive open.
        with Path(path).expanduser().open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        return _bad(f"there is no file '{path}'")
    except Exception as error:  # numpy, zipfile and zlib each have types of their own for a damaged file
        return _bad(f"'{path}' is not an .npz file of plain arrays ({reason(error)})")
    names = ("x_train", "y_train") if "x_train" in arrays else ("x", "y")
    missing = [n for n in names if n not in arrays]
    if missing:
        text = f"'{path}' holds {', '.join(sorted(arrays)) or 'nothing'}, but no {' and no '.join(missing)}"
        return _bad(text, "save it with np.savez(path, x_train=…, y_train=…, x_test=…, y_test=…)")
    x, y = (arrays[n] for n in names)
    pairs = [(x, y)] + ([(arrays["x_test"], arrays.get("y_test"))] if "x_test" in arrays else [])
    complaint = next((c for samples, labels in pairs if (c := _complaint(samples, labels, x.shape[1:]))), None)
    return _bad(f"'{path}': {complaint}") if complaint else (x, y, arrays.get("x_test"), arrays.get("y_test"))


def _bad(text: str, hint: str | None = None) -> Problem:
    return Problem("bad-file", ("data", "path"), f"data.path: {text}", hint)


def _complaint(samples: np.ndarray, labels: np.ndarray | None, shape: tuple[int, ...]) -> str | None:
    if samples.ndim == 0:
        return "the samples must be arrays of one and the same shape"
    if labels is None or labels.ndim != 1 or len(samples) != len(labels) or len(labels) == 0:
        return "there must be one label for each sample"
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        return "the labels must be whole numbers from 0 up"
    if samples.dtype != np.uint8 and not np.issubdtype(samples.dtype, np.floating):
        return f"the samples must be uint8 or floats, not {samples.dtype}"
    if samples.ndim < 2 or samples.shape[1:] != shape:
        return "the samples must be arrays of one and the same shape"
    return None
