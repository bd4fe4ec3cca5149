"""``dbgsom sync``: send to trackers what they missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import open_registry
from dbgsom_core.cli.output import show_warnings
from dbgsom_core.errors import ConfigError, DbgsomError
from dbgsom_core.interfaces.guard import told

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.folder.store import StoredRun


@click.command()
@click.argument("experiments", nargs=-1)
@click.option("--runs", default="runs", show_default=True, help="Folder that holds the runs.")
def sync(experiments: Sequence[str], runs: str) -> int:
    """Bring the trackers up to date with the run folders of EXPERIMENTS (all without names).

    What a tracker has already is not sent twice. Runs whose process died without a word are
    closed as killed, runs that still go on are left to their process.
    """
    from dbgsom_core.errors import did_you_mean
    from dbgsom_core.runs.folder.dead import close_dead_runs
    from dbgsom_core.runs.folder.store import find_experiments, find_runs

    registry = open_registry()
    show_warnings(quiet=False)
    root = Path(runs)
    known = find_experiments(root)
    for name in experiments:
        if name not in known:
            raise ConfigError(
                f"no runs of experiment '{name}' in {root}" + did_you_mean(name, known)
            )
    sent = failed = running = 0
    for name in experiments or known:
        close_dead_runs(root, name)
        for stored in find_runs(root, name):
            if stored.damage:
                failed += 1
                click.echo(f"{stored.files.folder}: damaged: {stored.damage}", err=True)
                continue
            running += stored.status == "running"
            if stored.status == "running" or not stored.files.config.exists():
                continue  # a run that was killed at its very start has nothing to send
            try:
                for mirror in _mirrors(stored, registry):
                    mirror(stored.files.folder)
                    sent += 1
            except Exception as error:  # whatever it is, the other runs are sent
                failed += 1
                words = error if isinstance(error, DbgsomError) else told(error)
                click.echo(f"{stored.files.folder}: {words}", err=True)
    click.echo(f"{sent} run(s) brought up to date")
    if running:
        click.echo(f"{running} run(s) still go on, as far as can be seen from here")
    return 1 if failed else 0


def _mirrors(stored: StoredRun, registry: Registry) -> list[Callable[[Path], None]]:
    """Return what brings the trackers of a stored run up to date."""
    from dbgsom_core.config import is_sweep, load_experiment, load_sweep
    from dbgsom_core.interfaces.trackers import TrackerAbilities
    from dbgsom_core.runs.components import packages_named

    config = stored.files.config
    with packages_named(stored.files, registry):
        if is_sweep(config):
            tracking = load_sweep(config, registry=registry).children[0].experiment.tracking
        else:
            tracking = load_experiment(config, registry=registry).tracking
    found = (TrackerAbilities.of(tracker).mirror for _, tracker in tracking)
    return [mirror for mirror in found if mirror is not None]
