"""Growth strategies, and the state that they get."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from dbgsom_core.interfaces.component import Component, default, guarded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dbgsom_core.interfaces.context import Context, FloatArray, IntArray
    from dbgsom_core.interfaces.initialisations import GridComponent
    from dbgsom_core.som_map.grid import Grid
    from dbgsom_core.som_map.som_map import Change, SomMap


@dataclass(frozen=True)
class DataSummary:
    """What a growth strategy may know of the training data before training.

    Attributes
    ----------
    n_samples : float
        Number of training samples, or the sum of their weights.
    deviation : float
        ‖std(X)‖, the Euclidean norm of the columns' standard deviations (population), in the
        units of the prepared data.
    spread : float
        Root mean square distance of the samples to their centre under the metric in use: the
        ``deviation`` for the Euclidean one.
    n_classes : int or None
        Number of classes when labels were given.
    """

    n_samples: float
    n_features: int
    deviation: float
    spread: float
    n_classes: int | None = None


@dataclass(frozen=True)
class GrowthState:
    """What a growth strategy sees after the update of one epoch; arrays are read-only.

    Attributes
    ----------
    epoch, epochs : int
        The epoch that just ran (from 1) and how many the growing phase has.
    threshold : float
        What `growing_threshold` returned, or nan.
    errors : float64 array (K,)
        Sum of distances of the samples that each neuron won under the updated prototypes.
    hits : int array (K,)
        Number of those samples; with sample weights, float64, both are weighted sums.
    class_counts : int array (K, C) or None
        The same samples by class, when labels were given.
    movement : float
        Root mean square step of the prototypes in this epoch over the data's ``deviation``.
    room : int or None
        How many neurons may still be born before ``max_neurons``; None: no limit.
    context : Context
        What it may ask of the run while `grow` is called: distances, the samples of a neuron, a
        seeded generator, the epochs so far.
    """

    epoch: int
    epochs: int
    threshold: float
    errors: FloatArray
    hits: IntArray | FloatArray
    class_counts: IntArray | FloatArray | None
    movement: float
    room: int | None
    context: Context | None = None


class Birth(NamedTuple):
    """A neuron to be born.

    Attributes
    ----------
    position : (x, y)
        A cell that is free and linked to the map.
    prototype : float array (D,)
    parent : int
        The row of the neuron beside which it is born.
    """

    position: tuple[int, int]
    prototype: FloatArray
    parent: int


@dataclass(frozen=True)
class VerticalState:
    """What a vertical growth strategy sees of a trained map of the tree; arrays are read-only.

    Attributes
    ----------
    depth : int
        1 for the first map, 2 for a child map, and so on.
    errors, hits : arrays (K,)
        As in a `GrowthState`.
    root_error : float
        qe₀: the same sum over all training samples for a single neuron at their mean.
    context : Context
        As in a `GrowthState`; of no epochs.
    """

    depth: int
    errors: FloatArray
    hits: IntArray | FloatArray
    root_error: float
    context: Context | None = None


class GrowthComponent(Component):
    """Base of growth strategies, which decide after each epoch which neurons are born, and where.

    Attributes below may be class attributes (``removes = True``), properties or fields.
    """

    KIND: ClassVar[str] = "growth"

    @abstractmethod
    def grow(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth | Change]:
        """Return the births of this epoch, most urgent first; empty to let the map settle.

        Called in the growing phase after every epoch but the first and the last. Births must end:
        where errors are below the threshold, or at ``max_neurons``. ``som_map.positions`` are the
        cells (K, 2) that are taken, ``som_map.grid.offsets`` the steps to linked cells; on a line,
        where data have one column, there are two. Besides births a `Death` or, as the only thing
        wanted, an `Insert`. Rows and cells are those of ``som_map``; deaths are done first, then
        births, so that a cell that is given up may be taken.
        """

    # ------------------------------------------------------------------ the start

    def growing_threshold(self, summary: DataSummary) -> float:
        """Return the threshold that stands in ``growing_threshold_`` and in each `GrowthState`.

        Called once, before training. A finite number; this one is nan: there is no threshold.
        """
        return math.nan

    def start_shape(self) -> tuple[int, int] | None:
        """Return rows and columns of the map at the start; None: 2 × 2, or 1 × 4 on a line."""
        return None

    @default
    def grows_in_line(self) -> bool:
        """False where its rules need rows and columns: one column of data lies on squares, too."""
        return True

    @default
    def in_rows(self) -> bool:
        """True where maps are rectangles of whole rows and columns: the grid is then that of the
        grid component's ``in_rows``, by default squares.
        """
        return False

    @default
    def wrap(self) -> bool:
        """True closes the map at the start to a torus, which has no free cells."""
        return False

    # ------------------------------------------------------------------ how far it grows

    @default
    def max_neurons(self) -> int | Literal["auto"] | None:
        """The cap, which the core never lets a map exceed.

        ``"auto"`` is 5*sqrt(n), at most 10000; None: no cap.
        """
        return None

    @default
    def spreading_factor(self) -> float | None:
        """What is kept as ``spreading_factor_``."""
        return None

    @default
    def needs_classes(self) -> bool:
        """True when `grow` reads ``class_counts``."""
        return False

    @default
    def smooth_before_growth(self) -> bool:
        """True: prototypes are smoothed over linked neighbours before an epoch's births, and `grow`
        is asked again.
        """
        return False

    @default
    def removes(self) -> bool:
        """True where it may want a `Death`: it is asked, too, when the map is as large as
        ``max_neurons`` lets it be.
        """
        return False

    @default
    def may_disconnect(self) -> bool:
        """True where its deaths may take the map apart, which is refused otherwise."""
        return False

    # ------------------------------------------------------------------ fine-tuning

    @default
    def fine_tuning(self) -> float:
        """The share of the epochs, in [0, 1), of a last phase without growth, at the kernel's final
        width.
        """
        return 0.0

    @default
    def growing_epochs(self) -> int | None:
        """After so many epochs that phase begins at the latest."""
        return None

    @default
    def link_pull(self) -> float:
        """In that phase each sample weighs this much in the linked neighbour of its best-matching
        unit that lies nearest to it.
        """
        return 0.0

    @default
    def class_tuning(self) -> bool:
        """True: in that phase a sample with a class trains the nearest neuron in which its class
        was in the majority when width and pull had reached their ends.
        """
        return False

    # ------------------------------------------------------------------ what it keeps

    def renumber(self, rows: NDArray[np.int64]) -> None:
        """Take note that the map has changed: ``rows`` (K,) are the neurons' rows before, -1 for
        newborns. For what it keeps by neuron.
        """

    def remembered(self) -> Any:
        """Return the state that `grow` keeps between epochs besides the map, for a checkpoint.

        Plain values, lists, tuples and mappings of these, and arrays of numbers.
        """
        return None

    def remember(self, value: Any) -> None:
        """Set that state, before the first epoch of each training; None resets it."""

    # ------------------------------------------------------------------ child maps

    # ``wants_children(som_map, state)`` returns for each neuron (K,) whether its samples shall have
    # a map of their own, by a `VerticalState`; asked for every map of the tree when its training
    # has ended. None: there are no child maps.
    wants_children: ClassVar[Callable[..., Any] | None] = None

    @default
    def base(self) -> Any:
        """The strategy that grows each of these maps, a field ``Annotated[Any, Nested("growth")]``.

        None: the strategy itself. What estimators fill into a growth strategy goes to it.
        """
        return None


# --------------------------------------------------------------- what the core makes of it


def neuron_cap(growth: GrowthComponent, samples: float) -> int | None:
    """Return how many neurons a map of so many samples has at most; None: no limit.

    What a map takes grows with the square of its neurons: hops of 10000 take 200 MB.
    """
    if growth.max_neurons == "auto":
        # A rule of thumb: Vesanto et al. (2000), SOM Toolbox for Matlab 5.
        neurons = math.ceil(5 * math.sqrt(samples))
        return min(max(4, neurons), 10_000)
    return growth.max_neurons


def start_shape(growth: GrowthComponent, grid: Grid | None = None) -> tuple[int, int]:
    """Return rows and columns of the map at the start; without a grid not those of a line."""
    shape = growth.start_shape()
    if shape is not None:
        return shape
    return (1, 4) if grid is not None and grid.is_line else (2, 2)


def start_grid(
    growth: GrowthComponent, component: GridComponent, n_features: int | None = None
) -> Grid:
    """Return the grid of the maps, or with ``wrap`` the torus that the start fills.

    ``n_features`` is the number of columns of prepared samples, where it is known. Raises
    ValueError where the map at the start cannot lie on the grid.
    """
    size, component = start_shape(growth), guarded(component)
    is_open = growth.start_shape() is None and growth.grows_in_line
    if n_features is not None and is_open:
        component = guarded(component.suited_to(n_features))
    if growth.wrap or growth.in_rows or not growth.grows_in_line:
        grid = component.in_rows(*size, growth.wrap)
    else:
        grid = component.lattice(*size)
    rows, columns = start_shape(growth, grid)
    if grid.is_line and rows > 1:
        raise ValueError(
            f"a {grid.name} has one row, and the map starts with {rows} × {columns} neurons: "
            "take rows 1, or another grid"
        )
    if growth.wrap and grid.torus is None:
        grid = grid.closed(*size)
    return grid
