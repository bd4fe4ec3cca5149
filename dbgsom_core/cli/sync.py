"""``dbgsom sync``: send to trackers what they missed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import open_registry, runs_option
from dbgsom_core.cli.output import show_warnings
from dbgsom_core.errors import DbgsomError, as_text
from dbgsom_core.interfaces.guard import told

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.folder import StoredRun


@click.command()
@click.argument("what", metavar="[EXPERIMENT|RUN]…", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only list the runs that trackers lack; ask nobody.")
@runs_option
def sync(what: Sequence[str], dry_run: bool, runs: str) -> int:
    """Bring the trackers up to date with the run folders of EXPERIMENTs and RUNs (all without).

    A RUN is a folder, an id or the end of one; a sweep stands for its runs, too. What a tracker has
    already is not sent twice. Runs whose process died without a word are closed as killed, runs
    that still go on are left to their process.
    """
    from dbgsom_core.runs.find import has_died

    registry = open_registry()
    show_warnings(quiet=False)
    sent = whole = failed = running = 0
    for stored in _chosen(what, Path(runs), dry_run):
        if stored.damage:
            failed += 1
            click.echo(f"{stored.files.folder}: damaged: {stored.damage}", err=True)
            continue
        goes_on = stored.status == "running" and not has_died(stored)
        running += goes_on
        if goes_on or not stored.files.config.exists():
            continue  # a run that was killed at its very start has nothing to send
        try:
            of_these, others = _brought(stored, registry, dry_run)
            sent, whole = sent + of_these, whole + others
        except Exception as error:  # whatever it is, the other runs are sent
            failed += 1
            words = error if isinstance(error, DbgsomError) else told(error)
            click.echo(f"{stored.files.folder}: {words}", err=True)
    before = f"; {whole} {'are' if dry_run else 'were'} already" if whole else ""
    click.echo(f"{sent} run(s) {'to be ' if dry_run else ''}brought up to date{before}")
    if running:
        click.echo(f"{running} run(s) still go on, as far as can be seen from here")
    return 1 if failed else 0


def _chosen(what: Sequence[str], root: Path, untouched: bool) -> list[StoredRun]:
    """Return the runs that are meant, each once, a sweep before its runs; dead ones are closed."""
    from dbgsom_core.runs.find import find_run, mark_killed_runs, remove_empty_folders
    from dbgsom_core.runs.folder import find_experiments, find_runs

    if not what and not untouched:
        remove_empty_folders(root)
    known = find_experiments(root)
    found: list[StoredRun] = []
    for name in what or known:
        if name in known:
            if not untouched:
                mark_killed_runs(root, name)
            found += find_runs(root, name)
            continue
        run, _ = find_run(name, root)
        folder = run.files.folder
        beside = find_runs(folder.parents[1], folder.parent.name) if run.kind == "sweep" else []
        found += [run, *(one for one in beside if one.parent == run.id)]
    return list({one.files.folder.absolute(): one for one in found}.values())


def _brought(stored: StoredRun, registry: Registry, dry_run: bool) -> tuple[int, int]:
    """Bring the trackers of a run up to date, or list what they lack; return how many of them
    lacked something, and how many did not.
    """
    from dbgsom_core.interfaces.trackers import TrackerAbilities
    from dbgsom_core.runs.callbacks import tracking_of

    folder, counts = stored.files.folder, [0, 0]
    for name, tracker in tracking_of(stored, registry):
        able = TrackerAbilities.of(tracker)
        if able.mirror is None:
            continue
        if not dry_run:
            counts[able.mirror(folder) is False] += 1
        elif able.mirrored and able.mirrored(folder):
            counts[1] += 1
        else:
            counts[0] += 1
            click.echo(as_text(f"{folder}: {stored.status}, not in {name} as it is"))
    return counts[0], counts[1]
