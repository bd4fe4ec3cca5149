"""Results of a run: figures, tables of rows, and measures.

A new table of the run folder is an entry of `tables_of`, which the tracker ``run_folder`` writes.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.config import Experiment
from dbgsom_core.config.schema import StabilitySettings
from dbgsom_core.estimators.stability import (
    Halving,
    Resampling,
    compute_cluster_stability,
    compute_stability,
    has_clusters,
)
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.measuring import (
    column_names,
    columns_of_answers,
    format_path,
    measured,
    value_of,
)
from dbgsom_core.experiments.models import names_after
from dbgsom_core.experiments.trackers import FoldMeasures, Run, RunResult
from dbgsom_core.interfaces.component import Component, guarded
from dbgsom_core.interfaces.figures import MapView, images_of
from dbgsom_core.interfaces.measures import ClusterStability, Evaluation, Stability
from dbgsom_core.persistence import FittedModel
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.data import Division, Fold, Part, n_classes, subsample
from dbgsom_core.runs.describe import (
    data_title,
    digest,
    estimator_params,
    name_of_params,
    number,
    percent,
)
from dbgsom_core.runs.profile import (
    columns_of_stability,
    table_of_clusters,
    table_of_groups,
    table_of_stability,
)
from dbgsom_core.runs.session import EpochCallback
from dbgsom_core.tables import numbered

if TYPE_CHECKING:
    from dbgsom_core.estimators.new_rows import Suspects

log = logging.getLogger("dbgsom")

HELD_OUT = "held-out"  # what rows are called that folds have tested, see `MapView.scored`

# Arrays ``answers`` and ``probabilities`` of a fold's test rows; empty where they are not known.
# Those of a classifier are codes into the classes of the final model.
Answers = Mapping[str, NDArray[Any]]
Batches = Iterator[Mapping[str, Any]]  # columns (n,) by name, some rows after the other

_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)
_ROWS, _CELLS = 1 << 16, 1 << 20  # of a batch at most: rows, and numbers in their samples
# Of stability: auto, so that refits take less than a second, or than the fit.
_PAIRS = 5  # of halves: fewer have intervals that say nothing
_MOST_IN_HALF = 5000  # rows
_LARGEST_NUMBER = 8  # of clusters
_LEAST_EPOCHS = 25  # or a quarter: enough, as the halves' maps need not be fine
_SCORES = {"classifier": "accuracy", "regressor": "r2"}
_MOST_WORST = 10  # rows that a sentence names, and 1 % of all
_ROUNDING = 1e-20  # share of squared targets below which squared errors are rounding
_SMALLEST = 1e-200  # the 13th digit of it has a power of 10 that float64 holds


def view_of_run(
    estimator: Any, evaluation: Evaluation, part: Part, data: Data, steps: Any, title: str
) -> MapView:
    """Return a trained map as figures see it, with the samples of a part of its data."""
    class_names: dict[Any, str] = {}
    has_codes = data.y is not None and data.y.dtype.kind in "iu"
    if estimator._kind != "regressor" and data.target_names is not None and has_codes:
        class_names = dict(enumerate(data.target_names))
    label_names = {}
    # Cluster numbers are no classes, whatever the data set calls its classes.
    if guarded(estimator._parts.labeller).needs_target:
        label_names = class_names
    features = names_after(steps, data.feature_names) or ()
    if len(features) != part.X.shape[1]:
        features = ()
    pixels = list(map(str, range(data.X.shape[1])))
    image_shape = None
    if names_after(steps, pixels) == pixels:  # each prepared column is a pixel still
        image_shape = data.image_shape
    rows: Any = part.rows
    ids = data.ids or {}
    annotations = {**ids, **data.annotations}
    sample_ids = None if isinstance(rows, slice) else rows
    if ids:
        sample_ids = _ids_of(data, rows)
    target = None if data.columns is None else data.columns.target
    view: MapView = estimator._view(
        evaluation,
        label_names=label_names,
        class_names=class_names,
        feature_names=features,
        image_shape=image_shape,
        title=title,
        sample_ids=sample_ids,
        sample_ids_name=" ".join(ids),
        target_name=target or "",
        variables={name: values[rows] for name, values in data.variables.items()},
        annotations={name: values[rows] for name, values in annotations.items()},
        novelty=partial(estimator.score_samples, part.X),
    )
    return view


def _ids_of(data: Data, rows: Any) -> NDArray[Any]:
    """Return the ids of rows, or their numbers where the data has none, (m,)."""
    if not data.ids:
        return np.asarray(np.arange(len(data.X))[rows])
    cells = [np.asarray(values)[rows].tolist() for values in data.ids.values()]
    return np.array([" ".join(map(str, row)) for row in zip(*cells, strict=True)])


def sentence_on_errors(estimator: Any, part: str, tested: Evaluation, data: Data, rows: Any) -> str:
    """Return which few rows carry more than half of a regressor's squared error; empty if none.

    ``rows`` are those of ``data`` on which it was ``tested``, as the ``part`` is called.
    """
    y, answers = np.asarray(tested.y, np.float64), np.asarray(tested.predictions)
    squares = np.nan_to_num((y - answers) ** 2)
    n = int(np.count_nonzero(~np.isnan(y)))
    most = min(_MOST_WORST, n // 100)
    worst = np.argsort(-squares, kind="stable")[: most + 1]
    largest = np.maximum(squares[worst], _SMALLEST)
    shares = np.cumsum(largest[:-1]) / max(squares.sum(), _ROUNDING * np.nansum(y**2), _SMALLEST)
    enough = int(np.count_nonzero(shares <= 0.5))
    if enough == most:
        return ""
    # They end where squared errors fall most, so that alike errors are all among them.
    count = enough + int((largest[:-1] / largest[1:])[enough:].argmax()) + 1
    names = _ids_of(data, rows)[worst[:count]].tolist()
    called = " ".join(data.ids or ["row"])
    listed = []
    for name, row in zip(names, worst.tolist(), strict=False):
        listed.append(f"{called} {name} ({number(y[row])}, predicted {number(answers[row])})")
    text = f"{percent(shares[count - 1])} of the squared error is that of {count} of {n:,} {part} "
    text += f"rows: {', '.join(listed)}; correct or leave out what is mistyped"
    is_absolute = getattr(estimator._parts.labeller, "loss", "") == "absolute"
    if estimator.target_transform is None and not is_absolute:
        transform = "log" if np.nanmin(y) > 0 else "yeo-johnson"
        text += ", or set model.labeller: {name: local_linear, loss: absolute} or "
        text += f"model.target_transform: {transform}"
    return text


def draw_figures(
    figures: Iterable[tuple[str, Component]], view: Any, notes: list[str]
) -> dict[str, Any]:
    """Return what figures draw, by the names of their files; one that fails becomes a note."""
    images: dict[str, Any] = {}
    with warnings_as_notes(notes):
        for name, figure in figures:
            try:
                images |= images_of(name, guarded(figure).draw(view))
            except Exception as error:
                add_note(notes, f"figure {name} failed ({type(error).__name__}: {error})")
    return images


@contextmanager
def warnings_as_notes(notes: list[str]) -> Iterator[None]:
    """Turn Python warnings into notes of the report, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            yield
        finally:
            levels = {}
            for warning in caught:
                if not issubclass(warning.category, _FOR_DEVELOPERS):
                    level = getattr(warning.category, "level", logging.WARNING)
                    levels[str(warning.message)] = level
            for text, level in levels.items():
                add_note(notes, text, level)


