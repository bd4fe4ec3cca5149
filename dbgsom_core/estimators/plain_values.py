"""Convert objects to JSON values and arrays, and back: no pickle, nothing from the file is run.

Known are None, bool, int, float, str, lists, tuples and mappings of them, numpy arrays of numbers,
text or dates, and objects of the classes on an allow-list, by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import comb
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import did_you_mean
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.tables import is_unit

# Returns the array of a name, each once: a file cannot let one array stand for many.
Take = Callable[[str], NDArray[Any]]
Types = Mapping[str, StoredType]
Model = TypeVar("Model")

NO_OBJECTS: Types = {}
ESTIMATORS: dict[str, type[Any]] = {}  # by the names that files know
_DTYPE = re.compile(r"[<>|=]?[biuf]\d{1,2}")


class TransformerType(StoredType):
    """A transformer, of which attributes may be anything plain but a method's name.

    A row of samples shows when a model is loaded whether it works with them.
    """

    def mismatch(self, value: Any, types: Mapping[str, StoredType]) -> str:
        """Return why an object of the class cannot be held, as `StoredType.mismatch` does."""
        for name in vars(value):
            if callable(getattr(type(value), name, None)):
                return f".{name} is a method, which no model file holds"
        fits = self.fits is None or self.fits(value)
        return "" if fits else " has attributes that do not fit each other"


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
        fits=lambda it: (
            0 < len(set(it.names)) == len(it.names)
            and {*it.categories, *it.dates} <= {*it.names}
            and all(map(is_unit, (it.units or {}).values()))
        ),
    ),
    "summaries": StoredType(
        "dbgsom_core.training.groups:MicroClusters",
        {
            "X": "float[M, D]",
            "weights": "finite[M]",
            "scatter": "number[M]",
            "labels": "any[M] | none",
            "labelled": "flag[M] | none",
            "units?": "int[M] | none",
        },
        fits=lambda it: bool((it.weights > 0).all()),
    ),
    "novelty": StoredType(
        "dbgsom_core.training.novelty:Novelty",
        {"means deviations": "number[L]", "offset": "number"},
        fits=lambda it: not (it.deviations <= 0).any(),
    ),
    "calibration": StoredType(
        "dbgsom_core.training.novelty:Calibration",
        {"scores weights": "number[Q]", "offset": "number"},
        fits=lambda it: bool((it.weights >= 0).all() and (np.diff(it.scores) >= 0).all()),
    ),
    "range_scale": TransformerType("dbgsom_core.estimators.scaling:RangeScaler", {}),
}
# Names in files of format 1, written by 0.1.0.
FORMERLY = {
    "dbgsom_core.memory:Memory": "summaries",
    "dbgsom_core.novelty:Novelty": "novelty",
    "dbgsom_core.prepare:RangeScaler": "range_scale",
}


# Scikit-learn does not check how much memory these use, and where scipy's compiled loops write.


def _has_so_many_polynomials(step: Any) -> bool:
    low, high, columns = step._min_degree, step._max_degree, step.n_features_in_
    if not 0 <= low <= high <= 99:
        return False
    more = 0 if step.interaction_only else 1
    count = [comb(columns + more * (degree - 1), degree) for degree in range(1, high + 1)]
    full, output = sum(count), sum(count[max(low, 1) - 1 :])
    stored = step._n_out_full - step.include_bias, step.n_output_features_ - step.include_bias
    return full <= 10**6 and stored == (full, output)


def _encodes_within_its_columns(step: Any) -> bool:
    lengths = [len(categories) for categories in step.categories_]
    return (
        lengths == list(step._n_features_outs)
        and len(lengths) == step.n_features_in_
        and not step._infrequent_enabled
        and step.drop is step.drop_idx_ is step._drop_idx_after_grouping is None
        and all(
            categories.dtype.kind in "OUS"
            or np.array_equal(categories, np.unique(categories), equal_nan=True)
            for categories in step.categories_
        )
    )


_GUARDS: dict[str, Callable[[Any], bool]] = {
    "PolynomialFeatures": _has_so_many_polynomials,
    "OneHotEncoder": _encodes_within_its_columns,
    "FactorAnalysis": lambda step: len(step.components_) <= 4096,
}
# Transformers that do arithmetic with their attributes and nothing else: no function, estimator,
# path, connection or number of processes is among them.
_LISTED = {
    "preprocessing": (
        "StandardScaler MinMaxScaler MaxAbsScaler RobustScaler Normalizer Binarizer "
        "QuantileTransformer PowerTransformer PolynomialFeatures OrdinalEncoder OneHotEncoder"
    ),
    "impute": "SimpleImputer MissingIndicator KNNImputer",
    "decomposition": "PCA IncrementalPCA TruncatedSVD FactorAnalysis FastICA",
    "feature_selection": "VarianceThreshold",
    "random_projection": "GaussianRandomProjection",
    "kernel_approximation": "RBFSampler",
}


SCIKIT_LEARN = {
    (where := f"sklearn.{module}:{name}"): TransformerType(where, {}, fits=_GUARDS.get(name))
    for module, names in _LISTED.items()
    for name in names.split()
}


def stored_types() -> dict[str, StoredType]:
    """Return every type that model files may hold, by the name that it has there."""
    return {**get_registry().stored_types, **SCIKIT_LEARN, **OURS}


def storable(cls: type[Model]) -> type[Model]:
    """Let files hold estimators of the decorated class, under its name, which stays."""
    ESTIMATORS[cls.__name__] = cls
    return cls


class NotPlainError(TypeError):
    """A value has no plain form, or the plain form is of a value that files may not hold."""


def to_plain(
    value: Any,
    arrays: dict[str, NDArray[Any]],
    where: str = "state",
    types: Types = NO_OBJECTS,
) -> Any:
    """Return ``value`` as JSON data; arrays are put into ``arrays`` and referred to by name.

    ``types`` are those whose objects may be within it, ``where`` is its name in messages.
    `NotPlainError` names what has no plain form.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        key = f"a{len(arrays)}"
        if value.dtype.kind in "biufSUMm":
            arrays[key] = value
            return {"$array": key}
        if value.dtype != object or not all(isinstance(item, str) for item in value.ravel()):
            raise NotPlainError(f"{where} is an array of things that are no numbers, text or dates")
        arrays[key] = value.astype(str)
        return {"$objects": key}
    if isinstance(value, np.dtype):
        return {"$dtype": value.str}
    if isinstance(value, type) and issubclass(value, np.generic):
        return {"$dtype": np.dtype(value).str, "$type": True}
    if isinstance(value, np.generic):
        return to_plain(np.asarray(value), arrays, where, types) | {"$scalar": True}
    if isinstance(value, tuple):
        return {"$tuple": [to_plain(item, arrays, f"{where}[]", types) for item in value]}
    if isinstance(value, list):
        return [to_plain(item, arrays, f"{where}[]", types) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        inside = {k: to_plain(item, arrays, f"{where}.{k}", types) for k, item in value.items()}
        return {"$map": inside}
    cls = type(value)
    name = next((name for name, stored in types.items() if stored.means(cls)), None)
    if name is None:
        raise NotPlainError(
            f"{where} is a {cls.__module__}.{cls.__qualname__}, which is not on the list of what "
            "model files hold; use a listed class itself, prepare the data before, or list the "
            "class in a plugin's dbgsom_transformers"
        )
    problem = types[name].mismatch(value, types)
    if problem:
        raise NotPlainError(f"{where}{problem}")
    kind: dict[str, Any] = {"$object": name}
    if name not in SCIKIT_LEARN:
        kind = {"$state": name, "version": types[name].version}
    state = {key: to_plain(it, arrays, f"{where}.{key}", types) for key, it in vars(value).items()}
    return {**kind, "state": state}


def from_plain(
    value: Any,
    take: Take | Mapping[str, NDArray[Any]],
    types: Types = NO_OBJECTS,
    where: str = "state",
) -> Any:
    """Return what `to_plain` was given; `NotPlainError` where files may not hold it."""
    if isinstance(take, Mapping):
        take = take.__getitem__
    if isinstance(value, list):
        return [from_plain(item, take, types, where) for item in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        array = take(value["$array"])
        return array[()] if value.get("$scalar") else array
    if "$objects" in value:
        return take(value["$objects"]).astype(str).astype(object)
    if "$dtype" in value:
        if not _DTYPE.fullmatch(value["$dtype"]):
            raise NotPlainError(f"the file names a dtype that is none of numbers: {value}")
        dtype = np.dtype(value["$dtype"])
        return dtype.type if value.get("$type") else dtype
    if "$tuple" in value:
        return tuple(from_plain(item, take, types, where) for item in value["$tuple"])
    if "$map" in value:
        return {k: from_plain(it, take, types, f"{where}.{k}") for k, it in value["$map"].items()}
    name = _listed_name(value, types)
    attributes = {
        key: from_plain(item, take, types, f"{where}.{key}") for key, item in value["state"].items()
    }
    made: Any = object.__new__(types[name].load())
    vars(made).update(attributes)
    problem = types[name].mismatch(made, types)
    if problem:
        raise NotPlainError(f"the file holds a '{name}' that is wrong: {where}{problem}")
    return made


def _listed_name(value: Mapping[str, Any], types: Types) -> str:
    """Return the name, on the allow-list, of the class that a plain object names."""
    if "$state" in value:
        name, version = value["$state"], value["version"]
        stored = types.get(name) if name not in SCIKIT_LEARN else None
        if stored is not None and version > stored.version:
            raise NotPlainError(
                f"the file holds '{name}' of version {version}, which is newer than what is "
                "installed here; upgrade what offers it"
            )
    else:
        name = value["$object"]
        # The package that offers the class: files of format 1 name the module within it.
        module, _, attribute = name.partition(":")
        name = FORMERLY.get(name, f"{module.partition('._')[0]}:{attribute}")
        stored = types.get(name) if name in SCIKIT_LEARN or name in OURS else None
    if stored is None:
        raise NotPlainError(
            f"the file holds a '{name}', which is not on the list of what model files hold"
            f"{did_you_mean(name, types)}; know where the file is from before you add what it names"
        )
    return str(name)
