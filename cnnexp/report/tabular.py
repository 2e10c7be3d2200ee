"""An analysis as text: Markdown to paste into a discussion, and CSV with one line for each run."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from cnnexp.records import files
from cnnexp.report.analysis import Analysis, Comparison, Effect, Interaction, Pair
from cnnexp.report.failures import title
from cnnexp.report.files import guarded
from cnnexp.report.pairs import MANY_ROWS
from cnnexp.report.pareto import COSTS, Pareto, cost
from cnnexp.report.ranking import Figure, Row, counted, monitored, seconds, tests
from cnnexp.report.table import printable

_NAMED = 5
_PAIRS = 30
_CELLS = 36


def write(
    folder: Path, analysis: Analysis, heading: str = "Report", name: str = "report", unreadable: Sequence[str] = ()
) -> None:
    """Write `report.md` and `report.csv`, or of another name, each complete or not at all.

    Arguments:
        folder: where to.
        analysis: what is told.
        heading: the title of the page.
        name: what the files are called.
        unreadable: the names of records that are broken.

    Raises:
        OSError: the folder cannot be written to.
    """
    for ending, text in (("md", to_markdown(analysis, heading, unreadable)), ("csv", to_csv(analysis))):
        files.write(folder / f"{name}.{ending}", text)


def to_csv(analysis: Analysis) -> str:
    """One line for each run: what it was, how it ended, what it reached and what it cost; best configuration first.

    `ranked_by` tells the rankings apart, where runs monitored different metrics; `counts` says which runs the means of
    a rank are of: the completed ones, and of two with the same seed the later.
    """
    ranked = [
        (c, i, row, run) for c in analysis.comparisons for i, row in enumerate(c.ranking.rows) for run in row.runs
    ]
    columns = list(dict.fromkeys(name for c in analysis.comparisons for name in c.ranking.columns))
    metrics = list(dict.fromkeys(c.ranking.metric for c in analysis.comparisons if c.ranking.metric))
    tested = sorted({name for *_, run in ranked for name in tests(run)})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    headings = (
        "ranked_by",
        "rank",
        "run",
        *columns,
        "seed",
        "status",
        "counts",
        *metrics,
        *tested,
        *COSTS,
        "error",
        "folder",
    )
    writer.writerow(map(guarded, headings))
    for comparison, index, row, run in ranked:
        seed, error = run.fields.get("seed"), run.fields.get("error")
        ranking = comparison.ranking
        cells = (
            f"{ranking.metric} {ranking.mode}" if ranking.metric else None,
            index + 1 if comparison.values[index] else None,
            run.path.name,
            *(row.changed.get(column) for column in columns),
            seed if isinstance(seed, int) else None,
            run.status,
            "yes" if any(run is one for one in counted(row.runs)) else "no",
            *(monitored(run, metric) for metric in metrics),
            *(tests(run).get(name) for name in tested),
            row.parameters,
            row.multiply_adds,
            seconds(run),
            error if isinstance(error, str) else None,
            str(run.path),
        )
        writer.writerow(map(guarded, cells))
    return text.getvalue()


def to_markdown(analysis: Analysis, heading: str = "Report", unreadable: Sequence[str] = ()) -> str:
    """Ranked tables, effects, differences, warnings and failures, as a page of Markdown.

    Arguments:
        analysis: what is told.
        heading: the title of the page.
        unreadable: the names of records that are broken.
    """
    parts = [f"# {_text(heading)}"]
    if unreadable:
        parts.append(_text(_broken(unreadable)))
    if not analysis.comparisons:
        parts.append("There are no runs.")
    for comparison in analysis.comparisons:
        parts.extend(_comparison(comparison))
    return "\n\n".join(parts) + "\n"


def number(value: float | None) -> str:
    """A metric with as many digits as one reads; nothing for None."""
    if value is None:
        return ""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


def probability(p: float | None) -> str:
    """A p with three decimals, never 0; nothing for None."""
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval(low: float | None, high: float | None) -> str:
    """`low to high`; nothing where there is no interval."""
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def _comparison(comparison: Comparison) -> Iterable[str]:
    better = "more" if comparison.mode == "max" else "less"
    yield f"## {_code(comparison.metric)}: {better} is better" if comparison.metric else "## Runs"
    yield from _section("### Before you believe it", [_bullets(_text(w.text) for w in comparison.warnings)])
    yield _ranked(comparison)
    yield from _section("### What each change does", [comparison.method, *map(_effect, comparison.effects)])
    yield from _section("### What changes do together", map(_interaction, comparison.interactions))
    yield from _section("### Which rows differ", [_pairs(comparison)])
    if sum(value is not None for value in comparison.values) > 1:
        yield from _section("### What it costs", [_bullets(_front(comparison, front) for front in comparison.pareto)])
    yield from _section("### What did not end well", [_failed(comparison)])


def _broken(records: Sequence[str]) -> str:
    told = "1 record cannot be read and is" if len(records) == 1 else f"{len(records)} records cannot be read and are"
    more = f" and {len(records) - _NAMED} more" if len(records) > _NAMED else ""
    return f"{told} left out: {', '.join(records[:_NAMED])}{more}."


def _section(heading: str, parts: Iterable[str]) -> Iterable[str]:
    told = [part for part in parts if part]
    return [heading, *told] if told else []


def _ranked(comparison: Comparison) -> str:
    ranking = comparison.ranking
    others = [name for name in ranking.tested if name != comparison.metric]
    headings = ["#", *map(_code, ranking.columns)]
    headings += [_code(name) for name in (comparison.metric, *others) if name]
    lines = []
    for index, (row, value) in enumerate(zip(ranking.rows, comparison.values, strict=True)):
        line = [str(index + 1) if value else "", *(_code(row.changed[column]) for column in ranking.columns)]
        line += [_figure(value)] if comparison.metric else []
        line += [_figure(row.tested.get(name)) for name in others]
        lines.append([*line, _count(row, value), *(_whole(cost(row, by)) for by in COSTS)])
    return _table([*headings, "n", "parameters", "multiply-adds", "seconds"], lines, range(1, 1 + len(ranking.columns)))


def _effect(effect: Effect) -> str:
    parts = [f"**{_code(effect.factor.name)}**{_test(effect)}"]
    if effect.trend:
        r = f"Spearman's rank correlation {effect.trend.correlation:+.2f} over {effect.trend.n} configurations"
        parts[0] += f": {r}{_p(effect.trend.p)}"
    if effect.note:
        parts.append(_text(effect.note))
    if effect.levels:
        lines = []
        for i, level in enumerate(effect.levels):
            less = "best" if i == effect.best else number(level.difference)
            span = interval(level.difference_low, level.difference_high)
            at = [_code(level.value), str(level.n), number(level.mean), interval(level.low, level.high)]
            lines.append([*at, less, span, probability(level.p)])
        headings = ["value", "n", "mean", "95 % interval", "against the best", "95 % interval", "p"]
        parts.append(_table(headings, lines, range(1)))
    return "\n\n".join(parts)


def _interaction(interaction: Interaction) -> str:
    a, b = interaction.a, interaction.b
    parts = [f"**{_code(a.name)} × {_code(b.name)}**{_test(interaction)}"]
    if interaction.size is not None:
        parts[0] += f"; the largest departure from a sum of both is {number(interaction.size)}"
    if interaction.note:
        parts.append(_text(interaction.note))
    if len(interaction.cells) <= _CELLS:
        means = {(cell.a, cell.b): number(cell.mean) for cell in interaction.cells}
        lines = [[_code(x), *(means[x, y] for y in b.values)] for x in a.values]
        parts.append(_table(["", *map(_code, b.values)], lines, range(1)))
    return "\n\n".join(parts)


def _test(tested: Effect | Interaction) -> str:
    if tested.f is None or tested.df is None:
        return ""
    share = "" if tested.share is None else f", {100 * tested.share:.0f} % of the variance"
    return f": F({tested.df[0]}, {tested.df[1]}) = {tested.f:.2f}{_p(tested.p)}{share}"


def _pairs(comparison: Comparison) -> str:
    apart = [pair for pair in comparison.pairs if not pair.within_noise]
    if not comparison.pairs:
        return ""
    tested = [pair for pair in comparison.pairs if pair.low is not None]
    if not tested:
        return " ".join(["No difference can be tested.", *dict.fromkeys(pair.reason for pair in comparison.pairs)])
    certain = sum(pair.p_adjusted is not None and pair.p_adjusted < 0.05 for pair in apart)
    told = (
        f"{len(apart)} of {len(tested)} {'difference has' if len(tested) == 1 else 'differences have'} a 95 % interval "
        f"without 0; {certain} of them stand after Holm's correction for so many comparisons."
    )
    if len(tested) < len(comparison.pairs):
        told += f" {len(comparison.pairs) - len(tested)} more cannot be tested."
    if sum(value is not None for value in comparison.values) > MANY_ROWS:
        told += f" Of more than {MANY_ROWS} rows each is compared with the best and with the next one."
    if len(apart) > _PAIRS:
        told += f" The {_PAIRS} with the smallest p:"
        apart = sorted(apart, key=lambda pair: (pair.p or 0.0, pair.a, pair.b))[:_PAIRS]
    if not apart:
        return told
    headings = ["better", "worse", "difference", "95 % interval", "p", "p (Holm)", "test", "besides"]
    return "\n\n".join([told, _table(headings, [_pair(comparison, pair) for pair in apart], (0, 1, 6, 7))])


def _pair(comparison: Comparison, pair: Pair) -> list[str]:
    rows = [_name(comparison, index) for index in (pair.a, pair.b)]
    test = f"{pair.test}, n = {pair.n}"
    span = interval(pair.low, pair.high)
    ps = [probability(pair.p), probability(pair.p_adjusted)]
    return [*rows, number(pair.difference), span, *ps, test, _text(" ".join(pair.notes))]


def _front(comparison: Comparison, front: Pareto) -> str:
    rows = ", ".join(_name(comparison, index) for index in front.rows)
    return f"Best for the {front.by.replace('_', '-')} they take: {rows}."


def _failed(comparison: Comparison) -> str:
    lines = []
    for failure in comparison.failures:
        log = _code(str(failure.log)) if failure.log else ""
        lines.append([_code(failure.title), failure.run.status, _code(failure.reason.splitlines()[0]), log])
    return _table(["run", "status", "reason", "log"], lines, range(4)) if lines else ""


def _name(comparison: Comparison, index: int) -> str:
    row = comparison.ranking.rows[index]
    return f"{index + 1} {_code(title(row.changed) or row.runs[0].path.name)}"


def _count(row: Row, value: Figure | None) -> str:
    reached = value.n if value else 0
    return str(reached) if reached == row.seeds else f"{reached}/{row.seeds}"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return number(figure.mean) if figure.sd is None else f"{number(figure.mean)} ± {number(figure.sd)}"


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _p(p: float | None) -> str:
    return "" if p is None else f", p {probability(p)}" if p < 0.001 else f", p = {probability(p)}"


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _table(headings: Sequence[str], lines: Iterable[Sequence[str]], texts: Container[int]) -> str:
    """A table; the columns that are texts stand to the left, numbers to the right."""
    rules = ["---" if i in texts else "---:" for i in range(len(headings))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rules, *lines))


def _code(text: str) -> str:
    """A text as code, so that nothing in it is obeyed; as HTML where Markdown has no quotes for it."""
    shown = printable(text.strip())
    if not shown:
        return ""
    if not re.search(r"[`|\\<>&]", shown):
        return f"`{shown}`"
    return f"<code>{''.join(c if c.isalnum() or c in ' .,' else f'&#{ord(c)};' for c in shown)}</code>"


def _text(text: str) -> str:
    """A sentence as it is, with everything that Markdown or HTML would obey written out."""
    escaped = html.escape(printable(text), quote=False)
    return re.sub(r"([\\`*\[\]|~#@]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", escaped)
