"""What a training leaves to look at, against TensorBoard's own reader, numpy and torch; and that it changes nothing."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import cnnexp
from cnnexp.api import Run
from cnnexp.cli import main
from cnnexp.data.module import DataModule
from cnnexp.data.sets import load
from cnnexp.training import evaluation, views
from cnnexp.training.classification import Classification
from cnnexp.views import classes, graph, hparams, statistics
from tests import sweeping
from tests.disturbing import SMALL, Tap, assert_same, disturbed, leaves, only_run, terminate

pytestmark = pytest.mark.slow

LAYERS = (
    "{type: Conv2d,out_channels: 4,kernel_size: 3,padding: 1},BatchNorm2d,ReLU,"
    "{type: Residual,layers: [{type: Conv2d,out_channels: 4,kernel_size: 3,padding: 1},Tanh]},"
    "{type: MaxPool2d,kernel_size: 2},Flatten,{type: Dropout,p: 0.2},{type: Linear,out_features: 10},Sigmoid,"
    "{type: Linear,out_features: 3}"
)
TINY = [
    "model=mlp",
    f"model.layers=[{LAYERS}]",
    "data=synthetic",
    "data.shape=[3,8,8]",
    "data.num_classes=3",
    "data.samples=80",
    "data.noise=0.95",
    "data.batch_size=16",
    "data.validation=0.25",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
    "memory_format=contiguous_format",
]
OFTEN = "views.every_n_epochs=1"
ON_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="16-bit scaling needs a GPU")


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reader(run: Path) -> EventAccumulator:
    made = EventAccumulator(str(run / "tensorboard"), {"images": 0, "histograms": 0, "scalars": 0})
    made.Reload()
    return made


def looked(run: Run) -> dict[str, Any]:
    return dict(json.loads((run.path / "views" / "views.json").read_text()))


def samples(run: Run) -> DataModule:
    data = run.config["data"]
    return DataModule(load(data), data, run.config["seed"])


def as_the_network_gets(run: Run, pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (run.config["data"][key] for key in ("mean", "std"))
    return (pixels.float() / 255 - (0 if mean is None else mean)) / (1 if std is None else std)


# ---- a run as TensorBoard reads it


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return cnnexp.train([*TINY, OFTEN, f"outputs={tmp_path_factory.mktemp('run')}"])


def test_tensorboard_finds_the_pictures_of_every_layer_at_every_epoch(run: Run) -> None:
    events = reader(run.path)
    found = looked(run)
    tags = set(events.Tags()["images"])
    assert {"input/input", "output/00_Conv2d_output", "output/03_Residual_output", "confusion/val"} <= tags
    assert {"kernels/00_Conv2d_kernels", "confusion/test", "wrong/test"} <= tags
    steps = [event.step for event in events.Images("output/00_Conv2d_output")]
    assert steps == [4, 8]  # 60 samples in batches of 16
    (last,) = (event for event in events.Images("output/00_Conv2d_output") if event.step == found["step"])
    with Image.open(io.BytesIO(last.encoded_image_string)) as ours:
        with Image.open(run.path / "views" / "00_Conv2d_output.png") as theirs:
            assert np.array_equal(np.asarray(ours), np.asarray(theirs))
        assert ours.size == (last.width, last.height)


def test_tensorboard_finds_histograms_of_weights_and_gradients(run: Run) -> None:
    events = reader(run.path)
    weights = dict(run.load_model("last").named_parameters())
    tags = set(events.Tags()["histograms"])
    assert tags == {f"{kind}/{name}" for kind in ("weights", "gradients") for name in weights}
    for name, weight in weights.items():
        event = events.Histograms(f"weights/{name}")[-1]
        values, found = weight.detach().double().numpy().ravel(), event.histogram_value
        assert event.step == 8
        assert (found.num, sum(found.bucket)) == (values.size, values.size)
        assert (found.min, found.max) == (values.min(), values.max())
        assert (found.sum, found.sum_squares) == pytest.approx((values.sum(), (values**2).sum()), rel=1e-5, abs=1e-9)
        if values.min() < values.max():
            theirs, _ = np.histogram(values, [values.min(), *found.bucket_limit])
            assert np.abs(theirs - found.bucket).sum() <= 4  # a value on a limit, in single or double precision


def test_tensorboard_finds_curves_of_every_layer_and_the_learning_rate(run: Run) -> None:
    events = reader(run.path)
    tags = set(events.Tags()["scalars"])
    assert {"mean/input", "mean/0_Conv2d", "sd/3.layers.1_Tanh", "dead/2_ReLU", "saturated/8_Sigmoid"} <= tags
    assert {"gradient_norm/0_Conv2d", "gradient_norm/3_Residual", "saturated/3.layers.1_Tanh"} <= tags
    assert not {"dead/0_Conv2d", "dead/8_Sigmoid", "saturated/2_ReLU", "gradient_norm/2_ReLU"} & tags
    assert [event.step for event in events.Scalars("mean/0_Conv2d")] == [4, 8]
    rates = events.Scalars("learning_rate")
    assert [(event.step, event.value) for event in rates] == [(4, pytest.approx(1e-3)), (8, pytest.approx(1e-3))]


def test_tensorboard_finds_the_graph(run: Run) -> None:
    nodes = {node.name: node for node in reader(run.path).Graph().node}
    assert {name: node.op for name, node in nodes.items() if "/" in name} == {
        "3_Residual/layers_Sequential/0_Conv2d": "Conv2d",
        "3_Residual/layers_Sequential/1_Tanh": "Tanh",
        "3_Residual/add": "Add",
    }
    assert list(nodes["3_Residual/add"].input) == ["3_Residual/layers_Sequential/1_Tanh", "2_ReLU"]
    shapes = nodes["4_MaxPool2d"].attr["_output_shapes"].list.shape
    assert [[dim.size for dim in shape.dim] for shape in shapes] == [[-1, 4, 4, 4]]
    assert nodes["0_Conv2d"].attr["kernel_size"].s == b"3"
    assert all(source in nodes for node in nodes.values() for source in node.input)


def test_every_file_that_views_json_names_is_a_picture(run: Run) -> None:
    found = looked(run)
    named = {image[key] for image in found["images"] for key in ("file", "plain")}
    there = {str(file.relative_to(run.path)) for file in (run.path / "views").rglob("*.png")}
    assert named == there
    for name in named:
        with Image.open(run.path / name) as image:
            image.load()
            assert min(image.size) > 0
    kinds = {(image["kind"], image["layer"]) for image in found["images"]}
    assert {("input", ""), ("output", "3.layers.1"), ("kernels", "0"), ("confusion", ""), ("wrong", "")} <= kinds
    assert not [file for file in (run.path / "views").rglob("*") if file.suffix not in ("", ".png", ".json")]


def test_views_json_tells_the_weights_that_are_kept(run: Run) -> None:
    found, held = looked(run), torch.load(run.path / "checkpoints" / "best.ckpt", weights_only=True)
    assert (found["epoch"], found["step"]) == (held["epoch"], held["global_step"])
    data = samples(run)
    assert found["probe"] == {
        "split": "val", "indices": list(range(8)), "labels": data.validation.labels[:8].tolist()
    }  # fmt: skip
    model = run.load_model("best")
    x, told = as_the_network_gets(run, data.validation.images[:8]), {one["name"]: one for one in found["layers"]}
    with torch.no_grad():
        for at, layer in enumerate(model):
            out = layer(x)
            values, ours = out.double().numpy(), told[str(at)]
            assert ours["mean"] == pytest.approx(values.mean(), rel=1e-4, abs=1e-6)
            assert ours["sd"] == pytest.approx(values.std(), rel=1e-4)
            assert ours["shape"] == list(values.shape[1:])
            if at == 2:
                assert ours["dead"] == pytest.approx(np.mean([not channel.any() for channel in values.swapaxes(0, 1)]))
            if at == 3:
                inside = np.tanh(layer.layers[0](x).double().numpy())
                assert told["3.layers.1"]["saturated"] == pytest.approx(np.mean(np.abs(inside) >= 0.98), abs=1e-3)
            if at == 8:
                assert ours["saturated"] == pytest.approx(np.mean((values <= 0.01) | (values >= 0.99)))
            x = out
    assert [name for name, one in told.items() if one["dead"] is not None] == ["2"]
    assert [name for name, one in told.items() if one["saturated"] is not None] == ["3.layers.1", "8"]


def test_the_confusion_matrix_is_that_of_the_checkpoint_by_hand(run: Run) -> None:
    test = load(run.config["data"]).test
    scores = run.load_model("best")(as_the_network_gets(run, test.images)).detach().double().numpy()
    predicted, labels = scores.argmax(1), test.labels.numpy()
    by_hand = [[int(((labels == t) & (predicted == p)).sum()) for p in range(3)] for t in range(3)]
    told = json.loads((run.path / "evaluation.json").read_text())
    assert (told["split"], told["samples"], told["confusion"]) == ("test", 20, by_hand)
    assert np.trace(by_hand) / 20 == pytest.approx(run.metrics["test_accuracy"])
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    sure = sorted(np.nonzero(predicted != labels)[0], key=lambda i: -shares[i].max())[:16]
    assert [one["index"] for one in told["wrong"]] == sure
    assert len(sure) > 2
    for one in told["wrong"]:
        at = one["index"]
        assert (one["label"], one["predicted"]) == (labels[at], predicted[at])
        assert one["probability"] == pytest.approx(shares[at].max(), rel=1e-4)
        with Image.open(run.path / one["image"]) as image:
            assert np.array_equal(np.asarray(image.crop(one["box"])), test.images[at].permute(1, 2, 0).numpy())


# ---- gradients


@pytest.mark.parametrize(
    ("words", "batches"),
    [
        ([], 1),
        (["trainer.accumulate_grad_batches=2"], 2),
        (["trainer.gradient_clip_val=0.05"], 1),
        (["trainer.precision=bf16-mixed"], 1),
        pytest.param(["trainer.precision=64-true"], 1, marks=pytest.mark.slow),
        pytest.param(["trainer.precision=16-mixed", "trainer.accelerator=gpu"], 1, marks=ON_A_GPU),
    ],
    ids=["plain", "accumulated", "clipped", "bf16", "double", "half"],
)
def test_gradients_are_those_that_the_optimizer_was_given(words: list[str], batches: int) -> None:
    settings = ["optimizer=sgd", "optimizer.lr=0.5", "trainer.max_epochs=1", f"trainer.limit_train_batches={batches}"]
    run = cnnexp.train([*TINY, *settings, *words])
    plan = cnnexp.plan({"layers": run.config["model"]["layers"]}, input_shape=(3, 8, 8), num_classes=3)
    before, after = plan.build(run.config["seed"]).state_dict(), run.load_model("last").named_parameters()
    step = {name: ((before[name] - weight.detach()) / 0.5).double().numpy() for name, weight in after}
    told, events = {one["name"]: one["gradient_norm"] for one in looked(run)["layers"]}, reader(run.path)
    for layer in ("0", "1", "3", "3.layers.0", "7", "9"):
        parts = [g for name, g in step.items() if name.startswith(f"{layer}.")]
        assert told[layer] == pytest.approx(np.sqrt(sum((g**2).sum() for g in parts)), rel=1e-3, abs=1e-6)
    for name, gradient in step.items():
        found = events.Histograms(f"gradients/{name}")[-1].histogram_value
        assert (found.min, found.max) == pytest.approx((gradient.min(), gradient.max()), rel=1e-3, abs=1e-6)
    if "trainer.gradient_clip_val=0.05" in words:
        assert sum(told[layer] ** 2 for layer in ("0", "1", "3", "7", "9")) == pytest.approx(0.05**2, rel=1e-3)


def test_an_optimizer_with_several_evaluations_to_a_step_has_gradients_too(work: Path) -> None:
    (work / "conf" / "optimizer").mkdir(parents=True)
    (work / "conf" / "optimizer" / "lbfgs.yaml").write_text("type: LBFGS\nlr: 0.1\nmax_iter: 3\n")
    run = cnnexp.train([*TINY, "optimizer=lbfgs", "trainer.max_epochs=1", "logger=none"])
    told = {one["name"]: one["gradient_norm"] for one in looked(run)["layers"]}
    assert all(told[name] > 0 for name in ("0", "1", "3", "7", "9"))


# ---- it changes nothing


@pytest.mark.parametrize(
    "words",
    [
        ["memory_format=channels_last"],
        ["trainer.val_check_interval=2", "trainer.gradient_clip_val=0.1"],
        pytest.param(["compile=true"], marks=pytest.mark.slow),
    ],
    ids=lambda words: words[0],
)
def test_the_weights_are_the_same_bit_for_bit(words: list[str]) -> None:
    ours, theirs = (cnnexp.train([*TINY, *words, more]) for more in (OFTEN, "views=none"))
    assert (ours.path / "views").is_dir()
    assert not (theirs.path / "views").exists()
    assert_same(ours.path, theirs.path)


def test_a_resumed_run_goes_on_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    tap = Tap(monkeypatch)
    ours = disturbed([*SMALL, OFTEN], tap, ("training_step", 9, terminate), ("validation_step", 2, terminate))
    assert main([*SMALL, "views=none"]) == 0
    assert_same(ours, only_run())
    assert (ours / "views" / "views.json").is_file()


def test_modes_generators_and_gradients_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    whole = views.Views.on_train_epoch_end

    def watched(self: views.Views, trainer: Any, module: Classification) -> None:
        def state() -> list[Any]:
            modes = [m.training for m in module.modules()]
            tensors = {k: t.clone() for k, t in module.state_dict().items()}
            return [modes, torch.get_rng_state(), [p.grad is None for p in module.parameters()], tensors]

        before = state()
        whole(self, trainer, module)
        after = state()
        seen.append(before[0] == after[0] and before[2] == after[2] and torch.equal(before[1], after[1]))
        seen.append(all(torch.equal(t, after[3][k]) for k, t in before[3].items()))

    monkeypatch.setattr(views.Views, "on_train_epoch_end", watched)
    cnnexp.train([*TINY, OFTEN, "logger=none"])
    assert seen == [True] * 4


# ---- nothing ends a run


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def too_much(*_: Any, **__: Any) -> Any:
    raise MemoryError


@pytest.mark.parametrize(
    ("where", "name", "what", "said"),
    [
        (views, "look", too_much, "the outputs of the layers could not be made: MemoryError"),
        (views, "_png", full, "a picture could not be made: OSError: [Errno 28] No space left on device"),
        (views.Board, "graph", too_much, "the graph could not be made: MemoryError"),
        (views.statistics, "histogram", too_much, "the numbers could not be made: MemoryError"),
        (evaluation, "classify", too_much, "the confusion matrix could not be made: MemoryError"),
        (evaluation, "counts", too_much, "the confusion matrix could not be made: MemoryError"),
    ],
    ids=["look", "png", "graph", "histogram", "classify", "counts"],
)
def test_what_cannot_be_drawn_is_said_once_and_the_run_goes_on(
    where: Any, name: str, what: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, what)
    run = cnnexp.train([*TINY, OFTEN])
    assert run.status == "completed"
    warnings = [line for line in (run.path / "log.txt").read_text().splitlines() if " WARNING " in line]
    assert sum(said in line for line in warnings) == 1


def test_a_full_disk_costs_the_pictures_and_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made = views._png
    left = [5]

    def fills(image: Image.Image) -> bytes:
        left[0] -= 1
        return made(image) if left[0] >= 0 else bytes(full())

    monkeypatch.setattr(views, "_png", fills)
    run = cnnexp.train([*TINY, "logger=none"])
    assert run.status == "completed"
    assert len(looked(run)["images"]) == 5


def test_ctrl_c_in_a_view_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(views, "_png", interrupted)
    assert main([*TINY, OFTEN]) == 130
    assert json.loads((only_run() / "run.json").read_text())["status"] == "interrupted"


def test_a_signal_in_a_view_is_obeyed_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = views._png
    monkeypatch.setattr(views, "_png", lambda image: (asked.pop()() if asked else None, made(image))[1])
    asked = [terminate]
    assert main([*TINY, OFTEN]) == 143
    run = cnnexp.runs("outputs")[-1]
    assert (run.status, looked(run)["step"]) == ("interrupted", 4)
    assert main(["resume", str(run.path)]) == 0
    theirs = cnnexp.train([*TINY, "views=none"])
    assert_same(run.path, theirs.path)


# ---- when


def test_nothing_is_drawn_where_it_is_not_wanted() -> None:
    off = cnnexp.train([*TINY, "views=none"])
    assert not (off.path / "views").exists()
    assert not reader(off.path).Tags()["images"]
    told = json.loads((off.path / "evaluation.json").read_text())
    assert told["samples"] == 20
    assert all("image" not in one for one in told["wrong"])
    files_only = cnnexp.train([*TINY, "logger=none"])
    assert not (files_only.path / "tensorboard").exists()
    assert looked(files_only)["images"]
    dry = cnnexp.train([*TINY, "trainer.fast_dev_run=true"])
    assert not {"views", "evaluation.json", "tensorboard"} & {file.name for file in dry.path.iterdir()}


def test_every_second_epoch_and_the_end() -> None:
    run = cnnexp.train([*TINY, "trainer.max_epochs=5", "views.every_n_epochs=2"])
    events = reader(run.path)
    assert [event.step for event in events.Scalars("mean/input")] == [8, 16, 20]
    kept = looked(run)["step"]
    assert {event.step for event in events.Images("input/input")} == {8, 16, kept}


def test_auto_keeps_to_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes only when somebody works: 10 s for a step of the training, 1 s for numbers and pictures."""
    now, spent = [0.0], [0.0]
    monkeypatch.setattr(views.time, "perf_counter", lambda: now[0])
    drawn: list[float] = []

    def takes(seconds: float, cls: Any, name: str) -> None:
        original = getattr(cls, name)

        def wrapped(*arguments: Any) -> Any:
            now[0] += seconds
            if cls is views.Views:
                spent[0] += seconds
                drawn.append(now[0])
            return original(*arguments)

        monkeypatch.setattr(cls, name, wrapped)

    takes(10.0, Classification, "training_step")
    takes(0.5, views.Views, "_numbers")
    takes(0.5, views.Views, "_pictures")
    cnnexp.train([*TINY, "trainer.max_epochs=10", "logger=none"])
    trained = 40 * 10.0
    assert 2.0 < spent[0] <= 0.02 * trained
    assert drawn[0] < trained


