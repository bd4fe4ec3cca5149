"""Calls of third parties' components: read-only arguments, and validation of what they return.

A check takes the component, its answer and what the method was given; it returns the answer as the
core wants it, or raises `UnfitError`. Shape, type, finiteness and range are looked at, once.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.errors import UnfitError, described
from dbgsom_core.interfaces.metrics import CLAIMS, HANDLES
from dbgsom_core.som_map.grid import Grid
from dbgsom_core.som_map.som_map import Death, Insert, SomMap

MOST_NEURONS = 1 << 16  # hops are counted in two bytes
_ENDLESS = 16  # births for each neuron and link from which on a list counts as endless
_PART = re.compile(r"[a-z0-9_]{1,60}")  # of the name of a file
_ROUNDING = 1e-9  # beside the largest distance: what may lie below 0
_FEW = 12  # samples between which a metric's promises are tried before a fit
_FEW_PAIRWISE = 4  # the same of a metric that is called for each pair
_LEAST_WEIGHT, _LARGEST_WEIGHT = 1e-100, 1e100  # of a winner, for sums of what it wins
_RECORDS = ("dbgsom_core.interfaces", "dbgsom_core.estimators", "dbgsom_core.experiments")
_SAMPLES = ("n", "X", "metric", "moments", "check_varies", "search", "assign", "nearest_units")


def call(component: Any, name: str, method: Callable[..., Any], given: tuple[Any, ...]) -> Any:
    """Call a method of a component with read-only arguments; return its checked answer."""
    answer = method(*(read_only(one) for one in given))
    check = CHECKS.get((component.KIND, name))
    if check is not None:
        return check(component, answer, *given)
    check = component.answer_checks.get(name)
    return answer if check is None else check(answer)


def read_only(value: Any) -> Any:
    """Return a read-only form of an argument, so that a component cannot change it.

    Arrays are read-only views; maps, samples and records are copies with such views; estimators
    are deep copies.
    """
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if type(value) in (tuple, list):
        return type(value)(read_only(part) for part in value)
    if type(value) is dict:
        return {key: read_only(part) for key, part in value.items()}
    if isinstance(value, SomMap):
        children = {row: read_only(child) for row, child in value.children.items()}
        return _copy_with(value, prototypes=read_only(value.prototypes), children=children)
    if hasattr(value, "sample_weights"):  # Samples, whose module is slow to import
        return _copy_with(value, X=read_only(value.X), weights=read_only(value.weights))
    if issparse(value):
        arrays = {name: read_only(getattr(value, name)) for name in ("data", "indices", "indptr")}
        return _copy_with(value, **arrays)
    if hasattr(value, "get_params"):
        return copy.deepcopy(value)
    if type(value).__module__.startswith(_RECORDS) and hasattr(value, "__dataclass_fields__"):
        return _copy_with(value, **{key: read_only(part) for key, part in vars(value).items()})
    return value


def _copy_with(value: Any, **parts: Any) -> Any:
    copied = object.__new__(type(value))
    vars(copied).update(vars(value) | parts)
    return copied


def _check_repeats(method: Callable[..., Any], answer: Any, *given: Any) -> None:
    """Raise UnfitError where a method answers otherwise when it is asked again.

    Of an array, such as hops, it is asked about the first and the last entry.
    """
    (first, *others), why = given, "chance"
    if np.ndim(first):
        answer, first, why = answer[[0, -1]], first[[0, -1]], "the other hop counts, or on chance"
    before, after = np.ravel(answer), np.ravel(method(first, *others))
    same = np.isclose(before, after, rtol=_ROUNDING, atol=0.0)
    if not same.all():
        worst = int(same.argmin())
        raise UnfitError(
            f"returned {before[worst]:g} and, asked again for this alone, {after[worst]:g}: it "
            f"depends on {why}"
        )


def _check(fits: Any, sentence: str) -> None:
    if not fits:
        raise UnfitError(sentence)


def numbers(answer: Any, shape: tuple[int, ...], what: str) -> NDArray[Any]:
    """Return an answer as an array of finite real numbers of this shape."""
    array: NDArray[Any] = np.asarray(answer)
    _check(array.shape == shape, f"returned {what} of shape {array.shape}, not {shape}")
    _check(array.dtype.kind in "fiub", f"returned {what} of {array.dtype}, not real numbers")
    # Of a short row the product is ten times as fast; where it overflows all are looked at.
    finite = array.dtype.kind != "f" or (array.ndim == 1 and math.isfinite(array.dot(array)))
    if not finite and not np.isfinite(array).all():
        raise UnfitError(f"returned {what} that are not finite")
    return array


def distances(answer: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return distances of this shape: finite and, but for rounding, not negative."""
    array = numbers(answer, shape, "distances")
    _check(array.dtype.kind == "f", f"returned distances of {array.dtype}, not float64")
    least = float(array.min()) if array.size else 0.0
    if least < 0 and least < -_ROUNDING * max(1.0, float(array.max())):
        raise UnfitError(f"returned a negative distance: {least:g}")
    return array


