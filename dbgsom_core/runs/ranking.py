"""Rank the variants of runs, for `compare` and for sweeps.

`observations` is one data frame with a row for each held-out value; all that is said of variants
are groups of its rows. A new fact of runs is a column there. A new statistic of variants is a
column of what `rank_runs` makes of them, which `compare.columns_of` shows; a new test is a function
in `stats.py`.
"""

from __future__ import annotations

import json
import math
from ast import literal_eval
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, product
from typing import Any

from dbgsom_core.config import DecideSettings, shortened
from dbgsom_core.errors import DataError, DbgsomError, did_you_mean
from dbgsom_core.experiments.trackers import Ranking, Variant
from dbgsom_core.interfaces.measures import ABOVE_CHANCE, UNEVEN, MeasureComponent
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.describe import PARTS, data_title, is_reference, mapping_of
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.stats import holm, paired_t, without_rounding

SECONDARY = ("accuracy", "r2", "quantization_error", "topographic_error")
_DIGITS = 12  # in which means must differ: more may be the order in which they were summed
_ENDS = {"maximize": "greater", "minimize": "less"}
_ARROWS = {"greater": " ↑", "less": " ↓", "0": " →0"}

# The defaults of each estimator, of which the first that the runs have ranks. A quantization error
# alone would always choose the largest map; the combined error (Kaski & Lagus 1996) adds to it what
# the map's folds cost, in the same units.
_OF_MAPS = ("combined_error", "quantization_error", "topographic_error")
_DEFAULTS = {
    "classifier": ("accuracy", "balanced_accuracy", *_OF_MAPS),
    "regressor": ("r2", "rmse", *_OF_MAPS),
    "vq": _OF_MAPS,
}
# Of probabilities: what is answered at one half says little of a rare class.
_OF_UNEVEN = ("log_loss", "average_precision", *_OF_MAPS)
_NOT_OF_VARIANTS = ("engine", "seed", "stability")  # sections that do not change what is learnt

_OF_ROWS = ("dataset", "dataset.path", "dataset.target")  # say which rows, and not which columns
_MOST_ITEMS = 4  # of a list in the name of a variant

Frame = Any  # a data frame or a column of pandas, whose types do not know names of columns


# ---------------------------------------------------------------------------------- what ranks


@dataclass(frozen=True)
class RankingCriterion:
    """A measure, its better end, and the part of the data that it is taken on."""

    name: str  # with its part: ``test/accuracy``
    measure: str  # without it
    split: str  # empty where the measure has no part
    end: str  # which values are best: greater, less, or 0, where the absolute value ranks
    in_units: bool = False  # of distances: other metrics and preparations are not ranked together
    span: float = math.inf  # the largest difference that two values can have
    reason: str = ""  # why it ranks where accuracy usually does

    @property
    def greater_is_better(self) -> bool:
        return self.end == "greater"

    def value(self, measures: Mapping[str, float]) -> float:
        value = measures.get(self.name, math.nan)
        return abs(value) if self.end == "0" else value

    def cost(self, value: float) -> float:
        """Return a number that is least for the best value, rounding aside."""
        rounded = float(f"{value:.{_DIGITS}g}")
        return -rounded if self.greater_is_better else rounded


def find_criterion(
    settings: DecideSettings, runs: Iterable[StoredRun], registry: Registry
) -> RankingCriterion:
    """Return the criterion of runs; raises `DataError` where they have no measure for it."""
    runs = list(runs)
    known = sorted(set(chain.from_iterable(run.measures for run in runs)))
    parts = PARTS if settings.split is None else (settings.split,)
    reason, candidates = "", []
    if settings.measure is None:
        names, reason = _default_measures(runs)
    else:
        names = [settings.measure]
        candidates.append(settings.measure)  # which may be said with its part
    candidates += map("/".join, product(parts, names))
    name = next((name for name in candidates if name in known), None)
    if name is None:
        others = {name.partition("/")[2] for name in known} - {settings.measure}
        near = did_you_mean(settings.measure or "", sorted(others))
        raise DataError(
            f"no finished run has the measure {' or '.join(candidates)}{near}; available: "
            f"{', '.join(known) or 'none'}"
        )
    split, _, measure = name.partition("/")
    if split not in PARTS:
        split, measure = "", name
    end = best_end(name, registry)
    if settings.direction is not None:
        end = _ENDS[settings.direction]
    if not end:
        raise DataError(f"no plugin offers the measure '{measure}'; say the direction")
    if measure != _OF_UNEVEN[0]:
        reason = ""
    cls = _measure_class(name, registry)
    low, high = cls.bounds
    return RankingCriterion(name, measure, split, end, cls.in_metric_units, high - low, reason)


