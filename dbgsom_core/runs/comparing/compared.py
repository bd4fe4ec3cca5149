"""What a comparison of runs found: tables of variants, and rankings over data sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dbgsom_core.runs.comparing.deciding import Decision
from dbgsom_core.runs.comparing.paired import RankTest
from dbgsom_core.runs.folder import StoredRun


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
        Of the deciding measure over seeds and folds; the deviation is None for one value.
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
    difference: float | None
    low: float | None
    high: float | None
    effect: float | None
    p: float | None
    holm: float | None
    factor: int
    spread: float
    pairs: int
    measures: Mapping[str, tuple[float, float | None]]
    runs: Sequence[str]


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
    decision : Decision
    rows : sequence of Row
        Variants without a value come last.
    test : str
        The name of the test; empty where nothing could be tested.
    tests : int
        How many pairs of variants were tested.
    ratio : float
        What the variance was corrected by.
    sentence : str
        Which variant won, and how sure that is.
    method : str
        What the numbers are, and how they were tested.
    baseline : float or None
        What an answer that learns nothing would measure: always the most frequent class of the
        training part (accuracy, balanced accuracy), or always the mean (r2). None: not known.
    ends : mapping of str to str
        Which values of each measure are best: ``greater``, ``less``, ``0``, or nothing where no
        plugin says it.
    """

    name: str
    facts: Mapping[str, Any]
    data: Mapping[str, Any]
    decision: Decision
    rows: Sequence[Row]
    test: str
    tests: int
    ratio: float
    sentence: str = ""
    method: str = ""
    ends: Mapping[str, str] = field(default_factory=dict)
    baseline: float | None = None

    @property
    def ranked(self) -> list[Row]:
        """The rows that have a value."""
        return [row for row in self.rows if row.mean == row.mean]

    @property
    def is_adjusted(self) -> bool:
        """Whether variants lack seeds or folds of others, so that the order is of other means."""
        return any(not math.isclose(row.adjusted, row.mean, rel_tol=1e-12) for row in self.ranked)


@dataclass(frozen=True)
class Ranking:
    """Variants over several data sets: mean ranks, the least first.

    Attributes
    ----------
    name : str
        What the tables have in common, where there are several rankings.
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
    ranks: Any
    test: RankTest | None
    sentence: str = ""

    @property
    def means(self) -> Any:
        """The mean rank of each variant."""
        return self.ranks.mean(axis=1)


@dataclass(frozen=True)
class Compared:
    """All that was found.

    Attributes
    ----------
    decision : Decision
        The measure that ranks.
    tables : sequence of Table
        One for each data set; different data sets, or divisions, are not ranked together.
    rankings : sequence of Ranking
        Where the same variants ran on several data sets.
    notes : sequence of str
        What else a reader should know: runs that are not finished, that repeat others, ….
    damaged : mapping of str to str
        What is wrong with the folders that cannot be read, by their names.
    runs : sequence of StoredRun
        All that were compared.
    """

    decision: Decision
    tables: Sequence[Table]
    rankings: Sequence[Ranking]
    notes: Sequence[str]
    damaged: Mapping[str, str]
    runs: Sequence[StoredRun]

    @property
    def sentence(self) -> str:
        """What it says, a line each data set, and one over all of them."""
        told = [
            f"{table.name}: {table.sentence}" if len(self.tables) > 1 else table.sentence
            for table in self.tables
        ]
        return "\n".join([*told, *(ranking.sentence for ranking in self.rankings)])
