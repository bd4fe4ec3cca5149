"""Experiments, built from a configuration, or the list of its errors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from dbgsom_core.config.components import Named, PrepareStep
from dbgsom_core.config.load import (
    REFERENCE,
    Document,
    Problem,
    Problems,
    fill,
    merge,
    nested,
    read_config,
)
from dbgsom_core.config.schema import (
    DEFAULT,
    DEFAULT_NAMES,
    ESTIMATOR_OF,
    GROWTH_FIELDS,
    ExperimentSettings,
    ModelSettings,
    ReportSettings,
    Split,
    StabilitySettings,
)
from dbgsom_core.errors import ConfigError, DbgsomError
from dbgsom_core.estimators.parameters import AUTO
from dbgsom_core.experiments.trackers import masked, tracker_classes
from dbgsom_core.files import with_files
from dbgsom_core.interfaces.component import Component, guarded, use_registry
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.plugins.validation_messages import explain_errors
from dbgsom_core.training.parts import (
    DEFAULT_LABELLERS,
    KIND_OF,
    Parts,
    field_problem,
    find_misfits,
    is_suitable_measure,
)

if TYPE_CHECKING:
    from dbgsom_core.interfaces.engine import EngineComponent

# Figures of a run that names none; of some estimators these, and those of their answers.
FIGURES = ("label_map", "u_matrix", "hit_map", "growth_curve", "explorer")
OF_ANSWERS = {
    "classifier": ("confusion_matrix", "roc_curve"),
    "regressor": ("predicted_actual",),
}

# Keys that say nothing where they are empty: without them a run stays equal to one that was stored
# before they came. A new key whose default changes nothing goes here.
_LEFT_OUT_IF_EMPTY = ("tags", "report", "plugins")
_WANTS_TEXT = ("string_type", "path_type")  # pydantic's errors where text is wanted


@dataclass(frozen=True)
class Model:
    """The estimator of a configuration, and its keyword arguments."""

    estimator: Literal["vq", "classifier", "regressor"] = "vq"
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """One validated configuration, its components built; attributes are named as the keys."""

    experiment: str
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
    stability: StabilitySettings | Literal["auto"] | None = None  # None: no refits
    report: ReportSettings | None = None
    notes: tuple[str, ...] = ()  # for its report
    folder: Path = field(default_factory=Path.cwd, compare=False)  # where relative paths start
    # Of its owner's prepare steps, beside what is installed; never from what a run has stored.
    steps_folder: Path | None = field(default=None, compare=False)
    document: Document = field(default=Document({}), compare=False, repr=False)

    @property
    def estimator_params(self) -> dict[str, Any]:
        """Keyword arguments of its estimator, with the paths of files that its labeller reads."""
        params = dict(self.model.params)
        if "labeller" in params:
            params["labeller"] = with_files(params["labeller"], self.folder)
        return params

    @property
    def data_called(self) -> str:
        """The data's name in messages: its file as it was written, or the data set."""
        path = self.resolved["dataset"].get("path")
        return Path(path).name if isinstance(path, str) else self.dataset_name


@contextmanager
def estimator_errors_located(experiment: Experiment) -> Iterator[None]:
    """Raise an estimator's error about parameters as one of the configuration, with its place."""
    try:
        yield
    except DbgsomError:
        raise
    except ValueError as error:
        parameter = getattr(error, "parameter", "")
        keys = ("model", parameter) if parameter else ("model",)
        place = experiment.document.mark(*keys).value
        raise ConfigError(str(Problem(place, ".".join(keys), str(error)))) from error


def load_experiment(
    config: str | os.PathLike[str] | Mapping[str, Any],
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
) -> Experiment:
    """Return the experiment of a YAML file, or of plain Python values.

    ``overrides`` are as after ``--set``. Components come from ``registry``, or else from the
    installed plugins. Raises `ConfigError` with a line for each problem, ``file:line:column:
    key.path: what is wrong``, and `PluginError` for a plugin that is broken or ambiguous.
    """
    problems = Problems()
    document = read_config(config, overrides, problems)
    if document.values.get("sweep") is not None:
        message = "describes several runs; use 'dbgsom sweep' or sweep()"
        problems.add(document.mark("sweep").key, "sweep", message)
    return require_experiment(document.without("sweep"), registry, problems)


