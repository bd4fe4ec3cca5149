"""The nearest samples to a few by what is known of neurons, which leaves few to be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import available_threads, share
from dbgsom_plugins.measures._shell_loops import ALL, OTHERS, OWN, Looking, join, see_shells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation
    from dbgsom_plugins.measures._nearest import Nearest, _View

_PAYS, _HOPELESS = 0.5, 0.9  # the shares of pairs that neurons leave
_SHELLS = 16  # of a neuron's samples, by their distance from it
_TASKS = 16  # whatever the threads: what is worth how much is added up in their order
_KEPT = 1 << 20  # numbers that all tasks keep


def in_shells(
    evaluation: Evaluation,
    looking: Looking,
    limits: NDArray[np.float64],
    view: _View,
    centre: NDArray[np.float64],
    scale: float,
    found: Nearest,
) -> NDArray[np.float64] | None:
    """Fill in the nearest of all samples where neurons tell of most that they are farther away.

    A sample x of a neuron w is at least |‖q - w‖ - ‖x - w‖| away from q. So samples are seen in the
    order of their neurons and of the distance from these, some together, which are left alone where
    k others are nearer than that. Where that leaves too many, those of the own neuron come first,
    to tell smaller limits. The rest is compared as `_nearest._scan` does. `test_nearest.py` looks
    for pairs that are missed.

    Parameters
    ----------
    limits : float64 array (m,)
        Distances within which there are k others, or inf.

    Returns
    -------
    float64 array (m,) or None
        Smaller limits, and nothing is filled in, where it would not pay or samples are not in
        memory; None where all is found.
    """
    data, units, hits = evaluation.data, evaluation.bmu, evaluation.hits
    X, distance, n_neurons = data.X, evaluation.distance, len(hits)
    is_plain = isinstance(X, np.ndarray) and X.flags.writeable and X.flags.c_contiguous
    if getattr(X, "in_order", False) or not is_plain:
        return limits
    farthest = np.zeros(n_neurons)
    np.maximum.at(farthest, units, distance)
    tasks = int(np.clip(_KEPT // found.near_worth.size, 1, _TASKS))

    def left() -> float:
        # The share of all pairs that may have to be compared.
        near = looking.apart <= farthest + limits[:, None]
        return float((near @ hits).mean() / data.n)

    def see(whose: int) -> None:
        parts = [found.none(*found.near.shape) for _ in range(tasks)]
        bounds = view.limits(np.square(limits * scale))

        def work(worker: int, task: int) -> None:
            some = order[len(order) * task // tasks : len(order) * (task + 1) // tasks]
            frame = centre, scale, view.share
            see_shells(
                X,
                some,
                units,
                distance,
                *frame,
                looking,
                limits,
                bounds,
                whose,
                *parts[task].arrays,
            )

        share(available_threads(), tasks, work)
        for part in parts:
            join(*part.arrays, *found.arrays)

    whose, share_left = ALL, left()
    if share_left > _HOPELESS or not np.isfinite(farthest).all():
        return limits
    order = _order(units, distance, farthest)
    if share_left > _PAYS:
        see(OWN)
        limits, whose = np.minimum(limits, np.sqrt(found.near[:, -1])), OTHERS
        if left() > _PAYS:
            found.clear()
            return limits
    see(whose)
    return None


def _order(
    units: NDArray[np.int64], distance: NDArray[np.float64], farthest: NDArray[np.float64]
) -> NDArray[np.int64]:
    # Samples by neuron and shell; short numbers sort in time linear in n.
    n_neurons = len(farthest)
    shells = int(np.clip((1 << 16) // n_neurons, 1, _SHELLS))
    each = np.divide(shells, farthest, out=np.zeros(n_neurons), where=farthest > 0)
    shell = np.minimum(distance * each[units], shells - 1).astype(np.int64)
    short = (units * shells + shell).astype(np.min_scalar_type(n_neurons * shells))
    return np.argsort(short, kind="stable")
