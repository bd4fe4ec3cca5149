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
    """One variant on one data set; what it lacks, as the best has no difference, is None."""

    variant: str  # what tells it from the others
    fields: Mapping[str, Any]  # the same by dotted key
    seeds: int
    folds: int  # of each seed; 0: the data is not divided into folds
    mean: float  # of the measure that ranks, over seeds and folds
    deviation: float | None  # None for one value
    adjusted: float  # with all seeds and folds of the table, see `adjusted_means`: orders the rows
    difference: float | None = None  # from the best: mean of paired differences
    low: float | None = None  # ends of its 95 % confidence interval
    high: float | None = None
    effect: float | None = None  # Cohen's d_z
    p: float | None = None  # two-sided
    holm: float | None = None  # p after Holm's correction for all pairs of variants
    factor: int = 0  # what p was multiplied with
    spread: float = math.nan  # standard deviation of the paired differences
    pairs: int = 0  # how many differences there are
    measures: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    runs: Sequence[str] = ()  # ids


@dataclass(frozen=True)
class Table:
    """The variants on one data set, best first; those without a value come last."""

    name: str  # the data set, and what else tells it from other tables
    facts: Mapping[str, Any]  # ``dataset``, ``split``, and what else the runs have in common
    data: Mapping[str, Any]  # name, samples, features
    decision: RankingCriterion
    rows: Sequence[Row]
    test: str  # name of the test; empty where nothing could be tested
    tests: int  # pairs of variants that were tested
    ratio: float  # what the variance was corrected by
    baseline: float | None = None  # what an answer that learns nothing would measure
    ends: Mapping[str, str] = field(default_factory=dict)  # of each measure: greater, less, 0, ""
    sentence: str = ""  # which variant won, and how sure that is
    method: str = ""  # what the numbers are, and how they were tested
    is_tested: bool = True  # False: an unfinished sweep with too many variants to test

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
    """Variants over several data sets, the least mean rank first."""

    name: str  # what the tables have in common, where there are several of these
    tables: Sequence[str]
    variants: Sequence[str]
    ranks: NDArray[float64]  # (variants, tables)
    test: RankTest | None  # None: there are too few data sets
    sentence: str = ""  # which variant has the best mean rank, and how sure that is

    @property
    def means(self) -> NDArray[float64]:
        """The mean rank of each variant."""
        found: NDArray[float64] = self.ranks.mean(axis=1)
        return found
