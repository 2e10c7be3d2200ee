"""Tables as plain text, the same on a terminal, in a pipe and in a file; a console that nobody need look at."""

from __future__ import annotations

import io

from rich import box
from rich.console import Console
from rich.table import Table


def grid() -> Table:
    """An empty table in the style of all our tables."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def text(table: Table) -> str:
    """The lines of a table, as wide as it needs."""
    out = io.StringIO()
    Console(file=out, width=1000, color_system=None, highlight=False, markup=False, emoji=False).print(table)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return "\n".join(line for line in lines if line)


class PatientConsole(Console):
    """A console whose reader may go away, or whose file may fill up: the work goes on when nobody looks."""

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError:
            self.quiet = True

    def on_broken_pipe(self) -> None:
        """Be silent from here on."""
        self.quiet = True
