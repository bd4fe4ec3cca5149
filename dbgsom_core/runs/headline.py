"""The headline of a finished run: the few measures that suit its task, beside their references."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbgsom_core.runs.ranking import PARTS
from dbgsom_core.runs.text import number, value_of

_MOST = 5  # measures, where the configuration names none
_LEAST_OF_CLASS = 5  # samples on average, else its purity says little
_FEW = 50  # samples, of which a share says more than they know
_OF_TASK = {
    "classifier": (
        "accuracy", "balanced_accuracy", "log_loss", "roc_auc", "topographic_error",
        "quantization_error",
    ),
    "regressor": ("r2", "rmse", "mae", "topographic_error", "quantization_error"),
    "vq": (
        "quantization_error", "topographic_error", "trustworthiness", "purity", "continuity",
        "dead_neurons",
    ),
}  # fmt: skip
# Not beside trustworthiness: it counts exact neighbours, and is small for good maps, too.
_ONLY_BY_NAME = "neighbourhood_preservation"
_REFERENCES = {"purity": "purity_shuffled"}  # what stands beside a measure as its baseline
_SHARES_OF_SAMPLES = ("accuracy", "purity", "topographic_error", "topographic_error_8")


@dataclass(frozen=True)
class HeadlineMeasure:
    """A measure of a run, of the test part where there is one, as texts: 0.93 ± 0.01, or 5 of 8."""

    name: str  # without its part: ``accuracy``
    part: str  # test or train
    value: float
    text: str
    training: str  # on the training part, where the value is of the test part
    baseline: str  # of an answer that learns nothing
    samples: int | None  # of the part, where the measure is a share of them


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
    parts = parts_of(measures)
    left_out = {*_REFERENCES.values()}
    if not is_named:
        left_out.add(_ONLY_BY_NAME)
    usual = [name for name in _OF_TASK.get(kind, _OF_TASK["vq"]) if name in parts]
    if "purity" in usual and not _has_classes(data):
        usual.remove("purity")
    rest = [name for name in parts if name not in left_out]
    names = list(dict.fromkeys([*usual[:_MOST], *rest]))[: None if is_named else _MOST]
    baseline, sizes = (_mapping(data.get(key)) for key in ("baseline", "parts"))
    found = []
    for name in names:
        part, is_share = parts[name], name in _SHARES_OF_SAMPLES
        value, deviation = measures[f"{part}/{name}"], measures.get(f"{part}_std/{name}")
        samples, trained = (sizes.get(one) if is_share else None for one in (part, "train"))
        text = count_text(value, samples) or value_of(value, deviation)
        training = _text(measures.get(f"train/{name}"), trained) if part == "test" else ""
        reference = measures.get(f"{part}/{_REFERENCES.get(name)}")
        constant = _text(baseline.get(f"{part}/{name}", reference), samples)
        found.append(HeadlineMeasure(name, part, value, text, training, constant, samples))
    return found


def parts_of(measures: Mapping[str, float]) -> dict[str, str]:
    """Return the part of the data on which each measure of a run is known, test where it can be."""
    split = [name.partition("/") for name in measures]
    return {name: part for each in reversed(PARTS) for part, _, name in split if part == each}


def count_text(share: float, samples: int | None) -> str:
    """Return a share of few samples as a count: 5 of 8; empty where it is none."""
    if samples is None or samples >= _FEW or not math.isfinite(share):
        return ""
    count = round(share * samples)
    is_count = math.isclose(count, share * samples, abs_tol=1e-6)
    return f"{count} of {samples}" if is_count else ""


def _text(value: float | None, samples: int | None) -> str:
    return "" if value is None else count_text(value, samples) or number(value)


def _has_classes(data: Mapping[str, Any]) -> bool:
    """Return whether targets are classes of several samples each, not numbers."""
    classes, samples = data.get("classes"), data.get("samples")
    if not (isinstance(classes, int) and isinstance(samples, int)):
        return False
    return classes * _LEAST_OF_CLASS <= samples


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
