"""Do the sections go with the estimator? Each that does not is told at its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbgsom_core.config.components import Built, each_item
from dbgsom_core.config.experiment import Model
from dbgsom_core.config.merge import as_section
from dbgsom_core.config.nodes import Scalar, Section, Spot
from dbgsom_core.config.problems import Problems
from dbgsom_core.config.settings import Split
from dbgsom_core.interfaces.component import Component
from dbgsom_core.training.compatibility import measure_suits, why_not


def check_matching(
    root: Section,
    model: Model,
    measures: Sequence[Built] | None,
    split: Split | None,
    problems: Problems,
) -> None:
    """Add a problem for each part, measure and split that the estimator cannot use.

    Parameters
    ----------
    root : Section
        The whole configuration.
    model : Model
    measures : sequence of Built, or None
        Those that the configuration names.
    split : Split or None
    problems : Problems
    """
    for path, spot, message in _mismatches(root, model, measures, split):
        problems.add(spot.node.place, path, message)


def _mismatches(
    root: Section, model: Model, measures: Sequence[Built] | None, split: Split | None
) -> Iterator[tuple[str, Spot, str]]:
    kind = model.estimator
    for part in ("labeller", "growth"):
        component = model.params.get(part)
        spot = _spot(root, "model", part)
        if component is None or spot is None:
            continue
        message = why_not(part, f"'{_name(component, spot)}'", component, kind)
        if message is not None:
            yield spot.path, spot, message
    spot = _spot(root, "split", "stratify")
    if kind == "regressor" and split is not None and split.stratify and spot is not None:
        yield spot.path, spot, "must be false for a regressor, whose targets are no classes"
    spot = _spot(root, "measures")
    named = [] if measures is None or spot is None else list(each_item(spot))
    if measures is None or len(named) != len(measures):
        return  # some could not be built, which is told already
    for spot, built in zip(named, measures, strict=True):
        if not measure_suits(built.component, kind):
            suited = " or ".join(built.component.estimators)
            message = f"measure '{built.name}' is for estimator {suited}, not for {kind}"
            yield spot.path, spot, message


def _spot(root: Section, *keys: str) -> Spot | None:
    spot = Spot("", root.place, root)
    for key in keys:
        if not isinstance(spot.node, Section) or key not in spot.node.entries:
            return None
        spot = spot / key
    return spot


def _name(component: Component, spot: Spot) -> str:
    section = as_section(spot.node)
    name = section.get("name") if isinstance(section, Section) else None
    return str(name.value) if isinstance(name, Scalar) else type(component).__name__
