"""Rank the variants of runs, for `compare` and for sweeps: criterion, variants, tests.

To add a statistical test: write it in `stats.py`, call it in `rank` (one data set) or
`rank_over_data_sets`; its result is a field of `Row`, which `compare.py` shows.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dbgsom_core.config import DecideSettings, shortened
from dbgsom_core.errors import DataError, DbgsomError, did_you_mean
from dbgsom_core.experiments.trackers import Ranking, Variant
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.manifest import is_reference
from dbgsom_core.runs.stats import (
    Floats,
    RankTest,
    adjusted_means,
    holm,
    mean_and_deviation,
    paired_t,
    rank_test,
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


@dataclass(frozen=True)
class RankingCriterion:
    """A measure, its better end, and the part of the data that it is taken on."""

    measure: str  # without its part: ``accuracy``
    direction: Literal["maximize", "minimize"]
    split: str = "test"  # empty where the measure has no part
    from_zero: bool = False  # the measure is best at 0: its absolute value ranks
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
        return "0" if self.from_zero else "greater" if self.greater_is_better else "less"

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
    settings: DecideSettings,
    estimators: Collection[str],
    names: Iterable[str],
    registry: Registry,
    largest: float = 0.0,
) -> RankingCriterion | None:
    """Return the criterion of runs, None where they have none of the default measures.

    ``largest`` is the share of their largest class: balanced accuracy ranks where it is large.
    """
    known, requested, split = list(dict.fromkeys(names)), settings.measure, settings.split
    parts = PARTS if split is None else (split,)
    if requested is None:
        (kind,) = set(estimators) if len(set(estimators)) == 1 else ("vq",)
        usual = _DEFAULTS.get(kind, _OF_MAPS)
        uneven = kind == "classifier" and largest > UNEVEN
        usual = ("balanced_accuracy", *usual) if uneven else usual
        wanted = [f"{part}/{name}" for part in parts for name in usual]
    else:
        wanted = [requested, *(f"{part}/{requested}" for part in parts)]
    found = next((name for name in wanted if name in known), None)
    if found is None and requested is not None:
        bare = [name.partition("/")[2] for name in known]
        text = f"no finished run has the measure '{requested}'"
        text += "" if split is None else f" on the {split} part"
        if requested in bare:
            raise DataError(f"{text}, but on the other")
        near = did_you_mean(requested, [*known, *bare])
        raise DataError(f"{text}{near}; available: {', '.join(sorted(known)) or 'none'}")
    if found is None:
        return None
    part, _, measure = found.partition("/")
    if part not in PARTS:
        part, measure = "", found
    if settings.direction is not None:
        return RankingCriterion(measure, settings.direction, part)
    end = _better_end(found, registry)
    chosen = requested is None and measure == "balanced_accuracy" and largest > UNEVEN
    return RankingCriterion(
        measure,
        "maximize" if end == "greater" else "minimize",
        part,
        end == "0",
        largest if chosen else 0.0,
    )


def largest_class(runs: Iterable[StoredRun]) -> float:
    """Return the largest share that one class has of the samples to train on; 0: not known."""
    known = (run.data.get("baseline") for run in runs)
    shares = (one.get("train/accuracy") for one in known if isinstance(one, Mapping))
    return max((one for one in shares if isinstance(one, (int, float))), default=0.0)


def _better_end(name: str, registry: Registry) -> str:
    if name.startswith("test_std/"):  # the spread over folds, of whatever it is
        return "less"
    measure = _measure_class(name, registry)
    if measure.zero_is_best:
        return "0"
    return "greater" if measure.greater_is_better else "less"


def best_end(name: str, registry: Registry) -> str:
    """Return which values of a measure are best: greater, less, 0, or nothing if not known."""
    try:
        return _better_end(name, registry)
    except DbgsomError:  # of a plugin that is no longer installed
        return ""


def with_arrow(name: str, best: str) -> str:
    return name + {"greater": " ↑", "less": " ↓", "0": " →0"}.get(best, "")


def is_in_units(criterion: RankingCriterion, registry: Registry) -> bool:
    try:
        return bool(_measure_class(criterion.name, registry).in_metric_units)
    except DataError:  # of a plugin that is no longer installed, and the direction was given
        return False


def _span(criterion: RankingCriterion, registry: Registry) -> float:
    """Return the largest difference that two values of a measure can have."""
    try:
        bounds = _measure_class(criterion.name, registry).bounds
    except DataError:  # of a plugin that is no longer installed, and the direction was given
        return math.inf
    return float(bounds[1] - bounds[0])


def _measure_class(name: str, registry: Registry) -> Any:
    """Return the class of a measure by its logged name: ``test/NAME`` or ``NAME`` with options."""
    part, _, rest = name.partition("/")
    bare = (rest if part in PARTS else name).rpartition(":")[2]
    offered = registry.names("measure")
    known = [
        one
        for one in offered
        if bare == one or (bare.startswith(one) and not bare[len(one)].isalnum())
    ]
    if not known:
        near = did_you_mean(bare, offered)
        raise DataError(f"no installed plugin offers the measure '{bare}'{near}; say the direction")
    return registry.find("measure", max(known, key=len))


# ------------------------------------------------------------------------- groups and variants

# Keys that neither change a map nor what it learns from, and those of groups and columns.
_NOT_OF_VARIANTS = (
    "experiment", "name", "tracking", "figures", "measures", "sweep", "extends",
    "plugins", "tags", "engine", "dataset", "split", "seed", "stability", "report",
)  # fmt: skip
_MISSING = object()  # in place of a key that a configuration lacks

Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A finished run in a ranking."""

    run: StoredRun
    seed: Any
    variant: str  # equal for runs that differ in nothing but their seed
    settings: Tree  # the configuration without data, division and seed
    comparable_by: Tree  # equal in runs ranked together: dataset, split, perhaps metric and steps
    group: str  # the same as text

    def observations(self) -> Iterator[tuple[str, Mapping[str, float]]]:
        """Yield what was measured, with the division of the data that it was measured on."""
        of_folds = {name for fold in self.run.folds for name in fold.measures}
        whole = {k: v for k, v in self.run.measures.items() if k not in of_folds}
        yield f"seed {self.seed}", whole
        for fold in self.run.folds:
            yield fold.split_digest, fold.measures


