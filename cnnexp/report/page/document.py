"""The page as a text: templates, style, scripts and figures put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cnnexp.records import Run

if TYPE_CHECKING:
    from cnnexp.report.analysis import Analysis
from cnnexp.report.page import assets, formats
from cnnexp.report.page.parts import Figure
from cnnexp.report.page.run import run_page
from cnnexp.report.planned import sweeps
from cnnexp.version import __version__

_FILTERS = ("number", "signed", "count", "short", "percent", "duration", "probability", "words", "moment")


def page(folder: Path, runs: Sequence[Run], analysis: Analysis) -> str:
    """The page, complete in itself; the same runs give the same text.

    Arguments:
        folder: the folder that the runs were found in.
        runs: the runs, at least one; of a single one the page tells all there is.
        analysis: their comparison.
    """
    title = folder.resolve().name or "runs"
    if len(runs) == 1:
        one = run_page(runs[0])
        path = runs[0].path.resolve()
        begun = sweeps(runs) if path != folder.resolve() else []  # who asks for a run does not ask for its sweep
        missing = [sweep.told for sweep in begun if sweep.missing]
        return _rendered("run.html", path.name, one.figures, {}, page=one, missing=missing)
    from cnnexp.report.page.sweep import sweep_page

    several = sweep_page(folder, runs, analysis)
    return _rendered("sweep.html", title, several.figures, several.data, page=several)


def _rendered(template: str, title: str, figures: Iterable[Figure], data: dict[str, Any], **values: Any) -> str:
    drawn = {figure.id: list(figure.plots.values()) for figure in figures}
    told = {**data, "figures": drawn}
    with_figures = bool(drawn) or bool(data.get("curves"))
    return (
        _environment()
        .get_template(template)
        .render(
            title=title,
            version=__version__,
            policy=assets.policy(with_figures),
            style=assets.style(),
            theme=assets.script("theme.js"),
            script=assets.script("page.js"),
            plotly=assets.plotly() if with_figures else "",
            data=assets.data(told),
            **values,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cnnexp.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(formats, name) for name in _FILTERS})
    return environment


def _shown(value: Any) -> Any:
    """A text as the page says it: a value from a config may not turn the words after it around."""
    return value.translate(assets.TURNS) if isinstance(value, str) and not isinstance(value, Markup) else value
