"""Import classes that a configuration names, from installed packages only."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname


@contextmanager
def installed_only(module: str) -> Iterator[None]:
    """Import a module without the working folder and that of the script.

    A folder that is installed in place (``pip install -e .``) is searched all the same.

    Raises
    ------
    ImportError
        The package that the module is in was imported from such a folder.
    """
    before = list(sys.path)
    kept = _installed(before)
    package = sys.modules.get(module.partition(".")[0])
    if module not in sys.modules and package is not None:
        left_out = {_real(one) for one in before} - {_real(one) for one in kept}
        homes = [str(Path(_real(one)).parent) for one in getattr(package, "__path__", ())]
        if any(home in left_out for home in homes):
            raise ImportError(f"{module} lies in {homes[0]} and is not installed")
    sys.path[:] = kept
    importlib.invalidate_caches()
    try:
        yield
    finally:
        added = [one for one in sys.path if one not in kept]
        sys.path[:] = [*before, *added]


def _installed(path: list[str]) -> list[str]:
    near = {_real(""), *map(_real, [] if sys.flags.safe_path else path[:1])}
    kept = [one for one in path if _real(one) not in near]
    for distribution in distributions(path=kept) if len(kept) < len(path) else ():
        with suppress(ValueError, KeyError, TypeError, AttributeError, OSError):
            origin = json.loads(distribution.read_text("direct_url.json") or "")
            if origin["dir_info"]["editable"]:
                folder = Path(_real(url2pathname(urlparse(origin["url"]).path)))
                near -= {str(folder), str(folder / "src")}
    return [one for one in path if _real(one) not in near]


def _real(folder: str) -> str:
    return os.path.realpath(folder or os.curdir)