def shares(answer: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return probabilities of this shape: not negative, and rows sum to 1."""
    array = numbers(answer, shape, "probabilities")
    if array.size and array.min() < 0:
        raise UnfitError(f"returned a negative probability: {array.min():g}")
    sums = array.sum(axis=1)
    if array.size and np.abs(sums - 1.0).max() > 1e-6:
        raise UnfitError(
            f"returned probabilities that sum to {sums[np.abs(sums - 1.0).argmax()]:g}"
        )
    return array


def _pairwise(metric: Any, answer: Any, X: Any, prototypes: Any, *state: Any) -> NDArray[Any]:
    return distances(answer, (X.shape[0], len(prototypes)))


def _assigned(
    metric: Any, answer: Any, X: Any, prototypes: NDArray[Any], *state: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    is_pair = isinstance(answer, (tuple, list)) and len(answer) == 2
    _check(is_pair, f"must return (bmu, distance), not {described(answer)}")
    bmu: NDArray[Any] = np.asarray(answer[0])
    n, k = X.shape[0], len(prototypes)
    fits = bmu.shape == (n,) and bmu.dtype.kind in "iu"
    _check(fits, f"returned bmu: {bmu.dtype}, shape {bmu.shape}, not integers ({n},)")
    if n and not (int(bmu.min()) >= 0 and int(bmu.max()) < k):
        raise UnfitError(f"returned units from {bmu.min()} to {bmu.max()} of {k} prototypes")
    return bmu, distances(answer[1], (n,))


def _prepared(metric: Any, answer: Any, X: Any, *state: Any) -> Any:
    is_kept = issparse(X) == issparse(answer) and getattr(answer, "format", "csr") == "csr"
    _check(is_kept, f"made {described(answer)} of {described(X)}")
    array = answer if issparse(answer) else np.asarray(answer)
    fits = array.ndim == 2 and array.shape[0] == X.shape[0] and array.shape[1] > 0
    _check(fits, f"made shape {array.shape} of {X.shape}; rows stand for samples")
    fits = array.dtype in (np.dtype(np.float32), np.dtype(np.float64))
    _check(fits, f"made {array.dtype} of {X.dtype}; samples are float32 or float64")
    values, given = (one.data if issparse(one) else one for one in (array, X))
    fits = np.isfinite(values).all() or (not np.isinf(values).any() and np.isnan(given).any())
    _check(fits, "made values that are not finite of samples that are")
    # A view of what it got would be read-only, and the core's loops are compiled for others.
    return array if issparse(array) or array.flags.writeable else array.copy()


def _centred(metric: Any, answer: Any, means: NDArray[Any]) -> NDArray[Any]:
    array: NDArray[Any] = np.asarray(answer)
    gaps = np.isnan(means)  # of features that no sample has
    if gaps.any() and array.shape == means.shape and array.dtype.kind == "f":
        numbers(array[~np.isnan(array)], (int((~np.isnan(array)).sum()),), "prototypes")
        return array
    return numbers(array, means.shape, "prototypes")


def _learned(component: Any, answer: Any, *given: Any) -> Any:
    wanted = "must return a mapping of names to numpy arrays"
    _check(isinstance(answer, Mapping), f"{wanted}, not {described(answer)}")
    for name, value in answer.items():
        fits = isinstance(name, str) and isinstance(value, np.ndarray)
        _check(fits, f"{wanted}; {name!r} is {described(value)}")
        fits = value.dtype.kind in "fiubSU"
        _check(fits, f"returned '{name}' as {value.dtype}, which no model file can hold")
        if value.dtype.kind == "f":
            numbers(value, value.shape, f"values of '{name}'")
    return answer


def _weights(kernel: Any, answer: Any, hops: NDArray[Any], width: float) -> NDArray[Any]:
    weights, at = numbers(answer, hops.shape[:1], "weights"), f"at width {width:g}"
    if not weights.size:
        return weights
    if not kernel.inhibits and weights.min() < 0:
        raise UnfitError(
            f"returned a negative weight, {weights.min():g} {at}; a mean needs weights of at least "
            "0, or say inhibits = True"
        )
    winner = weights[0]
    _check(winner > 0, f"returned {winner:g} at no hops {at}: the winner learns nothing")
    if not _LEAST_WEIGHT < winner < _LARGEST_WEIGHT:
        raise UnfitError(
            f"returned {winner:g} at no hops {at}, which sums of weights cannot hold: let the "
            "winner weigh 1"
        )
    must_fall = not (kernel.rises or kernel.inhibits or kernel.reads == "offsets")
    if must_fall and len(hops) > 1 and (np.diff(hops) > 0).all():
        grows = np.diff(weights).max() > 1e-12 * winner
        _check(not grows, f"returned weights that grow with the hops {at}")
    _check_repeats(kernel.weight, weights, hops, width)
    return weights


def _start_shape(growth: Any, answer: Any) -> tuple[int, int] | None:
    if answer is None:
        return None
    try:
        rows, columns = answer
    except (TypeError, ValueError):
        raise UnfitError(f"must return (rows, columns), not {answer!r}") from None
    whole = isinstance(rows, Integral) and isinstance(columns, Integral)
    if not whole or rows < 1 or columns < 1 or rows * columns > MOST_NEURONS:
        raise UnfitError(
            f"returned {answer!r}; a map starts with 1 to {MOST_NEURONS} neurons in whole rows"
        )
    return int(rows), int(columns)


def _births(growth: Any, answer: Any, som_map: Any, state: Any) -> list[Any]:
    """Return the changes and births of an epoch; `SomMap` refuses those that cannot be."""
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)):
        raise UnfitError(f"must return a sequence of births, not {described(answer)}")
    most = _ENDLESS * len(som_map) * som_map.grid.degree
    wanted = list(islice(answer, most + 1))
    if len(wanted) > most:
        raise UnfitError(f"returned more than {most} births for {len(som_map)} neurons")
    return [_birth_or_change(one, som_map) for one in wanted]


def _birth_or_change(birth: Any, som_map: Any) -> Any:
    if isinstance(birth, (Death, Insert)):
        if not all(isinstance(number, Integral) for number in birth):
            raise UnfitError(f"returned {birth!r}: rows are integers")
        return birth
    try:
        (x, y), prototype, parent = birth
    except (TypeError, ValueError):
        raise UnfitError(
            f"returned {birth!r}, which is no birth (position, prototype, parent)"
        ) from None
    # An abstract class is slow to compare with.
    whole = type(x) is type(y) is type(parent) is int
    if not (whole or all(isinstance(part, Integral) for part in (x, y, parent))):
        raise UnfitError(
            f"returned a birth at {(x, y)!r} by {parent!r}: cells and rows are integers"
        )
    shape = som_map.prototypes.shape[1:]
    return (int(x), int(y)), numbers(prototype, shape, f"prototypes at {(x, y)}"), int(parent)


def _live(evidence: Any) -> NDArray[np.bool_]:
    counts = evidence.class_counts
    return np.asarray((evidence.hits if counts is None else counts.sum(axis=1)) > 0)


def _labels(labeller: Any, answer: Any, evidence: Any) -> NDArray[Any]:
    labels: NDArray[Any] = np.asarray(answer)
    shape = (len(evidence.som_map),)
    has_columns = labels.ndim == 2 and evidence.classes is None
    fits = (labels.shape[:1] if has_columns else labels.shape) == shape  # training knows them
    _check(fits, f"returned shape {labels.shape}, not {shape}")
    _check(labels.dtype.kind in "fiubUSO", f"returned labels of type {labels.dtype}")
    live = labels[_live(evidence)]
    fits = labels.dtype.kind != "f" or np.isfinite(live).all()
    _check(fits, "returned labels that are not finite, of neurons with samples")
    fits = labels.dtype.kind != "O" or all(isinstance(one, (str, Real)) for one in live.ravel())
    _check(fits, "returned labels that are neither text nor numbers")
    return labels


def _probabilities(labeller: Any, answer: Any, evidence: Any) -> NDArray[Any] | None:
    if evidence.classes is None:
        return None if answer is None else np.asarray(answer)
    array: NDArray[Any] = np.asarray(answer)
    shape = (len(evidence.som_map), len(evidence.classes))
    _check(array.shape == shape, f"returned shape {array.shape}, not {shape}")
    live = _live(evidence)
    shares(array[live], (int(live.sum()), shape[1]))
    return array


def _answers(labeller: Any, answer: Any, around: Any, state: Any) -> NDArray[Any]:
    m, array = len(around.distances), np.asarray(answer)
    if around.n_classes:
        return shares(array, (m, around.n_classes))
    shape = (m, *array.shape[1:]) if array.ndim == 2 else (m,)  # training knows its columns
    return numbers(array, shape, "answers")


def _number(component: Any, answer: Any, *given: Any) -> float:
    is_number = not np.ndim(answer) and np.asarray(answer).dtype.kind in "fiu"
    _check(is_number, f"must return one number, not {described(answer)}")
    _check(math.isfinite(answer), f"returned {answer}, not a finite number")
    noted = isinstance(answer, float) and isinstance(getattr(answer, "note", None), str)
    return answer if noted else float(answer)  # a NotedValue


def _width(schedule: Any, answer: Any, *given: float) -> float:
    width = _number(schedule, answer)
    _check(width > 0, f"returned {width:g}; a width is a finite number of hops above 0")
    _check_repeats(schedule.width, width, *given)
    return width


def _must_be(what: str, test: Callable[[Any], bool]) -> Callable[..., Any]:
    def check(component: Any, answer: Any, *given: Any) -> Any:
        _check(test(answer), f"must return {what}, not {described(answer)}")
        return answer

    return check


def _figure(figure: Any, answer: Any, view: Any) -> Any:
    if isinstance(answer, Mapping) and answer:
        for part, one in answer.items():
            if not (isinstance(part, str) and _PART.fullmatch(part)) or isinstance(one, Mapping):
                raise UnfitError(
                    f"returned a part {part!r}: parts are figures, and their names lower-case "
                    "letters, digits and _"
                )
            _figure(figure, one, view)
        return answer
    page = getattr(answer, "text", None) if hasattr(answer, "__dataclass_fields__") else None
    if not hasattr(answer, "savefig") and not isinstance(page, str):
        raise UnfitError(f"must return a matplotlib figure or Html, not {described(answer)}")
    return answer


def _lattice(component: Any, answer: Any, *given: Any) -> Any:
    _check(isinstance(answer, Grid), f"must return a Grid, not {described(answer)}")
    answer.check()
    return answer


def _samples(engine: Any, answer: Any, X: Any, metric: Any, weights: Any = None) -> Any:
    lacking = [name for name in _SAMPLES if not hasattr(answer, name)]
    names = ", ".join(lacking[:3])
    _check(not lacking, f"must return Samples; {described(answer)} lacks {names}")
    _check(answer.n == X.shape[0], f"returned {answer.n} samples of {X.shape[0]}")
    return answer


_flag = _must_be("True or False", lambda answer: isinstance(answer, (bool, np.bool_)))


def check_promises(metric: Any, X: NDArray[Any]) -> None:
    """Raise UnfitError where distances between prepared samples X (n, D) are not what it claims.

    Nor may a metric answer otherwise when it is asked again. A fit does not ask it both ways, nor
    at all where it says that it is Euclidean.
    """
    few = _FEW_PAIRWISE if metric.level == "scalar" else _FEW
    spaced = X[np.linspace(0, len(X) - 1, min(len(X), few)).astype(np.intp)]
    some = spaced[np.isfinite(spaced).all(axis=1)]
    others = some.astype(np.float64)
    found, again = (_between(metric, some, others) for _ in range(2))
    if not np.array_equal(found, again):
        raise UnfitError("answers otherwise when it is asked again: it may not depend on chance")
    # Relative; a float32 metric is no other.
    rounding = 1e-6 * (1.0 + found.max(initial=0.0))
    if "symmetry" in metric.claims:
        _check_near(found, found.T, rounding, "claims symmetry", " the other way round")
    if "identity" in metric.claims:
        own = np.diagonal(found)
        _check_near(own, np.zeros_like(own), rounding, "claims identity", ", being the same")
    if metric.is_euclidean:
        expected = np.sqrt(np.square(others[:, None] - others).sum(axis=2))
        near = 1e-6 * (1.0 + expected)
        _check_near(found, expected, near, "geometry is not 'euclidean'", "; leave geometry out")


def _check_near(
    found: NDArray[Any], expected: NDArray[Any], rounding: Any, claim: str, end: str
) -> None:
    off = np.abs(found - expected)
    if not (off <= rounding).all():
        worst = np.unravel_index(np.argmax(off), off.shape)
        raise UnfitError(
            f"{claim}: it calls two samples {found[worst]:g} apart that are {expected[worst]:g} "
            f"apart{end}"
        )


def _between(metric: Any, X: NDArray[Any], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances (m, K), as the level that the engine calls gives them."""
    if metric.level == "pairwise":
        return np.asarray(metric.pairwise(X, others), np.float64)
    found = np.zeros((len(X), len(others)))
    if metric.level == "assign":
        for column, other in enumerate(others):
            found[:, column] = metric.assign(X, other[None])[1]
        return found
    params = np.asarray(metric.scalar_params(), np.float64)
    plain = metric.scalar.py_func  # the loops around it may never be compiled
    for row, column in np.ndindex(found.shape):
        found[row, column] = plain(X[row].astype(np.float64), others[column], params)
    return found


def _formed(metric: Any, answer: Any, *given: Any) -> NDArray[Any]:
    return numbers(answer, given[-1].shape, "prototypes")


def _params(metric: Any, answer: Any) -> NDArray[Any]:
    return numbers(answer, (len(answer),), "params")


def _wants_children(growth: Any, answer: Any, som_map: Any, state: Any) -> NDArray[np.bool_]:
    return numbers(answer, (len(som_map),), "answers").astype(bool)


def _first_prototypes(initialisation: Any, answer: Any, start: Any) -> NDArray[Any]:
    return numbers(answer, (len(start), start.n_features), "prototypes")


CHECKS: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("metric", "pairwise"): _pairwise,
    ("metric", "assign"): _assigned,
    ("metric", "prepare"): _prepared,
    ("metric", "centre"): _centred,
    ("metric", "fit"): _learned,
    ("metric", "form"): _formed,
    ("metric", "scalar_params"): _params,
    ("kernel", "weight"): _weights,
    ("growth", "grow"): _births,
    ("growth", "growing_threshold"): _number,
    ("growth", "start_shape"): _start_shape,
    ("growth", "wants_children"): _wants_children,
    ("initialisation", "prototypes"): _first_prototypes,
    ("grid", "lattice"): _lattice,
    ("grid", "in_rows"): _lattice,
    ("schedule", "width"): _width,
    ("stopping", "stop"): _flag,
    ("stopping", "watch"): _number,
    ("stopping", "is_best"): _flag,
    ("labeller", "label"): _labels,
    ("labeller", "probabilities"): _probabilities,
    ("labeller", "learn"): _learned,
    ("labeller", "answer"): _answers,
    ("measure", "compute"): _number,
    ("figure", "draw"): _figure,
    ("engine", "over"): _samples,
}


