"""Fitting a map: training, child maps, labels, density and calibration."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from dbgsom_core.engine.results import (
    Assignment,
    Floats,
    Moments,
    PerSample,
    Search,
    SearchResult,
    each_piece,
)
from dbgsom_core.engine.samples import Samples
from dbgsom_core.engine.smoothing import Totals
from dbgsom_core.errors import callers_level
from dbgsom_core.interfaces.component import active_registry, guarded
from dbgsom_core.interfaces.context import Context, EpochRecord, ignore_epoch, seed_of
from dbgsom_core.interfaces.growth import (
    DataSummary,
    VerticalState,
    neuron_cap,
    start_grid,
    start_shape,
)
from dbgsom_core.interfaces.initialisations import Start
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree, descend
from dbgsom_core.training.groups import Calibration, Density
from dbgsom_core.training.labelling import LabelledMap, TrainedMap, label_map
from dbgsom_core.training.parts import Parts, start_shape_error
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.state import Checkpointer, FitTask, Path, TrainingConfig, TrainingState
from dbgsom_core.training.stopping import applied_rules, is_stationary
from dbgsom_core.training.train import BY_CALLBACK, train


class Training(NamedTuple):
    """A trained map, and how its training ended."""

    som_map: SomMap
    history: tuple[EpochRecord, ...]
    converged: bool
    threshold: float
    stopped: str
    kept: int  # the epoch whose map it is: the last one, unless a rule keeps the best


class FittedState(NamedTuple):
    """Result of a fit: K neurons of the first map, L leaves of the tree of maps."""

    training: Training  # of the first map
    tree: Tree
    weights: NDArray[np.floating[Any]]  # (K, D), its prototypes in the dtype of the samples
    labelled: LabelledMap
    errors: Floats  # (K,); these and the next three are of the new samples only
    quantization_error: float
    topographic_error: float
    new_leaves: NDArray[np.integer[Any]]  # (m,), in the smallest type for samples not in memory
    density: Density
    calibration: Calibration  # of leave-one-out scores of the training samples
    deviations: Floats  # (D,), of each column of the samples


def fit_map(
    task: FitTask, notify: Callable[[EpochRecord], Any], checkpointer: Checkpointer | None = None
) -> FittedState:
    """Train a map, grow its child maps, label and measure it.

    ``notify`` is called with the record of each epoch. Raises ValueError for unusable samples or
    settings.
    """
    parts = task.parts
    samples = task.samples
    target = task.target
    new = task.new
    checkpointer = checkpointer or Checkpointer()
    moments = samples.moments()
    weights = samples.weights
    single = replace(task, parts=horizontal_parts(parts))
    training, search, last = _train_map(single, checkpointer, (), notify, moments)
    som_map = training.som_map
    topographic_errors = search.unlinked(som_map.prototypes, som_map.links_or_self)
    units = leaf_bmu = samples.lasting(som_map.prototypes, last)
    totals: Totals | None = last.totals
    del search, last  # free their memory
    if is_vertical(parts) and training.stopped != BY_CALLBACK:
        # The configured start is the first map's: child maps start from a PCA of their samples.
        child_parts = replace(single.parts, init=active_registry().build("initialisation", "pca"))
        # qe₀ (Rauber, Merkl & Dittenbach 2002): the sum of the distances of all samples to their
        # mean, the metric's centre where it has one.
        to_mean = samples.assign(samples.metric.centred(moments.mean[None])).distance
        root_error = float(to_mean @ samples.sample_weights)
        single = FitTask(child_parts, samples, target, task.settings)
        _grow_children(single, checkpointer, parts, som_map, units, root_error)
    tree = Tree.of(som_map)
    if len(tree.maps) > 1:  # otherwise the leaves are the neurons
        below = descend(tree, samples)
        leaf_bmu = Assignment(below.leaf, below.distance)
        totals = None
    seed = seed_of(task.settings["random_state"])
    trained = TrainedMap(tree, samples, units, leaf_bmu, target, seed, training.history, totals)
    labelled = label_map(parts.labeller, trained)
    density = Density.from_clusters(labelled.clusters, tree.weights, samples.metric)
    level = float(task.settings["contamination"])

    first = slice(samples.n if new is None else new)  # the new samples
    counted = None if weights is None else weights[first]
    errors, error = _errors(units, first.stop, counted, len(som_map))
    if leaf_bmu is not units:
        error = _errors(leaf_bmu, first.stop, counted, len(tree))[1]
    leaves = leaf_bmu.units[first]
    if leaves.dtype != np.int64:  # of samples outside memory
        leaves = leaves.astype(np.min_scalar_type(len(tree) - 1), copy=False)
    return FittedState(
        training=training,
        tree=tree,
        weights=som_map.prototypes.astype(samples.X.dtype, copy=False),
        labelled=labelled,
        errors=errors,
        quantization_error=error,
        topographic_error=float(np.average(topographic_errors[first], weights=counted)),
        new_leaves=leaves,
        density=density,
        calibration=Calibration.from_samples(density, samples, level, labelled.members),
        deviations=moments.deviation,
    )


def _errors(units: PerSample, n: int, weights: Floats | None, n_units: int) -> tuple[Floats, float]:
    """Return each unit's sum of distances over the first n samples, and the mean distance."""
    errors = np.zeros(n_units)
    total = 0.0
    for rows, bmu, distance in each_piece(units, n):
        weighted = distance if weights is None else distance * weights[rows]
        np.add.at(errors, bmu, weighted)
        total += float(weighted.sum())
    return errors, total / float(n if weights is None else weights.sum())


