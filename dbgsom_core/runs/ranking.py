"""Rank the variants of runs, for `compare` and for sweeps.

`observations` is one data frame with a row for each held-out value; all that is said of variants
are groups of its rows. A new fact of runs is a column there. A new statistic of variants is a
column of what `rank_runs` makes of them, which `compare.columns_of` shows; a new test is a function
in `stats.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from dbgsom_core.config import DecideSettings, shortened
from dbgsom_core.errors import DataError, DbgsomError, did_you_mean
from dbgsom_core.experiments.trackers import Ranking, Variant
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.manifest import data_title, is_reference
from dbgsom_core.runs.stats import (
    RankTest,
    adjusted_means,
    deviations,
    holm,
    paired_t,
    rank_test,
    without_rounding,
)

PARTS = ("test", "train")
SECONDARY = ("accuracy", "r2", "quantization_error", "topographic_error")
UNEVEN = 2 / 3  # share of one class above which accuracy says little
_DIGITS = 12  # in which means must differ: more may be how they were summed

# The defaults of each estimator, of which the first that the runs have ranks. A quantization error
# alone would always choose the largest map; the combined error (Kaski & Lagus 1996) adds to it what
# the map's folds cost, in the same units.
_OF_MAPS = ("combined_error", "quantization_error", "topographic_error")
_DEFAULTS = {
    "classifier": ("accuracy", "balanced_accuracy", *_OF_MAPS),
    "regressor": ("r2", "rmse", *_OF_MAPS),
    "vq": _OF_MAPS,
}
# Keys that neither change a map nor what it learns from, and those of data and its division.
_NOT_OF_VARIANTS = {
    "experiment", "name", "tracking", "figures", "measures", "sweep", "extends",
    "plugins", "tags", "engine", "dataset", "split", "seed", "stability", "report",
}  # fmt: skip

_OF_DATA = {"data", "dataset", "digest", "test"}  # what `_split_config` says of the data itself

Tree = Mapping[str, Any]
Frame = Any  # a data frame or a column of pandas, whose types do not know names of columns


# ---------------------------------------------------------------------------------- what ranks


@dataclass(frozen=True)
class RankingCriterion:
    """A measure, its better end, and the part of the data that it is taken on."""

    measure: str  # without its part: ``accuracy``
    direction: Literal["maximize", "minimize"]
    split: str = "test"  # empty where the measure has no part
    from_zero: bool = False  # the measure is best at 0: its absolute value ranks
    in_units: bool = False  # of distances: other metrics and preparations are not ranked together
    span: float = math.inf  # the largest difference that two values can have
    largest: float = 0.0  # share of the largest class, where the measure was chosen for it

    @property
    def name(self) -> str:
        return f"{self.split}/{self.measure}" if self.split else self.measure

    @property
    def reason(self) -> str:
        """Return why the measure ranks where accuracy usually does, as a sentence; else nothing."""
        if not self.largest:
            return ""
        return (
            f"{self.measure} decides, as {100 * self.largest:.0f} % of the samples to train on are "
            "of one class; by accuracy: --by accuracy, or decide: {measure: accuracy} in a sweep"
        )

    @property
    def end(self) -> str:
        if self.from_zero:
            return "0"
        return "greater" if self.greater_is_better else "less"

    @property
    def greater_is_better(self) -> bool:
        return self.direction == "maximize"

    def value(self, measures: Mapping[str, float]) -> float:
        value = float(measures.get(self.name, math.nan))
        return abs(value) if self.from_zero else value

    def sort_key(self, value: float) -> tuple[bool, float]:
        """Return a key that sorts values, best first and NaN last; rounding aside."""
        if math.isnan(value):
            return True, 0.0
        value = float(f"{value:.{_DIGITS}g}")
        return False, -value if self.greater_is_better else value


def find_criterion(
    settings: DecideSettings, runs: Iterable[StoredRun], registry: Registry
) -> RankingCriterion | None:
    """Return the criterion of runs, None where they have none of the default measures."""
    runs = list(runs)
    known = list(dict.fromkeys(name for run in runs for name in run.measures))
    parts = PARTS if settings.split is None else (settings.split,)
    largest = 0.0
    if settings.measure is None:
        kinds = {str(_mapping(run.config.get("model")).get("estimator", "vq")) for run in runs}
        kind = kinds.pop() if len(kinds) == 1 else "vq"
        names = [*_DEFAULTS.get(kind, _OF_MAPS)]
        if kind == "classifier":
            largest = max(_baseline(run, "train/accuracy") or 0.0 for run in runs)
        if largest > UNEVEN:
            names.insert(0, "balanced_accuracy")
        wanted = [f"{part}/{name}" for part in parts for name in names]
    else:
        wanted = [settings.measure, *(f"{part}/{settings.measure}" for part in parts)]
    found = next((name for name in wanted if name in known), None)
    if found is None and settings.measure is None:
        return None
    if found is None:
        others = [name.partition("/")[2] for name in known]
        near = did_you_mean(wanted[0], [*known, *others])
        part = "" if settings.split is None else f" on the {settings.split} part"
        raise DataError(
            f"no finished run has the measure '{wanted[0]}'{part}{near}; available: "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    part, _, measure = found.rpartition("/")
    if part not in PARTS:
        part, measure = "", found
    direction = settings.direction
    end = "" if direction else best_end(found, registry)
    if not direction and not end:
        raise DataError(f"no plugin offers the measure '{measure}'; say the direction")
    if measure != "balanced_accuracy" or largest <= UNEVEN:
        largest = 0.0
    cls = _measure_class(found, registry)
    return RankingCriterion(
        measure,
        direction or ("maximize" if end == "greater" else "minimize"),
        part,
        from_zero=end == "0",
        in_units=cls is not None and bool(cls.in_metric_units),
        span=math.inf if cls is None else float(cls.bounds[1] - cls.bounds[0]),
        largest=largest,
    )


def _baseline(run: StoredRun, name: str) -> float | None:
    """Return what an answer that learns nothing measures; None: not known."""
    value = _mapping(run.data.get("baseline")).get(name)
    return float(value) if isinstance(value, (int, float)) else None


def _measure_class(name: str, registry: Registry) -> Any:
    """Return the class of a measure by its logged name, ``test/NAME:OPTIONS``; None: not known."""
    bare = name.rpartition("/")[2].rpartition(":")[2]
    known = []
    for offered in registry.names("measure"):
        if bare == offered or (bare.startswith(offered) and not bare[len(offered)].isalnum()):
            known.append(offered)
    try:
        return registry.find("measure", max(known, key=len)) if known else None
    except DbgsomError:  # its plugin is broken
        return None


def best_end(name: str, registry: Registry) -> str:
    """Return which values of a measure are best: greater, less, 0, or nothing if not known."""
    if name.startswith("test_std/"):  # the spread over folds, of whatever it is
        return "less"
    measure = _measure_class(name, registry)
    if measure is None:
        return ""
    if measure.zero_is_best:
        return "0"
    return "greater" if measure.greater_is_better else "less"


def with_arrow(name: str, best: str) -> str:
    return name + {"greater": " ↑", "less": " ↓", "0": " →0"}.get(best, "")


# ------------------------------------------------------------------------- runs as a data frame


def observations(runs: Sequence[StoredRun], criterion: RankingCriterion) -> Frame:
    """Return a row for each held-out value: of a fold, or of a run as a whole.

    Its columns are ``number``, of the run in ``runs``, ``run``, its id, and ``data``, facts of its
    data; ``group``, equal in runs that are ranked together, with ``comparable_by``, the same as a
    mapping; ``variant``, equal in runs that differ in nothing but their ``seed``, with their
    ``settings``; ``division``, which names how the data was divided; ``ratio``, samples to test on
    over samples to train on; ``baseline`` and ``right``, the measure and the accuracy of an answer
    that learns nothing; ``value``, what ranks; and all measures. Older runs of the same
    configuration and seed are left out: they have the same result.
    """
    import pandas as pd

    rows = []
    for number, run in enumerate(runs):
        group, settings = _split_config(run, criterion.in_units)
        seed = str(run.config.get("seed", 42))
        if is_reference(seed):
            seed += f" of {run.parent or run.id}"
        known = group if group["digest"][0] is None else {**group, "dataset": None, "test": None}
        facts = {"number": number, "run": run.id, "data": run.data, "seed": seed}
        facts |= {"group": _json(known), "comparable_by": group}
        facts |= {"variant": _json(settings), "settings": settings}
        facts["baseline"] = _baseline(run, criterion.name)
        facts["right"] = _baseline(run, f"{criterion.split or PARTS[0]}/accuracy")
        of_folds = {name for fold in run.folds for name in fold.measures}
        whole = {name: value for name, value in run.measures.items() if name not in of_folds}
        sizes: Tree = _mapping(run.data.get("parts")) if "test_size" in group else {}
        divisions: list[tuple[str, Tree, Tree]] = [(f"seed {seed}", sizes, whole)]
        for fold in run.folds:
            sizes = {"train": max(1, fold.train_samples), "test": fold.test_samples}
            divisions.append((fold.split_digest, sizes, fold.measures))
        for division, sizes, measures in divisions:
            ratio, value = sizes.get("test", math.nan), criterion.value(measures)
            ratio /= sizes.get("train", math.nan)
            rows.append({**measures, **facts, "division": division, "ratio": ratio, "value": value})
    frame = pd.DataFrame(rows)
    frame["baseline"] = 0.0 if criterion.measure == "r2" else frame["baseline"].astype(float)
    newest = frame.groupby(["group", "variant", "seed"])["number"].transform("max")
    return frame[frame["number"] == newest]


def _split_config(run: StoredRun, in_units: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what must be equal in runs that are ranked together, and what makes a variant.

    A configuration with references to the environment may have any values: it equals that of no run
    but those of its sweep.
    """
    settings = {key: run.config[key] for key in run.config if key not in _NOT_OF_VARIANTS}
    settings |= _mapping(settings.pop("model", None))
    split = _mapping(run.config.get("split"))
    group = {key: value for key, value in split.items() if value not in (None, False)}
    group["dataset"] = run.config.get("dataset")
    if in_units:
        group |= {key: settings.pop(key, None) for key in ("metric", "prepare")}
    group["data"] = data_title(group["dataset"], str(run.data.get("name")))
    group["digest"] = [run.data.get("digest"), _mapping(run.data.get("test")).get("digest")]
    if "${env:" in _json(settings):
        settings["run"] = run.parent or run.id
    return group, settings


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


