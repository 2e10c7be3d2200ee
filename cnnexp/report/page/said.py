"""What a comparison comes to, in sentences that claim no more than the numbers do."""

from __future__ import annotations

from collections.abc import Sequence

from cnnexp.report.analysis import Comparison, Effect, Pair
from cnnexp.report.page.formats import number, percent, probability, signed, size, words
from cnnexp.report.page.labels import choice, value

_LEVEL = 0.05


def headline(comparison: Comparison, labels: Sequence[str]) -> list[str]:
    """Which configuration was best, and whether its lead is real, a sentence each."""
    found = [i for i, figure in enumerate(comparison.values) if figure is not None]
    best, metric = comparison.best, words(comparison.metric or "")
    if best is None or not found:
        return ["No completed run has a number, so nothing can be compared."]
    figure = comparison.values[best]
    assert figure is not None
    over = _over(figure.n, comparison.ranking.rows[best].seeds)
    spread = "" if figure.sd is None else f" ± {number(figure.sd)}"
    side = "highest" if comparison.mode == "max" else "lowest"
    reached = f"{metric} {number(figure.mean)}{spread} ({over})"
    if len(found) == 1:
        return [f"“{labels[best]}” reached {reached}.", "There is nothing to compare it with."]
    told = f"“{labels[best]}” reached the {side} {reached}."
    lead = _lead(comparison, best)
    return [told, *([_of_lead(lead, labels, comparison)] if lead else []), *_others(comparison, best)]


def _over(n: int, seeds: int) -> str:
    """How many runs a mean is of, and how many more of its row have no number."""
    of = f" of {seeds}" if n < seeds else ""
    rest = f"; the {'other has' if seeds - n == 1 else 'others have'} no number" if of else ""
    if n > 1:
        return f"mean ± standard deviation over {n}{of} seeds{rest}"
    return f"one run{of}{rest}"


def verdict(pair: Pair) -> str:
    """Whether the difference of a pair is real, in a few words."""
    if pair.low is None:
        return "cannot be told"
    if pair.within_noise:
        return "within seed noise"
    adjusted = pair.p if pair.p_adjusted is None else pair.p_adjusted
    if adjusted is not None and adjusted >= _LEVEL:
        return "may be chance among so many pairs"
    return "larger than seed noise"


def interval(low: float | None, high: float | None, sign: bool = False) -> str:
    """A 95 % interval; empty where there is none."""
    if low is None or high is None:
        return ""
    shown = signed if sign else number
    return f"{shown(low)} to {shown(high)}"


def effect(one: Effect) -> str:
    """What a factor did, in a sentence or two."""
    name, told = one.factor.name, []
    levels = [level for level in one.levels if level.mean is not None]
    if one.best is not None and len(levels) > 1:
        best = one.levels[one.best]
        last = max(levels, key=lambda level: abs(level.difference or 0.0))
        behind = last.difference or 0.0
        if f"{abs(behind):.4f}" == "0.0000" and abs(best.mean or 0.0) >= 1e-3:
            told.append("its values reach the same, to four places.")
            return f"{choice(name)}: {told[0]}"
        told.append(f"{value(best.value)} was best, {size(behind)} ahead of {value(last.value)}")
        told.append(" at the other end" if len(levels) > 2 else "")
        if one.p is None:
            told.append("; whether that is more than chance cannot be told.")
        elif one.p < _LEVEL:
            told.append(f"; the values differ by more than chance (p {_equals(one.p)}{_share(one)}).")
        else:
            told.append(f"; that is within the noise (p {_equals(one.p)}{_share(one)}).")
    if one.trend is not None:
        direction = "rises" if one.trend.correlation > 0 else "falls"
        known = one.trend.p is not None and one.trend.p < _LEVEL
        start = f"the metric {direction} with it" if known else "no sign that the metric rises or falls with it"
        p = "" if one.trend.p is None else f", p {_equals(one.trend.p)}"
        told.append(f"{start} (rank correlation {one.trend.correlation:+.2f}{p}).")
    if one.note:
        told.append(f" {one.note}")
    return f"{choice(name)}: {''.join(told).strip()}"


def _share(one: Effect) -> str:
    return "" if one.share is None else f"; {percent(one.share)} of the variance"


def _equals(p: float) -> str:
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"


def _lead(comparison: Comparison, best: int) -> Pair | None:
    """The pair of the best row and the next one."""
    later = [i for i, figure in enumerate(comparison.values) if figure is not None and i != best]
    sign = 1 if comparison.mode == "max" else -1
    second = max(later, key=lambda i: sign * comparison.values[i].mean)  # type: ignore[union-attr]
    return next((pair for pair in comparison.pairs if {pair.a, pair.b} == {best, second}), None)


def _of_lead(pair: Pair, labels: Sequence[str], comparison: Comparison) -> str:
    most = max(value.n for i in (pair.a, pair.b) if (value := comparison.values[i]) is not None)
    shared = f" at the {pair.n} seeds that both have" if pair.shares_seeds and pair.n < most else ""
    ahead = pair.difference >= 0 if comparison.mode == "max" else pair.difference <= 0
    lead = f"Its lead over the next, “{labels[pair.b]}”, is {size(pair.difference)}{shared}"
    if not ahead:
        lead = f"The next, “{labels[pair.b]}”, is {size(pair.difference)} ahead of it{shared}"
    if pair.low is None:
        return f"{lead}. Whether that is more than chance cannot be told: {_lowered(pair.reason)}"
    bounds = f"95 % interval of the difference {interval(pair.low, pair.high, sign=True)}"
    if pair.within_noise:
        return f"{lead}, which is within the noise of the seeds ({bounds})."
    adjusted = "" if pair.p_adjusted is None else f", p {_equals(pair.p_adjusted)} after correction for all pairs"
    if verdict(pair).startswith("may"):
        return f"{lead}, which may be chance among so many pairs ({bounds}{adjusted})."
    return f"{lead}, which is more than the noise of the seeds ({bounds}{adjusted})."


def _others(comparison: Comparison, best: int) -> list[str]:
    """How many other configurations cannot be told from the best; nothing where none at all could be tested."""
    pairs = [pair for pair in comparison.pairs if best in (pair.a, pair.b)]
    close = sum(not verdict(pair).startswith("larger") for pair in pairs)
    if len(pairs) < 2 or not close or all(pair.low is None for pair in pairs):
        return []
    if close == len(pairs):
        return [f"None of the {close} other configurations can be told from it."]
    return [f"{close} of the {len(pairs)} other configurations cannot be told from it."]


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:] if text else "nothing is known about the noise."
