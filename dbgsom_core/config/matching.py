"""Do the sections go with the estimator? Each that does not is told at its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbgsom_core.config.components import Built, each_item
from dbgsom_core.config.experiment import Model
from dbgsom_core.config.merge import as_section
from dbgsom_core.config.nodes import Scalar, Section, Spot
from dbgsom_core.config.problems import Problems
from dbgsom_core.config.settings import DEFAULT_NAMES, GROWTH_FIELDS, SPLITTERS, Split
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.lookup import lookup_in_use
from dbgsom_core.training.compatibility import (
    measure_suits,
    why_no_grid,
    why_no_kernel,
    why_no_start,
    why_not,
    why_not_filled,
    why_not_measured,
)


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
    yield from _part_mismatches(root, model)
    yield from _rule_mismatches(root, model)
    if split is not None:
        yield from _split_mismatches(root, kind, split)
    spot = _spot(root, "measures")
    named = [] if measures is None or spot is None else list(each_item(spot))
    if measures is None or len(named) != len(measures):
        return  # some could not be built, which is told already
    for spot, built in zip(named, measures, strict=True):
        if not measure_suits(built.component, kind):
            suited = " or ".join(built.component.estimators)
            message = f"measure '{built.name}' is for estimator {suited}, not for {kind}"
            yield spot.path, spot, message


_JUDGED = (*DEFAULT_NAMES, *GROWTH_FIELDS)


def _part_mismatches(root: Section, model: Model) -> Iterator[tuple[str, Spot, str]]:
    asked = [key for key in _JUDGED if _spot(root, "model", key) is not None]
    if not asked or any(key in DEFAULT_NAMES and key not in model.params for key in asked):
        return  # a part could not be built, which is told already
    growth, grid, kernel, metric = (
        lookup_in_use().build(key, model.params.get(key, DEFAULT_NAMES[key]))
        for key in ("growth", "grid", "kernel", "metric")
    )
    found: list[tuple[tuple[str, ...], str | None]] = [
        (("growth", "grid"), why_no_grid(growth, grid)),
        (("kernel", "metric"), why_no_kernel(kernel, metric)),
        (("init",), why_no_start(model.params.get("init"), growth)),
    ]
    for field in GROWTH_FIELDS:
        value = model.params.get(field)
        if value is not None:
            found.append(((field,), why_not_filled(growth, field, value)))
    for keys, message in found:
        spot = next(filter(None, (_spot(root, "model", key) for key in keys)), None)
        if message is not None and spot is not None:
            yield spot.path, spot, message


def _rule_mismatches(root: Section, model: Model) -> Iterator[tuple[str, Spot, str]]:
    rules, spot = model.params.get("stopping") or (), _spot(root, "model", "stopping")
    named = [] if spot is None else list(each_item(spot))
    for one, rule in zip(named, rules, strict=False):  # some may not have been built
        message = why_not_measured(rule, model.estimator)
        if message is not None and len(named) == len(rules):
            yield one.path, one, message


_PLAIN_WAYS = ("test_size", "stratify", "refit", "folds", "test")


def _split_mismatches(root: Section, kind: str, split: Split) -> Iterator[tuple[str, Spot, str]]:
    name = split.name or ""
    takes = SPLITTERS.get(name, ())
    for key in split.model_fields_set:
        spot, value = _spot(root, "split", key), getattr(split, key)
        if spot is None or value is None or (value is False and key != "shuffle"):
            continue
        told = None
        if name and key not in ("name", *takes):
            told = f"is not for {name}, which takes {', '.join(takes) or 'nothing'}"
        elif not name and key not in _PLAIN_WAYS:
            told = "is for splitters of scikit-learn: give their 'name', too"
        elif key in ("stratify", "refit") and split.test is not None:
            told = "divides nothing where 'test' holds the samples for testing"
        elif key == "refit" and split.folds is not None:
            told = "is for test_size; with folds a model of all data is kept anyway"
        elif key == "stratify" and kind == "regressor":
            told = "must be false for a regressor, whose targets are no classes"
        elif key == "test_size" and value == 1 and not name:
            told = "must be a share below 1, or at least 2 samples; not 1"
        elif key == "test_size" and name == "TimeSeriesSplit" and isinstance(value, float):
            told = f"must be how many samples, an integer, for {name}"
        elif key == "n_splits" and value < 2 and not name.endswith("ShuffleSplit"):
            told = f"must be at least 2 for {name}"
        elif key == "name" and kind == "regressor" and "Stratified" in name:
            told = f"needs classes, which a regressor has not; use {name.replace('Stratified', '')}"
        elif key == "name" and "groups" in takes and split.groups is None:
            told = "needs 'groups': the column or array that holds them"
        if told is not None:
            yield spot.path, spot, told


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
