"""What components may know of the run: records of epochs, samples, distances, random numbers."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dbgsom_core.engine.results import PerSample
    from dbgsom_core.engine.samples import Samples
    from dbgsom_core.som_map.som_map import Change, SomMap

    FloatArray = NDArray[np.floating[Any]]
    IntArray = NDArray[np.integer[Any]]

_ROWS = 4096  # samples in a chunk: 2 MB of 64 columns, whatever a neuron won


class GrowthEvent(NamedTuple):
    """A birth: in which epoch, beside which parent (row), at which (x, y), as they were then."""

    epoch: int
    parent: int
    position: tuple[int, int]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of training.

    Attributes
    ----------
    epoch, epochs : int
        The epoch that ran, from 1, and the upper bound of epochs.
    width : float
        Kernel width in hops.
    neurons : int
        Neurons after the epoch's births and deaths.
    births : tuple of GrowthEvent
        The neurons born in this epoch, also those of an `Insert`.
    quantization_error : float
        Mean distance of the training samples to their best-matching unit under the updated
        prototypes, newborns included.
    movement : float
        Root mean square step of the prototypes over the data's ‖std(X)‖ (no unit).
    seconds : float
        Time since training began.
    changes : tuple of Death or Insert
        What else changed the map before those births; rows and cells are those before the change.
    """

    epoch: int
    epochs: int
    phase: Literal["growing", "fine"]
    width: float
    neurons: int
    births: tuple[GrowthEvent, ...]
    quantization_error: float
    movement: float
    seconds: float
    changes: tuple[Change, ...] = ()

    @property
    def som_map(self) -> SomMap:
        """The map after this epoch, a copy that is yours, while callbacks are told of it.

        Raises
        ------
        AttributeError
            The epoch is over.
        """
        return copy.deepcopy(self._trained())

    @property
    def prototypes(self) -> NDArray[np.float64]:
        """The prototypes (K, D) after this epoch, a copy that is yours, as `som_map`."""
        return self._trained().prototypes.copy()

    def _trained(self) -> SomMap:
        trained: SomMap | None = vars(self).get("_som_map")
        if trained is None:
            raise AttributeError(
                "the map of an epoch can only be read while its callbacks run: copy it there"
            )
        return trained

    def show(self, som_map: SomMap | None) -> None:
        """Attach the map that callbacks may read, or detach it with None."""
        if som_map is None:
            vars(self).pop("_som_map", None)
        else:
            vars(self)["_som_map"] = som_map


def ignore_epoch(record: EpochRecord) -> None:
    """Do nothing with an epoch: the callback of a training without callbacks."""


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
        assignments: PerSample,
        seed: Sequence[int] = (0,),
        epochs: Sequence[EpochRecord] = (),
    ) -> None:
        self._data, self._assignments, self._seed = data, assignments, tuple(seed)
        self._history, self._ended = epochs, len(epochs)

    @cached_property
    def epochs(self) -> tuple[EpochRecord, ...]:
        return tuple(self._history[: self._ended])  # the training goes on writing the list

    @cached_property
    def generator(self) -> np.random.Generator:
        import numpy as np

        return np.random.default_rng([*self._seed, self._ended])

    def distances(self, X: Any, prototypes: Any) -> NDArray[np.float64]:
        """Return the distances (m, K), by the metric of the run and in its units.

        X is prepared samples, or prototypes, float array (m, D).
        """
        import numpy as np

        if not hasattr(X, "indptr"):  # not CSR
            X = np.ascontiguousarray(X)
        return self._data.pairwise(X, np.ascontiguousarray(prototypes, np.float64))

    def samples(self, neuron: int) -> Iterator[Chunk]:
        """Yield the samples that a neuron won, up to 4096 at a time, in their order."""
        import numpy as np

        rows = self._groups.get(neuron, np.empty(0, np.int64))
        for start in range(0, len(rows), _ROWS):
            chunk_rows = rows[start : start + _ROWS]
            data = self._data.subset(chunk_rows)
            X = data.X[0 : len(chunk_rows)]  # read where samples are not in memory
            chunk = Chunk(chunk_rows, X, np.asarray(data.sample_weights))
            for array in chunk:
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
            yield chunk

    def sample(self, most: int) -> Chunk:
        """Return up to so many of the training samples, evenly spaced among all."""
        import numpy as np

        n = self._data.n
        rows = np.arange(n) if n <= most else np.arange(most) * n // most
        data = self._data.subset(rows)
        X = data.X[0 : len(rows)]  # read where samples are not in memory
        return Chunk(rows, X, np.asarray(data.sample_weights))

    @cached_property
    def _groups(self) -> dict[int, NDArray[np.int64]]:
        # The rows of each neuron's samples, by neuron; neurons without samples have none.
        import numpy as np

        groups = {}
        for rows in self._data.groups(self._assignments):
            neuron = int(self._assignments.bmu[rows[0]])
            groups[neuron] = np.array(rows, np.int64)
        return groups


def seed_of(random_state: Any) -> tuple[int, ...]:
    """Return the seed of a ``random_state``; a generator is not advanced."""
    import numpy as np

    if isinstance(random_state, np.random.RandomState):
        _, key, place, *_ = random_state.get_state(legacy=True)
        return (*np.asarray(key)[:4].tolist(), int(place))
    try:
        return (int(random_state or 0),)
    except (TypeError, ValueError):
        raise ValueError(
            f"random_state must be None, an integer or a numpy RandomState, not {random_state!r}"
        ) from None
