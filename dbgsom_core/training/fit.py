"""Fitting as a function: from samples to everything that a fitted map knows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from dbgsom_core.engine.results import (
    Assignment,
    Moments,
    PerSample,
    Search,
    SearchResult,
    Totals,
    each_piece,
    units_of,
)
from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.context import Context, seed_of
from dbgsom_core.interfaces.epochs import EpochRecord, ignore_epoch
from dbgsom_core.interfaces.growth import DataSummary, VerticalState
from dbgsom_core.interfaces.guard import guarded, lookup_in_use
from dbgsom_core.interfaces.initialisations import Start
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.interfaces.stopping import judges_targets
from dbgsom_core.som_map.grid import Grid
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree, descend
from dbgsom_core.training.groups import Calibration, Density
from dbgsom_core.training.labelling import LabelledMap, TrainedMap, ValidationMonitor
from dbgsom_core.training.parts import Parts, start_shape_error
from dbgsom_core.training.state import Checkpointer, FitTask, Path, TrainingConfig, TrainingState
from dbgsom_core.training.train import BY_CALLBACK, Training, train


class FittedState(NamedTuple):
    """What a fit leaves: K neurons of the map, L leaves of the tree below it."""

    training: Training  # of the first map
    tree: Tree
    weights: NDArray[np.floating[Any]]  # (K, D), its prototypes in the dtype of the samples
    labelled: LabelledMap
    errors: NDArray[np.float64]  # (K,); these and the two below are of the new samples alone
    quantization_error: float
    topographic_error: float
    new_leaves: NDArray[np.integer[Any]]  # (m,), in the smallest type for samples not in memory
    density: Density
    calibration: Calibration  # of the training samples, each as if it had not been there
    deviations: NDArray[np.float64]  # (D,), of each column of the samples


def fit_map(
    task: FitTask, notify: Callable[[EpochRecord], Any], checkpointer: Checkpointer | None = None
) -> FittedState:
    """Train a map, grow its child maps, label and measure it.

    ``notify`` hears the record of each epoch. ValueError where samples or settings cannot be used.
    """
    parts, samples, target, new = task.parts, task.samples, task.target, task.new
    checkpointer = checkpointer or Checkpointer()
    several = target is not None and target.y.ndim == 2
    if several and LabellerAbilities.of(parts.labeller).columns is not None:
        raise ValueError(
            f"labeller {type(parts.labeller).__name__} answers with several numbers for a target, "
            "and y has more targets; fit an estimator for each"
        )
    moments, weights = samples.moments(), samples.weights
    single = replace(task, parts=horizontal(parts))
    training, last, search = _train_map(single, checkpointer, (), notify, moments)
    som_map = training.som_map
    unlinked = search.unlinked(som_map.prototypes, som_map.graph)
    found = ended = samples.lasting(som_map.prototypes, last)
    totals: Totals | None = last.totals
    del search, last  # they take room
    if is_vertical(parts) and training.stopped != BY_CALLBACK:
        # A start that was given, or drawn, is the first map's: others spread over their samples.
        spread = replace(single.parts, init=lookup_in_use().build("initialisation", "pca"))
        # qe₀ (Rauber, Merkl & Dittenbach 2002): the sum of the distances of all samples to a single
        # neuron at their mean, that of the metric where it has one.
        root_error = samples.total_distance(samples.metric.centred(moments.mean[None]))
        single = FitTask(spread, samples, target, task.settings)
        _grow_children(single, checkpointer, parts, som_map, found, root_error)
    tree = Tree.of(som_map)
    if len(tree.maps) > 1:  # else its neurons are the leaves
        below = descend(tree, samples)
        ended, totals = Assignment(below.leaf, below.distance), None
    seed = seed_of(task.settings["random_state"])
    trained = TrainedMap(tree, samples, found, ended, target, seed, training.history, totals)
    labelled = LabelledMap.of(parts.labeller, trained)
    first = slice(samples.n if new is None else new)
    counted = None if weights is None else weights[first]
    errors, error = _errors(found, first.stop, counted, len(som_map))
    if ended is not found:
        error = _errors(ended, first.stop, counted, len(tree))[1]
    density = Density.of(labelled.clusters, tree.weights, samples.metric)
    level = float(task.settings["contamination"])
    leaves = units_of(ended)[first]
    if leaves.dtype != np.int64:  # of samples that are not in memory, beside which they are small
        leaves = leaves.astype(np.min_scalar_type(len(tree) - 1), copy=False)
    return FittedState(
        training=training,
        tree=tree,
        weights=som_map.prototypes.astype(samples.X.dtype, copy=False),
        labelled=labelled,
        errors=errors,
        quantization_error=error,
        topographic_error=float(np.average(unlinked[first], weights=counted)),
        new_leaves=leaves,
        density=density,
        calibration=Calibration.of(density, samples, level, labelled.members),
        deviations=moments.deviation,
    )


def _errors(
    found: PerSample, n: int, weights: NDArray[np.float64] | None, n_units: int
) -> tuple[NDArray[np.float64], float]:
    """Return what each unit errs by on the first n samples (n_units,), and the mean over these."""
    errors, total = np.zeros(n_units), 0.0
    for rows, bmu, distance in each_piece(found, n):
        weighted = distance if weights is None else distance * weights[rows]
        if n == len(bmu):  # the same, faster
            errors = np.bincount(bmu, weighted, n_units).astype(np.float64)
        else:
            np.add.at(errors, bmu, weighted)
        total += float(weighted.sum())
    return errors, total / float(n if weights is None else weights.sum())


# -------------------------------------------------------------------------------- one map

_SHARE_OF_A_CALL = 5  # training that goes on with new samples runs a fifth of the epochs


def _train_map(
    task: FitTask,
    checkpointer: Checkpointer,
    path: Path,
    notify: Callable[[EpochRecord], Any] = ignore_epoch,
    moments: Moments | None = None,
) -> tuple[Training, SearchResult, Search]:
    """Train one map, that at the end of the ``path`` of neurons from the first one.

    The strategy of its parts grows a single map.
    """
    parts, settings, growing = task.parts, task.settings, task.parts.growing
    samples, target, held = task.samples, task.target, task.validation
    start, goes_on = task.start, task.new is not None
    usual, gamma = samples, None
    moments = samples.moments() if moments is None else moments
    samples.check_varies(moments)
    robust = settings["robust"]
    if robust is not None:
        usual, gamma = samples.robust(None if isinstance(robust, str) else robust)
        moments = usual.moments()
    n_classes, monitor = 0, None
    if target is not None:
        n_classes = 0 if target.classes is None else len(target.classes)
        samples = samples.with_classes(target.codes, n_classes)
        if any(map(judges_targets, parts.stopping)):
            measured = target if held is None or held[1] is None else held[1]
            if measured.known.any() or not goes_on:  # few samples need not say anything of it
                unseen = None if measured is target or held is None else (held[0], measured)
                monitor = ValidationMonitor(parts.labeller, samples, target, unseen)
    summary, epochs = summarize(usual, moments, n_classes or None), int(settings["epochs"])
    config = TrainingConfig(
        data=samples,
        kernel=parts.kernel,
        growth=parts.growth,
        epochs=-(-epochs // _SHARE_OF_A_CALL) if goes_on else epochs,
        tol=float(settings["tol"]),
        deviation=summary.deviation,
        threshold=growing.threshold(summary),
        max_neurons=growing.cap(samples.total_weight),
        cap_is_automatic=growing.max_neurons == "auto",
        robust=gamma,
        continues=start is not None,
        course=parts.schedule,
        stopping=parts.stopping,
        validation=None if held is None else held[0],
        monitor=monitor,
        seed=seed_of(settings["random_state"]),
    )
    state = checkpointer.states.get(path)
    if state is None and start is not None:
        state = TrainingState(SomMap(start.positions, start.prototypes, start.grid))
    elif state is None:
        grid = growing.grid(parts.grid, samples.X.shape[1])
        state = TrainingState(_start_map(parts, usual, moments, settings["random_state"], grid))
    return train(config, state, notify, checkpointer, path)


def summarize(data: Samples, moments: Moments, n_classes: int | None) -> DataSummary:
    centre = moments.mean[None]
    deviation = spread = float(np.linalg.norm(moments.deviation))
    if not data.metric.is_euclidean:
        spread = data.root_mean_square_distance(data.metric.centred(centre))
    return DataSummary(
        n_samples=data.total_weight if data.weights is not None else data.n,
        n_features=data.X.shape[1],
        deviation=deviation,
        spread=spread,
        n_classes=n_classes,
    )


def _start_map(
    parts: Parts, samples: Samples, moments: Moments, random_state: Any, grid: Grid
) -> SomMap:
    growing = parts.growing
    (rows, columns), cap = growing.start(grid), growing.max_neurons
    if isinstance(cap, int) and rows * columns > cap:
        raise ValueError(
            f"the map starts with {rows} × {columns} neurons, more than max_neurons={cap}"
        )
    rng = check_random_state(random_state)
    start = Start(rows, columns, grid, samples, moments, rng)
    init = parts.init
    if hasattr(init, "prototypes"):
        init = guarded("initialisation", init, "prototypes")(start)
    try:
        prototypes = np.asarray(init, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"init holds no numbers, or rows of different lengths: {error}") from None
    wanted = (rows * columns, start.n_features)
    if prototypes.shape != wanted:
        raise ValueError(start_shape_error(prototypes.shape, rows, columns, wanted[1]))
    if not np.isfinite(prototypes).all():
        raise ValueError("init must hold finite numbers")
    som_map = SomMap.rectangle(rows, columns, samples.metric.centred(prototypes), grid)
    if som_map.is_apart:
        raise ValueError(
            f"the {rows} × {columns} neurons of the start do not hang together on the grid "
            f"'{grid.name}'"
        )
    return som_map


# -------------------------------------------------------------------------------- child maps


def is_vertical(parts: Parts) -> bool:
    """Return whether the growth strategy may give neurons child maps."""
    return parts.growing.wants_children is not None


def horizontal(parts: Parts) -> Parts:
    base = parts.growing.base if is_vertical(parts) else None
    return parts if base is None else replace(parts, growth=base)


def check_goes_on(som_map: SomMap, metric: Any, parts: Parts, grid: Any) -> None:
    """Raise ValueError where a map of a metric cannot be trained on with these parts."""
    trained, n_features = som_map.grid, som_map.prototypes.shape[1]
    if trained.flat != horizontal(parts).growing.grid(parts.grid, n_features).flat:
        raise ValueError(
            f"the map was trained on a {trained.name} grid and cannot go on with "
            f"grid={grid!r}; fit a new estimator, or set the grid back"
        )
    if metric != parts.metric:
        raise ValueError(
            f"the map was trained with metric {metric!r} and cannot go on with "
            f"{parts.metric!r}; fit a new estimator, or set the metric back"
        )


def _grow_children(
    task: FitTask,
    checkpointer: Checkpointer,
    parts: Parts,
    som_map: SomMap,
    found: PerSample,
    root_error: float,
    path: Path = (),
) -> None:
    """Give the neurons of a trained map child maps, and theirs, where the strategy wants them.

    ``parts`` are those with the vertical strategy, ``task`` that by which the map was trained, and
    ``path`` leads down to it. Its ``children`` are filled.
    """
    data, target = task.samples, task.target
    exact = data.found(som_map.prototypes, found)
    hits, errors = exact.hits, exact.errors
    for array in (hits, errors):
        array.flags.writeable = False
    context = Context(data, found, seed_of(task.settings["random_state"]))
    asks = parts.growing.wants_children
    assert asks is not None  # or the strategy were not vertical
    wanted = np.asarray(
        asks(som_map, VerticalState(len(path) + 1, errors, hits, root_error, context))
    )
    for rows in data.groups(found):
        neuron = int(found.bmu[rows[0]])
        # A neuron that holds everything would get the same map again.
        if not wanted[neuron] or len(rows) == len(found.bmu):
            continue
        samples, own = data.subset(rows), None if target is None else target.of(rows)
        knows_classes = own is not None and own.codes is not None and int(own.codes.max()) >= 0
        if task.parts.growing.needs_classes and not knows_classes:
            continue
        try:
            samples.check_varies(samples.moments())
        except ValueError:
            continue
        below = (*path, neuron)
        with warnings.catch_warnings():
            # Nobody chose the size of each child map, so its cap is no news.
            warnings.filterwarnings("ignore", message=r"growth stopped at max_neurons='auto'")
            its = replace(task, samples=samples, target=own if knows_classes else None)
            training, won, _ = _train_map(its, checkpointer, below)
        som_map.children[neuron] = child = training.som_map
        its = replace(its, target=own)
        _grow_children(its, checkpointer, parts, child, won, root_error, below)
