"""Prepare steps of rows in the order of time: lags, rolling statistics, and angles as circles.

Steps that look back, `Lags` and `Rolling`, take their rows in order and from one series; where
there is nothing before a row they take the earliest that is there. A run applies them before it
divides the rows.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from dbgsom_core.errors import did_you_mean

_STATISTICS = ("mean", "std", "min", "max")
_MOST_ADDED = 10_000  # columns


class _SeriesStep(TransformerMixin, BaseEstimator):
    """Base of steps that add or replace columns (None: all), by their names or places."""

    of_series: ClassVar[bool] = True
    looks_back: ClassVar[bool] = False
    columns: Any

    def set_feature_names(self, names: Sequence[str]) -> None:
        """Tell the step what the columns of the samples are called."""
        self._names = list(map(str, names))

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the columns in X (n, D).

        Raises
        ------
        ValueError
            A column is unknown, or a parameter is out of range.
        """
        X = validate_data(self, X, dtype=None, ensure_all_finite="allow-nan")
        names = getattr(self, "feature_names_in_", getattr(self, "_names", range(X.shape[1])))
        self.names_ = list(map(str, names))
        self.places_ = []
        for column in self.names_ if self.columns is None else self.columns:
            place = column if isinstance(column, int) else -1
            if str(column) in self.names_:
                place = self.names_.index(str(column))
            if not 0 <= place < len(self.names_):
                raise ValueError(
                    f"there is no column '{column}'{did_you_mean(column, self.names_)}"
                )
            self.places_.append(place)
        self._check()
        if len(self._added()) > _MOST_ADDED:
            raise ValueError(f"it would add more than {_MOST_ADDED:,} columns: name fewer columns")
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return X (n, D) with the columns that the step makes, float64."""
        check_is_fitted(self, "places_")
        X = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        kept = np.delete(X, self._replaced(), axis=1)
        return np.column_stack([kept, *self._made(X[:, self.places_])])

    def get_feature_names_out(self, names: Any = None) -> NDArray[Any]:
        """Return the names of the columns that `transform` returns; ``names`` are those before."""
        known = self.names_ if names is None else list(map(str, names))
        chosen = [known[place] for place in self.places_]
        kept = np.delete(np.array(known, dtype=object), self._replaced())
        return np.array([*kept, *(name.format(*chosen) for name in self._added())], dtype=object)

    def fits(self) -> bool:
        """Return whether the step, of a file, is as `fit` makes it."""
        self._check()
        count = len(self.names_)
        has_places = all(isinstance(place, int) and 0 <= place < count for place in self.places_)
        return has_places and count == self.n_features_in_ and len(self._added()) <= _MOST_ADDED

    def _replaced(self) -> list[int]:
        return []

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @abstractmethod
    def _check(self) -> None:
        """Raise ValueError for parameters that cannot be used."""

    @abstractmethod
    def _added(self) -> list[str]:
        """Return the names of new columns, with ``{0}`` for the name of the first chosen one."""

    @abstractmethod
    def _made(self, X: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return new columns, (n, m) each, of the chosen ones X (n, C)."""


class Lags(_SeriesStep):
    """Add columns of rows before: values, or the change since.

    Parameters
    ----------
    columns : sequence of str or int, optional
        None: all.
    steps : sequence of int
        How many rows before.
    difference : bool
        Add the row's value minus that before.
    """

    looks_back = True

    def __init__(self, columns: Any = None, steps: Any = (1,), difference: bool = False) -> None:
        self.columns, self.steps, self.difference = columns, steps, difference

    def _check(self) -> None:
        if not self.steps or any(not isinstance(step, int) or step < 1 for step in self.steps):
            raise ValueError(f"steps are numbers of rows from 1 on, not {self.steps!r}")

    def _added(self) -> list[str]:
        word = "since" if self.difference else "before"
        return [f"{{{i}}} {word} {step}" for step in self.steps for i in range(len(self.places_))]

    def _made(self, X: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        made = []
        for step in self.steps:
            before = X[np.maximum(np.arange(len(X)) - step, 0)]
            made.append(X - before if self.difference else before)
        return made


class Rolling(_SeriesStep):
    """Add statistics of each row and those before it.

    Parameters
    ----------
    columns : sequence of str or int, optional
        None: all.
    window : int
        Rows, the last one included.
    statistics : sequence of {"mean", "std", "min", "max"}
        Missing values do not count.
    """

    looks_back = True

    def __init__(
        self, columns: Any = None, window: int = 24, statistics: Any = ("mean", "std")
    ) -> None:
        self.columns, self.window, self.statistics = columns, window, statistics

    def _check(self) -> None:
        if not isinstance(self.window, int) or self.window < 2:
            raise ValueError(f"window is a number of rows from 2 on, not {self.window!r}")
        if not self.statistics or not {*self.statistics} <= {*_STATISTICS}:
            raise ValueError(f"statistics are of {', '.join(_STATISTICS)}, not {self.statistics!r}")

    def _added(self) -> list[str]:
        count = range(len(self.places_))
        return [f"{name} {self.window} of {{{i}}}" for name in self.statistics for i in count]

    def _made(self, X: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        import pandas as pd  # is slow to import

        rolling = pd.DataFrame(X).rolling(self.window, min_periods=1)
        made = []
        for name in self.statistics:
            found = rolling.std(ddof=0) if name == "std" else getattr(rolling, name)()
            made.append(found.to_numpy())
        return made


class Cyclic(_SeriesStep):
    """Replace angles, hours, months and the like by their place on a circle: sine and cosine.

    Parameters
    ----------
    columns : mapping of str or int to float
        The period of each column, such as ``{hour: 24, direction: 360}``.
    """

    def __init__(self, columns: Mapping[Any, float]) -> None:
        self.columns = columns

    def _check(self) -> None:
        for column, period in self.columns.items():
            if isinstance(period, bool) or not isinstance(period, (int, float)) or not period > 0:
                raise ValueError(f"'{column}' needs a period above 0, not {period!r}")

    def _replaced(self) -> list[int]:
        return list(self.places_)

    def _added(self) -> list[str]:
        count = range(len(self.places_))
        return [f"{word} {{{i}}}" for word in ("sin", "cos") for i in count]

    def _made(self, X: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        angles = X * (2 * math.pi / np.array(list(self.columns.values()), np.float64))
        return [np.sin(angles), np.cos(angles)]