@dataclass(frozen=True)
class Group:
    """Runs that can be ranked together: of the same data, divided in the same way."""

    name: str  # the data set, and what else tells it from the other groups
    entries: Sequence[Entry]
    names: Mapping[str, tuple[Tree, str]]  # of each variant its fields by dotted key, and its name


def make_entry(run: StoredRun, in_units: bool) -> Entry:
    """Return the entry of a run.

    With a measure that is ``in_units`` of distances, other metrics and preparations cannot be
    ranked together. A configuration with references to the environment may have any values: it
    equals that of no run but those of its sweep.
    """
    settings = {k: v for k, v in run.config.items() if k not in _NOT_OF_VARIANTS}
    if _has_references(settings):
        settings["run"] = run.parent or run.id
    split = _mapping(run.config.get("split"))
    test = split.pop("test", None)
    dataset = {
        "name": data_name(run.config, run.data),
        "digest": run.data.get("digest"),
        "test": _mapping(run.data.get("test")).get("digest"),
        "of": {"dataset": run.config.get("dataset"), "test": test},
    }
    given = {k: v for k, v in split.items() if v is not None and v is not False}
    comparable_by: dict[str, Any] = {"dataset": dataset, "split": given}
    if in_units:
        settings["model"] = dict(settings.get("model") or {})
        comparable_by |= {"metric": settings["model"].pop("metric", None)}
        comparable_by |= {"prepare": settings.pop("prepare", None)}
    seed = run.config.get("seed", 42)
    seed = f"{seed} of {run.parent or run.id}" if is_reference(seed) else seed
    return Entry(run, seed, _key(settings), settings, comparable_by, _key(comparable_by))


def without_repeats(entries: Sequence[Entry]) -> list[Entry]:
    """Return the newest entry of each configuration and seed: the others have the same result."""
    newest: dict[tuple[str, str, Any], Entry] = {}
    for entry in entries:
        key = entry.group, entry.variant, entry.seed
        newest.pop(key, None)
        newest[key] = entry
    return list(newest.values())


def group_runs(entries: Iterable[Entry]) -> list[Group]:
    """Return the groups that can be ranked; variants are named by what tells them apart."""
    from dbgsom_core.tables import numbered

    settings: dict[str, Tree] = {}
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        settings.setdefault(entry.variant, entry.settings)
        groups.setdefault(entry.group, []).append(entry)
    found = differences(list(settings.values()))
    texts = [fields_text(fields) or "as it is" for fields in found]
    if len(settings) == 1:
        texts = [next(iter(groups.values()))[-1].run.name]
    names = dict(zip(settings, zip(found, numbered(texts), strict=True), strict=True))
    called = numbered(_group_names([members[0].comparable_by for members in groups.values()]))
    return [Group(name, own, names) for name, own in zip(called, groups.values(), strict=True)]


