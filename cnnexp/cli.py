"""The command line: verbs, their arguments, what is printed and the exit code. No other room prints or exits."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cnnexp.errors import CnnexpError, ConfigError, Interrupted, Problem, did_you_mean, reason, render
from cnnexp.version import __version__

if TYPE_CHECKING:
    from cnnexp.config import Composer, Config
    from cnnexp.verify import Verdict

VERBS = {
    "train": "one run (the default), or a sweep with --multirun",
    "check": "problems, layer table and totals; trains nothing",
    "code": "the network as stand-alone PyTorch source",
    "runs": "what was recorded below a folder",
}
_LATER = ("show", "test", "predict", "export", "report", "resume", "layers", "schema")
_EXAMPLES = """\
examples:
  cnnexp                                            the default network on the shipped digits
  cnnexp model=tudui trainer.max_epochs=20          other choices, other values
  cnnexp check model=net data=cifar10               does it fit? nothing is trained
  cnnexp --multirun model.activation=relu,sigmoid   every value in turn
  cnnexp train --from outputs/runs/RUN/config.yaml  the same run again
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Arguments:
        argv: the words after the program's name; sys.argv's when None.

    Returns:
        0 done; 1 a run failed; 2 the config or the command is wrong and nothing was run; 128 + signal interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has seen enough
        return 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except (CnnexpError, KeyboardInterrupt) as error:
        if os.environ.get("CNNEXP_TRACEBACK") == "1":
            traceback.print_exc()
        return _told(error)


def _told(error: BaseException) -> int:
    """Say what went wrong, and give its exit code."""
    if isinstance(error, KeyboardInterrupt):
        error = Interrupted(2)
    if isinstance(error, ConfigError):
        print(error, file=sys.stderr)
    else:
        print(f"error: {error}", file=sys.stderr)
    return error.exit_code if isinstance(error, CnnexpError) else 1


def _dispatch(words: list[str]) -> int:
    verb = "train"
    if words and "=" not in words[0] and not words[0].startswith(("-", "+", "~")):
        verb = words.pop(0)
        if verb not in VERBS:
            raise ConfigError([_unknown_verb(verb)])
    arguments = _parser(verb).parse_intermixed_args(words)
    if arguments.help:
        print(_help(verb), end="")
        return 0
    if verb == "runs":
        return _runs(arguments)
    with warnings.catch_warnings():
        # A primary config without _self_ is composed as Hydra documents it; the warning is about an upgrade from 1.0.
        warnings.filterwarnings("ignore", r"In '.*': Defaults list is missing `_self_`", UserWarning)
        return _composed(verb, arguments)


def _unknown_verb(verb: str) -> Problem:
    if verb in _LATER:
        return Problem(
            "unknown-verb", (), f"the command '{verb}' is not part of this version", f"there are {', '.join(VERBS)}"
        )
    return Problem(
        "unknown-verb",
        (),
        f"there is no command '{verb}'{did_you_mean(verb, VERBS)}",
        f"there are {', '.join(VERBS)}; an override is written key=value",
    )


class _Parser(argparse.ArgumentParser):
    """argparse with one line for a mistake."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError([Problem("bad-option", (), message, "cnnexp --help lists the options")])


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = _Parser(prog="cnnexp", add_help=False, allow_abbrev=False)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--version", action="version", version=f"cnnexp {__version__}")
    if verb == "runs":
        parser.add_argument("folder", nargs="?", default="outputs")
        parser.add_argument("--json", action="store_true")
        return parser
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--run", "-r", action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    parser.add_argument(
        "--info",
        "-i",
        const="all",
        nargs="?",
        choices=["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"],
    )
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--config-name", "-cn", default="config")
    parser.add_argument("--shell-completion", "-sc", action="store_true")
    parser.add_argument("--hydra-help", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--from", dest="source")
    parser.add_argument("--untrusted", action="store_true")
    return parser


def _help(verb: str) -> str:
    from cnnexp.config.compose import Composer, choices

    rows = "\n".join(f"  {name:8}{text}" for name, text in VERBS.items())
    groups = "\n".join(f"  {group:12}{', '.join(options)}" for group, options in choices(Composer()))
    return f"""\
