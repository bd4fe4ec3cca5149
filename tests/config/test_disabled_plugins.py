"""A run leaves the plugins alone that its configuration disables."""

import types

import pytest

from dbgsom_core.api import KernelComponent, hookimpl
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.plugins.registry import Registry

RUN = {"experiment": "x", "dataset": "iris", "tracking": None}


class Flat(KernelComponent):
    """A kernel without slope."""

    def weight(self, hops, width):
        return 1.0 + 0.0 * hops


@pytest.fixture
def registry():
    plugin = types.ModuleType("flat")
    plugin.DBGSOM_API_VERSION = 1
    plugin.dbgsom_kernels = hookimpl(lambda: {"flat": Flat})
    plugin.dbgsom_run_started = hookimpl(lambda run: None)
    found = Registry.discover(own_only=True)
    found.register(plugin, "flat", "dbgsom-flat", "1.0")
    return found


@pytest.mark.parametrize("name", ["flat", "dbgsom-flat"])
def test_a_disabled_plugins_components_are_unknown(name, registry):
    assert load_experiment({**RUN, "model": {"kernel": "flat"}}, registry=registry).disabled == ()
    with pytest.raises(ConfigError, match="unknown kernel 'flat'"):
        load_experiment(
            {**RUN, "model": {"kernel": "flat"}, "plugins": {"disable": [name]}}, registry=registry
        )


def test_a_disabled_plugins_observers_stay_away(registry):
    assert len(registry.observers) == 1
    experiment = load_experiment({**RUN, "plugins": {"disable": ["flat"]}}, registry=registry)
    assert registry.without(experiment.disabled).observers == []
    assert experiment.notes == ()
    assert len(registry.observers) == 1