# ---- parts


@pytest.mark.parametrize(
    ("layer", "rectified", "ends"),
    [
        (nn.ReLU(), True, None),
        (nn.ReLU(inplace=True), True, None),
        (nn.ReLU6(), True, (0, 6)),
        (nn.Hardswish(), True, None),
        (nn.Hardtanh(0, 2), True, (0, 2)),
        (nn.Threshold(0.5, 0), True, None),
        (nn.LeakyReLU(), False, None),
        (nn.ELU(), False, None),
        (nn.GELU(), False, None),
        (nn.SiLU(), False, None),
        (nn.Softplus(), False, None),
        (nn.Sigmoid(), False, (0, 1)),
        (nn.Hardsigmoid(), False, (0, 1)),
        (nn.Tanh(), False, (-1, 1)),
        (nn.Softsign(), False, (-1, 1)),
        (nn.Softmax(dim=1), False, None),
        (nn.LogSigmoid(), False, None),
        (nn.Identity(), False, None),
        (nn.Dropout(0.5), False, None),
        (nn.LayerNorm(3, elementwise_affine=False), False, None),
    ],
    ids=repr,
)
def test_activations_are_known_by_what_they_do(layer: nn.Module, rectified: bool, ends: tuple[int, int] | None) -> None:
    entry = {"type": type(layer).__name__, **_arguments(layer)}
    plan = cnnexp.plan({"layers": [{"type": "Linear", "out_features": 3}, entry]}, input_shape=(5,))
    model, before = plan.build(0), torch.get_rng_state()
    found = statistics.behaviours(model, plan).get("1", statistics.Behaviour())
    assert found.rectified == rectified
    assert (found.low, found.high) == ((None, None) if ends is None else pytest.approx(ends, abs=1e-6))
    assert torch.equal(before, torch.get_rng_state())


