"""`report`: one page that compares runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cnnexp.cli.arguments import bad_option
from cnnexp.errors import ConfigError, Problem
from cnnexp.records import Run, files, find

_NEEDED = ("jinja2", "plotly", "scipy")


def report(arguments: argparse.Namespace) -> int:
    """Write the page, and what it says as CSV and Markdown beside it."""
    folder = Path(arguments.folder)
    output = _output(folder, arguments.output)
    runs = _runs(folder)
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        needed = f"a report needs {' and '.join(missing)}"
        raise ConfigError([Problem("missing-extra", (), needed, "pip install 'cnnexp[report]'")])
    from cnnexp.report import tabular
    from cnnexp.report.analysis import analyse
    from cnnexp.report.failures import unreadable
    from cnnexp.report.page import page

    analysis = analyse(runs)
    text = page(folder, runs, analysis)
    broken = unreadable(folder, runs)
    heading = folder.resolve().name or "Report"
    made = [output.with_suffix(ending) for ending in (output.suffix, ".csv", ".md")]
    if folders := [file for file in made if file.is_dir()]:
        raise _unwritable(folders[0], "is a directory")
    try:
        files.write(output, text)
        tabular.write(output.parent, analysis, heading, output.stem, broken)
    except OSError as error:
        raise _unwritable(output, (error.strerror or str(error)).lower()) from None
    for file in made:
        print(file)
    return 0


def _runs(folder: Path) -> Sequence[Run]:
    if not folder.is_dir():
        raise bad_option(f"'{folder}' is no folder" if folder.exists() else f"there is no folder '{folder}'")
    found = find(folder)
    if not found:
        raise bad_option(f"no runs in {folder}")
    return found


def _output(folder: Path, given: str | None) -> Path:
    if given is None:
        return folder / "report.html"
    if Path(given).suffix.lower() not in (".html", ".htm"):
        raise bad_option(f"--output must name an .html file, not '{given}'")
    return Path(given)


def _unwritable(file: Path, reason: str) -> ConfigError:
    return bad_option(f"'{file}' cannot be written: {reason}", "choose another place with --output FILE.html")