def data_name(config: Tree, data: Tree) -> str:
    """Return the name of the data: the stem of its file, or the name of the data set."""
    dataset = config.get("dataset")
    path = dataset.get("path") if isinstance(dataset, Mapping) else None
    stem = Path(path).stem if isinstance(path, str) and not is_reference(path) else ""
    return stem or str(data.get("name") or _value_text(dataset))


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _has_references(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_references, value.values()))
    return any(map(_has_references, value)) if isinstance(value, list) else is_reference(value)


def _key(tree: Tree) -> str:
    dataset = tree.get("dataset")
    if dataset and dataset.get("digest"):
        tree = {**tree, "dataset": {k: v for k, v in dataset.items() if k != "of"}}
    return json.dumps(tree, sort_keys=True, default=str)


# ------------------------------------------------------------------------------------------ names


def _group_names(keys: Sequence[Tree]) -> list[str]:
    names = []
    rest = differences([{k: v for k, v in tree.items() if k != "dataset"} for tree in keys])
    sets = [tree["dataset"] for tree in keys]
    for dataset, fields in zip(sets, rest, strict=True):
        name = str(dataset["name"])
        same = [other for other in sets if other["name"] == name]
        if len({_key({"dataset": other}) for other in same}) > 1:
            content = differences([other["of"] for other in same])[same.index(dataset)]
            name += f" ({fields_text(content) or str(dataset['digest'])[:8]})"
        names.append(", ".join(filter(None, [name, fields_text(fields)])))
    return names


def differences(trees: Sequence[Tree]) -> list[dict[str, Any]]:
    """Return for each tree the dotted keys and values in which it differs from others.

    Components appear by name, and by fields only where components of the same name differ.
    """
    found: list[dict[str, Any]] = [{} for _ in trees]
    _add_differences(dict(enumerate(trees)), "", found)
    return found


def _add_differences(trees: Mapping[int, Any], path: str, found: list[dict[str, Any]]) -> None:
    for key in dict.fromkeys(key for tree in trees.values() for key in tree):
        values = {i: tree.get(key, _MISSING) for i, tree in trees.items()}
        first = next(iter(values.values()))
        if all(value == first for value in values.values()):
            continue
        at = f"{path}.{key}" if path else str(key)
        if not all(isinstance(value, Mapping) for value in values.values()):
            for i, value in values.items():
                if value is not _MISSING:
                    found[i][at] = _value_text(value)
            continue
        components: dict[Any, dict[int, Any]] = {}
        for i, value in values.items():
            rest = {k: v for k, v in value.items() if k != "name"}
            components.setdefault(_value_text(value.get("name", "none")), {})[i] = rest
        for name, inner in components.items():
            if len(components) > 1:
                for i in inner:
                    found[i][at] = name
            if len(inner) > 1:
                _add_differences(inner, at, found)


def _value_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        rest = ", ".join(f"{k}={_value_text(v)}" for k, v in value.items() if k != "name")
        name = str(value.get("name", ""))
        return f"{name}({rest})" if rest else name
    if isinstance(value, list):
        return " ".join(str(_value_text(one)) for one in value) or "none"
    return value


def fields_text(fields: Tree) -> str:
    """Return fields as ``kernel=bubble, growth=fixed(rows=5)``."""
    inside: dict[str, list[str]] = {}  # fields within others, by the key of these
    for key in fields:
        parent = next((top for top in inside if key.startswith(f"{top}.")), None)
        if parent is None:
            inside[key] = []
        else:
            inside[parent].append(f"{key[len(parent) + 1 :]}={_plain_text(fields[key])}")
    ends = [key.rpartition(".")[2] for key in inside]
    texts = []
    for (key, within), end in zip(inside.items(), ends, strict=True):
        name = end if ends.count(end) == 1 else key.removeprefix("model.")
        rest = f"({', '.join(within)})" if within else ""
        texts.append(f"{name}={_plain_text(fields[key])}{rest}")
    return ", ".join(texts)


def _plain_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Row:
    """Statistics of a variant on a data set; None where undefined, as the best's difference."""

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
    p: float | None = None  # two-sided
    holm: float | None = None  # p after Holm's correction for all pairs of variants
    pairs: int = 0  # how many differences there are
    measures: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    runs: Sequence[str] = ()  # ids


