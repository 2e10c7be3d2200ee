"""A sweep while it goes on: one live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cnnexp.sweeps.pool import End
from cnnexp.sweeps.study import Job, Study
from cnnexp.tables import PatientConsole

_BAR = 20
_GAP = 2
_WAYS = [(True, True, True), (True, True, False), (False, True, True), (False, True, False), (True, False, False)]
"""Whether a table has the names of the keys, bars and values, best first."""


class _Row(NamedTuple):
    """What the table says of a job; `short` is its title without the names of the keys."""

    title: str
    short: str
    share: float
    epoch: str
    value: str
    seconds: str
    rest: str


class Lines(AbstractContextManager["Lines"]):
    """Tells of a sweep in lines on standard error.

    Arguments:
        study: the sweep.
        total: how many jobs are to be run.
        slots: how many of them at a time.
    """

    def __init__(self, study: Study, total: int, slots: int, console: Console | None = None) -> None:
        self.study, self.total, self.slots = study, total, slots
        self.console = console or PatientConsole(file=sys.stderr)
        self.done = self.failed = 0

    def __exit__(self, *error: object) -> None:
        """Leave everything that was told."""

    def began(self, job: Job, attempt: int) -> None:
        """Tell of a job that begins once more; the first time needs no line."""
        if attempt > 1:
            self._say(f"[{self.done + self.failed}/{self.total}] again     {job.title}")

    def moved(self, job: Job, told: Mapping[str, Any]) -> None:
        """Nothing: a line at every step would bury the others."""

    def ended(self, job: Job, end: End) -> None:
        """Tell how a job ended, and of a failure why and where its log lies."""
        if not end.again:
            self.done += end.status == "completed"
            self.failed += end.status == "failed"
        count = f"[{self.done + self.failed}/{self.total}]"
        if end.status == "completed":
            self._say(f"{count} completed {job.title}  {_values(end.values)}  {end.seconds:.1f} s")
            return
        after = "; it will be tried again" if end.again else ""
        style = "red" if end.status == "failed" and not end.again else "yellow"
        self._say(f"{count} {end.status:9} {job.title}: {end.error}{after}", style)
        self._say(f"{' ' * len(count)} log: {self.study.folder(job) / 'log.txt'}")

    def stopping(self, running: int) -> None:
        """Tell what is waited for, and how not to wait."""
        who = "the running job saves what it has" if running == 1 else f"the {running} running jobs save what they have"
        self._say(f"stopping: {who}; another Ctrl-C ends {'it' if running == 1 else 'them'} at once", "yellow")

    def tick(self) -> None:
        """Nothing moves between two lines."""

    def _say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style), soft_wrap=True)


class Board(Lines):
    """Tells of a sweep in one table that is drawn anew: what runs, how far, and how long still."""

    def __init__(self, study: Study, total: int, slots: int, console: Console | None = None) -> None:
        super().__init__(study, total, slots, console)
        self._running: dict[int, tuple[Job, float]] = {}
        self._told: dict[int, Mapping[str, Any]] = {}
        self._worked: list[float] = []
        self._live = Live(console=self.console, auto_refresh=False, transient=True, get_renderable=self._draw)
        self._drawn = 0.0

    def __enter__(self) -> Board:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Give the terminal back."""
        self._live.stop()

    def began(self, job: Job, attempt: int) -> None:
        """Give the job a row."""
        super().began(job, attempt)
        self._running[job.number] = (job, time.monotonic())

    def moved(self, job: Job, told: Mapping[str, Any]) -> None:
        """Move the job's bar on."""
        self._told[job.number] = told

    def ended(self, job: Job, end: End) -> None:
        """Take the job's row away, and leave its line."""
        super().ended(job, end)
        self._running.pop(job.number, None)
        self._told.pop(job.number, None)
        if end.status == "completed":
            self._worked.append(end.seconds)

    def tick(self) -> None:
        """Draw the table, a few times a second."""
        now = time.monotonic()
        if now - self._drawn > 0.25:
            self._drawn = now
            self._live.refresh()

    def _draw(self) -> Group:
        rows = _table([self._row(job, began) for job, began in self._running.values()], self.console.width)
        waiting = self.total - self.done - self.failed - len(self._running)
        parts = [f"{self.done} completed", f"{len(self._running)} running", f"{waiting} waiting"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"about {_time(left)} left"] if (left := self._left(waiting)) else []
        return Group(rows, Text(" · ".join(parts), "bold"))

    def _row(self, job: Job, began: float) -> _Row:
        told = self._told.get(job.number, {})
        share, epochs = told.get("share"), told.get("epochs")
        epoch = f"epoch {told['epoch']}{f'/{epochs}' if epochs else ''}" if "epoch" in told else "starting"
        seconds = time.monotonic() - began
        rest = _time(self._rest(share, seconds)) + " left" if share else ""
        first = dict(sorted(told.get("values", {}).items())[:1])
        short = f"{job.number} {' '.join(job.changed.values())}"
        return _Row(job.title, short, share or 0.0, epoch, _values(first), _time(seconds), rest)

    def _rest(self, share: float, seconds: float) -> float:
        """The seconds that a job has still to go: what the completed ones took tells more than its own beginning."""
        mean = sum(self._worked) / len(self._worked) if self._worked else seconds / share
        return mean * (1 - share)

    def _left(self, waiting: int) -> float | None:
        """The seconds until all jobs are done, if they take as long as those that are."""
        if not self._worked:
            return None
        mean = sum(self._worked) / len(self._worked)
        shares = [self._told.get(n, {}).get("share") or 0.0 for n in self._running]
        return mean * (waiting + sum(1 - share for share in shares)) / self.slots


def _table(rows: Sequence[_Row], width: int) -> Table:
    """The rows in a table of this width; a narrow one goes without values, names and bars, and then cuts titles."""

    def widest(texts: Iterable[str]) -> int:
        return max(map(cell_len, texts), default=0)

    told = zip(*((row.epoch, row.seconds, row.rest) for row in rows), strict=True)
    kept = sum(widest(texts) + _GAP for texts in told)
    value = widest(row.value for row in rows) + _GAP
    wanted = {True: widest(row.title for row in rows), False: widest(row.short for row in rows)}

    def room(barred: bool, valued: bool) -> int:
        return width - kept - barred * (_BAR + _GAP) - valued * value

    named, barred, valued = next((way for way in _WAYS if wanted[way[0]] <= room(*way[1:])), (False, False, False))
    table = Table.grid(padding=(0, _GAP))
    for _ in range(4 + barred + valued):
        table.add_column(no_wrap=True)
    for row in rows:
        title = Text(row.title if named else row.short)
        title.truncate(max(room(barred, valued), 1), overflow="ellipsis")
        drawn = [ProgressBar(total=1.0, completed=row.share, width=_BAR)] if barred else []
        said = [row.epoch, *([row.value] if valued else []), row.seconds, row.rest]
        table.add_row(title, *drawn, *map(Text, said))
    return table


def _values(values: Mapping[str, float]) -> str:
    kept = {k: v for k, v in values.items() if k.startswith("test_")} or values
    return "  ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in sorted(kept.items()))


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def board(study: Study, total: int, slots: int) -> Lines:
    """What tells of a sweep here: a table on a terminal, lines elsewhere."""
    console = PatientConsole(file=sys.stderr)
    return Board(study, total, slots, console) if console.is_terminal else Lines(study, total, slots, console)
