"""What a measure is, and what it looks at: a trained map laid beside data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from dbgsom_core.interfaces.component import Abilities, Component

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dbgsom_core.engine.contract import Samples
    from dbgsom_core.som_map.som_map import SomMap
    from dbgsom_core.som_map.tree import Descent, Tree


@dataclass(frozen=True)
class Evaluation:
    """One part of the data as seen through a trained map; every derived array is made once.

    Attributes
    ----------
    som_map : SomMap
        The map, K neurons in order of birth.
    data : Samples
        The samples, prepared by the metric, ready to be compared with prototypes.
    y : array (n,) or None
        Targets as given.
    predictions : array (n,) or None
        The estimator's answers: classes, values, or cluster numbers.
    seed : int
        For measures that sample.
    labelled : bool array (n,) or None
        Which samples have a class, where y marks some that have none; None: all.
    """

    som_map: SomMap
    data: Samples
    y: NDArray[Any] | None = None
    predictions: NDArray[Any] | None = None
    seed: int = 0
    labelled: NDArray[np.bool_] | None = None

    @property
    def X(self) -> Any:  # noqa: N802
        """The samples in the metric's space: float array (n, D), nan where missing, or CSR."""
        return self.data.X

    def chunks(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield (rows, distances (m, K)) over all samples without holding n*K at once."""
        return self.data.chunks(self.som_map.prototypes)

    @cached_property
    def _nearest(self) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
        # Distances are None where the search needs none to find the neurons.
        return self.data.nearest_units(self.som_map.prototypes, 2)

    @property
    def bmu(self) -> NDArray[np.int64]:
        """The best-matching unit of each sample, shape (n,); ties to the lowest row."""
        return self._nearest[0][:, 0]

    @property
    def second_bmu(self) -> NDArray[np.int64]:
        """The second-best matching unit of each sample, shape (n,)."""
        return self._nearest[0][:, 1]

    @cached_property
    def distance(self) -> NDArray[np.float64]:
        """The distance of each sample to its best-matching unit, shape (n,), metric's units."""
        found = self._nearest[1]
        if found is not None:
            return found[:, 0]
        return self.data.distances_to(self.som_map.prototypes, self.bmu)

    @cached_property
    def tree(self) -> Tree:
        """The map and the child maps below it, with their leaves."""
        from dbgsom_core.som_map.tree import Tree

        return Tree.of(self.som_map)

    @cached_property
    def _descent(self) -> Descent:
        from dbgsom_core.som_map.tree import descend

        return descend(self.tree, self.data)

    @property
    def leaf(self) -> NDArray[np.int64]:
        """The leaf of ``tree`` where each sample's way down the maps ends, shape (n,)."""
        return self._descent.leaf if self.som_map.children else self.bmu

    @property
    def leaf_distance(self) -> NDArray[np.float64]:
        """The distance of each sample to that leaf's prototype, shape (n,), metric's units.

        It is ``distance`` for a map without child maps.
        """
        return self._descent.distance if self.som_map.children else self.distance

    @cached_property
    def hits(self) -> NDArray[np.int64]:
        """How many samples each neuron won, shape (K,)."""
        import numpy as np  # a configuration is checked without it

        return np.bincount(self.bmu, minlength=len(self.som_map))

    @cached_property
    def errors(self) -> NDArray[np.float64]:
        """Sum of the distances of the samples that each neuron won, shape (K,)."""
        import numpy as np

        return np.bincount(self.bmu, self.distance, len(self.som_map)).astype(np.float64)

    @cached_property
    def won_squares(self) -> NDArray[np.float64] | None:
        """Sum of the squared distances of what neuron b won to prototype j, shape (K, K).

        It takes one look at the samples instead of K; None where the geometry is not Euclidean.
        """
        if not self.data.is_euclidean:
            return None
        return self.data.won_squares(self.som_map.prototypes, self.bmu, self.distance)

    @cached_property
    def prototype_distances(self) -> NDArray[np.float64]:
        """Distances between all prototypes, shape (K, K), metric's units."""
        return self.data.pairwise(self.som_map.prototypes, self.som_map.prototypes)


@runtime_checkable
class Measure(Protocol):
    """A measure of a trained map on a part of the data; logged as ``train/NAME``, ``test/NAME``."""

    greater_is_better: ClassVar[bool]

    def compute(self, evaluation: Evaluation) -> float:
        """Return the value on the samples of ``evaluation``, in chunks where it needs distances."""


class MeasureComponent(Component):
    """Base of measures: the defaults of all but `compute` and ``greater_is_better``.

    Optional capabilities
        ``needs_target`` (attribute): True when it reads ``evaluation.y``; left out otherwise.
        ``estimators`` (attribute): the kinds (``vq``, ``classifier``, ``regressor``) whose default
        list holds it; None: every kind. One that names others cannot be used with a regressor,
        nor one that names the regressor alone with others.
        ``in_metric_units`` (attribute): True when the value grows with the metric's distances, so
        that runs of different metrics or prepare steps are not ranked by it.
        ``zero_is_best`` (attribute): True when the value has both signs and is best at 0: runs are
        compared by its absolute value, and ``greater_is_better`` is False.
    """

    needs_target: ClassVar[bool] = False
    in_metric_units: ClassVar[bool] = False
    zero_is_best: ClassVar[bool] = False
    estimators: ClassVar[tuple[str, ...] | None] = None


@dataclass(frozen=True)
class MeasureAbilities(Abilities):
    """What one measure asks for; see `MeasureComponent`."""

    kind: ClassVar[str] = "measure"
    defaults: ClassVar[Component] = MeasureComponent()

    needs_target: bool
    estimators: tuple[str, ...] | None
    in_metric_units: bool = False
    zero_is_best: bool = False
