"""What a reader has to know before believing a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cnnexp.records import Run
from cnnexp.report.conditions import code_of, data_of, device_of, versions_of
from cnnexp.report.failures import title
from cnnexp.report.model import Model
from cnnexp.report.observations import Observation, without_number
from cnnexp.report.pairs import Pair
from cnnexp.report.planned import Sweep, sweeps
from cnnexp.report.ranking import Ranking, counted

_NAMED = 5
_CERTAIN = 0.01  # of hundreds of reports some would say it by chance


@dataclass(frozen=True)
class Caution:
    """What a reader has to know before believing a comparison.

    Arguments:
        kind: a short stable word: "code", "data", "device", "noise", "one-seed", "seeds-missing", "repeated-seed",
            "seed", "unfinished", "not-finite" or "selection".
        text: a plain sentence, or a few.
    """

    kind: str
    text: str


def cautions(
    ranking: Ranking,
    metric: str | None,
    best_first: Sequence[int],
    observations: Sequence[Observation],
    pairs: Sequence[Pair],
    model: Model | None,
    begun: Sequence[Sweep],
) -> tuple[Caution, ...]:
    """What to know about a comparison, the most serious first.

    Arguments:
        ranking: the configurations.
        metric: what is compared.
        best_first: the indices of the rows that have a mean, in order.
        observations: the runs that count.
        pairs: the differences between rows.
        model: the additive model of the effects, where there is one.
        begun: the sweeps whose missing jobs are told here, and in no other comparison of the same runs.
    """
    return (
        *_conditions([o.run for o in observations]),
        *_seeds(ranking, best_first, observations),
        *_noise(ranking, metric, best_first, observations, pairs),
        *_seed(model),
        *(Caution("unfinished", sweep.told) for sweep in begun if sweep.missing),
        *_left_out(ranking, metric, observations),
        *_selection(ranking, metric, observations),
    )


def _conditions(runs: Sequence[Run]) -> Iterator[Caution]:
    codes = _counted(map(code_of, runs))
    if len(codes) > 1:
        yield Caution("code", f"The runs come from different code: {_listed(codes)}.")
    elif len(runs) > 1 and any(code.endswith("with changes") for code in codes):
        yield Caution("code", "The runs were started with uncommitted changes, so their code may differ.")
    for name in sorted({name for run in runs for name in versions_of(run)}):
        versions = _counted(versions_of(run).get(name) for run in runs)
        if len(versions) > 1:
            yield Caution("code", f"The runs used different versions of {name}: {_listed(versions)}.")
    data = _counted(map(data_of, runs))
    if len(data) > 1:
        yield Caution(
            "data", f"The runs saw different data, fingerprints {_listed(data)}: their numbers do not compare."
        )
    devices = _counted(map(device_of, runs))
    if len(devices) > 1:
        yield Caution(
            "device", f"The runs were trained on different devices: {_listed(devices)}; their seconds do not compare."
        )


def _seeds(ranking: Ranking, best_first: Sequence[int], observations: Sequence[Observation]) -> Iterator[Caution]:
    of_row = {i: [o.seed for o in observations if o.row == i] for i in best_first}
    single = [i for i in best_first if len(of_row[i]) == 1]
    if len(best_first) > 1 and len(single) == len(best_first):
        text = "One seed each: nothing can be said about noise. Repeat with other seeds (sweep.seeds=3)."
        yield Caution("one-seed", text)
    else:
        if len(best_first) > 1 and single:
            named = _names([_row(ranking, i) for i in single])
            yield Caution("one-seed", f"{_rows(len(single))} one seed only, so nothing is known of the noise: {named}.")
        most = max(map(len, of_row.values()), default=0)
        missing = [i for i in best_first if 1 < len(of_row[i]) < most]
        if missing:
            named = _names([f"{_row(ranking, i)} with {len(of_row[i])}" for i in missing])
            yield Caution("seeds-missing", f"{_rows(len(missing))} fewer seeds than the {most} of others: {named}.")
    repeated = sum(len(done) - len(counted(done)) for done in _completed(ranking))
    if repeated:
        runs = f"{repeated} completed {'run repeats' if repeated == 1 else 'runs repeat'} a seed of the same row"
        yield Caution("repeated-seed", f"{runs}: of runs with the same seed only the last counts.")


def _noise(
    ranking: Ranking,
    metric: str | None,
    best_first: Sequence[int],
    observations: Sequence[Observation],
    pairs: Sequence[Pair],
) -> Iterator[Caution]:
    top = next((p for p in pairs if [p.a, p.b] == list(best_first[:2])), None)
    if top is None or not top.within_noise:
        return
    a, b = _row(ranking, top.a), _row(ranking, top.b)
    if top.low is not None and top.high is not None:
        interval = f"{top.difference:.3g}, 95 % interval {top.low:.3g} to {top.high:.3g}"
        most = max(sum(o.row == i for o in observations) for i in (top.a, top.b))
        shared = f"at the {top.n} seeds that both have " if top.shares_seeds and top.n < most else ""
        text = (
            f"The best ({a}) and the second ({b}) are within seed noise: {shared}they differ in {metric} by {interval}."
        )
        yield Caution("noise", text)
    elif sum(o.row in (top.a, top.b) for o in observations) > 2:  # one run each is told by itself
        yield Caution("noise", f"It is not known whether the best ({a}) is better than the second ({b}). {top.reason}")


def _seed(model: Model | None) -> Iterator[Caution]:
    test = model.of_seeds() if model is not None and model.factors else None
    if model is None or test is None or test.share is None or test.p is None or test.p >= _CERTAIN:
        return
    explained = f"it explains {100 * test.share:.0f} % of the variance"
    changes = model.of_factors().share or 0.0
    if not model.seeds_are_blocks:
        yield Caution(
            "seed",
            f"The seed decides much: {explained}, and the runs share their seeds too little to take it out. So do not "
            "rely on the intervals and tests of what each change does, which take the runs as independent. Run every "
            "row with the same seeds (sweep.seeds=3).",
        )
    elif test.share > changes:
        yield Caution(
            "seed",
            f"The seed decides more than the changes do: {explained}, and all changes together explain "
            f"{100 * changes:.0f} %. Differences are measured within seeds and are not touched by it, but with another "
            "seed expect other numbers.",
        )


def _left_out(ranking: Ranking, metric: str | None, observations: Sequence[Observation]) -> Iterator[Caution]:
    runs = [run for row in ranking.rows for run in row.runs]
    ended = Counter(run.status if run.status != "None" else "of unknown end" for run in runs)
    ended.pop("completed", None)
    if ended:
        told = ", ".join(f"{count} {status}" for status, count in sorted(ended.items()))
        verb = "is" if ended.total() == 1 else "are"
        text = f"{ended.total()} of {len(runs)} runs did not complete and {verb} left out: {told}."
        cures = [sweep.cure for sweep in sweeps(run for run in runs if run.status != "completed")]
        if cures:
            text += (
                f" {_names(cures)} {'goes' if len(cures) == 1 else 'go'} on with {'it' if verb == 'is' else 'them'}."
            )
        yield Caution("unfinished", text)
    without = [run.path.name for run in without_number(ranking, observations)]
    if without and metric:
        yield Caution(
            "not-finite",
            f"{len(without)} completed {'run has' if len(without) == 1 else 'runs have'} no finite {metric} and "
            f"{'is' if len(without) == 1 else 'are'} left out: {_names(without)}.",
        )


def _selection(ranking: Ranking, metric: str | None, observations: Sequence[Observation]) -> Iterator[Caution]:
    if not observations or not metric or not metric.startswith("val_") or metric != ranking.metric:
        return
    tested = f"test_{metric.removeprefix('val_')}"
    honest = f"; {tested} is the honest number" if tested in ranking.tested else ""
    yield Caution(
        "selection",
        f"{metric} is that of the best epoch, chosen by the same samples that it is measured on, so it is a little too "
        f"good{honest}.",
    )


def _completed(ranking: Ranking) -> Iterator[list[Run]]:
    for row in ranking.rows:
        yield [run for run in row.runs if run.status == "completed"]


def _counted(texts: Iterable[str | None]) -> Counter[str]:
    return Counter(text for text in texts if text is not None)


def _listed(found: Counter[str]) -> str:
    texts = [f"{text} ({count} {'run' if count == 1 else 'runs'})" for text, count in sorted(found.items())]
    return _names(texts)


def _names(texts: Sequence[str]) -> str:
    more = [f"{len(texts) - _NAMED} more"] if len(texts) > _NAMED else []
    return ", ".join([*texts[:_NAMED], *more])


def _row(ranking: Ranking, index: int) -> str:
    row = ranking.rows[index]
    return title(row.changed) or row.runs[0].path.name


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count} rows have"
