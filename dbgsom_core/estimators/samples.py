"""Validation of samples and weights, held-out samples, and use of prepare steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    validate_data,
)

from dbgsom_core.engine.moments import first_non_finite
from dbgsom_core.engine.partitions import Partitions, take
from dbgsom_core.engine.results import Flags, Floats
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.training.targets import Target

Mask = Flags  # (n,)
LEAST_SAMPLES = 4  # as many as the first neurons of a map of squares
MOST_SPREAD = 100  # times that a column may spread farther than another without a warning
_LOOKED_AT, _MOST_CELLS = 256, 1 << 18  # rows and values by which scales are known: at most 2 MB
_WHITE = 255  # the largest grey level
_ROUNDING = 1e-12  # relative: a column that varies by less is constant
_DTYPES = [np.float64, np.float32]


class Rows(NamedTuple):
    """Checked raw samples, with their targets and weights where there are any."""

    X: Any  # (n, D)
    target: Target | None
    weights: Floats | None

    @property
    def n(self) -> int:
        return int(self.X.shape[0])

    def where(self, mask: Mask | None) -> Rows:
        """Return the rows that a mask (n,) marks; None: all."""
        if mask is None:
            return self
        target = None if self.target is None else self.target.subset(mask)
        weights = None if self.weights is None else self.weights[mask]
        return Rows(take(self.X, mask), target, weights)

    def observed(self, mask: Mask | None) -> Rows | None:
        """Return the marked rows of positive weight; None where there are none."""
        if mask is None:
            return None
        if self.weights is not None:
            mask = mask & (self.weights > 0)
        return self.where(mask) if mask.any() else None

    def trained(self, *held_out: Mask | None) -> Mask | None:
        """Return the mask of rows of positive weight that no mask holds out; None: all."""
        masks = [~mask for mask in held_out if mask is not None]
        if self.weights is not None and not self.weights.all():
            masks.append(self.weights > 0)
        return np.logical_and.reduce(masks) if masks else None


def check_samples(
    estimator: Any, X: Any, handles: Sequence[str], engine: Any, *, reset: bool, least: int = 1
) -> Any:
    """Return X (n, D) as float32 or float64: a C-ordered array, or CSR with sorted columns.

    Or `Partitions`, where the engine opens them. ``handles`` names the metric's capabilities,
    ``"missing"`` values and ``"sparse"`` samples.
    """
    partitions = guarded(engine).opened(X)
    if partitions is not None:
        return _check_partitions(estimator, X, partitions, reset=reset, least=least)
    if type(X) is np.ndarray and X.dtype in _DTYPES and X.ndim == 2 and len(X) >= least:
        plain = np.ascontiguousarray(X)
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.add.reduce(plain, axis=None)  # finite only if every entry is
        if X.shape[1] and math.isfinite(total):  # nothing else to check
            _check_feature_names(estimator, plain, reset=reset)
            _check_n_features(estimator, plain, reset=reset)
            return plain
    if np.ma.is_masked(X):  # scikit-learn would ignore the mask
        raise ValueError("X holds masked values: X.filled(numpy.nan) makes them missing ones")
    if hasattr(X, "to_pandas"):  # not every scikit-learn reads the names of polars and pyarrow
        X = X.to_pandas()
    may_miss, given = "missing" in handles, X
    try:
        X = validate_data(
            estimator,
            X,
            reset=reset,
            dtype=_wanted_dtypes(X),
            order="C",
            accept_sparse="csr" if "sparse" in handles else False,
            ensure_all_finite="allow-nan" if may_miss else True,
            ensure_min_samples=least,
        )
    except ValueError as error:
        if cure := _cure(estimator, given):
            raise ValueError(f"{str(error).rstrip()}\n{cure}") from error
        raise
    if issparse(X):
        if np.isnan(X.data).any():
            raise ValueError("sparse X holds nan: missing values are taken in dense X only")
        if not X.has_canonical_format:
            X = X.copy()  # do not change the caller's matrix
            X.sum_duplicates()
        return X
    if may_miss:
        empty = np.flatnonzero(np.isnan(X).all(axis=1))
        if len(empty):
            raise ValueError(
                f"all values are missing in row {empty[0]} of X and in {len(empty) - 1} more: "
                "leave such samples out"
            )
    return np.asarray(X)


def _cure(estimator: Any, X: Any) -> str:
    """Return what helps with a data frame that scikit-learn refuses; empty: nothing is known."""
    names, known = list(getattr(X, "columns", ())), getattr(estimator, "feature_names_in_", None)
    if known is not None and names != list(known) and {*known} <= {*names}:
        return "X[model.feature_names_in_] has the columns of the training in their order"
    kinds = [getattr(dtype, "kind", "O") for dtype in getattr(X, "dtypes", ())]
    for name, kind in zip(names, kinds, strict=False):
        if kind not in "biufc":
            text = (
                f"column '{name}' holds no numbers: dbgsom_core.run(frame) makes some of text and"
            )
            return f"{text} categories, as scikit-learn's ColumnTransformer does"
    return ""


def _wanted_dtypes(X: Any) -> Any:
    """Return the dtypes that samples may have: nullable columns of float32 stay float32."""
    dtypes = {getattr(dtype, "numpy_dtype", dtype) for dtype in getattr(X, "dtypes", ())}
    return np.float32 if dtypes == {np.dtype(np.float32)} else _DTYPES


def _check_partitions(
    estimator: Any, X: Any, partitions: Partitions, *, reset: bool, least: int
) -> Partitions:
    if len(partitions) < least:
        raise ValueError(f"X has {len(partitions)} samples, while a minimum of {least} is required")
    bad = first_non_finite(partitions)
    if bad is not None:
        raise ValueError(
            f"X holds a value that is missing or infinite, in row {bad[0]}, column {bad[1]} (from "
            "0), which data that stays where it is must not have: fill or leave out such rows"
        )
    named = partitions
    if hasattr(X, "columns"):  # scikit-learn reads names from pandas' data frames alone
        named = X.columns.to_frame().T
    validate_data(estimator, named, reset=reset, skip_check_array=True)
    return partitions


def scales(X: NDArray[Any]) -> tuple[int, int] | None:
    """Return the widest and the narrowest column of X (n, D), where scales differ much, or None.

    The deviation of the one is compared with half the range of the other, in some rows, so that a
    rare 1 or a grey level is not of another unit. Columns have one unit if all values are of 0 to 1
    or whole numbers of 0 to 255, or most are zero, as counts of words.
    """
    step, most_rows = max(1, len(X) // _LOOKED_AT), max(2, _MOST_CELLS // X.shape[1])
    rows = X[::step][:most_rows]
    low, high = np.fmin.reduce(rows, axis=0), np.fmax.reduce(rows, axis=0)
    least, most = np.nanmin(low), np.nanmax(high)
    if least >= 0 and most <= 1:
        return None
    if least >= 0 and most <= _WHITE:
        known = rows[~np.isnan(rows)]
        if (known % 1 == 0).all():
            return None
    if 2 * np.count_nonzero(rows == 0) > rows.size:
        return None
    half_range = (high - low) / 2
    varies = np.flatnonzero(half_range > _ROUNDING * np.fmax(abs(low), abs(high)))
    if not len(varies):
        return None
    with np.errstate(all="ignore"):
        deviations = np.nanstd(rows[:, varies], axis=0, dtype=np.float64)
    widest, narrowest = deviations.argmax(), half_range[varies].argmin()
    if not math.inf > deviations[widest] > MOST_SPREAD * half_range[varies[narrowest]]:
        return None
    return int(varies[widest]), int(varies[narrowest])


def check_weights(X: Any, sample_weight: Any, least: int) -> Floats | None:
    """Return the sample weights (n,) as float64, or None without weights."""
    weights = weights_of(X, sample_weight)
    n_positive = least if weights is None else np.count_nonzero(weights)
    if n_positive < least:
        raise ValueError(
            f"sample_weight leaves {n_positive} samples with a positive weight, "
            f"while a minimum of {least} is required"
        )
    return weights


def weights_of(X: Any, sample_weight: Any) -> Floats | None:
    if sample_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weights.any():  # newer versions of scikit-learn have said so
        raise ValueError("sample_weight needs at least one non-zero number")
    return np.asarray(weights)


def held_out(
    n: int, share: float | None, rules: Sequence[Any], least: int
) -> tuple[Mask | None, Mask | None]:
    """Return masks of held-out samples among n, for calibration and for stopping rules, or None.

    They are random with a fixed seed: a ``share`` of all, and the rules' share of the others. At
    least ``least`` samples are left for training.
    """
    free = np.ones(n, dtype=bool)
    calibration = _random_mask(free, share or 0.0, least, seed=0)
    if calibration is not None:
        free = ~calibration
    rules_share = max((guarded(rule).validation for rule in rules), default=0.0)
    return calibration, _random_mask(free, rules_share, least, seed=1)


def _random_mask(free: Mask, share: float, least: int, seed: int) -> Mask | None:
    """Return a mask (n,) of a share of the free samples, of which ``least`` are left."""
    n_free = int(np.count_nonzero(free))
    count = min(round(share * n_free), n_free - least)
    if count < 1:  # row numbers would take memory
        return None
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(free))
    mask = np.zeros(len(free), dtype=bool)
    mask[rows[:count]] = True
    return mask
