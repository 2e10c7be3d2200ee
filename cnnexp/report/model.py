"""The additive model of all runs, `value ~ factor + factor + … + seed`: which factors they can tell apart.

It is fitted to single runs by least squares, so that runs that are missing tilt nothing. A seed decides the weights at
the start, the split and the order of the samples of every run that has it. Where runs share their seeds, a seed is a
block: differences are those within seeds, and means are those over all seeds, of which the tried ones are a sample.
Elsewhere seeds are no part of the model: what they change is the noise that everything is measured against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cnnexp.report.factors import Factor
from cnnexp.report.observations import Observation
from cnnexp.report.statistics import Estimate, Fit, FTest, RandomBlocks, Vector

AGAIN = "run each with other seeds as well (sweep.seeds=2)"


@dataclass(frozen=True)
class Model:
    """The additive model of some factors.

    Arguments:
        factors: those of the model; none of them follows from the others.
        left_out: why another factor is not in the model, by its name.
        joined: the names of factors that followed from one of the model, by its name.
        observations: the runs, at least one.
    """

    factors: tuple[Factor, ...]
    left_out: Mapping[str, str]
    joined: Mapping[str, Sequence[str]]
    observations: Sequence[Observation]

    @cached_property
    def y(self) -> Vector:
        """What the runs reached, (runs,)."""
        return np.array([o.value for o in self.observations])

    @cached_property
    def fit(self) -> Fit:
        """The whole model."""
        return Fit(self.design(), self.y)

    @cached_property
    def blocks(self) -> Vector:
        """The columns of the seeds, (runs, seeds - 1); none where seeds are no blocks.

        They are where most runs share their seed with another one, where the runs can tell every seed from the factors,
        and where they leave something to measure the noise with.
        """
        index = {seed: i for i, seed in enumerate(self._of_seeds)}
        coded = _sum_coded(len(index))[[index[o.seed] for o in self.observations]]
        fit = Fit(np.hstack([self._factors(), coded]), self.y)
        told = fit.rank == self._without_seeds.rank + len(index) - 1 and fit.df > 0
        return coded if 2 * self._sharing > len(self.observations) and told else coded[:, :0]

    @property
    def seeds_are_blocks(self) -> bool:
        """Whether seeds are part of the model."""
        return bool(self.blocks.size)

    @property
    def method(self) -> str:
        """What intervals and tests rest on, in a sentence or two; empty where there are none."""
        if not self.factors or not self.fit.noise:
            return ""
        if self.seeds_are_blocks:
            return (
                "Runs share their seeds, so the seed is a block of the model: differences and their tests are within "
                "seeds, and the intervals of means hold for other seeds too."
            )
        if len(self._of_seeds) == 1:
            return "All runs have the same seed: intervals and tests say nothing about other seeds."
        if self._sharing:
            return (
                "The runs share their seeds too little to take them out: intervals and tests take them as independent."
            )
        return "Every run has a seed of its own: intervals and tests take the runs as independent."

    def tried(self, factor: Factor) -> list[str]:
        """The values of a factor that a run of the model has, in the factor's order."""
        return _tried(factor, self.observations)

    def design(self, *without: Factor) -> Vector:
        """A column of ones and the columns of all factors but some and of the blocks: (runs, columns)."""
        return np.hstack([self._factors(*without), self.blocks])

    def mean(self, combination: Vector) -> Estimate:
        """A mean over all seeds, as a combination of the columns."""
        return self._over_seeds.estimate(combination) if self._over_seeds else self.fit.estimate(combination)

    def of_seeds(self) -> FTest:
        """What the seed explains beyond the factors."""
        return Fit(np.hstack([self._factors(), self._seeds]), self.y).beyond(self._without_seeds)

    def of_factors(self) -> FTest:
        """What all factors together explain beyond the blocks."""
        return self.fit.beyond(Fit(self.design(*self.factors), self.y))

    def no_noise(self, fit: Fit) -> str:
        """Why a fit has no noise to measure against; empty where it has."""
        if not fit.df:
            return f"There are no more runs than numbers to estimate, so nothing measures the noise: {AGAIN}."
        if not fit.varies:
            return "All runs reached the same number."
        if fit.noise:
            return ""
        alike = "Runs with the same values reached the same number"
        if self.seeds_are_blocks:
            alike = "Every seed shows the same differences"
        return f"{alike}, so nothing measures the noise."

    def marginal(self, factor: Factor) -> Vector:
        """The mean at each tried value, over all values of the other factors, as combinations: (values, columns)."""
        widths = [len(self.tried(f)) - 1 for f in self.factors]
        at = self.factors.index(factor)
        start = 1 + sum(widths[:at])
        combinations = np.zeros((widths[at] + 1, 1 + sum(widths) + self.blocks.shape[1]))
        combinations[:, 0] = 1
        combinations[:, start : start + widths[at]] = _sum_coded(widths[at] + 1)
        return combinations

    @cached_property
    def _of_seeds(self) -> Counter[str]:
        return Counter(o.seed for o in self.observations)

    @property
    def _sharing(self) -> int:
        """How many runs have the seed of another run."""
        return sum(n for n in self._of_seeds.values() if n > 1)

    @property
    def _seeds(self) -> Vector:
        return np.array([[o.seed == seed for seed in self._of_seeds] for o in self.observations], dtype=float)

    @cached_property
    def _without_seeds(self) -> Fit:
        return Fit(self._factors(), self.y)

    @cached_property
    def _over_seeds(self) -> RandomBlocks | None:
        return RandomBlocks(self.fit, self._without_seeds, self._seeds) if self.seeds_are_blocks else None

    def _factors(self, *without: Factor) -> Vector:
        return _design([f for f in self.factors if f not in without], self.observations)