def _default_measures(runs: Sequence[StoredRun]) -> tuple[list[str], str]:
    """Return the measures of which the first ranks, and why it would not be accuracy."""
    kinds = set()
    for run in runs:
        kinds.add(str(mapping_of(run.config.get("model")).get("estimator", "vq")))
    kind = kinds.pop()
    if kinds:  # several, which have measures of maps in common
        kind = "vq"
    largest = max(_baseline(run, "train/accuracy", 0.0) for run in runs)
    if kind != "classifier" or largest <= UNEVEN:
        return list(_DEFAULTS.get(kind, _OF_MAPS)), ""
    return list(_OF_UNEVEN), (
        f"log_loss decides, as {100 * largest:.0f} % of the samples to train on are of "
        "one class; by another measure: --by average_precision, or decide: {measure: "
        "average_precision} in a sweep"
    )


def _baseline(run: StoredRun, name: str, unknown: float) -> float:
    """Return what an answer that learns nothing measures."""
    value = mapping_of(run.data.get("baseline")).get(name)
    return float(value) if isinstance(value, (int, float)) else unknown


def _measure_class(name: str, registry: Registry) -> type[MeasureComponent]:
    """Return the class of a measure by its logged name; the base of all where it is not known.

    The name is ``test/NAME``, ``test/PLUGIN:NAME``, or has more behind that, ``NAME_shuffled``.
    """
    bare = name.rpartition("/")[2].rpartition(":")[2]
    known = []
    for offered in registry.names("measure"):
        rest = bare.removeprefix(offered)
        if rest != bare and not rest[:1].isalnum():
            known.append(offered)
    try:
        return registry.find("measure", max(known, key=len))  # type: ignore[return-value]
    except (DbgsomError, ValueError):  # its plugin is broken, or there is none
        return MeasureComponent


def best_end(name: str, registry: Registry) -> str:
    """Return which values of a measure are best: greater, less, 0, or nothing if not known."""
    if name == ABOVE_CHANCE:
        return "greater"
    if name.startswith("test_std/"):  # the spread over folds, of whatever it is
        return "less"
    measure = _measure_class(name, registry)
    if measure.zero_is_best:
        return "0"
    if not hasattr(measure, "greater_is_better"):
        return ""
    return "greater" if measure.greater_is_better else "less"


def with_arrow(name: str, best: str) -> str:
    return name + _ARROWS.get(best, "")


# ------------------------------------------------------------------------- runs as a data frame


def observations(runs: Sequence[StoredRun], criterion: RankingCriterion) -> Frame:
    """Return a row for each held-out value: of a fold, or of a run as a whole.

    Its columns are ``run``, its id, and ``facts`` of its data; ``variant``, equal in runs that
    differ in nothing but their ``seed``, with their ``settings``; ``group``, equal in runs that are
    ranked together, with the ``name``, ``source`` and ``division`` of the data; ``part``, which
    names the samples to test on, ``is_fold``, whether those of a fold, and ``ratio``, their number
    over that to train on; ``baseline``, the measure of an answer that learns nothing; ``value``,
    what ranks; and all measures. Of runs of the same configuration and seed, which have the same
    result, the newest counts.
    """
    import pandas as pd

    newest: dict[Any, Any] = {}
    for run in runs:
        facts = _describe_settings(run, criterion.in_units)
        newest[facts["group"], facts["variant"], facts["seed"]] = run, facts
    unknown = 0.0 if criterion.measure == "r2" else math.nan  # the mean has an R² of 0
    rows = []
    for run, facts in newest.values():
        facts |= {"run": run.id, "facts": run.data}
        facts["baseline"] = _baseline(run, criterion.name, unknown)
        for part, is_fold, ratio, measures in _parts_of(run, facts["seed"]):
            facts |= {"part": part, "is_fold": is_fold, "ratio": ratio}
            rows.append({**measures, **facts, "value": criterion.value(measures)})
    return pd.DataFrame(rows)


