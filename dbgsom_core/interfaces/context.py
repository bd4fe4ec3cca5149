"""The context of a call: samples, distances, records and random numbers of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.epochs import EpochRecord

if TYPE_CHECKING:
    from dbgsom_core.engine.results import PerSample
    from dbgsom_core.engine.samples import Samples

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
_ROWS = 4096


class Chunk(NamedTuple):
    """Some of the training samples; arrays are read-only.

    Attributes
    ----------
    rows : int64 array (m,)
        Which they are: rows of ``y``.
    X : float array (m, D)
        The samples as the metric prepares them; nan where a value is missing, or CSR.
    weights : float64 array (m,)
        What they weigh, 1 where nobody said.
    """

    rows: IntArray
    X: Any
    weights: FloatArray


class Context:
    """What a growth strategy or a labeller may ask of the run, while it is called; read-only.

    Attributes
    ----------
    epochs : tuple of EpochRecord
        Those that have ended.
    generator : numpy.random.Generator
        The same in every call with the same ``random_state`` and epoch, so that a run can be
        repeated and resumed; 0 stands for a ``random_state`` of None.
    """

    def __init__(
        self,
        data: Samples,
        found: PerSample,
        seed: Sequence[int] = (0,),
        epochs: Sequence[EpochRecord] = (),
    ) -> None:
        self._data, self._found, self._seed = data, found, tuple(seed)
        self._history, self._ended = epochs, len(epochs)

    @cached_property
    def epochs(self) -> tuple[EpochRecord, ...]:
        return tuple(self._history[: self._ended])  # the training goes on writing the list

    @cached_property
    def generator(self) -> np.random.Generator:
        return np.random.default_rng([*self._seed, self._ended])

    def distances(self, X: Any, prototypes: Any) -> NDArray[np.float64]:
        """Return the distances (m, K), by the metric of the run and in its units.

        X is prepared samples, or prototypes, float array (m, D).
        """
        X = X if hasattr(X, "indptr") else np.ascontiguousarray(X)
        return self._data.pairwise(X, np.ascontiguousarray(prototypes, np.float64))

    def samples(self, neuron: int) -> Iterator[Chunk]:
        """Yield the samples that a neuron won, up to 4096 at a time, in their order."""
        rows, data = self._groups.get(neuron, np.empty(0, np.int64)), self._data
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            part = data.subset(some)
            chunk = Chunk(some, part.X[0 : len(some)], np.asarray(part.sample_weights))
            for array in chunk:
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
            yield chunk

    @cached_property
    def _groups(self) -> dict[int, NDArray[np.int64]]:
        groups = self._data.groups(self._found)
        return {int(self._found.bmu[rows[0]]): np.array(rows, np.int64) for rows in groups}


def seed_of(random_state: Any) -> tuple[int, ...]:
    """Return the seed of a ``random_state``; a generator is not advanced."""
    if isinstance(random_state, np.random.RandomState):
        _, key, place, *_ = random_state.get_state(legacy=True)
        return (*np.asarray(key)[:4].tolist(), int(place))
    try:
        return (int(random_state or 0),)
    except (TypeError, ValueError):
        raise ValueError(
            f"random_state must be None, an integer or a numpy RandomState, not {random_state!r}"
        ) from None
