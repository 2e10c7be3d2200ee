"""Optimizers, schedulers, losses and metrics from a config do what torch and torchmetrics do when called by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler as lrs

from cnnexp.components import Catalog
from cnnexp.training import metrics
from cnnexp.training.catalogs import LOSSES, OPTIMIZERS, SCHEDULERS
from cnnexp.training.check import check
from cnnexp.training.components import Loss, make_optimizer, make_scheduler


def _classes_of(module: Any, base: type) -> set[str]:
    return {n for n, c in vars(module).items() if isinstance(c, type) and issubclass(c, base) and not n.startswith("_")}


@pytest.mark.parametrize(
    ("catalog", "names"),
    [
        (OPTIMIZERS, _classes_of(optim, optim.Optimizer) - {"Optimizer"}),
        (SCHEDULERS, _classes_of(lrs, lrs.LRScheduler) - {"LRScheduler"}),
        (LOSSES, {n for n in _classes_of(nn, nn.Module) if "Loss" in n}),
    ],
    ids=["optimizers", "schedulers", "losses"],
)
def test_everything_that_torch_has_is_in_the_catalogue_or_refused(catalog: Catalog, names: set[str]) -> None:
    assert len(names) >= 14
    assert set(catalog.entries) | set(catalog.refused) == names
    assert not set(catalog.entries) & set(catalog.refused)


def _texts(catalog: Catalog, entry: Any) -> list[str]:
    _, _, problems = catalog.parse(entry, (catalog.noun,), catalog.noun)
    return [p.message for p in problems]


OWN = "it has a linear layer of its own"
FUNCTION = "its parameter 'lr_lambda' is a function, which YAML cannot hold"
INPUTS = {
    "CTCLoss": "log_probs, targets, input_lengths, target_lengths",
    "CosineEmbeddingLoss": "input1, input2, target",
    "GaussianNLLLoss": "input, target, var",
    "MarginRankingLoss": "input1, input2, target",
    "TripletMarginLoss": "anchor, positive, negative",
    "TripletMarginWithDistanceLoss": "anchor, positive, negative",
}
REFUSED = [
    (OPTIMIZERS, "SparseAdam", "it takes sparse gradients only, which no layer of a stack gives"),
    (SCHEDULERS, "LambdaLR", FUNCTION),
    (SCHEDULERS, "MultiplicativeLR", FUNCTION),
    (LOSSES, "LinearCrossEntropyLoss", f"{OWN}; end the network in Linear and use CrossEntropyLoss"),
    *(
        (LOSSES, name, f"it takes {1 + i.count(',')} inputs ({i}), not an output and a target")
        for name, i in INPUTS.items()
    ),
]


@pytest.mark.parametrize(("catalog", "name", "text"), REFUSED, ids=[row[1] for row in REFUSED])
def test_a_refused_class_says_why(catalog: Catalog, name: str, text: str) -> None:
    expected = [f"{catalog.noun}: {name} cannot be used here: {text}"]
    assert _texts(catalog, name) == _texts(catalog, {"type": name.lower()}) == expected


@pytest.mark.parametrize(
    ("catalog", "entry", "texts"),
    [
        (OPTIMIZERS, "adamm", ["optimizer: unknown optimizer 'adamm'; did you mean 'Adam'?"]),
        (OPTIMIZERS, "Optimizer", ["optimizer: unknown optimizer 'Optimizer'"]),
        (OPTIMIZERS, {"type": "Adam", "lr": -1}, ["optimizer Adam: lr must be at least 0, not -1"]),
        (OPTIMIZERS, {"type": "Adam", "momentun": 1}, ["optimizer Adam: unknown parameter 'momentun'"]),
        (
            OPTIMIZERS,
            {"type": "SGD", "momentun": 1},
            ["optimizer SGD: unknown parameter 'momentun'; did you mean 'momentum'?"],
        ),
        (OPTIMIZERS, {"lr": 1}, ["optimizer: 'type' is missing"]),
        (OPTIMIZERS, 3, ["optimizer must be an optimizer or a mapping with 'type', not 3"]),
        (SCHEDULERS, {"type": "StepLR"}, ["scheduler StepLR: 'step_size' is missing (a whole number)"]),
        (SCHEDULERS, {"type": "StepLR", "step_size": 0}, ["scheduler StepLR: step_size must be at least 1, not 0"]),
        (
            LOSSES,
            {"type": "MSELoss", "reduction": "none"},
            ["loss MSELoss: reduction must be one of mean, sum, not 'none'"],
        ),
        (
            LOSSES,
            {"type": "CrossEntropyLoss", "label_smoothing": 1.5},
            ["loss CrossEntropyLoss: label_smoothing must be between 0 and 1, not 1.5"],
        ),
    ],
)
def test_a_wrong_entry_is_told_in_full(catalog: Catalog, entry: Any, texts: list[str]) -> None:
    assert _texts(catalog, entry) == texts


def _config(**sections: Any) -> dict[str, Any]:
    base = {
        "task": {"type": "classification", "monitor": "val_accuracy", "metrics": {"accuracy": "MulticlassAccuracy"}},
        "data": {"name": "digits", "num_classes": 4},
        "loss": "CrossEntropyLoss",
        "optimizer": "SGD",
        "scheduler": None,
    }
    return {**base, **sections}


@pytest.mark.parametrize(
    ("sections", "texts"),
    [
        ({}, []),
        ({"scheduler": {"type": None}}, []),
        ({"scheduler": {"type": "OneCycleLR", "max_lr": 0.1, "interval": "step"}}, []),
        (
            {"scheduler": {"type": "StepLR", "step_size": 1, "interval": "day", "frequency": 0}},
            [
                "scheduler: interval must be epoch or step, not 'day'",
                "scheduler: frequency must be a whole number of at least 1, not 0",
            ],
        ),
        ({"scheduler": "ChainedScheduler"}, ["scheduler ChainedScheduler: needs a list 'schedulers'"]),
        (
            {
                "scheduler": {
                    "type": "ChainedScheduler",
                    "schedulers": ["ConstantLR", {"type": "LinearLR", "en_factor": 1}],
                }
            },
            ["scheduler.schedulers[1] LinearLR: unknown parameter 'en_factor'; did you mean 'end_factor'?"],
        ),
        (
            {"scheduler": {"type": "ConstantLR", "schedulers": []}},
            ["scheduler ConstantLR: unknown parameter 'schedulers'"],
        ),
        (
            {"scheduler": {"type": "OneCycleLR", "max_lr": 0.1, "pct_start": 2}},
            ["scheduler OneCycleLR: torch refuses it: Expected float between 0 and 1 pct_start, but got 2"],
        ),
        (
            {"loss": {"type": "CrossEntropyLoss", "weight": [1, -1, 1, 1]}},
            ["loss: weight must not hold negative numbers"],
        ),
        (
            {"optimizer": {"type": "SGD", "nesterov": True}},
            ["optimizer SGD: torch refuses it: Nesterov momentum requires a momentum and zero dampening"],
        ),
        ({"task": {"type": "none"}, "optimizer": "nonsense"}, []),
    ],
)
def test_a_config_is_checked_by_trying_it(sections: dict[str, Any], texts: list[str]) -> None:
    assert [p.message for p in check(_config(**sections), None)] == texts


def _two(**more: Any) -> dict[str, Any]:
    return {"type": "SequentialLR", "schedulers": ["ConstantLR", "LinearLR"], "milestones": [3], **more}


LATE = {
    "a loss for each sample": ("loss", {"type": "MSELoss", "reduce": False}, "reduce"),
    "a parameter that torch has given up": ("loss", {"type": "MSELoss", "size_average": False}, "size_average"),
    "a loss that torch refuses at once": ("loss", {"type": "MultiMarginLoss", "p": 3}, "p"),
    "a loss that torch refuses when called": ("loss", {"type": "HuberLoss", "delta": 0}, "delta"),
    "a weight for each of other classes": ("loss", {"type": "BCEWithLogitsLoss", "pos_weight": [1, 2]}, "pos_weight"),
    "too many milestones": ("scheduler", _two(milestones=[1, 2]), "milestones"),
    "no scheduler in a sequence": ("scheduler", _two(schedulers=[]), "schedulers"),
    "one that watches, inside": ("scheduler", _two(schedulers=["ConstantLR", "ReduceLROnPlateau"]), "schedulers"),
    "a negative rate": ("scheduler", {"type": "OneCycleLR", "max_lr": -1}, "max_lr"),
    "a momentum without which torch cannot": ("optimizer", {"type": "SGD", "nesterov": True}, "nesterov"),
    "a null for a type": ("optimizer", {"type": None}, "type"),
    "an interval inside": ("scheduler", _two(schedulers=[{"type": "ConstantLR", "interval": "step"}] * 2), None),
    "an epoch to go on from": ("scheduler", {"type": "StepLR", "step_size": 1, "last_epoch": 5}, None),
    "a metric that is not measured": ("scheduler", {"type": "ReduceLROnPlateau", "monitor": "val_acuracy"}, "monitor"),
    "a type that is misspelt": ("scheduler", {"typ": "ConstantLR"}, None),
}


@pytest.mark.parametrize(("group", "entry", "key"), LATE.values(), ids=LATE)
def test_what_would_fail_or_be_ignored_in_training_is_told_before(group: str, entry: Any, key: str | None) -> None:
    paths = [p.path for p in check(_config(**{group: entry}), None)]
    assert paths
    assert all(path[0] == group for path in paths)
    assert key is None or (group, key) in paths


def test_a_null_among_schedulers_is_left_out() -> None:
    entry = {"type": "ChainedScheduler", "schedulers": [None, "ConstantLR", None]}
    assert check(_config(scheduler=entry), None) == []
    optimizer, expected = _sgd(), _sgd()
    made = make_scheduler(entry, optimizer, 20, "val_loss")["scheduler"]
    assert _rates(optimizer, made) == _rates(expected, lrs.ConstantLR(expected))


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5, bias=False), nn.Tanh(), nn.Linear(5, 4, bias=False))


@pytest.mark.parametrize("name", OPTIMIZERS.entries)
def test_every_optimizer_takes_the_step_that_torch_takes(name: str) -> None:
    ours, theirs = _network(), _network()
    x, y = torch.randn(8, 3), torch.arange(8) % 4
    made = make_optimizer(name, ours.parameters())
    pairs = [(ours, made), (theirs, getattr(optim, name)(list(theirs.parameters())))]
    losses = []
    for model, optimizer in pairs:

        def closure(model: nn.Module = model, optimizer: optim.Optimizer = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            return loss

        losses.append([float(optimizer.step(closure).detach()) for _ in range(2)])
    assert type(made) is getattr(optim, name)
    assert losses[0] == losses[1]
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(ours.parameters(), _network().parameters(), strict=True))


def test_an_optimizer_gets_the_parameters_of_its_entry() -> None:
    entry = {"type": "adam_w", "lr": 0.5, "betas": [0.8, 0.9], "weight_decay": 0.25, "amsgrad": True}
    group = make_optimizer(entry, _network().parameters()).param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"], group["amsgrad"]) == (0.5, (0.8, 0.9), 0.25, True)


def _sgd() -> optim.Optimizer:
    return optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4, momentum=0.9)


Made = Callable[[optim.Optimizer], Any]
WARM = [
    {"type": "LinearLR", "start_factor": 0.1, "total_iters": 3},
    "ConstantLR",
    {"type": "ExponentialLR", "gamma": 0.5},
]
CYCLE = {"base_lr": 0.1, "max_lr": 0.8, "step_size_up": 3, "mode": "triangular2"}
SCHEDULES: dict[str, tuple[dict[str, Any], Made]] = {
    "CosineAnnealingLR": ({"T_max": 7, "eta_min": 0.01}, lambda o: lrs.CosineAnnealingLR(o, 7, 0.01)),
    "CosineAnnealingWarmRestarts": ({"T_0": 3, "T_mult": 2}, lambda o: lrs.CosineAnnealingWarmRestarts(o, 3, 2)),
    "CyclicLR": (CYCLE, lambda o: lrs.CyclicLR(o, 0.1, 0.8, step_size_up=3, mode="triangular2")),
    "ExponentialLR": ({"gamma": 0.7}, lambda o: lrs.ExponentialLR(o, 0.7)),
    "MultiStepLR": ({"milestones": [2, 5], "gamma": 0.5}, lambda o: lrs.MultiStepLR(o, [2, 5], 0.5)),
    "OneCycleLR": ({"max_lr": 0.9}, lambda o: lrs.OneCycleLR(o, 0.9, total_steps=20)),
    "StepLR": ({"step_size": 3, "gamma": 0.2}, lambda o: lrs.StepLR(o, 3, 0.2)),
    "SequentialLR": (
        {"milestones": [3, 6], "schedulers": WARM},
        lambda o: lrs.SequentialLR(
            o, [lrs.LinearLR(o, 0.1, total_iters=3), lrs.ConstantLR(o), lrs.ExponentialLR(o, 0.5)], [3, 6]
        ),
    ),
    "ChainedScheduler": (
        {"schedulers": [{"type": "ExponentialLR", "gamma": 0.9}, {"type": "StepLR", "step_size": 2}]},
        lambda o: lrs.ChainedScheduler([lrs.ExponentialLR(o, 0.9), lrs.StepLR(o, 2)], o),
    ),
}
MORE: dict[str, tuple[dict[str, Any], Made]] = {
    "OneCycleLR, told its epochs": (
        {"type": "OneCycleLR", "max_lr": 0.9, "epochs": 3, "steps_per_epoch": 4},
        lambda o: lrs.OneCycleLR(o, 0.9, epochs=3, steps_per_epoch=4),
    ),
    "OneCycleLR, told its steps": (
        {"type": "OneCycleLR", "max_lr": 0.9, "total_steps": 11, "anneal_strategy": "linear"},
        lambda o: lrs.OneCycleLR(o, 0.9, total_steps=11, anneal_strategy="linear"),
    ),
    "a sequence in a chain": (
        {"type": "ChainedScheduler", "schedulers": [_two(), {"type": "ExponentialLR", "gamma": 0.9}]},
        lambda o: lrs.ChainedScheduler(
            [lrs.SequentialLR(o, [lrs.ConstantLR(o), lrs.LinearLR(o)], [3]), lrs.ExponentialLR(o, 0.9)], o
        ),
    ),
    "ReduceLROnPlateau": (
        {"type": "ReduceLROnPlateau", "patience": 1, "factor": 0.5, "monitor": "val_loss"},
        lambda o: lrs.ReduceLROnPlateau(o, patience=1, factor=0.5),
    ),
}


def _rates(optimizer: optim.Optimizer, scheduler: Any) -> list[float]:
    rates = []
    for step in range(10):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        # A value that stops getting better, for the scheduler that watches one.
        watched = (max(0.0, 3.0 - step),) if isinstance(scheduler, lrs.ReduceLROnPlateau) else ()
        scheduler.step(*watched)
    return rates


ROWS = {name: ({"type": name, **params}, by_hand) for name, (params, by_hand) in SCHEDULES.items()} | MORE
# Every scheduler without a row of its own, with torch's defaults.
ROWS |= {name: ({"type": name}, getattr(lrs, name)) for name in SCHEDULERS.entries if name not in ROWS}


@pytest.mark.parametrize(("entry", "by_hand"), ROWS.values(), ids=ROWS)
def test_every_scheduler_gives_the_rates_that_torch_gives(entry: dict[str, Any], by_hand: Made) -> None:
    optimizer, expected = _sgd(), _sgd()
    assert [p.message for p in check(_config(scheduler=entry), None)] == []
    made = make_scheduler(entry, optimizer, 20, "val_accuracy")
    rates = _rates(optimizer, made["scheduler"])
    assert rates == _rates(expected, by_hand(expected))
    assert len(set(rates)) > 1


def test_lightning_is_told_when_and_by_what_a_scheduler_moves() -> None:
    full = {"type": "ReduceLROnPlateau", "interval": "step", "frequency": 3, "monitor": "train_loss"}
    told = [make_scheduler(e, _sgd(), 20, "val_accuracy") for e in (full, {"type": "ConstantLR"})]
    keys = ("interval", "frequency", "monitor")
    assert [tuple(t[k] for k in keys) for t in told] == [("step", 3, "train_loss"), ("epoch", 1, "val_accuracy")]


SCORES = torch.tensor([[0.1, 0.7, 0.2], [0.6, 0.3, 0.4], [0.05, 0.15, 0.8], [0.9, 0.5, 0.35]])
LABELS = torch.tensor([1, 0, 2, 2])
ONE_HOT = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
SIGNED = torch.tensor([[-1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [-1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]])
PADDED = torch.tensor([[1, -1, -1], [0, -1, -1], [2, -1, -1], [2, -1, -1]])
FORMS = [
    (LABELS, "CrossEntropyLoss MultiMarginLoss NLLLoss"),
    (SIGNED, "HingeEmbeddingLoss SoftMarginLoss"),
    (PADDED, "MultiLabelMarginLoss"),
    (ONE_HOT, "BCELoss BCEWithLogitsLoss HuberLoss KLDivLoss L1Loss MSELoss MultiLabelSoftMarginLoss PoissonNLLLoss"),
    (ONE_HOT, "SmoothL1Loss"),
]
TARGETS = {name: target for target, names in FORMS for name in names.split()}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss by both the batch size:UserWarning")
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", LOSSES.entries)
def test_every_loss_is_torchs_with_the_target_it_wants(name: str, reduction: str) -> None:
    expected = getattr(nn, name)(reduction=reduction)(SCORES, TARGETS[name])
    found = Loss({"type": name, "reduction": reduction}, 3)(SCORES, LABELS)
    assert torch.equal(found, expected)
    assert found.shape == ()
    assert math.isfinite(found)


def test_a_loss_gets_the_parameters_of_its_entry() -> None:
    entry = {"type": "CrossEntropyLoss", "weight": [1.0, 2.0, 0.5], "label_smoothing": 0.1}
    expected = nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 0.5]), label_smoothing=0.1)(SCORES, LABELS)
    assert torch.equal(Loss(entry, 3)(SCORES, LABELS), expected)
    assert torch.equal(Loss("mse_loss", 3)(SCORES.double(), LABELS), nn.MSELoss()(SCORES.double(), ONE_HOT.double()))


def test_accuracy_is_a_count() -> None:
    entries = {
        "accuracy": {"type": "MulticlassAccuracy", "average": "micro"},
        "by_class": "MulticlassAccuracy",
        "top2": {"type": "multiclass_accuracy", "average": "micro", "top_k": 2},
    }
    assert metrics.check(entries, 3) == []
    made = metrics.make(entries, 3)
    for half in (slice(0, 2), slice(2, 4)):
        for metric in made.values():
            metric.update(SCORES[half], LABELS[half])
    right = [
        int(scores.index(max(scores)) == label) for scores, label in zip(SCORES.tolist(), LABELS.tolist(), strict=True)
    ]
    assert right == [1, 1, 1, 0]
    # One of each of the classes 0 and 1, and one of the two of class 2; no second guess helps the last sample.
    expected = {"accuracy": 0.75, "by_class": (1 + 1 + 0.5) / 3, "top2": 0.75}
    assert {name: float(metric.compute()) for name, metric in made.items()} == pytest.approx(expected)


TABLE = "gives a table, and a metric here must be one number"


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("MulticlassConfusionMatrix", f"MulticlassConfusionMatrix: {TABLE}"),
        ("MulticlassStatScores", f"MulticlassStatScores: {TABLE}"),
        ("MulticlassROC", f"MulticlassROC: {TABLE}"),
        ({"type": "MulticlassAccuracy", "average": "none"}, f"MulticlassAccuracy: {TABLE}"),
        ({"type": "MulticlassF1Score", "average": None}, f"MulticlassF1Score: {TABLE}"),
        (
            {"type": "MulticlassAccuracy", "top": 2},
            "MulticlassAccuracy: unknown parameter 'top'; did you mean 'top_k'?",
        ),
    ],
)
def test_a_metric_that_is_no_number_is_refused(entry: Any, text: str) -> None:
    problems = metrics.check({"mine": entry}, 3)
    assert [p.message for p in problems] == [f"task.metrics.mine {text}"]
    assert problems[0].path[:3] == ("task", "metrics", "mine")


def test_an_unknown_metric_is_refused() -> None:
    text = "error: task.metrics.mine: unknown metric 'MulticlassAcuracy'; did you mean 'MulticlassAccuracy'?"
    assert [str(p) for p in metrics.check({"mine": "MulticlassAcuracy"}, 3)] == [text]
