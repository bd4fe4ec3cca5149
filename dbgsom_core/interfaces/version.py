"""Versions: of this package, of the interfaces, and in which names of plugins will be gone."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__version__ = "0.1.0"

API_VERSION = 1  # what a plugin states as ``DBGSOM_API_VERSION``
# A plugin of the previous version keeps working until the next one comes.
SUPPORTED_API_VERSIONS: tuple[int, ...] = tuple(range(max(1, API_VERSION - 1), API_VERSION + 1))


class DbgsomDeprecationWarning(FutureWarning):
    """Something of the plugin API still works and has a version in which it will be gone."""


@dataclass(frozen=True)
class Deprecation:
    """One deprecated name.

    Attributes
    ----------
    since, removal : str
        Versions of the package: deprecated in, gone in.
    instead : str
        What to use, as it would be written.
    value : object
        What the old name means until then.
    """

    since: str
    removal: str
    instead: str
    value: Any = None

    def sentence(self, name: str, package: str = "dbgsom-core") -> str:
        return (
            f"{name} is deprecated since {package} {self.since} and will be removed in "
            f"{self.removal}; use {self.instead}"
        )


def deprecated_name(module: str, name: str, table: Mapping[str, Deprecation]) -> Any:
    """Return what a deprecated name of a module means, with a warning; for ``__getattr__``.

    Raises
    ------
    AttributeError
        The table does not know the name.
    """
    if name not in table:
        raise AttributeError(f"module '{module}' has no attribute '{name}'")
    warnings.warn(table[name].sentence(f"{module}.{name}"), DbgsomDeprecationWarning, stacklevel=3)
    return table[name].value