def model(found: Sequence[Factor], observations: Sequence[Observation]) -> Model:
    """The model of some factors, without those that follow from the others.

    Arguments:
        found: the factors.
        observations: the runs, at least one.
    """
    kept = [f for f in found if len(_tried(f, observations)) > 1]
    left_out = {f.name: "Only one of its values has a run with a number." for f in found if f not in kept}
    joined: dict[str, list[str]] = {}
    rank = _rank(kept, observations)
    for factor in sorted(kept, key=lambda f: (len(_tried(f, observations)), -found.index(f))):
        others = [f for f in kept if f is not factor]
        if not others or _rank(others, observations) < rank:
            continue
        kept = others
        near = next((f for f in others if _follows(factor, f, observations)), None)
        if near is None:
            left_out[factor.name] = "The runs cannot tell its effect from that of the other factors together."
            continue
        left_out[factor.name] = f"It moved together with {near.name}, and its effect is counted there."
        joined.setdefault(near.name, []).extend([factor.name, *joined.pop(factor.name, [])])
    names = [f.name for f in found]
    return Model(tuple(kept), left_out, {k: sorted(of, key=names.index) for k, of in joined.items()}, observations)


def _tried(factor: Factor, observations: Sequence[Observation]) -> list[str]:
    found = {factor.of_rows[o.row] for o in observations}
    return [value for value in factor.values if value in found]


def _design(found: Sequence[Factor], observations: Sequence[Observation]) -> Vector:
    blocks = [np.ones((len(observations), 1))]
    for factor in found:
        index = {value: i for i, value in enumerate(_tried(factor, observations))}
        blocks.append(_sum_coded(len(index))[[index[factor.of_rows[o.row]] for o in observations]])
    return np.hstack(blocks)


def _sum_coded(levels: int) -> Vector:
    """Columns that sum to 0 over the levels, so that 0 in all of them is the mean of the levels."""
    return np.vstack([np.eye(levels - 1), np.full((1, levels - 1), -1.0)])


def _rank(found: Sequence[Factor], observations: Sequence[Observation]) -> int:
    return int(np.linalg.matrix_rank(_design(found, observations), rtol=1e-10))


def _follows(factor: Factor, other: Factor, observations: Sequence[Observation]) -> bool:
    """Whether the value of a factor follows from that of another one."""
    both = {(factor.of_rows[o.row], other.of_rows[o.row]) for o in observations}
    return len(both) == len({value for _, value in both})
