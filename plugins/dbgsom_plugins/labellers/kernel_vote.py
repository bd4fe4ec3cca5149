"""Class probabilities from the neurons around a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_plugins.labellers.neurons import Majority

if TYPE_CHECKING:
    from dbgsom_core.api import SomMap, Surroundings

BANDWIDTHS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6, 3.2)
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0)
_UNIT = 4  # which of the nearest groups sets the unit of distance


class KernelVote(Majority):
    """Samples are answered by the classes around them, which vote with a kernel of the distance.

    A group is what a neuron won of one class, at the mean of those samples, so a neuron in which
    classes meet has a border between them. With d_1 ≤ d_2 ≤ … the distances of a sample to the
    nearest groups and n_j their samples, class c has the votes

        v_c = Σ over the groups j of c of n_j exp(-(d_j² - d_1²) / (2 b d_5²)),

    and probability (v_c + m q_c) / (Σ v + m), q its share of all samples: the mean under a
    Dirichlet prior of strength m. Bandwidth b and strength m are those of a grid under which the
    training samples, each left out, are most likely. A neuron answers as a sample at its
    prototype.
    """

    estimators: ClassVar[tuple[str, ...]] = ("classifier",)

    def learn(
        self,
        around: Surroundings,
        y: NDArray[np.int64],
        weights: NDArray[np.float64] | None,
        som_map: SomMap,
    ) -> dict[str, NDArray[np.float64]]:
        """Return bandwidth, strength and the shares (C,) of the classes."""
        counted = np.ones(len(y)) if weights is None else weights
        shares = np.bincount(y, counted, around.n_classes) + 1 / around.n_classes
        shares /= shares.sum()
        rows, best = np.arange(len(y)), (np.inf, 0.0, 0.0)
        apart = relative_squares(around.distances, _UNIT)
        for bandwidth in BANDWIDTHS:
            votes = _votes(around, apart, bandwidth)
            given, total = votes[rows, y], votes.sum(axis=1)
            for strength in STRENGTHS:
                likely = (given + strength * shares[y]) / (total + strength)
                loss = -float(np.average(np.log(likely), weights=counted))
                best = min(best, (loss, bandwidth, strength))
        return {"kernel": np.array(best[1:]), "shares": shares}

    def answer(
        self, around: Surroundings, state: dict[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Return class probabilities (m, C); ValueError where what was learnt is of others."""
        from dbgsom_plugins.labellers.loops import to_probabilities

        kernel, shares = (for_loops(state[name], np.float64) for name in ("kernel", "shares"))
        if kernel.shape != (2,) or shares.shape != (around.n_classes,):  # loops do not look
            raise ValueError(f"what was learnt is not of {around.n_classes} classes")
        if not ((kernel > 0).all() and (shares >= 0).all()):
            raise ValueError("what was learnt holds shares, or a kernel, below 0")
        bandwidth, strength = kernel
        votes = _votes(around, relative_squares(around.distances, _UNIT), bandwidth)
        to_probabilities(votes, strength, shares)
        return votes


def relative_squares(distances: Any, unit: int) -> NDArray[np.float64]:
    """Return (d_j² - d_1²) / d_u² of ascending distances (m, k), u = ``unit`` from 0.

    The last one is the unit where there are fewer.
    """
    squares = np.square(np.asarray(distances, dtype=np.float64))
    unit = min(unit, squares.shape[1] - 1)
    away = squares - squares[:, :1]
    with np.errstate(all="ignore"):  # empty groups, which come last, lie anywhere
        found = np.divide(away, squares[:, [unit]], out=np.zeros_like(away), where=away > 0)
    return np.asarray(found)


def for_loops(array: Any, dtype: Any) -> NDArray[Any]:
    """Return one kind of array, for which a loop is compiled once."""
    return np.require(array, dtype, ["C", "A", "W"])


def _votes(
    around: Surroundings, apart: NDArray[np.float64], bandwidth: float
) -> NDArray[np.float64]:
    # Class by class, (m, C).
    from dbgsom_plugins.labellers.loops import add_votes

    kernel = apart / (-2 * bandwidth)
    np.exp(kernel, out=kernel)
    votes = np.zeros((len(apart), around.n_classes))
    weights = for_loops(around.weights, np.float64)
    values = for_loops(around.values, np.int64)
    known = weights.shape == values.shape == kernel.shape
    if not known or not add_votes(kernel, weights, values, votes):
        raise ValueError(f"what is around the samples is not of {around.n_classes} classes")
    return votes
