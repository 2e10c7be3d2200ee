"""Speed as ratios, measured by turns in one process: what cnnexp costs over hand-written PyTorch.

python benchmarks/bench.py [rounds]
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import torch
import torchvision
from hydra.types import RunMode
from torch import nn

import cnnexp
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.planning import make_plan
from cnnexp.config import Composer
from cnnexp.data.sets import load
from cnnexp.records import load as recorded
from cnnexp.verify import Known, verify

EPOCHS = 2


def by_hand(name: str, layout: torch.memory_format) -> Callable[[], float]:
    """A plain PyTorch loop over the same data, batch size and optimizer; returns seconds per 1,000 samples."""
    data = Composer().compose([f"model={name}"]).values["data"]
    train = load(data).train
    images = train.images.float().div(255).sub(data["mean"]).div(data["std"])[: 40 * data["batch_size"]]
    labels = train.labels[: len(images)]  # a small set has fewer than 40 batches

    def run() -> float:
        model = cnnexp.plan(name).build(seed=0).to(memory_format=layout)
        optimizer, loss_function = torch.optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
        began = time.perf_counter()
        for _ in range(EPOCHS):
            order = torch.randperm(len(images))
            for start in range(0, len(images), data["batch_size"]):
                chosen = order[start : start + data["batch_size"]]
                batch = images[chosen]
                loss = loss_function(
                    model(batch.contiguous(memory_format=layout) if batch.dim() == 4 else batch), labels[chosen]
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return 1000 * (time.perf_counter() - began) / (EPOCHS * len(images))

    return run


def ours(name: str, layout: str, folder: str) -> Callable[[], float]:
    """The same through cnnexp; the time is the training's own, as its record tells."""
    settings = [
        f"model={name}", f"outputs={folder}", f"trainer.max_epochs={EPOCHS}", "trainer.limit_train_batches=40",
        "logger=none", f"memory_format={layout}",
    ]  # fmt: skip

    def run() -> float:
        done = cnnexp.train(settings)
        fields = recorded(done.path).fields
        return 1000 / float(fields["samples_per_s"])

    return run


def seconds(code: str) -> float:
    """Wall time of a fresh interpreter running `code`."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - began


def by_turns(first: Callable[[], float], second: Callable[[], float], rounds: int) -> tuple[float, float]:
    """The medians of two measurements taken by turns, after one round that does not count."""
    first(), second()
    times = [(first(), second()) for _ in range(rounds)]
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def row(what: str, ours_: float, theirs: float) -> None:
    """Print one line of the table."""
    print(f"{what:58}{ours_:10.3f} s{theirs:10.3f} s{ours_ / theirs:8.2f}")


def main(rounds: int) -> None:
    """Measure everything and print the table."""
    print(f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, torch {torch.__version__}, {rounds} rounds\n")
    print(f"{'':58}{'ours':>12}{'theirs':>12}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tudui", "net", "mlp"):
            layout = "channels_last" if name == "tudui" else "contiguous_format"
            pair = by_turns(ours(name, layout, folder), by_hand(name, getattr(torch, layout)), rounds)
            row(f"training {name}, 1,000 samples : hand-written loop", *pair)
    call = "import sys; from cnnexp.cli import main; sys.exit(main({}))"
    bare = lambda: seconds("import torch")  # noqa: E731
    row("cnnexp check : import torch", *by_turns(lambda: seconds(call.format(["check"])), bare, rounds))
    row("cnnexp --help : import torch", *by_turns(lambda: seconds(call.format(["--help"])), bare, rounds))
    block = [{"type": "Conv2d", "out_channels": 16, "kernel_size": 3, "padding": 1}, "BatchNorm2d", "ReLU"]
    model = {"layers": (block * 334)[:1000]}

    def plan() -> float:
        began = time.perf_counter()
        make_plan(parse(model)[0], (3, 32, 32))
        return time.perf_counter() - began

    def construct() -> float:
        began = time.perf_counter()
        for _ in range(0, 1000, 3):
            nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()
        return time.perf_counter() - began

    row("planning 1,000 layers : constructing them on the CPU", *by_turns(plan, construct, rounds))
    different = [
        {"type": "Conv2d", "out_channels": 8 + i % 97, "kernel_size": 1 + 2 * (i % 3), "padding": i % 3}
        for i in range(1000)
    ]
    model = {"layers": different}
    row("planning 1,000 different layers : the same, constructed", *by_turns(plan, construct, rounds))
    theirs = lambda: timed(torchvision.models.resnet50)  # noqa: E731
    whole = lambda: timed(lambda: cnnexp.plan("resnet50", input_shape=(3, 224, 224), num_classes=1000))  # noqa: E731
    model = Composer().compose(["model=resnet50", "data.num_classes=1000"]).values["model"]
    bare = lambda: timed(lambda: make_plan(parse(model)[0], (3, 224, 224)))  # noqa: E731
    row("planning resnet50 : building torchvision's", *by_turns(bare, theirs, 2 * rounds))
    row("composing and planning resnet50 : building torchvision's", *by_turns(whole, theirs, 2 * rounds))
    points = grid()
    row(
        "composing 1,000 points of tudui : loading each with Hydra",
        *by_turns(composing(points), loading(points), rounds),
    )
    row("the same, and checking them : loading each with Hydra", *by_turns(checking(points), loading(points), rounds))


def grid() -> list[list[str]]:
    """1,000 points: 40 networks, half of which do not fit, with 25 learning rates each."""
    activations = ("null", "relu", "tanh", "gelu", "{type: LeakyReLU, negative_slope: 0.2}")
    paddings = ("zeros", "reflect", "replicate", "circular")
    rates = [round(0.001 * i, 3) for i in range(1, 26)]
    return [
        [f"model.stride={s}", f"model.padding_mode={p}", f"model.activation={a}", f"optimizer.lr={r}"]
        for s, p, a, r in itertools.product((1, 2), paddings, activations, rates)
    ]


def composing(points: Sequence[Sequence[str]]) -> Callable[[], float]:
    """Compose all points with a new composer."""

    def run() -> None:
        composer = Composer()
        for point in points:
            composer.compose(point)

    return lambda: timed(run)


def checking(points: Sequence[Sequence[str]]) -> Callable[[], float]:
    """Compose and check all points as a sweep does."""

    def run() -> None:
        composer, known = Composer(), Known()
        for point in points:
            verify(composer.compose(point), known)

    return lambda: timed(run)


def loading(points: Sequence[Sequence[str]]) -> Callable[[], float]:
    """Hydra's own loading of every point; told from every hundredth of them."""
    loader, some = Composer().loader, points[::100]

    def run() -> None:
        for point in some:
            loader.load_configuration("config", list(point), RunMode.RUN)

    return lambda: timed(run) * len(points) / len(some)


def timed(work: Callable[[], object]) -> float:
    """Wall time of some work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