# -------------------------------------------------------------------------------- one map

_CONTINUED_DIVISOR = 5  # training continued with new samples runs a fifth of the epochs


def _train_map(
    task: FitTask,
    checkpointer: Checkpointer,
    path: Path,
    notify: Callable[[EpochRecord], Any] = ignore_epoch,
    moments: Moments | None = None,
) -> tuple[Training, Search, SearchResult]:
    """Train the map at the end of the ``path`` of neurons from the first map.

    The growth strategy of the task's parts grows a single map. Returns also a search of the samples
    and its result for the trained map.
    """
    if moments is None:
        moments = task.samples.moments()
    task.samples.check_varies()
    config = _config_of(task, moments)
    state = checkpointer.states.get(path)
    if state is None:
        state = TrainingState(_start_map(task, moments), config.schedule.epochs)
    search, result = train(config, state, notify, partial(checkpointer.take, path))

    if state.capped and config.growth.max_neurons == "auto":
        _warn_of_cap(config)
    som_map = state.som_map
    kept = len(state.history)
    if state.best is not None and state.best[0] < kept:
        kept, som_map = state.best
        search = config.data.search()
        result = search.assign(som_map.prototypes, som_map.positions)
    if config.data.X.dtype == np.float32:  # units are those of the float32 prototypes of users
        som_map.prototypes = som_map.prototypes.astype(np.float32).astype(np.float64)
        result = search.assign(som_map.prototypes, som_map.positions)
    schedule = config.schedule.ending_at(state.epochs)
    training = Training(
        som_map=som_map,
        history=tuple(state.history),
        converged=state.converged or is_stationary(state.history, schedule),
        threshold=config.threshold,
        stopped=state.stopped,
        kept=kept,
    )
    return training, search, result