def add_note(notes: list[str], text: str, level: int = logging.WARNING) -> None:
    """Add a sentence to the report, and log it."""
    notes.append(text)
    log.log(level, "%s", text)


def tables_of(
    model: FittedModel,
    data: Data,
    view: MapView,
    fold: Fold,
    divided: Sequence[Division],
    suspects: Suspects | None,
) -> dict[str, Callable[[], Batches]]:
    """Return functions that yield batches of ``assignments``, ``neurons``, and what there is more.

    ``links`` are those of a map with refits, ``cluster_stability`` how sure numbers of clusters
    are, ``clusters`` and ``classes`` profiles, ``groups`` how labels are spread over them, and
    ``suspects`` rows whose label is doubtful.
    ``fold`` is that of the final model, ``divided`` the training and test rows of other folds.
    """
    parts = _parts_of_rows(len(data.X), view, fold, divided)
    if suspects is not None:
        parts["held_out_probability"] = suspects.own
    tables: dict[str, Callable[[], Batches]] = {
        "assignments": lambda: _assignments(model, data, parts),
        "neurons": partial(neuron_tables, model, data.feature_names),
    }
    if view.stability is not None:
        unit, other = view.stability.links.T
        links = {"unit": unit, "other": other, "stays": view.stability.link_shares}
        tables["links"] = partial(iter, [links])
    if view.cluster_stability is not None:
        numbers = table_of_stability(view.cluster_stability)
        tables["cluster_stability"] = partial(iter, [numbers])
    for name, what in (("clusters", "cluster"), ("classes", "class")):
        profile = view.profile if name == "clusters" else view.class_profile
        if profile is not None:
            rounded = replace(profile, means=without_noise(profile.means))
            columns = table_of_clusters(rounded, data.ids or {}, what)
            if name == "clusters" and view.cluster_stability is not None:
                columns += columns_of_stability(view.cluster_stability)
            tables[name] = partial(iter, [_with_numbers(columns)])
    if suspects is not None and len(suspects.table["label"]):
        tables["suspects"] = partial(iter, [_with_numbers([*suspects.table.items()])])
    if view.groups:
        tables["groups"] = partial(iter, [_with_numbers(table_of_groups(view.groups))])
    return tables


