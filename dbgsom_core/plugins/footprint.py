"""What a whole process shares, and what of it somebody changed."""

from __future__ import annotations

import builtins
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

_MODULES = ("numpy", "numpy.linalg", "numpy.random", "os", "time", "math", "json")


@dataclass(frozen=True)
class Footprint:
    """The shared state of a process at one time; `changes` says what became of it since.

    Attributes
    ----------
    state : mapping of str to object
        By the words that a sentence uses.
    functions : mapping of str to mapping
        The members of some modules; what they gain is no change.
    """

    state: Mapping[str, Any]
    functions: Mapping[str, Mapping[str, Any]]

    @classmethod
    def now(cls) -> Self:
        """Look at this process."""
        found = [(name, sys.modules[name]) for name in _MODULES if name in sys.modules]
        modules: list[tuple[str, ModuleType]] = [*found, ("builtins", builtins)]
        return cls(dict(_state()), {name: dict(vars(module)) for name, module in modules})

    def changes(self) -> list[str]:
        """Return what is another thing now, in words."""
        now = Footprint.now()
        told = [name for name, value in self.state.items() if now.state.get(name) != value]
        for module, members in self.functions.items():
            later = now.functions.get(module, {})
            replaced = [
                f"{module}.{name}"
                for name, value in members.items()
                if callable(value) and later.get(name) is not value
            ]
            told += replaced[:3]
        return told


def _state() -> Iterator[tuple[str, Any]]:
    yield "the working directory", os.getcwd()  # noqa: PTH109 # as it is called
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield "signal handlers", handlers
    yield "the warnings filters", [_filter(one) for one in warnings.filters]
    yield "the environment", {key: value for key, value in os.environ.items() if _counts(key)}
    yield "sys.path", list(sys.path)
    yield "sys.excepthook", sys.excepthook
    yield "the recursion limit", sys.getrecursionlimit()
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        yield "numpy's error handling", numpy.geterr()
        yield "numpy's print options", {k: str(v) for k, v in numpy.get_printoptions().items()}
        yield "the state of numpy.random", numpy.random.get_state()[1].tobytes()


def _filter(one: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(getattr(part, "pattern", part) for part in one)


def _counts(key: str) -> bool:
    # pytest and libraries keep notes of their own there.
    return not key.startswith(("PYTEST_", "KMP_", "NUMBA_", "TQDM_"))
