"""What plugins leave in the registry: records of entry points, and the components they offer."""

from __future__ import annotations

import ast
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

from dbgsom_core.errors import PluginError
from dbgsom_core.hookspecs import Offer
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.deprecation import Deprecation
from dbgsom_core.interfaces.guard import is_from_a_signal
from dbgsom_core.plugins.importing import importing
from dbgsom_core.tables._files import read_at_most

_LARGEST_SOURCE = 1 << 22  # bytes


@dataclass(frozen=True)
class PluginRecord:
    """What became of one entry point.

    Attributes
    ----------
    name, distribution, version : str
        The entry point and the distribution that ships it.
    status : {"ok", "broken", "disabled"}
    error : str
        One sentence, empty when all is well.
    details : str
        The traceback of a broken plugin.
    import_seconds : float
        How long importing the entry point and asking its hooks took.
    module : str
        The module (or object) that the entry point names.
    api_version : int or None
        What the module states, where it could be imported.
    notes : tuple of str
        What works today and will not for ever: an outdated API version, a deprecated name.
    changes : tuple of str
        What its import changed that all share, where imports were watched.
    """

    name: str
    distribution: str
    version: str
    status: Literal["ok", "broken", "disabled"]
    error: str = ""
    details: str = ""
    import_seconds: float = 0.0
    module: str = ""
    api_version: int | None = None
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Offered:
    """One component as a plugin offers it: a class or ``"module:Class"``."""

    kind: str
    name: str
    offer: Offer
    distribution: str
    version: str
    plugin: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """Which component this is, as plain values."""
        told = ("kind", "name", "distribution", "version")
        return {key: getattr(self, key) for key in told}

    @property
    def source(self) -> str:
        """Where the class lives, as ``module:Class``, without importing it."""
        if isinstance(self.offer, str):
            return self.offer
        assert not isinstance(self.offer, Deprecation)
        return f"{self.offer.__module__}:{self.offer.__qualname__}"

    @property
    def sentence(self) -> str:
        """The first sentence of its docstring, empty where it cannot be had; nothing is imported.

        What no module holds yet is read from the source.
        """
        if not isinstance(self.offer, str):
            return _first_sentence(self.offer.__doc__)
        module, _, attribute = self.offer.partition(":")
        loaded = getattr(sys.modules.get(module), attribute, None)
        if loaded is not None:
            return _first_sentence(loaded.__doc__)
        package, _, rest = module.rpartition(".")
        while package and package not in sys.modules:
            package, _, more = package.rpartition(".")
            rest = f"{more}.{rest}"
        folders = getattr(sys.modules.get(package), "__path__", ())
        for folder in folders if package else sys.path:
            path = Path(folder, *rest.split("."))
            for file in (path.with_suffix(".py"), path / "__init__.py"):
                with suppress(OSError, ValueError, SyntaxError, RecursionError):
                    return _first_sentence(_docstrings(file).get(attribute))
        return ""

    def means(self, cls: type[Component]) -> bool:
        """Say whether this offer is the class ``cls``, which is imported already.

        An offer may name a module that only hands the class on, ``"package:Class"``.
        """
        if not isinstance(self.offer, str):
            return self.offer is cls
        module, _, attribute = self.offer.partition(":")
        if self.offer == f"{cls.__module__}:{cls.__qualname__}":
            return True
        if module not in sys.modules and attribute == cls.__name__ and _same_root(module, cls):
            with suppress(PluginError):  # a broken module offers nothing
                self.load()
        return getattr(sys.modules.get(module), attribute, None) is cls

    def load(self) -> type[Component]:
        """Import and return the class; raise `PluginError` when that fails."""
        try:
            loaded: Any = self._known()
            if isinstance(loaded, str):
                with importing(self.distribution, self.name):
                    loaded = resolve_name(loaded)
        except BaseException as error:
            if is_from_a_signal(error):
                raise
            raise PluginError(
                f"{self.kind} '{self.name}' of {self.distribution} {self.version} cannot be "
                f"imported from {self.source} ({type(error).__name__}: {error}); "
                "reinstall or disable that plugin"
            ) from error
        if not (isinstance(loaded, type) and issubclass(loaded, Component)):
            raise PluginError(
                f"{self.kind} '{self.name}' of {self.distribution} {self.version} is no component: "
                f"{self.source} must be a class derived from dbgsom_core.api.Component"
            )
        missing = missing_methods(self.kind, loaded)
        if missing:
            raise PluginError(
                f"{self.kind} '{self.name}' of {self.distribution} {self.version} lacks {missing}; "
                "see its Protocol in dbgsom_core.api"
            )
        return loaded

    def _known(self) -> Any:
        # What was imported already, else the offer.
        if not isinstance(self.offer, str):
            return self.offer
        module, _, attribute = self.offer.partition(":")
        return getattr(sys.modules.get(module), "__dict__", {}).get(attribute, self.offer)


@lru_cache
def _docstrings(file: Path) -> dict[str, str | None]:
    tree = ast.parse(read_at_most(file, _LARGEST_SOURCE))
    return {one.name: ast.get_docstring(one) for one in tree.body if isinstance(one, ast.ClassDef)}


def _first_sentence(docstring: str | None) -> str:
    first = " ".join((docstring or "").strip().partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z])", first, maxsplit=1)[0]


def _same_root(module: str, cls: type) -> bool:
    return module.partition(".")[0] == cls.__module__.partition(".")[0]


def origin_of(point: EntryPoint) -> tuple[str, str]:
    """Return name and version of the distribution that ships an entry point."""
    distribution = point.dist
    if distribution is None:
        return "unknown", "0"
    # Reading two lines is many times faster than parsing a whole METADATA with its README.
    reader = getattr(distribution, "read_text", None)
    found = {}
    for line in ((reader and reader("METADATA")) or "").splitlines():
        key, colon, value = line.partition(": ")
        if not line or not colon:
            break
        found[key] = value.strip()
        if len(found.keys() & {"Name", "Version"}) == 2:
            return found["Name"], found["Version"]
    return distribution.name, distribution.version


METRIC_LEVELS = ("assign", "scalar", "pairwise")
_REQUIRED: dict[str, tuple[str, ...]] = {
    "kernel": ("weight",),
    "growth": ("grow",),
    "initialisation": ("prototypes",),
    "grid": ("lattice",),
    "schedule": ("width",),
    "stopping": ("stop",),
    "labeller": ("label",),
    "dataset": ("load",),
    "measure": ("compute", "greater_is_better"),
    "figure": ("draw",),
    "tracker": ("observer",),
    "engine": ("over",),
}


def missing_methods(kind: str, component: type[Component]) -> str:
    """Return what a class lacks to be a component of this kind, as words; empty when nothing."""
    if kind == "metric":
        usable = any(_has(component, level) for level in METRIC_LEVELS)
        return "" if usable else "assign or pairwise (or scalar)"
    return " and ".join(name for name in _REQUIRED[kind] if not _has(component, name))


def _has(component: type[Component], name: str) -> bool:
    return getattr(component, name, None) is not None


def kinds_of(component: type[Component]) -> list[str]:
    """Return every kind whose required methods a class has, in the order of the kinds."""
    return [kind for kind in ("metric", *_REQUIRED) if not missing_methods(kind, component)]
