"""Calls of third parties' components: read-only arguments, and one check of what they return.

Checks of the kinds of learning, for the table `CHECKS`, and of attributes.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from itertools import islice
from numbers import Real
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from scipy.sparse import issparse

from dbgsom_core.errors import UnfitError
from dbgsom_core.interfaces.checks import CHECKS, refuse, returns
from dbgsom_core.som_map.grid import Grid
from dbgsom_core.som_map.som_map import Death, Insert, SomMap

MOST_NEURONS = 1 << 16  # hops are counted in two bytes
# Births for each neuron and link from which on a list counts as endless: a map has at most one free
# cell beside it for each link of each neuron, and those born may have neurons beside them, too.
_BIRTHS_EACH = 16
_FILE_PART = re.compile(r"[a-z0-9_]{1,60}")
_ROUNDING = 1e-9  # relative: what a distance may lie below 0, and differ when asked again
_TRIED = 12  # samples between which a metric's promises are tried before a fit: 144 distances
_WINNER = 1e-100, 1e100  # weights of a winner whose products with samples float64 can sum
_FLOATS = np.dtype(np.float32), np.dtype(np.float64)


def call(component: Any, name: str, method: Callable[..., Any], given: tuple[Any, ...]) -> Any:
    """Call a method of a component with read-only arguments; return its checked answer."""
    answer = method(*read_only(given))
    check = CHECKS.get(component.KIND, {}).get(name)
    return answer if check is None else check(component, answer, *given)


def read_only(value: Any) -> Any:
    """Return a read-only view of an argument, so that a component cannot change it.

    Maps, samples and records are copies with such views, estimators deep copies.
    """
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if type(value) in (tuple, list):
        return type(value)(read_only(item) for item in value)
    if type(value) is dict:
        return {key: read_only(item) for key, item in value.items()}
    if hasattr(value, "get_params"):
        return copy.deepcopy(value)
    names: Iterable[str]  # of attributes that are replaced
    if isinstance(value, SomMap):
        names = "prototypes", "children"
    elif issparse(value):
        names = "data", "indices", "indptr"
    elif hasattr(type(value), "sample_weights"):  # `Samples`, whose module is slow to import
        names = "X", "weights"
    elif is_dataclass(value) and not isinstance(value, type):
        names = vars(value)
    else:
        return value
    copied = object.__new__(type(value))  # its constructor would check and copy arrays
    vars(copied).update(vars(value))
    for name in names:
        vars(copied)[name] = read_only(getattr(value, name))
    return copied


# ------------------------------------------------------------------------ generic checks


def shaped(answer: Any, shape: tuple[int, ...], what: str, kinds: str = "fiub") -> NDArray[Any]:
    """Return an answer as an array of this shape, of one of these ``kinds`` (numpy's letters)."""
    array: NDArray[Any] = np.asarray(answer)
    if array.shape != shape or array.dtype.kind not in kinds:
        refuse(answer, f"{what} of shape {shape}" if shape else what)
    return array


def numbers(
    answer: Any,
    shape: tuple[int, ...],
    what: str,
    least: float = -np.inf,
    most: float = np.inf,
    kinds: str = "fiub",
) -> NDArray[Any]:
    """Return an answer as an array of finite numbers from ``least`` to ``most``."""
    array = shaped(answer, shape, what, kinds)
    if not array.size:
        return array
    low, high = array.min(), array.max()  # nan where one is nan, which fits no bound
    is_within = least <= low and high <= most
    if is_within and np.isfinite(low) and np.isfinite(high):
        return array
    expected = "finite numbers"
    if least > -np.inf:
        expected += f" of at least {least:g}"
    if most < np.inf:
        expected += f", at most {most:g}"
    raise UnfitError(f"returned {what} from {low:g} to {high:g}; expected {expected}")


def distances(answer: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return distances of this shape: finite and, but for rounding, not negative."""
    array = shaped(answer, shape, "float distances", "f")
    scale = max(1.0, float(array.max(initial=0.0)))
    return numbers(array, shape, "distances", -_ROUNDING * scale)


def shares(answer: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return probabilities of this shape, whose rows sum to 1."""
    array = numbers(answer, shape, "probabilities", least=0)
    numbers(array.sum(axis=1), shape[:1], "sums of probabilities", 1 - 1e-6, 1 + 1e-6)
    return array


def _check_repeats(answer: Any, again: Any) -> None:
    """Raise UnfitError where a method answers otherwise when it is asked again."""
    if not np.allclose(answer, again, rtol=_ROUNDING, atol=0.0):
        raise UnfitError(
            f"returned {answer} and, asked again for this alone, {again}; expected the same, "
            "without chance and whatever else is asked"
        )


# ------------------------------------------------------------------------------- metrics


def _pairwise(metric: Any, answer: Any, X: Any, prototypes: Any, *state: Any) -> NDArray[Any]:
    return distances(answer, (X.shape[0], len(prototypes)))


def _assigned(
    metric: Any, answer: Any, X: Any, prototypes: NDArray[Any], *state: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        refuse(answer, "(bmu, distance)")
    shape, last = X.shape[:1], len(prototypes) - 1
    units = numbers(answer[0], shape, "rows of prototypes", 0, last, kinds="iu")
    return units, distances(answer[1], shape)


def _prepared(metric: Any, answer: Any, X: Any, *state: Any) -> Any:
    is_sparse = issparse(answer)
    array: Any = answer if is_sparse else np.asarray(answer)
    is_alike = is_sparse == issparse(X) and array.dtype in _FLOATS and array.ndim == 2
    if not is_alike or array.shape[0] != X.shape[0]:
        refuse(answer, f"float32 or float64 with {X.shape[0]} rows, one for each sample")
    if is_sparse:
        numbers(array.data, array.data.shape, "samples")
        return array
    values = array
    if np.isnan(X).any():
        values = values[~np.isnan(values)]  # what is missing may stay missing
    numbers(values, values.shape, "samples")
    # A view of what it got would be read-only, and the core's loops are compiled for others.
    return array if array.flags.writeable else array.copy()


def _centred(metric: Any, answer: Any, means: NDArray[Any]) -> NDArray[Any]:
    if np.isnan(means).any():  # of features that no sample has
        return shaped(answer, means.shape, "prototypes")
    return numbers(answer, means.shape, "prototypes")


def _formed(metric: Any, answer: Any, *given: Any) -> NDArray[Any]:
    return numbers(answer, given[-1].shape, "prototypes")


def _params(metric: Any, answer: Any) -> NDArray[Any]:
    return numbers(answer, (len(answer),), "params")


def _learned(component: Any, answer: Any, *given: Any) -> Any:
    if not isinstance(answer, Mapping):
        refuse(answer, "a mapping of names to numpy arrays")
    for name, value in answer.items():
        if not isinstance(value, np.ndarray):
            refuse(value, f"a mapping of names to numpy arrays, as '{name}' as well")
        what = f"arrays of text or finite numbers, such as '{name}'"
        if value.dtype.kind not in "US":  # which a model file holds
            numbers(value, value.shape, what)
    return answer


def check_promises(metric: Any, X: NDArray[Any]) -> None:
    """Raise UnfitError where distances between prepared samples X (n, D) are not what it claims.

    Nor may a metric answer otherwise when it is asked again. A fit does not ask it both ways, nor
    at all where it says that it is Euclidean.
    """
    rows = np.linspace(0, len(X) - 1, min(len(X), _TRIED)).astype(np.intp)
    samples = X[rows]
    samples = samples[np.isfinite(samples).all(axis=1)]
    prototypes = samples.astype(np.float64)
    answers = _between(metric, samples, prototypes)
    if not np.array_equal(answers, _between(metric, samples, prototypes)):
        raise UnfitError("answers otherwise when it is asked again; expected no chance")
    promises = {}
    if "symmetry" in metric.claims:
        promises["claims symmetry"] = answers.T
    if "identity" in metric.claims:
        is_diagonal = np.eye(len(answers), dtype=bool)
        promises["claims identity"] = np.where(is_diagonal, 0.0, answers)
    if metric.is_euclidean:
        squares = np.square(prototypes[:, None] - prototypes)
        promises["geometry is 'euclidean'"] = np.sqrt(squares.sum(axis=2))
    rounding = 1e-6 * (1.0 + answers.max(initial=0.0))  # a float32 metric is no other
    for promise, expected in promises.items():
        for i, j in np.argwhere(abs(answers - expected) > rounding):
            raise UnfitError(
                f"returned the distance {answers[i, j]:g} between two samples; expected "
                f"{expected[i, j]:g}, as its {promise}"
            )


def _between(metric: Any, X: NDArray[Any], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances (m, K), as the level that the engine calls gives them."""
    if metric.level == "pairwise":
        return np.asarray(metric.pairwise(X, others), np.float64)
    distances = np.empty((len(X), len(others)))
    for column, other in enumerate(others):
        if metric.level == "assign":
            distances[:, column] = metric.assign(X, other[None])[1]
            continue
        params = np.asarray(metric.scalar_params(), np.float64)
        # Uncompiled, as its loop over pairs may never be compiled.
        distances[:, column] = [metric.scalar.py_func(x, other, params) for x in others]
    return distances


# ------------------------------------------------------------ kernels, schedules, growth


def _weights(kernel: Any, answer: Any, hops: NDArray[Any], width: float) -> NDArray[Any]:
    weights = numbers(answer, hops.shape[:1], "weights")
    if not weights.size:
        return weights
    if weights.min() < 0 and not kernel.inhibits:
        raise UnfitError(
            f"returned the weight {weights.min():g}; expected at least 0, or say inhibits = True"
        )
    numbers(weights[0], (), "a winner's weight, at no hops,", *_WINNER)
    must_fall = not (kernel.rises or kernel.inhibits or kernel.reads == "offsets")
    rises = np.diff(weights).max(initial=0.0) > 1e-12 * weights[0]  # more than rounding
    if must_fall and rises and (np.diff(hops) > 0).all():
        raise UnfitError("returned weights that grow with the hops; expected rises = True")
    _check_repeats(weights[[0, -1]], kernel.weight(hops[[0, -1]], width))
    return weights


def _width(schedule: Any, answer: Any, *given: float) -> float:
    width = numbers(answer, (), "a width in hops", _WINNER[0])
    _check_repeats(width, schedule.width(*given))
    return float(width)


def _start_shape(growth: Any, answer: Any) -> tuple[int, int] | None:
    if answer is None:
        return None
    shape = numbers(answer, (2,), "rows and columns", 1, MOST_NEURONS, kinds="iu")
    rows, columns = shape.tolist()
    if rows * columns > MOST_NEURONS:
        raise UnfitError(f"returned {answer!r}; expected at most {MOST_NEURONS} neurons")
    return rows, columns


def _births(growth: Any, answer: Any, som_map: Any, state: Any) -> list[Any]:
    """Return the changes and births of an epoch; `SomMap` refuses those that cannot be."""
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)):
        refuse(answer, "a sequence of births")
    most = _BIRTHS_EACH * len(som_map) * som_map.grid.degree
    births = list(islice(answer, most + 1))  # an iterator may have no end
    if len(births) > most:
        raise UnfitError(f"returned more than {most} births; expected fewer of {len(som_map)}")
    return [_birth_or_change(birth, som_map.prototypes.shape[1:]) for birth in births]


def _birth_or_change(birth: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(birth, (Death, Insert)):
        numbers(birth, (len(birth),), "integer rows", kinds="iu")
        return birth
    try:
        cell, prototype, parent = birth
    except (TypeError, ValueError):
        refuse(birth, "births ((x, y), prototype, parent)")
    places = numbers((*cell, parent), (3,), "integers x, y and parent", kinds="iu")
    x, y, parent = places.tolist()
    return (x, y), numbers(prototype, shape, "prototypes"), parent


def _wants_children(growth: Any, answer: Any, som_map: Any, state: Any) -> NDArray[np.bool_]:
    return numbers(answer, (len(som_map),), "answers").astype(bool)


def _first_prototypes(initialisation: Any, answer: Any, start: Any) -> NDArray[Any]:
    return numbers(answer, (len(start), start.n_features), "prototypes")


def _lattice(component: Any, answer: Any, *given: Any) -> Grid:
    if not isinstance(answer, Grid):
        refuse(answer, "a Grid")
    answer.check()
    return answer


# ---------------------------------------------------------------------------- labellers


def _live(evidence: Any) -> NDArray[np.bool_]:
    counts = evidence.class_counts
    hits = evidence.hits if counts is None else counts.sum(axis=1)
    return np.asarray(hits > 0)


def _labels(labeller: Any, answer: Any, evidence: Any) -> NDArray[Any]:
    labels: NDArray[Any] = np.asarray(answer)
    columns: tuple[int, ...] = ()
    if evidence.classes is None:
        columns = labels.shape[1:2]  # training knows them
    shaped(labels, (len(evidence.som_map), *columns), "labels", kinds="fiubSUO")
    live_labels = labels[_live(evidence)]
    if labels.dtype.kind == "f":
        numbers(live_labels, live_labels.shape, "labels of neurons with samples")
    if labels.dtype == object:
        for label in live_labels.flat:
            if not isinstance(label, (str, Real)):
                refuse(label, "labels that are text or numbers")
    return labels


def _probabilities(labeller: Any, answer: Any, evidence: Any) -> NDArray[Any] | None:
    if evidence.classes is None:
        return None if answer is None else np.asarray(answer)
    shape = len(evidence.som_map), len(evidence.classes)
    array = shaped(answer, shape, "probabilities")
    live = array[_live(evidence)]
    shares(live, live.shape)
    return array


def _answers(labeller: Any, answer: Any, around: Any, state: Any) -> NDArray[Any]:
    n = len(around.distances)
    if around.n_classes:
        return shares(answer, (n, around.n_classes))
    array: NDArray[Any] = np.asarray(answer)
    return numbers(array, (n, *array.shape[1:2]), "answers")  # training knows its columns


# ---------------------------------------------------------------- single values and objects


def _number(component: Any, answer: Any, *given: Any) -> float:
    numbers(answer, (), "one number", kinds="fiu")
    return answer if isinstance(answer, float) else float(answer)  # a NotedValue stays one


def _figure(figure: Any, answer: Any, view: Any) -> Any:
    parts = {"figure": answer}
    if isinstance(answer, Mapping) and answer:
        parts = dict(answer)
    for name, part in parts.items():
        page = getattr(part, "text", None)  # of an `Html`
        if not (hasattr(part, "savefig") or isinstance(page, str)):
            refuse(part, "a matplotlib figure, Html, or a mapping of names to them")
        if not (isinstance(name, str) and _FILE_PART.fullmatch(name)):
            raise UnfitError(f"returned a part {name!r}; expected names of a-z, 0-9 and _")
    return answer


def _samples(engine: Any, answer: Any, X: Any, metric: Any, weights: Any = None) -> Any:
    if getattr(answer, "n", None) != X.shape[0]:
        refuse(answer, f"{X.shape[0]} Samples")
    return answer


_flag = returns(bool, np.bool_)
CHECKS.update(
    metric={
        "pairwise": _pairwise,
        "assign": _assigned,
        "prepare": _prepared,
        "centre": _centred,
        "fit": _learned,
        "form": _formed,
        "scalar_params": _params,
    },
    kernel={"weight": _weights},
    growth={
        "grow": _births,
        "growing_threshold": _number,
        "start_shape": _start_shape,
        "wants_children": _wants_children,
    },
    initialisation={"prototypes": _first_prototypes},
    grid={"lattice": _lattice, "in_rows": _lattice},
    schedule={"width": _width},
    stopping={
        "stop": _flag,
        "watch": _number,
        "is_best": _flag,
    },
    labeller={
        "label": _labels,
        "probabilities": _probabilities,
        "learn": _learned,
        "answer": _answers,
    },
    measure={"compute": _number},
    figure={"draw": _figure},
    engine={"over": _samples},
)


# ------------------------------------------------------------------------ attributes

_Share = Annotated[float, Field(ge=0, lt=1)]


class _Attributes(BaseModel):
    model_config = ConfigDict(strict=True)


class _MetricAttributes(_Attributes):
    geometry: Literal["euclidean"] | None
    forms_below: NonNegativeFloat
    claims: tuple[Literal["identity", "symmetry", "triangle"], ...]
    handles: tuple[Literal["missing", "sparse"], ...]


class _KernelAttributes(_Attributes):
    rises: bool
    inhibits: bool
    reads: Literal["hops", "plane", "offsets"]
    decay: Literal["linear", "exponential"]
    start: Literal["auto"] | PositiveFloat | None
    end: PositiveFloat | None


class _GrowthAttributes(_Attributes):
    wrap: bool
    removes: bool
    may_disconnect: bool
    grows_in_line: bool
    in_rows: bool
    needs_classes: bool
    max_neurons: Literal["auto"] | PositiveInt | None
    growing_epochs: PositiveInt | None
    spreading_factor: float | None
    fine_tuning: _Share
    link_pull: NonNegativeFloat


class _StoppingAttributes(_Attributes):
    needs_target: bool
    validation: _Share


class _LabellerAttributes(_Attributes):
    columns: tuple[Annotated[str, Field(min_length=1)], ...] | None


ATTRIBUTES: Mapping[str, type[_Attributes]] = {
    "metric": _MetricAttributes,
    "kernel": _KernelAttributes,
    "growth": _GrowthAttributes,
    "stopping": _StoppingAttributes,
    "labeller": _LabellerAttributes,
}


def check_attributes(component: Any) -> None:
    """Raise UnfitError for an attribute of a component that is not what it may be."""
    expected = ATTRIBUTES.get(component.KIND, _Attributes)
    values = {name: getattr(component, name) for name in expected.model_fields}
    try:
        expected.model_validate(values)
    except ValidationError as error:
        details = error.errors()
        name = details[0]["loc"][0]
        reasons = [detail["msg"] for detail in details if detail["loc"][0] == name]
        value = values[str(name)]
        raise UnfitError(f"has {name} = {value!r}: {', or '.join(reasons)}") from None
    if component.KIND == "metric":
        _check_metric(component)
    if component.KIND == "labeller" and component.columns is not None:
        names, point = component.columns, component.point_column
        if len(set(names)) < len(names):
            raise UnfitError(f"has columns = {names!r}: expected a tuple of different names")
        if point not in range(len(names)):
            raise UnfitError(f"has point_column = {point!r}: expected a number below {len(names)}")


def _check_metric(metric: Any) -> None:
    # The engine compiles a loop over pairs where one of the other levels is missing.
    is_looped = metric.assign is None or metric.pairwise is None
    if metric.scalar is not None and is_looped and not hasattr(metric.scalar, "py_func"):
        raise UnfitError(
            "has a scalar that is no compiled function: write scalar = "
            "staticmethod(numba.njit(f)) in its class"
        )
    if metric.fit is not None and metric.prepare is None and not metric.uses_state:
        raise UnfitError("lacks prepare, which gets what its fit returns")
    if metric.uses_state and (metric.fit is None or metric.level == "scalar"):
        raise UnfitError("has uses_state without fit, or without assign or pairwise")
