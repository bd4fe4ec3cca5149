"""Can the parts of a run take what its data holds? All that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.config import Experiment
from dbgsom_core.config.matching import fills_gaps, metrics_for_gaps
from dbgsom_core.engine.tables import BlockTable, block_rows
from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.plugins.registry import get_registry

_BLOCK_BYTES = 1 << 20  # of a table that are looked at together
_NAMED = 5  # rows or columns that one sentence names


def check_values(experiment: Experiment, name: str, data: Data) -> None:
    """Raise `DataError` where values are missing or infinite and the run cannot take that.

    Parameters
    ----------
    experiment : Experiment
    name : str
        What messages call the data set.
    data : Data
    """
    faults = list(_faults(experiment, data))
    if faults:
        raise DataError("\n".join(f"data set '{name}' {fault}" for fault in faults))


def with_a_class(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which targets (n,) are there: not None, not nan."""
    if y.dtype == object:
        return np.array([one is not None and one == one for one in y], dtype=bool)
    return ~np.isnan(y) if y.dtype.kind == "f" else np.ones(len(y), dtype=bool)


def n_classes(y: NDArray[Any]) -> int:
    """Return how many distinct classes targets (n,) name."""
    return len(set(y[with_a_class(y)].tolist()))


def _faults(experiment: Experiment, data: Data) -> Iterator[str]:
    X, names = data.X, data.feature_names
    if isinstance(X, BlockTable):
        bad = X.finite_or_where(block_rows(X, _BLOCK_BYTES))
        if bad is not None:
            called = bad[1] if names is None else f"'{names[bad[1]]}'"
            yield (
                f"holds a value that is missing or infinite, in row {bad[0]} (from 0), column "
                f"{called}, and what is read in blocks must be complete: drop or fill it, or hold "
                "the data in memory (engine: local)"
            )
        return
    with np.errstate(over="ignore", invalid="ignore"):  # finite only if every value is
        if X.dtype.kind != "f" or np.isfinite(np.sum(X)) or np.isfinite(X).all():
            return
    infinite = np.isinf(X)
    if infinite.any():
        yield f"holds {infinite.sum()} infinite value(s), in {_where(infinite, names)}"
    gaps = np.isnan(X)
    if not gaps.any():
        return
    filled = any(fills_gaps(step.name) for step in experiment.prepare)
    metric = get_registry().build("metric", experiment.model.params.get("metric", "euclidean"))
    if not filled and "missing" not in MetricAbilities.of(metric).handles:
        called = get_registry().name_of("metric", metric)
        yield (
            f"holds {gaps.sum()} missing value(s), in {_where(gaps, names)}, and metric '{called}' "
            f"takes none: drop or fill them, or take {metrics_for_gaps(get_registry())}"
        )
    empty = np.flatnonzero(gaps.all(axis=0))
    if len(empty):
        columns = [f"'{names[int(i)]}'" if names is not None else str(i) for i in empty]
        yield f"has columns without any value: {_listed(columns)}: drop them"
    nothing = np.flatnonzero(gaps.all(axis=1))
    if len(nothing) and not filled:
        rows = _listed([str(i) for i in nothing])
        yield f"has rows without any value (from 0): {rows}: drop them"


def _where(bad: NDArray[np.bool_], names: Any) -> str:
    row, column = np.argwhere(bad)[0]
    columns = int(bad.any(axis=0).sum())
    called = f"'{names[int(column)]}'" if names is not None else str(column)
    more = f" ({columns} columns)" if columns > 1 else ""
    return f"row {row} (from 0), column {called} first{more}"


def _listed(called: list[str]) -> str:
    return ", ".join(called[:_NAMED]) + (", …" if len(called) > _NAMED else "")
