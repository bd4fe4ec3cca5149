"""Versions of this package and of the plugin API, and deprecations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__version__ = "0.1.0"

API_VERSION = 1  # what a plugin states as ``DBGSOM_API_VERSION``
# A plugin of the previous version keeps working until the next one comes.
SUPPORTED_API_VERSIONS: tuple[int, ...] = tuple(range(max(1, API_VERSION - 1), API_VERSION + 1))


class DbgsomDeprecationWarning(FutureWarning):
    """Warning of a plugin API name that will be removed in a stated version."""


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
        """Return the warning's message for a name used by a package."""
        return (
            f"{name} is deprecated since {package} {self.since} and will be removed in "
            f"{self.removal}; use {self.instead}"
        )
