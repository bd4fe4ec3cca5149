"""Tables of ranked variants: what `compare` returns, and what sentences and files are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy import float64
from numpy.typing import NDArray

from dbgsom_core.runs.compare.criterion import RankingCriterion
from dbgsom_core.runs.compare.stats import RankTest


@dataclass(frozen=True)
class Row:
    """One variant on one data set.

    Attributes
    ----------
    variant : str
        What tells it from the others.
    fields : mapping of str to value
        The same by dotted key.
    seeds, folds : int
        Of how many seeds, and of how many folds for each, the values are; no folds: 0.
    mean, deviation : float
        Of the measure that ranks, over seeds and folds; the deviation is None for one value.
    adjusted : float
        What the mean would be with all seeds and folds of the table (see `adjusted_means`): rows
        are in its order. Where all have the same it is the mean.
    difference, low, high, effect, p, holm : float or None
        From the best variant: the mean of paired differences, its 95 % confidence interval,
        Cohen's d_z, the two-sided p, and the same after Holm's correction for all pairs of
        variants. None for the best, and where nothing is paired or nothing spreads.
    factor : int
        What p was multiplied with.
    spread : float
        Standard deviation of the paired differences, NaN without.
    pairs : int
        How many differences there are.
    measures : mapping of str to (float, float or None)
        Mean and deviation over seeds and folds of every measure.
    runs : sequence of str
        Ids of the runs.
    """

    variant: str
    fields: Mapping[str, Any]
    seeds: int
    folds: int
    mean: float
    deviation: float | None
    adjusted: float
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    effect: float | None = None
    p: float | None = None
    holm: float | None = None
    factor: int = 0
    spread: float = math.nan
    pairs: int = 0
    measures: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    runs: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """The variants on one data set, best first.

    Attributes
    ----------
    name : str
        The data set, and what else tells it from other tables.
    facts : mapping
        ``dataset``, ``split``, and what else the runs have in common.
    data : mapping
        Facts of the data: name, samples, features.
    decision : RankingCriterion
    rows : sequence of Row
        Variants without a value come last.
    test : str
        The name of the test; empty where nothing could be tested.
    tests : int
        How many pairs of variants were tested.
    ratio : float
        What the variance was corrected by.
    baseline : float or None
        What an answer that learns nothing would measure: always the most frequent class of the
        training part (accuracy, balanced accuracy), or always the mean (r2). None: not known.
    ends : mapping of str to str
        Which values of each measure are best: ``greater``, ``less``, ``0``, or nothing where no
        plugin says it.
    sentence : str
        Which variant won, and how sure that is.
    method : str
        What the numbers are, and how they were tested.
    is_tested : bool
        False where a sweep that goes on has too many variants to test each against each.
    """

    name: str
    facts: Mapping[str, Any]
    data: Mapping[str, Any]
    decision: RankingCriterion
    rows: Sequence[Row]
    test: str
    tests: int
    ratio: float
    baseline: float | None = None
    ends: Mapping[str, str] = field(default_factory=dict)
    sentence: str = ""
    method: str = ""
    is_tested: bool = True

    @property
    def ranked(self) -> list[Row]:
        """The rows that have a value."""
        return [row for row in self.rows if row.mean == row.mean]

    @property
    def is_adjusted(self) -> bool:
        """Whether variants lack seeds or folds of others, so that the order is of other means."""
        return any(not math.isclose(row.adjusted, row.mean, rel_tol=1e-12) for row in self.ranked)

    @property
    def tied(self) -> list[str]:
        """The variants that are as good as the first, rounding aside."""
        key = self.decision.sort_key
        first, *others = self.ranked
        return [row.variant for row in others if key(row.adjusted) == key(first.adjusted)]


@dataclass(frozen=True)
class MeanRanks:
    """Variants over several data sets: mean ranks, the least first.

    Attributes
    ----------
    name : str
        What the tables have in common, where there are several of these.
    tables : sequence of str
        Their names.
    variants : sequence of str
    ranks : array (variants, tables)
    test : RankTest or None
        None: there are too few data sets.
    sentence : str
        Which variant has the best mean rank, and how sure that is.
    """

    name: str
    tables: Sequence[str]
    variants: Sequence[str]
    ranks: NDArray[float64]
    test: RankTest | None
    sentence: str = ""

    @property
    def means(self) -> NDArray[float64]:
        """The mean rank of each variant."""
        found: NDArray[float64] = self.ranks.mean(axis=1)
        return found
