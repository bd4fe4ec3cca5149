"""What components return, checked before the core takes it in: shape, type, finiteness, range.

Each check takes the answer and then what the method was given; it returns the answer as the core
wants it, or raises `UnfitError`. Its cost is of the order of the answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.errors import UnfitError, described
from dbgsom_core.som_map.changes import CHANGES, Move, changed_map
from dbgsom_core.som_map.grid import Grid

MOST_NEURONS = 1 << 16  # hops are counted in two bytes
_ENDLESS = 16  # births for each neuron and link from which on a generator counts as endless
_PART = re.compile(r"[a-z0-9_]{1,60}")  # of the name of a file
_ROUNDING = 1e-9  # beside the largest distance: what may lie below 0


def numbers(answer: Any, shape: tuple[int, ...], what: str, where: Any = None) -> NDArray[Any]:
    """Return an answer as an array of real numbers of this shape, all of them finite."""
    array: NDArray[Any] = np.asarray(answer)
    kind = array.dtype.kind
    if array.shape == shape and (kind in "iub" or (kind == "f" and _all_finite(array))):
        return array
    what = what if where is None else f"{what} {where}"
    if array.shape != shape:
        raise UnfitError(f"returned {what} of shape {array.shape}, not {shape}")
    if kind not in "fiub":
        raise UnfitError(f"returned {what} of {array.dtype}, not real numbers")
    raise UnfitError(f"returned {what} that are not finite")


def _all_finite(array: NDArray[Any]) -> bool:
    # One number tells of a short row in a tenth of the time; where it overflows all are looked at.
    if array.ndim == 1 and math.isfinite(array.dot(array)):
        return True
    return bool(np.isfinite(array).all())


def distances(answer: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return distances of this shape: finite and, but for rounding, not negative."""
    array = numbers(answer, shape, "distances")
    if array.size:
        least = float(array.min())
        if least < 0 and least < -_ROUNDING * max(1.0, float(array.max())):
            raise UnfitError(f"returned a negative distance: {least:g}")
    return array


def _pairwise(answer: Any, X: Any, prototypes: NDArray[Any], state: Any = None) -> NDArray[Any]:
    return distances(answer, (X.shape[0], len(prototypes)))