def _arguments(layer: nn.Module) -> dict[str, Any]:
    names = {"Hardtanh": ("min_val", "max_val"), "Threshold": ("threshold", "value"), "Softmax": ("dim",)}
    if isinstance(layer, nn.LayerNorm):
        return {"elementwise_affine": False}
    return {name: getattr(layer, name) for name in names.get(type(layer).__name__, ())}


def test_a_unit_is_dead_where_no_sample_wakes_it() -> None:
    layers = [{"type": "Linear", "out_features": 4}, "ReLU"]
    for shape, by_hand in (((5,), 0.5), ((7, 5), 0.5)):
        plan = cnnexp.plan({"layers": layers}, input_shape=shape)
        model = plan.build(0)
        with torch.no_grad():
            model[0].bias[:2] = -1e6  # type: ignore[index]
            model[0].bias[2:] = 1e6  # type: ignore[index]
        seen = views.look(model, plan, torch.rand(6, *shape))
        found = statistics.activations(seen, model, statistics.behaviours(model, plan), {})
        assert [one.dead for one in found] == [None, None, by_hand]


def test_a_histogram_leaves_out_what_is_no_number() -> None:
    values = torch.tensor([1.0, 2.0, float("nan"), float("inf"), 4.0])
    found = statistics.histogram(values)
    assert found is not None
    assert (found.low, found.high, found.number, found.total, found.squares) == (1, 4, 3, 7, pytest.approx(21))
    assert sum(found.counts) == 3
    assert statistics.histogram(torch.tensor([float("nan")])) is None
    assert statistics.histogram(torch.zeros(0)) is None
    same = statistics.histogram(torch.full((5,), 3.0))
    assert same is not None
    assert (same.counts, same.limits) == ([5.0], [3.0])
    wide = statistics.histogram(torch.tensor([-3e38, 1.0, 3e38]))
    assert wide is not None
    assert (wide.counts[0], sum(wide.counts), wide.counts[-1]) == (1, 3, 1)


