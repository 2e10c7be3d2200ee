"""Hydra's own flags, by Hydra itself."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
from typing import TYPE_CHECKING

from cnnexp.cli.arguments import bad_option
from cnnexp.errors import ConfigError, reason

if TYPE_CHECKING:
    from cnnexp.config import Composer


def show(composer: Composer, arguments: argparse.Namespace) -> int:
    """Print what one of them asks for; gives the exit code."""
    from cnnexp.config.loading import HYDRAS

    flag = "--cfg" if arguments.cfg else "--info" if arguments.info else None
    if flag and arguments.multirun:
        raise bad_option(f"{flag} shows one config; it does not go with --multirun")
    if not arguments.shell_completion:
        broken = composer.compose(arguments.overrides).problems
        if any(p.code != "missing-value" for p in broken):
            raise ConfigError(broken)
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        _show(composer, arguments)
    except HYDRAS as error:
        raise bad_option(reason(error)) from error
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
            raise bad_option(f"--package: there is nothing at '{arguments.package}' in the config") from None
    elif arguments.info:
        composer.hydra.show_info(arguments.info, name, overrides)
    elif arguments.hydra_help:
        from hydra._internal.utils import get_args_parser

        composer.hydra.hydra_help(name, get_args_parser(), arguments)
    else:
        composer.hydra.shell_completion(name, overrides)