def _assigned(
    answer: Any, X: Any, prototypes: NDArray[Any], state: Any = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise UnfitError(f"must return (bmu, distance), not {described(answer)}")
    bmu: NDArray[Any] = np.asarray(answer[0])
    n, k = X.shape[0], len(prototypes)
    if bmu.shape != (n,) or bmu.dtype.kind not in "iu":
        raise UnfitError(f"returned bmu: {bmu.dtype}, shape {bmu.shape}, not integers ({n},)")
    if n and not (int(bmu.min()) >= 0 and int(bmu.max()) < k):
        raise UnfitError(f"returned units from {bmu.min()} to {bmu.max()} of {k} prototypes")
    return bmu, distances(answer[1], (n,))


def _prepared(answer: Any, X: Any, state: Any = None) -> Any:
    if issparse(X) != issparse(answer) or (issparse(answer) and answer.format != "csr"):
        raise UnfitError(f"made {described(answer)} of {described(X)}")
    array = answer if issparse(answer) else np.asarray(answer)
    if array.ndim != 2 or array.shape[0] != X.shape[0] or array.shape[1] == 0:
        raise UnfitError(f"made shape {array.shape} of {X.shape}; rows stand for samples")
    if array.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise UnfitError(f"made {array.dtype} of {X.dtype}; samples are float32 or float64")
    values = array.data if issparse(array) else array
    if not np.isfinite(values).all():
        given = X.data if issparse(X) else X
        if np.isinf(values).any() or not np.isnan(given).any():
            raise UnfitError("made values that are not finite of samples that are")
    return array


def _centred(answer: Any, means: NDArray[Any]) -> NDArray[Any]:
    array: NDArray[Any] = np.asarray(answer)
    if array.dtype.kind == "f" and np.isnan(means).any():  # of features that nobody has
        if array.shape != means.shape or np.isinf(array).any():
            raise UnfitError(f"made shape {array.shape} of means {means.shape}, or infinite ones")
        return array
    return numbers(array, means.shape, "prototypes")


def _learned(answer: Any, *given: Any) -> Any:
    if not isinstance(answer, Mapping):
        raise UnfitError(f"must return a mapping of names to numpy arrays, not {described(answer)}")
    for name, value in answer.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise UnfitError(
                f"must return a mapping of names to numpy arrays; {name!r} is {described(value)}"
            )
        if value.dtype.kind not in "fiubSU":
            raise UnfitError(f"returned '{name}' as {value.dtype}, which no model file can hold")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UnfitError(f"returned '{name}' with values that are not finite")
    return answer


def _formed(answer: Any, X: Any, units: Any, influence: Any, weights: Any, so_far: Any) -> Any:
    return numbers(answer, so_far.shape, "prototypes")


def _scalar_params(answer: Any) -> NDArray[Any]:
    return numbers(answer, (len(answer),), "params")


def _weights(answer: Any, hops: NDArray[Any], width: float) -> NDArray[Any]:
    weights = numbers(answer, hops.shape[:1], "weights")
    if weights.size and weights.min() < 0:
        told = f"{weights.min():g} at width {width:g}; a mean needs weights of at least 0"
        raise UnfitError(f"returned a negative weight, {told}, or say inhibits = True")
    return _heard(weights, width)


def _signed_weights(answer: Any, hops: NDArray[Any], width: float) -> NDArray[Any]:
    return _heard(numbers(answer, hops.shape[:1], "weights"), width)


def _heard(weights: NDArray[Any], width: float) -> NDArray[Any]:
    if weights.size and not weights[0] > 0:
        told = f"{weights[0]:g} at no hops at width {width:g}"
        raise UnfitError(f"returned {told}: the winner learns nothing")
    return weights


def _threshold(answer: Any, summary: Any) -> float:
    value = _number(answer)
    if not math.isfinite(value):
        raise UnfitError(f"returned {value}; a strategy without a threshold leaves the method out")
    return value


def _start_shape(answer: Any) -> tuple[int, int]:
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


def most_births(som_map: Any) -> int:
    """Return the births of one epoch from which on a strategy counts as endless."""
    return _ENDLESS * len(som_map) * int(som_map.grid.degree)


def births(answer: Any, som_map: Any, state: Any) -> list[Any]:
    """Return the changes and births of an epoch, one birth more than there is room for at most.

    Where nothing limits the map the room is that of `most_births`.
    """
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)):
        raise UnfitError(f"must return a sequence of births, not {described(answer)}")
    room = most_births(som_map) if state.room is None else min(state.room, MOST_NEURONS)
    changes: list[Any] = []
    found: list[Any] = []
    for one in answer:
        (changes if isinstance(one, CHANGES) else found).append(one)
        if len(found) > room + len(changes) or len(changes) > _ENDLESS * len(som_map):
            break
    room += len(changes)
    parents: Any = None
    if changes:
        som_map, parents = _changed(changes, som_map)
    born: set[tuple[int, int]] = set()
    return [
        *changes,
        *(_birth(one, som_map, born, parents) for one in found[:room]),
        *found[room:],
    ]


def _changed(changes: list[Any], som_map: Any) -> tuple[Any, dict[int, int]]:
    # The map that changes make, and the rows that its neurons had before.
    try:
        for one in changes:
            whole = [*one[:1], *(one.position if isinstance(one, Move) else one[1:])]
            if not all(isinstance(part, Integral) for part in whole):
                raise UnfitError(f"returned {one!r}: cells and rows are integers")
        changed, rows, _ = changed_map(som_map, changes)
    except (TypeError, ValueError) as error:
        raise UnfitError(f"returned what cannot be: {error}") from error
    return changed, {row: new for new, row in enumerate(rows.tolist())}


