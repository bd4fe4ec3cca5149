"""``dbgsom ui``: the page of a tracker on the right experiment."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import plugin_options, runs_option
from dbgsom_core.errors import DbgsomError, as_text

if TYPE_CHECKING:
    from pathlib import Path

    from dbgsom_core.interfaces.component import Component
    from dbgsom_core.interfaces.trackers import Page
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.folder import StoredRun

_PORT = 5000
_SECONDS_TO_START = 60.0
_SECONDS_TO_END = 10.0


@click.command()
@click.argument("what", metavar="[CONFIG|RUN]", required=False)
@click.option("--port", type=click.IntRange(1, 65535), help="5000, or the next one that is free.")
@click.option("--print", "only_print", is_flag=True, help="Print command and address only.")
@click.option("--open", "in_browser", is_flag=True, help="Open the page in the browser.")
@runs_option
@plugin_options
def ui(
    what: str | None,
    port: int | None,
    only_print: bool,
    in_browser: bool,
    runs: str,
    registry: Registry,
) -> int:
    """Show runs in MLflow: a run, the variants of a sweep, or all runs of a configuration.

    Without an argument it is the store sqlite:///mlflow.db of the working directory. MLflow is
    served on this machine alone until Ctrl-C.
    """
    tracking, experiment, folder = _meant(what, runs, registry)
    page = _page(tracking, experiment, folder, port or _free_port())
    if only_print or not page.command:
        if page.command:
            click.echo(shlex.join(page.command))
        click.echo(f"open {page.address}")
        if in_browser and not only_print:
            click.launch(page.address)
        return 0
    return _serve(page, in_browser)


def _meant(
    what: str | None, runs: str, registry: Registry
) -> tuple[Sequence[tuple[str, Component]], str | None, Path | None]:
    from pathlib import Path

    from dbgsom_core.config import Sweep
    from dbgsom_core.files import exists
    from dbgsom_core.interfaces.privacy import masked_name
    from dbgsom_core.runs.find import find_run
    from dbgsom_core.runs.folder import find_runs
    from dbgsom_core.runs.resume import load

    if what is None:
        return [("mlflow", registry.build("tracker", "mlflow"))], None, None
    if exists(what) and not Path(what).is_dir():
        loaded, experiments = load(what, (), registry)
        named = masked_name(experiments[0].experiment)
        known = find_runs(Path(runs), named) if isinstance(loaded, Sweep) else []
        sweeps = [one.files.folder for one in known if one.kind == "sweep"]
        return experiments[0].tracking, named, sweeps[-1] if sweeps else None
    run, notes = find_run(what, Path(runs), besides=" and no configuration")
    if notes and not _is_tracked(run):  # of an experiment the newest run that there is to see
        known = find_runs(Path(runs), run.experiment)
        seen = [one for one in known if one.parent is None and _is_tracked(one)]
        run = seen[-1] if seen else run
    _, experiments = load(run.files.config, (), registry)
    of_experiment = bool(notes) and run.kind != "sweep"  # which names no run of its own
    return experiments[0].tracking, run.experiment, None if of_experiment else run.files.folder


def _is_tracked(run: StoredRun) -> bool:
    listed = run.config.get("tracking")
    names = [one.get("name") for one in listed or [] if isinstance(one, dict)]
    return not run.damage and any(name != "run_folder" for name in names)


def _page(
    tracking: Sequence[tuple[str, Component]],
    experiment: str | None,
    folder: Path | None,
    port: int,
) -> Page:
    from dbgsom_core.interfaces.trackers import TrackerAbilities

    for _, tracker in tracking:
        page = TrackerAbilities.of(tracker).page
        if page is not None:
            return page(experiment, folder, port)
    raise DbgsomError(
        "the runs are in no tracker with a page (tracking: []); 'dbgsom show RUN' shows one here"
    )


def _free_port() -> int:
    for port in range(_PORT, _PORT + 100):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise DbgsomError(f"no port from {_PORT} to {_PORT + 99} is free: choose one with --port")


def _serve(page: Page, in_browser: bool) -> int:
    """Run the command until it ends or somebody asks to end; nothing of it stays."""
    from tempfile import TemporaryFile

    from dbgsom_core.runs.signals import shutdown

    with shutdown.handling(), TemporaryFile("w+", errors="replace") as log:
        server = subprocess.Popen(
            page.command,
            env={**os.environ, **page.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that Ctrl-C is ours, and its children end with it
        )
        try:
            click.echo("starting MLflow …", err=True)
            if _answers(page, server):
                click.echo(as_text(f"open {page.address}\nCtrl-C ends it"))
                if in_browser:
                    click.launch(page.address)
                while server.poll() is None:
                    shutdown.check()
                    time.sleep(0.2)
            log.seek(0)
            told = "".join(log.readlines()[-8:]).strip()
            raise DbgsomError(f"MLflow ended by itself, with exit code {server.poll()}: {told}")
        finally:
            _end(server)


def _answers(page: Page, server: subprocess.Popen[bytes]) -> bool:
    from urllib.error import URLError
    from urllib.request import urlopen

    from dbgsom_core.runs.signals import shutdown

    began = time.monotonic()
    address = page.address.partition("#")[0]
    while server.poll() is None and time.monotonic() - began < _SECONDS_TO_START:
        shutdown.check()
        try:
            with urlopen(f"{address}health", timeout=1):
                return True
        except (URLError, OSError):
            time.sleep(0.2)
    return server.poll() is None


def _end(server: subprocess.Popen[bytes]) -> None:
    import signal

    for how in ("SIGTERM", "SIGKILL"):
        if sys.platform == "win32":
            server.terminate()
        else:
            with suppress(ProcessLookupError):  # the whole group, of which the server is the first
                os.killpg(server.pid, getattr(signal, how))
        try:
            server.wait(_SECONDS_TO_END if how == "SIGTERM" else None)
        except subprocess.TimeoutExpired:
            continue
