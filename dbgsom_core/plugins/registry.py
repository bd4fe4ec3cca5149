"""Registry of plugins: discovery, records of broken ones, and look-up of components by name."""

from __future__ import annotations

import inspect
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import entry_points
from operator import attrgetter
from pkgutil import resolve_name
from typing import Any, Literal

import pluggy
from pydantic import ValidationError

from dbgsom_core import hookspecs
from dbgsom_core.errors import PluginError, UnknownNameError, did_you_mean
from dbgsom_core.hookspecs import KINDS, LIFECYCLE_HOOKS, PREPARE_STEPS, TRANSFORMERS
from dbgsom_core.interfaces.component import RAISED, Component, error_line, given_fields, parse
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.interfaces.version import API_VERSION
from dbgsom_core.withdrawn import withdrawn

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
    def shortest_name(self) -> str:
        """The name that means it whatever is installed: a built-in's is bare."""
        return self.name if self.distribution == OWN_DISTRIBUTION else self.full_name

    @property
    def source(self) -> str:
        """The class as ``module:Class``, without importing it."""
        if isinstance(self.offer, str):
            return self.offer
        return f"{self.offer.__module__}:{self.offer.__qualname__}"

    def means(self, cls: type[Component]) -> bool:
        """Return whether this is the class ``cls``, which is imported already."""
        module, _, name = self.source.partition(":")
        return self.offer is cls or getattr(sys.modules.get(module), name, None) is cls

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

    Attributes
    ----------
    records : list of PluginRecord
        What became of each entry point.
    entries : list of PluginEntry
        What plugins offer, in the order in which they were loaded.
    """

    def __init__(self) -> None:
        self.records: list[PluginRecord] = []
        self.entries: list[PluginEntry] = []
        self._manager = pluggy.PluginManager("dbgsom")
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def discover(cls, disabled: Iterable[str] = (), own_only: bool = False) -> Registry:
        """Load every entry point but the disabled ones, named by themselves or distributions."""
        registry = cls()
        disabled = set(disabled)
        plugins = []
        for point in entry_points(group=GROUP):
            home: Any = point.dist
            plugins.append((PluginRecord(point.name, home.name, home.version), point))
        for record, point in sorted(plugins, key=_built_ins_first):
            is_left_out = own_only and record.distribution != OWN_DISTRIBUTION
            if is_left_out or disabled & {record.name, record.distribution}:
                registry.records.append(replace(record, status="disabled"))
                continue
            try:
                with stdout_to_stderr():
                    plugin = point.load()
                    registry.register(plugin, record.name, record.distribution, record.version)
            except RAISED as error:
                cause = str(error) if isinstance(error, PluginError) else error_line(error)
                details = traceback.format_exc()
                record = replace(record, status="broken", error=cause, details=details)
            registry.records.append(record)
        return registry

    def register(
        self, plugin: Any, name: str, distribution: str = "unregistered", version: str = "0"
    ) -> None:
        """Add a plugin module (or any object with hooks) that is already imported.

        Raises `PluginError` where it states no or an unknown ``DBGSOM_API_VERSION``, or one of its
        hooks is wrong.
        """
        version_of_api = getattr(plugin, "DBGSOM_API_VERSION", None)
        where = getattr(plugin, "__name__", type(plugin).__name__)
        if version_of_api is None:
            raise PluginError(
                f"{where} states no DBGSOM_API_VERSION; add DBGSOM_API_VERSION = {API_VERSION}"
            )
        if version_of_api != API_VERSION:
            older = "that plugin"
            if isinstance(version_of_api, int) and version_of_api > API_VERSION:
                older = "dbgsom-core"
            raise PluginError(
                f"{where} was written for plugin API {version_of_api}, this dbgsom-core supports "
                f"{API_VERSION}; upgrade {older}"
            )
        try:
            self._manager.register(plugin, name=f"{distribution}:{name}")
        except (ValueError, pluggy.PluginValidationError) as error:
            reason = str(error).strip().splitlines()[-1]  # the lines before say where the hook is
            raise PluginError(f"{name} cannot be registered: {reason}") from error
        entries = []
        try:
            hooks = _hooks_of(plugin, self._manager)
            for kind, hook in _OFFER_HOOKS.items():
                if hook not in hooks:
                    continue
                taken = {entry.full_name for entry in self.offered(kind)}
                for key, offer in _offers_of(plugin, kind, hook, distribution).items():
                    entry = PluginEntry(kind, key, offer, distribution, version, name)
                    if entry.full_name in taken:
                        twice = f"{kind} '{key}' is offered twice by {distribution}; rename one"
                        raise PluginError(twice)
                    entries.append(entry)
        except RAISED:
            self._manager.unregister(plugin)  # a plugin is there as a whole or not at all
            raise
        if not hooks.isdisjoint(LIFECYCLE_HOOKS):
            entries.append(PluginEntry(OBSERVER, name, plugin, distribution, version, name))
        self.entries += entries

    @property
    def registered(self) -> list[str]:
        """All plugins as ``distribution:name``, also those left out by `without`."""
        return [name for name, _ in self._manager.list_name_plugin()]

    @property
    def observers(self) -> list[Any]:
        """Plugins that implement lifecycle hooks, in the order in which they were loaded."""
        return [entry.offer for entry in self.entries if entry.kind == OBSERVER]

    @property
    def stored_types(self) -> dict[str, StoredType]:
        """The transformers that plugins list for model files, as ``distribution:name``."""
        return {entry.full_name: entry.offer for entry in self.offered(TRANSFORMER)}

    @property
    def broken(self) -> list[PluginRecord]:
        return [record for record in self.records if record.status == "broken"]

    def names(self, kind: str) -> list[str]:
        return sorted({entry.name for entry in self.offered(kind)})

    def offered(self, kind: str) -> list[PluginEntry]:
        """Return all entries of a kind, by name and distribution."""
        entries = [entry for entry in self.entries if entry.kind == kind]
        return sorted(entries, key=attrgetter("name", "distribution"))

    def components(self) -> list[PluginEntry]:
        """Return the entries of all components, by kind, and of prepare steps."""
        entries = []
        for kind in (*KINDS, STEP):
            entries += self.offered(kind)
        return entries

    def without(self, names: Iterable[str]) -> Registry:
        """Return a registry that leaves out plugins by entry point or distribution.

        Unlike `discover` with ``disabled`` it does not prevent their import; their components and
        observers are removed all the same.
        """
        left_out = set(names)
        rest = copy(self)
        rest.records, rest.entries = [], []
        for record in self.records:
            if left_out & {record.name, record.distribution}:
                record = replace(record, status="disabled")
            rest.records.append(record)
        for entry in self.entries:
            if not left_out & {entry.plugin, entry.distribution}:
                rest.entries.append(entry)
        return rest

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return a sentence for each name of a plugin to disable that no plugin has."""
        known: set[str] = set()
        for record in self.records:
            known |= {record.name, record.distribution}
        for registered in self.registered:  # also without an entry point
            known.update(registered.split(":"))
        sentences = []
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known)
                sentences.append(f"no plugin is called '{name}', so none was disabled{hint}")
        return sentences

    def lookup(self, kind: str, name: str) -> PluginEntry:
        """Return the entry that a bare name or ``distribution:name`` means.

        Raises `UnknownNameError`, with the nearest name, where no plugin offers it, and
        `PluginError` where two third parties do.
        """
        distribution, _, bare_name = name.rpartition(":")
        entries = {}
        for entry in self.offered(kind):
            if entry.name == bare_name and distribution in ("", entry.distribution):
                entries[entry.distribution] = entry
        if not entries:
            raise UnknownNameError(self._unknown_message(kind, name))
        if OWN_DISTRIBUTION in entries:
            return entries[OWN_DISTRIBUTION]
        if len(entries) > 1:
            full_names = " or ".join(repr(entry.full_name) for entry in entries.values())
            raise PluginError(
                f"{kind} '{bare_name}' is offered by {' and '.join(entries)}; write {full_names}"
            )
        return entries.popitem()[1]

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
            raise ValueError(
                f"{kind} must be a name, a mapping with a 'name', or a component instance; "
                f"got {spec!r}"
            )
        problem = problem_of(kind, type(spec))
        if problem:
            raise ValueError(f"{type(spec).__name__} is no {kind}: it {problem}")
        return type(spec).model_validate(given_fields(spec))

    def name_of(self, kind: str, component: Any) -> str:
        """Return the name under which a component can be built again.

        A built-in has its bare name, a third party's its distribution in front. A class that no
        plugin offers is named ``module:Class``.
        """
        cls = type(component)
        entry = self.offer_of(kind, cls)
        return f"{cls.__module__}:{cls.__qualname__}" if entry is None else entry.shortest_name

    def offer_of(self, kind: str, cls: type[Component]) -> PluginEntry | None:
        """Return the entry of a class, or None where no plugin offers it."""
        for entry in self.offered(kind):
            if entry.means(cls):
                return entry
        return None

    def identify(self, kind: str, component: Component) -> PluginEntry:
        """Return the entry of a component's class; `PluginError` where there is none."""
        entry = self.offer_of(kind, type(component))
        if entry is None:
            raise PluginError(
                f"no installed plugin offers the {kind} {self.name_of(kind, component)}, so it "
                f"cannot be written down by name; offer it through the entry-point group '{GROUP}'"
            )
        return entry

    def _unknown_message(self, kind: str, name: str) -> str:
        names = self.names(kind)
        distribution = name.rpartition(":")[0]
        if distribution and distribution not in [entry.distribution for entry in self.entries]:
            hint = f"; no plugin of {distribution} is loaded here"
        else:
            hint = withdrawn(kind, name) or did_you_mean(name, names)
            hint = hint or f"; known: {', '.join(names)}"
        if self.broken:
            distributions = sorted({record.distribution for record in self.broken})
            hint += f" (these plugins could not be loaded: {', '.join(distributions)})"
        return f"unknown {kind} '{name}'{hint}"


