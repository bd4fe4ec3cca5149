"""Import classes that a configuration names: from installed packages, or from its owner's folder.

A configuration is its owner's code; what stands in a model file or run folder is not. So a folder
comes from the command line or from where the configuration lies, never from what was stored.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from dbgsom_core.experiments.models import OWN_STEPS


def import_class(name: str, folder: Path | None) -> type[Any]:
    """Return the class ``module:Class`` of an installed package, or else of a folder.

    Without a folder a module that is not installed has to be imported already. Raises whatever the
    module does.
    """
    root = name.partition(":")[0].partition(".")[0]
    with _path(None):
        if any(finder.find_spec(root, None) for finder in sys.meta_path):
            return resolve_name(name)  # type: ignore[no-any-return]
    spec = None if folder is None else PathFinder.find_spec(root, [str(folder)])
    other = {}  # modules of this name that were imported from elsewhere
    loaded = sys.modules.get(root)
    if spec and loaded and _origin(spec) != _origin(getattr(loaded, "__spec__", None)):
        other = {key: one for key, one in sys.modules.items() if key.partition(".")[0] == root}
    for module in other:
        del sys.modules[module]
    try:
        with _path(folder):
            cls: type[Any] = resolve_name(name)
    except BaseException:
        sys.modules.update(other)
        raise
    OWN_STEPS[f"{cls.__module__}:{cls.__qualname__}"] = cls
    return cls


def _origin(spec: ModuleSpec | None) -> Any:
    return spec and (spec.origin or [*(spec.submodule_search_locations or ())])


@contextmanager
def _path(folder: Path | None) -> Iterator[None]:
    """Search modules where packages are installed and in a folder, but in no other near by."""
    before = list(sys.path)
    near = {"", os.curdir} | ({sys.path[0]} if sys.path and not sys.flags.safe_path else set())
    real = {os.path.realpath(one or os.curdir) for one in near}
    kept = [one for one in before if os.path.realpath(one or os.curdir) not in real]
    sys.path[:] = kept if folder is None else [*kept, str(folder)]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before
