"""What a distance metric is, and what else it can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]
    IntArray = NDArray[np.integer[Any]]


@runtime_checkable
class Metric(Protocol):
    """A distance metric. One of three levels is required; the engine picks the fastest offered.

    Level ``assign(X, prototypes) -> (bmu, distance)``
        X : float array (m, D), one chunk of prepared samples, float32 or float64, read-only.
        prototypes : float64 array (K, D).
        bmu : int array (m,), the nearest prototype, ties to the lowest index.
        distance : float64 array (m,), the distance to it.

    Level ``scalar(x, w, params) -> distance``
        A class attribute ``scalar = staticmethod(numba.njit(f))`` for one pair, which the engine
        compiles into its own loop. x, w : float64 arrays (D,), one prepared sample and one
        prototype. params : float64 array (P,), see ``scalar_params``. distance : float. Pure
        arithmetic: no allocation, no Python object.

    Level ``pairwise(X, prototypes) -> distances``
        The same arguments as ``assign``; distances : float64 array (m, K). Called per chunk of
        rows, so it never sees all data at once, and from several threads.

    Optional capabilities
        ``prepare(X) -> X``: map samples, (n, D), into the space in which the map lives (cosine:
        unit rows). Called once on training data and on all data that is predicted.
        ``centre(means) -> prototypes``: turn kernel-weighted means of prepared samples, (K, D),
        into prototypes, (K, D) (cosine: unit vectors). Without it the mean is the prototype.
        ``scalar_params() -> params``: what ``scalar`` gets; without it the fields that are numbers
        or truth values, in the order in which they are declared.
        ``examples(generator, n) -> X``: n raw samples (n, D) that the metric accepts, for the
        conformance kit; n normal ones without it.
        ``claims`` (attribute): which of ``"identity"`` (d(x, x) = 0), ``"symmetry"`` and
        ``"triangle"`` hold between prepared samples; the conformance kit tests what is claimed.
        ``geometry`` (class attribute): ``"euclidean"`` says that the distance is the square root
        of the float64 sum of squared differences, added feature by feature. The engine then finds
        the same units by its own fast search and uses the methods for the rest.
        ``fit(X) -> state``: learn from the raw training samples (n, D), once in a training. The
        state, a mapping of names to numpy arrays, is saved with the model, and ``prepare`` gets it
        as its second argument: ``prepare(X, state)``. Samples of weight 0 are left out.
        ``learns_weighted`` (class attribute): True when `fit` takes the positive sample weights
        (n,), a weight of 2 being the sample twice, as its second argument: ``fit(X, weights)``.
        ``form(X, units, influence, weights, so_far) -> prototypes``: make the prototypes (K, D)
        of each epoch from the samples themselves (manhattan: weighted medians). Where it is
        missing or None they are ``centre`` of the means.
        ``forms_below`` (class attribute): they are means, too, while the kernel gives linked
        neighbours more than this share of the weight of a neuron's own samples (median: 0.25).
        ``handles`` (class attribute): what else the methods take; with ``"missing"`` in it an
        entry of X may be nan. Such a feature is left out and sums are scaled by D/observed. With
        ``"sparse"`` X may be a scipy CSR matrix, in ``prepare`` as well.
    """

    def pairwise(self, X: FloatArray, prototypes: FloatArray) -> FloatArray:
        """Return the distances (m, K) of m samples to K prototypes."""


@runtime_checkable
class AssigningMetric(Protocol):
    """Optional: find the best-matching units without the whole distance matrix."""

    def assign(self, X: FloatArray, prototypes: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return (bmu, distance), each of shape (m,); equal distances go to the lowest index."""


@runtime_checkable
class ScalarMetric(Protocol):
    """Optional: the distance of one pair as a numba-compiled function, a static class attribute."""

    @staticmethod
    def scalar(x: FloatArray, w: FloatArray, params: FloatArray) -> float:
        """Return the distance of sample x (D,) to prototype w (D,)."""


@runtime_checkable
class PreparingMetric(Protocol):
    """Optional: a metric whose map lives in a transformed space."""

    def prepare(self, X: FloatArray) -> FloatArray:
        """Return the prepared samples, shape (n, D); never changes X."""


@runtime_checkable
class CentringMetric(Protocol):
    """Optional: a metric whose prototype is not the plain mean."""

    def centre(self, means: FloatArray) -> FloatArray:
        """Return the prototypes (K, D) for kernel-weighted means (K, D); never changes them."""


@runtime_checkable
class FittingMetric(Protocol):
    """Optional: a metric that learns from the training data, such as a covariance."""

    def fit(self, X: FloatArray, weights: FloatArray | None = None) -> Mapping[str, NDArray[Any]]:
        """Return what it learns from raw samples (n, D), weighted by weights (n,), as named arrays;
        never changes them.
        """

    def prepare(self, X: FloatArray, state: Mapping[str, NDArray[Any]]) -> FloatArray:
        """Return the prepared samples, shape (n, D), with what ``fit`` returned; read-only."""


@runtime_checkable
class FormingMetric(Protocol):
    """Optional: a metric whose prototypes are made of samples, not of their mean."""

    def form(
        self,
        X: FloatArray,
        units: IntArray,
        influence: FloatArray,
        weights: FloatArray | None,
        so_far: FloatArray,
    ) -> FloatArray:
        """Return the prototypes of one epoch, float64 (K, D); never changes an argument.

        Parameters
        ----------
        X : float array (n, D)
            The prepared training samples, the same array in every epoch.
        units : int64 array (n,)
            The group of each sample: its neuron, or a pair of neurons that it trains.
        influence : float64 array (G, K)
            What a sample of each group weighs in each neuron, none negative.
        weights : float64 array (n,) or None
            What each sample weighs besides; None: all 1.
        so_far : float64 array (K, D)
            The prototypes until now, to be kept for a neuron that nothing reaches.
        """
