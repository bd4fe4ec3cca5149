"""When Python's collector had better wait."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Let Python look for no garbage while what stays is loaded.

    It would look through all objects of the process again and again for nothing, which takes
    longer than to load all loops of a fit, and a seventh of the time of all imports.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
