"""How the test set was judged: the confusion matrix, what follows from it for every class, what was most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnnexp.records import Run
from cnnexp.report.page import reading
from cnnexp.report.ranking import as_number

Matrix = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Class:
    """A class and how well it is found.

    Arguments:
        name: its name, or its number.
        support: how many samples are of this class.
        predicted: how many were taken for one.
        precision: the share of those taken for one that are; None where none were.
        recall: the share of its samples that were found; None where there are none.
        f1: the harmonic mean of both; None where there is neither.
    """

    name: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Mistake:
    """A sample that was taken for another class.

    Arguments:
        index: its place in the test set.
        label, predicted: what it is and what it was taken for.
        probability: how sure the network was.
        image: the picture that holds it, below the run's folder, where there is one.
        box: where in that picture it is: left, top, right, bottom; None for all of it.
    """

    index: int
    label: str
    predicted: str
    probability: float | None
    image: str | None
    box: tuple[int, int, int, int] | None


@dataclass(frozen=True)
class Evaluation:
    """What a run's `evaluation.json` holds, and what follows from it.

    Arguments:
        split: the samples that were judged: test or val.
        samples: how many.
        confusion: counts; rows are the true classes, columns the predicted ones.
        classes: the classes, in order.
        mistakes: the surest wrong answers, surest first.
    """

    split: str
    samples: int
    confusion: Matrix
    classes: tuple[Class, ...]
    mistakes: tuple[Mistake, ...]

    @property
    def accuracy(self) -> float | None:
        """The share of right answers."""
        total = sum(map(sum, self.confusion))
        return sum(row[i] for i, row in enumerate(self.confusion)) / total if total else None

    def mean(self, score: str) -> float | None:
        """The mean of a score over the classes that have samples; one that cannot be computed counts as zero."""
        found = [getattr(c, score) or 0.0 for c in self.classes if c.support]
        return sum(found) / len(found) if found else None

    @property
    def confused(self) -> list[tuple[int, int, int]]:
        """What was taken for what: true class, predicted class and how often, the most frequent first."""
        cells = [(i, j, n) for i, row in enumerate(self.confusion) for j, n in enumerate(row) if i != j and n]
        return sorted(cells, key=lambda cell: -cell[2])


def evaluation(run: Run) -> Evaluation | None:
    """The evaluation of a run; None where there is none that can be read."""
    told = reading.json_mapping(run.path / "evaluation.json")
    matrix = _matrix(told.get("confusion"))
    if matrix is None:
        return None
    names = _names(told.get("class_names"), len(matrix))
    wrong = told.get("wrong")
    mistakes = (_mistake(one, names) for one in (wrong if isinstance(wrong, list) else ()))
    return Evaluation(
        split=str(told.get("split", "test")),
        samples=sum(map(sum, matrix)),
        confusion=matrix,
        classes=classes(matrix, names),
        mistakes=tuple(one for one in mistakes if one is not None),
    )


def classes(matrix: Matrix, names: Sequence[str]) -> tuple[Class, ...]:
    """Support, precision, recall and F1 of every class."""
    taken = [sum(column) for column in zip(*matrix, strict=True)]
    found = []
    for i, (row, name) in enumerate(zip(matrix, names, strict=True)):
        right, support = row[i], sum(row)
        f1 = 2 * right / (support + taken[i]) if support + taken[i] else None
        precision, recall = (right / whole if whole else None for whole in (taken[i], support))
        found.append(Class(name, support, taken[i], precision, recall, f1))
    return tuple(found)


def _matrix(told: Any) -> Matrix | None:
    if not isinstance(told, list) or not told:
        return None
    square = all(isinstance(row, list) and len(row) == len(told) for row in told)
    counts = square and all(isinstance(n, int) and n >= 0 for row in told for n in row)
    return tuple(tuple(map(int, row)) for row in told) if counts else None


def _names(told: Any, size: int) -> list[str]:
    return [str(n) for n in told] if isinstance(told, list) and len(told) == size else [str(i) for i in range(size)]


def _mistake(told: Any, names: Sequence[str]) -> Mistake | None:
    if not isinstance(told, dict):
        return None
    label, predicted, index, image = (told.get(key) for key in ("label", "predicted", "index", "image"))
    if not all(isinstance(c, int) and 0 <= c < len(names) for c in (label, predicted)) or not isinstance(index, int):
        return None
    picture, place = image if isinstance(image, str) else None, _box(told.get("box"))
    return Mistake(index, names[label], names[predicted], as_number(told.get("probability")), picture, place)  # type: ignore[index]


def _box(told: Any) -> tuple[int, int, int, int] | None:
    if not isinstance(told, list) or len(told) != 4 or not all(isinstance(edge, int) for edge in told):
        return None
    left, top, right, bottom = told
    return left, top, right, bottom
