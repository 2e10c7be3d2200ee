"""Whether a recorded sweep is still the one that its command describes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cnnexp import settings
from cnnexp.config import Composer, Config
from cnnexp.errors import ConfigError, Problem
from cnnexp.records.record import counted, identity
from cnnexp.sweeps.space import Space
from cnnexp.sweeps.study import Job, Study

_SHOWN = 5
_Key = tuple[tuple[str, str], ...]


def unchanged(
    study: Study, composer: Composer, space: Space, distrusted: Callable[[Config], list[Problem]] = lambda _: []
) -> None:
    """Make sure that a recorded sweep is the one that its overrides give today.

    Arguments:
        study: the recorded sweep.
        composer: composes its points.
        space: the points that its overrides span today.
        distrusted: what a stranger's config holds that it may not.

    Raises:
        ConfigError: it is not, or cannot be composed any more; the problem names the differences.
    """
    now: dict[_Key, Config] = {}
    for at in space.points:
        if at.name not in study.fields["dropped"]:
            now[_key(at.changed)] = composer.compose(at.overrides)
    if broken := {p: None for config in now.values() for p in (*distrusted(config), *config.problems)}:
        raise ConfigError(broken)
    told = list(_differences(study.jobs, now))
    if told:
        more = [f"and {len(told) - _SHOWN} more differences"] if len(told) > _SHOWN else []
        differences = "; ".join([*told[:_SHOWN], *more])
        text = f"'{study.path}' cannot be resumed, since it would be another sweep now: {differences}"
        hint = "put the config files back as they were, or start a new sweep; the runs of this one stay"
        raise ConfigError([Problem("changed-sweep", (), text, hint)])


def _differences(jobs: Sequence[Job], now: Mapping[_Key, Config]) -> Iterator[str]:
    then = {_key(job.changed): job for job in jobs}
    for key in now.keys() - then.keys():
        yield f"{_name(dict(key))} is new"
    for key in then.keys() - now.keys():
        yield f"{_name(dict(key))} is gone"
    users: dict[str, list[str]] = {}
    for key, job in then.items():
        if key in now and identity(values := _of_run(now[key])) != job.identity:
            for line in _changes(job.config, values):
                users.setdefault(line, []).append(job.title)
    for line, names in users.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield line if len(names) == len(jobs) else f"{line} (in {names[0]}{more})"


def _of_run(config: Config) -> dict[str, Any]:
    return settings.of_run(settings.completed(config.values))


def _name(changed: Mapping[str, str]) -> str:
    return " ".join(f"{key}={text}" for key, text in changed.items())


def _key(changed: Mapping[str, str]) -> _Key:
    return tuple(changed.items())


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = dict(_leaves(counted(then))), dict(_leaves(counted(now)))
    for key in (*old, *(k for k in new if k not in old)):
        if key not in new:
            yield f"{key} was {old[key]} and is gone"
        elif key not in old:
            yield f"{key} is new: {new[key]}"
        elif old[key] != new[key]:
            yield f"{key} was {old[key]} and is {new[key]}"


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)) and value:
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{key}[{i}]")
    else:
        yield key, value
