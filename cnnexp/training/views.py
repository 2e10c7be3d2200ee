"""What a network looks like while it learns and when it is done: pictures, histograms and statistics of a few samples.

Nothing here changes the training, and nothing that goes wrong here ends it.
"""

from __future__ import annotations

import io
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import Tensor, nn

from cnnexp.architecture.plan import Plan
from cnnexp.data.module import DataModule
from cnnexp.records import files
from cnnexp.training.board import Board
from cnnexp.training.evaluation import lines
from cnnexp.training.tolerance import Tolerance
from cnnexp.views import statistics
from cnnexp.views.images import View, kernel_views, outputs
from cnnexp.views.look import Seen, look

log = logging.getLogger(__name__)

_SHARE = 0.01
"""The share of the training time that may go into views where `every_n_epochs` is auto, in which 2 % are promised."""

_FIRST = 0.5
"""The seconds that views are thought to take before any were made."""

_SHARDED = (FSDPStrategy, ModelParallelStrategy, DeepSpeedStrategy)

_TOGETHER = ("wrong", "confusion")
"""The pictures of a whole set, which are not of the probe."""

_GREYS = bytes(value for grey in range(256) for value in (grey, grey, grey))
"""A palette in which every number is its own grey."""

More = Callable[[str], Iterable[View]]
"""Further pictures of `val` or `test`, which a task knows to draw."""


@dataclass(frozen=True)
class Moment:
    """Where in the training some weights are from: the number of the epoch, from 0, and of optimizer steps."""

    epoch: int
    step: int


