"""Fitting as a function: from samples to everything that a fitted map knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Assignment, Moments, PerSample, Totals
from dbgsom_core.engine.local import Samples
from dbgsom_core.engine.per_sample import each_piece, units_of
from dbgsom_core.interfaces.context import seed_of
from dbgsom_core.interfaces.epochs import EpochRecord, nobody
from dbgsom_core.interfaces.lookup import lookup_in_use
from dbgsom_core.interfaces.stopping import judges_targets
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree, descend
from dbgsom_core.training.answering import Answering
from dbgsom_core.training.judging import Judge
from dbgsom_core.training.labels import Answers, Past
from dbgsom_core.training.novelty import Calibration, Density
from dbgsom_core.training.outputs import AnsweringEach
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.places import summary_of_samples
from dbgsom_core.training.progress import Progress
from dbgsom_core.training.start import start_map, summarize
from dbgsom_core.training.stopping import BY_CALLBACK
from dbgsom_core.training.summaries import Summaries
from dbgsom_core.training.targets import Target
from dbgsom_core.training.task import Task
from dbgsom_core.training.told import Told
from dbgsom_core.training.train import NOT_WRITTEN, Training, train
from dbgsom_core.training.vertical import ChildMaps, horizontal, is_vertical, root_error

_SHARE_OF_A_CALL = 5  # training that goes on with new samples runs a fifth of the epochs

Notify = Callable[[EpochRecord], Any]


@dataclass(frozen=True)
class Settings:
    """How a map is trained beside its parts; see the parameters of `SomVQ`."""

    epochs: int = 100
    tol: float = 1e-4
    robust: float | str | None = None
    contamination: float = 0.05
    random_state: Any = None


@dataclass(frozen=True)
class FittedState:
    """What a fit leaves: K neurons of the map, L leaves of the tree below it.

    Attributes
    ----------
    som_map : SomMap
    tree : Tree
    weights : float array (K, D)
        Its prototypes in the dtype of the samples.
    history : tuple of EpochRecord
    converged : bool
        The map came to rest, see `training.convergence`.
    growing_threshold : float
    hit_counts, errors : arrays (K,)
        Errors, as the two below, are of the new samples alone.
    quantization_error, topographic_error : float
    neuron_labels : array (K,)
    probabilities : float64 array (K, C) or None
    leaves : Answers
    new_leaves : int array (m,)
        The leaf of each new sample, in the smallest type where the samples are not in memory.
    density : Density
    calibration : Calibration
        Of the training samples, each as if it had not been there.
    summaries : Summaries
        What stands for all samples when training goes on.
    answering : Answering, AnsweringEach or None
        Where the labeller answers from more than the winning neuron.
    outputs : tuple of Summaries
        What stands for the samples of which each number is known; empty where that is one number
        of all samples, or none.
    deviations : float64 array (D,)
        Standard deviation of each column of the samples.
    stopped : str
        The stopping rule, or callback, that ended the training of the first map; empty: none.
    kept : int
        The epoch whose map it is: the last one, unless a stopping rule keeps the best.
    """

    som_map: SomMap
    tree: Tree
    weights: NDArray[np.floating[Any]]
    history: tuple[EpochRecord, ...]
    converged: bool
    growing_threshold: float
    hit_counts: NDArray[Any]
    errors: NDArray[np.float64]
    quantization_error: float
    topographic_error: float
    neuron_labels: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    leaves: Answers
    new_leaves: NDArray[np.integer[Any]]
    density: Density
    calibration: Calibration
    summaries: Summaries
    answering: Answering | AnsweringEach | None
    outputs: tuple[Summaries, ...]
    deviations: NDArray[np.float64]
    stopped: str = ""
    kept: int = 0


@dataclass(frozen=True)
class Held:
    """What is held out for stopping rules, and its targets."""

    samples: Samples
    target: Target | None = None


def fit_map(
    parts: Parts,
    samples: Samples,
    target: Target | None,
    settings: Settings,
    notify: Notify,
    start: SomMap | None = None,
    new: int | None = None,
    progress: Progress = NOT_WRITTEN,
    validation: Held | None = None,
) -> FittedState:
    """Train a map, grow its child maps, label and measure it.

    Parameters
    ----------
    parts : Parts
    samples : Samples
        Prepared, n of them.
    target : Target or None
        Theirs.
    settings : Settings
    notify : callable
        Hears the record of each epoch.
    start : SomMap, optional
        A trained map with which training goes on; it is not changed.
    new : int, optional
        How many of the samples are new, the others stand for what ``start`` has seen; all without
        it.
    progress : Progress, optional
        Of the first map: where the fit was interrupted, and where to note how far it comes.
    validation : Held, optional
        What is held out for stopping rules; for child maps nothing is.

    Raises
    ------
    ValueError
        The samples or the settings cannot be used.
    """
    # The training is not held on to: its search takes room.
    goes_on, moments = new is not None, samples.moments()
    training = train_map(
        horizontal(parts), samples, target, settings, notify, start, goes_on, progress, moments,
        validation,
    )  # fmt: skip
    trained = _Trained.of(training, samples)
    del training
    som_map, found, weights = trained.som_map, trained.found, samples.weights
    if is_vertical(parts) and trained.stopped != BY_CALLBACK:
        _grow_children(parts, samples, target, settings, trained, progress)
    tree, ended = Tree.of(som_map), found
    totals: Totals | None = trained.totals
    if len(tree.maps) > 1:  # else its neurons are the leaves
        below = descend(tree, samples)
        ended, totals = Assignment(below.leaf, below.distance), None
    past = Past(seed_of(settings.random_state), trained.history)
    told = Told.of(parts.labeller, tree, samples, found, ended, target, totals, past)
    summaries = told.summaries
    first = slice(samples.n if new is None else new)
    counted = None if weights is None else weights[first]
    errors, error = _errors(found, first.stop, counted, len(som_map))
    if ended is not found:
        error = _errors(ended, first.stop, counted, len(tree))[1]

    own_target = None if told.outputs else target

    def own(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if told.summary_of is not None:
            return told.summary_of[rows]
        return summary_of_samples(
            summaries,
            units_of(ended)[rows].astype(np.int64),
            None if own_target is None else own_target.of(rows),
        )

    density = Density.of(summaries, tree.weights, samples.metric)
    return FittedState(
        som_map=som_map,
        tree=tree,
        weights=trained.weights,
        history=trained.history,
        converged=trained.converged,
        growing_threshold=trained.threshold,
        hit_counts=told.hits,
        errors=errors,
        quantization_error=error,
        topographic_error=float(np.average(trained.unlinked[first], weights=counted)),
        neuron_labels=told.neurons,
        probabilities=told.probabilities,
        leaves=told.leaves,
        new_leaves=_kept(units_of(ended)[first], len(tree)),
        density=density,
        calibration=Calibration.of(density, samples, float(settings.contamination), own),
        summaries=summaries,
        answering=told.answering,
        outputs=told.outputs,
        deviations=moments.deviation,
        stopped=trained.stopped,
        kept=trained.kept,
    )


def _kept(units: NDArray[np.integer[Any]], n_units: int) -> NDArray[np.integer[Any]]:
    if units.dtype == np.int64:  # of samples in memory, beside which they are small
        return units
    return units.astype(np.min_scalar_type(n_units - 1), copy=False)


def _errors(
    found: PerSample, n: int, weights: NDArray[np.float64] | None, n_units: int
) -> tuple[NDArray[np.float64], float]:
    # What each unit errs by on the first n samples (n_units,), and the mean over these.
    errors, total = np.zeros(n_units), 0.0
    for rows, bmu, distance in each_piece(found, n):
        weighted = distance if weights is None else distance * weights[rows]
        if n == len(bmu):  # the same, faster
            errors = np.bincount(bmu, weighted, n_units).astype(np.float64)
        else:
            np.add.at(errors, bmu, weighted)
        total += float(weighted.sum())
    return errors, total / float(n if weights is None else weights.sum())


def train_map(
    parts: Parts,
    samples: Samples,
    target: Target | None,
    settings: Settings,
    notify: Notify,
    start: SomMap | None = None,
    goes_on: bool = False,
    progress: Progress = NOT_WRITTEN,
    moments: Moments | None = None,
    validation: Held | None = None,
) -> Training:
    """Train one map; parameters and errors are those of `fit_map`."""
    usual, gamma = samples, None
    moments = samples.moments() if moments is None else moments
    samples.check_varies(moments)
    if settings.robust is not None:
        usual, gamma = samples.robust(None if isinstance(settings.robust, str) else settings.robust)
        moments = usual.moments()
    classes = None if target is None else target.classes
    n_classes = 0 if classes is None else len(classes)
    if target is not None:
        samples = samples.with_classes(target.codes, n_classes)
    summary = summarize(usual, moments, n_classes or None)
    growing, judge = parts.growing, None
    if target is not None and any(map(judges_targets, parts.stopping)):
        held = _judged(validation)
        measured = target if held is None else held[1]
        if measured.known.any() or not goes_on:  # a few more samples need not say anything of it
            judge = Judge(parts.labeller, samples, target, held)
    epochs = int(settings.epochs)
    task = Task(
        data=samples,
        kernel=parts.kernel,
        growth=parts.growth,
        epochs=-(-epochs // _SHARE_OF_A_CALL) if goes_on else epochs,
        tol=float(settings.tol),
        deviation=summary.deviation,
        threshold=growing.threshold(summary),
        max_neurons=growing.cap(samples.total_weight),
        cap_is_automatic=growing.max_neurons == "auto",
        robust=gamma,
        continues=start is not None,
        course=parts.schedule,
        stopping=parts.stopping,
        validation=None if validation is None else validation.samples,
        judge=judge,
        seed=seed_of(settings.random_state),
    )
    grid = growing.grid(parts.grid, samples.X.shape[1]) if start is None else start.grid
    if progress.state is not None:
        som_map = progress.state.som_map(grid)
    elif start is None:
        som_map = start_map(parts, usual, moments, settings.random_state, grid)
    else:
        som_map = SomMap(start.positions, start.prototypes, start.grid)
    return train(task, som_map, notify, progress)


def _judged(validation: Held | None) -> tuple[Samples, Target] | None:
    if validation is None or validation.target is None:
        return None
    return validation.samples, validation.target


def _grow_children(
    parts: Parts,
    samples: Samples,
    target: Target | None,
    settings: Settings,
    trained: _Trained,
    progress: Progress,
) -> None:
    # A start that was given, or drawn, is the first map's: those below spread over their samples.
    parts = replace(parts, init=lookup_in_use().build("initialisation", "pca"))

    def train_one(parts: Parts, part: Samples, own: Target | None, page: Progress) -> Training:
        return train_map(parts, part, own, settings, nobody, progress=page)

    children = ChildMaps(parts, train_one, root_error(samples), seed_of(settings.random_state))
    children.grow(trained.som_map, samples, trained.found, target, progress)


@dataclass(frozen=True)
class _Trained:
    """What is kept of a training: the map as users get it, and what its search found."""

    som_map: SomMap
    weights: NDArray[np.floating[Any]]
    history: tuple[EpochRecord, ...]
    converged: bool
    threshold: float
    found: PerSample
    totals: Totals
    unlinked: NDArray[np.bool_]
    stopped: str
    kept: int

    @classmethod
    def of(cls, training: Training, samples: Samples) -> _Trained:
        som_map, found = training.som_map, training.found
        weights: NDArray[Any] = som_map.prototypes
        if samples.X.dtype == np.float32:  # what users get is what finds the units
            weights = som_map.prototypes.astype(np.float32)
            som_map.prototypes = weights.astype(np.float64)
            found = training.search.assign(som_map.prototypes, som_map.positions)
        unlinked = training.search.unlinked(som_map.prototypes, som_map.graph)
        kept, totals = samples.lasting(som_map.prototypes, found), found.totals
        return cls(
            som_map, weights, training.history, training.converged, training.threshold, kept,
            totals, unlinked, training.stopped, training.kept,
        )  # fmt: skip
