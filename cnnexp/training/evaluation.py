"""What a classifier says of every sample that is held out: the confusion matrix, and where it is surely wrong."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from cnnexp.data.module import DataModule, counted
from cnnexp.records import files
from cnnexp.training.tolerance import Tolerance
from cnnexp.views import classes
from cnnexp.views.images import View

log = logging.getLogger(__name__)

MOST_WRONG = 16
"""How many samples are named at most."""

SAMPLES = "views/plain/wrong.png"
"""The wrong samples side by side, in a run's folder."""


@dataclass(frozen=True)
class Wrong:
    """A sample that was taken for another class.

    Arguments:
        index: its place in the set.
        label, predicted: its class, and the one that it was taken for.
        probability: that of the predicted class; None where it is no number.
    """

    index: int
    label: int
    predicted: int
    probability: float | None


@dataclass(frozen=True)
class Evaluation:
    """How a whole set was classified, by all processes together.

    Arguments:
        split: `val` or `test`.
        confusion: (classes, classes) counts; a row for each true class, a column for each predicted one.
        wrong: the surest wrong predictions, surest first.
    """

    split: str
    confusion: Sequence[Sequence[int]]
    wrong: Sequence[Wrong]

    @property
    def samples(self) -> int:
        """How many samples were classified."""
        return sum(map(sum, self.confusion))

    def json(self, class_names: Sequence[str] | None, tile: tuple[int, int] | None = None) -> str:
        """The content of evaluation.json.

        Arguments:
            class_names: the names of the classes.
            tile: width and height of each wrong sample in `SAMPLES`; None where there is no such picture.
        """
        names = [str(name) for name in class_names] if class_names else None
        fields = {"split": self.split, "samples": self.samples, "class_names": names}
        told = [json.dumps({**asdict(one), **_place(i, tile)}) for i, one in enumerate(self.wrong)]
        # A row of the matrix to a line: it is read by people as well.
        rows, wrong = (lines(items) for items in ([json.dumps(list(row)) for row in self.confusion], told))
        head = json.dumps(fields, indent=2, ensure_ascii=False)[:-2]
        return f'{head},\n  "confusion": {rows},\n  "wrong": {wrong}\n}}\n'


def _place(number: int, tile: tuple[int, int] | None) -> dict[str, Any]:
    """Where the picture of a wrong sample is: the file, and left, top, right and bottom in it."""
    if tile is None:
        return {}
    width, height = tile
    return {"image": SAMPLES, "box": [number * width, 0, (number + 1) * width, height]}


def lines(items: Sequence[str]) -> str:
    """A list in JSON with an item to a line."""
    return "[]" if not items else "[\n" + ",\n".join(f"    {item}" for item in items) + "\n  ]"


