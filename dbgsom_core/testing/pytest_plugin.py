"""The plugin of dbgsom-core for pytest: one fixture, imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry


@pytest.fixture
def dbgsom_registry() -> Registry:
    """Return an empty registry, without the installed plugins, for a test to register its own.

    ``dbgsom_registry.register(my_plugin_module, "mine")`` judges the module as discovery would.
    """
    from dbgsom_core.plugins.registry import Registry

    return Registry()