def suspects_of(estimator: Any, scored: tuple[str, Evaluation], data: Data) -> Suspects | None:
    """Return rows whose label the folds of a classifier doubt; None where they cannot say."""
    part, tested = scored
    is_known = part == HELD_OUT and tested.probabilities_of is not None
    if not is_known or estimator._kind != "classifier" or tested.y is None:
        return None
    from dbgsom_core.estimators.new_rows import doubtful_rows

    assert tested.probabilities is not None
    return doubtful_rows(estimator, tested.bmu, tested.y, tested.probabilities, data.ids or {})


def all_labels(model: FittedModel, data: Data) -> NDArray[Any]:
    """Return what a model answers to each row of its data set, (n,)."""
    return np.concatenate([model.predict(data.X[batch]) for batch in _batches(data, model)])


def _parts_of_rows(
    n: int, view: MapView, fold: Fold, divided: Sequence[Division]
) -> dict[str, NDArray[Any]]:
    """Return columns (n,) on how rows are divided: a ``part``, or the ``fold`` that tested them.

    Where the answers of folds are known, they are ``held_out``.
    """
    rows = fold.train.rows
    if isinstance(rows, np.ndarray) and len(rows) < n:
        parts = np.full(n, "test", dtype=object)  # 8 bytes a row, 20 as an array of texts
        parts[rows] = "train"
        return {"part": parts}
    columns: dict[str, NDArray[Any]] = {}
    numbers = fold_numbers(n, divided)
    if numbers is not None:
        columns["fold"] = numbers
    if view.scored is not None and view.scored[0] == HELD_OUT:
        columns["held_out"] = np.asarray(view.scored[1].predictions)
    return columns


def fold_numbers(n: int, divided: Sequence[Division]) -> NDArray[np.int32] | None:
    """Return the fold (n,) that tested each row; None where not each was tested exactly once."""
    numbers, times = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int32)
    for fold, (_, tested) in enumerate(divided, start=1):
        numbers[tested] = fold
        times[tested] += 1
    if len(divided) > 1 and (times == 1).all():
        return numbers
    return None


def _assignments(model: FittedModel, data: Data, parts: Mapping[str, NDArray[Any]]) -> Batches:
    """Yield where each sample ended: ids, the answers, and what else is known of it."""
    names = ["unit", "x", "y", "label", "distance", "novelty"]
    if model.estimator._tree.depth > 1:
        names.insert(3, "path")
    known = list(data.annotations.items())
    if data.y is not None:
        target = model.columns and model.columns.target
        known.append((target or "target", np.asarray(data.y)))
    known += parts.items()
    for batch in _batches(data, model):
        columns = [(name, values[batch]) for name, values in (data.ids or {}).items()]
        if not columns:
            columns.append(("row", np.arange(*batch.indices(len(data.X)))))
        answers = model.answers(data.X[batch])
        columns += columns_of_answers(model, answers, names).items()
        for name, values in known:
            columns.append((name, values[batch]))
        yield _with_numbers(columns)


