"""Fitting as a function: from samples to everything that a fitted map knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Assignment, PerSample, Totals
from dbgsom_core.engine.local import Samples
from dbgsom_core.engine.per_sample import each_piece, units_of
from dbgsom_core.interfaces.context import seed_of
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.interfaces.lookup import lookup_in_use
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree, descend
from dbgsom_core.training.checkpoint import Checkpointer
from dbgsom_core.training.config import Held, Settings
from dbgsom_core.training.hierarchy import grow_children, horizontal, is_vertical, root_error
from dbgsom_core.training.labelling import LabelledMap, TrainedMap, TrainingLog
from dbgsom_core.training.novelty import Calibration, Density
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.stopping import BY_CALLBACK
from dbgsom_core.training.targets import Target
from dbgsom_core.training.train import Training
from dbgsom_core.training.trainer import Trainer


@dataclass(frozen=True)
class FittedState:
    """What a fit leaves: K neurons of the map, L leaves of the tree below it.

    Attributes
    ----------
    training : Training
        Of the first map.
    tree : Tree
    weights : float array (K, D)
        Its prototypes in the dtype of the samples.
    labelled : LabelledMap
    errors : float64 array (K,)
        These and the two below are of the new samples alone.
    quantization_error, topographic_error : float
    new_leaves : int array (m,)
        The leaf of each new sample, in the smallest type where the samples are not in memory.
    density : Density
    calibration : Calibration
        Of the training samples, each as if it had not been there.
    deviations : float64 array (D,)
        Standard deviation of each column of the samples.
    """

    training: Training
    tree: Tree
    weights: NDArray[np.floating[Any]]
    labelled: LabelledMap
    errors: NDArray[np.float64]
    quantization_error: float
    topographic_error: float
    new_leaves: NDArray[np.integer[Any]]
    density: Density
    calibration: Calibration
    deviations: NDArray[np.float64]


def fit_map(
    parts: Parts,
    samples: Samples,
    target: Target | None,
    settings: Settings,
    notify: Callable[[EpochRecord], Any],
    start: SomMap | None = None,
    new: int | None = None,
    checkpointer: Checkpointer | None = None,
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
    checkpointer : Checkpointer, optional
        Knows where the fit was interrupted, and writes how far it comes.
    validation : Held, optional
        What is held out for stopping rules; for child maps nothing is.

    Raises
    ------
    ValueError
        The samples or the settings cannot be used.
    """
    several = target is not None and target.y.ndim == 2
    if several and LabellerAbilities.of(parts.labeller).columns is not None:
        raise ValueError(
            f"labeller {type(parts.labeller).__name__} answers with several numbers for a target, "
            "and y has more targets; fit an estimator for each"
        )
    moments, weights = samples.moments(), samples.weights
    trainer = Trainer(horizontal(parts), settings, checkpointer or Checkpointer())
    training, last, search = trainer.train(
        samples, target, (), notify, moments, start, new is not None, validation
    )
    som_map = training.som_map
    unlinked = search.unlinked(som_map.prototypes, som_map.graph)
    found = ended = samples.lasting(som_map.prototypes, last)
    totals: Totals | None = last.totals
    del search, last  # they take room
    if is_vertical(parts) and training.stopped != BY_CALLBACK:
        # A start that was given, or drawn, is the first map's: others spread over their samples.
        spread = replace(trainer.parts, init=lookup_in_use().build("initialisation", "pca"))
        trainer = replace(trainer, parts=spread)
        grow_children(trainer, parts, som_map, samples, found, target, root_error(samples))
    tree = Tree.of(som_map)
    if len(tree.maps) > 1:  # else its neurons are the leaves
        below = descend(tree, samples)
        ended, totals = Assignment(below.leaf, below.distance), None
    log = TrainingLog(seed_of(settings.random_state), training.history)
    trained = TrainedMap(tree, samples, found, ended, target, log, totals)
    labelled = LabelledMap.of(parts.labeller, trained)
    first = slice(samples.n if new is None else new)
    counted = None if weights is None else weights[first]
    errors, error = _errors(found, first.stop, counted, len(som_map))
    if ended is not found:
        error = _errors(ended, first.stop, counted, len(tree))[1]
    density = Density.of(labelled.clusters, tree.weights, samples.metric)
    level = float(settings.contamination)
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
