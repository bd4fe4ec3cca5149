"""Can the parts take what the data set is told to give? What is known without reading data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbgsom_core.config.components import Built
from dbgsom_core.config.experiment import Model, PrepareStep
from dbgsom_core.config.nodes import Section, Spot
from dbgsom_core.config.problems import Problems
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry

_TARGETS = ("target", "target_path")


def check_capabilities(
    root: Section,
    dataset: Built | None,
    prepare: Sequence[PrepareStep],
    model: Model,
    registry: Registry,
    problems: Problems,
) -> None:
    """Add a problem for each part that lacks what the data set will ask of it."""
    if dataset is None:
        return
    for keys, message in _lacks(dataset, prepare, model, registry):
        spot = Spot("", root.place, root)
        for key in keys:
            if isinstance(spot.node, Section) and key in spot.node.entries:
                spot = spot / key
        problems.add(spot.node.place, ".".join(keys), message)


def _lacks(
    dataset: Built, prepare: Sequence[PrepareStep], model: Model, registry: Registry
) -> Iterator[tuple[tuple[str, ...], str]]:
    given, kind = dataset.component, model.estimator
    metric = model.params.get("metric")
    gaps = getattr(given, "missing", None) == "keep"
    filled = any(fills_gaps(step.where or step.name) for step in prepare)
    if gaps and not filled and "missing" not in getattr(metric, "handles", ("missing",)):
        name = registry.name_of("metric", metric)
        yield (
            ("model", "metric"),
            f"'{name}' takes no missing values, and dataset.missing is keep: take "
            f"{metrics_for_gaps(registry)}, or fill them with a step such as "
            "'sklearn.impute:SimpleImputer'",
        )
    if kind == "regressor" and getattr(given, "missing_target", None) == "unlabelled":
        yield (
            ("dataset", "missing_target"),
            "must be error or drop for a regressor, which needs a number for every sample",
        )
    key = next((key for key in _TARGETS if key in type(given).model_fields), None)
    if key is None or getattr(given, key) is not None:
        return
    growth = model.params.get("growth")
    if kind != "vq":
        yield ("dataset", key), f"is required for estimator {kind}"
    elif growth is not None and GrowthAbilities.of(growth).needs_classes:
        name = registry.name_of("growth", growth)
        yield ("dataset", key), f"is required: growth '{name}' as it is set needs classes"


def fills_gaps(step: str) -> bool:
    """Return whether a prepare step of this name leaves no value missing."""
    return step.endswith("Imputer")


def metrics_for_gaps(registry: Registry) -> str:
    """Return the built-in metrics that take missing values and any number, in a sentence."""
    names = [
        one.name
        for one in registry.offered("metric")
        if one.distribution == OWN_DISTRIBUTION
        and one.name != "hamming"  # which takes category codes alone
        and "missing" in getattr(one.load(), "handles", ())
    ]
    return " or ".join([", ".join(names[:-1]), *names[-1:]])