def _parts_of(run: StoredRun, seed: str) -> Iterator[tuple[str, bool, float, Mapping[str, float]]]:
    """Yield ``part``, ``is_fold``, ``ratio`` and measures of a run as a whole and of its folds."""
    of_folds = set(chain.from_iterable(fold.measures for fold in run.folds))
    measures = {name: value for name, value in run.measures.items() if name not in of_folds}
    sizes: Mapping[str, Any] = {}
    if "split.test_size" in run.params:  # else seeds do not divide the data anew
        sizes = mapping_of(run.data.get("parts"))
    yield f"seed {seed}", False, sizes.get("test", 0) / sizes.get("train", 1), measures
    for fold in run.folds:
        ratio = fold.test_samples / max(1, fold.train_samples)
        yield fold.split_digest, True, ratio, fold.measures


def _describe_settings(run: StoredRun, in_units: bool) -> dict[str, Any]:
    """Return columns of `observations` on the configuration of a run.

    A configuration with references to the environment may have any values: it equals that of no run
    but those of its sweep.
    """
    source: dict[str, Any] = {}
    division: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    # Runs on other columns of the same rows are variants, but where their units differ.
    rows = None if in_units else run.data.get("rows")
    for key, value in run.params.items():
        section = key.partition(".")[0]
        if section == "dataset" and rows and key not in _OF_ROWS:
            settings[key] = value
        elif section == "dataset" or key.startswith("split.test."):
            source[key] = value
        elif section == "split" or (in_units and section in ("metric", "prepare")):
            if value not in ("none", False):
                division[key] = value
        elif section not in _NOT_OF_VARIANTS:
            settings[key] = value
    origin, seed = run.parent or run.id, str(run.params.get("seed"))
    if any(map(is_reference, settings.values())):
        settings["run"] = origin
    if is_reference(seed):
        seed += f" of {origin}"
    name = data_title(run.config.get("dataset"), str(run.data.get("name")))
    test = mapping_of(run.data.get("test"))
    content = [rows or run.data.get("digest") or source, test.get("rows" if rows else "digest")]
    return {
        "seed": seed,
        "variant": _json(settings),
        "settings": settings,
        "group": _json([name, division, content]),
        "name": name,
        "division": division,
        "source": source,
    }


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


# ------------------------------------------------------------------------------------------ names


