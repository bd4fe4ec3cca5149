"""Finding plugins, keeping broken ones apart, and looking components up by name."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Literal

import pluggy

from dbgsom_core import hookspecs
from dbgsom_core.api import SUPPORTED_API_VERSIONS, Component
from dbgsom_core.errors import PluginError, UnknownNameError, did_you_mean
from dbgsom_core.hookspecs import KINDS, LIFECYCLE_HOOKS, Offer

GROUP = "dbgsom.plugins"
OWN_DISTRIBUTION = "dbgsom-core"


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
    """

    name: str
    distribution: str
    version: str
    status: Literal["ok", "broken", "disabled"]
    error: str = ""
    details: str = ""
    import_seconds: float = 0.0


@dataclass(frozen=True)
class Offered:
    """One component as a plugin offers it: a class or ``"module:Class"``."""

    kind: str
    name: str
    offer: Offer
    distribution: str
    version: str

    @property
    def source(self) -> str:
        """Where the class lives, as ``module:Class``, without importing it."""
        if isinstance(self.offer, str):
            return self.offer
        return f"{self.offer.__module__}:{self.offer.__qualname__}"

    def load(self) -> type[Component]:
        """Import and return the class; raise `PluginError` when that fails."""
        try:
            loaded: Any = self.offer
            if isinstance(loaded, str):
                module, _, attribute = loaded.partition(":")
                loaded = getattr(import_module(module), attribute)
        except Exception as error:
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
        missing = _missing_methods(self.kind, loaded)
        if missing:
            raise PluginError(
                f"{self.kind} '{self.name}' of {self.distribution} {self.version} lacks {missing}; "
                "see its Protocol in dbgsom_core.api"
            )
        return loaded


@dataclass(frozen=True)
class Identity:
    """Which component this is: enough to write it down and to build it again."""

    kind: str
    name: str
    distribution: str
    version: str
    params: Mapping[str, Any]


_REQUIRED: dict[str, tuple[str, ...]] = {
    "kernel": ("weight",),
    "growth": ("grow",),
    "labeller": ("label",),
    "dataset": ("load",),
    "measure": ("compute", "greater_is_better"),
    "figure": ("draw",),
    "tracker": ("observer",),
}


def _missing_methods(kind: str, component: type[Component]) -> str:
    if kind == "metric":
        usable = hasattr(component, "assign") or hasattr(component, "pairwise")
        return "" if usable else "assign or pairwise"
    return " and ".join(name for name in _REQUIRED[kind] if not hasattr(component, name))