def require_experiment(
    document: Document, registry: Registry | None, problems: Problems
) -> Experiment:
    """Return the experiment of a merged configuration; raises all problems."""
    experiment = build_experiment(document, registry or get_registry(), problems)
    problems.raise_any()
    assert experiment is not None
    return experiment


def build_experiment(
    document: Document, registry: Registry, problems: Problems
) -> Experiment | None:
    """Return the experiment of a merged configuration, or None with problems."""
    before = len(problems)
    document = fill(document, problems)
    disabled: list[str] = []
    with suppress(KeyError, TypeError):  # what is wrong there is found with the rest
        disabled = list(map(str, document.values["plugins"]["disable"]))
    registry = registry.without(disabled)
    with use_registry(registry):
        full = _with_defaults(document, registry)
        settings = check_section(ExperimentSettings, full, problems)
        if settings is not None:
            for keys, message in _mismatches(settings):
                _add_problem(problems, full, keys, message)
        if settings is None or len(problems) > before:
            return None
        return _experiment(settings, document, registry, problems)


def check_section(cls: type[Any], document: Document, problems: Problems, *keys: str) -> Any:
    """Return an instance of a model made from the section at some keys, or None with problems.

    Values are taken strictly: a text is no number. What the environment held stays text where text
    is wanted: ``PIN=0042`` is no number then.
    """
    section = document.values
    shown = document.show(document.values)
    for key in keys:
        section, shown = section[key], shown[key]
    try:
        return cls.model_validate(section)
    except ValidationError as error:
        invalid = error
    with_texts = document
    for detail in invalid.errors():
        path, _ = document.find(*keys, *detail["loc"])
        mark = document.marks.get(path)
        if detail["type"] in _WANTS_TEXT and mark is not None and mark.reference:
            with_texts = merge(with_texts, Document(nested(path, mark.text)), problems)
    if with_texts is not document:
        return check_section(cls, with_texts, problems, *keys)
    for kind, steps, message in explain_errors(invalid, cls, section, shown):
        _add_problem(problems, document, (*keys, *steps), message, at_key=kind != "value")
    return None


def _add_problem(
    problems: Problems,
    document: Document,
    keys: tuple[str | int, ...],
    message: str,
    at_key: bool = False,
) -> None:
    """Add a problem at some keys; what the environment holds is no part of its message."""
    mark = document.mark(*keys)
    if mark.text and mark.text in message:
        message = f"{mark.reference} holds nothing that can stand here"
    place = mark.key if at_key else mark.value
    problems.add(place, ".".join(map(str, keys)), message)


def _with_defaults(document: Document, registry: Registry) -> Document:
    """Return a document with the names of all components that it leaves to defaults."""
    values = {"model": None, "engine": "local", "prepare": [], **document.values}
    model = {} if values["model"] is None else values["model"]
    estimator = "vq"
    if isinstance(model, dict):
        estimator = str(model.get("estimator", "vq"))
        names: dict[str, Any] = {**DEFAULT_NAMES, "stopping": []}
        if estimator in DEFAULT_LABELLERS:
            names["labeller"] = DEFAULT_LABELLERS[estimator]
        values["model"] = {**names, **model}
    if values.get("figures", DEFAULT) == DEFAULT:
        figures = [*FIGURES, *OF_ANSWERS.get(estimator, ())]
        figures += _figures_of(values.get("stability", AUTO), estimator, values["model"])
        if values.get("report") is not None:
            figures.append("group_shares")
        known = registry.names("figure")
        values["figures"] = [name for name in figures if name in known]
    if values.get("tracking", DEFAULT) == DEFAULT:
        trackers = tracker_classes(registry).items()
        values["tracking"] = [name for name, tracker in trackers if tracker.is_default]
    return replace(document, values=values)


def _figures_of(stability: Any, estimator: str, model: Any) -> Iterator[str]:
    """Yield the default figures of what is asked of refits, by sections as they are written."""
    if isinstance(stability, dict):
        asks_halves = stability.get("halves") is not None
        if not asks_halves or stability.get("resamples") is not None:
            yield "trust_map"
    else:
        labeller = model.get("labeller") if isinstance(model, dict) else None
        named = labeller.get("name") if isinstance(labeller, dict) else labeller
        asks_halves = stability == AUTO and named not in (None, *DEFAULT_LABELLERS.values())
    if asks_halves and estimator == "vq":
        yield "stability"  # which runs without clusters leave out