def differences(trees: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each of `flat_params` the keys and values that tell it from the others.

    A field is compared with those of the same component only. Keys are shortened to their last part
    where that is unique.
    """
    differing = []
    for key in dict.fromkeys(chain.from_iterable(trees)):
        *owners, _ = accumulate(key.split("."), "{}.{}".format)
        values = defaultdict(set)  # by the names of the components that have the field
        for tree in trees:
            components = str([tree.get(owner) for owner in owners])
            values[components].add(str(tree.get(key, ...)))
        if max(map(len, values.values())) > 1:
            differing.append(key)
    short = shortened(differing)
    fields: list[dict[str, Any]] = [{} for _ in trees]
    for key in differing:
        values_of = _own_items([tree.get(key) for tree in trees])
        for field, tree, value in zip(fields, trees, values_of, strict=True):
            if key in tree:
                field[short[key]] = value
    return fields


def _own_items(values: Sequence[Any]) -> list[Any]:
    """Return values, of lists written as text the items that not all have."""
    lists = []
    for value in values:
        if not (isinstance(value, str) and (value == "none" or value.startswith("['"))):
            return list(values)
        try:
            lists.append([] if value == "none" else literal_eval(value))
        except (ValueError, SyntaxError):  # what is long is cut short
            return list(values)
    common = set.intersection(*map(set, lists))
    texts = []
    for items in lists:
        own = [str(item) for item in items if item not in common]
        more = f" and {len(own) - _MOST_ITEMS} more" if len(own) > _MOST_ITEMS else ""
        texts.append((" ".join(own[:_MOST_ITEMS]) or "none") + more)
    return texts


def fields_text(fields: Mapping[str, Any]) -> str:
    """Return fields as ``kernel=bubble, rows=5``."""
    texts = []
    for key, value in fields.items():
        if isinstance(value, bool):
            value = json.dumps(value)
        elif isinstance(value, float):
            value = f"{value:g}"
        texts.append(f"{key}={value}")
    return ", ".join(texts)


def _group_names(groups: Sequence[Frame]) -> list[str]:
    """Return the name of the data of each group, with what tells it from groups of the same."""
    from dbgsom_core.tables import numbered  # imports pyarrow

    trees = []
    for group in groups:
        first = group.iloc[0]
        tree = {"data": first["name"]}
        for key, value in (*first["division"].items(), *first["source"].items()):
            tree[f"data.{key}"] = value
        trees.append(tree)
    names = []
    for tree, fields in zip(trees, differences(trees), strict=True):
        name = tree["data"]
        fields.pop("data", None)
        if fields:
            name += f", {fields_text(fields)}"
        names.append(name)
    return numbered(names)


# ---------------------------------------------------------------------------------------- ranking


@dataclass(frozen=True)
class VariantTable:
    """Variants on one data set.

    ``rows`` has a row for each, best first and those without a value last, with these columns:
    ``variant``, its name; ``seeds``, and ``folds`` of each seed; ``mean`` and ``std`` of what ranks
    over both; ``adjusted``, the mean over the seeds and folds that all variants have, which orders
    the rows; of differences from the best ``pairs``, ``difference``, ``low`` and ``high``, ``p``,
    and ``holm``, p after Holm's correction for all pairs of variants; ``runs``, their ids. Data
    frames of the same rows are ``fields``, what tells variants apart, and ``measures``, means of
    all measures, with ``spreads``, their standard deviations.
    """

    name: str  # the data set, and what else tells it from other tables
    division: Mapping[str, Any]  # equal in tables whose data is divided in the same way
    data: Mapping[str, Any]  # name, samples, features
    criterion: RankingCriterion
    rows: Frame
    fields: Sequence[Mapping[str, Any]]
    measures: Frame
    spreads: Frame
    tests: int  # pairs of variants that were tested
    ratio: float  # what the variance was corrected by
    baseline: float  # what an answer that learns nothing would measure; NaN: not known

    @property
    def ranked(self) -> list[Any]:
        """The rows with a value, best first, as named tuples."""
        return list(self.rows[self.rows["mean"].notna()].itertuples())

    @property
    def is_adjusted(self) -> bool:
        """Whether variants lack seeds or folds of others, so that the order is of other means."""
        return any(row.adjusted != row.mean for row in self.ranked)

    @property
    def secondary(self) -> list[str]:
        """The measures that are shown beside what ranks."""
        names = []
        for name in SECONDARY:
            full = f"{self.criterion.split or 'train'}/{name}"
            if full in self.measures and full != self.criterion.name:
                names.append(full)
        return names


def rank_runs(runs: Sequence[StoredRun], criterion: RankingCriterion) -> list[VariantTable]:
    """Return the variants of runs, a table for each group that can be ranked."""
    from dbgsom_core.tables import numbered  # imports pyarrow

    frame = observations(runs, criterion)
    variants = frame.drop_duplicates("variant")
    fields = differences(list(variants["settings"]))
    names = [runs[-1].name]
    if len(variants) > 1:
        names = numbered(fields_text(differing) or "as it is" for differing in fields)
    frame["variant"] = frame["variant"].map(dict(zip(variants["variant"], names, strict=True)))
    groups = [group for _, group in frame.groupby("group", sort=False)]
    tables = []
    for title, group in zip(_group_names(groups), groups, strict=True):
        rows, values = _statistics(group, criterion)
        ratio = group.dropna(subset="value")["ratio"].mean()
        tests = _test_pairs(values, ratio, criterion.span)
        of_best = tests.drop_duplicates("variant")  # the first tests are those of the best
        measures = group.filter(like="/").groupby(group["variant"])
        means, spreads = measures.mean().loc[rows.index], measures.std().loc[rows.index]
        first = group.iloc[0]
        table = VariantTable(
            name=title,
            division=first["division"],
            data={**first["facts"], "features": _range(group["facts"])},
            criterion=criterion,
            rows=rows.reset_index().merge(of_best, how="left", on="variant"),
            fields=[fields[names.index(name)] for name in rows.index],
            measures=means.reset_index(drop=True),
            spreads=without_rounding(spreads, means).reset_index(drop=True),
            tests=int(tests["holm"].count()),
            ratio=float(ratio),
            baseline=group.drop_duplicates("seed")["baseline"].mean(skipna=False),
        )
        tables.append(table)
    return tables


def _range(facts: Frame) -> str:
    """Return how many features the data have, ``11 to 13`` where runs differ in columns."""
    counts = sorted({int(one.get("features", 0)) for one in facts})
    return " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]])))


def _statistics(group: Frame, criterion: RankingCriterion) -> tuple[Frame, Frame]:
    """Return the statistics of variants, best first, and the values of those that have any."""
    rows = group.groupby("variant", sort=False)["run"].unique().map(tuple).to_frame("runs")
    valued = group.dropna(subset="value")
    of_variants = valued.groupby("variant")
    rows["seeds"] = of_variants["seed"].nunique()
    rows["folds"] = (of_variants["is_fold"].sum() / rows["seeds"]).round()
    rows = rows.fillna({"seeds": 0, "folds": 0}).astype({"seeds": int, "folds": int})
    values = valued.pivot(index="variant", columns=["seed", "part"], values="value")
    common = values.dropna(axis=1).columns  # seeds and folds that all have
    values = values.reindex(rows.index)
    rows["mean"] = rows["adjusted"] = values.mean(axis=1)
    rows["std"] = without_rounding(values.std(axis=1), rows["mean"])
    if 0 < len(common) < len(values.columns):
        rows["adjusted"] = values[common].mean(axis=1)
    rows["order"] = rows["adjusted"].map(criterion.cost)
    if criterion.name == ABOVE_CHANCE:
        tied = _as_good_as_best(rows["adjusted"], group)
        rows.loc[tied.index, "order"] = -1 - tied  # before all others, whose cost is above -1
    rows = rows.sort_values(["order", "variant"]).drop(columns="order")
    return rows, values.loc[rows.index].dropna(how="all")


def _as_good_as_best(values: Frame, group: Frame) -> Frame:
    """Return the numbers of clusters of variants within the interval of the best, by variant.

    The agreement of halves alone favours few clusters.
    """
    names = [ABOVE_CHANCE.replace("stability/", "stability_low/"), "stability/groups"]
    means = group.reindex(columns=["variant", *names]).groupby("variant").mean()
    lowest = means[names[0]].get(values.idxmax())
    return means.loc[values.index[values >= lowest], names[1]]


def _test_pairs(values: Frame, ratio: float, span: float) -> Frame:
    """Test each variant, best first, against each after it.

    All pairs are tested, as the best was chosen for what it measured.
    """
    import pandas as pd

    tests = [paired_t(values[:0])]  # the columns, where there is no pair
    largest = values.abs().max().max()
    for place in range(len(values) - 1):
        apart = values.iloc[place + 1 :] - values.iloc[place]
        apart = apart.T.groupby(level="part").mean().T  # seeds may divide the data alike
        tests.append(paired_t(apart, ratio, largest))
    pairs = pd.concat(tests).reset_index()
    pairs[["low", "high"]] = pairs[["low", "high"]].clip(-span, span)
    pairs["holm"] = holm(pairs["p"])
    return pairs


def ranking_of(table: VariantTable, verdict: str, registry: Registry) -> Ranking:
    """Return a table of a sweep's runs as its record."""
    criterion = table.criterion
    variants = []
    for row, fields in zip(table.rows.itertuples(), table.fields, strict=True):
        means = table.measures.loc[row.Index].dropna().to_dict()
        spreads = table.spreads.loc[row.Index].dropna().to_dict()
        variants.append(Variant(row.variant, fields, means, spreads, row.runs))
    names = [criterion.name, *table.secondary]
    ends = {name: best_end(name, registry) for name in names}
    ends[criterion.name] = criterion.end
    return Ranking(
        table.name,
        names,
        "maximize" if criterion.greater_is_better else "minimize",
        variants,
        verdict,
        criterion.reason,
        ends,
    )