cnnexp {__version__}: declare, check, train, sweep and compare convolutional networks from YAML

usage: cnnexp [{"|".join(VERBS)}] [options] [key=value …]

{rows}

choices (group=name; your own files in ./conf/ go first):
{groups}

options:
  --multirun, -m        a sweep: several values for a key, separated by commas
  --from FILE           take the config from a run's config.yaml
  --json                check and runs: machine-readable output
  --untrusted           for a stranger's files: no resolvers, no paths outside the folder, no Hydra settings
  --cfg job, --resolve  print the composed config
  --info                how the config was put together
  --config-dir DIR      one more folder of config files
  --config-name NAME    another primary config
  --shell-completion    install=bash|zsh|fish
  --version, --help

{_EXAMPLES}"""


def _composed(verb: str, arguments: argparse.Namespace) -> int:
    """The commands that need a config."""
    from cnnexp.verify import Verdict

    if verb != "check" or not arguments.json:
        return _asked(verb, arguments)
    try:
        return _asked(verb, arguments)
    except ConfigError as error:
        told = Verdict({}, None, error.problems).as_dict()
        _print_json([{"overrides": arguments.overrides, **told}] if arguments.multirun else told)
        return error.exit_code


def _asked(verb: str, arguments: argparse.Namespace) -> int:
    from cnnexp.config import Composer, load_file

    if arguments.source:
        if arguments.multirun:
            raise _bad_option("--from repeats one run; it does not go with --multirun")
        repeated = load_file(arguments.source, arguments.overrides)
        return _one(verb, arguments, repeated, _choices_of(arguments.source))
    composer = Composer(arguments.config_name, arguments.config_dir)
    _known_name(composer, arguments.config_name)
    if arguments.cfg or arguments.info or arguments.shell_completion or arguments.hydra_help:
        return _hydra(composer, arguments)
    if arguments.multirun:
        return _sweep(verb, arguments, composer)
    config = composer.compose(arguments.overrides)
    return _one(verb, arguments, config, config.choices)


def _bad_option(text: str, hint: str | None = None) -> ConfigError:
    return ConfigError([Problem("bad-option", (), text, hint)])


def _known_name(composer: Composer, name: str) -> None:
    """Refuse a primary config that does not exist."""
    folder, _, stem = name.removesuffix(".yaml").rpartition("/")
    options = composer.loader.get_group_options(folder)
    if stem not in options:
        raise _bad_option(f"--config-name: there is no config '{name}'{did_you_mean(name, options)}")


def _hydra(composer: Composer, arguments: argparse.Namespace) -> int:
    """Hydra's own flags, by Hydra itself."""
    from cnnexp.config.diagnose import HYDRAS

    flag = "--cfg" if arguments.cfg else "--info" if arguments.info else None
    if flag and arguments.multirun:
        raise _bad_option(f"{flag} shows one config; it does not go with --multirun")
    if not arguments.shell_completion:
        broken = composer.compose(arguments.overrides).problems
        if any(p.code != "missing-value" for p in broken):
            raise ConfigError(broken)
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        _show(composer, arguments)
    except HYDRAS as error:
        raise _bad_option(reason(error)) from error
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    return 0


def _show(composer: Composer, arguments: argparse.Namespace) -> None:
    name, overrides = arguments.config_name, arguments.overrides
    if arguments.cfg:
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                composer.hydra.show_cfg(name, overrides, arguments.cfg, arguments.package, arguments.resolve)
        except SystemExit:
            raise _bad_option(f"--package: there is nothing at '{arguments.package}' in the config") from None
    elif arguments.info:
        composer.hydra.show_info(arguments.info, name, overrides)
    elif arguments.hydra_help:
        from hydra._internal.utils import get_args_parser

        composer.hydra.hydra_help(name, get_args_parser(), arguments)
    else:
        composer.hydra.shell_completion(name, overrides)


def _one(verb: str, arguments: argparse.Namespace, config: Config, choices: dict[str, str]) -> int:
    from cnnexp.verify import verify

    if arguments.untrusted and (found := _distrusted(config)):
        raise ConfigError(found)
    if config.verbose:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    verdict = verify(config)
    if verb == "check" and arguments.json:
        _print_json(verdict.as_dict())
        return 2 if verdict.problems else 0
    if verb != "train":
        return _look(verb, verdict, choices)
    verdict.sound()
    _train(verdict, config, choices, Path(verdict.config["outputs"]) / "runs", _name(verdict, choices))
    return 0