def _mismatches(settings: ExperimentSettings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield keys of settings that do not go with others, each with a sentence."""
    model = settings.model or ModelSettings()
    estimator = model.estimator
    parts = _parts(settings, model)
    for key, message in find_misfits(parts, estimator):
        yield ("model", key), message
    for key in GROWTH_FIELDS:
        value = getattr(model, key)
        problem = None if value is None else field_problem(parts.growth, key, value)
        if problem is not None:
            yield ("model", key), problem
    if estimator == "regressor" and settings.report is not None:
        message = "counts labels, and a regressor answers with numbers: leave it out"
        yield ("report", "by"), message
    stability = settings.stability
    asks_halves = isinstance(stability, StabilitySettings) and stability.halves is not None
    if asks_halves and (estimator != "vq" or guarded(parts.labeller).needs_target):
        message = "is for the clusters of a vq whose labeller reads no targets: leave it out"
        yield ("stability", "halves"), message
    for i, (name, figure) in enumerate(settings.figures):
        if figure.estimators is not None and estimator not in figure.estimators:
            yield ("figures", i), _misfit("figure", name, figure, estimator)
    for i, (name, measure) in enumerate(_measures(settings) or ()):
        if not is_suitable_measure(measure, estimator):
            yield ("measures", i), _misfit("measure", name, measure, estimator)


def _misfit(kind: str, name: str, component: Any, estimator: str) -> str:
    suited = " or ".join(component.estimators)
    return f"{kind} '{name}' is for estimator {suited}, not for {estimator}"


def _measures(settings: ExperimentSettings) -> tuple[Named, ...] | None:
    return None if settings.measures == DEFAULT else tuple(settings.measures)


def _parts(settings: ExperimentSettings, model: ModelSettings) -> Parts:
    values = {"engine": settings.engine, **dict(model)}
    parts = {key: _component(values[key]) for key in KIND_OF}
    parts["stopping"] = parts["stopping"] or ()
    return Parts(**parts)


def _component(value: Any) -> Any:
    """Return the component of a validated key, or a tuple of them."""
    if isinstance(value, list):
        return tuple(item.component for item in value) or None
    return value.component if isinstance(value, Named) else value


def _experiment(
    settings: ExperimentSettings, document: Document, registry: Registry, problems: Problems
) -> Experiment:
    model = settings.model or ModelSettings()
    written = set(document.values.get("model") or ()) - {"estimator"}
    for key, suited in ESTIMATOR_OF.items():
        if model.estimator != suited:
            written.discard(key)
    params = {key: _component(getattr(model, key)) for key in model.model_fields_set & written}
    resolved = settings.model_dump(mode="json", exclude={"extends", "sweep"})
    for key in _LEFT_OUT_IF_EMPTY:
        if not resolved[key]:
            del resolved[key]
    if resolved["stability"] == AUTO:
        del resolved["stability"]
    resolved = masked(document.show(resolved))
    split = settings.split
    if split is not None and split.test is not None:
        split = split.model_copy(update={"test": split.test.component})
    disabled: tuple[str, ...] = ()
    if settings.plugins is not None:
        disabled = tuple(settings.plugins.disable)
    return Experiment(
        experiment=REFERENCE.sub(r"env-\1", resolved["experiment"]),  # which names a folder
        dataset=settings.dataset.component,
        dataset_name=settings.dataset.name,
        prepare=tuple(settings.prepare or ()),
        split=split,
        model=Model(model.estimator, params),
        seed=settings.seed,
        measures=_measures(settings),
        figures=tuple(settings.figures),
        tracking=tuple(settings.tracking),
        engine=settings.engine.component,
        disabled=disabled,
        stability=settings.stability,
        report=settings.report,
        notes=(*_idle_measures(settings), *registry.unknown(disabled)),
        resolved=resolved,
        folder=document.folder,
        steps_folder=document.folder,
        document=document,
    )


def _idle_measures(settings: ExperimentSettings) -> Iterator[str]:
    """Yield sentences on measures of classes where answers are numbers of clusters or neurons."""
    model = settings.model or ModelSettings()
    if model.estimator != "vq" or guarded(model.labeller.component).needs_target:
        return
    for name, measure in _measures(settings) or ():
        if measure.estimators == ("classifier",):
            yield (
                f"measures: '{name}' compares answers with classes, and this map answers with "
                "numbers of its own: take adjusted_rand, or a classifier"
            )