def test_probabilities_are_taken_as_they_are() -> None:
    scores = torch.randn(7, 4)
    for given in (scores, scores.softmax(1), scores.log_softmax(1)):
        predicted, probability = evaluation.classify(given)
        assert torch.equal(predicted, scores.argmax(1))
        assert torch.allclose(probability, scores.softmax(1).max(1).values)


def test_the_graph_of_every_composite_has_its_joins() -> None:
    plan = cnnexp.plan(
        {
            "layers": [
                {"type": "Parallel", "branches": [["ReLU"], "Tanh"], "merge": "add"},
                {"type": "Unpool", "pool": {"type": "MaxPool2d", "kernel_size": 2}, "layers": ["ReLU"]},
                {"type": "Repeat", "times": 2, "layers": ["Tanh"]},
                "Flatten",
            ]
        },
        input_shape=(3, 8, 8),
    )
    nodes = {node.name: list(node.input) for node in graph.graph(plan).node}
    assert nodes["0_Parallel/add"] == ["0_Parallel/0_Sequential/0_ReLU", "0_Parallel/1_Tanh"]
    assert nodes["1_Unpool/unpool"] == ["1_Unpool/layers_Sequential/0_ReLU", "1_Unpool/pool_MaxPool2d"]
    assert nodes["3_Flatten"] == ["2_Repeat/1_Tanh"]
    assert nodes["2_Repeat/1_Tanh"] == ["2_Repeat/0_Tanh"]
    assert nodes["output"] == ["3_Flatten"]


