"""Metrics whose distances are right, and whose other methods or attributes are not."""

import math
from typing import Any, ClassVar

import numba
import numpy as np

from dbgsom_core.api import Component

from .metrics import Fine


class Doubling(Fine):
    """prepare turns float32 into float64."""

    def prepare(self, X):
        return np.asarray(X, dtype=np.float64)


class Losing(Fine):
    """prepare loses a row."""

    def prepare(self, X):
        return X[1:]


class Centring(Fine):
    """prepare depends on the other rows."""

    def prepare(self, X):
        return X - X.mean(axis=0)


class Spoiling(Fine):
    """prepare makes infinite values."""

    def prepare(self, X):
        with np.errstate(all="ignore"):
            return X / 0.0


class Scaling(Fine):
    """prepare writes into the samples of the user."""

    def prepare(self, X):
        X /= 2.0
        return X


class Wording(Fine):
    """prepare makes words."""

    def prepare(self, X):
        return X.astype(str)


class Narrow(Fine):
    """centre loses a column."""

    def centre(self, means):
        return means[:, 1:]


class Bursting(Fine):
    """centre makes infinite prototypes."""

    def centre(self, means):
        return means + np.inf


class Learning(Fine):
    """fit without prepare."""

    def fit(self, X):
        return {"mean": X.mean(axis=0)}


class Listing(Fine):
    """fit returns a list."""

    def fit(self, X):
        return [1, 2]

    def prepare(self, X, state):
        return X


class Objects(Fine):
    """fit returns objects."""

    def fit(self, X):
        return {"thing": np.array([object()])}

    def prepare(self, X, state):
        return X


class Vague(Fine):
    """fit returns what is no number."""

    def fit(self, X):
        return {"mean": np.full(2, np.nan)}

    def prepare(self, X, state):
        return X


class Forming(Fine):
    """form returns too few prototypes."""

    @property
    def form(self):
        return lambda X, units, influence, weights, so_far: so_far[:-1]


class FormingNothing(Fine):
    """form returns prototypes that are no numbers."""

    @property
    def form(self):
        return lambda X, units, influence, weights, so_far: np.full_like(so_far, np.nan)


class Gaps(Fine):
    """Says that it takes missing values, and does not."""

    handles: ClassVar[tuple[str, ...]] = ("missing",)


class Wishing(Fine):
    """Handles what nobody knows."""

    handles: ClassVar[tuple[str, ...]] = ("pictures",)


class Refusing(Fine):
    """An example that is none."""

    @staticmethod
    def examples(generator, n):
        return [1.0] * n


class Late(Fine):
    """forms_below is a word."""

    forms_below: ClassVar[Any] = "often"


class Property(Fine):
    """A property raises."""

    @property
    def geometry(self):
        raise KeyError("inside")


class Uncompiled(Component):
    """Its scalar is a plain function."""

    @staticmethod
    def scalar(x, w, params):
        return abs(x[0] - w[0])


class ScalarNan(Component):
    """Its scalar is no number."""

    scalar: ClassVar[Any] = staticmethod(numba.njit(lambda x, w, params: math.nan))


class ScalarNegative(Component):
    """Its scalar is below 0."""

    scalar: ClassVar[Any] = staticmethod(numba.njit(lambda x, w, params: -abs(x[0] - w[0])))


class ScalarText(Component):
    """Its scalar cannot be compiled."""

    scalar: ClassVar[Any] = staticmethod(numba.njit(lambda x, w, params: x + "far"))


class ScalarParams(Component):
    """Its parameters are no numbers."""

    scalar: ClassVar[Any] = staticmethod(numba.njit(lambda x, w, params: abs(x[0] - w[0])))

    def scalar_params(self):
        return ["a"]