# ------------------------------------------------------------------------------------------ names


def differences(trees: Sequence[Tree]) -> list[dict[str, Any]]:
    """Return for each configuration the keys and values that tell it from the others.

    Components appear by name. A field stands below the name of its component, so that it is
    compared with those of the same component only: ``growth.fixed.rows``. Keys are shortened to
    their last part where that is unique.
    """
    top = dict.fromkeys(chain.from_iterable(trees))
    each = [_fields({key: tree.get(key, ...) for key in top}) for tree in trees]
    differing = []
    for key in dict.fromkeys(chain.from_iterable(each)):
        if len({repr(fields[key]) for fields in each if key in fields}) > 1:
            differing.append(key)
    found = []
    for fields in each:
        own = {short: fields.get(key, ...) for key, short in shortened(differing).items()}
        found.append({key: value for key, value in own.items() if value is not ...})
    return found


def _fields(tree: Tree, path: str = "") -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in tree.items():
        at = f"{path}{key}"
        if not isinstance(value, Mapping):
            fields[at] = _text(value)
            continue
        rest = dict(value)
        if "name" in rest:
            fields[at] = rest.pop("name")
            at += f".{fields[at]}"
        fields |= _fields(rest, f"{at}.")
    return fields


def _text(value: Any) -> Any:
    """Return a value of a configuration as it is, components and lists of them as text."""
    if isinstance(value, Mapping):
        return str(value.get("name", "")) + fields_text(
            {key: _text(item) for key, item in value.items() if key != "name"}
        )
    if isinstance(value, list):
        return " ".join(str(_text(item)) for item in value) or "none"
    return value