def test_the_confusion_matrix_is_drawn_cell_by_cell() -> None:
    drawn = classes.confusion([[9, 0, 1], [0, 10, 0], [5, 0, 5]], ["猫", "café", "x" * 40], "the test set")
    plain = np.asarray(drawn.plain)
    side = len(plain) // 3
    cells = plain[side // 2 :: side, side // 2 :: side].astype(int)
    white = (cells == 255).all(axis=-1)
    assert white.tolist() == [[False, True, False], [True, False, True], [False, True, False]]
    blue, red = cells[..., 2] > cells[..., 0], cells[..., 0] > cells[..., 2]
    assert (blue & ~white).tolist() == np.eye(3, dtype=bool).tolist()
    assert (red & ~white).tolist() == [[False, False, True], [False] * 3, [True, False, False]]
    assert cells[2, 0, 1] < cells[0, 2, 1]  # a larger share is darker
    assert drawn.image.width > drawn.plain.width
    for n in (1, 40, 300):
        assert max(classes.confusion(np.eye(n, dtype=int).tolist(), None, "the test set").image.size) < 1100


# ---- runs as the HPARAMS tab compares them


def sessions(logdir: Path) -> tuple[list[str], dict[str, dict[str, Any]], dict[str, dict[str, float]], dict[str, int]]:
    """What TensorBoard's HPARAMS tab shows of a folder: names of metrics; values, metrics and status of each run."""
    from tensorboard.backend.event_processing import data_ingester, plugin_event_multiplexer
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    assert data_ingester
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(logdir))
    backend = backend_context.Context(TBContext(data_provider=provider, logdir=str(logdir)))
    context, metadata = RequestContext(), None
    metadata = backend.hparams_metadata(context, "")
    experiment = backend.experiment_from_metadata(
        context, "", True, metadata, backend.hparams_from_data_provider(context, "", limit=None)
    )
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=[
            api_pb2.STATUS_SUCCESS,
            api_pb2.STATUS_FAILURE,
            api_pb2.STATUS_UNKNOWN,
            api_pb2.STATUS_RUNNING,
        ],
        col_params=[api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos],
        aggregation_type=api_pb2.AGGREGATION_AVG,
    )
    handler = list_session_groups.Handler(context, backend, "", request)
    groups = handler.run().session_groups
    values, metrics, status = {}, {}, {}
    for group in groups:
        for session in group.sessions:
            values[session.name] = {
                k: v.number_value if v.HasField("number_value") else v.string_value for k, v in group.hparams.items()
            }
            metrics[session.name] = {m.name.tag: m.value for m in session.metric_values}
            status[session.name] = session.status
    return [info.name.tag for info in experiment.metric_infos], values, metrics, status


