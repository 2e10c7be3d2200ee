"""The verbs, their arguments, and the help."""

from __future__ import annotations

import argparse
from typing import NoReturn

from cnnexp.errors import ConfigError, Problem, did_you_mean
from cnnexp.version import __version__

VERBS = {
    "train": "one run (the default), or a sweep with --multirun",
    "check": "problems, layer table and totals; trains nothing",
    "code": "the network as stand-alone PyTorch source",
    "show": "one batch through a network: its input, what every layer makes of it and the kernels, as images",
    "runs": "what was recorded below a folder",
    "report": "one page that compares the runs below a folder: report outputs/sweeps/SWEEP",
    "resume": "finish an interrupted run, or the unfinished jobs of a sweep: resume outputs/runs/RUN",
    "layers": "the layer types, or one of them explained: layers Conv2d --input 3,32,32 stride=2",
    "schema": "a JSON Schema for editors, of model files or with `schema blocks` of files of blocks",
}
_LATER = ("test", "predict", "export")
WITHOUT_CONFIG = ("runs", "report", "layers", "schema")
_EXAMPLES = """\
examples:
  cnnexp                                            the default network on the shipped digits
  cnnexp model=tudui trainer.max_epochs=20          other choices, other values
  cnnexp check model=net data=cifar10               does it fit? nothing is trained
  cnnexp --multirun model.activation=relu,sigmoid   every value in turn
  cnnexp train --from outputs/runs/RUN/config.yaml  the same run again
"""


def bad_option(text: str, hint: str | None = None) -> ConfigError:
    """The error of an option that cannot be used so."""
    return ConfigError([Problem("bad-option", (), text, hint)])


def unknown_verb(verb: str) -> Problem:
    """The problem of a first word that is no verb."""
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
        if message.startswith("the following arguments are required"):  # it names those that may be left out too
            text = "resume needs the folder of a run or of a sweep"
            raise ConfigError([Problem("bad-option", (), text, "cnnexp runs lists them")])
        raise ConfigError([Problem("bad-option", (), message, "cnnexp --help lists the options")])


def parser(verb: str) -> argparse.ArgumentParser:
    """What a verb takes on the command line."""
    own = _Parser(prog="cnnexp", add_help=False, allow_abbrev=False)
    own.add_argument("--help", "-h", action="store_true")
    own.add_argument("--version", action="version", version=f"cnnexp {__version__}")
    if verb == "runs":
        own.add_argument("folder", nargs="?", default="outputs")
        own.add_argument("--json", action="store_true")
        own.add_argument("--each", action="store_true")
        return own
    if verb == "report":
        own.add_argument("folder", nargs="?", default="outputs")
        own.add_argument("--output", metavar="FILE.html")
        return own
    if verb == "resume":
        own.add_argument("folder")
        own.add_argument("overrides", nargs="*")
        return own
    if verb == "layers":
        own.add_argument("name", nargs="?")
        own.add_argument("params", nargs="*", metavar="key=value")
        own.add_argument("--input", metavar="3,32,32")
        own.add_argument("--picture", metavar="FILE")
        return own
    if verb == "schema":
        own.add_argument("kind", nargs="?", choices=["model", "blocks"], default="model")
        return own
    own.add_argument("overrides", nargs="*")
    own.add_argument("--multirun", "-m", action="store_true")
    own.add_argument("--run", "-r", action="store_true")
    own.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    own.add_argument("--resolve", action="store_true")
    own.add_argument("--package", "-p")
    own.add_argument(
        "--info",
        "-i",
        const="all",
        nargs="?",
        choices=["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"],
    )
    own.add_argument("--config-dir", "-cd")
    own.add_argument("--config-name", "-cn", default="config")
    own.add_argument("--shell-completion", "-sc", action="store_true")
    own.add_argument("--hydra-help", action="store_true")
    if verb == "check":
        own.add_argument("--json", action="store_true")
        own.add_argument("--against", metavar="NAME")
        own.add_argument("--advice", action="store_true")
        own.add_argument("--picture", metavar="FILE")
    if verb == "code":
        own.add_argument("--from-python", metavar="module:object")
        own.add_argument("--input", metavar="3,32,32")
    own.add_argument("--from", dest="source")
    own.add_argument("--untrusted", action="store_true")
    return own


def usage() -> str:
    """What --help prints."""
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
  --picture FILE        check: the network drawn, .svg, .png or .html; layers: the window that walks, .svg, .gif or .png
  --output FILE         report: where the page is written, instead of report.html in the folder
  --each                runs: a row for each run, where the table puts the seeds of a network together
  --against NAME        check: what another network, or the same one with other values, has otherwise
  --advice              check: every piece of advice that there is, and how to switch it off
  --from-python M:OBJ   code: the YAML of a network in Python, an nn.Module or a function that gives one
  --untrusted           for a stranger's files: no resolvers, no paths outside the folder, no Hydra settings
  --cfg job, --resolve  print the composed config
  --info                how the config was put together
  --config-dir DIR      one more folder of config files
  --config-name NAME    another primary config
  --shell-completion    install=bash|zsh|fish
  --version, --help

{_EXAMPLES}"""