def disabled_plugins() -> list[str]:
    """Return the entry points and distributions that ``DBGSOM_DISABLE_PLUGINS`` names."""
    names = map(str.strip, os.environ.get("DBGSOM_DISABLE_PLUGINS", "").split(","))
    return list(filter(None, names))


@lru_cache(maxsize=1)
def get_registry() -> Registry:
    """Return the registry of this process, made on first use.

    ``DBGSOM_NO_PLUGINS`` disables all third parties.
    """
    own_only = os.environ.get("DBGSOM_NO_PLUGINS", "") not in ("", "0")
    return Registry.discover(disabled_plugins(), own_only)


# -------------------------------------------------------------------- checks of a single plugin


def _built_ins_first(plugin: tuple[PluginRecord, Any]) -> tuple[bool, str, str]:
    record = plugin[0]
    return record.distribution != OWN_DISTRIBUTION, record.distribution, record.name


def _hooks_of(plugin: Any, manager: pluggy.PluginManager) -> set[str]:
    hooks = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    for name in hooks.difference(_HOOKS):
        hint = did_you_mean(name, _HOOKS) or f"; known: {', '.join(_HOOKS)}"
        raise PluginError(f"unknown hook '{name}'{hint}")
    for name in _HOOKS:
        if name not in hooks and inspect.isfunction(getattr(plugin, name, None)):
            raise PluginError(f"{name} lacks the decorator: write @hookimpl above it")
    return hooks


def _offers_of(plugin: Any, kind: str, hook: str, distribution: str) -> Mapping[str, Any]:
    """Return what a plugin offers of a kind, by name, checked."""
    types: Any = str
    what = "'module:Class'"
    if kind in KINDS:
        types = (str, type)
        what = "classes or 'module:Class'"
    elif kind == TRANSFORMER:
        types = StoredType
        what = "StoredType"
    who = f"{hook} of {distribution}"
    offers = getattr(plugin, hook)()
    if not isinstance(offers, Mapping):
        answer = type(offers).__name__
        raise PluginError(f"{who} must return a mapping of names to {what}, not {answer}")
    for name, offer in offers.items():
        if not isinstance(name, str) or ":" in name or not name.strip():
            raise PluginError(
                f"{who} offers {name!r}, which is no name: use lower-case letters, digits and _"
            )
        is_half = isinstance(offer, str) and not all(offer.partition(":"))
        if is_half or not isinstance(offer, types):
            raise PluginError(f"{who} must map names to {what}, not {name!r} to {offer!r}")
    return offers