def test_the_hparams_tab_knows_a_run_by_its_choices(run: Run) -> None:
    names, values, metrics, status = sessions(run.path.parent)
    (name,) = values
    assert values[name]["model"] == "mlp"
    assert values[name]["optimizer.lr"] == pytest.approx(1e-3)
    assert values[name]["data.batch_size"] == 16
    assert set(names) == set(run.metrics)
    assert metrics[name] == pytest.approx(run.metrics, rel=1e-6)
    assert status[name] == 1  # success


def test_a_changed_value_is_of_one_kind_in_all_jobs(work: Path) -> None:
    jobs: list[dict[str, Any]] = [
        {"changed": {"optimizer.lr": "1e-3", "model.width": "8", "seed": "1"}},
        {"changed": {"optimizer.lr": "0.01", "model.width": "null", "seed": "2"}},
    ]
    run = work / "0_run"
    told = hparams.chosen(jobs[0], {}, run)
    assert told == {"optimizer.lr": 0.001, "model.width": 8.0, "seed": 1.0}
    (work / "jobs.json").write_text(json.dumps(jobs))
    assert hparams.chosen(jobs[0], {}, run) == {"optimizer.lr": 0.001, "model.width": "8", "seed": 1.0}
    assert hparams.chosen(jobs[1], {}, run) == {"optimizer.lr": 0.01, "model.width": "null", "seed": 2.0}
    (work / "jobs.json").write_text("{cut sho")
    assert hparams.chosen(jobs[0], {}, run) == told


