"""The verbs that need a config: train, check and code, for one config or for a sweep."""

from __future__ import annotations

import argparse
import json
import logging
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cnnexp.cli import hydra_flags, listing, picture
from cnnexp.cli.arguments import bad_option
from cnnexp.cli.from_python import from_python
from cnnexp.cli.listing import print_json
from cnnexp.cli.resume import outcome
from cnnexp.cli.show import of_config, recorded, show, show_run
from cnnexp.cli.sweep import distrusted, sweep
from cnnexp.errors import ConfigError, Problem, did_you_mean, render

if TYPE_CHECKING:
    from cnnexp.config import Composer, Config
    from cnnexp.sweeps.preflight import Point
    from cnnexp.verify import Verdict


def composed(verb: str, arguments: argparse.Namespace) -> int:
    """The commands that need a config."""
    picture.wanted(arguments, picture.NETWORK)  # what cannot be drawn is told before anything is composed
    if verb == "train" and arguments.multirun:
        from cnnexp.sweeps import processes

        processes.warm(processes.context())  # its imports take longer than all that comes before the first job
    from cnnexp.verify import Verdict

    if verb != "check" or not arguments.json:
        return _asked(verb, arguments)
    try:
        return _asked(verb, arguments)
    except ConfigError as error:
        told = Verdict({}, None, error.problems).as_dict()
        print_json([{"overrides": arguments.overrides, **told}] if arguments.multirun else told)
        return error.exit_code


def _asked(verb: str, arguments: argparse.Namespace) -> int:
    from cnnexp.config import Composer, load_file

    if verb == "check" and arguments.advice:
        return listing.advice()
    if verb == "code" and arguments.from_python:
        return from_python(arguments)
    if verb == "show" and arguments.multirun:
        raise bad_option("show looks at one network; it does not go with --multirun")
    if verb == "show" and (folder := recorded(arguments)):
        return show_run(folder, arguments)
    if arguments.source:
        if arguments.multirun:
            raise bad_option("--from repeats one run; it does not go with --multirun")
        words = of_config(arguments) if verb == "show" else arguments.overrides
        repeated = load_file(arguments.source, words)
        return _one(verb, arguments, repeated, _choices_of(arguments.source))
    composer = Composer(arguments.config_name, arguments.config_dir)
    _known_name(composer, arguments.config_name)
    if arguments.cfg or arguments.info or arguments.shell_completion or arguments.hydra_help:
        return hydra_flags.show(composer, arguments)
    if arguments.multirun:
        return sweep(verb, arguments, composer, _code)
    config = composer.compose(arguments.overrides)
    if swept := [text for text in arguments.overrides if text.lstrip("+~").startswith(("sweep=", "sweep."))]:
        text = "how a sweep is made says nothing about one run"
        hint = "add --multirun, or leave it out"
        raise ConfigError(
            [*config.problems, Problem("sweep-without-multirun", (), text, hint, f"override '{swept[0]}'")]
        )
    return _one(verb, arguments, config, config.choices)


def _known_name(composer: Composer, name: str) -> None:
    """Refuse a primary config that does not exist."""
    folder, _, stem = name.removesuffix(".yaml").rpartition("/")
    options = composer.loader.get_group_options(folder)
    if stem not in options:
        raise bad_option(f"--config-name: there is no config '{name}'{did_you_mean(name, options)}")


def _one(verb: str, arguments: argparse.Namespace, config: Config, choices: dict[str, str]) -> int:
    from cnnexp.verify import verify

    if arguments.untrusted and (found := distrusted(config)):
        raise ConfigError(found)
    if config.verbose:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    verdict = verify(config)
    if verb == "check" and arguments.against:
        return _against(arguments, verdict, choices)
    if verb == "show":
        return show(arguments, config, verdict, _name(verdict, choices))
    if verb == "check" and arguments.json:
        print_json(verdict.as_dict())
        return 2 if verdict.problems else 0
    if verb != "train":
        code = _look(verb, verdict, choices)
        drawing = picture.wanted(arguments, picture.NETWORK)
        if drawing and not code and verdict.plan is not None and verdict.plan.layers:
            picture.of_network(drawing, verdict.plan, _title(verdict, choices))
        return code
    verdict.sound()
    _train(verdict, config, choices, Path(verdict.config["outputs"]) / "runs", _name(verdict, choices))
    return 0


def _look(verb: str, verdict: Verdict, choices: dict[str, str]) -> int:
    """Print what `check` or `code` has to say of one config."""
    if verb == "code":
        print(verdict.sound().source(_title(verdict, choices)), end="")
        return 0
    if verdict.problems:
        print(render(verdict.problems), file=sys.stderr)
    if verdict.plan is not None and verdict.plan.layers:
        print(verdict.plan.table())
    for piece in verdict.advice:
        print(f"{piece}" if piece is not verdict.advice[0] else f"\n{piece}")
    return 2 if verdict.problems else 0


def _against(arguments: argparse.Namespace, verdict: Verdict, choices: dict[str, str]) -> int:
    """Print what the network has otherwise than another one, which the same command would compose."""
    from cnnexp.architecture.diff import compare
    from cnnexp.config import Composer
    from cnnexp.verify import verify

    named = "=" not in arguments.against
    other = f"model={arguments.against}" if named else arguments.against
    key = other.partition("=")[0]
    # What is said of this model's values is not meant for another model.
    own = [word for word in arguments.overrides if re.match(r"[+~]*model[.@/]", word)] if named else []
    kept = [word for word in arguments.overrides if word not in own and word.partition("=")[0] != key]
    old = verify(Composer(arguments.config_name, arguments.config_dir).compose([*kept, other]))
    found = compare(old.sound(), verdict.sound())
    if arguments.json:
        print_json(found.as_dict())
    else:
        print(found.text((arguments.against, " ".join([choices.get("model", "the model"), *own]))))
    return 0


def _train(verdict: Verdict, config: Config, choices: dict[str, str], root: Path, name: str) -> None:
    from cnnexp.training.fit import Job, follows, run

    try:
        plan = verdict.sound()
        command = shlex.join(["python", "-m", "cnnexp", *sys.argv[1:]])
        path = run(Job(verdict.config, plan, name, choices, config.overrides, command, root))
    except ConfigError as error:
        # What the data, the machine and Lightning had to say knows key paths only.
        raise ConfigError(config.locator.locate(error.problems)) from None
    if not follows():
        print(outcome(path))


def _code(point: Point) -> int:
    """Print the source of one point of a sweep."""
    return _look("code", point.verdict, point.config.choices)


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
