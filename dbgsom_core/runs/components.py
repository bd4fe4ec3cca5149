"""Which components a run was made with: enough to install and build every one of them again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dbgsom_core.config import Experiment
from dbgsom_core.errors import ConfigError, PluginError
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.interfaces.component import Component, nested_fields
from dbgsom_core.plugins.registry import Registry, why_absent
from dbgsom_core.runs.folder.records import Records
from dbgsom_core.runs.folder.store import RunFiles
from dbgsom_core.runs.params import is_reference
from dbgsom_core.training.parts import Parts


def describe_components(
    experiment: Experiment, parts: Parts, registry: Registry
) -> list[dict[str, Any]]:
    """Return kind, name, distribution, version and parameters of every component of a run.

    Parameters
    ----------
    experiment : Experiment
        Where a section gave the parameters they are told as it was written: what the environment
        holds stays there.
    parts : Parts
        The estimator's parts, defaults among them.
    registry : Registry
        Which plugin offers which class.

    Returns
    -------
    list of mappings
        In the order of the pipeline. Measures that are the estimator's default are left out: they
        belong to dbgsom-core.
    """
    described = []
    for kind, component, section in _components(experiment, parts):
        try:
            offered = registry.identify(kind, component)
        except PluginError:  # a class of the user's own, given in Python
            continue
        params = component.model_dump(mode="json")
        if isinstance(section, dict):
            params = {key: value for key, value in section.items() if key != "name"}
        if kind == "growth":  # the estimator may fill some of its fields
            params |= {
                key: value
                for key, value in experiment.resolved["model"].items()
                if key in params and is_reference(value)
            }
        described.append({**offered.facts, "params": params})
    return described


def given_fields_of(experiment: Experiment) -> dict[str, list[str]]:
    """Return which fields each part of the model was given, those of nested parts with dots.

    A configuration that is written down gives them all; a saved model knows which were given.
    """
    return {kind: sorted(_given(part)) for kind, part in _parts(experiment).items()}


def with_given_fields(experiment: Experiment, given: Mapping[str, Any]) -> Experiment:
    """Return the experiment with all other fields of the model's parts not given."""
    parts: dict[str, Any] = {
        kind: _as_given(part, set(map(str, given.get(kind) or ())))
        for kind, part in _parts(experiment).items()
    }
    engine = parts.pop("engine", experiment.engine)
    model = replace(experiment.model, params={**experiment.model.params, **parts})
    return replace(experiment, model=model, engine=engine)


def _parts(experiment: Experiment) -> dict[str, Any]:
    given = {**experiment.model.params, "engine": experiment.engine}
    return {kind: part for kind, part in given.items() if isinstance(part, Component)}


def _given(part: Component) -> Iterator[str]:
    nested = nested_fields(type(part))
    for field in part.model_fields_set:
        yield field
        if field in nested:
            yield from (f"{field}.{inner}" for inner in _given(getattr(part, field)))


def _as_given(part: Component, given: set[str]) -> Component:
    values = dict(part)
    for field in nested_fields(type(part)):
        inner = {name.removeprefix(f"{field}.") for name in given if name.startswith(f"{field}.")}
        values[field] = _as_given(values[field], inner)
    return type(part).model_construct(_fields_set=given & values.keys(), **values)


@contextmanager
def packages_named(files: RunFiles, registry: Registry) -> Iterator[None]:
    """Let an error about a run's stored configuration name the packages that are missing here.

    Raises
    ------
    ConfigError
        In place of the one that was raised.
    """
    try:
        yield
    except ConfigError as error:
        used = Records().json(files.environment).content.get("components")
        missing = {
            (str(one["distribution"]), str(one.get("version"))): f"{one['kind']} {one['name']}"
            for one in (used if isinstance(used, list) else ())
            if isinstance(one, Mapping)
            if all(isinstance(one.get(key), str) for key in ("kind", "name", "distribution"))
            if one["kind"] in KINDS and not _offers(registry, one)
        }
        if not missing:
            raise
        told = "\n".join(
            f"the run says that its {what} came with {distribution} {version}: "
            f"{why_absent(distribution)}"
            for (distribution, version), what in missing.items()
        )
        raise ConfigError(f"{error}\n{told}") from error


def _offers(registry: Registry, one: Mapping[str, Any]) -> bool:
    return any(
        (offered.name, offered.distribution) == (one["name"], one["distribution"])
        for offered in registry.offered(one["kind"])
    )


def _components(experiment: Experiment, parts: Parts) -> Iterator[tuple[str, Component, Any]]:
    resolved = experiment.resolved
    yield "dataset", experiment.dataset, resolved["dataset"]
    sections = {**resolved["model"], "engine": resolved["engine"]}
    for path, kind, part in parts.each():
        name, _, number = path.partition(".")
        section = sections.get(name)
        if number and isinstance(section, list):
            section = section[int(number)]
        yield kind, part, section
        for field, inner_kind in nested_fields(type(part)).items():
            inner = section.get(field) if isinstance(section, dict) else None
            yield inner_kind, getattr(part, field), inner
    lists = (
        ("measure", experiment.measures or (), resolved["measures"]),
        ("figure", experiment.figures, resolved["figures"]),
        ("tracker", experiment.tracking, resolved["tracking"]),
    )
    for kind, components, sections in lists:
        for position, (_, component) in enumerate(components):
            yield kind, component, sections[position]
