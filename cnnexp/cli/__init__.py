"""The command line: verbs, their arguments, what is printed and the exit code. No other room prints or exits."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cnnexp.cli.arguments import VERBS, WITHOUT_CONFIG, parser, unknown_verb, usage
from cnnexp.errors import CnnexpError, ConfigError, Interrupted, Problem

_INTERRUPTED = threading.Event()
"""Whether Ctrl-C came; whatever fails after it, such as an import that was cut in two, failed because of it."""


def run() -> NoReturn:
    """Run the command of this process, and end the process.

    Taking torch apart at the end of an interpreter takes most of a second, so that is left to the system.
    """
    _open_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    code = main()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _interrupt(signum: int, frame: object) -> None:
    _INTERRUPTED.set()
    raise KeyboardInterrupt


def _open_streams() -> None:
    """Open what was closed: a file or a pipe that got one of these numbers would take in what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  (open as long as the process)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


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
    except OSError as error:
        if _INTERRUPTED.is_set():
            return _told(KeyboardInterrupt())
        if error.errno != errno.ENOSPC:
            raise
        print("error: the output cannot be written: no space left on device", file=sys.stderr)
        return 1
    except (CnnexpError, KeyboardInterrupt) as error:
        if os.environ.get("CNNEXP_TRACEBACK") == "1":
            traceback.print_exc()
        return _told(KeyboardInterrupt() if _INTERRUPTED.is_set() else error)
    except Exception:
        if not _INTERRUPTED.is_set():
            raise
        return _told(KeyboardInterrupt())


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
            raise ConfigError([unknown_verb(verb)])
    arguments = parser(verb).parse_intermixed_args(words)
    if late := next((word for word in getattr(arguments, "overrides", ()) if word in VERBS), None):
        text = f"'{late}' is a command, and a command stands first"
        raise ConfigError([Problem("late-verb", (), text, f"cnnexp {late} …")])
    if arguments.help:
        print(usage(), end="")
        return 0
    if verb in WITHOUT_CONFIG:
        if verb == "report":
            from cnnexp.cli.report import report

            return report(arguments)
        from cnnexp.cli import listing

        return int(getattr(listing, verb)(arguments))
    with warnings.catch_warnings():
        # A primary config without _self_ is composed as Hydra documents it; the warning is about an upgrade from 1.0.
        warnings.filterwarnings("ignore", r"In '.*': Defaults list is missing `_self_`", UserWarning)
        if verb == "resume":
            return _resume(Path(arguments.folder), arguments.overrides)
        from cnnexp.cli.composed import composed

        return composed(verb, arguments)


def _resume(folder: Path, overrides: Sequence[str]) -> int:
    """Go on with a sweep or with one run."""
    if (folder / "sweep.json").is_file() or (folder / "jobs.json").is_file():
        from cnnexp.sweeps import processes

        processes.warm(processes.context())
        from cnnexp.cli.sweep import resume

        return resume(folder, overrides)
    from cnnexp.cli.resume import resume_run

    if overrides:
        text = f"a run goes on as it was: '{overrides[0]}' cannot be changed"
        hint = f"begin another one: cnnexp train --from {folder}/config.yaml {overrides[0]}"
        raise ConfigError([Problem("bad-option", (), text, hint)])
    return resume_run(folder)
