"""``dbgsom sync``, ``register`` and ``ui``: runs in trackers."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import NoReturn

import click

from dbgsom_core.cli.console import (
    echo,
    open_registry,
    option,
    plugin_options,
    print_notes,
    runs_option,
)
from dbgsom_core.errors import DataError, DbgsomError
from dbgsom_core.experiments.trackers import Page
from dbgsom_core.files import exists
from dbgsom_core.interfaces.component import error_line, guarded
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.folder import StoredRun, find_experiments
from dbgsom_core.runs.session import Tracking, default_tracking, ended_by_term, tracking_of
from dbgsom_core.runs.stored_runs import find_run, load, runs_of

_PORT = 5000  # that of MLflow's own server
_SECONDS_TO_END = 10.0  # from the first signal on, until the server is killed
_SECONDS_BETWEEN_LOOKS = 0.2  # at the server


@click.command()
@click.argument("what", metavar="[EXPERIMENT|RUN]…", nargs=-1)
@option("--dry-run", "Only list the runs that trackers lack.", is_flag=True)
@runs_option
def sync(what: Sequence[str], dry_run: bool, runs: str) -> int:
    """Bring the trackers up to date with the run folders of EXPERIMENTs and RUNs (all without).

    A RUN is a folder, an id or the end of one; a sweep stands for its runs, too. What a tracker has
    already is not sent twice. Runs whose process died without a word are killed, runs that still go
    on are left to their process.
    """
    registry = open_registry()
    counts = Counter[str]()
    for stored in _runs_to_sync(what, Path(runs)):
        folder = stored.files.folder
        if stored.damage:
            counts["failed"] += 1
            echo(f"{folder}: damaged: {stored.damage}", err=True)
        elif stored.status == "running":
            counts["running"] += 1
        elif stored.files.config.exists():  # else it was killed at its very start
            try:
                counts.update(_sync_run(stored, registry, dry_run))
            except Exception as error:  # whatever it is, the other runs are sent
                counts["failed"] += 1
                reason = error if isinstance(error, DbgsomError) else error_line(error)
                echo(f"{folder}: {reason}", err=True)
    text = f"{counts['sent']} run(s) {'to be ' * dry_run}brought up to date"
    if counts["complete"]:
        text += f"; {counts['complete']} were already"
    echo(text)
    if counts["running"]:
        echo(f"{counts['running']} run(s) still go on, as far as can be seen from here")
    return 1 if counts["failed"] else 0


def _runs_to_sync(names: Sequence[str], root: Path) -> list[StoredRun]:
    """Return the named runs, or all, each once."""
    runs = {}
    for name in names or find_experiments(root):
        for stored in runs_of(name, root):
            runs[stored.files.folder.absolute()] = stored
    return list(runs.values())


def _sync_run(stored: StoredRun, registry: Registry, dry_run: bool) -> list[str]:
    """Bring trackers up to date; return for each ``sent``, or ``complete`` where it was already."""
    folder, states = stored.files.folder, []
    for name, component in tracking_of(stored, registry):
        tracker = guarded(component)
        if tracker.mirror is None:
            continue
        if dry_run:
            is_sent = not (tracker.mirrored and tracker.mirrored(folder))
            if is_sent:
                echo(f"{folder}: {stored.status}, not in {name} as it is")
        else:
            is_sent = tracker.mirror(folder) is not False
        states.append("sent" if is_sent else "complete")
    return states


@click.command()
@click.argument("run")
@click.argument("name")
@option("--alias", "What this version is called, such as champion.", metavar="ALIAS")
@runs_option
@plugin_options
def register(run: str, name: str, alias: str | None, runs: str) -> None:
    """Make the model of RUN a version of the registered model NAME, and give it an alias.

    RUN is a run's folder or id, a sweep (its best run) or an experiment (its newest run). The model
    is then an address, models:/NAME@ALIAS say, wherever a model is named. A run that the tracker
    lacks is sent first; one that is a version of NAME already stays that version.
    """
    from dbgsom_core.runs.predict import trained_run

    registry = open_registry()
    for text in (name, alias or "x"):
        if not text.strip() or set(text) & set("/:@"):
            raise DataError(f"'{text}' is no name of a model or alias: leave out / : and @")
    trained, notes = trained_run(run, Path(runs))
    if trained.status != "finished":
        raise DataError(
            f"run {trained.id} has not finished ({trained.status}): nothing is registered"
        )
    print_notes(notes)
    for _, tracker in tracking_of(trained, registry):
        register_model = guarded(tracker).register
        if register_model is not None:
            echo(register_model(trained.files.folder.absolute(), name, alias))
            return
    raise DbgsomError(f"run {trained.id} is in no tracker with registered models (see tracking)")


@click.command()
@click.argument("what", metavar="[CONFIG|RUN]", required=False)
@option("--port", "5000, or the next one that is free.", type=click.IntRange(1, 65535))
@option("--print only_print", "Print command and address only.", is_flag=True)
@option("--open in_browser", "Open the page in the browser.", is_flag=True)
@runs_option
@plugin_options
def ui(what: str | None, port: int | None, only_print: bool, in_browser: bool, runs: str) -> None:
    """Show runs in MLflow, or on another tracker's page: one, a sweep's, a configuration's.

    Without an argument it is where runs are sent whose configuration does not say where to. The
    page is served on this machine alone until Ctrl-C.
    """
    tracking, experiment, folder = _find_subject(what, Path(runs), open_registry())
    pages = [page for _, tracker in tracking if (page := guarded(tracker).page)]
    if not pages:
        raise DbgsomError("the runs are in no tracker with a page; 'dbgsom show RUN' shows one")
    page = pages[0](experiment, folder, port or _free_port())
    if page.command and not only_print:
        _serve(page, in_browser)
    if page.command:
        echo(shlex.join(page.command))
    echo(f"open {page.address}")
    if in_browser and not only_print:
        click.launch(page.address)


def _find_subject(
    what: str | None, runs: Path, registry: Registry
) -> tuple[Tracking, str | None, Path | None]:
    if what is None:
        return default_tracking(registry), None, None
    if exists(what) and not Path(what).is_dir():
        _, experiments = load(what, (), registry)
        return experiments[0].tracking, experiments[0].experiment, None
    run, notes = find_run(what, runs, besides=" and no configuration")
    of_experiment = bool(notes) and run.kind != "sweep"  # then all runs are shown
    folder = None if of_experiment else run.files.folder
    return tracking_of(run, registry), run.experiment, folder


def _free_port() -> int:
    for port in range(_PORT, _PORT + 100):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise DbgsomError(f"no port from {_PORT} to {_PORT + 99} is free: choose one with --port")


def _serve(page: Page, in_browser: bool) -> NoReturn:
    """Run the server until it ends or a signal comes; none of its processes survives."""
    with ended_by_term(), TemporaryFile("w+", errors="replace") as log:
        server = subprocess.Popen(
            page.command,
            env={**os.environ, **page.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends the group
        )
        try:
            echo("starting the page …", err=True)
            health = f"{page.address.partition('#')[0]}health"
            while server.poll() is None and not _answers(health):
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            if server.poll() is None:
                echo(f"open {page.address}\nCtrl-C ends it")
                if in_browser:
                    click.launch(page.address)
            while server.poll() is None:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            log.seek(0)
            last = "".join(log.readlines()[-8:]).strip()
            raise DbgsomError(f"the page ended by itself, with exit code {server.poll()}: {last}")
        finally:
            _end(server)


def _answers(address: str) -> bool:
    from urllib.request import urlopen  # slow to import

    with suppress(OSError):
        urlopen(address, timeout=1).close()
        return True
    return False


def _end(server: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        server.terminate()
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):  # the whole group, of which the server is the first
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(_SECONDS_TO_END)
