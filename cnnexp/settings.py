"""The keys of a config that are not components, with their types and ranges; checked without torch or Lightning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from cnnexp import kinds
from cnnexp.components import EMPTY, Parameter
from cnnexp.data.look import check as data_check
from cnnexp.errors import Path, Problem, did_you_mean
from cnnexp.kinds import Rule

_ANY = Rule()
_COUNT = Rule(least=1)
_NOT_NEGATIVE = Rule(least=0)
_SHARE_OR_COUNT = Rule(least=0, share=True)
_Mapping = Mapping[str, Any]
_Precision = Literal[
    "transformer-engine",
    "transformer-engine-float16",
    "16-true",
    "16-mixed",
    "bf16-true",
    "bf16-mixed",
    "32-true",
    "64-true",
    "64",
    "32",
    "16",
    "bf16",
    64,
    32,
    16,
]

Table = Mapping[str, tuple[Any, Rule]]

RUN: Table = {
    "seed": (int, Rule(least=0, most=2**32 - 1)),
    "memory_format": (Literal["auto", "contiguous_format", "channels_last"], _ANY),
    "compile": (bool, _ANY),
    "check_finite_every_n_steps": (Literal["auto"] | int, _COUNT),
    "checkpoint": (str | None, _ANY),
    "outputs": (str, _ANY),
    "extensions": (list[str], _ANY),
}
GROUPS = ("data", "task", "model", "loss", "optimizer", "scheduler", "trainer", "logger")

SWEEP: Table = {
    "name": (str | None, _ANY),
    "grid": (_Mapping, _ANY),
    "zip": (list[list[str]] | list[str], _ANY),
    "exclude": (list[_Mapping], _ANY),
    "seeds": (int | list[int] | None, Rule(least=0)),
    "skip_invalid": (bool, _ANY),
    "max_jobs": (int, _COUNT),
    "slots": (Literal["auto"] | int, _COUNT),
    "jobs_per_gpu": (int, _COUNT),
    "threads": (Literal["auto"] | int, _COUNT),
    "time_limit": (str | int | float | None, Rule(above=0)),
    "memory_limit": (str | int | None, _COUNT),
    "retries": (int, _NOT_NEGATIVE),
    "start_method": (str, Rule(choices=("auto", "forkserver", "spawn"))),
}
"""What the group `sweep` may hold; it says how runs are made and is no part of a run."""

VIEWS: Table = {
    "enabled": (bool, _ANY),
    "every_n_epochs": (Literal["auto"] | int, _COUNT),
    "samples": (int, _COUNT),
    "channels": (int, _COUNT),
}

SHOW: Table = {
    "batches": (int, _COUNT),
    "samples": (int, _COUNT),
    "channels": (int | None, _COUNT),
    "split": (Literal["train", "val", "test"], _ANY),
}
"""What the group `show` may hold; it is for the command of that name and is no part of a run."""

TRAINER: Table = {
    "accelerator": (str, Rule(choices=("auto", "cpu", "gpu", "cuda", "mps", "tpu"))),
    "strategy": (str, _ANY),
    "devices": (list[int] | str | int, Rule(least=-1)),
    "num_nodes": (int, _COUNT),
    "precision": (_Precision | None, _ANY),
    "logger": (bool | None, _ANY),
    "callbacks": (list | None, _ANY),
    "fast_dev_run": (bool | int, _NOT_NEGATIVE),
    "max_epochs": (int | None, Rule(least=-1)),
    "min_epochs": (int | None, _NOT_NEGATIVE),
    "max_steps": (int, Rule(least=-1)),
    "min_steps": (int | None, _NOT_NEGATIVE),
    "max_time": (str | _Mapping | None, _ANY),
    "limit_train_batches": (int | float | None, _SHARE_OR_COUNT),
    "limit_val_batches": (int | float | None, _SHARE_OR_COUNT),
    "limit_test_batches": (int | float | None, _SHARE_OR_COUNT),
    "limit_predict_batches": (int | float | None, _SHARE_OR_COUNT),
    "overfit_batches": (int | float, _SHARE_OR_COUNT),
    "val_check_interval": (int | float | str | _Mapping | None, Rule(above=0, share=True)),
    "check_val_every_n_epoch": (int | None, _COUNT),
    "num_sanity_val_steps": (int | None, Rule(least=-1)),
    "log_every_n_steps": (int | None, _NOT_NEGATIVE),
    "enable_checkpointing": (bool | None, _ANY),
    "enable_progress_bar": (bool | None, _ANY),
    "enable_model_summary": (bool | None, _ANY),
    "accumulate_grad_batches": (int, _COUNT),
    "gradient_clip_val": (int | float | None, _NOT_NEGATIVE),
    "gradient_clip_algorithm": (Literal["norm", "value"] | None, _ANY),
    "deterministic": (bool | Literal["warn"] | None, _ANY),
    "benchmark": (bool | None, _ANY),
    "inference_mode": (bool, _ANY),
    "use_distributed_sampler": (bool, _ANY),
    "profiler": (Literal["simple", "advanced", "pytorch"] | None, _ANY),
    "detect_anomaly": (bool, _ANY),
    "barebones": (bool, _ANY),
    "plugins": (None, _ANY),
    "sync_batchnorm": (bool, _ANY),
    "reload_dataloaders_every_n_epochs": (int, _NOT_NEGATIVE),
    "default_root_dir": (str | None, _ANY),
    "enable_autolog_hparams": (bool, _ANY),
    "model_registry": (str | None, _ANY),
}

_DATA: Table = {
    "name": (str, _ANY),
    "shape": (list[int], _COUNT),
    "num_classes": (int, _COUNT),
    "class_names": (list[str] | None, _ANY),
    "mean": (float | list[float] | None, _ANY),
    "std": (float | list[float] | None, Rule(above=0)),
    "validation": (float, Rule(least=0, most=0.9)),
    "batch_size": (int, _COUNT),
    "shuffle": (bool, _ANY),
    "drop_last": (bool, _ANY),
}
_DOWNLOADED: Table = {"root": (str, _ANY), "download": (bool, _ANY)}
DATA: Mapping[str, Table] = {
    "digits": _DATA,
    "synthetic": {**_DATA, "samples": (int, Rule(least=4)), "noise": (float, Rule(least=0, most=1))},
    "arrays": {**_DATA, "path": (str, _ANY)},
    **{name: {**_DATA, **_DOWNLOADED} for name in ("cifar10", "cifar100", "mnist", "fashion_mnist", "svhn")},
}

TASKS: Mapping[str, Table] = {
    "classification": {
        "type": (str, _ANY),
        "monitor": (str, _ANY),
        "mode": (Literal["min", "max"], _ANY),
        "metrics": (_Mapping, _ANY),
    },
    "none": {"type": (str, _ANY)},
}
LOGGERS: Mapping[str, Table] = {"tensorboard": {"type": (str, _ANY)}, "none": {"type": (str, _ANY)}}


VIEWS_DEFAULT: Mapping[str, Any] = {"enabled": True, "every_n_epochs": "auto", "samples": 8, "channels": 16}
SHOW_DEFAULT: Mapping[str, Any] = {"batches": 1, "samples": 8, "channels": None, "split": "test"}
_NOT_OF_A_RUN = ("sweep", "show")
_OPTIONAL = ("views", *_NOT_OF_A_RUN)

_DEFAULTS: Mapping[str, Any] = {
    "class_names": None,
    "mean": None,
    "std": None,
    "validation": 0.1,
    "batch_size": 32,
    "shuffle": True,
    "drop_last": False,
}


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with the settings that a file of one's own need not repeat."""
    data = config.get("data")
    views = config.get("views", {})
    filled = {"extensions": [], **config, "views": {**VIEWS_DEFAULT, **views} if isinstance(views, Mapping) else views}
    return {**filled, "data": {**_DEFAULTS, **data}} if isinstance(data, Mapping) else filled