def test_a_run_that_fails_says_so_and_a_resumed_one_forgets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tap = Tap(monkeypatch)
    tap.at("training_step", 6, terminate)
    assert main(TINY) == 143
    run = cnnexp.runs("outputs")[-1]
    _, values, _, status = sessions(run.path.parent)
    assert list(status.values()) == [2]  # failure
    assert main(["resume", str(run.path)]) == 0
    names, again, _, status = sessions(run.path.parent)
    assert list(status.values()) == [1]
    assert again == values
    assert set(names) == set(run.metrics)


def test_the_hparams_tab_compares_a_sweep(work: Path) -> None:
    sweeping.furnish(work)
    said = sweeping.cnnexp(
        work, "--multirun", *sweeping.FAST, "logger=tensorboard", OFTEN,
        "optimizer.lr=0.01,0.001", "model.kind=nothing,raises", "seed=1,2",
    )  # fmt: skip
    assert said.code == 1, said.err
    sweep = sweeping.sweep_folder(work)
    names, values, metrics, status = sessions(sweep)
    assert len(values) == 8
    found = {tuple(sorted(one.items())) for one in values.values()}
    assert found == {
        (("model.kind", kind), ("optimizer.lr", lr), ("seed", seed))
        for kind in ("nothing", "raises")
        for lr in (0.01, 0.001)
        for seed in (1.0, 2.0)
    }
    for folder, fields in sweeping.records(sweep).items():
        session = f"{folder}/tensorboard"
        assert status[session] == (1 if fields["status"] == "completed" else 2)
        if fields["status"] == "completed":
            assert set(names) == set(fields["metrics"])
            assert metrics[session] == pytest.approx(fields["metrics"], rel=1e-6)
            events = reader(sweep / folder)
            assert events.Tags()["images"]
            assert events.Tags()["histograms"]
            assert events.Tags()["graph"]


