"""Optimizers, schedulers, losses and metrics from a config do what torch and torchmetrics do when called by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler

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
        (SCHEDULERS, _classes_of(lr_scheduler, lr_scheduler.LRScheduler) - {"LRScheduler"}),
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


REFUSED = [
    (
        OPTIMIZERS,
        "SparseAdam",
        "SparseAdam cannot be used here: it takes sparse gradients only, which no layer of a stack gives",
    ),
    (
        SCHEDULERS,
        "LambdaLR",
        "LambdaLR cannot be used here: its parameter 'lr_lambda' is a function, which YAML cannot hold",
    ),
    (
        SCHEDULERS,
        "multiplicative_lr",
        "MultiplicativeLR cannot be used here: its parameter 'lr_lambda' is a function, which YAML cannot hold",
    ),
    (
        LOSSES,
        "ctc_loss",
        "CTCLoss cannot be used here: it takes 4 inputs (log_probs, targets, input_lengths, target_lengths), "
        "not an output and a target",
    ),
    (
        LOSSES,
        "LinearCrossEntropyLoss",
        "LinearCrossEntropyLoss cannot be used here: it has a linear layer of its own; "
        "end the network in Linear and use CrossEntropyLoss",
    ),
    *(
        (LOSSES, name, f"{name} cannot be used here: it takes 3 inputs ({inputs}), not an output and a target")
        for name, inputs in {
            "CosineEmbeddingLoss": "input1, input2, target",
            "GaussianNLLLoss": "input, target, var",
            "MarginRankingLoss": "input1, input2, target",
            "TripletMarginLoss": "anchor, positive, negative",
            "TripletMarginWithDistanceLoss": "anchor, positive, negative",
        }.items()
    ),
]


@pytest.mark.parametrize(("catalog", "name", "text"), REFUSED, ids=[row[1] for row in REFUSED])
def test_a_refused_class_says_why(catalog: Catalog, name: str, text: str) -> None:
    assert _texts(catalog, name) == _texts(catalog, {"type": name}) == [f"{catalog.noun}: {text}"]


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
            [_did := "optimizer SGD: unknown parameter 'momentun'; did you mean 'momentum'?"],
        ),
        (OPTIMIZERS, {"lr": 1}, ["optimizer: 'type' is missing"]),
        (OPTIMIZERS, 3, ["optimizer must be a optimizer or a mapping with 'type', not 3"]),
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
        "task": {"type": "classification"},
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
            {"scheduler": {"type": "CyclicLR", "base_lr": 0.1, "max_lr": 0.2, "mode": "round"}},
            ["scheduler CyclicLR: torch refuses it: mode is invalid and scale_fn is None"],
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


@pytest.mark.parametrize("old", [{"reduce": False}, {"size_average": False}])
def test_parameters_that_torch_has_given_up_are_refused(old: dict[str, Any]) -> None:
    """`reduce: false` gives one loss for each sample, which nothing can train on; both only warn in torch."""
    problems = check(_config(loss={"type": "MSELoss", **old}), None)
    assert [p.path for p in problems] == [("loss", next(iter(old)))]


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

        losses.append([float(optimizer.step(closure)) for _ in range(2)])
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
SCHEDULES: dict[str, tuple[dict[str, Any], Made]] = {
    "CosineAnnealingLR": (
        {"T_max": 7, "eta_min": 0.01},
        lambda o: lr_scheduler.CosineAnnealingLR(o, 7, 0.01),
    ),
    "CosineAnnealingWarmRestarts": (
        {"T_0": 3, "T_mult": 2},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    ),
    "CyclicLR": (
        {"base_lr": 0.1, "max_lr": 0.8, "step_size_up": 3, "mode": "triangular2"},
        lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.8, step_size_up=3, mode="triangular2"),
    ),
    "ExponentialLR": ({"gamma": 0.7}, lambda o: lr_scheduler.ExponentialLR(o, 0.7)),
    "MultiStepLR": (
        {"milestones": [2, 5], "gamma": 0.5},
        lambda o: lr_scheduler.MultiStepLR(o, [2, 5], 0.5),
    ),
    "OneCycleLR": ({"max_lr": 0.9}, lambda o: lr_scheduler.OneCycleLR(o, 0.9, total_steps=20)),
    "StepLR": ({"step_size": 3, "gamma": 0.2}, lambda o: lr_scheduler.StepLR(o, 3, 0.2)),
    "SequentialLR": (
        {
            "milestones": [3, 6],
            "schedulers": [
                {"type": "LinearLR", "start_factor": 0.1, "total_iters": 3},
                "ConstantLR",
                {"type": "ExponentialLR", "gamma": 0.5},
            ],
        },
        lambda o: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.LinearLR(o, 0.1, total_iters=3),
                lr_scheduler.ConstantLR(o),
                lr_scheduler.ExponentialLR(o, 0.5),
            ],
            [3, 6],
        ),
    ),
    "ChainedScheduler": (
        {"schedulers": [{"type": "ExponentialLR", "gamma": 0.9}, {"type": "StepLR", "step_size": 2}]},
        lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.StepLR(o, 2)], o),
    ),
}
MORE = {
    "OneCycleLR, told how long": (
        {"type": "OneCycleLR", "max_lr": 0.9, "epochs": 3, "steps_per_epoch": 4},
        lambda o: lr_scheduler.OneCycleLR(o, 0.9, epochs=3, steps_per_epoch=4),
    ),
    "OneCycleLR, told its steps": (
        {"type": "OneCycleLR", "max_lr": 0.9, "total_steps": 11, "anneal_strategy": "linear"},
        lambda o: lr_scheduler.OneCycleLR(o, 0.9, total_steps=11, anneal_strategy="linear"),
    ),
    "one chain in another": (
        {
            "type": "SequentialLR",
            "milestones": [4],
            "schedulers": [
                {"type": "ChainedScheduler", "schedulers": ["LinearLR", {"type": "ExponentialLR", "gamma": 0.8}]},
                {"type": "CosineAnnealingLR", "T_max": 5},
            ],
        },
        lambda o: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.ChainedScheduler([lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.8)], o),
                lr_scheduler.CosineAnnealingLR(o, 5),
            ],
            [4],
        ),
    ),
}


def _rates(optimizer: optim.Optimizer, scheduler: Any) -> list[float]:
    rates = []
    for step in range(10):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        # A value that stops getting better, for the scheduler that watches one.
        watched = (max(0.0, 3.0 - step),) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else ()
        scheduler.step(*watched)
    return rates


def _rows() -> dict[str, tuple[dict[str, Any], Made]]:
    """The rows above, and one for every scheduler that has none: its defaults."""
    rows = {name: ({"type": name, **params}, by_hand) for name, (params, by_hand) in SCHEDULES.items()}
    plain = [n for n in SCHEDULERS.entries if n not in SCHEDULES and n != "ReduceLROnPlateau"]
    plateau = {"type": "ReduceLROnPlateau", "patience": 1, "factor": 0.5, "monitor": "val_loss"}
    rows |= {name: ({"type": name}, getattr(lr_scheduler, name)) for name in plain}
    return {
        **rows,
        **MORE,
        "ReduceLROnPlateau": (plateau, lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1, factor=0.5)),
    }


ROWS = _rows()


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
TARGETS = {
    "BCELoss": ONE_HOT,
    "BCEWithLogitsLoss": ONE_HOT,
    "CrossEntropyLoss": LABELS,
    "HingeEmbeddingLoss": SIGNED,
    "HuberLoss": ONE_HOT,
    "KLDivLoss": ONE_HOT,
    "L1Loss": ONE_HOT,
    "MSELoss": ONE_HOT,
    "MultiLabelMarginLoss": PADDED,
    "MultiLabelSoftMarginLoss": ONE_HOT,
    "MultiMarginLoss": LABELS,
    "NLLLoss": LABELS,
    "PoissonNLLLoss": ONE_HOT,
    "SmoothL1Loss": ONE_HOT,
    "SoftMarginLoss": SIGNED,
}


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
    moved = Loss(entry, 3).double()
    assert torch.equal(
        moved(SCORES.double(), LABELS),
        nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 0.5]).double(), label_smoothing=0.1)(SCORES.double(), LABELS),
    )


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


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("MulticlassConfusionMatrix", "MulticlassConfusionMatrix: gives a table, and a metric here must be one number"),
        ("MulticlassStatScores", "MulticlassStatScores: gives a table, and a metric here must be one number"),
        ("MulticlassROC", "MulticlassROC: gives a table, and a metric here must be one number"),
        (
            {"type": "MulticlassAccuracy", "average": "none"},
            "MulticlassAccuracy: gives a table, and a metric here must be one number",
        ),
        (
            {"type": "MulticlassF1Score", "average": None},
            "MulticlassF1Score: gives a table, and a metric here must be one number",
        ),
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
    problems = metrics.check({"mine": "MulticlassAcuracy"}, 3)
    assert [str(p) for p in problems] == [
        "error: task.metrics.mine: unknown metric 'MulticlassAcuracy'; did you mean 'MulticlassAccuracy'?"
    ]
