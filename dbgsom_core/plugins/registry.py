"""Registry of plugins: discovery, records of broken ones, and look-up of components by name."""

from __future__ import annotations

import inspect
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pkgutil import resolve_name
from typing import Any, Literal

import pluggy
from pydantic import ValidationError

from dbgsom_core import hookspecs
from dbgsom_core.errors import PluginError, UnknownNameError, did_you_mean
from dbgsom_core.hookspecs import KINDS, LIFECYCLE_HOOKS, PREPARE_STEPS, TRANSFORMERS
from dbgsom_core.interfaces.component import Component, given_fields, parse
from dbgsom_core.interfaces.guard import RAISED, error_line
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.interfaces.version import API_VERSION

GROUP = "dbgsom.plugins"
OWN_DISTRIBUTION = "dbgsom-core"
STEP, TRANSFORMER, OBSERVER = "prepare step", "transformer", "observer"
_OFFER_HOOKS = {**KINDS, STEP: PREPARE_STEPS, TRANSFORMER: TRANSFORMERS}
_HOOKS = (*_OFFER_HOOKS.values(), *LIFECYCLE_HOOKS)
_redirecting = threading.Lock()
_stdouts: list[Any] = []  # the original stdout, once for each active redirection


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Redirect prints of imported plugins to stderr; the last thread to leave restores stdout."""
    with _redirecting:
        _stdouts.append(_stdouts[0] if _stdouts else sys.stdout)
        sys.stdout = sys.stderr
    try:
        yield
    finally:
        with _redirecting:
            before = _stdouts.pop()
            if not _stdouts:
                sys.stdout = before


@dataclass(frozen=True)
class PluginRecord:
    """The result of loading one entry point.

    Attributes
    ----------
    error : str
        One sentence; empty without an error.
    details : str
        The traceback of a broken plugin.
    """

    name: str
    distribution: str
    version: str
    status: Literal["ok", "broken", "disabled"] = "ok"
    error: str = ""
    details: str = ""


@dataclass(frozen=True)
class PluginEntry:
    """An offer of a plugin; of a component it is a class or ``"module:Class"``."""

    kind: str
    name: str
    offer: Any
    distribution: str
    version: str
    plugin: str = ""

    @property
    def facts(self) -> dict[str, str]:
        return {key: getattr(self, key) for key in ("kind", "name", "distribution", "version")}

    @property
    def full_name(self) -> str:
        return f"{self.distribution}:{self.name}"

    @property
    def source(self) -> str:
        """The class as ``module:Class``, without importing it."""
        if isinstance(self.offer, str):
            return self.offer
        return f"{self.offer.__module__}:{self.offer.__qualname__}"

    def means(self, cls: type[Component]) -> bool:
        """Return whether this is the class ``cls``, which is imported already."""
        if not isinstance(self.offer, str):
            return self.offer is cls
        module, _, name = self.offer.partition(":")
        return getattr(sys.modules.get(module), name, None) is cls

    def load(self) -> type[Component]:
        """Return the class, imported; raise `PluginError` with the cause where it is none."""
        who = f"{self.kind} '{self.name}' of {self.distribution} {self.version}"
        loaded = self.offer
        if isinstance(loaded, str):
            try:
                with stdout_to_stderr():
                    loaded = resolve_name(loaded)
            except RAISED as error:
                cause = error_line(error)
                raise PluginError(f"{who} cannot be imported from {self.offer}: {cause}") from error
        problem = problem_of(self.kind, loaded) if self.kind in KINDS else ""
        if problem:
            raise PluginError(f"{who} {problem}")
        return loaded  # type: ignore[no-any-return]


def problem_of(kind: str, cls: Any) -> str:
    """Return why a class is no component of a kind, as the rest of a sentence; empty: it is one."""
    base = f"dbgsom_core.api.{kind.capitalize()}Component"
    is_component = isinstance(cls, type) and issubclass(cls, Component)
    if not is_component or getattr(cls, "KIND", None) != kind:
        return f"must be a class derived from {base}"
    lacking = cls.lacks()
    return f"lacks {lacking}; see {base}" if lacking else ""


class Registry:
    """All plugins of this process and their entries.

    Broken plugins are kept as records and never raise here; a component that cannot be loaded
    raises when it is looked up by name.
    """

    def __init__(self) -> None:
        self.records: list[PluginRecord] = []
        self._offers: list[PluginEntry] = []
        self._manager = pluggy.PluginManager("dbgsom")
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def discover(cls, disabled: Iterable[str] = (), own_only: bool = False) -> Registry:
        """Load every entry point but the disabled ones, named by themselves or distributions."""
        registry, off = cls(), set(disabled)
        for point, distribution, version in installed_points():
            record = PluginRecord(point.name, distribution, version)
            is_foreign = own_only and distribution != OWN_DISTRIBUTION
            if is_foreign or off & {point.name, distribution}:
                record = replace(record, status="disabled")
            else:
                record = registry._load(point, record)
            registry.records.append(record)
        return registry

    def _load(self, point: EntryPoint, record: PluginRecord) -> PluginRecord:
        try:
            with stdout_to_stderr():
                plugin = point.load()
                self.register(plugin, record.name, record.distribution, record.version)
        except RAISED as error:
            cause = str(error) if isinstance(error, PluginError) else error_line(error)
            details = traceback.format_exc()
            return replace(record, status="broken", error=cause, details=details)
        return record

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return a sentence for each name of a plugin to disable that no plugin has."""
        known = {name for one in self.records for name in (one.name, one.distribution)}
        for registered, _ in self._manager.list_name_plugin():  # also without an entry point
            known.update(registered.split(":"))
        return [
            f"no plugin is called '{name}', so none was disabled{did_you_mean(name, known)}"
            for name in names
            if name not in known
        ]

    def without(self, names: Iterable[str]) -> Registry:
        """Return a registry that leaves out plugins by entry point or distribution.

        Unlike ``discover(disabled=...)`` it does not prevent their import; their components and
        observers are removed all the same.
        """
        off = set(names)
        rest = Registry()
        rest.records = [
            replace(one, status="disabled") if off & {one.name, one.distribution} else one
            for one in self.records
        ]
        rest._offers = [one for one in self._offers if not off & {one.plugin, one.distribution}]
        rest._manager = self._manager
        return rest

    def register(
        self, plugin: Any, name: str, distribution: str = "unregistered", version: str = "0"
    ) -> None:
        """Add a plugin module (or any object with hooks) that is already imported.

        Raises `PluginError` where it states no or an unknown ``DBGSOM_API_VERSION``, or one of its
        hooks is wrong.
        """
        stated = getattr(plugin, "DBGSOM_API_VERSION", None)
        where = getattr(plugin, "__name__", type(plugin).__name__)
        if stated is None:
            raise PluginError(
                f"{where} states no DBGSOM_API_VERSION; add DBGSOM_API_VERSION = {API_VERSION}"
            )
        if stated != API_VERSION:
            newer = isinstance(stated, int) and stated > API_VERSION
            raise PluginError(
                f"{where} was written for plugin API {stated}, this dbgsom-core supports "
                f"{API_VERSION}; upgrade {'dbgsom-core' if newer else 'that plugin'}"
            )
        try:
            self._manager.register(plugin, name=f"{distribution}:{name}")
        except (ValueError, pluggy.PluginValidationError) as error:
            reason = str(error).strip().splitlines()[-1]  # the lines before say where the hook is
            raise PluginError(f"{name} cannot be registered: {reason}") from error
        try:
            offers = list(self._entries(plugin, name, distribution, version))
        except RAISED:
            self._manager.unregister(plugin)  # a plugin is there as a whole or not at all
            raise
        self._offers += offers

    def _entries(
        self, plugin: Any, name: str, distribution: str, version: str
    ) -> Iterator[PluginEntry]:
        """Yield what a plugin offers; raise `PluginError` where one of its hooks is wrong."""
        hooks = _hooks_of(plugin, self._manager)
        for kind, hook in _OFFER_HOOKS.items():
            known = {one.name for one in self._of_kind(kind) if one.distribution == distribution}
            for key, offer in _offers_of(plugin, kind, hook, distribution) if hook in hooks else ():
                if key in known:
                    raise PluginError(
                        f"{kind} '{key}' is offered twice by {distribution}; rename one"
                    )
                yield PluginEntry(kind, key, offer, distribution, version, name)
        if not hooks.isdisjoint(LIFECYCLE_HOOKS):
            yield PluginEntry(OBSERVER, name, plugin, distribution, version, name)

    def _of_kind(self, kind: str) -> list[PluginEntry]:
        return [one for one in self._offers if one.kind == kind]

    @property
    def observers(self) -> list[Any]:
        """Plugins that implement lifecycle hooks, in the order in which they were loaded."""
        return [one.offer for one in self._of_kind(OBSERVER)]

    @property
    def steps(self) -> list[PluginEntry]:
        """Prepare steps, whose classes are no components."""
        return self._of_kind(STEP)

    def components(self) -> list[PluginEntry]:
        """Return the entries of all components, by kind, and of prepare steps."""
        found = [one for kind in KINDS for one in self.offered(kind)]
        return [*found, *self.offered(STEP)]

    @property
    def prepare_steps(self) -> dict[str, list[str]]:
        """Names of prepare steps, each with the classes that it may mean."""
        names = sorted({one.name for one in self.steps})
        return {name: [one.source for one in self.steps if one.name == name] for name in names}

    @property
    def stored_types(self) -> dict[str, StoredType]:
        """The transformers that plugins list for model files, as ``distribution:name``."""
        return {one.full_name: one.offer for one in self._of_kind(TRANSFORMER)}

    @property
    def broken(self) -> list[PluginRecord]:
        return [record for record in self.records if record.status == "broken"]

    def names(self, kind: str) -> list[str]:
        return sorted({one.name for one in self.offered(kind)})

    def offered(self, kind: str) -> list[PluginEntry]:
        """Return all entries of a kind, by name and distribution."""
        return sorted(self._of_kind(kind), key=lambda one: (one.name, one.distribution))

    def lookup(self, kind: str, name: str) -> PluginEntry:
        """Return the entry that a bare name or ``distribution:name`` means.

        Raises `UnknownNameError`, with the nearest name, where no plugin offers it, and
        `PluginError` where two third parties do.
        """
        distribution, _, bare = name.rpartition(":")
        candidates = [
            one
            for one in self._of_kind(kind)
            if one.name == bare and distribution in ("", one.distribution)
        ]
        if not candidates:
            raise UnknownNameError(self._unknown_message(kind, name))
        own = [one for one in candidates if one.distribution == OWN_DISTRIBUTION]
        if len(candidates) > 1 and not own:
            raise PluginError(
                f"{kind} '{bare}' is offered by "
                f"{' and '.join(one.distribution for one in candidates)}; write "
                + " or ".join(f"'{one.full_name}'" for one in candidates)
            )
        return (own or candidates)[0]

    def find(self, kind: str, name: str) -> type[Component]:
        return self.lookup(kind, name).load()

    def build(self, kind: str, spec: Any) -> Any:
        """Return a component from a name, a mapping with ``name``, or an instance.

        An instance is built again from the fields that were given, since copies of instances are
        not validated. Values from a file have lists where a field may want a tuple. Raises as
        `lookup`, and ValueError where the parameters do not fit.
        """
        if isinstance(spec, str):
            return self.find(kind, spec)()
        if isinstance(spec, Mapping) and isinstance(spec.get("name"), str):
            params = dict(spec)
            cls = self.find(kind, params.pop("name"))
            try:
                return cls.model_validate(params)
            except ValidationError as error:
                with suppress(ValidationError, TypeError):
                    return parse(cls, params)
                raise error from None
        if not isinstance(spec, Component):
            given = dict(spec) if isinstance(spec, Mapping) else spec
            raise ValueError(
                f"{kind} must be a name, a mapping with a 'name', or a component instance; "
                f"got {given!r}"
            )
        if problem := problem_of(kind, type(spec)):
            raise ValueError(f"{type(spec).__name__} is no {kind}: it {problem}")
        return type(spec).model_validate(given_fields(spec))

    def name_of(self, kind: str, component: Any) -> str:
        """Return the name under which a component can be built again.

        A built-in has its bare name, a third party's its distribution in front. A class that no
        plugin offers is named ``module:Class``.
        """
        offered = self.offer_of(kind, type(component))
        if offered is None:
            return f"{type(component).__module__}:{type(component).__qualname__}"
        return offered.name if offered.distribution == OWN_DISTRIBUTION else offered.full_name

    def offer_of(self, kind: str, cls: type[Component]) -> PluginEntry | None:
        """Return the entry of a class, or None where no plugin offers it."""
        return next((one for one in self.offered(kind) if one.means(cls)), None)

    def identify(self, kind: str, component: Component) -> PluginEntry:
        """Return the entry of a component's class; `PluginError` where there is none."""
        offered = self.offer_of(kind, type(component))
        if offered is None:
            raise PluginError(
                f"no installed plugin offers {self.name_of(kind, component)} as "
                f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}, so it cannot be written down by "
                f"name; offer it through the entry-point group '{GROUP}'"
            )
        return offered

    def _unknown_message(self, kind: str, name: str) -> str:
        names, distribution = self.names(kind), name.rpartition(":")[0]
        loaded = {one.distribution for one in self.records if one.status == "ok"}
        hint = did_you_mean(name, names)
        if distribution and distribution not in loaded:
            hint = f"; no plugin of {distribution} is loaded here"
        elif not hint:
            hint = f"; known: {', '.join(names)}"
        broken = ", ".join(sorted({record.distribution for record in self.broken}))
        suspects = f" (these plugins could not be loaded: {broken})" if broken else ""
        return f"unknown {kind} '{name}'{hint}{suspects}"


