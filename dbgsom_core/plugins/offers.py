"""What plugins offer: components, prepare steps, transformers of model files, and observers."""

from __future__ import annotations

import ast
import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

from dbgsom_core.errors import PluginError
from dbgsom_core.hookspecs import KINDS, PREPARE_STEPS, TRANSFORMERS
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.guard import RAISED
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.interfaces.version import Deprecation

STEP, TRANSFORMER, OBSERVER = "prepare step", "transformer", "observer"
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
        How long importing the entry point and calling its hooks took.
    module : str
        The module (or object) that the entry point names.
    api_version : int or None
        What the module states, where it could be imported.
    notes : tuple of str
        What works today and will not for ever: an outdated API version, a deprecated name.
    """

    name: str
    distribution: str
    version: str
    status: Literal["ok", "broken", "disabled"] = "ok"
    error: str = ""
    details: str = ""
    import_seconds: float = 0.0
    module: str = ""
    api_version: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Offered:
    """One thing that a plugin offers; a component is a class, ``"module:Class"`` or an old name."""

    kind: str
    name: str
    offer: Any
    distribution: str
    version: str
    plugin: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """Which component this is, as plain values."""
        return {key: getattr(self, key) for key in ("kind", "name", "distribution", "version")}

    @property
    def full_name(self) -> str:
        """The name with the distribution in front."""
        return f"{self.distribution}:{self.name}"

    @property
    def source(self) -> str:
        """Where the class lives, as ``module:Class``, without importing it."""
        if isinstance(self.offer, str):
            return self.offer
        return f"{self.offer.__module__}:{self.offer.__qualname__}"

    @property
    def sentence(self) -> str:
        """The first sentence of its docstring; read from the source where it is not imported."""
        docstring = self.offer.__doc__
        if isinstance(self.offer, str):
            module, _, attribute = self.offer.partition(":")
            loaded = getattr(sys.modules.get(module), attribute, None)
            docstring = _docstrings(module).get(attribute) if loaded is None else loaded.__doc__
        first = " ".join((docstring or "").strip().partition("\n\n")[0].split())
        return re.split(r"(?<=[.!?]) (?=[A-Z])", first, maxsplit=1)[0]

    def means(self, cls: type[Component]) -> bool:
        """Return whether this offer is the class ``cls``, which is imported already.

        An offer may name a module that only hands the class on, ``"package:Class"``.
        """
        if not isinstance(self.offer, str):
            return self.offer is cls
        module, _, attribute = self.offer.partition(":")
        same = attribute == cls.__name__ and module.split(".")[0] == cls.__module__.split(".")[0]
        if same and module != cls.__module__:
            try:
                return self.load() is cls
            except PluginError:  # a broken module offers nothing
                return False
        return self.offer == f"{cls.__module__}:{cls.__qualname__}" or (
            getattr(sys.modules.get(module), attribute, None) is cls
        )

    def load(self) -> type[Component]:
        """Import and return the class; raise `PluginError` when that fails."""
        who = f"{self.kind} '{self.name}' of {self.distribution} {self.version}"
        loaded: Any = self.offer
        try:
            if isinstance(loaded, str):
                with redirect_stdout(sys.stderr):
                    loaded = resolve_name(loaded)
        except RAISED as error:
            raise PluginError(
                f"{who} cannot be imported from {self.source} ({type(error).__name__}: {error}); "
                "reinstall or disable that plugin"
            ) from error
        if self.kind not in KINDS:
            return loaded  # type: ignore[no-any-return]
        if not (isinstance(loaded, type) and issubclass(loaded, Component)):
            raise PluginError(
                f"{who} is no component: {self.source} must be a class derived from "
                "dbgsom_core.api.Component"
            )
        missing = missing_methods(self.kind, loaded)
        if missing:
            raise PluginError(f"{who} lacks {missing}; see its Protocol in dbgsom_core.api")
        return loaded

    def check(self) -> None:
        """Raise `PluginError` where a hook offers something else than it may."""
        hook = {**KINDS, STEP: PREPARE_STEPS, TRANSFORMER: TRANSFORMERS}[self.kind]
        who, offer = f"{hook} of {self.distribution}", self.offer
        if not isinstance(self.name, str) or ":" in self.name or not self.name.strip():
            raise PluginError(
                f"{who} offers {self.name!r}, which is no name: use lower-case letters, digits "
                "and _"
            )
        kinds: Any = (str, type, Deprecation) if self.kind in KINDS else str
        what = "classes or 'module:Class'" if self.kind in KINDS else "'module:Class'"
        if self.kind == TRANSFORMER:
            kinds, what = StoredType, "StoredType"
        if not isinstance(offer, kinds) or (
            isinstance(offer, str) and not all(offer.partition(":"))
        ):
            raise PluginError(f"{who} must map names to {what}, not {self.name!r} to {offer!r}")


@lru_cache
def _docstrings(module: str) -> dict[str, str | None]:
    try:
        spec = find_spec(module)
        tree = ast.parse(Path(str(spec and spec.origin)).read_bytes())
    except RAISED:  # packages around it are imported
        return {}
    return {one.name: ast.get_docstring(one) for one in tree.body if isinstance(one, ast.ClassDef)}


def missing_methods(kind: str, component: type[Component]) -> str:
    """Return what a class lacks to be a component of this kind, as words; empty when nothing."""

    def has(name: str) -> bool:
        return getattr(component, name, None) is not None

    if kind == "metric":
        return "" if any(map(has, METRIC_LEVELS)) else "assign or pairwise (or scalar)"
    return " and ".join(name for name in _REQUIRED[kind] if not has(name))


def kinds_of(component: type[Component]) -> list[str]:
    """Return every kind whose required methods a class has, in the order of the kinds."""
    return [kind for kind in ("metric", *_REQUIRED) if not missing_methods(kind, component)]
