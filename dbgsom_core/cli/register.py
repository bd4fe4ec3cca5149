"""``dbgsom register``: give the model of a run a name, a version and an alias in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import plugin_options, runs_option
from dbgsom_core.errors import DataError, DbgsomError, as_text

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry


@click.command()
@click.argument("run")
@click.argument("name")
@click.option("--alias", metavar="ALIAS", help="What this version is called, such as champion.")
@runs_option
@plugin_options
def register(run: str, name: str, alias: str | None, runs: str, registry: Registry) -> None:
    """Make the model of RUN a version of the registered model NAME, and give it an alias.

    RUN is a run's folder or id, a sweep (its best run) or an experiment (its newest run). The model
    is then models:/NAME@ALIAS wherever a model is named. A run that MLflow lacks is sent first; one
    that is a version of NAME already stays that version.
    """
    from pathlib import Path

    from dbgsom_core.interfaces.trackers import TrackerAbilities
    from dbgsom_core.runs.callbacks import tracking_of
    from dbgsom_core.runs.using.models import find_trained

    for text, where in ((name, "NAME"), (alias or "x", "--alias")):
        if not text.strip() or any(letter in text for letter in "/:@"):
            raise DataError(f"{where} '{text}' is no name: leave out / : and @")
    found, notes = find_trained(run, Path(runs))
    if found.status != "finished":
        raise DataError(f"run {found.id} has not finished ({found.status}): nothing is registered")
    for note in notes:
        click.echo(as_text(f"note: {note}"), err=True)
    for _, tracker in tracking_of(found, registry):
        able = TrackerAbilities.of(tracker).register
        if able is not None:
            click.echo(as_text(able(found.files.folder.absolute(), name, alias)))
            return
    raise DbgsomError(
        f"run {found.id} is in no tracker with registered models: add 'tracking: mlflow' to the "
        "configuration of such runs"
    )