def installed_points() -> list[tuple[EntryPoint, str, str]]:
    """Return the entry points of all plugins with distribution and version, built-ins first."""
    found = []
    for point in entry_points(group=GROUP):
        if point.dist is None:
            found.append((point, "unknown", "0"))
        else:
            found.append((point, point.dist.name, point.dist.version))
    return sorted(found, key=lambda one: (one[1] != OWN_DISTRIBUTION, one[1], one[0].name))


def disabled_plugins() -> list[str]:
    """Return the entry points and distributions that ``DBGSOM_DISABLE_PLUGINS`` names."""
    names = os.environ.get("DBGSOM_DISABLE_PLUGINS", "").split(",")
    return [name.strip() for name in names if name.strip()]


def only_own_plugins() -> bool:
    """Return whether ``DBGSOM_NO_PLUGINS`` disables all third parties."""
    return os.environ.get("DBGSOM_NO_PLUGINS", "") not in ("", "0")


@lru_cache(maxsize=1)
def get_registry() -> Registry:
    """Return the registry of this process, made on first use."""
    return Registry.discover(disabled_plugins(), own_only=only_own_plugins())


# -------------------------------------------------------------------- checks of a single plugin


def _hooks_of(plugin: Any, manager: pluggy.PluginManager) -> set[str]:
    hooks = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    for name in hooks.difference(_HOOKS):
        hint = did_you_mean(name, _HOOKS) or f"; known: {', '.join(_HOOKS)}"
        raise PluginError(f"unknown hook '{name}'{hint}")
    for name in _HOOKS:
        if name not in hooks and inspect.isfunction(getattr(plugin, name, None)):
            raise PluginError(f"{name} lacks the decorator: write @hookimpl above it")
    return hooks


def _offers_of(plugin: Any, kind: str, hook: str, distribution: str) -> Iterator[tuple[str, Any]]:
    types: Any = str
    what = "'module:Class'"
    if kind in KINDS:
        types, what = (str, type), "classes or 'module:Class'"
    elif kind == TRANSFORMER:
        types, what = StoredType, "StoredType"
    who = f"{hook} of {distribution}"
    offers = getattr(plugin, hook)()
    if not isinstance(offers, Mapping):
        raise PluginError(
            f"{who} must return a mapping of names to {what}, not {type(offers).__name__}"
        )
    for name, offer in offers.items():
        if not isinstance(name, str) or ":" in name or not name.strip():
            raise PluginError(
                f"{who} offers {name!r}, which is no name: use lower-case letters, digits and _"
            )
        is_half = isinstance(offer, str) and not all(offer.partition(":"))
        if is_half or not isinstance(offer, types):
            raise PluginError(f"{who} must map names to {what}, not {name!r} to {offer!r}")
        yield name, offer