def fields_text(fields: Tree) -> str:
    """Return fields as ``kernel=bubble, rows=5``."""
    texts = []
    for key, value in fields.items():
        if value is None or isinstance(value, bool):
            value = json.dumps(value)
        texts.append(f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}")
    return ", ".join(texts)


def _group_names(trees: Sequence[Tree]) -> list[str]:
    """Return the name of the data of each group, with what tells it from groups of the same."""
    names = []
    for tree in trees:
        name, same = tree["data"], [other for other in trees if other["data"] == tree["data"]]
        fields = differences(same)[same.index(tree)]
        digest = fields.pop("digest", "")
        text = fields_text(fields) or digest[:8]
        names.append(f"{name}, {text}" if text else name)
    return names


# ---------------------------------------------------------------------------------------- ranking


@dataclass(frozen=True)
class VariantTable:
    """Variants on one data set.

    ``rows`` has a row for each, best first and those without a value last, with these columns:
    ``variant``, its name; ``seeds``, and ``folds`` of each seed; ``mean`` and ``std`` of what ranks
    over both; ``adjusted``, the mean with all seeds and folds of the table, which orders the rows;
    of differences from the best ``pairs``, ``difference``, ``low`` and ``high``, ``p``, and
    ``holm``, p after Holm's correction for all pairs of variants; ``runs``, their ids. Data frames
    of the same rows are ``fields``, what tells variants apart, and ``measures``, means of all
    measures, with ``spreads``, their standard deviations.
    """

    name: str  # the data set, and what else tells it from other tables
    divided_by: str  # equal in tables whose data is divided in the same way
    data: Tree  # name, samples, features
    criterion: RankingCriterion
    rows: Frame
    fields: Sequence[Tree]
    measures: Frame
    spreads: Frame
    tests: int  # pairs of variants that were tested
    ratio: float  # what the variance was corrected by
    baseline: float  # what an answer that learns nothing would measure; NaN: not known
    right: float  # its accuracy, where that does not rank

    @property
    def test(self) -> str:
        return "corrected resampled t-test" if self.ratio else "paired t-test"

    @property
    def ranked(self) -> list[Any]:
        """The rows with a value, best first, as named tuples."""
        return list(self.rows[self.rows["mean"].notna()].itertuples())

    @property
    def is_adjusted(self) -> bool:
        """Whether variants lack seeds or folds of others, so that the order is of other means."""
        return any(not math.isclose(row.adjusted, row.mean, rel_tol=1e-12) for row in self.ranked)

    @property
    def tied(self) -> list[str]:
        first, *others = self.ranked
        key = self.criterion.sort_key
        return [row.variant for row in others if key(row.adjusted) == key(first.adjusted)]


