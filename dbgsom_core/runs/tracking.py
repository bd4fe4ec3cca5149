"""Which trackers a stored run was told to."""

from __future__ import annotations

from collections.abc import Sequence

from dbgsom_core.config import is_sweep, load_experiment, load_sweep
from dbgsom_core.interfaces.component import Component
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.components import packages_named
from dbgsom_core.runs.folder.store import StoredRun


def tracking_of(stored: StoredRun, registry: Registry) -> Sequence[tuple[str, Component]]:
    """Return the trackers that the configuration in a run folder names.

    Raises
    ------
    ConfigError
        The configuration cannot be read here; missing packages are named.
    """
    config = stored.files.config
    with packages_named(stored.files, registry):
        if is_sweep(config):
            return load_sweep(config, registry=registry).children[0].experiment.tracking
        return load_experiment(config, registry=registry).tracking