@dataclass(frozen=True)
class Table:
    """Ranking of the variants on one data set, best first; those without a value last."""

    name: str  # the data set, and what else tells it from other tables
    comparable_by: Mapping[str, Any]  # as of its entries
    data: Mapping[str, Any]  # name, samples, features
    criterion: RankingCriterion
    rows: Sequence[Row]
    tests: int  # pairs of variants that were tested
    ratio: float  # what the variance was corrected by
    baseline: float | None = None  # what an answer that learns nothing would measure
    right: float | None = None  # its accuracy, where that does not rank
    ends: Mapping[str, str] = field(default_factory=dict)  # of each measure: greater, less, 0, ""

    @property
    def test(self) -> str:
        if not self.tests:
            return ""
        return "corrected resampled t-test" if self.ratio else "paired t-test"

    @property
    def ranked(self) -> list[Row]:
        return [row for row in self.rows if row.mean == row.mean]

    @property
    def is_adjusted(self) -> bool:
        """Whether variants lack seeds or folds of others, so that the order is of other means."""
        return any(not math.isclose(row.adjusted, row.mean, rel_tol=1e-12) for row in self.ranked)

    @property
    def tied(self) -> list[str]:
        key = self.criterion.sort_key
        first, *others = self.ranked
        return [row.variant for row in others if key(row.adjusted) == key(first.adjusted)]


@dataclass(frozen=True)
class MeanRanks:
    """Variants over several data sets, the least mean rank first."""

    name: str  # what the tables have in common, where there are several of these
    tables: Sequence[str]
    variants: Sequence[str]
    ranks: Floats  # (variants, tables)
    test: RankTest | None  # None: there are too few data sets

    @property
    def means(self) -> Floats:
        found: Floats = self.ranks.mean(axis=1)
        return found


def rank(
    group: Group, criterion: RankingCriterion, registry: Registry, *, interim: bool = False
) -> Table:
    """Return the variants of a group, best first, each tested against each."""
    by_variant: dict[str, list[Entry]] = {}
    for entry in group.entries:
        by_variant.setdefault(entry.variant, []).append(entry)
    observed = [
        {
            (entry.seed, division): criterion.value(measures)
            for entry in entries
            for division, measures in entry.observations()
            if criterion.value(measures) == criterion.value(measures)
        }
        for entries in by_variant.values()
    ]
    columns = list(dict.fromkeys(key for own in observed for key in own))
    values = np.array([[own.get(key, math.nan) for key in columns] for own in observed])
    adjusted = adjusted_means(values)
    rows = []
    for (variant, entries), own, mean in zip(by_variant.items(), observed, adjusted, strict=True):
        fields, name = group.names[variant]
        seeds = len({seed for seed, _ in own})
        in_folds = any(not division.startswith("seed ") for _, division in own)
        row = Row(
            name,
            fields,
            seeds,
            round(len(own) / seeds) if in_folds else 0,
            *mean_and_deviation(list(own.values())),
            float(mean),
            measures={} if interim else _all_measures(entries),
            runs=tuple(entry.run.id for entry in entries),
        )
        rows.append(row)
    order = sorted(
        range(len(rows)), key=lambda i: (criterion.sort_key(rows[i].adjusted), rows[i].variant)
    )
    ratio, tests = _overlap(group.entries, criterion), 0
    rows = [rows[i] for i in order]
    if not interim and len(rows) > 1 and columns:
        divisions = list(dict.fromkeys(division for _, division in columns))
        positions = [divisions.index(division) for _, division in columns]
        span = _span(criterion, registry)
        rows, tests = _test_rows(rows, values[order], ratio, positions, span)
    ends = {name: best_end(name, registry) for row in rows for name in row.measures}
    data, baseline = group.entries[0].run.data, _baseline(group.entries, criterion)
    accuracy = replace(criterion, measure="accuracy", split=criterion.split or PARTS[0])
    right = None if accuracy.name == criterion.name else _baseline(group.entries, accuracy)
    key = group.entries[0].comparable_by
    return Table(group.name, key, data, criterion, rows, tests, ratio, baseline, right, ends)


def _all_measures(entries: Sequence[Entry]) -> dict[str, tuple[float, float | None]]:
    found: dict[str, list[float]] = {}
    in_folds = any(entry.run.folds for entry in entries)
    for entry in entries:
        for _, measures in entry.observations():
            for name, value in measures.items():
                if value == value and not (in_folds and name.startswith("test_std/")):
                    found.setdefault(name, []).append(value)
    return {name: mean_and_deviation(values) for name, values in found.items()}


