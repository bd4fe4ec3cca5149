"""Loading one entry point: whatever it raises becomes a record, and no error of the program."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

from dbgsom_core.errors import PluginError
from dbgsom_core.interfaces.deprecation import DbgsomDeprecationWarning
from dbgsom_core.interfaces.guard import is_from_a_signal
from dbgsom_core.plugins.checks import age_note
from dbgsom_core.plugins.importing import importing
from dbgsom_core.plugins.offers import PluginRecord


def load(
    point: EntryPoint,
    distribution: str,
    version: str,
    register: Callable[[Any, str, str, str], None],
) -> PluginRecord:
    """Import what an entry point names, give it to ``register`` and return how that went.

    Parameters
    ----------
    point : EntryPoint
        Of the group that plugins are found by.
    distribution, version : str
        Who offers it.
    register : callable
        Takes the plugin, its name, distribution and version, and raises where it cannot be used.
    """
    started = time.perf_counter()
    error, details = "", ""
    changes: list[str] = []
    plugin: Any = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DbgsomDeprecationWarning)
        try:
            with importing(distribution, point.name) as changes:
                plugin = point.load()
                register(plugin, point.name, distribution, version)
        except BaseException as problem:
            if is_from_a_signal(problem):
                raise
            error = first_line(problem)
            if not isinstance(problem, PluginError):
                error = f"{type(problem).__name__}: {error}"
            details = traceback.format_exc()
    seconds = time.perf_counter() - started
    api_version = getattr(plugin, "DBGSOM_API_VERSION", None)
    notes = [age_note(api_version)] if isinstance(api_version, int) and not error else []
    for one in caught:
        if issubclass(one.category, DbgsomDeprecationWarning):
            notes.append(str(one.message))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return PluginRecord(
        point.name,
        distribution,
        version,
        "broken" if error else "ok",
        error,
        details,
        seconds,
        point.value,
        api_version if isinstance(api_version, int) else None,
        tuple(note for note in dict.fromkeys(notes) if note),
        tuple(changes),
    )


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or else its type."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
