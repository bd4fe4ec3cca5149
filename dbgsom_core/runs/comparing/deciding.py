"""What "best" means among runs: which measure decides, in which direction, on which part."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dbgsom_core.config import DecideSettings
from dbgsom_core.errors import DataError, DbgsomError, did_you_mean
from dbgsom_core.interfaces.measures import MeasureAbilities
from dbgsom_core.plugins.registry import Registry

PARTS = ("test", "train")
_DIGITS = 12  # in which means must differ: more may be how they were summed

# What decides where nobody says it: the first that the runs have. A quantization error alone would
# always choose the largest map; the combined error (Kaski & Lagus 1996) adds to it what the map's
# folds cost, in the same units.
_OF_MAPS = ("combined_error", "quantization_error", "topographic_error")
_DEFAULTS = {
    "classifier": ("accuracy", "balanced_accuracy", *_OF_MAPS),
    "regressor": ("r2", "rmse", *_OF_MAPS),
    "vq": _OF_MAPS,
}


@dataclass(frozen=True)
class Decision:
    """A measure, its better end, and the part of the data that it is taken on.

    Attributes
    ----------
    measure : str
        Without its part: ``accuracy``.
    direction : {"maximize", "minimize"}
    split : {"test", "train", ""}
        Empty where the measure has no part.
    from_zero : bool
        The measure is best at 0: its absolute value decides.
    """

    measure: str
    direction: Literal["maximize", "minimize"]
    split: str = "test"
    from_zero: bool = False

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
        """Return what decides of a run's measures, NaN where it is missing."""
        value = float(measures.get(self.name, math.nan))
        return abs(value) if self.from_zero else value

    def better(self, one: float, other: float) -> bool:
        """Say whether a value is better than another; any is better than NaN."""
        return self.rank(one) < self.rank(other)

    def rank(self, value: float) -> tuple[bool, float]:
        """Return a key that sorts values, best first and NaN last; rounding aside."""
        if math.isnan(value):
            return True, 0.0
        value = float(f"{value:.{_DIGITS}g}")
        return False, -value if self.greater_is_better else value

    def best(self, runs: Sequence[Mapping[str, float]]) -> int | None:
        """Return which of some runs' measures are best, the first of equals; None: none decides."""
        ranks = [self.rank(self.value(measures)) for measures in runs]
        at = min(range(len(runs)), key=ranks.__getitem__, default=None)
        return None if at is None or ranks[at][0] else at


def decide(
    settings: DecideSettings,
    estimators: Collection[str],
    names: Iterable[str],
    registry: Registry,
) -> Decision | None:
    """Return what decides between runs, None where they have none of the default measures.

    Parameters
    ----------
    settings : DecideSettings
        What the user said. ``measure`` may be a full name, ``test/accuracy``, too.
    estimators : collection of str
        The kinds of estimator among the runs, ``"classifier"``, …; measures of maps decide
        between kinds.
    names : iterable of str
        Full names of the measures that the runs have: ``test/accuracy``, ….
    registry : Registry
        Knows of each measure whether greater is better.

    Raises
    ------
    DataError
        No run has the measure, or nobody knows which of its ends is better.
    PluginError
        The measure's plugin is broken.
    """
    known = list(dict.fromkeys(names))
    if settings.measure is None:
        (kind,) = set(estimators) if len(set(estimators)) == 1 else ("vq",)
        parts = PARTS if settings.split is None else (settings.split,)
        wanted = (f"{part}/{name}" for part in parts for name in _DEFAULTS.get(kind, _OF_MAPS))
        found = next((name for name in wanted if name in known), None)
        if found is None:
            return None
    else:
        found = _full_name(settings.measure, settings.split, known)
    part, _, measure = (
        found.rpartition("/") if found.partition("/")[0] in PARTS else ("", "", found)
    )
    direction, from_zero = settings.direction, False
    if direction is None:
        direction, from_zero = _better_end(found, registry)
    return Decision(measure, direction, part, from_zero)


def _full_name(measure: str, split: str | None, known: Sequence[str]) -> str:
    parts = PARTS if split is None else (split,)
    for name in (measure, *(f"{part}/{measure}" for part in parts)):
        if name in known:
            return name
    bare = [name.partition("/")[2] for name in known]
    where = "" if split is None else f" on the {split} part"
    if measure in bare:
        raise DataError(f"no finished run has the measure '{measure}'{where}, but on the other")
    raise DataError(
        f"no finished run has the measure '{measure}'{where}"
        f"{did_you_mean(measure, [*known, *bare])}; available: {', '.join(sorted(known)) or 'none'}"
    )


def _better_end(name: str, registry: Registry) -> tuple[Literal["maximize", "minimize"], bool]:
    # And whether it is the absolute value that counts.
    if name.startswith("test_std/"):  # the spread over folds, of whatever it is
        return "minimize", False
    measure = measure_class(name, registry)
    if MeasureAbilities.of(measure).zero_is_best:
        return "minimize", True
    return "maximize" if measure.greater_is_better else "minimize", False


_ARROWS = {"greater": " ↑", "less": " ↓", "0": " →0"}


def best_end(name: str, registry: Registry) -> str:
    """Return which values of a measure are best: greater, less, 0, or nothing if nobody knows."""
    try:
        direction, from_zero = _better_end(name, registry)
    except DbgsomError:  # of a plugin that is no longer there
        return ""
    return Decision(name, direction, "", from_zero).end


def with_arrow(name: str, best: str) -> str:
    """Return the name of a measure with an arrow to its best values, where they are known."""
    return name + _ARROWS.get(best, "")


def measure_class(name: str, registry: Registry) -> Any:
    """Return the class of a measure by its logged name: ``test/NAME`` or ``NAME`` with options.

    Raises
    ------
    DataError
        No installed plugin offers it.
    """
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
            f"no installed plugin offers the measure '{bare}', so nobody knows whether more of it "
            f"is better{did_you_mean(bare, offered)}; compare by another measure, or say the "
            "direction"
        )
    return registry.find("measure", max(known, key=len))


def is_in_units(decision: Decision, registry: Registry) -> bool:
    """Say whether what decides is in the units of distances: other metrics do not compare by it."""
    try:
        measure = measure_class(decision.name, registry)
    except DataError:  # of a plugin that is no longer there, and the direction was said
        return False
    return MeasureAbilities.of(measure).in_metric_units