# ------------------------------------------------------------------------ attributes


def check_attributes(component: Any) -> None:
    """Raise UnfitError for an attribute of a component that is not what it may be."""
    for name, (what, fits) in ATTRIBUTES.get(component.KIND, {}).items():
        value = getattr(component, name)
        if not fits(value):
            raise UnfitError(f"has {name} = {value!r}; it is {what}")
    if component.KIND == "metric":
        _check_metric(component)
    if component.KIND == "labeller":
        _check_labeller(component)


def _check_metric(metric: Any) -> None:
    looped = metric.assign is None or metric.pairwise is None
    if metric.scalar is not None and looped and not hasattr(metric.scalar, "py_func"):
        raise UnfitError(
            "has a scalar that is no compiled function: write scalar = "
            "staticmethod(numba.njit(f)) in its class"
        )
    if metric.fit is not None and metric.prepare is None and not metric.uses_state:
        raise UnfitError("lacks prepare, which gets what its fit returns")
    if metric.uses_state and (metric.fit is None or metric.level == "scalar"):
        raise UnfitError("has uses_state without fit, or without assign or pairwise")


def _check_labeller(labeller: Any) -> None:
    names = labeller.columns
    if names is None:
        return
    texts = isinstance(names, tuple) and all(isinstance(one, str) and one for one in names)
    fits = texts and len(names) == len(set(names)) > 0
    _check(fits, f"has columns = {names!r}; it is a tuple of different names")
    point = labeller.point_column
    fits = point in range(len(names))
    _check(fits, f"has point_column = {point!r}; it is a number below {len(names)}")