def _distrusted(config: Config) -> list[Problem]:
    from cnnexp.config import packaged, untrusted

    return untrusted.check(config.locator, config.values, packaged())


def _look(verb: str, verdict: Verdict, choices: dict[str, str]) -> int:
    """Print what `check` or `code` has to say of one config."""
    if verb == "code":
        print(verdict.sound().source(_title(verdict, choices)), end="")
        return 0
    if verdict.problems:
        print(render(verdict.problems), file=sys.stderr)
    if verdict.plan is not None and verdict.plan.layers:
        print(verdict.plan.table())
    return 2 if verdict.problems else 0


def _print_json(told: object) -> None:
    print(json.dumps(told, indent=2, ensure_ascii=False))


def _train(
    verdict: Verdict, config: Config, choices: dict[str, str], root: Path, name: str, dated: bool = True
) -> None:
    from cnnexp.training.fit import Job, follows, run

    try:
        plan = verdict.sound()
        command = shlex.join(["python", "-m", "cnnexp", *sys.argv[1:]])
        path = run(Job(verdict.config, plan, name, choices, config.overrides, command, root, dated))
    except ConfigError as error:
        # What the data, the machine and Lightning had to say knows key paths only.
        raise ConfigError(config.locator.locate(error.problems)) from None
    if not follows():
        print(_outcome(path))


def _outcome(path: Path) -> str:
    """The final line: what was reached, and where the run lies."""
    from cnnexp.records import load

    run = load(path)
    tested = {k: v for k, v in run.metrics.items() if k.startswith("test_")}
    reached = ", ".join(f"{k.replace('_', ' ')} {v:.4f}" for k, v in sorted(tested.items()))
    return f"{reached}; recorded in {path}" if reached else f"recorded in {path}"


def _sweep(verb: str, arguments: argparse.Namespace, composer: Composer) -> int:
    """Every point of the grid in turn, by Hydra's basic sweeper and launcher, after all of them were checked."""
    from cnnexp.sweeps.grid import expand, launch, refuse

    points = expand(composer, arguments.overrides)
    if arguments.untrusted and (found := [p for q in points for p in _distrusted(q.config)]):
        raise ConfigError(dict.fromkeys(found))
    if verb == "check" and arguments.json:
        _print_json([{"overrides": list(p.overrides), **p.verdict.as_dict()} for p in points])
        return 2 if any(p.verdict.problems for p in points) else 0
    refuse(points)
    if verb != "train":
        for point in points:
            print(f"# {' '.join(point.overrides)}")
            _look(verb, point.verdict, point.config.choices)
        return 0
    failures = launch(composer, arguments.overrides, points, _point)
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _point(config: Config, verdict: Verdict, root: Path, number: int, changed: Sequence[str]) -> None:
    """Train one point of a sweep."""
    name = "_".join([str(number), *changed])
    _train(verdict, config, config.choices, root, name, dated=False)


def _choices_of(source: str) -> dict[str, str]:
    """The group files that a recorded config came from, as its record tells."""
    try:
        fields = json.loads((Path(source).parent / "run.json").read_text(encoding="utf-8"))
        return {str(k): str(v) for k, v in fields["choices"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _name(verdict: Verdict, choices: dict[str, str]) -> str:
    return f"{choices.get('model', 'model')}_{choices.get('data', verdict.config['data']['name'])}"


def _title(verdict: Verdict, choices: dict[str, str]) -> str:
    return f"{choices.get('model', 'A network')} for {choices.get('data', verdict.config['data']['name'])}"


def _runs(arguments: argparse.Namespace) -> int:
    """The table of what was recorded."""
    from cnnexp.records import find
    from cnnexp.records.table import table

    runs = find(Path(arguments.folder))
    if arguments.json:
        rows: list[dict[str, Any]] = [{"path": str(r.path), **r.fields} for r in runs]
        _print_json(rows)
    else:
        print(table(runs) if runs else f"no runs in {arguments.folder}")
    return 0