def _birth(
    one: Any, som_map: Any, born: set[tuple[int, int]], rows: Mapping[int, int] | None
) -> tuple[Any, Any, int]:
    # ``rows`` are those of the map by what they were before, where they are other ones.
    try:
        (x, y), prototype, parent = one
    except (TypeError, ValueError):
        raise UnfitError(
            f"returned {one!r}, which is no birth (position, prototype, parent)"
        ) from None
    whole = type(x) is type(y) is type(parent) is int  # an abstract class is slow to ask
    if not (whole or all(isinstance(part, Integral) for part in (x, y, parent))):
        raise UnfitError(
            f"returned a birth at {(x, y)!r} by {parent!r}: cells and rows are integers"
        )
    cell = (int(x), int(y))
    if not 0 <= int(parent) < len(som_map) if rows is None else int(parent) not in rows:
        raise UnfitError(f"names parent {parent} for {cell}, and the map has {len(som_map)}")
    if cell in born or som_map.neuron_at(cell) is not None:
        raise UnfitError(f"wants a birth in {cell}, which is taken")
    for other in som_map.grid.beside(cell):
        if other in born or som_map.neuron_at(other) is not None:
            break
    else:
        raise UnfitError(f"wants a birth in {cell}, beside which no neuron is")
    born.add(cell)
    shape = som_map.prototypes.shape[1:]
    return cell, numbers(prototype, shape, "prototypes at", cell), int(parent)


def _children(answer: Any, som_map: Any, state: Any) -> NDArray[np.bool_]:
    return numbers(answer, (len(som_map),), "answers").astype(bool)


def _labels(answer: Any, evidence: Any) -> NDArray[Any]:
    labels: NDArray[Any] = np.asarray(answer)
    shape = (len(evidence.som_map), *np.shape(evidence.y)[1:])
    several = labels.ndim == 2 and evidence.classes is None and len(shape) == 1
    if (labels.shape[:1] if several else labels.shape) != shape:  # training knows its columns
        raise UnfitError(f"returned shape {labels.shape}, not {shape}")
    heard = labels[_telling(evidence)]
    if labels.dtype.kind == "f" and not np.isfinite(heard).all():
        raise UnfitError("returned labels that are not finite, of neurons with samples")
    if labels.dtype.kind == "O" and not all(isinstance(one, (str, Real)) for one in heard.ravel()):
        raise UnfitError("returned labels that are neither text nor numbers")
    if labels.dtype.kind not in "fiubUSO":
        raise UnfitError(f"returned labels of type {labels.dtype}")
    return labels


def _shares(answer: Any, evidence: Any) -> NDArray[Any] | None:
    if evidence.classes is None:
        return None if answer is None else np.asarray(answer)
    shape = (len(evidence.som_map), len(evidence.classes))
    shares: NDArray[Any] = np.asarray(answer)
    if shares.shape != shape:
        raise UnfitError(f"returned shape {shares.shape}, not {shape}")
    telling = _telling(evidence)
    heard = numbers(shares[telling], (int(telling.sum()), shape[1]), "probabilities")
    if heard.size and heard.min() < 0:
        raise UnfitError(f"returned a negative probability: {heard.min():g}")
    off = np.abs(heard.sum(axis=1) - 1.0)
    if heard.size and off.max() > 1e-6:
        raise UnfitError(f"returned probabilities that sum to {heard.sum(axis=1)[off.argmax()]:g}")
    return shares


def _answers(answer: Any, around: Any, state: Any) -> NDArray[Any]:
    m, n_classes = len(around.distances), around.n_classes
    array: NDArray[Any] = np.asarray(answer)
    several = not n_classes and array.ndim == 2  # training knows its columns
    shape = (m, n_classes) if n_classes else (m, *array.shape[1:]) if several else (m,)
    array = numbers(array, shape, "answers")
    if n_classes and m:
        if array.min() < 0:
            raise UnfitError(f"returned a negative probability: {array.min():g}")
        off = np.abs(array.sum(axis=1) - 1.0)
        if off.max() > 1e-6:
            told = array.sum(axis=1)[off.argmax()]
            raise UnfitError(f"returned probabilities that sum to {told:g}")
    return array


def _telling(evidence: Any) -> NDArray[np.bool_]:
    counts = evidence.class_counts
    return np.asarray((evidence.hits if counts is None else counts.sum(axis=1)) > 0)


def _data(answer: Any) -> Any:
    from dbgsom_core.interfaces.datasets import check_data

    return check_data(answer)


def _left(answer: Any) -> Any:
    from dbgsom_core.interfaces.datasets import check_data

    return None if answer is None else check_data(answer, in_memory=False)


def _number(answer: Any, *given: Any) -> float:
    kind = np.asarray(answer).dtype.kind
    if np.ndim(answer) or kind not in "fiu":
        raise UnfitError(f"must return one number, not {described(answer)}")
    return float(answer)


