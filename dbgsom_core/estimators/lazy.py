"""Answers about collections that are computed later, a partition at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from copy import copy
from typing import Any, TypeVar, cast

from sklearn.utils.validation import check_is_fitted

from dbgsom_core.estimators.late_labels import LEAVES
from dbgsom_core.estimators.part_params import build_engine, engine_for
from dbgsom_core.interfaces.engine import EngineAbilities

_Method = TypeVar("_Method", bound=Callable[..., Any])


def by_rows(method: _Method) -> _Method:
    """Let a method ``(X, ...)`` that says something of each row take lazy collections.

    Where the package of X is the name of an engine with ``lazily``, as dask is, that asks about
    each partition when it is computed.
    """

    @functools.wraps(method)
    def asked(self: Any, X: Any, *given: Any, **more: Any) -> Any:
        name = engine_for("local", X)
        lazily = None if name == "local" else EngineAbilities.of(build_engine(name)).lazily
        if lazily is None:
            return method(self, X, *given, **more)
        check_is_fitted(self)
        mine = copy(self)
        for name in ("labels_", LEAVES):  # of all training samples
            vars(mine).pop(name, None)
        return lazily(X, functools.partial(_ask, asked, mine, given, more))

    return cast(_Method, asked)


def here(values: Any) -> Any:
    """Return values as they are, or of a lazy collection what it comes to."""
    return values.compute() if hasattr(values, "__dask_graph__") else values


def _ask(
    method: Callable[..., Any], of: Any, given: tuple[Any, ...], more: dict[str, Any], X: Any
) -> Any:
    return method(of, X, *given, **more)