class Predictions(Callback):
    """Keeps what is predicted in every validation and in the test, a few numbers for each sample.

    In a distributed run every process must have it: the counts are added up at the end of every validation, whatever
    the first process does with them.

    Arguments:
        data: the checked `data` section of a config.
        samples: the samples that are held out.
        validates: whether the validations are asked for.
    """

    def __init__(self, data: Mapping[str, Any], samples: DataModule, validates: bool) -> None:
        self.classes: int = data["num_classes"]
        self.class_names: Sequence[str] | None = data.get("class_names")
        self.found: dict[str, Evaluation] = {}
        self._samples, self._validates = samples, validates
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []
        self._tolerant = Tolerance(log)

    def pictures(self, split: str) -> Iterator[View]:
        """The confusion matrix of `val` or `test`, and of the test the samples that are surely wrong."""
        if (evaluation := self.found.get(split)) is None:
            return
        name = "the test set" if split == "test" else "the validation set"
        yield classes.confusion(evaluation.confusion, self.class_names, name)
        if split == "test":
            images = self._samples.test.images[[w.index for w in evaluation.wrong]]
            told = [(w.label, w.predicted, w.probability) for w in evaluation.wrong]
            yield from classes.wrong(images.cpu().numpy(), told, self.class_names)

    def write(self, folder: Path) -> None:
        """Write evaluation.json, of the test, into a run's folder."""
        evaluation = self.found.get("test")
        if evaluation is None:
            return
        with self._tolerant("evaluation.json"):
            tile = None
            if evaluation.wrong and (folder / SAMPLES).is_file():
                with Image.open(folder / SAMPLES) as strip:
                    tile = (strip.width // len(evaluation.wrong), strip.height)
            files.write(folder / "evaluation.json", evaluation.json(self.class_names, tile))

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Begin anew."""
        self._kept.clear()
        self.found.pop("val", None)

    def on_test_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Begin anew."""
        self._kept.clear()

    def on_validation_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, *where: int
    ) -> None:
        """Keep what was predicted."""
        if self._validates and not trainer.sanity_checking:
            self._keep(outputs, batch[1])

    def on_test_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, *where: int
    ) -> None:
        """Keep what was predicted."""
        self._keep(outputs, batch[1])

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Add up the validation."""
        if self._validates and not trainer.sanity_checking:
            self._finish(trainer, "val", trainer.val_dataloaders)

    def on_test_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Add up the test."""
        self._finish(trainer, "test", trainer.test_dataloaders)

    def _keep(self, scores: Tensor, labels: Tensor) -> None:
        with self._tolerant("the confusion matrix"):
            self._kept.append((labels, *classify(scores)))

    def _finish(self, trainer: Trainer, split: str, loader: Any) -> None:
        confusion, wrong = torch.zeros((self.classes, self.classes), dtype=torch.long), list[Wrong]()
        with self._tolerant("the confusion matrix"):
            confusion, wrong = self._counted(loader)
        if isinstance(loader.sampler, DistributedSampler):
            confusion, wrong = _joined(confusion, wrong, trainer.strategy.root_device)
        if trainer.is_global_zero and confusion.any():
            self.found[split] = Evaluation(split, confusion.tolist(), wrong)

    def _counted(self, loader: DataLoader[Any]) -> tuple[Tensor, list[Wrong]]:
        """What this process has seen."""
        labels, predicted, probability = (torch.cat(parts).cpu() for parts in zip(*self._kept, strict=True))
        self._kept.clear()
        index = torch.arange(len(labels))
        once = slice(counted(loader))
        index, labels, predicted, probability = (x[once] for x in (index, labels, predicted, probability))
        if isinstance(loader.sampler, DistributedSampler):
            index = index * loader.sampler.num_replicas + loader.sampler.rank
        return counts(labels, predicted, self.classes), surest(index, labels, predicted, probability)


def _joined(confusion: Tensor, wrong: Sequence[Wrong], device: torch.device) -> tuple[Tensor, list[Wrong]]:
    """What all processes found; every process must call this."""
    mine = torch.full((MOST_WRONG, 4), math.nan, dtype=torch.float64)
    for row, w in zip(mine, wrong, strict=False):
        row[:] = torch.tensor([w.index, w.label, w.predicted, math.nan if w.probability is None else w.probability])
    confusion, mine = confusion.to(device), mine.to(device)
    every = [torch.empty_like(mine) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_reduce(confusion)
    torch.distributed.all_gather(every, mine)
    rows = torch.cat(every).cpu()
    rows = rows[~rows[:, 0].isnan()]
    index, labels, predicted = rows[:, :3].long().unbind(1)
    return confusion.cpu(), surest(index, labels, predicted, rows[:, 3])


def classify(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The predicted class of each sample and its probability.

    Arguments:
        scores: (batch, classes): logits or logarithms of probabilities, of which the softmax is taken, or probabilities
            (nothing below zero, rows that add up to one), which are taken as they are.
    """
    scores = scores.detach().float()
    highest, predicted = scores.max(1)
    given = ((scores >= 0).all(1) & ((scores.sum(1) - 1).abs() < 1e-3)).all()
    return predicted, torch.where(given, highest, (highest - scores.logsumexp(1)).exp())


def counts(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """(classes, classes) confusion matrix: a row for each true class, a column for each predicted one."""
    return torch.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def surest(index: Tensor, labels: Tensor, predicted: Tensor, probability: Tensor) -> list[Wrong]:
    """The wrong predictions with the highest probability; of equal ones the first in the set comes first."""
    where = (labels != predicted).nonzero().flatten()
    where = where[index[where].argsort()]
    order = probability[where].nan_to_num(-1.0).argsort(descending=True, stable=True)[:MOST_WRONG]
    columns = (index, labels, predicted, probability)
    rows = zip(*(column[where[order]].tolist() for column in columns), strict=True)
    return [Wrong(i, label, seen, p if math.isfinite(p) else None) for i, label, seen, p in rows]
