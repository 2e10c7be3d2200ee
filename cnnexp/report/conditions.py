"""Under what conditions runs were made: code, versions, data, device, epochs; and how two rows differ in them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cnnexp.records import Run
from cnnexp.report.ranking import Row, as_number

_SLIGHT = 0.01  # a hundredth more parameters decides nothing


@dataclass(frozen=True)
class Conditions:
    """What runs were made with, each as the texts that occur; nothing where it is not known.

    Arguments:
        code: commits of the working directory, such as `commit 1a2b3c4 with changes`.
        versions: by library, its versions.
        data: the beginnings of the fingerprints of the data.
        device: the devices.
        epochs: the least and the most epochs that were trained.
        parameters: how many the network has.
    """

    code: frozenset[str]
    versions: Mapping[str, frozenset[str]]
    data: frozenset[str]
    device: frozenset[str]
    epochs: tuple[int, int] | None
    parameters: int | None


def conditions(row: Row, runs: Iterable[Run]) -> Conditions:
    """The conditions of a row.

    Arguments:
        row: the row.
        runs: those of its runs that count.
    """
    versions: dict[str, set[str]] = {}
    chosen = list(runs)
    for run in chosen:
        for name, version in versions_of(run).items():
            versions.setdefault(name, set()).add(version)
    epochs = [count for run in chosen if (count := _epochs(run)) is not None]
    return Conditions(
        code=_known(map(code_of, chosen)),
        versions={name: frozenset(found) for name, found in versions.items()},
        data=_known(map(data_of, chosen)),
        device=_known(map(device_of, chosen)),
        epochs=(min(epochs), max(epochs)) if epochs else None,
        parameters=row.parameters,
    )


def differences(a: Conditions, b: Conditions) -> tuple[str, ...]:
    """What besides the changed values differs between two rows, each as a sentence; `a` is named first."""
    found = []
    if _differ(a.code, b.code):
        found.append(f"They ran other code: {_texts(a.code)} against {_texts(b.code)}.")
    for name in sorted(a.versions.keys() & b.versions.keys()):
        if _differ(a.versions[name], b.versions[name]):
            found.append(f"They ran another {name}: {_texts(a.versions[name])} against {_texts(b.versions[name])}.")
    if _differ(a.data, b.data):
        found.append("They saw other data.")
    if _differ(a.device, b.device):
        found.append(f"They ran on another device: {_texts(a.device)} against {_texts(b.device)}.")
    if a.epochs and b.epochs and (a.epochs[0] > b.epochs[1] or b.epochs[0] > a.epochs[1]):
        found.append(f"They were trained for {_span(a.epochs)} epochs against {_span(b.epochs)}.")
    if a.parameters and b.parameters:
        found.extend(_more_parameters(a.parameters, b.parameters))
    return tuple(found)


def code_of(run: Run) -> str | None:
    """The commit that a run was started in."""
    told = run.fields.get("git")
    if not isinstance(told, Mapping) or not isinstance(told.get("commit"), str):
        return None
    return f"commit {told['commit'][:7]}" + (" with changes" if told.get("dirty") else "")


def versions_of(run: Run) -> dict[str, str]:
    """The versions that a run recorded, by library."""
    told = run.fields.get("versions")
    return {str(k): str(v) for k, v in told.items()} if isinstance(told, Mapping) else {}


def data_of(run: Run) -> str | None:
    """The beginning of the fingerprint of the data that a run saw."""
    told = run.fields.get("data_fingerprint")
    return told[:8] if isinstance(told, str) else None


def device_of(run: Run) -> str | None:
    """The device that a run was trained on."""
    told = run.fields.get("device")
    return told if isinstance(told, str) else None


def _epochs(run: Run) -> int | None:
    """How many epochs were trained, by the last line of its metrics; they count from 0."""
    try:
        with (run.path / "metrics.csv").open(encoding="utf-8", newline="") as file:
            found = [number for row in csv.DictReader(file) if (number := as_number(row.get("epoch"))) is not None]
    except (OSError, ValueError, csv.Error):
        return None
    return int(max(found)) + 1 if found else None


def _more_parameters(a: int, b: int) -> list[str]:
    less, more = sorted((a, b))
    if more < less * (1 + _SLIGHT):
        return []
    times = (
        f"{more / less:.1f} times the parameters"
        if more >= 1.1 * less
        else f"{100 * (more / less - 1):.0f} % more parameters"
    )
    return [f"The {'better' if a > b else 'worse'} one has {times}: {more:,} against {less:,}."]


def _known(texts: Iterable[str | None]) -> frozenset[str]:
    return frozenset(text for text in texts if text is not None)


def _differ(a: frozenset[str], b: frozenset[str]) -> bool:
    return bool(a and b and a != b)


def _texts(found: frozenset[str]) -> str:
    return ", ".join(sorted(found))


def _span(epochs: tuple[int, int]) -> str:
    return str(epochs[0]) if epochs[0] == epochs[1] else f"{epochs[0]} to {epochs[1]}"