def _config_of(task: FitTask, moments: Moments) -> TrainingConfig:
    parts = task.parts
    settings = task.settings
    growing = task.parts.growing
    target = task.target
    samples = task.samples
    n_classes = 0
    if target is not None:
        n_classes = 0 if target.classes is None else len(target.classes)
        samples = samples.with_classes(target.codes, n_classes)
    summary = summarize(samples, moments, n_classes or None)
    epochs = int(settings["epochs"])
    if task.new is not None:
        epochs = -(-epochs // _CONTINUED_DIVISOR)
    goes_on = task.start is not None
    return TrainingConfig(
        data=samples,
        kernel=guarded(parts.kernel),
        growth=growing,
        schedule=Schedule.from_parts(parts.kernel, growing, epochs, goes_on, parts.schedule),
        tol=float(settings["tol"]),
        deviation=summary.deviation,
        threshold=float(growing.growing_threshold(summary)),
        max_neurons=neuron_cap(growing, samples.total_weight),
        rules=applied_rules(task),
        validation=task.validation,
        target=target,
        labeller=parts.labeller,
        seed=seed_of(settings["random_state"]),
    )


def _warn_of_cap(config: TrainingConfig) -> None:
    factor = config.growth.spreading_factor
    smaller = ""
    if factor is not None:
        smaller = f", or spreading_factor one below {factor:g}"
    warnings.warn(
        f"growth stopped at max_neurons='auto', {config.max_neurons} neurons for "
        f"{config.data.n} samples; give max_neurons a number{smaller}",
        stacklevel=callers_level(),
    )


def summarize(data: Samples, moments: Moments, n_classes: int | None) -> DataSummary:
    centre = moments.mean[None]
    deviation = spread = float(np.linalg.norm(moments.deviation))
    if not data.metric.is_euclidean:
        squares = np.square(data.assign(data.metric.centred(centre)).distance)
        spread = float(np.sqrt(np.average(squares, weights=data.weights)))
    return DataSummary(
        n_samples=data.total_weight if data.weights is not None else data.n,
        n_features=data.X.shape[1],
        deviation=deviation,
        spread=spread,
        n_classes=n_classes,
    )


def _start_map(task: FitTask, moments: Moments) -> SomMap:
    """Return the map that goes on, or one at the start of its training."""
    parts = task.parts
    samples = task.samples
    start_map = task.start
    if start_map is not None:
        return SomMap(start_map.positions, start_map.prototypes, start_map.grid)
    growing = parts.growing
    grid = start_grid(growing, parts.grid, samples.X.shape[1])
    rows, columns = start_shape(growing, grid)
    cap = growing.max_neurons
    if isinstance(cap, int) and rows * columns > cap:
        raise ValueError(
            f"the map starts with {rows} × {columns} neurons, more than max_neurons={cap}"
        )
    rng = check_random_state(task.settings["random_state"])
    start = Start(rows, columns, grid, samples, moments, rng)
    init = parts.init
    if hasattr(init, "prototypes"):
        init = guarded(init).prototypes(start)
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
            f"the {rows} × {columns} neurons of the start are not connected on the grid "
            f"'{grid.name}'"
        )
    return som_map


# -------------------------------------------------------------------------------- child maps


def is_vertical(parts: Parts) -> bool:
    """Return whether the growth strategy may give neurons child maps."""
    return parts.growing.wants_children is not None


def horizontal_parts(parts: Parts) -> Parts:
    base = parts.growing.base if is_vertical(parts) else None
    return parts if base is None else replace(parts, growth=base)


def check_continues(som_map: SomMap, n_features: int, metric: Any, parts: Parts, grid: Any) -> None:
    """Raise ValueError where training of a map cannot continue with such samples and parts."""
    trained = som_map.grid
    columns = som_map.prototypes.shape[1]
    if columns != n_features:
        raise ValueError(
            f"warm_start continues a map of {columns} features, and X has {n_features}; "
            "fit a new estimator, or set warm_start=False"
        )
    if trained.flat != start_grid(horizontal_parts(parts).growing, parts.grid, n_features).flat:
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
    assignment: PerSample,
    root_error: float,
    path: Path = (),
) -> None:
    """Train child maps, recursively, for the neurons that the strategy chooses.

    ``parts`` have the vertical strategy, ``task`` is that of the map at ``path``, whose
    ``children`` are filled.
    """
    data = task.samples
    target = task.target
    exact = data.found(som_map.prototypes, assignment)
    hits = exact.hits
    errors = exact.errors
    for array in (hits, errors):
        array.flags.writeable = False
    context = Context(data, assignment, seed_of(task.settings["random_state"]))
    wants_children = parts.growing.wants_children
    assert wants_children is not None
    wanted = np.asarray(
        wants_children(som_map, VerticalState(len(path) + 1, errors, hits, root_error, context))
    )
    for rows in data.groups(assignment):
        neuron = int(assignment.bmu[rows[0]])
        # A neuron with all samples would get the same map again.
        if not wanted[neuron] or len(rows) == len(assignment.bmu):
            continue
        samples = data.subset(rows)
        y_child = None if target is None else target.subset(rows)
        codes = None if y_child is None else y_child.codes
        has_classes = codes is not None and int(codes.max()) >= 0
        if task.parts.growing.needs_classes and not has_classes:
            continue
        try:
            samples.check_varies()
        except ValueError:
            continue
        below = (*path, neuron)
        with warnings.catch_warnings():
            # The size of child maps is not a user's choice.
            warnings.filterwarnings("ignore", message=r"growth stopped at max_neurons='auto'")
            task_child = replace(task, samples=samples, target=y_child if has_classes else None)
            training, _, units = _train_map(task_child, checkpointer, below)
        som_map.children[neuron] = child = training.som_map
        task_child = replace(task_child, target=y_child)
        _grow_children(task_child, checkpointer, parts, child, units, root_error, below)