class Views(Callback):
    """Draws what a network makes of the first samples of the validation set, or of the test set where there is none.

    After an epoch that is due it writes to TensorBoard: histograms of all parameters and of their gradients, the
    statistics of every layer's output as curves, and the pictures; the pictures and `views.json` also into the run's
    folder `views`, in the place of older ones. At the end of the training the numbers are written once more, and
    `finish` writes the pictures of the weights that are kept.

    The gradients are those of the last optimizer step before: the mean over the processes and over accumulated
    batches, without the scaling of 16-bit training, clipped, exactly as the optimizer was given them; of an optimizer
    that evaluates the loss several times in a step, those of the last evaluation. They are held, not copied, from the
    end of the epoch's last batch on, because Lightning drops them before a validation; there are none where a
    validation in the middle of an epoch ends the training. Those that `finish` tells belong to the last step of the
    training, also where the kept weights are older.

    Only the first process of a distributed run draws, and it asks nothing of the others. Where the weights are split
    among them, nothing is drawn but the graph.

    Arguments:
        settings: the group `views` of a config.
        plan: the network.
        folder: the run's folder.
        data: the samples.
        more: further pictures.
    """

    def __init__(self, settings: Mapping[str, Any], plan: Plan, folder: Path, data: DataModule, more: More) -> None:
        self._settings, self._plan, self._folder, self._data, self._more = settings, plan, folder, data, more
        self._tolerant = Tolerance(log)
        self._behaviour: dict[str, statistics.Behaviour] | None = None
        self._drawn: set[int] = set()
        self._counted = -1
        self._gradients: dict[str, Tensor] = {}
        self._norms: dict[str, float] = {}
        self._began, self._spent, self._cost = 0.0, 0.0, _FIRST
        self.last = Moment(0, 0)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Draw the graph, and start the clock."""
        self._began, self._spent = time.perf_counter(), 0.0
        if not trainer.is_global_zero:
            return
        with self._tolerant("the graph"):
            if board := Board(trainer):
                from cnnexp.views.graph import graph

                board.graph(graph(self._plan).SerializeToString())
        if isinstance(trainer.strategy, _SHARDED):
            log.info("there are no views: the weights are split among the processes")

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Let go of the gradients of the epoch before."""
        self._gradients = {}

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Hold the gradients of the last step of an epoch."""
        if trainer.fit_loop.epoch_loop._is_training_done and self._draws(trainer):
            self._gradients = statistics.gradients(_network(module))

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Draw what is due."""
        self.last = Moment(trainer.current_epoch, trainer.global_step)
        if not self._draws(trainer):
            return
        self._gradients = self._gradients or statistics.gradients(_network(module))
        if not self._due(trainer.current_epoch):
            return
        began = time.perf_counter()
        with self._tolerant("the numbers"):
            self._numbers(trainer, module, self.last)
        with self._tolerant("the pictures"):
            self._pictures(trainer, module, self.last, "val")
        self._cost = time.perf_counter() - began
        self._spent += self._cost

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the numbers of the last epoch."""
        if self._draws(trainer) and self._counted != self.last.step and self.last.step:
            with self._tolerant("the numbers"):
                self._numbers(trainer, module, self.last)
        self._gradients = {}

    def finish(self, trainer: Trainer, module: LightningModule, kept: Moment) -> None:
        """Draw the weights that are kept.

        Arguments:
            trainer, module: when training and test are over; the module has those weights.
            kept: where they are from.
        """
        if self._draws(trainer):
            with self._tolerant("the pictures"):
                self._pictures(trainer, module, kept, "test")

    def _draws(self, trainer: Trainer) -> bool:
        return trainer.is_global_zero and not isinstance(trainer.strategy, _SHARDED)

    def _due(self, epoch: int) -> bool:
        every = self._settings["every_n_epochs"]
        if every != "auto":
            return bool((epoch + 1) % every == 0)
        trained = time.perf_counter() - self._began - self._spent
        # The views at the end must still have their share.
        return self._spent + 2 * self._cost <= _SHARE * trained

    def _numbers(self, trainer: Trainer, module: LightningModule, moment: Moment) -> None:
        """Histograms and curves for TensorBoard."""
        self._counted = moment.step
        self._norms = statistics.gradient_norms(self._gradients, self._plan)
        if not (board := Board(trainer)):
            return
        model = _network(module)
        tensors: dict[str, Tensor] = {f"weights/{name}": p for name, p in model.named_parameters()}
        tensors |= {f"gradients/{name}": g for name, g in self._gradients.items()}
        found = {tag: h for tag, tensor in tensors.items() if (h := statistics.histogram(tensor)) is not None}
        board.histograms(found, moment.step)
        seen, _ = self._seen(trainer, module)
        curves = {}
        for layer in self._activations(seen, model):
            name = f"{layer.name}_{layer.type}" if layer.type else layer.name
            for kind in ("mean", "sd", "dead", "saturated", "gradient_norm"):
                if (value := getattr(layer, kind)) is not None:
                    curves[f"{kind}/{name}"] = value
        board.scalars(curves, moment.step)

    def _activations(self, seen: Sequence[Seen], model: nn.Sequential) -> list[statistics.Activation]:
        if self._behaviour is None:
            self._behaviour = statistics.behaviours(model, self._plan)
        return statistics.activations(seen, model, self._behaviour, self._norms)

    def _pictures(self, trainer: Trainer, module: LightningModule, moment: Moment, split: str) -> None:
        """The pictures, into the run's folder and to TensorBoard, and what views.json says."""
        model, board = _network(module), Board(trainer)
        seen, pixels, layers = list[Seen](), torch.empty(0), list[statistics.Activation]()
        with self._tolerant("the outputs of the layers"):
            seen, pixels = self._seen(trainer, module)
            layers = self._activations(seen, model)
        (self._folder / "views" / "plain").mkdir(parents=True, exist_ok=True)
        told: list[dict[str, Any]] = []
        shown: list[tuple[str, tuple[int, int], bytes]] = []
        for view in self._each(model, seen, pixels, split):
            with self._tolerant("a picture"):
                names, size, data = _stored(self._folder, view)
                told.append(names)
                stem = Path(names["file"]).stem
                if names["kind"] in _TOGETHER:
                    shown.append((f"{stem}/{split}", size, data))
                elif moment.step not in self._drawn:
                    shown.append((f"{names['kind']}/{stem}", size, data))
        board.images(shown, moment.step)
        self._drawn.add(moment.step)
        files.write(self._folder / "views" / "views.json", self._json(moment, layers, told), synced=False)

    def _each(self, model: nn.Sequential, seen: Sequence[Seen], pixels: Tensor, split: str) -> Iterator[View]:
        channels = self._settings["channels"]
        if seen:
            with self._tolerant("the pictures of the layers"):
                yield from outputs(seen, self._plan, pixels, channels)
        with self._tolerant("the pictures of the kernels"):
            yield from kernel_views(model, self._plan, channels)
        with self._tolerant(f"the pictures of {split}"):
            yield from self._more(split)

    def _json(self, moment: Moment, layers: Iterable[statistics.Activation], told: Sequence[Mapping[str, Any]]) -> str:
        split, samples = self._probed()
        count = min(self._settings["samples"], len(samples))
        probe = {"split": split, "indices": list(range(count)), "labels": samples.labels[:count].tolist()}
        head = json.dumps({"epoch": moment.epoch, "step": moment.step, "probe": probe}, indent=None)[:-1]
        lists = (lines([json.dumps(one, allow_nan=False) for one in many]) for many in (map(_told, layers), told))
        return '{},\n  "layers": {},\n  "images": {}\n}}\n'.format(head, *lists)

    def _probed(self) -> tuple[str, Any]:
        return ("val", self._data.validation) if len(self._data.validation) else ("test", self._data.test)

    def _seen(self, trainer: Trainer, module: LightningModule) -> tuple[list[Seen], Tensor]:
        """What every layer makes of the samples, and the samples as they are in the data."""
        samples = self._probed()[1].take(slice(self._settings["samples"]))
        images, _ = self._data.on_after_batch_transfer((samples.images, samples.labels), 0)
        converted: Tensor = trainer.precision_plugin.convert_input(images)
        with trainer.precision_plugin.forward_context():
            return look(_network(module), self._plan, converted.to(module.device)), samples.images


def _network(module: LightningModule) -> nn.Sequential:
    model = module.model
    assert isinstance(model, nn.Sequential)
    return model


def _told(layer: statistics.Activation) -> dict[str, Any]:
    """What views.json says of a layer; null stands for what is no number."""
    fields = {**asdict(layer), "shape": list(layer.shape)}
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}


def _stored(folder: Path, view: View) -> tuple[dict[str, Any], tuple[int, int], bytes]:
    """Write a picture: of the probe small and without words, which `show` draws at leisure; of a whole set both forms.

    Returns:
        what views.json says of it, and the form for TensorBoard: its width and height, and the content of its file.
    """
    file = f"views/{view.file}"
    shown = view.image if view.kind in _TOGETHER else view.plain
    plain = file if view.plain is shown else f"views/plain/{view.file}"
    small = _png(view.plain)
    large = small if plain == file else _png(shown)
    for name, data in {file: large, plain: small}.items():
        files.write(folder / name, data, synced=False)  # a picture can be drawn again
    names = {"file": file, "plain": plain, "kind": view.kind, "layer": view.layer, "type": view.type}
    told = {**names, "shape": list(view.shape)}
    return told, shown.size, large


def _png(image: Image.Image) -> bytes:
    """A PNG file, made quickly: what is enlarged by whole factors is small enough without much effort."""
    if image.mode == "L":  # of a palette no filters are tried, which is half of the time
        image = image.copy()
        image.putpalette(_GREYS)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
