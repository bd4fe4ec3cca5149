"""What pytest gets in every environment with dbgsom-core: one fixture, imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry


@pytest.fixture
def dbgsom_registry() -> Registry:
    """Return an empty registry: it has found nothing, and knows only what the test registers.

    ``dbgsom_registry.register(my_plugin_module, "mine")`` judges the module as discovery would.
    """
    from dbgsom_core.plugins.registry import Registry

    return Registry()
