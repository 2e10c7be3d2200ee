"""How configurations are called in tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnexp.records import Run
from cnnexp.report.ranking import Ranking, Row

_MISSING = "(as it was)"


def short_names(columns: Sequence[str]) -> dict[str, str]:
    """The last part of every key where that is clear, else the whole key."""
    last = {column: column.rpartition(".")[2] for column in columns}
    told = list(last.values())
    return {c: name if told.count(name) == 1 and not name.isdigit() else c for c, name in last.items()}


def value(text: str) -> str:
    """A changed value; a word for one that was left as it is."""
    return text or _MISSING


def choice(name: str) -> str:
    """The last part of a factor's key, or of each of the keys that it stands for."""
    return " + ".join(part.rpartition(".")[2] or part for part in name.split(" + "))


def row_labels(ranking: Ranking) -> list[str]:
    """What tells each row from the others: `activation=relu padding_mode=zeros`, or the name of its run."""
    names = short_names(ranking.columns)
    together = in_one_folder(ranking)
    told = [" ".join(f"{names[c]}={value(row.changed[c])}" for c in ranking.columns) for row in ranking.rows]
    return [
        text if text and told.count(text) == 1 else " ".join(filter(None, (text, runs_name(row, together))))
        for text, row in zip(told, ranking.rows, strict=True)
    ]


def in_one_folder(ranking: Ranking) -> bool:
    """Whether all runs of a ranking lie in the same folder, so that no two have the same name or number."""
    return len({run.path.parent for row in ranking.rows for run in row.runs}) == 1


def run_name(run: Run, together: bool) -> str:
    """The folder of a run, after that of its sweep where not all runs lie together."""
    return run.path.name if together else f"{run.path.parent.name}/{run.path.name}"


def runs_name(row: Row, together: bool) -> str:
    """The runs of a row: their numbers where all lie together in a sweep, else the name of the first."""
    places = [run.fields.get("sweep") for run in row.runs]
    numbers = [str(place["number"]) for place in places if isinstance(place, Mapping) and "number" in place]
    if len(numbers) == len(row.runs) and together:
        return ", ".join(numbers)
    more = f" and {len(row.runs) - 1} more" if len(row.runs) > 1 else ""
    return run_name(row.runs[0], together) + more
