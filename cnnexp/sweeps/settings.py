"""What the group `sweep` says, read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from cnnexp.errors import Problem

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@dataclass(frozen=True)
class Settings:
    """How a sweep is made and run; conf/sweep/default.yaml says what each one means.

    Arguments:
        seconds: the time limit of a job, None without one.
        memory: the memory limit of a job in bytes, None without one.
    """

    name: str | None = None
    grid: Mapping[str, Any] = field(default_factory=dict)
    zip: tuple[tuple[str, ...], ...] = ()
    exclude: tuple[Mapping[str, Any], ...] = ()
    seeds: int | tuple[int, ...] | None = None
    skip_invalid: bool = False
    max_jobs: int = 1000
    slots: int | None = None
    jobs_per_gpu: int = 1
    threads: int | None = None
    seconds: float | None = None
    memory: int | None = None
    retries: int = 1
    start_method: str = "auto"


def read(section: Mapping[str, Any]) -> tuple[Settings, list[Problem]]:
    """The settings of a section whose types are right, and what is wrong with its texts."""
    problems: list[Problem] = []
    known = {f.name for f in fields(Settings)}
    given: dict[str, Any] = {
        k: None if v == "auto" and k != "start_method" else v for k, v in section.items() if k in known
    }
    groups = given.get("zip") or []
    given["zip"] = tuple(map(tuple, [groups] if groups and isinstance(groups[0], str) else groups))
    given["exclude"] = tuple(given.get("exclude") or ())
    if isinstance(given.get("seeds"), list):
        given["seeds"] = tuple(given["seeds"])
    for key, name, reader in (("time_limit", "seconds", _seconds), ("memory_limit", "memory", _bytes)):
        value = section.get(key)
        given[name] = None if value is None else reader(str(value))
        if value is not None and not given[name]:
            text = f"sweep.{key} must be {_FORMS[key]}, not '{value}'"
            problems.append(Problem("bad-value", ("sweep", key), text))
    return Settings(**given), problems


_FORMS = {"time_limit": "seconds or HH:MM:SS", "memory_limit": "bytes or a size such as 4GiB or 500MB"}


def _seconds(text: str) -> float | None:
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", text)
    return int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + float(match[3]) if match else None


def _bytes(text: str) -> int | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", text.strip().lower())
    return int(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else None
