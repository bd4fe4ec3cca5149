"""Growth strategies, and the state that they get."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from dbgsom_core.interfaces.component import Abilities, Component, is_flag, is_number
from dbgsom_core.interfaces.guard import guarded

if TYPE_CHECKING:
    from dbgsom_core.interfaces.context import Context, FloatArray, IntArray
    from dbgsom_core.interfaces.initialisations import GridShape
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


@runtime_checkable
class GrowthStrategy(Protocol):
    """A growth strategy: decides after each epoch which neurons are born, and where."""

    def grow(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth | Change]:
        """Return the births of this epoch, most urgent first; empty to let the map settle.

        Called in the growing phase after every epoch but the first and the last. Besides births a
        `Death` or, as the only thing wanted, an `Insert`. Rows and cells are those of ``som_map``;
        deaths are done first, then births, so that a cell that is given up may be taken.
        """


class GrowthComponent(Component):
    """Base of growth strategies: the defaults of all but `grow`.

    Optional capabilities
        ``growing_threshold(summary) -> float``: computed once before training from a
        `DataSummary`; ends up in ``growing_threshold_`` and in every `GrowthState`.
        ``start_shape() -> (rows, columns)``: the map at the start; without it (2, 2), or four in a
        row on a line.
        ``grows_in_line`` (attribute): False where its rules need rows and columns: data of one
        column then lie on squares, too.
        ``in_rows`` (attribute): True where maps are rectangles of whole rows and columns: the grid
        is then what the grid shape's ``in_rows`` returns, by default squares.
        ``wrap`` (field): True closes the map at the start to a torus, which has no free cells.
        ``max_neurons`` (field): ``"auto"`` (5*sqrt(n), at most 10000), an int or None. The core
        never lets a map exceed it.
        ``spreading_factor`` (field): a number or None, kept as ``spreading_factor_``.
        ``fine_tuning`` (field): the share of the epochs, in [0, 1), of a phase without growth, at
        the kernel's final width.
        ``growing_epochs`` (attribute): after so many epochs that phase begins at the latest.
        ``link_pull`` (field): in that phase each sample weighs this much in the linked neighbour
        of its best-matching unit that lies nearest to it.
        ``class_tuning`` (field): in that phase a sample with a class trains the nearest neuron in
        which its class was in the majority when width and pull had reached their ends.
        ``smooth_before_growth`` (field): prototypes are smoothed over linked neighbours before an
        epoch's births, and `grow` is asked again.
        ``removes`` (attribute): True where it may want a `Death`: it is asked, too, when the map is
        as large as ``max_neurons`` lets it be.
        ``may_disconnect`` (attribute): True where its deaths may take the map apart,
        which is refused otherwise.
        ``renumber(rows)``: called when the map has changed, with the row before of each neuron that
        there is now, int64 (K,), -1 for newborns: for what it keeps by neuron.
        ``needs_classes`` (attribute): True when `grow` reads ``class_counts``.
        ``wants_children(som_map, state) -> array``: for each neuron (K,) whether its samples shall
        have a map of their own, by a `VerticalState`; asked for every map of the tree when its
        training has ended.
        ``base`` (field): the growth strategy that grows each of these maps, declared as
        ``Annotated[Any, Nested("growth")]``; the strategy itself without it. What estimators fill
        into a growth strategy goes to it.
        ``remembered() -> value``: get the state that `grow` keeps between epochs besides the map,
        for a checkpoint: plain values, lists, tuples and mappings of these, and arrays of numbers.
        ``remember(value)``: set that state, before the first epoch of each training; None resets
        it, where a training is not resumed.
    """

    @property
    def needs_classes(self) -> bool:
        return False

    @property
    def grows_in_line(self) -> bool:
        return True

    @property
    def removes(self) -> bool:
        return False

    @property
    def growing_epochs(self) -> int | None:
        return None


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


@dataclass(frozen=True)
class GrowthAbilities(Abilities):
    """Capabilities of a growth strategy; see `GrowthComponent`. A missing method is None."""

    kind: ClassVar[str] = "growth"
    defaults: ClassVar[Component] = GrowthComponent()
    unguarded: ClassVar[tuple[str, ...]] = ("remembered", "remember")

    needs_classes: bool
    grows_in_line: bool
    removes: bool
    growing_epochs: int | None
    growing_threshold: Callable[[DataSummary], float] | None = None
    start_shape: Callable[[], tuple[int, int]] | None = None
    wants_children: Callable[[SomMap, VerticalState], Any] | None = None
    remembered: Callable[[], Any] | None = None
    remember: Callable[[Any], None] | None = None
    renumber: Callable[[IntArray], None] | None = None
    max_neurons: int | Literal["auto"] | None = None
    fine_tuning: float = 0.0
    link_pull: float = 0.0
    class_tuning: bool = False
    in_rows: bool = False
    smooth_before_growth: bool = False
    wrap: bool = False
    may_disconnect: bool = False
    base: Any = None
    spreading_factor: float | None = None
    grow: Any = None

    def check(self) -> None:
        def is_count(value: Any) -> bool:
            return value is None or (is_number(value, 1) and isinstance(value, int))

        for name in ("wrap", "removes", "may_disconnect", "grows_in_line", "in_rows"):
            self.require(name, "True or False", is_flag)
        whole = "None or a whole number above 0"
        self.require("max_neurons", f"'auto', {whole}", lambda one: one == "auto" or is_count(one))
        self.require("growing_epochs", whole, is_count)
        self.require(
            "spreading_factor", "a number or None", lambda one: one is None or is_number(one)
        )
        self.require("fine_tuning", "a number in [0, 1)", lambda one: is_number(one, 0, 1))
        self.require("link_pull", "a number of at least 0", lambda one: is_number(one, 0))

    def threshold(self, summary: DataSummary) -> float:
        """Return the growing threshold, nan where there is none."""
        rule = self.growing_threshold
        return math.nan if rule is None else float(rule(summary))

    def cap(self, samples: float) -> int | None:
        """Return how many neurons a map of so many samples has at most; None: no limit.

        What a map takes grows with the square of its neurons: hops of 10000 take 200 MB.
        """
        if self.max_neurons == "auto":
            return min(max(4, math.ceil(5 * math.sqrt(samples))), 10_000)
        return self.max_neurons

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the map at the start."""
        return (2, 2) if self.start_shape is None else self.start_shape()

    def start(self, grid: Grid) -> tuple[int, int]:
        """Return rows and columns of the map at the start, which are one row on a line."""
        return (1, 4) if self.start_shape is None and grid.is_line else self.shape

    def grid(self, shape: GridShape, n_features: int | None = None) -> Grid:
        """Return the grid of the maps, or with ``wrap`` the torus that the start fills.

        ``n_features`` is the number of columns of prepared samples, where it is known. Raises
        ValueError where the map at the start cannot lie on the grid.
        """
        free = self.start_shape is None and self.grows_in_line
        if n_features is not None and free and hasattr(shape, "suited_to"):
            shape = guarded("grid", shape, "suited_to")(n_features)
        if (self.wrap or self.in_rows or not self.grows_in_line) and hasattr(shape, "in_rows"):
            found: Grid = guarded("grid", shape, "in_rows")(*self.shape, self.wrap)
        else:
            found = guarded("grid", shape, "lattice")(*self.shape)
        rows, columns = self.start(found)
        if found.is_line and rows > 1:
            raise ValueError(
                f"a {found.name} has one row, and the map starts with {rows} × {columns} neurons: "
                "take rows 1, or another grid"
            )
        return found.closed(*self.shape) if self.wrap and found.torus is None else found
