"""What plugins offer, as configurations and commands ask for it."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import replace

from dbgsom_core.errors import did_you_mean
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.plugins.registry import STEP, PluginEntry, Registry


def all_components(registry: Registry) -> list[PluginEntry]:
    """Return the entries of all components, by kind, and of prepare steps."""
    entries = []
    for kind in (*KINDS, STEP):
        entries += registry.offered(kind)
    return entries


def unknown_plugins(registry: Registry, names: Iterable[str]) -> list[str]:
    """Return a sentence for each name of a plugin to disable that no plugin has."""
    known: set[str] = set()
    for record in registry.records:
        known |= {record.name, record.distribution}
    for registered in registry.registered:  # also without an entry point
        known.update(registered.split(":"))
    sentences = []
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            sentences.append(f"no plugin is called '{name}', so none was disabled{hint}")
    return sentences


def without_plugins(registry: Registry, names: Iterable[str]) -> Registry:
    """Return a registry that leaves out plugins by entry point or distribution.

    Unlike ``Registry.discover(disabled=...)`` it does not prevent their import; their components
    and observers are removed all the same.
    """
    off = set(names)
    rest = copy(registry)
    rest.records, rest.entries = [], []
    for record in registry.records:
        if off & {record.name, record.distribution}:
            record = replace(record, status="disabled")
        rest.records.append(record)
    for entry in registry.entries:
        if not off & {entry.plugin, entry.distribution}:
            rest.entries.append(entry)
    return rest
