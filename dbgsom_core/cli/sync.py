"""``dbgsom sync``: send to trackers what they missed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from dbgsom_core.cli.options import open_registry, show_warnings
from dbgsom_core.errors import ConfigError


@click.command()
@click.argument("experiments", nargs=-1)
@click.option("--runs", default="runs", show_default=True, help="Folder that holds the runs.")
def sync(experiments: Sequence[str], runs: str) -> None:
    """Bring the trackers up to date with the run folders of EXPERIMENTS (all without names).

    What a tracker has already is not sent twice.
    """
    from dbgsom_core.errors import did_you_mean
    from dbgsom_core.run_store import find_experiments, find_runs

    registry = open_registry(False, False)
    show_warnings(quiet=False)
    root = Path(runs)
    known = find_experiments(root)
    for name in experiments:
        if name not in known:
            raise ConfigError(
                f"no runs of experiment '{name}' in {root}" + did_you_mean(name, known)
            )
    sent = 0
    for name in experiments or known:
        for stored in find_runs(root, name):
            tracking = stored.config.get("tracking") or []
            for section in tracking if isinstance(tracking, list) else [tracking]:
                mirror = getattr(registry.build("tracker", section), "mirror", None)
                if mirror is not None:
                    mirror(stored.files.folder)
                    sent += 1
    click.echo(f"{sent} run(s) brought up to date")
