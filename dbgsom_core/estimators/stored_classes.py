"""The classes whose objects model files hold: ours, scikit-learn's that are listed, plugins'.

A transformer of scikit-learn is listed where it does arithmetic with its attributes and nothing
else: no function, estimator, path, connection or number of processes is among them. Pipelines are
none: `prepare` is a sequence of steps already.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any, TypeVar

import numpy as np

from dbgsom_core.estimators.held_values import StoredTypes
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.tables import GROUP_MARKS, PARTS, Columns, is_unit

Model = TypeVar("Model")

_COLUMNS = {
    "n_features_in_": "size[D]",
    "feature_names_in_?": "text[D]",
    "_sklearn_output_config?": "mapping of 'default'",
}


def _columns_fit(one: Columns) -> bool:
    names, units = set(one.names), one.units or {}
    parts = {("ordinal",), PARTS, PARTS[:-1]}
    return (
        0 < len(names) == len(one.names)
        and one.thousands in ("", *GROUP_MARKS)
        and one.thousands != one.decimal
        and one.categories.keys() | one.dates.keys() <= names
        and not one.categories.keys() & one.dates.keys()
        and all(0 < len(set(values)) == len(values) for values in one.categories.values())
        and all(map(is_unit, units.values()))
        and not units.keys() & {*one.categories, *one.dates}
        and all(len(date) > 1 and date[1:] in parts for date in one.dates.values())
        and {*one.annotations} <= {*one.dropped}
    )


OURS = {
    "columns": StoredType(
        "dbgsom_core.tables.columns:Columns",
        {
            "names ids dropped na_values": "tuple of text",
            "categories dates": "mapping of tuple of text",
            "target": "text | none",
            "decimal": "'.' | ','",
            "dtype": "'float64' | 'float32'",
            "thousands?": "text",
            "units?": "mapping of text | none",
            "annotations?": "tuple of text",
        },
        fits=_columns_fit,
    ),
    "summaries": StoredType(
        "dbgsom_core.training.summaries:Summaries",
        {
            "X": "float[M, D]",
            "weights": "finite[M]",
            "scatter": "number[M]",
            "labels": "any[M] | none",
            "labelled": "flag[M] | none",
            "units?": "int[M] | none",
        },
        fits=lambda one: bool((one.weights > 0).all()),
    ),
    "novelty": StoredType(
        "dbgsom_core.training.novelty:Novelty",
        {"means deviations": "number[L]", "offset": "number"},
        fits=lambda one: not (one.deviations <= 0).any(),
    ),
    "calibration": StoredType(
        "dbgsom_core.training.novelty:Calibration",
        {"scores weights": "number[Q]", "offset": "number"},
        fits=lambda one: bool((one.weights >= 0).all() and (np.diff(one.scores) >= 0).all()),
    ),
    "range_scale": StoredType(
        "dbgsom_core.estimators.scaling:RangeScaler",
        {"minimum_ range_": "float[D]", **_COLUMNS},
    ),
}
# What files of format 1, written by 0.1.0, call them.
FORMERLY = {
    "dbgsom_core.memory:Memory": "summaries",
    "dbgsom_core.novelty:Novelty": "novelty",
    "dbgsom_core.prepare:RangeScaler": "range_scale",
}


def _encoder_fits(one: Any) -> bool:
    # These lengths say where the columns of the answer begin, which nobody checks later.
    lengths = [len(categories) for categories in one.categories_]
    given = vars(one).get("_n_features_outs", lengths)
    return len(lengths) == one.n_features_in_ and given == lengths and not one._infrequent_enabled


def _polynomial_fits(one: Any) -> bool:
    low, high, columns = one._min_degree, one._max_degree, one.n_features_in_
    if not 0 <= low <= high <= 99:
        return False
    more = 0 if one.interaction_only else 1
    count = [comb(columns + more * (degree - 1), degree) for degree in range(1, high + 1)]
    full, given = sum(count), sum(count[max(low, 1) - 1 :])
    told = one._n_out_full - one.include_bias, one.n_output_features_ - one.include_bias
    return full <= 10**6 and told == (full, given)


def _indicator_fits(one: Any) -> bool:
    return bool(((one.features_ >= 0) & (one.features_ < one.n_features_in_)).all())


def _imputer_fits(one: Any) -> bool:
    return bool(one.add_indicator == (one.indicator_ is not None))


_COPY = {"copy": "flag"}
_COMPONENTS = {"components_": "float[C, D]", "n_components": "scalar"}
_SEED = {"random_state": "integer | none"}
_SPECTRUM = {"explained_variance_ explained_variance_ratio_ singular_values_": "float[C]"}
_ENCODER = {
    "categories": "'auto' | list of any[*]",
    "categories_": "list of any[*]",
    "dtype": "dtype",
    "min_frequency max_categories": "none",
    "_infrequent_enabled": "flag",
}
_IMPUTER = {
    **_COPY,
    "missing_values": "number | none",
    "add_indicator keep_empty_features": "flag",
    "indicator_": "none | sklearn.impute:MissingIndicator",
}
_SCIKIT_LEARN: dict[str, dict[str, str]] = {
    "preprocessing:StandardScaler": {
        **_COPY,
        "with_mean with_std": "flag",
        "n_samples_seen_": "number | number[D]",
        "mean_ var_ scale_": "float[D] | none",
    },
    "preprocessing:MinMaxScaler": {
        **_COPY,
        "feature_range": "pair",
        "clip": "flag",
        "n_samples_seen_": "number",
        "scale_ min_ data_min_ data_max_ data_range_": "float[D]",
    },
    "preprocessing:MaxAbsScaler": {
        **_COPY,
        "clip?": "flag",
        "n_samples_seen_": "number",
        "max_abs_ scale_": "float[D]",
    },
    "preprocessing:RobustScaler": {
        **_COPY,
        "with_centering with_scaling unit_variance": "flag",
        "quantile_range": "pair",
        "center_? scale_?": "float[D] | none",
    },
    "preprocessing:Normalizer": {**_COPY, "norm": "'l1' | 'l2' | 'max'"},
    "preprocessing:Binarizer": {**_COPY, "threshold": "number"},
    "preprocessing:QuantileTransformer": {
        **_COPY,
        **_SEED,
        "n_quantiles": "integer",
        "output_distribution": "'uniform' | 'normal'",
        "ignore_implicit_zeros": "flag",
        "subsample": "integer | none",
        "n_quantiles_": "size[Q]",
        "references_": "float[Q]",
        "quantiles_": "float[Q, D]",
    },
    "preprocessing:PowerTransformer": {
        **_COPY,
        "method": "'yeo-johnson' | 'box-cox'",
        "standardize": "flag",
        "lambdas_": "float[D]",
        "_scaler?": "sklearn.preprocessing:StandardScaler",
    },
    "preprocessing:PolynomialFeatures": {
        "degree": "integer | pair",
        "interaction_only include_bias": "flag",
        "order": "'C' | 'F'",
        "_min_degree _max_degree n_output_features_ _n_out_full": "integer",
    },
    "preprocessing:OrdinalEncoder": {
        **_ENCODER,
        "handle_unknown": "'error' | 'use_encoded_value'",
        "unknown_value": "number | none",
        "encoded_missing_value": "number",
        "_missing_indices": "mapping of none",
    },
    "preprocessing:OneHotEncoder": {
        **_ENCODER,
        "sparse_output": "flag",
        "handle_unknown": "'error' | 'ignore' | 'warn'",
        "feature_name_combiner": "'concat'",
        "drop drop_idx_ _drop_idx_after_grouping": "none",
        "_n_features_outs": "list of integer",
    },
    "impute:SimpleImputer": {
        **_IMPUTER,
        "strategy": "'mean' | 'median' | 'most_frequent' | 'constant'",
        "fill_value": "number | none",
        "_fit_dtype _fill_dtype?": "dtype",
        "statistics_": "number[D]",
    },
    "impute:MissingIndicator": {
        "missing_values": "number | none",
        "features": "'missing-only' | 'all'",
        "sparse": "'auto' | flag",
        "error_on_new _precomputed": "flag",
        "_n_features": "size[D]",
        "features_": "int[*]",
    },
    "impute:KNNImputer": {
        **_IMPUTER,
        "n_neighbors": "integer",
        "weights": "'uniform' | 'distance'",
        "metric": "'nan_euclidean'",
        "_fit_X": "number[N, D]",
        "_mask_fit_X": "flag[N, D]",
        "_valid_mask": "flag[D]",
    },
    "decomposition:PCA": {
        **_COPY,
        **_COMPONENTS,
        **_SEED,
        **_SPECTRUM,
        "whiten": "flag",
        "svd_solver power_iteration_normalizer _fit_svd_solver": "text",
        "tol noise_variance_": "number",
        "iterated_power": "integer | text",
        "n_oversamples n_samples_": "integer",
        "mean_": "float[D]",
        "n_components_": "size[C]",
    },
    "decomposition:IncrementalPCA": {
        **_COPY,
        **_COMPONENTS,
        **_SPECTRUM,
        "whiten": "flag",
        "batch_size": "integer | none",
        "batch_size_": "integer",
        "n_samples_seen_ noise_variance_": "number",
        "mean_ var_": "float[D]",
        "n_components_": "size[C]",
    },
    "decomposition:TruncatedSVD": {
        **_COMPONENTS,
        **_SEED,
        **_SPECTRUM,
        "algorithm power_iteration_normalizer": "text",
        "n_iter n_oversamples": "integer",
        "tol": "number",
    },
    "decomposition:FactorAnalysis": {
        **_COPY,
        **_COMPONENTS,
        **_SEED,
        "tol": "number",
        "max_iter iterated_power n_iter_": "integer",
        "svd_method": "text",
        "rotation": "text | none",
        "noise_variance_init": "float[D] | none",
        "mean_ noise_variance_": "float[D]",
        "loglike_": "list of number",
    },
    "decomposition:FastICA": {
        **_COMPONENTS,
        **_SEED,
        "algorithm fun whiten_solver": "text",
        "whiten": "text | flag",
        "fun_args": "none",
        "w_init": "float[C, C] | none",
        "tol": "number",
        "max_iter n_iter_": "integer",
        "mean_?": "float[D]",
        "whitening_?": "float[C, D]",
        "mixing_": "float[D, C]",
        "_unmixing": "float[C, C]",
    },
    "feature_selection:VarianceThreshold": {"threshold": "number", "variances_": "float[D]"},
    "random_projection:GaussianRandomProjection": {
        **_COMPONENTS,
        **_SEED,
        "eps": "number",
        "compute_inverse_components": "flag",
        "inverse_components_?": "float[D, C]",
        "n_components_ _n_features_out": "size[C]",
    },
    "kernel_approximation:RBFSampler": {
        **_SEED,
        "n_components _n_features_out": "size[C]",
        "gamma": "number | text",
        "_gamma?": "number",
        "random_weights_": "float[D, C]",
        "random_offset_": "float[C]",
    },
}
_FITS = {
    "preprocessing:PowerTransformer": lambda one: not one.standardize or hasattr(one, "_scaler"),
    "preprocessing:PolynomialFeatures": _polynomial_fits,
    "preprocessing:OrdinalEncoder": _encoder_fits,
    "preprocessing:OneHotEncoder": _encoder_fits,
    "impute:SimpleImputer": _imputer_fits,
    "impute:MissingIndicator": _indicator_fits,
    "impute:KNNImputer": _imputer_fits,
    "decomposition:IncrementalPCA": lambda one: one.batch_size_ > 0,
    "decomposition:FastICA": lambda one: not one.whiten or hasattr(one, "mean_"),
}
SCIKIT_LEARN = {
    f"sklearn.{where}": StoredType(
        f"sklearn.{where}",
        {**_COLUMNS, **attributes},
        fits=_FITS.get(where),
    )
    for where, attributes in _SCIKIT_LEARN.items()
}


def stored_types() -> StoredTypes:
    """Return every type that model files may hold, by the name that it has there."""
    return StoredTypes({**get_registry().stored_types, **SCIKIT_LEARN, **OURS})


ESTIMATORS: dict[str, type[Any]] = {}  # by the names that files know


def stored_as(name: str) -> Callable[[type[Model]], type[Model]]:
    """Let files hold estimators of the decorated class, under a name that stays."""

    def noted(cls: type[Model]) -> type[Model]:
        ESTIMATORS[name] = cls
        return cls

    return noted
