"""Non-negative least squares against one set of prototypes, for many samples at once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dbgsom_core.engine.workers import available_threads, share

if TYPE_CHECKING:
    from dbgsom_core.engine.nnls_loops import Room

_CHUNK = 64  # samples of a task
_ROOM = 1 << 22  # numbers that a worker may hold for them
_COLUMNS = 32  # prototypes that scipy sees beside those that take part
_TURNS = 100  # and how often it sees others, at most
_SMALL_WORK = 1 << 18  # numbers in all products below which one thread does it


def mixture_coefficients(
    X: NDArray[Any], prototypes: NDArray[np.float64], threads: int | None = None
) -> csr_array:
    """Return the non-negative c (n, K) that minimise ‖x - Σ_j c_j w_j‖ for each sample x.

    The active-set method of Lawson & Hanson (1974, ch. 23) in the form of Bro & de Jong (1997),
    which works on the Gram matrix and so shares its cost among all samples; a few prototypes enter
    between two computations of the residual and of its products with all of them, which are those
    of a whole chunk. A solution counts as optimal by conditions computed from the residual itself;
    where the Gram matrix has lost too many digits for that, scipy solves by orthogonal factors.
    A row of the result depends on its sample alone, and where several mixtures are as good it has
    at most D entries.

    Parameters
    ----------
    X : float array (n, D)
    prototypes : float64 array (K, D)
    threads : int or None
        None: as many as this process may use.

    Returns
    -------
    csr_array (n, K) of float64, indices sorted
    """
    from dbgsom_core.engine.nnls_loops import fill_products, improve_rows, room_for

    n, n_neurons = len(X), len(prototypes)
    turned = _Turned(np.asarray(prototypes, dtype=np.float64))
    chunk = min(_CHUNK, max(8, _ROOM // (min(prototypes.shape) + 1) ** 2))
    tasks = -(-n // chunk)
    helpers = 1 if n * prototypes.size < _SMALL_WORK else threads or available_threads()
    rooms = [room_for(chunk, *prototypes.shape) for _ in range(max(1, min(helpers, tasks)))]
    found: list[Any] = [None] * tasks

    def work(worker: int, task: int) -> None:
        room = rooms[worker]
        n_live = turned.begin(X[task * chunk : (task + 1) * chunk], room)
        while n_live > 0:
            fill_products(room, turned.columns, n_live)
            n_live = improve_rows(turned.prototypes, room, n_live)
        for row in np.flatnonzero(room.rounds < 0):
            turned.solve_exactly(room, int(row))
        counts = room.counts[: min(chunk, n - task * chunk)].copy()
        filled = np.arange(room.values.shape[1]) < counts[:, None]
        found[task] = (
            counts,
            room.members[: len(counts)][filled],
            room.values[: len(counts)][filled],
        )

    share(helpers, tasks, work)
    counts, members, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    coefficients = csr_array((values, members, starts), shape=(n, n_neurons))
    coefficients.sort_indices()
    return coefficients


class _Turned:
    """Prototypes as the loops want them, and how samples are brought to the same coordinates."""

    def __init__(self, prototypes: NDArray[np.float64]) -> None:
        from dbgsom_core.engine.nnls_loops import Prototypes

        self.centre = prototypes.mean(axis=0)
        length = float(np.linalg.norm(self.centre))
        mirror = self.centre.copy()
        mirror[0] += np.copysign(length, self.centre[0])
        # Householder's reflection takes the centre to the first axis, away from its own side.
        self.mirror = mirror * (np.sqrt(2.0) / (np.linalg.norm(mirror) or 1.0))
        big = float(-np.copysign(length, self.centre[0]))
        small = self._turn(prototypes)
        self.whole = small.copy()
        self.whole[:, 0] += big
        gram = self.whole @ self.whole.T
        scale = float(np.trace(gram)) / len(gram) or 1.0
        gram /= scale
        norms = np.sqrt(np.einsum("ij,ij->i", small, small))
        lengths = np.sqrt(np.diag(gram))
        steepness = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        self.prototypes = Prototypes(big, small, norms, gram, scale, steepness)
        self.columns = np.ascontiguousarray(small.T)

    def _turn(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        turned = np.asarray(rows, dtype=np.float64) - self.centre
        # Sums of each row by itself: a product of matrices may depend on the other rows.
        along = (turned * self.mirror).sum(axis=1)
        return np.ascontiguousarray(turned - along[:, None] * self.mirror)

    def begin(self, X: NDArray[Any], room: Room) -> int:
        """Write samples to a worker's room; returns how many are to be solved."""
        n = len(X)
        room.samples[:n] = self._turn(X)
        room.samples[:n, 0] += self.prototypes.big
        room.residuals[:n] = room.samples[:n]
        room.counts[:], room.rounds[:] = 0, 0
        live = np.flatnonzero(X.any(axis=1))  # turned, a sample of zeros is 0 but for rounding
        room.live[: len(live)] = live
        return len(live)

    @cached_property
    def distinct(self) -> NDArray[np.bool_]:
        """Which prototypes are the first of their kind: scipy 1.15 stumbles over copies."""
        first = np.zeros(len(self.whole), dtype=bool)
        first[np.unique(self.whole, axis=0, return_index=True)[1]] = True
        return first

    def solve_exactly(self, room: Room, row: int) -> None:
        """Solve for one sample by orthogonal factors, which keep small rows beside a large first.

        Normal equations square the condition of the prototypes: with a common offset of 1e7
        spreads no digit is left. Scipy sees the prototypes that were found to take part and, in
        turns, those along which the residual still falls.
        """
        from scipy.optimize import nnls  # slow to import, and seldom needed

        from dbgsom_core.engine.nnls_loops import ROUNDING, STEEP

        big, small, norms = self.prototypes[:3]
        x = room.samples[row]
        columns = room.members[row, : room.counts[row]]
        columns = columns[self.distinct[columns]]
        for _ in range(_TURNS):
            values = np.zeros(len(columns))
            if len(columns):
                try:
                    values, _ = nnls(self.whole[columns].T, x, maxiter=30 * len(columns))
                except RuntimeError:  # it goes round in circles: what there is must do
                    return
            columns, values = columns[values > 0], values[values > 0]
            residual = x - values @ small[columns]
            residual[0] -= big * values.sum()
            slopes, common, reach = small @ residual, big * residual[0], abs(big)
            if len(columns):  # orthogonal to these: as in `improve_rows`
                first = columns[values.argmax()]
                common, reach = -slopes[first], norms[first]
            slopes += common
            slopes[columns] = -np.inf
            length = np.linalg.norm(residual)
            parts = np.linalg.norm(x) + values @ norms[columns]
            steep = np.flatnonzero(self.distinct & (slopes > STEEP * length * (norms + reach)))
            if length <= ROUNDING * parts or len(steep) == 0:
                break
            steepest = np.argsort(-slopes[steep], kind="stable")[:_COLUMNS]
            columns = np.concatenate([columns, steep[steepest]])
        room.counts[row] = len(values)
        room.members[row, : len(values)] = columns[: len(values)]
        room.values[row, : len(values)] = values
