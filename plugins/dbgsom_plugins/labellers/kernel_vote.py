"""Class probabilities from the neurons around a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_plugins.labellers.majority import Majority

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
        rows, apart, best = np.arange(len(y)), _apart(around), (np.inf, 0.0, 0.0)
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
        """Return class probabilities (m, C)."""
        bandwidth, strength = state["kernel"]
        votes = _votes(around, _apart(around), bandwidth)
        total = votes.sum(axis=1, keepdims=True)
        return np.asarray((votes + strength * state["shares"]) / (total + strength))


def _apart(around: Surroundings) -> NDArray[np.float64]:
    # (d_j² - d_1²) / d_5², (m, k); those that are empty come last, so the first one is not.
    squares = np.square(around.distances)
    unit = squares[:, min(_UNIT, squares.shape[1] - 1), None]
    away = np.maximum(squares - squares[:, :1], 0.0)
    with np.errstate(over="ignore"):
        far = np.divide(away, unit, out=np.full_like(away, np.inf), where=unit > 0)
    return np.where(away > 0, far, 0.0)


def _votes(
    around: Surroundings, apart: NDArray[np.float64], bandwidth: float
) -> NDArray[np.float64]:
    # Class by class, (m, C).
    votes = around.weights * np.exp(-apart / (2 * bandwidth))
    m, n_classes = len(votes), around.n_classes
    cells = np.arange(m)[:, None] * n_classes + around.values
    added = np.bincount(cells.ravel(), votes.ravel(), m * n_classes)
    return added.astype(np.float64, copy=False).reshape(m, n_classes)