def _value(answer: Any, evaluation: Any) -> float:
    value = _number(answer)
    if not math.isfinite(value):
        raise UnfitError(f"returned {value}")
    noted = isinstance(answer, float) and isinstance(getattr(answer, "note", None), str)
    return answer if noted else value  # a NotedValue


def _drawn(answer: Any, view: Any) -> Any:
    if isinstance(answer, Mapping):
        for part, one in answer.items():
            if not (isinstance(part, str) and _PART.fullmatch(part)) or isinstance(one, Mapping):
                raise UnfitError(
                    f"returned a part {part!r}: parts are figures, and their names lower-case "
                    "letters, digits and _"
                )
            _drawn(one, view)
        if answer:
            return answer
    page = getattr(answer, "text", None) if hasattr(answer, "__dataclass_fields__") else None
    if not hasattr(answer, "savefig") and not isinstance(page, str):
        raise UnfitError(f"must return a matplotlib figure or Html, not {described(answer)}")
    return answer


def _observer(answer: Any) -> Any:
    if answer is None or isinstance(answer, type):
        raise UnfitError(f"must return an object with lifecycle hooks, not {answer!r}")
    return answer


def _address(answer: Any) -> str:
    if not isinstance(answer, str):
        raise UnfitError(f"must return text, not {described(answer)}")
    return answer


def _page(answer: Any, *given: Any) -> Any:
    if not isinstance(getattr(answer, "address", None), str) or not hasattr(answer, "command"):
        raise UnfitError(f"must return a Page, not {described(answer)}")
    return answer


_OF_SAMPLES = ("n", "X", "metric", "moments", "check_varies", "search", "assign", "nearest_units")


def _started(answer: Any, start: Any) -> NDArray[Any]:
    return numbers(answer, (len(start), start.n_features), "prototypes")


def _lattice(answer: Any, rows: int, columns: int) -> Any:
    if not isinstance(answer, Grid):
        raise UnfitError(f"must return a Grid, not {described(answer)}")
    answer.check()
    return answer


def _width(answer: Any, *given: float) -> float:
    if not 0 < _number(answer) < math.inf:
        raise UnfitError(f"returned {answer:g}; a width is a finite number of hops above 0")
    return float(answer)


def _verdict(answer: Any, state: Any) -> bool:
    if not isinstance(answer, (bool, np.bool_)):
        raise UnfitError(f"must return True or False, not {described(answer)}")
    return bool(answer)


def _samples(answer: Any, X: Any, metric: Any, weights: Any = None) -> Any:
    lacking = [name for name in _OF_SAMPLES if not hasattr(answer, name)]
    if lacking:
        raise UnfitError(
            f"must return Samples; {described(answer)} lacks {' and '.join(lacking[:3])}"
        )
    if answer.n != X.shape[0]:
        raise UnfitError(f"returned {answer.n} samples of {X.shape[0]}")
    return answer


CHECKS: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("metric", "pairwise"): _pairwise,
    ("metric", "assign"): _assigned,
    ("metric", "prepare"): _prepared,
    ("metric", "centre"): _centred,
    ("metric", "fit"): _learned,
    ("metric", "form"): _formed,
    ("metric", "scalar_params"): _scalar_params,
    ("kernel", "weight"): _weights,
    ("kernel", "signed_weight"): _signed_weights,
    ("growth", "grow"): births,
    ("growth", "growing_threshold"): _threshold,
    ("growth", "start_shape"): _start_shape,
    ("growth", "wants_children"): _children,
    ("initialisation", "prototypes"): _started,
    ("grid", "lattice"): _lattice,
    ("schedule", "width"): _width,
    ("stopping", "stop"): _verdict,
    ("stopping", "watch"): _number,
    ("stopping", "is_best"): _verdict,
    ("labeller", "label"): _labels,
    ("labeller", "probabilities"): _shares,
    ("labeller", "learn"): _learned,
    ("labeller", "answer"): _answers,
    ("dataset", "load"): _data,
    ("dataset", "opened"): _left,
    ("measure", "compute"): _value,
    ("figure", "draw"): _drawn,
    ("tracker", "observer"): _observer,
    ("tracker", "how_to_open"): _address,
    ("tracker", "reachable"): _address,
    ("tracker", "page"): _page,
    ("engine", "over"): _samples,
}