def test_two_processes_count_every_sample_once() -> None:
    words = [*TINY, OFTEN, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    words.append("data.samples=84")  # 21 to test and 21 to validate: one of each is dealt twice
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "cnnexp", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    run = cnnexp.runs("outputs")[-1]
    told = json.loads((run.path / "evaluation.json").read_text())
    test = load(run.config["data"]).test
    scores = run.load_model("best")(as_the_network_gets(run, test.images)).detach()
    predicted = scores.argmax(1)
    by_hand = [[int(((test.labels == t) & (predicted == p)).sum()) for p in range(3)] for t in range(3)]
    assert (told["samples"], told["confusion"]) == (21, by_hand)
    assert run.metrics["test_accuracy"] == pytest.approx(sum(by_hand[i][i] for i in range(3)) / 21, rel=1e-6)
    assert run.metrics["test_loss"] == pytest.approx(float(nn.functional.cross_entropy(scores, test.labels)), rel=1e-5)
    wrong = (predicted != test.labels).nonzero().flatten().tolist()
    assert sorted(one["index"] for one in told["wrong"]) == sorted(
        sorted(wrong, key=lambda i: -float(scores[i].softmax(0).max()))[:16]
    )
    assert reader(run.path).Tags()["images"]
    assert leaves(run.path / "checkpoints" / "last.ckpt")
