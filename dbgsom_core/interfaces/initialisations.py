"""The start of a map: its grid, and its first prototypes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from dbgsom_core.interfaces.component import Component

if TYPE_CHECKING:
    import numpy as np

    from dbgsom_core.engine.results import Moments
    from dbgsom_core.engine.samples import Samples
    from dbgsom_core.interfaces.context import FloatArray, IntArray
    from dbgsom_core.som_map.grid import Grid


@dataclass(frozen=True)
class Start:
    """What an initialisation gets: K cells in row-major order, and n training samples.

    Attributes
    ----------
    rows, columns : int
        Of the first cells; K = rows*columns.
    data : Samples
        The samples, prepared by the metric.
    moments : Moments
        Their column means and deviations, (D,).
    rng : numpy.random.RandomState
        From the estimator's ``random_state``; nothing else draws from it.
    """

    rows: int
    columns: int
    grid: Grid
    data: Samples
    moments: Moments
    rng: np.random.RandomState

    def __len__(self) -> int:
        return self.rows * self.columns

    @property
    def n_features(self) -> int:
        """D, the number of columns of the prepared samples."""
        return int(self.data.X.shape[1])

    @property
    def positions(self) -> IntArray:
        """The cells (x, y), (K, 2)."""
        return self.grid.rectangle(self.rows, self.columns)

    @property
    def plane_positions(self) -> FloatArray:
        """Where the cells lie in the plane, (K, 2)."""
        return self.grid.plane(self.positions)

    def extremes(self) -> tuple[FloatArray, FloatArray]:
        """Return the smallest and the largest observed value of each column, (D,)."""
        return self.data.extremes()

    def principal_axes(self) -> Sequence[FloatArray]:
        """Return the first two principal axes (D,), each as long as the deviation along it."""
        return self.data.principal_axes(self.moments)

    def samples(self, n: int) -> FloatArray:
        """Return ``n`` samples (n, D) drawn by lot, each once where there are enough.

        Samples of weight 0 are not drawn; a missing value is the mean of its column.
        """
        import numpy as np  # a configuration is checked without it

        rows = np.flatnonzero(self.data.sample_weights)
        chosen = self.rng.choice(rows, n, replace=len(rows) < n)
        distinct, inverse = np.unique(chosen, return_inverse=True)  # read each row once, in order
        X = self.data.subset(distinct).X
        dense = np.asarray(X.toarray() if hasattr(X, "toarray") else X[:], dtype=np.float64)
        complete = np.where(np.isnan(dense), self.moments.mean, dense)
        return complete[inverse]


class InitialisationComponent(Component):
    """Base of ways to start: the prototypes of a map's first neurons."""

    KIND: ClassVar[str] = "initialisation"

    @abstractmethod
    def prototypes(self, start: Start) -> FloatArray:
        """Return the prototypes (K, D) of the cells of ``start``, float64 and finite."""


class GridComponent(Component):
    """Base of grids, the cells of maps: which are linked, and where they lie in the plane."""

    KIND: ClassVar[str] = "grid"

    @abstractmethod
    def lattice(self, rows: int, columns: int) -> Grid:
        """Return the grid of a map that starts with ``rows`` × ``columns`` neurons.

        The cells of the start must hang together. A ValueError says why such a map cannot be.
        """

    def suited_to(self, n_features: int) -> GridComponent:
        """Return the grid component for samples of so many columns, as a line for one.

        Called where the growth strategy leaves the map at the start open.
        """
        return self

    def in_rows(self, rows: int, columns: int, wrap: bool) -> Grid:
        """Return the grid in place of `lattice` where the growth strategy wraps the map to a torus,
        or needs rows and columns.
        """
        return self.lattice(rows, columns)
