"""What can go wrong, as values that can be shown.

    CnnexpError
    ├── ConfigError   the config or the command is wrong: nothing was run or written   exit code 2
    └── RunError      a run was started and failed: its record says so                 exit code 1
        └── Interrupted   a signal ended the run                                       exit code 128 + signal

A mistake of the user is never a traceback: it is a `Problem`, and all problems of a config are raised together in
one `ConfigError`.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path as FolderPath

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One mistake in a config, as data.

    Arguments:
        code: a short stable name of the kind of mistake, such as `unknown-parameter`.
        path: the key path of the value at fault, such as `("model", "layers", 3, "stride")`.
        message: one sentence that names the thing at fault and what it must be.
        hint: the cure, or None where the message already holds it.
        where: `file:line:column` or `override 'key=value'`; filled in by a locator, None without one.
    """

    code: str
    path: Path
    message: str
    hint: str | None = None
    where: str | None = None

    def __str__(self) -> str:
        colon = ":" if (self.where or "").startswith("override") else ""
        place = f"{self.where}{colon} " if self.where else ""
        text = f"error: {place}{self.message}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class CnnexpError(Exception):
    """The root of everything that cnnexp raises on purpose."""

    exit_code = 1


class ConfigError(CnnexpError):
    """The config or the command is wrong; nothing was run and nothing was written.

    Arguments:
        problems: every problem that was found, at least one.
    """

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(render(self.problems))


class RunError(CnnexpError):
    """A run was started and failed; its record holds the reason.

    Arguments:
        message: the reason.
        path: the folder of the run, where there is one.
    """

    def __init__(self, message: str, path: FolderPath | None = None) -> None:
        self.path = path
        self.reason = message
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.reason}; recorded in {self.path}" if self.path else self.reason


class Interrupted(RunError):
    """A signal asked the run to stop; `last.ckpt` holds what was reached.

    Arguments:
        signum: the number of the signal (2 for Ctrl-C, 15 for SIGTERM).
        path: the folder of the run, where there is one.
    """

    def __init__(self, signum: int, path: FolderPath | None = None) -> None:
        self.signum = signum
        known = {int(s): s.name for s in signal.Signals} | {2: "Ctrl-C"}
        super().__init__(f"interrupted by {known.get(signum, f'signal {signum}')}", path)

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # a constant in the parent, derived from the signal here
        return 128 + self.signum


def render(problems: Sequence[Problem], end: str = "nothing was run") -> str:
    """The text that a person reads: every problem with its place and its cure, then the count and what follows."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([*map(str, problems), f"{count}; {end}"])


def reason(error: BaseException) -> str:
    """What a library said when it raised, as the one line that goes into a message of ours."""
    cause = error.__cause__ if error.__cause__ is not None and not said(error).strip() else error
    lines = [line.strip() for line in said(cause).splitlines() if line.strip()]
    if not lines:
        return type(cause).__name__
    text = " ".join(lines[:2] if lines[0].endswith(":") else lines[:1]).rstrip(".")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_LONGEST = 1000
"""The characters of a reason; the log has all of it."""


def said(error: BaseException) -> str:
    """What an exception says; nothing where it cannot even say it."""
    try:
        # A name of a file that is no UTF-8 can be written nowhere as it is.
        return str(error).encode(errors="backslashreplace").decode()
    except Exception:  # its __str__ may raise anything
        return ""


def normalised(name: str) -> str:
    """The form in which names are compared: without case, underscores and hyphens."""
    return name.replace("_", "").replace("-", "").lower()


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most probably stands for, or None when nothing is near."""
    by_form = {normalised(k): k for k in known}
    matches = difflib.get_close_matches(normalised(name), list(by_form), n=3, cutoff=0.6)
    # Conv1d, Conv2d and Conv3d are equally near to `Conv`, and images are what most networks are for.
    flat = [m for m in matches if m.endswith("2d") and m[:-2] == matches[0][:-2]]
    return by_form[(flat or matches)[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: `; did you mean 'x'?`, or nothing."""
    match = closest(name, known)
    return f"; did you mean '{match}'?" if match else ""


def also_in(label: str, others: Sequence[str]) -> str:
    """The end of a message about something that stands in several layers: ` (also in a, b, c and 2 more)`, or nothing.

    Arguments:
        label: the layer that the message names, such as `layers[0] conv › layers[0] Conv2d`.
        others: the further ones; of one with the same ending only what comes before the ending is said.
    """
    told = list(dict.fromkeys(other for other in others if other != label))
    ending = " › ".join(label.split(" › ")[1:])
    short = [other.removesuffix(f" › {ending}") if ending else other for other in told]
    more = f" and {len(short) - 3} more" if len(short) > 3 else ""
    return f" (also in {', '.join(short[:3])}{more})" if short else ""


def key_path(path: Path) -> str:
    """A key path as people write it: `model.layers[3].stride`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