def rank_runs(
    runs: Sequence[StoredRun], criterion: RankingCriterion, *, interim: bool = False
) -> list[VariantTable]:
    """Return the variants of runs, a table for each group that can be ranked.

    Those that are ``interim`` are not tested.
    """
    from dbgsom_core.tables import numbered  # imports pyarrow

    frame = observations(runs, criterion)
    variants = frame.drop_duplicates("variant")
    fields = differences(list(variants["settings"]))
    texts = [fields_text(own) or "as it is" for own in fields]
    if len(variants) == 1:
        texts = [runs[-1].name]
    names = numbered(texts)
    frame["variant"] = frame["variant"].map(dict(zip(variants["variant"], names, strict=True)))
    groups = [group for _, group in frame.groupby("group", sort=False)]
    titles = numbered(_group_names([group["comparable_by"].iloc[0] for group in groups]))
    tables = []
    for title, group in zip(titles, groups, strict=True):
        rows, values = _statistics(group, criterion)
        ratio = group.dropna(subset="value")["ratio"].mean()
        ratio = float(ratio) if ratio > 0 else 0.0
        tests = _test_pairs(values, ratio, criterion.span, interim)
        measures = group[["variant", *(name for name in group if "/" in name)]].groupby("variant")
        means, spreads = measures.mean().loc[rows.index], measures.std().loc[rows.index]
        constant = group.drop_duplicates("seed")[["baseline", "right"]].mean(skipna=False)
        first = group.iloc[0]
        tree = first["comparable_by"]
        table = VariantTable(
            name=title,
            divided_by=_json({key: tree[key] for key in tree if key not in _OF_DATA}),
            data=first["data"],
            criterion=criterion,
            # the first tests are those of the best
            rows=rows.join(tests[~tests.index.duplicated()]).reset_index(names="variant"),
            fields=[fields[names.index(name)] for name in rows.index],
            measures=means.reset_index(drop=True),
            spreads=without_rounding(spreads, means).reset_index(drop=True),
            tests=int(tests["holm"].count()),
            ratio=ratio,
            baseline=constant["baseline"],
            right=math.nan if criterion.measure == "accuracy" else constant["right"],
        )
        tables.append(table)
    return tables