def _is_number(value: Any, least: float = -math.inf, below: float = math.inf) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and least <= value < below


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and _is_number(value, 1))


def _is_width(value: Any) -> bool:
    return value is None or _is_number(value, 1e-300)


def _one_of(*known: Any) -> Attribute:
    shown = ", ".join(repr(one) for one in known[:-1])
    return f"{shown} or {known[-1]!r}", lambda value: value in known


def _some_of(*known: str) -> Attribute:
    return f"some of {known}", lambda some: set(some) <= set(known)


Attribute = tuple[str, Callable[[Any], bool]]
_FLAG: Attribute = ("True or False", lambda value: isinstance(value, bool))
_COUNT: Attribute = ("None or a whole number above 0", _is_count)
_SHARE: Attribute = ("a number in [0, 1)", lambda value: _is_number(value, 0, 1))

# What attributes may be, by kind and name.
ATTRIBUTES: Mapping[str, Mapping[str, Attribute]] = {
    "metric": {
        "geometry": _one_of("euclidean", None),
        "forms_below": ("a number from 0", lambda value: value == math.inf or _is_number(value, 0)),
        "claims": _some_of(*CLAIMS),
        "handles": _some_of(*HANDLES),
    },
    "kernel": {
        "rises": _FLAG,
        "inhibits": _FLAG,
        "reads": _one_of("hops", "plane", "offsets"),
        "decay": _one_of("linear", "exponential"),
        "start": ("a number of hops above 0", lambda value: value == "auto" or _is_width(value)),
        "end": ("a number of hops above 0", _is_width),
    },
    "growth": {
        "wrap": _FLAG,
        "removes": _FLAG,
        "may_disconnect": _FLAG,
        "grows_in_line": _FLAG,
        "in_rows": _FLAG,
        "needs_classes": _FLAG,
        "max_neurons": (
            "'auto', None or a whole number above 0",
            lambda value: value == "auto" or _is_count(value),
        ),
        "growing_epochs": _COUNT,
        "spreading_factor": (
            "a number or None",
            lambda value: value is None or _is_number(value),
        ),
        "fine_tuning": _SHARE,
        "link_pull": ("a number of at least 0", lambda value: _is_number(value, 0)),
    },
    "stopping": {"needs_target": _FLAG, "validation": _SHARE},
}