def _test_rows(
    rows: Sequence[Row], values: Floats, ratio: float, divisions: Sequence[int], span: float
) -> tuple[list[Row], int]:
    """Return rows, best first, with their tests against the best, and how many pairs were tested.

    All pairs are tested: the best was chosen for what it measured. No interval of a difference
    reaches farther than ``span``.
    """
    best = paired_t(values[0], values[1:], ratio, divisions)
    rest = [
        paired_t(values[i], values[i + 1 :], ratio, divisions).p for i in range(1, len(rows) - 1)
    ]
    corrected = holm(np.concatenate([best.p, *rest]))
    found = [rows[0]]
    for at, row in enumerate(rows[1:]):
        low, high = np.maximum(best.low, -span), np.minimum(best.high, span)
        numbers = {"difference": best.mean, "low": low, "high": high, "p": best.p}
        known: dict[str, Any] = {"pairs": int(best.pairs[at])}
        for name, values_of in (numbers | {"holm": corrected}).items():
            known[name] = None if np.isnan(values_of[at]) else float(values_of[at])
        found.append(replace(row, **known))
    return found, int(np.isfinite(corrected).sum())


def _overlap(entries: Sequence[Entry], criterion: RankingCriterion) -> float:
    """Return samples to test on over samples to train on, where models share training samples."""
    ratios = []
    for entry in entries:
        run, split = entry.run, entry.comparable_by["split"]
        size, samples = split.get("test_size"), run.data.get("samples")
        if criterion.split == "test" and run.folds:
            ratios += [fold.test_samples / fold.train_samples for fold in run.folds]
        elif (
            set(split) <= {"test_size", "stratify"}
            and isinstance(size, (int, float))
            and isinstance(samples, int)
        ):
            test = math.ceil(size * samples) if isinstance(size, float) else size
            ratios.append(test / max(samples - test, 1))
    return statistics.fmean(ratios) if ratios else 0.0


def _baseline(entries: Sequence[Entry], criterion: RankingCriterion) -> float | None:
    """Return the measure of a constant prediction, the mean over seeds; None: unknown."""
    if criterion.measure == "r2":
        return 0.0
    found: dict[Any, Any] = {}
    for entry in entries:
        known = entry.run.data.get("baseline")
        if isinstance(known, Mapping):
            found.setdefault(entry.seed, known.get(criterion.name))
    values = [value for value in found.values() if isinstance(value, (int, float))]
    complete = len(values) == len({entry.seed for entry in entries})
    return statistics.fmean(values) if values and complete else None


def ranking_of(table: Table, group: Group, verdict: str, registry: Registry) -> Ranking:
    criterion = table.criterion
    runs = {entry.run.id: entry.run.measures for entry in group.entries}
    short = shortened([key for row in table.rows for key in row.fields])
    variants = []
    for row in table.rows:
        found: dict[str, list[float]] = {}
        for id in row.runs:
            for name, value in runs[id].items():
                found.setdefault(name, []).append(value)
        means = {name: statistics.fmean(values) for name, values in found.items()}
        spread = {
            name: statistics.stdev(values) for name, values in found.items() if len(values) > 1
        }
        varies = {short[key]: value for key, value in row.fields.items()}
        variants.append(Variant(row.variant, varies, means, spread, row.runs))
    wanted = (criterion.name, *(f"{criterion.split}/{one}".strip("/") for one in SECONDARY))
    known = {name for variant in variants for name in variant.measures}
    measures = [name for name in dict.fromkeys(wanted) if name in known]
    ends = {name: best_end(name, registry) for name in measures}
    ends[criterion.name] = "greater" if criterion.greater_is_better else "less"
    return Ranking(
        table.name, measures, criterion.direction, variants, verdict, criterion.reason, ends
    )


def rank_over_data_sets(tables: Sequence[Table]) -> list[MeanRanks]:
    from scipy.stats import rankdata

    divided_alike: dict[str, list[Table]] = {}
    for table in tables:
        rest = {key: value for key, value in table.comparable_by.items() if key != "dataset"}
        divided_alike.setdefault(repr(rest), []).append(table)
    found = []
    for several in divided_alike.values():
        means = [{row.variant: row.adjusted for row in table.ranked} for table in several]
        common = [name for name in means[0] if all(name in one for one in means)]
        if len(several) < 2 or len(common) < 2:
            continue
        values = np.array([[one[name] for name in common] for one in means])
        sign = -1 if several[0].criterion.greater_is_better else 1
        ranked = rankdata(sign * values, axis=1).T
        order = np.argsort(ranked.mean(axis=1), kind="stable")
        names = [table.name for table in several]
        prefix = f"{', '.join(names)}: " if len(divided_alike) > 1 else ""
        variants = [common[i] for i in order]
        found.append(MeanRanks(prefix, names, variants, ranked[order], rank_test(values)))
    return found
