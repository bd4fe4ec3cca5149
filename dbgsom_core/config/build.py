"""From merged nodes to an experiment: every section is checked, every problem is told at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dbgsom_core.config.capabilities import check_capabilities
from dbgsom_core.config.check import check
from dbgsom_core.config.components import (
    Built,
    build_component,
    each_item,
    named_section,
    with_default_name,
)
from dbgsom_core.config.environment import fill, texts_of
from dbgsom_core.config.experiment import Experiment, Model, Named, PrepareStep
from dbgsom_core.config.matching import check_matching
from dbgsom_core.config.nodes import Entry, Items, Scalar, Section, Spot, is_null, mask, plain
from dbgsom_core.config.problems import Problems
from dbgsom_core.config.settings import (
    DEFAULT_NAMES,
    ESTIMATORS,
    GROWTH_FIELDS,
    General,
    ModelSettings,
    PluginSettings,
    Split,
    StabilitySettings,
)
from dbgsom_core.errors import did_you_mean
from dbgsom_core.interfaces.privacy import hiding
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.training.parts import KIND_OF

# The keys under model: that are components, with the kind that each takes.
MODEL_COMPONENTS = {part: kind for part, kind in KIND_OF.items() if part != "engine"}
SECTIONS = (
    "dataset", "prepare", "split", "model", "measures", "figures", "stability", "tracking",
    "engine", "plugins",
)  # fmt: skip
BUILT_IN_STEPS = ("range_scale", "standardize")
DEFAULT_FIGURES = ("label_map", "u_matrix", "hit_map", "growth_curve", "explorer")
OF_STABILITY = "trust_map"  # drawn beside them where there is something to draw
DEFAULT_TRACKING = ("mlflow",)

_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def build_experiment(
    root: Section, registry: Registry, problems: Problems, source: str, folder: Path
) -> Experiment | None:
    """Return the experiment that a merged configuration describes, or None with problems.

    Raises
    ------
    PluginError
        A plugin that the configuration uses is broken or ambiguous.
    """
    problems.openly = frozenset(texts_of(root))
    filled = fill(Spot("", root.place, root), problems)
    assert isinstance(filled, Section)
    with hiding(problems.secrets):
        return _Builder(filled, registry, problems).experiment(source, folder)


class _Builder:
    def __init__(self, root: Section, registry: Registry, problems: Problems) -> None:
        self._root = root
        self._registry = registry
        self._problems = problems

    def experiment(self, source: str, folder: Path) -> Experiment | None:
        before = len(self._problems)
        general = self._general()
        plugins = self._plugins()
        self._registry = self._registry.without(plugins.disable)
        dataset = self._dataset()
        prepare, prepare_resolved = self._prepare()
        split, split_resolved = self._split()
        model, model_resolved = self._model()
        measures = self._measures()
        stability = self._stability()
        figures = self._figures(stability is not None)
        tracking = self._list("tracker", "tracking", DEFAULT_TRACKING, repeats=True)
        if model is not None:
            check_matching(self._root, model, measures, split, self._problems)
            check_capabilities(self._root, dataset, prepare, model, self._registry, self._problems)
        place = with_default_name(self._spot("engine", default="local"), "local")
        engine = build_component("engine", place, self._registry, self._problems)
        if general is None or dataset is None or model is None or engine is None:
            return None
        if len(self._problems) > before:
            return None
        resolved = {
            "experiment": general.experiment,
            "name": general.name,
            "dataset": dataset.resolved,
            "prepare": prepare_resolved,
            "split": split_resolved,
            "model": model_resolved,
            "seed": general.seed,
            "patience": general.patience,
            **({"tags": dict(general.tags)} if general.tags else {}),
            **({"stability": stability.model_dump()} if stability else {}),
            "measures": "default" if measures is None else [one.resolved for one in measures],
            "figures": [one.resolved for one in figures],
            "tracking": [one.resolved for one in tracking],
            "engine": engine.resolved,
        }
        if plugins.disable:
            resolved["plugins"] = {"disable": list(plugins.disable)}
        for key in (
            "experiment",
            "name",
            "split",
            "seed",
            "patience",
            "tags",
            "stability",
            "plugins",
        ):
            if key in self._root.entries and key in resolved:
                resolved[key] = mask(resolved[key], self._root.entries[key].node)
        return Experiment(
            experiment=general.experiment,
            name=general.name,
            dataset=dataset.component,
            dataset_name=dataset.name,
            prepare=tuple(prepare),
            split=split,
            model=model,
            seed=general.seed,
            measures=None if measures is None else _named(measures),
            figures=_named(figures),
            tracking=_named(tracking),
            engine=engine.component,
            disabled=plugins.disable,
            patience=general.patience,
            stability=stability,
            tags=general.tags,
            resolved=resolved,
            source=source,
            folder=folder,
            secrets=self._problems.secrets,
        )

    def _spot(self, key: str, default: str | None = None) -> Spot:
        entry = self._root.entries.get(key)
        if entry is None:
            entry = Entry(self._root.place, Scalar(default, self._root.place))
        return Spot(key, entry.place, entry.node)

    def _general(self) -> General | None:
        spot = Spot("", self._root.place, self._root.without(*SECTIONS))
        return check(General, spot, self._problems, known=(*SECTIONS, "extends", "sweep"))

    def _plugins(self) -> PluginSettings:
        spot = self._spot("plugins")
        if is_null(spot.node) or not self._is_section(spot):
            return PluginSettings()
        return check(PluginSettings, spot, self._problems) or PluginSettings()

    def _stability(self) -> StabilitySettings | None:
        spot = self._spot("stability")
        if is_null(spot.node) or not self._is_section(spot):
            return None
        return check(StabilitySettings, spot, self._problems)

    def _dataset(self) -> Built | None:
        if "dataset" not in self._root.entries:
            self._problems.add(self._root.place, "dataset", "is required")
            return None
        return build_component("dataset", self._spot("dataset"), self._registry, self._problems)

    def _prepare(self) -> tuple[list[PrepareStep], list[dict[str, Any]]]:
        steps, resolved = [], []
        for spot in each_item(self._spot("prepare")):
            named = named_section(spot, "scikit-learn transformer", self._problems)
            if named is None:
                continue
            name, rest = named
            offered = self._registry.prepare_steps
            known = name in BUILT_IN_STEPS or _CLASS.fullmatch(name)
            where = [""] if known else offered.get(name, [])
            if len(where) != 1:
                names = [*BUILT_IN_STEPS, *offered]
                listed = " or ".join(f"'{one}'" for one in names)
                told = f"unknown step '{name}'" + (
                    did_you_mean(name, names) or f"; write {listed} or module:Class"
                )
                if where:
                    told = f"'{name}' may be {' or '.join(where)}; write the one that you mean"
                self._problems.add(spot.node.place, spot.path, told)
                continue
            assert isinstance(rest.node, Section)
            params = rest.node.without("name")
            places = {key: entry.place for key, entry in params.entries.items()}
            places["name"] = spot.node.place
            steps.append(PrepareStep(name, plain(params), where[0], places))
            resolved.append(mask({"name": name, **plain(params)}, rest.node))
        return steps, resolved

    def _split(self) -> tuple[Split | None, dict[str, Any] | None]:
        spot = self._spot("split")
        if is_null(spot.node) or not self._is_section(spot):
            return None, None
        section = spot.node
        assert isinstance(section, Section)
        split = check(Split, spot, self._problems)
        if split is None:
            return None, None
        resolved = split.model_dump(exclude_none=True, exclude_defaults=True)
        if split.test is not None:
            built = build_component("dataset", spot / "test", self._registry, self._problems)
            if built is None:
                return None, None
            split = split.model_copy(update={"test": built.component})
            resolved["test"] = built.resolved
        return split, resolved

    def _model(self) -> tuple[Model | None, dict[str, Any]]:
        # None where nobody knows which estimator is meant, so that nothing is held against it.
        spot = self._spot("model")
        if is_null(spot.node) or not self._is_section(spot):
            return Model(), {"estimator": "vq"}
        section = spot.node
        assert isinstance(section, Section)
        plain_keys = Spot(spot.path, spot.key_place, section.without(*MODEL_COMPONENTS))
        settings = check(ModelSettings, plain_keys, self._problems, known=MODEL_COMPONENTS)
        params: dict[str, Any] = {}
        resolved: dict[str, Any] = {}
        filled = [key for key in GROWTH_FIELDS if getattr(settings, key, None) is not None]
        for key in section.entries:
            if key in MODEL_COMPONENTS:
                elsewhere = filled if key == "growth" else ()
                place = with_default_name(spot / key, DEFAULT_NAMES.get(key))
                kind = MODEL_COMPONENTS[key]
                if key == "stopping":
                    rules = self._each(kind, spot / key, repeats=True)
                    params[key] = tuple(one.component for one in rules)
                    resolved[key] = [one.resolved for one in rules]
                    continue
                if key == "schedule" and is_null(section.entries[key].node):
                    params[key] = resolved[key] = None
                    continue
                built = build_component(kind, place, self._registry, self._problems, elsewhere)
                if built is not None:
                    params[key], resolved[key] = built.component, built.resolved
            elif settings is not None and key != "estimator":
                params[key] = resolved[key] = getattr(settings, key)
        if settings is not None:
            estimator = settings.estimator
        elif "estimator" not in section.entries:
            estimator = "vq"
        else:
            written = plain(section.entries["estimator"].node)
            if written not in ESTIMATORS:
                return None, {}
            estimator = written
        places = {key: entry.node.place for key, entry in section.entries.items()}
        return Model(estimator, params, places), mask({"estimator": estimator, **resolved}, section)

    def _measures(self) -> list[Built] | None:
        spot = self._spot("measures", default="default")
        if isinstance(spot.node, Scalar) and spot.node.value == "default":
            return None
        return self._list("measure", "measures", ())

    def _figures(self, stability: bool) -> list[Built]:
        default = (*DEFAULT_FIGURES, OF_STABILITY) if stability else DEFAULT_FIGURES
        figures = self._list("figure", "figures", default)
        asked = not is_null(self._spot("stability").node)
        if not asked and any(one.name == OF_STABILITY for one in figures):
            place = self._root.entries["figures"].place
            told = f"{OF_STABILITY} draws what 'stability: {{resamples: 20}}' finds: add it"
            self._problems.add(place, "figures", told)
        return figures

    def _list(
        self, kind: str, key: str, default: Iterable[str], repeats: bool = False
    ) -> list[Built]:
        spot = self._spot(key, default="default")
        if isinstance(spot.node, Scalar) and spot.node.value == "default":
            offered = self._registry.names(kind)
            names = (Scalar(name, spot.node.place) for name in default if name in offered)
            spot = Spot(key, spot.key_place, Items(tuple(names), spot.node.place))
        return self._each(kind, spot, repeats)

    def _each(self, kind: str, spot: Spot, repeats: bool = False) -> list[Built]:
        found: list[Built] = []
        for item in each_item(spot):
            built = build_component(kind, item, self._registry, self._problems)
            if built is None:
                continue
            if not repeats and any(one.name == built.name for one in found):
                self._problems.add(item.node.place, item.path, f"'{built.name}' appears twice")
            found.append(built)
        return found

    def _is_section(self, spot: Spot) -> bool:
        if isinstance(spot.node, Section):
            return True
        self._problems.add(spot.node.place, spot.path, "must be a section of 'key: value' lines")
        return False


def _named(built: Iterable[Built]) -> tuple[Named, ...]:
    return tuple((one.name, one.component) for one in built)


def reject(root: Section, key: str, message: str, problems: Problems) -> Section:
    """Return ``root`` without ``key``, with a problem if it was there and not null."""
    entry = root.entries.get(key)
    if entry is not None and not is_null(entry.node):
        problems.add(entry.place, key, message)
    return root.without(key)
