"""Experiments, built from a configuration, or the list of its errors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from dbgsom_core.config.components import (
    FIGURES,
    OF_ANSWERS,
    OF_GROUPS,
    OF_STABILITY,
    Builder,
    Built,
    PrepareStep,
    mismatches,
)
from dbgsom_core.config.load import fill, merged, overridden
from dbgsom_core.config.schema import (
    DEFAULT,
    GROWTH_FIELDS,
    OF_CLASSES,
    ExperimentSettings,
    ModelSettings,
    PluginSettings,
    Split,
    StabilitySettings,
)
from dbgsom_core.config.sections import (
    NOWHERE,
    UNMARKED,
    Mark,
    Problems,
    Section,
    checked,
    findings_of,
    from_python,
    mark_at,
    with_references,
)
from dbgsom_core.errors import ConfigError, DbgsomError
from dbgsom_core.experiments.addresses import masked
from dbgsom_core.experiments.offers import unknown_plugins, without_plugins
from dbgsom_core.experiments.trackers import tracker_classes
from dbgsom_core.interfaces.component import Component
from dbgsom_core.plugins.registry import Registry, get_registry

if TYPE_CHECKING:
    from dbgsom_core.interfaces.engine import EngineComponent

Named = tuple[str, Any]  # its name, and the component

_REFERENCE = re.compile(r"\$\{env:(\w+)[^}]*\}")


@dataclass(frozen=True)
class Model:
    """The estimator of a configuration, and its keyword arguments."""

    estimator: Literal["vq", "classifier", "regressor"] = "vq"
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """One validated configuration, its components built; attributes are named as the keys."""

    experiment: str
    name: str | None
    dataset: Component
    dataset_name: str
    prepare: tuple[PrepareStep, ...]
    split: Split | None  # None trains on everything
    model: Model
    seed: int
    measures: tuple[Named, ...] | None  # None is the default list of the estimator
    figures: tuple[Named, ...]
    tracking: tuple[Named, ...]
    engine: EngineComponent
    # Every default filled, references to the environment as they were written, no password of an
    # address: plain values that load again.
    resolved: Mapping[str, Any]
    disabled: tuple[str, ...] = ()  # plugins or distributions that this run leaves alone
    stability: StabilitySettings | None = None  # None: no refits
    report_by: tuple[str, ...] = ()  # columns by which labels are counted
    tags: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # for its report
    source: str = field(default="<python>", compare=False)  # the file's name
    folder: Path = field(default_factory=Path.cwd, compare=False)  # where relative paths start
    root: Section = field(default_factory=Section, compare=False, repr=False)  # what was written

    def mark(self, *steps: str | int) -> Mark:
        """Return the location of a value, or of the section that lacks it."""
        return mark_at(self.root, steps)

    @property
    def data_called(self) -> str:
        """The data's name in messages: its file as it was written, or the data set."""
        section = self.resolved["dataset"]
        path = section.get("path") if isinstance(section, Mapping) else None
        return Path(path).name if isinstance(path, str) else self.dataset_name


@contextmanager
def estimator_errors_located(experiment: Experiment) -> Iterator[None]:
    """Raise an estimator's error about parameters as one of the configuration.

    Its place is that of the parameter with which its sentence begins.
    """
    try:
        yield
    except DbgsomError:
        raise
    except ValueError as error:
        parameter = re.match(r"\w+", str(error))
        key = parameter[0] if parameter else ""
        if key not in experiment.model.params:
            raise ConfigError(f"{experiment.source}: model: {error}") from error
        place = experiment.mark("model", key).value
        raise ConfigError(f"{place}: model.{key}: {error}") from error


def load_experiment(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), registry: Registry | None = None
) -> Experiment:
    """Return the experiment of a YAML file; ``overrides`` are as after ``--set``.

    Components come from ``registry``, or else from the installed plugins. Raises `ConfigError` with
    a line for each problem, ``file:line:column: key.path: what is wrong``, and `PluginError` for a
    plugin that is broken or ambiguous.
    """
    problems = Problems()
    root = merged(path, overrides, problems)
    message = f"this file describes several runs; use 'dbgsom sweep {os.fspath(path)}'"
    root = _without(root, "sweep", message, problems)
    return require_experiment(root, registry, problems)


def parse_experiment(
    values: Mapping[str, Any], registry: Registry | None = None, overrides: Sequence[str] = ()
) -> Experiment:
    """Return the experiment of plain Python values, as `load_experiment`."""
    problems = Problems()
    root = root_of(values, overrides, problems)
    root = _without(root, "sweep", "this describes several runs; use sweep()", problems)
    return require_experiment(root, registry, problems)


def root_of(values: Mapping[str, Any], overrides: Sequence[str], problems: Problems) -> Section:
    root = from_python(values, problems)
    if not isinstance(root, Section):
        problems.fail(NOWHERE, "", "a configuration is a mapping of keys to values")
    root = overridden(root, overrides, problems)
    return _without(root, "extends", "can only be written in a file", problems)


def _without(root: Section, key: str, message: str, problems: Problems) -> Section:
    if root.get(key) is not None:
        problems.add_at(root, (key,), message, "key")
    return root.without(key)


def require_experiment(root: Section, registry: Registry | None, problems: Problems) -> Experiment:
    """Return the experiment of a merged configuration; raises all problems."""
    experiment = build_experiment(root, Builders(registry or get_registry()), problems)
    problems.raise_any()
    assert experiment is not None
    return experiment


