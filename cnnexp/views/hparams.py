"""What was chosen for a run and what came of it, as TensorBoard's HPARAMS tab compares it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_TELLING = (
    ("optimizer.lr", ("optimizer", "lr")),
    ("data.batch_size", ("data", "batch_size")),
    ("trainer.max_epochs", ("trainer", "max_epochs")),
    ("seed", ("seed",)),
)

_SUFFIX = ".hparams"

Value = float | str


def chosen(fields: Mapping[str, Any], config: Mapping[str, Any], folder: Path) -> dict[str, Value]:
    """What tells a run from others: what its sweep changed, else its choices and a few telling numbers.

    A key of a sweep is a number in all jobs or a text in all jobs, since TensorBoard compares no others.

    Arguments:
        fields: what the run's run.json holds.
        config: the run's config.
        folder: the run's folder; where it is a job of a sweep, the sweep's own files lie in the one above.
    """
    changed = fields.get("changed")
    if isinstance(changed, Mapping) and changed:
        others = _changed_in(folder.parent / "jobs.json")
        return {
            str(key): _value(text, [text, *(other[key] for other in others if key in other)])
            for key, text in changed.items()
        }
    found: dict[str, Value] = {str(k): str(v) for k, v in (fields.get("choices") or {}).items()}
    for name, path in _TELLING:
        value: Any = config
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[name] = float(value)
    return found


def _changed_in(file: Path) -> list[Mapping[str, Any]]:
    """What the jobs of a sweep changed; nothing where the file is not there or is none of a sweep."""
    try:
        jobs = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found = [job.get("changed") for job in jobs if isinstance(job, Mapping)] if isinstance(jobs, list) else []
    return [one for one in found if isinstance(one, Mapping)]


def _value(text: Any, every: Iterable[Any]) -> Value:
    numbers = all(_number(other) is not None for other in every)
    number = _number(text) if numbers else None
    return str(text) if number is None else number


def _number(text: Any) -> float | None:
    try:
        number = float(str(text))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def write(folder: Path, values: Mapping[str, Value], metrics: Mapping[str, float], completed: bool) -> None:
    """Write one session of TensorBoard's HPARAMS tab into a run's folder of events, in place of an earlier attempt's.

    The tab reads the values of the metrics from the curves of the same names. A run that did not complete says so and
    names no metrics, so that it cannot hide those of the others: TensorBoard takes the names from one run for all.

    Arguments:
        folder: the folder of the run's events.
        values: the choices by name.
        metrics: the final metrics by name.
        completed: whether the run reached its end.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams.api_pb2 import Status
    from tensorboard.plugins.hparams.metadata import PLUGIN_DATA_VERSION, PLUGIN_NAME, SESSION_END_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
    from torch.utils.tensorboard import FileWriter
    from torch.utils.tensorboard.summary import hparams

    experiment, start, end = hparams(dict(values), dict(metrics))  # type: ignore[no-untyped-call]
    if not completed:
        info = SessionEndInfo(status=Status.Value("STATUS_FAILURE"))
        content = HParamsPluginData(session_end_info=info, version=PLUGIN_DATA_VERSION).SerializeToString()
        plugin = SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=content)
        end = Summary(value=[Summary.Value(tag=SESSION_END_INFO_TAG, metadata=SummaryMetadata(plugin_data=plugin))])
    for old in folder.glob(f"*{_SUFFIX}"):  # TensorBoard would believe the first one
        old.unlink()
    writer = FileWriter(str(folder), filename_suffix=_SUFFIX)
    try:
        for summary in (*([experiment] if completed else []), start, end):
            writer.add_summary(summary)
    finally:
        writer.close()