def _batches(data: Data, model: FittedModel) -> Iterator[slice]:
    step = max(1, min(_ROWS, _CELLS // data.X.shape[1]))
    if model.looks_back:
        step = len(data.X)
    for start in range(0, len(data.X), step):
        yield slice(start, start + step)


def neuron_tables(model: FittedModel, names: Sequence[str] | None) -> Batches:
    """Yield a table of the neurons that answer; ``names`` are those of raw features."""
    estimator, tree = model.estimator, model.estimator._tree
    is_deep, hits = tree.depth > 1, estimator.leaf_hit_counts_
    cells, paths, errors = [], [], []
    for leaf, path in enumerate(tree.paths.tolist()):
        *above, last = [neuron for neuron in path if neuron >= 0]
        number = 0  # of the map on the way down
        for neuron in above:
            number = int(tree.child_of[number][neuron])
        cells.append(tree.maps[number].positions[last])
        paths.append(format_path(path))
        # Errors of neurons below others are known on average.
        if is_deep:
            errors.append(estimator._usual_distance(leaf) * float(hits[leaf]))
        else:
            errors.append(float(estimator.errors_[leaf]))
    x, y = np.transpose(cells)
    columns = [("unit", tree.paths[:, 0]), ("x", x), ("y", y)]
    if is_deep:
        columns.append(("path", np.array(paths)))
    columns += [("hits", hits), ("error", np.array(errors))]
    labels = np.asarray(estimator.leaf_labels_)
    targets = labels.T if labels.ndim == 2 else [labels]
    columns += zip(column_names(model, ["label"]), targets, strict=True)
    prototypes = _in_columns(model, tree.weights)
    features = names or [f"feature {i}" for i in range(prototypes.shape[1])]
    # Prototypes that cannot be told in raw features have no columns, whatever the names.
    columns += zip(features, without_noise(prototypes).T, strict=False)
    yield _with_numbers(columns)


def _with_numbers(columns: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return columns by name, repeated names numbered."""
    names, values = zip(*columns, strict=True)
    return dict(zip(numbered(names), values, strict=True))


def without_noise(prototypes: NDArray[Any]) -> NDArray[np.float64]:
    """Return prototypes (K, D) without digits that are rounding errors.

    Means of 0 and 1, scaled and scaled back, are 0.30000000000000004 and -1e-17. Each column is
    rounded to 13 digits of its largest value, 6 for float32.
    """
    digits = 6 if prototypes.dtype == np.float32 else 13
    values = prototypes.astype(np.float64)
    largest = np.max(abs(values), axis=0, initial=0.0, where=np.isfinite(values))
    for column in np.flatnonzero(largest > _SMALLEST):
        places = digits - math.ceil(math.log10(largest[column]))
        values[:, column] = np.round(values[:, column], places)
    return values + 0.0  # no -0


def _in_columns(model: FittedModel, prototypes: NDArray[Any]) -> NDArray[Any]:
    """Return prototypes (L, D) in the data set's columns and units, (L, 0) where that cannot be."""
    metric, features = model.estimator._metric.calls, prototypes.shape[1]
    is_learned = metric.fit is not None or features != model.estimator.n_features_in_
    if not is_learned and not model.steps:
        return prototypes
    undo = model.undone
    if is_learned or undo is None:
        return np.empty((len(prototypes), 0))
    return undo(prototypes)


# --------------------------------------------------------------------------------------- measures


@dataclass(frozen=True)
class Evaluator:
    """Evaluation of an experiment's maps; a measure that fails becomes a note."""

    experiment: Experiment
    measures: Mapping[str, Any]
    notes: list[str]

    def evaluate(
        self,
        estimator: Any,
        part: Part,
        name: str,
        train: Part | None = None,
        *,
        of_fold: bool = False,
    ) -> tuple[Evaluation, Part, dict[str, float]]:
        """Evaluate a map on a part of the data; ``train`` is that of its training, if another."""
        seed = self.experiment.seed
        samples = subsample(part, seed)
        answers = estimator.predict(samples.X)
        evaluation = estimator.evaluate(samples.X, y=samples.y, predictions=answers, seed=seed)
        if train is not None:

            def training() -> Evaluation:
                trained = subsample(train, seed)
                return estimator.evaluate(trained.X, y=trained.y, seed=seed)  # type: ignore[no-any-return]

            evaluation = replace(evaluation, training_of=training)
        count, n = samples.X.shape[0], part.X.shape[0]
        if count < n:
            hits = estimator.hit_counts_ if name == "train" else None
            evaluation = replace(evaluation, drawn_from=n, all_hits=hits)
            if not of_fold:
                self.notes.append(
                    f"{name} measures and figures are from {count} of {n} samples, drawn by the "
                    "seed: the data stay where they are; what the model and the tables say is of "
                    "all"
                )
        values: dict[str, float] = {}
        for key, measure in self.measures.items():
            if train is None or not measure.training_only:
                values |= self._values_of(measure, evaluation, f"{name}/{key}", of_fold)
        return evaluation, samples, values

    def _values_of(
        self, measure: Any, evaluation: Evaluation, name: str, of_fold: bool
    ) -> dict[str, float]:
        """Return the values of a measure and of its references, by name; none if it fails."""
        values = {}
        try:
            value = value_of(measure, evaluation)
            values[name] = float(value)
            for reference, its_value in value.references.items():
                values[f"{name}_{reference}"] = its_value
            if value.note and not of_fold:
                self.notes.append(f"{name}: {value.note}")
        except Exception as error:
            text = f"measure {name} failed ({type(error).__name__}: {error})"
            if text not in self.notes:  # a fold more of the same
                add_note(self.notes, text)
        return values

    def stability(self, estimator: Any, part: Part, on_epoch: EpochCallback) -> Stability | None:
        """Refit the map on subsamples where that is configured, and compare; None: it is not."""
        settings = self.experiment.stability
        if not isinstance(settings, StabilitySettings) or not settings.refits:
            return None
        on_epoch.begin("refitting")
        # Refits measure other samples.
        measures = {}
        for name, measure in self.measures.items():
            if not measure.training_only:
                measures[name] = measure
        resampling = Resampling(
            n=settings.refits,
            share=settings.share,
            measures=measures,
            level=settings.level,
            random_state=self.experiment.seed,
            n_jobs=-1,
        )
        return compute_stability(estimator, part.X, part.y, resampling)

    def cluster_stability(
        self, estimator: Any, part: Part, on_epoch: EpochCallback
    ) -> ClusterStability | None:
        """Refit the map on halves where that is configured, or by default; None: it is not."""
        settings, seed = self.experiment.stability, self.experiment.seed
        if isinstance(settings, StabilitySettings):
            if settings.halves is None:
                return None
            halving = Halving(settings.halves, None, settings.level, seed, n_jobs=-1)
        elif settings is None or part.y is not None or not has_clusters(estimator):
            return None
        else:
            epochs = min(estimator.epochs, max(estimator.epochs // 4, _LEAST_EPOCHS))
            halving = Halving(
                _PAIRS,
                range(1, _LARGEST_NUMBER + 1),
                random_state=seed,
                n_jobs=-1,
                most=_MOST_IN_HALF,
                epochs=epochs,
            )
        on_epoch.begin("refitting")
        try:
            return compute_cluster_stability(estimator, part.X, halving)
        except ValueError as error:  # of few samples, or of a half that does not vary
            add_note(self.notes, f"how sure the clusters are is not known: {error}")
            return None


def summary(folds: Sequence[FoldMeasures]) -> dict[str, float]:
    """Return the mean of each measure over folds, and the standard deviation as ``test_std/…``."""
    by_name: dict[str, list[float]] = {}
    for fold in folds:
        for name, value in fold.measures.items():
            by_name.setdefault(name, []).append(value)
    means, deviations = {}, {}
    with np.errstate(all="ignore"):  # of values that are infinite
        for name, values in by_name.items():
            means[name] = float(np.mean(values))
            if len(values) > 1:
                deviations[name.replace("test/", "test_std/")] = float(np.std(values, ddof=1))
    return means | deviations


# ---------------------------------------------------------------------------- fits of programs


def run_of_fit(
    estimator: Any,
    X: Any,
    y: Any,
    folder: Path,
    measures: Sequence[str] | None = None,
    figures: Sequence[str] = (),
) -> tuple[Run, RunResult]:
    """Return a fit of a Python program and its result, with the names that a run has.

    ``folder`` is where trackers may write it. ``measures``, None: the usual ones, are of the
    training samples, and so are the ``figures``.
    """
    kind = estimator._kind
    if measures is None:
        measures = ["quantization_error", "topographic_error"]
        if kind in _SCORES and y is not None:
            measures.append(_SCORES[kind])
    _, evaluation, values = measured(estimator, X, y, measures)
    features = list(map(str, getattr(estimator, "feature_names_in_", ())))
    title, notes = type(estimator).__name__, list[str]()
    view = estimator._view(evaluation, feature_names=features, title=title)
    registry = get_registry()
    components = [(name, registry.build("figure", name)) for name in figures]
    drawn = draw_figures(components, view, notes)
    data = _facts_of_arrays(estimator, X, y)
    params = estimator_params(estimator, data["name"])
    run = Run(
        id=folder.name,
        name=name_of_params({**params, "dataset": f"{title} on {data['name']}"}),
        experiment="",
        kind="run",
        folder=folder,
        config={"model": {"estimator": kind}},
        params=params,
        environment={},
        data={**data, "feature_names": features or None},
    )
    logged = {f"train/{name}": value for name, value in values.items()}
    return run, RunResult(logged, history=estimator.history_, figures=drawn, notes=notes)


def _facts_of_arrays(estimator: Any, X: Any, y: Any) -> dict[str, Any]:
    """Return facts of the samples of a fit, as `facts_of` does of a data set."""
    target = None if y is None else np.asarray(y)
    if hasattr(X, "__dask_graph__"):  # which may be larger than memory
        from dask.base import tokenize

        which = str(tokenize(X, y))
    else:
        which = digest(X.toarray() if hasattr(X, "toarray") else np.asarray(X), target)
    classes = None
    if target is not None and estimator._kind != "regressor":
        classes = n_classes(target)
    lengths = [str(length) if isinstance(length, int) else "?" for length in np.shape(X)]
    kind = "table" if hasattr(X, "columns") else "array"
    section = {"path": str(getattr(X, "filename", None) or "")}  # of a memory-mapped array
    return {
        "name": data_title(section, f"{kind}-{'x'.join(lengths)}"),
        "samples": len(estimator.labels_),
        "features": estimator.n_features_in_,
        "classes": classes,
        "digest": which,
    }


# ------------------------------------------------------------------ answers of a cross-validation


def answers_of(tested: Evaluation, classes: NDArray[Any] | None) -> Answers:
    """Return the answers in the evaluation of a fold's test rows; ``classes`` of a classifier."""
    if tested.drawn_from:
        return {}
    predictions: Any = tested.predictions
    if classes is None:
        return {"answers": np.asarray(predictions)}
    codes = {label: code for code, label in enumerate(classes.tolist())}
    labels, known = predictions.tolist(), np.asarray(tested.classes).tolist()
    if not codes.keys() >= {*labels, *known}:  # a mark of samples without a class, say
        return {}
    arrays = {"answers": np.array([codes[label] for label in labels])}
    with suppress(Exception):  # a labeller without probabilities; measures say it
        shares = np.zeros((len(labels), len(codes)))
        shares[:, [codes[label] for label in known]] = tested.probabilities
        arrays["probabilities"] = shares
    return arrays


def held_out(
    trained: Evaluation,
    folds: Sequence[Answers],
    divided: Sequence[Division],
    classes: NDArray[Any] | None,
) -> Evaluation | None:
    """Return the evaluation of the final map on all rows, with the answers of the folds.

    None where those of a fold are not known.
    """
    if trained.drawn_from or not all(folds):
        return None
    # Folds test each row once: what sorts their rows brings answers into the order of the data.
    order = np.argsort(np.concatenate([tested for _, tested in divided]))
    arrays = {}
    for name in set.intersection(*map(set, folds)):
        arrays[name] = np.concatenate([fold[name] for fold in folds])[order]
    predictions = arrays["answers"]
    if classes is not None:
        predictions = classes[predictions]
    shares = arrays.get("probabilities")
    known = None if shares is None else lambda _: shares
    return replace(trained, predictions=predictions, probabilities_of=known)
