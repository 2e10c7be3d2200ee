"""`show`: batches through a network, trained or not, as images."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cnnexp.cli.arguments import bad_option
from cnnexp.cli.listing import say
from cnnexp.cli.sweep import distrusted
from cnnexp.errors import ConfigError, Problem, reason
from cnnexp.settings import SHOW_DEFAULT

if TYPE_CHECKING:
    from cnnexp.architecture.plan import Plan
    from cnnexp.config import Config
    from cnnexp.data.sets import Samples
    from cnnexp.verify import Verdict
    from cnnexp.views.images import View

_SETS = {"train": "training set", "val": "validation set", "test": "test set"}


@dataclass(frozen=True)
class _Look:
    """A network and what is to be drawn of it.

    Arguments:
        model: the network with its weights, an nn.Sequential.
        plan: its plan.
        config: the plain config.
        settings: the section `show`.
        samples: the samples of its split.
    """

    model: Any
    plan: Plan
    config: Mapping[str, Any]
    settings: Mapping[str, Any]
    samples: Samples

    @property
    def batches(self) -> int:
        """How many batches are drawn: as many as are asked for, or there are."""
        return min(int(self.settings["batches"]), -(-len(self.samples) // int(self.config["data"]["batch_size"])))


@dataclass(frozen=True)
class _Picture:
    """A picture, the number of its batch, and the folder inside the folder that it goes into."""

    view: View
    batch: int = 0
    inside: str = ""


@dataclass(frozen=True)
class _Row:
    """What is told of a picture that was written; the picture itself need not be kept."""

    place: str
    layer: str
    type: str
    shape: tuple[int, ...]
    file: str


def recorded(arguments: argparse.Namespace) -> Path | None:
    """The folder of a run that the command names in place of a config."""
    named = [word for word in arguments.overrides if _names_run(word)]
    if len(named) > 1:
        raise bad_option(f"show looks at one run: '{named[1]}' is a second one")
    if named and arguments.source:
        raise bad_option(f"show takes a run or --from FILE, not both: '{named[0]}'")
    return Path(named[0]).expanduser() if named else None


def _names_run(word: str) -> bool:
    if "=" in word:  # as the folder of a sweep's job has it
        return os.path.isfile(os.path.join(word, "run.json"))  # an override may be too long for a path
    return not word.startswith("~")


def of_config(arguments: argparse.Namespace) -> list[str]:
    """The overrides that are meant for a recorded config, which says nothing of `show`."""
    return [word for word in arguments.overrides if not _sets(word, "show")]


def _sets(word: str, group: str) -> bool:
    return word.lstrip("+~").partition("=")[0].split(".")[0] == group


def show(arguments: argparse.Namespace, config: Config, verdict: Verdict, name: str) -> int:
    """Show the network of a config, with the weights that its seed draws or its checkpoint holds."""
    plan = verdict.sound()
    words = [word for word in arguments.overrides if _sets(word, "show")] if arguments.source else []
    settings, _ = _asked(words, config.values.get("show"))
    weights = str(verdict.config["checkpoint"] or "")
    try:
        look = _prepared(verdict.config, plan, settings)
        if weights:
            from cnnexp.training.warm_start import warm_start

            warm_start(look.model, weights)
        pictures = _begun(look)
    except ConfigError as error:
        raise ConfigError(config.locator.locate(error.problems)) from None
    from cnnexp.records import Record

    record = Record.open(Path(verdict.config["outputs"]) / "shows", name)
    try:
        described = {**verdict.config, "show": dict(settings)}
        record.write("config.yaml", yaml.safe_dump(described, sort_keys=False, allow_unicode=True))
        record.write("layers.txt", plan.table() + "\n")
        record.write("model.py", plan.source(f"The network of {record.path.name}"))
        table = _written(pictures, record.path, verdict.config["logger"]["type"] != "none")
    except BaseException as error:
        shutil.rmtree(record.path, ignore_errors=True)
        if isinstance(error, OSError):
            raise _unwritable(record.path, error) from None
        raise
    _tell(look, table, record.path, f"weights of {weights}" if weights else f"untrained, seed {verdict.config['seed']}")
    return 0


def show_run(folder: Path, arguments: argparse.Namespace) -> int:
    """Show the trained network of a run, in the folder `show` of its own.

    Arguments:
        folder: the run's folder.
        arguments: of them only overrides of `show` and `logger` are taken.
    """
    _is_run(folder)
    words = [word for word in arguments.overrides if not _names_run(word)]
    if other := next((word for word in words if not _sets(word, "show") and not _sets(word, "logger")), None):
        hint = f"with freshly drawn weights: {_untrained(folder / 'config.yaml')} {shlex.quote(other)}"
        raise bad_option(f"a run is shown as it was trained: '{other}' cannot be changed", hint)
    from cnnexp.config import load_file
    from cnnexp.verify import verify

    config = load_file(folder / "config.yaml")
    if arguments.untrusted and (found := distrusted(config)):
        raise ConfigError(found)
    settings, logger = _asked(words, None)
    verdict = verify(config)
    plan = verdict.sound()
    try:
        look = _prepared(verdict.config, plan, settings)
        file = _load_weights(look.model, folder)
        pictures = _begun(look)
    except ConfigError as error:
        raise ConfigError(config.locator.locate(error.problems)) from None
    board = (logger or verdict.config["logger"]["type"]) != "none"
    _tell(look, _replaced(folder / "show", pictures, board), folder / "show", f"weights of {file}")
    return 0


def _is_run(folder: Path) -> None:
    """Refuse a folder that holds no run.

    Raises:
        ConfigError: it holds none, or one that ended too early.
    """
    if os.path.isfile(folder / "run.json"):
        if not (folder / "config.yaml").is_file():
            raise _no_run(
                f"'{folder}' ended before its config.yaml was written", "cnnexp runs lists the runs there are"
            )
        return
    if os.path.isfile(folder / "sweep.json") or os.path.isfile(folder / "jobs.json"):
        raise _no_run(
            f"'{folder}' is a sweep, and show looks at one run", f"cnnexp runs {folder} --each lists its runs"
        )
    if os.path.isfile(folder):
        raise _no_run(f"'{folder}' is a file, and a run is a folder", f"a config is shown by {_untrained(folder)}")
    missing = "there is no run.json in it" if os.path.isdir(folder) else "there is no such folder"
    hint = "cnnexp runs lists the runs there are; an override is written key=value"
    raise _no_run(f"'{folder}' holds no run: {missing}", hint)


def _untrained(file: Path) -> str:
    """The command that shows a config with freshly drawn weights."""
    return f"cnnexp show --from {shlex.quote(str(file))}"


def _no_run(text: str, hint: str) -> ConfigError:
    return ConfigError([Problem("no-run", (), text, hint)])


def _asked(words: Sequence[str], section: Any) -> tuple[dict[str, Any], str | None]:
    """The settings of `show`, and the logger where it is chosen.

    Arguments:
        words: overrides of `show` and `logger` alone, on top of a recorded config.
        section: what the config says of `show`; None where it says nothing.

    Raises:
        ConfigError: an override is wrong.
    """
    settings = {**SHOW_DEFAULT, **(section or {})}
    if not words:
        return settings, None
    from cnnexp.config import Composer
    from cnnexp.verify import verify

    config = Composer().compose(words)
    if problems := verify(config).problems:
        raise ConfigError(problems)
    keys = [word.lstrip("+~").partition("=")[0].partition(".")[2] for word in words if _sets(word, "show")]
    chosen = config.values.get("show") or SHOW_DEFAULT  # ~show takes the section away
    settings |= chosen if "" in keys else {key: chosen[key] for key in keys if key in chosen}
    return settings, config.values["logger"]["type"] if any(_sets(word, "logger") for word in words) else None


def _prepared(config: Mapping[str, Any], plan: Plan, settings: Mapping[str, Any]) -> _Look:
    """The network with freshly drawn weights, and the samples.

    Raises:
        ConfigError: the data are not there, or their split is empty, or this machine cannot build the network.
    """
    from cnnexp.data.prepare import split
    from cnnexp.data.sets import load

    chosen = settings["split"]
    samples: Samples = getattr(split(load(config["data"]), config["data"], config["seed"]), chosen)
    if not len(samples):
        why = ": data.validation is 0" if config["data"]["validation"] == 0 else " for so few samples"
        text = f"show.split is {chosen}, but there is no {_SETS[chosen]}{why}"
        raise ConfigError([Problem("no-samples", ("show", "split"), text, "choose train or test")])
    try:
        model = plan.build(config["seed"])
    except (RuntimeError, AssertionError, MemoryError) as error:
        text = f"the network cannot be built on this machine: {reason(error)}"
        raise ConfigError([Problem("cannot-build", ("model", "layers"), text)]) from None
    return _Look(model, plan, config, settings, samples)


def _load_weights(model: Any, folder: Path) -> str:
    """Put a run's best weights into its network, else its last; gives the file's path inside the folder.

    Raises:
        ConfigError: there is no checkpoint, or none that can be read.
    """
    from cnnexp.training.checkpoints import taken
    from cnnexp.training.warm_start import warm_start

    problems: list[Problem] = []
    for name in ("best", "last"):
        file = folder / "checkpoints" / f"{name}.ckpt"
        if not (file.is_file() or file.with_name(f"{name}.previous.ckpt").is_file()):
            continue
        try:
            warm_start(model, str(file))
        except ConfigError as error:
            problems += error.problems
        else:
            found = f"checkpoints/{taken(file).name}"
            for problem in problems:
                say(f"warning: {problem.message.removeprefix('checkpoint: ')}; {found} is shown")
            return found
    hint = f"with freshly drawn weights: {_untrained(folder / 'config.yaml')}"
    text = problems[0].message.removeprefix("checkpoint: ") if problems else f"'{folder}' has no checkpoint yet"
    raise ConfigError([Problem("no-checkpoint", (), text, hint)])


def _begun(look: _Look) -> Iterator[_Picture]:
    """All pictures; the first batch has gone through the network when this returns.

    Raises:
        ConfigError: this machine cannot run the network.
    """
    pictures = _pictures(look)
    try:
        return chain([next(pictures)], pictures)
    except (RuntimeError, MemoryError) as error:
        text = f"the network cannot be run on this machine: {reason(error)}"
        raise ConfigError([Problem("cannot-run", ("model", "layers"), text, "try a smaller data.batch_size")]) from None


def _pictures(look: _Look) -> Iterator[_Picture]:
    from cnnexp.data.prepare import Normalise
    from cnnexp.views.images import kernel_views, outputs
    from cnnexp.views.look import look as seen_by

    normalise = Normalise(look.config["data"], look.plan.dtype)
    if look.plan.dtype != "float32":
        look.model.to(normalise.dtype)  # a true precision makes all weights such, as in training
    size, limit = look.config["data"]["batch_size"], look.settings["channels"]
    for batch in range(look.batches):
        pixels = look.samples.images[batch * size : (batch + 1) * size]
        inside = f"batch_{batch}" if look.batches > 1 else ""
        seen = seen_by(look.model, look.plan, normalise(pixels), look.settings["samples"])
        for view in outputs(seen, look.plan, pixels, limit):
            yield _Picture(view, batch, inside)
    for view in kernel_views(look.model, look.plan, limit):
        yield _Picture(view)


def _written(pictures: Iterable[_Picture], folder: Path, board: bool) -> list[_Row]:
    """Write every picture; gives a row for each of the first batch."""
    from cnnexp.views.writing import Album

    rows = []
    with Album(folder, board) as album:
        for picture in pictures:
            view, file = picture.view, album.add(picture.view, picture.batch, picture.inside)
            kind = f"{view.type} kernels" if view.kind == "kernels" else view.type
            if picture.batch == 0:
                rows.append(_Row(view.stem, view.layer or view.kind, kind, view.shape, file))
    return sorted(rows, key=lambda row: row.place)


def _replaced(folder: Path, pictures: Iterable[_Picture], board: bool) -> list[_Row]:
    """Write a folder anew: the one that was there stays whole until the new one takes its place.

    Raises:
        ConfigError: it cannot be written.
    """
    if folder.is_symlink() or folder.is_file():
        text = f"'{folder}' is in the way: the pictures go into a folder of this name"
        raise ConfigError([Problem("unwritable", (), text, "rename it, or remove it")])
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        fresh.mkdir()
        table = _written(pictures, fresh, board)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except OSError as error:
        raise _unwritable(folder, error) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return table


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError([Problem("unwritable", (), f"'{folder}' cannot be written: {error.strerror or error}")])


def _tell(look: _Look, table: Sequence[_Row], folder: Path, weights: str) -> None:
    """Print what was drawn, and where it lies."""
    from cnnexp import tables
    from cnnexp.views.drawing import shown

    rows = tables.grid()
    for heading in ("layer", "type", "shape", "file"):
        rows.add_column(heading)
    for row in table:
        rows.add_row(row.layer, row.type, shown(row.shape), row.file)
    print(tables.text(rows))
    data, asked = look.config["data"], look.settings["batches"]
    count = min(look.settings["samples"], data["batch_size"], len(look.samples))
    drawn = f"{count} sample{'s' if count > 1 else ''}"
    of = f"batch {look.batches - 1}" if look.batches == 1 else f"each of batches 0 to {look.batches - 1}"
    there = f" (there are no more than {look.batches})" if asked > look.batches else ""
    print(f"{weights}; {drawn} of {of} of the {_SETS[look.settings['split']]}{there}")
    print(f"drawn in {folder}")
    if (folder / "tensorboard").is_dir():
        print(f"tensorboard --logdir {folder / 'tensorboard'}")
