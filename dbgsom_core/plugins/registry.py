"""Finding plugins, keeping broken ones apart, and looking components up by name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

import pluggy
from pydantic import ValidationError

from dbgsom_core import hookspecs
from dbgsom_core.errors import PluginError, UnknownNameError, did_you_mean
from dbgsom_core.hookspecs import KINDS, LIFECYCLE_HOOKS
from dbgsom_core.interfaces.component import Component, given_fields, parse
from dbgsom_core.interfaces.deprecation import DbgsomDeprecationWarning, Deprecation
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.interfaces.trackers import TrackerTraits
from dbgsom_core.plugins.checks import (
    check_api_version,
    check_hooks,
    offers_of,
    steps_of,
    transformers_of,
)
from dbgsom_core.plugins.importing import OWN_DISTRIBUTION as OWN_DISTRIBUTION
from dbgsom_core.plugins.loading import first_line, load
from dbgsom_core.plugins.offers import Offered, PluginRecord, missing_methods, origin_of

GROUP = "dbgsom.plugins"
STEP = "prepare step"


class Registry:
    """All plugins of this process and the components that they offer.

    Broken plugins are kept as records and never raise here; a component that cannot be had raises
    when it is asked for by name.
    """

    def __init__(self) -> None:
        self.records: list[PluginRecord] = []
        self._offers: dict[str, dict[str, list[Offered]]] = {kind: {} for kind in KINDS}
        self._old_names: dict[tuple[str, str], list[Offered]] = {}
        self._observers: list[tuple[str, str, Any]] = []  # (distribution, name, plugin)
        self._transformers: dict[str, tuple[str, StoredType]] = {}  # with the plugin's name
        self.steps: list[Offered] = []  # prepare steps, whose classes are no components
        self._manager = pluggy.PluginManager("dbgsom")
        self._manager.add_hookspecs(hookspecs)

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
        found: dict[tuple[str, str, str], tuple[EntryPoint, str]] = {}
        for point in entry_points(group=GROUP):
            distribution, version = origin_of(point)
            # One distribution may be found twice on the path: the first one counts.
            found.setdefault((distribution, point.name, point.value), (point, version))
        for distribution, name, value in sorted(found, key=_built_ins_first):
            point, version = found[distribution, name, value]
            foreign = own_only and distribution != OWN_DISTRIBUTION
            if foreign or off & {name, distribution}:
                record = PluginRecord(name, distribution, version, "disabled", module=value)
                registry.records.append(record)
            else:
                registry.records.append(load(point, distribution, version, registry.register))
        return registry

    def without(self, names: Iterable[str]) -> Registry:
        """Return a registry that leaves out plugins by entry point or distribution.

        Unlike ``discover(disabled=...)`` this comes after their import; their components and
        observers are gone all the same.
        """
        off = set(names)
        if not off:
            return self
        rest = Registry()
        rest.records = [
            replace(one, status="disabled") if off & {one.name, one.distribution} else one
            for one in self.records
        ]
        for kind in KINDS:
            for offered in self.offered(kind):
                if not off & {offered.plugin, offered.distribution}:
                    rest._offers[kind].setdefault(offered.name, []).append(offered)
        rest._old_names = {
            key: [one for one in offers if not off & {one.plugin, one.distribution}]
            for key, offers in self._old_names.items()
        }
        rest._transformers = {
            name: (plugin, stored)
            for name, (plugin, stored) in self._transformers.items()
            if not off & {plugin, name.partition(":")[0]}
        }
        rest.steps = [one for one in self.steps if not off & {one.plugin, one.distribution}]
        rest._observers = [one for one in self._observers if not off & {one[0], one[1]}]
        rest._manager = self._manager
        return rest

    def register(
        self, plugin: Any, name: str, distribution: str = "unregistered", version: str = "0"
    ) -> None:
        """Add a plugin module (or any object with hooks) that is already imported.

        Raises
        ------
        PluginError
            It states no or an unknown ``DBGSOM_API_VERSION``, or one of its hooks is wrong.
        """
        check_api_version(plugin)
        hooks = check_hooks(plugin)
        offers = list(offers_of(plugin, hooks, distribution, version, name))
        listed = transformers_of(plugin, hooks, distribution)
        steps = steps_of(plugin, hooks, distribution)
        self._refuse_twice(offers)
        for one in listed.keys() & self._transformers.keys():
            raise PluginError(f"transformer '{one}' is listed twice; rename one")
        try:
            self._manager.register(plugin, name=f"{distribution}:{name}")
        except (ValueError, pluggy.PluginValidationError) as error:
            raise PluginError(f"{name} cannot be registered: {first_line(error)}") from error
        for offered in offers:
            if isinstance(offered.offer, Deprecation):
                self._old_names.setdefault((offered.kind, offered.name), []).append(offered)
            else:
                self._offers[offered.kind].setdefault(offered.name, []).append(offered)
        self._transformers |= {key: (name, stored) for key, stored in listed.items()}
        self.steps += [
            Offered(STEP, step, where, distribution, version, name) for step, where in steps.items()
        ]
        if set(hooks) & set(LIFECYCLE_HOOKS):
            self._observers.append((distribution, name, plugin))

    def _refuse_twice(self, offers: list[Offered]) -> None:
        for offered in offers:
            before = self._offers[offered.kind].get(offered.name, [])
            if any(one.distribution == offered.distribution for one in before):
                raise PluginError(
                    f"{offered.kind} '{offered.name}' is offered twice by {offered.distribution}: "
                    "nobody could tell its two entry points apart by name; rename one"
                )

    @property
    def observers(self) -> list[Any]:
        """Plugins that implement lifecycle hooks, in the order in which they were loaded."""
        return [plugin for _, _, plugin in self._observers]

    @property
    def prepare_steps(self) -> dict[str, list[str]]:
        """What plugins name for ``prepare``: each name with the classes that it may mean."""
        names = sorted({one.name for one in self.steps})
        return {name: [one.source for one in self.steps if one.name == name] for name in names}

    @property
    def named_classes(self) -> list[tuple[str, str, str]]:
        """Distribution, name and ``module:Class`` of prepare steps and transformers."""
        named = {(one.distribution, one.name, one.source) for one in self.steps}
        for listed, stored in self.stored_types.items():
            distribution, _, name = listed.partition(":")
            named.add((distribution, name, stored.where))
        return sorted(named)

    @property
    def stored_types(self) -> dict[str, StoredType]:
        """The transformers that plugins list for model files, as ``distribution:name``."""
        return {name: stored for name, (_, stored) in self._transformers.items()}

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
            renamed = self._renamed(kind, name)
            if renamed is None:
                raise UnknownNameError(self._unknown(kind, name))
            return renamed
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

    def _renamed(self, kind: str, name: str) -> Offered | None:
        # What an old name means, where one plugin alone offers it.
        distribution, _, bare = name.rpartition(":")
        known = self._old_names.get((kind, bare), [])
        known = [one for one in known if distribution in ("", one.distribution)]
        if len(known) != 1:
            return None
        (one,) = known
        assert isinstance(one.offer, Deprecation)
        told = one.offer.told(f"{kind} '{bare}'", one.distribution)
        warnings.warn(told, DbgsomDeprecationWarning, stacklevel=4)
        return self.lookup(kind, f"{one.distribution}:{one.offer.instead}")

    def find(self, kind: str, name: str) -> type[Component]:
        """Return the class of a component by name; raises as `lookup` and `Offered.load` do."""
        return self.lookup(kind, name).load()

    def trackers(self) -> dict[str, TrackerTraits]:
        """Return what the classes of trackers say of themselves, by name, but for broken ones."""
        found = {}
        for name in self.names("tracker"):
            with suppress(PluginError, TypeError):
                found[name] = TrackerTraits.of(self.find("tracker", name))
        return found

    def build(self, kind: str, spec: Any) -> Any:
        """Return a component from a name, a mapping with ``name``, or an instance.

        An instance is built anew from the fields that it was given, since its copies are not
        checked. What was read from a file has lists where a field may want a tuple.

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
                raise ValueError(
                    f"{_a(kind)} given as a mapping needs a 'name': got {dict(spec)!r}"
                )
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
        missing = missing_methods(kind, type(spec))
        if missing:
            raise ValueError(f"{type(spec).__name__} is no {kind}: it lacks {missing}")
        return type(spec).model_validate(given_fields(spec))

    def name_of(self, kind: str, component: Any) -> str:
        """Return the name under which a component can be built again.

        A built-in has its bare name, a third party's its distribution in front. A class that no
        plugin offers is told by its place in Python.
        """
        cls = type(component)
        offered = self.offer_of(kind, cls)
        if offered is None:
            return f"{cls.__module__}:{cls.__qualname__}"
        own = offered.distribution == OWN_DISTRIBUTION
        return offered.name if own else f"{offered.distribution}:{offered.name}"

    def offer_of(self, kind: str, cls: type[Component]) -> Offered | None:
        """Return the offer that means a class, or None where no plugin offers it."""
        return next((one for one in self.offered(kind) if one.means(cls)), None)

    def identify(self, kind: str, component: Component) -> Offered:
        """Return the offer that means a component's class.

        Raises
        ------
        PluginError
            No plugin offers its class, so nobody could build it again.
        """
        cls = type(component)
        offered = self.offer_of(kind, cls)
        if offered is not None:
            return offered
        source = f"{cls.__module__}:{cls.__qualname__}"
        raise PluginError(
            f"no installed plugin offers {source} as {_a(kind)}, so it cannot be written down by "
            f"name; offer it through the entry-point group '{GROUP}'"
        )

    def _unknown(self, kind: str, name: str) -> str:
        hint = did_you_mean(name, self.names(kind))
        broken = ", ".join(sorted({record.distribution for record in self.broken}))
        suspects = f" (these plugins could not be loaded: {broken})" if broken else ""
        known = "" if hint else f"; known: {', '.join(self.names(kind))}"
        distribution = name.rpartition(":")[0]
        if distribution:
            status = {one.distribution: one.status for one in self.records}.get(distribution)
            why = f"{distribution} is {status}" if status else why_absent(distribution)
            near = hint or did_you_mean(name.rpartition(":")[2], self.names(kind))
            hint, known = f"; {why}{near}" if status != "ok" else hint, ""
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


def why_absent(distribution: str) -> str:
    """Say of a package of which no plugin is loaded whether it is installed at all."""
    try:
        version(distribution)
    except (PackageNotFoundError, ValueError):
        return f"the package '{distribution}' is not installed here"
    return f"the package '{distribution}' is installed, and no plugin of it offers that"


def _built_ins_first(key: tuple[str, str, str]) -> tuple[bool, str, str, str]:
    distribution, name, value = key
    return distribution != OWN_DISTRIBUTION, distribution, name, value


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