class Registry:
    """All plugins of this process and the components that they offer.

    Broken plugins are kept as records and never raise here; a component that cannot be had raises
    when it is asked for by name.
    """

    def __init__(self) -> None:
        self.records: list[PluginRecord] = []
        self._offers: dict[str, dict[str, list[Offered]]] = {kind: {} for kind in KINDS}
        self._manager = pluggy.PluginManager("dbgsom")
        self._manager.add_hookspecs(hookspecs)
        self._observers: list[ModuleType] = []

    @classmethod
    def discover(cls, disabled: Iterable[str] = (), own_only: bool = False) -> Registry:
        """Scan the installed distributions once and load every entry point inside a guard.

        Parameters
        ----------
        disabled : iterable of str
            Entry points or distributions to leave alone.
        own_only : bool
            Leave alone everything that is not from dbgsom-core.
        """
        registry = cls()
        off = set(disabled)
        seen: set[tuple[str, str, str]] = set()
        for point in sorted(entry_points(group=GROUP), key=_built_ins_first):
            distribution, version = _origin(point)
            key = (point.name, point.value, distribution)
            if key in seen:  # one distribution found twice on the path
                continue
            seen.add(key)
            foreign = own_only and distribution != OWN_DISTRIBUTION
            if foreign or off & {point.name, distribution}:
                registry.records.append(PluginRecord(point.name, distribution, version, "disabled"))
            else:
                registry._load(point, distribution, version)
        return registry

    def register(
        self, plugin: Any, name: str, distribution: str = "unregistered", version: str = "0"
    ) -> None:
        """Add a plugin module (or any object with hooks) that is already imported.

        Raises
        ------
        PluginError
            It states no or an unknown ``DBGSOM_API_VERSION``, or one of its hooks is wrong.
        """
        _check_api_version(plugin)
        try:
            self._manager.register(plugin, name=f"{distribution}:{name}")
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            self._forget(plugin)
            raise PluginError(_first_line(error) + _hook_hint(plugin, self._manager)) from error
        try:
            offers = list(_offers_of(plugin, self._manager, distribution, version))
        except PluginError:
            self._forget(plugin)
            raise
        for offered in offers:
            self._offers[offered.kind].setdefault(offered.name, []).append(offered)
        callers = self._manager.get_hookcallers(plugin) or []
        if any(caller.name in LIFECYCLE_HOOKS for caller in callers):
            self._observers.append(plugin)

    @property
    def observers(self) -> list[ModuleType]:
        """Plugins that implement lifecycle hooks, in the order in which they were loaded."""
        return list(self._observers)

    @property
    def broken(self) -> list[PluginRecord]:
        """Records of the plugins that could not be loaded."""
        return [record for record in self.records if record.status == "broken"]

    def names(self, kind: str) -> list[str]:
        """Return the bare names that a kind knows, sorted."""
        return sorted(self._offers[kind])

    def offered(self, kind: str) -> list[Offered]:
        """Return every offer of a kind, sorted by name and distribution."""
        offers = (one for several in self._offers[kind].values() for one in several)
        return sorted(offers, key=lambda one: (one.name, one.distribution))

    def lookup(self, kind: str, name: str) -> Offered:
        """Return the offer that a bare name or ``distribution:name`` means.

        Raises
        ------
        UnknownNameError
            Nobody offers it; the message suggests the nearest name.
        PluginError
            Two third parties offer it, or the plugin that would is broken.
        """
        distribution, _, bare = name.rpartition(":")
        candidates = self._offers[kind].get(bare, [])
        if distribution:
            candidates = [one for one in candidates if one.distribution == distribution]
        if not candidates:
            raise UnknownNameError(self._unknown(kind, name))
        own = [one for one in candidates if one.distribution == OWN_DISTRIBUTION]
        if own:
            return own[0]
        if len(candidates) > 1:
            choices = " or ".join(f"'{one.distribution}:{bare}'" for one in candidates)
            raise PluginError(
                f"{kind} '{bare}' is offered by "
                f"{' and '.join(one.distribution for one in candidates)}; write {choices}"
            )
        return candidates[0]

    def find(self, kind: str, name: str) -> type[Component]:
        """Return the class of a component by name; raises as `lookup` and `Offered.load` do."""
        return self.lookup(kind, name).load()

    def build(self, kind: str, spec: Any) -> Any:
        """Return a component from a name, a mapping with ``name``, or an instance.

        Raises
        ------
        UnknownNameError, PluginError
            As `lookup`.
        ValueError
            The parameters do not fit (pydantic's ValidationError is one), or ``spec`` is none of
            the three.
        """
        if isinstance(spec, str):
            return self.find(kind, spec)()
        if isinstance(spec, Mapping):
            params = dict(spec)
            if not isinstance(params.get("name"), str):
                raise ValueError(f"a {kind} given as a mapping needs a 'name': got {dict(spec)!r}")
            return self.find(kind, params.pop("name")).model_validate(params)
        if not isinstance(spec, Component):
            raise ValueError(
                f"{kind} must be a name, a mapping with a 'name', or a component instance; "
                f"got {spec!r}"
            )
        missing = _missing_methods(kind, type(spec))
        if missing:
            raise ValueError(f"{type(spec).__name__} is no {kind}: it lacks {missing}")
        return spec

    def identify(self, kind: str, component: Component) -> Identity:
        """Return name, distribution, version and parameters of a component.

        Raises
        ------
        PluginError
            No plugin offers its class, so nobody could build it again.
        """
        cls = type(component)
        source = f"{cls.__module__}:{cls.__qualname__}"
        for offered in self.offered(kind):
            if offered.source == source or offered.offer is cls:
                return Identity(
                    kind,
                    offered.name,
                    offered.distribution,
                    offered.version,
                    component.model_dump(mode="json"),
                )
        raise PluginError(
            f"no installed plugin offers {source} as a {kind}, so it cannot be written down by "
            f"name; offer it through the entry-point group '{GROUP}'"
        )

    def _load(self, point: EntryPoint, distribution: str, version: str) -> None:
        started = time.perf_counter()
        error, details = "", ""
        try:
            self.register(point.load(), point.name, distribution, version)
        except (Exception, SystemExit) as problem:
            told = isinstance(problem, PluginError)
            error = str(problem) if told else f"{type(problem).__name__}: {_first_line(problem)}"
            details = traceback.format_exc()
        self.records.append(
            PluginRecord(
                point.name,
                distribution,
                version,
                "broken" if error else "ok",
                error,
                details,
                time.perf_counter() - started,
            )
        )

    def _forget(self, plugin: Any) -> None:
        if self._manager.is_registered(plugin):
            self._manager.unregister(plugin)

    def _unknown(self, kind: str, name: str) -> str:
        hint = did_you_mean(name, self.names(kind))
        broken = ", ".join(sorted({record.distribution for record in self.broken}))
        suspects = f" (these plugins could not be loaded: {broken})" if broken else ""
        known = "" if hint else f"; known: {', '.join(self.names(kind))}"
        return f"unknown {kind} '{name}'{hint}{known}{suspects}"