def of_run(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without what it says of sweeps and of `show`, which is no part of a run."""
    return {key: value for key, value in config.items() if key not in _NOT_OF_A_RUN}


def check(config: Mapping[str, Any]) -> list[Problem]:
    """Every problem of a plain config's settings: unknown and missing keys, wrong types and ranges."""
    groups = (*GROUPS, *_OPTIONAL)
    problems = [
        *_table({k: v for k, v in config.items() if k not in groups}, RUN, (), others=groups),
        *(Problem("missing-key", (group,), f"the config has no '{group}'") for group in GROUPS if group not in config),
        *_section(config, "trainer", TRAINER),
        *_section(config, "sweep", SWEEP),
        *_section(config, "views", VIEWS),
        *_section(config, "show", SHOW),
        *_choice(config, "data", "name", DATA),
        *_choice(config, "task", "type", TASKS),
        *_choice(config, "logger", "type", LOGGERS),
    ]
    wrong = {p.path for p in problems}
    data, trainer, task = (_sound(config, group, wrong) for group in ("data", "trainer", "task"))
    return [
        *problems,
        *_sizes(data),
        *_monitor(data, task),
        *(() if any(("trainer", key) in wrong for key in _ENDS) else _end(trainer)),
        *data_check(data),
    ]


def check_sweep(section: Any) -> list[Problem]:
    """Every problem of the group `sweep`."""
    return list(_section({"sweep": section}, "sweep", SWEEP))


def _choice(config: Mapping[str, Any], group: str, selector: str, tables: Mapping[str, Table]) -> Iterator[Problem]:
    section = config.get(group)
    if not isinstance(section, Mapping):
        yield from _section(config, group, {})
        return
    name = section.get(selector)
    if isinstance(name, str) and name in tables:
        yield from _table(section, tables[name], (group,))
        return
    text = f"unknown {group} '{name}'{did_you_mean(str(name), tables)}"
    if name is None:
        text = f"{group}.{selector} is missing"
    elif not isinstance(name, str):
        text = f"{group}.{selector} must be a text, not {kinds.shown(name)}"
    yield Problem("unknown-name", (group, selector), text, f"the known ones are {', '.join(tables)}")


def _section(config: Mapping[str, Any], group: str, table: Table) -> Iterator[Problem]:
    if group not in config:
        return
    section = config[group]
    if not isinstance(section, Mapping):
        yield Problem("not-a-mapping", (group,), f"'{group}' must be a mapping, not {kinds.shown(section)}")
        return
    yield from _table(section, table, (group,))


def _table(values: Mapping[str, Any], table: Table, path: Path, others: tuple[str, ...] = ()) -> Iterator[Problem]:
    prefix = f"{path[0]}." if path else ""
    for key, value in values.items():
        if key not in table:
            place = f" in {path[0]}" if path else ""
            text = f"there is no key '{key}'{place}{did_you_mean(str(key), [*table, *others])}"
            yield Problem("unknown-key", (*path, key), text)
            continue
        annotation, rule = table[key]
        complaint = Parameter(str(key), annotation, EMPTY, rule).complaint(value)
        if complaint:
            yield Problem("bad-value", (*path, key), f"{prefix}{key} {complaint}", kinds.cure(value, annotation))
    if table in (TRAINER, SWEEP, VIEWS, SHOW):  # a default of Lightning or of ours holds
        return
    for key in table:
        if key not in values:
            yield Problem("missing-key", (*path, key), f"{prefix}{key} is missing")


def _sound(config: Mapping[str, Any], group: str, wrong: set[Path]) -> dict[str, Any]:
    """The values of a group that are right in themselves, so that no value is told twice."""
    section = config.get(group)
    return {k: v for k, v in section.items() if (group, k) not in wrong} if isinstance(section, Mapping) else {}


def _sizes(data: Mapping[str, Any]) -> Iterator[Problem]:
    shape, classes, names = data.get("shape"), data.get("num_classes"), data.get("class_names")
    if isinstance(names, list) and isinstance(classes, int) and len(names) != classes:
        text = f"data.class_names has {len(names)} names for {classes} classes"
        yield Problem("wrong-size", ("data", "class_names"), text)
    for key in ("mean", "std"):
        value = data.get(key)
        if isinstance(value, list) and isinstance(shape, list) and shape and len(value) not in (1, shape[0]):
            text = f"data.{key} has {len(value)} values for {shape[0]} channels"
            yield Problem("wrong-size", ("data", key), text, "give one number, or one for each channel")


def _monitor(data: Mapping[str, Any], task: Mapping[str, Any]) -> Iterator[Problem]:
    monitor, metrics = task.get("monitor"), task.get("metrics")
    if data.get("validation") == 0 and str(monitor).startswith("val_"):
        text = f"task.monitor is {monitor}, but there is no validation set: data.validation is 0"
        yield Problem("no-validation", ("task", "monitor"), text, "set task.monitor=train_loss task.mode=min")
    if monitor is None or not isinstance(metrics, Mapping):
        return
    names = [f"{s}_{m}" for s in ("val", "train") for m in ("loss", *metrics)]
    if monitor not in names:
        text = f"task.monitor '{monitor}' is not measured{did_you_mean(str(monitor), names)}"
        yield Problem("unknown-metric", ("task", "monitor"), text, f"measured are {', '.join(names)}")


_ENDS = ("max_epochs", "max_steps", "max_time")


def _end(trainer: Mapping[str, Any]) -> Iterator[Problem]:
    if trainer.get("max_epochs") in (None, -1) and trainer.get("max_steps") == -1 and not trainer.get("max_time"):
        text = "the training has no end: trainer.max_epochs, max_steps and max_time are all open"
        yield Problem("no-end", ("trainer", "max_epochs"), text, "set one of them")
