"""The headline of a finished run: the few measures that suit its task, beside their references."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbgsom_core.runs.compare import number, value_of
from dbgsom_core.runs.ranking import PARTS

_MOST = 5  # measures, where the configuration names none
_LEAST_OF_CLASS = 5  # samples on average, else its purity says little
_FEW = 50  # samples, of which a share says more than they know
_OF_TASK = {
    "classifier": (
        "accuracy", "balanced_accuracy", "log_loss", "topographic_error", "quantization_error",
    ),
    "regressor": ("r2", "rmse", "mae", "topographic_error", "quantization_error"),
    "vq": (
        "quantization_error", "topographic_error", "trustworthiness", "purity", "continuity",
        "dead_neurons",
    ),
}  # fmt: skip
# Not beside trustworthiness: it counts exact neighbours, and is small for good maps, too.
_ONLY_BY_NAME = ("neighbourhood_preservation",)
_SHARES_OF_SAMPLES = ("accuracy", "purity", "topographic_error", "topographic_error_8")


@dataclass(frozen=True)
class HeadlineMeasure:
    """A measure of a run, of the test part where there is one."""

    name: str  # without its part: ``accuracy``
    part: str  # test or train
    value: float
    deviation: float | None = None  # over folds
    training: float | None = None  # on the training part, where the value is of the test part
    baseline: float | None = None  # of an answer that learns nothing
    samples: int | None = None  # of the part, where it is small and the measure is a share of it
    training_samples: int | None = None

    @property
    def text(self) -> str:
        """The value, ± its deviation; a share of few samples as a count: 5 of 8."""
        return count_text(self.value, self.samples) or value_of(self.value, self.deviation)

    @property
    def training_text(self) -> str:
        if self.training is None:
            return ""
        return count_text(self.training, self.training_samples) or number(self.training)

    @property
    def baseline_text(self) -> str:
        if self.baseline is None:
            return ""
        return count_text(self.baseline, self.samples) or number(self.baseline)


def headline(
    measures: Mapping[str, float], config: Mapping[str, Any], data: Mapping[str, Any]
) -> list[HeadlineMeasure]:
    """Return the measures that matter most: those of the task, then all that the user named.

    There are five at most, unless ``config`` names more in ``measures``. ``data`` are the facts of
    the run, with the baseline and the sizes of the parts.
    """
    model, named = config.get("model"), config.get("measures")
    kind = str(model.get("estimator")) if isinstance(model, Mapping) else ""
    is_named = isinstance(named, Sequence) and not isinstance(named, str)
    parts = {name: part for part in reversed(PARTS) for name in _names(measures, part)}
    usual = [name for name in _OF_TASK.get(kind, _OF_TASK["vq"]) if name in parts]
    if not _has_classes(data):
        usual = [name for name in usual if name != "purity"]
    rest = [name for name in parts if is_named or name not in _ONLY_BY_NAME]
    names = list(dict.fromkeys([*usual[:_MOST], *rest]))[: None if is_named else _MOST]
    baseline, sizes = (_mapping(data.get(key)) for key in ("baseline", "parts"))
    found = []
    for name in names:
        part = parts[name]
        tested = part == "test"
        counted = name in _SHARES_OF_SAMPLES
        found.append(
            HeadlineMeasure(
                name,
                part,
                measures[f"{part}/{name}"],
                measures.get(f"test_std/{name}") if tested else None,
                measures.get(f"train/{name}") if tested else None,
                baseline.get(f"{part}/{name}"),
                sizes.get(part) if counted else None,
                sizes.get("train") if counted and tested else None,
            )
        )
    return found


def _has_classes(data: Mapping[str, Any]) -> bool:
    """Return whether targets are classes of several samples each, not numbers."""
    classes, samples = data.get("classes"), data.get("samples")
    if not (isinstance(classes, int) and isinstance(samples, int)):
        return False
    return classes * _LEAST_OF_CLASS <= samples


def measure_names(measures: Mapping[str, float]) -> list[str]:
    """Return the names of all measures of a run, without their parts."""
    return list(dict.fromkeys(name for part in PARTS for name in _names(measures, part)))


def count_text(share: float, samples: int | None) -> str:
    """Return a share of few samples as a count: 5 of 8; empty where it is none."""
    if samples is None or samples >= _FEW or not math.isfinite(share):
        return ""
    count = round(share * samples)
    is_count = math.isclose(count, share * samples, abs_tol=1e-6)
    return f"{count} of {samples}" if is_count else ""


def _names(measures: Mapping[str, float], part: str) -> list[str]:
    return [name.removeprefix(f"{part}/") for name in measures if name.startswith(f"{part}/")]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
