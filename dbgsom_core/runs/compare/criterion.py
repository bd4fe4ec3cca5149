"""The criterion of a ranking: which measure, which end of it is best, on which part."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dbgsom_core.config import DecideSettings
from dbgsom_core.errors import DataError, DbgsomError, did_you_mean
from dbgsom_core.interfaces.measures import MeasureAbilities
from dbgsom_core.plugins.registry import Registry

PARTS = ("test", "train")
SHOWN_BESIDE = ("accuracy", "r2", "quantization_error", "topographic_error")
_DIGITS = 12  # in which means must differ: more may be how they were summed
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


@dataclass(frozen=True)
class RankingCriterion:
    """A measure, its better end, and the part of the data that it is taken on."""

    measure: str  # without its part: ``accuracy``
    direction: Literal["maximize", "minimize"]
    split: str = "test"  # empty where the measure has no part
    from_zero: bool = False  # the measure is best at 0: its absolute value ranks

    @property
    def name(self) -> str:
        """The measure as runs log it: ``test/accuracy``."""
        return f"{self.split}/{self.measure}" if self.split else self.measure

    @property
    def end(self) -> str:
        """Which values are best: greater, less, or 0."""
        return "0" if self.from_zero else "greater" if self.greater_is_better else "less"

    @property
    def greater_is_better(self) -> bool:
        """Whether more of the measure is better."""
        return self.direction == "maximize"

    def value(self, measures: Mapping[str, float]) -> float:
        """Return the value that ranks of a run's measures, NaN where it is missing."""
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
) -> RankingCriterion | None:
    """Return the criterion of runs, None where they have none of the default measures.

    ``estimators`` are the kinds among the runs (measures of maps rank different kinds), ``names``
    the full names of their measures. Raises `DataError` where no run has the measure that is
    wanted, or its better end is not known.
    """
    known = list(dict.fromkeys(names))
    parts = PARTS if settings.split is None else (settings.split,)
    if settings.measure is None:
        (kind,) = set(estimators) if len(set(estimators)) == 1 else ("vq",)
        wanted = [f"{part}/{name}" for part in parts for name in _DEFAULTS.get(kind, _OF_MAPS)]
    else:
        wanted = [settings.measure, *(f"{part}/{settings.measure}" for part in parts)]
    found = next((name for name in wanted if name in known), None)
    if found is None and settings.measure is not None:
        raise _unknown(settings.measure, settings.split, known)
    if found is None:
        return None
    part, _, measure = found.partition("/")
    if part not in PARTS:
        part, measure = "", found
    if settings.direction is not None:
        return RankingCriterion(measure, settings.direction, part)
    end = _better_end(found, registry)
    direction: Literal["maximize", "minimize"] = "maximize" if end == "greater" else "minimize"
    return RankingCriterion(measure, direction, part, from_zero=end == "0")


def _unknown(measure: str, split: str | None, known: list[str]) -> DataError:
    bare = [name.partition("/")[2] for name in known]
    text = f"no finished run has the measure '{measure}'"
    text += "" if split is None else f" on the {split} part"
    if measure in bare:
        return DataError(f"{text}, but on the other")
    near = did_you_mean(measure, [*known, *bare])
    return DataError(f"{text}{near}; available: {', '.join(sorted(known)) or 'none'}")


def _better_end(name: str, registry: Registry) -> str:
    if name.startswith("test_std/"):  # the spread over folds, of whatever it is
        return "less"
    measure = _measure_class(name, registry)
    if MeasureAbilities.of(measure).zero_is_best:
        return "0"
    return "greater" if measure.greater_is_better else "less"


def best_end(name: str, registry: Registry) -> str:
    """Return which values of a measure are best: greater, less, 0, or nothing if not known."""
    try:
        return _better_end(name, registry)
    except DbgsomError:  # of a plugin that is no longer installed
        return ""


def with_arrow(name: str, best: str) -> str:
    """Return the name of a measure with an arrow to its best values, where they are known."""
    return name + _ARROWS.get(best, "")


def is_in_units(criterion: RankingCriterion, registry: Registry) -> bool:
    """Return whether the measure is in the units of distances, which metrics do not share."""
    try:
        measure = _measure_class(criterion.name, registry)
    except DataError:  # of a plugin that is no longer installed, and the direction was given
        return False
    return MeasureAbilities.of(measure).in_metric_units


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
        raise DataError(
            f"no installed plugin offers the measure '{bare}', so it is not known whether more of "
            f"it is better{did_you_mean(bare, offered)}; compare by another measure, or say the "
            "direction"
        )
    return registry.find("measure", max(known, key=len))