def _statistics(group: Frame, criterion: RankingCriterion) -> tuple[Frame, Frame]:
    """Return the statistics of variants, best first, and the values of those that have any."""
    rows = group.groupby("variant", sort=False)["run"].unique().map(tuple).to_frame("runs")
    valued = group.dropna(subset="value")
    values = valued.pivot(index="variant", columns=["seed", "division"], values="value")
    values = values.reindex(rows.index)
    rows["seeds"] = valued.groupby("variant")["seed"].nunique()
    rows["folds"] = (values.count(axis=1) / rows["seeds"]).round()
    rows["folds"] = rows["folds"].where(rows["folds"] > 1, 0)
    rows = rows.fillna({"seeds": 0}).astype({"seeds": int, "folds": int})
    rows["mean"], rows["std"] = values.mean(axis=1), deviations(values)
    rows["adjusted"] = adjusted_means(values.to_numpy())
    rows["order"] = rows["adjusted"].map(criterion.sort_key)
    rows = rows.sort_values(["order", "variant"]).drop(columns="order")
    return rows, values.loc[rows.index].dropna(how="all")


def _test_pairs(values: Frame, ratio: float, span: float, interim: bool) -> Frame:
    """Test each variant, best first, against each after it; interim: none.

    All pairs are tested, as the best was chosen for what it measured.
    """
    import pandas as pd

    tests = [paired_t(values[:0])]
    largest = values.abs().max().max() if values.size else 0.0
    for place in range(0 if interim else len(values) - 1):
        apart = values.iloc[place + 1 :] - values.iloc[place]
        apart = apart.T.groupby(level="division").mean().T  # seeds may divide the data alike
        tests.append(paired_t(apart, ratio, largest))
    pairs = pd.concat(tests)
    pairs[["low", "high"]] = pairs[["low", "high"]].clip(-span, span)
    pairs["holm"] = holm(pairs["p"])
    return pairs


def ranking_of(table: VariantTable, verdict: str, registry: Registry) -> Ranking:
    """Return a table of a sweep's runs as its record."""
    criterion, variants = table.criterion, []
    for row, fields in zip(table.rows.itertuples(), table.fields, strict=True):
        means = table.measures.loc[row.Index].dropna().to_dict()
        spreads = table.spreads.loc[row.Index].dropna().to_dict()
        variants.append(Variant(row.variant, fields, means, spreads, row.runs))
    names = [criterion.name]
    for name in SECONDARY:
        full = f"{criterion.split}/{name}".strip("/")
        if full in table.measures and full not in names:
            names.append(full)
    ends = {name: best_end(name, registry) for name in names}
    ends[criterion.name] = "greater" if criterion.greater_is_better else "less"
    return Ranking(
        table.name, names, criterion.direction, variants, verdict, criterion.reason, ends
    )


# --------------------------------------------------------------------------------- over data sets


@dataclass(frozen=True)
class MeanRanks:
    """Variants over several data sets, the least mean rank first."""

    ranks: Frame  # (variants, data sets)
    test: RankTest | None  # None: there are too few data sets

    @property
    def means(self) -> Frame:
        return self.ranks.mean(axis=1)


def rank_over_data_sets(tables: Sequence[VariantTable]) -> list[MeanRanks]:
    """Return the ranks of variants over data sets that are divided alike, where there are any."""
    import pandas as pd

    columns = {t.name: t.rows.set_index("variant")["adjusted"].dropna() for t in tables}
    means = pd.concat(columns, axis=1, join="inner")
    if len(tables) < 2 or len(means) < 2 or len({table.divided_by for table in tables}) > 1:
        return []
    ranks = means.rank(ascending=not tables[0].criterion.greater_is_better)
    ranks = ranks.loc[ranks.mean(axis=1).sort_values(kind="stable").index]
    return [MeanRanks(ranks, rank_test(means.T.to_numpy()))]