class Builders:
    """A builder for each set of disabled plugins, so that sweeps build equal components once."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._known: dict[tuple[str, ...], Builder] = {}

    def of(self, root: Section) -> Builder:
        disabled: tuple[str, ...] = ()
        section = root.get("plugins")
        if isinstance(section, Section):
            with suppress(ValidationError):  # found again with the rest
                disabled = tuple(checked(PluginSettings, section.without()).disable)
        if disabled not in self._known:
            self._known[disabled] = Builder(without_plugins(self.registry, disabled))
        return self._known[disabled]


def build_experiment(root: Section, builders: Builders, problems: Problems) -> Experiment | None:
    """Return the experiment of a merged configuration, or None with problems."""
    before = len(problems)
    root, _ = fill(root, UNMARKED, problems)
    builder = builders.of(root)
    settings = None
    try:
        settings = checked(
            ExperimentSettings,
            root,
            validate=lambda cls, values: cls.model_validate(values, context=builder),
        )
    except ValidationError as error:
        problems.add_findings(root, error)
    for kind, steps, message in mismatches(root, builder):
        problems.add_at(root, steps, message, kind)
    if settings is None or len(problems) > before:
        return None
    return _experiment(settings, root, builder, problems)


def _experiment(
    settings: ExperimentSettings, root: Section, builder: Builder, problems: Problems
) -> Experiment:
    model = settings.model or ModelSettings()
    classifies = model.estimator == "classifier"  # else these keys are null
    keys = [key for key in root.get("model") or () if classifies or key not in OF_CLASSES]
    given = {key: getattr(model, key) for key in keys}
    filled = [key for key in GROWTH_FIELDS if given.get(key) is not None]
    params: dict[str, Any] = {}
    written: dict[str, Any] = {"estimator": model.estimator}
    for key, value in given.items():
        if isinstance(value, Built):
            params[key] = value.component
            written[key] = builder.written(value, filled if key == "growth" else ())
        elif isinstance(value, list):
            params[key] = tuple(one.component for one in value) or None
            written[key] = [builder.written(one) for one in value] or None
        elif key != "estimator":
            params[key] = written[key] = value
    split, split_written = settings.split, None
    if split is not None:
        split_written = split.model_dump(exclude_none=True, exclude_defaults=True, exclude={"test"})
        if split.test is not None:
            split_written["test"] = builder.written(split.test)
            split = split.model_copy(update={"test": split.test.component})
    stability, measures, figures = settings.stability, settings.measures, settings.figures
    if figures == DEFAULT:
        known = builder.registry.names("figure")
        usual = (
            FIGURES
            + OF_ANSWERS.get(model.estimator, ())
            + (OF_STABILITY,) * (stability is not None)
            + (OF_GROUPS,) * (settings.report is not None)
        )
        figures = [builder.component("figure", name) for name in usual if name in known]
    tracking = settings.tracking
    if tracking == DEFAULT:
        tracking = []
        for name, traits in tracker_classes(builder.registry).items():
            try:  # settings of a default tracker come from the environment, and may be wrong
                tracking += [builder.component("tracker", name)] if traits.is_default else []
            except ValidationError as error:
                for _, _, message in findings_of(error):
                    problems.add(NOWHERE, "tracking", message)
    engine = settings.engine if "engine" in root else builder.component("engine", "local")
    disabled = tuple(settings.plugins.disable) if settings.plugins else ()
    steps = settings.prepare or ()
    resolved = {
        "experiment": settings.experiment,
        "name": settings.name,
        "dataset": builder.written(settings.dataset),
        "prepare": [{"name": one.name, **one.component.params} for one in steps],
        "split": split_written,
        "model": builder.complete(written),
        "seed": settings.seed,
        **({"tags": dict(settings.tags)} if settings.tags else {}),
        **({"stability": stability.model_dump()} if stability else {}),
        **({"report": settings.report.model_dump()} if settings.report else {}),
        "measures": DEFAULT if measures == DEFAULT else list(map(builder.written, measures)),
        "figures": list(map(builder.written, figures)),
        "tracking": list(map(builder.written, tracking)),
        "engine": builder.written(engine),
        **({"plugins": {"disable": list(disabled)}} if disabled else {}),
    }
    resolved = masked(with_references(resolved, root))

    def named(built: Sequence[Built]) -> tuple[Named, ...]:
        return tuple((one.name, one.component) for one in built)

    return Experiment(
        experiment=_REFERENCE.sub(r"env-\1", resolved["experiment"]),  # which names a folder
        name=settings.name,
        dataset=settings.dataset.component,
        dataset_name=settings.dataset.name,
        prepare=tuple(step.component for step in steps),
        split=split,
        model=Model(model.estimator, params),
        seed=settings.seed,
        measures=None if measures == DEFAULT else named(measures),
        figures=named(figures),
        tracking=named(tracking),
        engine=engine.component,
        disabled=disabled,
        stability=stability,
        report_by=settings.report.columns if settings.report else (),
        tags=settings.tags,
        notes=(
            *problems.notes,
            *builder.notes_on(root),
            *unknown_plugins(builder.registry, disabled),
        ),
        resolved=resolved,
        source=problems.source,
        folder=problems.folder,
        root=root,
    )
