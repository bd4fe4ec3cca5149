"""The headline of a finished run: the few measures that suit its task, beside their references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbgsom_core.runs.ranking import PARTS, mapping_of
from dbgsom_core.runs.text import number, value_of

_MOST = 5  # measures, where the configuration names none
_LEAST_OF_CLASS = 5  # samples on average, else its purity says little
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
_BY_CHANCE = "_shuffled"  # ends the name of what stands beside a measure as its baseline


@dataclass(frozen=True)
class HeadlineMeasure:
    """A measure of a run, of the test part where there is one, as texts: 0.93 ± 0.01."""

    name: str  # without its part: ``accuracy``
    part: str  # test or train
    value: float
    text: str
    training: str  # on the training part, where the value is of the test part
    baseline: str  # of an answer that learns nothing


def headline(
    measures: Mapping[str, float], config: Mapping[str, Any], data: Mapping[str, Any]
) -> list[HeadlineMeasure]:
    """Return the measures that matter most: those of the task, then all that the user named.

    There are five at most, unless ``config`` names more in ``measures``. ``data`` are the facts of
    the run, with the baseline.
    """
    named = config.get("measures")
    is_named = isinstance(named, Sequence) and not isinstance(named, str)
    parts = parts_of(measures)
    hidden = [name for name in parts if name.endswith(_BY_CHANCE)]
    if not is_named:
        hidden.append(_ONLY_BY_NAME)
    kind = str(mapping_of(config.get("model")).get("estimator"))
    usual = list(_OF_TASK.get(kind, _OF_TASK["vq"]))
    classes, samples = data.get("classes"), data.get("samples")
    are_classes = False  # of several samples each, and no numbers
    if isinstance(classes, int) and isinstance(samples, int):
        are_classes = classes * _LEAST_OF_CLASS <= samples
    if "purity" in usual and not are_classes:
        usual.remove("purity")
    names = []
    for name in dict.fromkeys([*usual, *parts]):
        if name in parts and name not in hidden:
            names.append(name)
    baseline = mapping_of(data.get("baseline"))
    lines = []
    for name in names if is_named else names[:_MOST]:
        part = parts[name]
        full = f"{part}/{name}"
        text = value_of(measures[full], measures.get(f"{part}_std/{name}"))
        training = ""
        if part == "test":
            training = _text(measures.get(f"train/{name}"))
        constant = _text(baseline.get(full, measures.get(f"{full}{_BY_CHANCE}")))
        lines.append(HeadlineMeasure(name, part, measures[full], text, training, constant))
    return lines


def parts_of(measures: Mapping[str, float]) -> dict[str, str]:
    """Return the part of the data on which each measure of a run is known, test where it can be."""
    parts = {}
    for part in reversed(PARTS):
        for full in measures:
            name = full.removeprefix(f"{part}/")
            if name != full:
                parts[name] = part
    return parts


def _text(value: float | None) -> str:
    return "" if value is None else number(value)