@lru_cache(maxsize=1)
def get_registry() -> Registry:
    """Return the registry of this process, made on first use.

    ``DBGSOM_DISABLE_PLUGINS=name,name`` leaves entry points or distributions alone,
    ``DBGSOM_NO_PLUGINS=1`` everything that is not from dbgsom-core.
    """
    disabled = os.environ.get("DBGSOM_DISABLE_PLUGINS", "")
    return Registry.discover(
        disabled=[name.strip() for name in disabled.split(",") if name.strip()],
        own_only=os.environ.get("DBGSOM_NO_PLUGINS", "") not in ("", "0"),
    )


def _origin(point: EntryPoint) -> tuple[str, str]:
    if point.dist is None:
        return "unknown", "0"
    return point.dist.name, point.dist.version


def _built_ins_first(point: EntryPoint) -> tuple[bool, str, str]:
    distribution, _ = _origin(point)
    return distribution != OWN_DISTRIBUTION, distribution, point.name


def _check_api_version(plugin: Any) -> None:
    version = getattr(plugin, "DBGSOM_API_VERSION", None)
    supported = " or ".join(map(str, SUPPORTED_API_VERSIONS))
    where = getattr(plugin, "__name__", type(plugin).__name__)
    if version is None:
        raise PluginError(f"{where} states no DBGSOM_API_VERSION; add DBGSOM_API_VERSION = 1")
    if version not in SUPPORTED_API_VERSIONS:
        raise PluginError(
            f"{where} was written for plugin API {version}, this dbgsom-core supports {supported}"
        )


def _offers_of(
    plugin: Any, manager: pluggy.PluginManager, distribution: str, version: str
) -> Iterable[Offered]:
    own = {caller.name for caller in manager.get_hookcallers(plugin) or []}
    for kind, hook in KINDS.items():
        if hook not in own:
            continue
        offers = getattr(plugin, hook)()
        if not isinstance(offers, Mapping):
            raise PluginError(
                f"{hook} of {distribution} must return a mapping of names to classes, "
                f"not {type(offers).__name__}"
            )
        for name, offer in offers.items():
            if not isinstance(name, str) or not isinstance(offer, (str, type)):
                raise PluginError(
                    f"{hook} of {distribution} must map names to classes or 'module:Class', "
                    f"not {name!r} to {offer!r}"
                )
            yield Offered(kind, name, offer, distribution, version)


def _hook_hint(plugin: Any, manager: pluggy.PluginManager) -> str:
    known = [*KINDS.values(), *LIFECYCLE_HOOKS]
    for name in dir(plugin):
        if manager.parse_hookimpl_opts(plugin, name) is not None and name not in known:
            return did_you_mean(name, known)
    return ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
