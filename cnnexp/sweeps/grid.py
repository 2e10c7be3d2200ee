"""A grid of overrides, every point of it checked before the first one runs."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from cnnexp.config import Composer, Config
from cnnexp.config.locate import as_path
from cnnexp.errors import ConfigError, Interrupted, Problem, RunError
from cnnexp.verify import Verdict, verify

_BASIC = (
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
)


@dataclass(frozen=True)
class Point:
    """One point of a grid: its overrides, its config, and those of its overrides that differ from point to point."""

    overrides: tuple[str, ...]
    config: Config
    verdict: Verdict
    changed: tuple[str, ...]


def expand(composer: Composer, overrides: Sequence[str]) -> list[Point]:
    """Compose and check every point of a grid.

    Raises:
        ConfigError: nothing can be composed, or nothing is swept.
    """
    parser = OverridesParser.create(config_loader=composer.loader)
    try:
        parsed = [parser.parse_override(text) for text in overrides]
        grid = BasicSweeper.split_arguments(parsed, None)[0]
    except HydraException:
        # Composing the overrides as they are tells what is wrong, and where.
        told = composer.compose(overrides).problems
        raise ConfigError([p for p in told if p.code != "sweep-without-multirun"] or told) from None
    if not any(o.is_sweep_override() for o in parsed):
        text = "nothing is swept: --multirun wants several values for a key"
        raise ConfigError([Problem("nothing-swept", (), text, "for example --multirun model.activation=relu,sigmoid")])
    swept = {o.get_key_element() for o in parsed if o.is_sweep_override()}
    points: list[Point] = []
    for texts in grid:
        config = composer.compose(texts)
        changed = tuple(t for t in texts if t.partition("=")[0] in swept)
        points.append(Point(tuple(texts), config, verify(config), changed))
    return points


def refuse(points: Sequence[Point]) -> None:
    """Let no point run when one of them cannot.

    Raises:
        ConfigError: some point has problems; each problem is named with the first point that has it.
    """
    problems: dict[Problem, str] = {}
    for point in points:
        for problem in point.verdict.problems:
            problems.setdefault(problem, " ".join(point.changed))
    if problems:
        raise ConfigError([replace(p, message=f"{p.message} [{at}]") if at else p for p, at in problems.items()])


def launch(
    composer: Composer,
    overrides: Sequence[str],
    points: Sequence[Point],
    train: Callable[[Config, Verdict, Path, int, Sequence[str]], None],
) -> list[str]:
    """Run the points one after another through Hydra's own sweeper and launcher.

    Arguments:
        composer: what the points were composed with.
        overrides: the command's overrides, with the sweeps in them.
        points: the checked points, in the sweeper's order.
        train: runs one point in a folder.

    Returns:
        what failed, a line each.

    Raises:
        ConfigError: no point could be run on this machine or with its data; nothing is left behind.
        Interrupted: a signal ended the sweep.
    """
    _refuse_foreign_code(composer, overrides)
    folder = claim(Path(points[0].verdict.config["outputs"]) / "sweeps")
    failures: list[str] = []
    refused: list[Problem] = []
    stopped: list[Interrupted] = []
    waiting = iter(enumerate(points))

    def job(_: DictConfig) -> None:
        number, point = next(waiting)
        try:
            train(point.config, point.verdict, folder, number, [_short(text) for text in point.changed])
        except Interrupted as stop:
            stopped.append(stop)
            raise KeyboardInterrupt from None  # Hydra goes on to the next job after any other exception
        except RunError as error:
            failures.append(f"{' '.join(point.changed)}: {error}")
        except ConfigError as error:
            refused.extend(error.problems)
            failures.append(f"{' '.join(point.changed)}: {error.problems[0].message}")

    settings = [f"hydra.sweep.dir={_quoted(folder)}", "hydra.sweep.subdir=.", f"hydra.mode={RunMode.MULTIRUN.name}"]
    try:
        composer.hydra.multirun(composer.config_name, job, [*overrides, *settings])
    except KeyboardInterrupt:
        if stopped:
            raise stopped[0] from None
        raise
    if refused and {p.name for p in folder.iterdir()} <= {"multirun.yaml"}:
        shutil.rmtree(folder)
        with contextlib.suppress(OSError):  # other sweeps or runs lie there
            folder.parent.rmdir()
            folder.parent.parent.rmdir()
        raise ConfigError(dict.fromkeys(refused))
    return failures


def _refuse_foreign_code(composer: Composer, overrides: Sequence[str]) -> None:
    """Hydra would construct whatever class a config file names as its launcher, sweeper or callback.

    Raises:
        ConfigError: a config names another one than Hydra's own basic ones.
    """
    hydra = composer.loader.load_configuration(composer.config_name, list(overrides), RunMode.MULTIRUN).hydra
    names = {"hydra.launcher": hydra.launcher.get("_target_"), "hydra.sweeper": hydra.sweeper.get("_target_")}
    foreign = {key: name for key, name in names.items() if name not in _BASIC}
    if hydra.get("callbacks"):
        foreign["hydra.callbacks"] = ", ".join(map(str, hydra.callbacks))
    if foreign:
        texts = [
            f"{key} is {name}, but a sweep runs through Hydra's basic sweeper and launcher"
            for key, name in foreign.items()
        ]
        raise ConfigError(
            [Problem("foreign-plugin", as_path(key), text) for key, text in zip(foreign, texts, strict=True)]
        )


def _short(override: str) -> str:
    """`optimizer.lr=0.1` as a folder's name says it: `lr=0.1`."""
    key, _, value = override.partition("=")
    return f"{key.rpartition('.')[2]}={value}"


def _quoted(folder: Path) -> str:
    return "'" + str(folder).replace("\\", "\\\\").replace("'", "\\'") + "'"


def claim(root: Path) -> Path:
    """A new folder for a sweep, which no other sweep can get.

    Raises:
        ConfigError: nothing can be written there.
    """
    stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    for attempt in range(1, 1000):
        folder = root / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            text = f"outputs: no sweep can be recorded in '{root}': {error.strerror}"
            raise ConfigError(
                [Problem("unwritable", ("outputs",), text, "choose another folder with outputs=DIR")]
            ) from None
        return folder
    raise ConfigError([Problem("unwritable", ("outputs",), f"outputs: '{root}' is full of sweeps called {stem}")])
