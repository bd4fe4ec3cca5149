"""The ``dbgsom`` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

import click

from dbgsom_core.cli.compare import compare
from dbgsom_core.cli.config import config, schema
from dbgsom_core.cli.doctor import doctor
from dbgsom_core.cli.explain import explain
from dbgsom_core.cli.explore import explore
from dbgsom_core.cli.export import export
from dbgsom_core.cli.init import init
from dbgsom_core.cli.masking import NobodyReadsError, hidden_from_terminal, silence
from dbgsom_core.cli.options import Commands
from dbgsom_core.cli.output import output
from dbgsom_core.cli.plugins import plugins
from dbgsom_core.cli.predict import predict
from dbgsom_core.cli.register import register
from dbgsom_core.cli.run import run, validate
from dbgsom_core.cli.show import show
from dbgsom_core.cli.sweep import sweep
from dbgsom_core.cli.sync import sync
from dbgsom_core.cli.ui import ui
from dbgsom_core.errors import DataError, DbgsomError, as_text
from dbgsom_core.runs.signals import shutdown

_NO_DIRECTORY = (
    "the working directory was deleted: change to a folder that exists, and start the command again"
)
_CLOSED = "standard output is closed: what was to be printed there is lost"
UNREAD = 128 + 13  # of SIGPIPE, which ends other commands that write to a pipe nobody reads


# color: else click takes escapes out where nobody looks, instead of showing them as text.
@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "color": True})
@click.version_option(package_name="dbgsom-core", prog_name="dbgsom")
def cli() -> None:
    """Growing self-organizing maps: train, measure, draw, compare.

    Exit codes: 0 ok, 1 a run failed (config diff: they differ; doctor: something is broken), 2
    wrong configuration, data or option, 3 a plugin is missing or broken, 128 and the signal's
    number when one asked to end (130 for Ctrl-C, 143 for TERM, 141 when nobody reads what is
    printed).
    """


for command in (
    init, validate, run, sweep, show, compare, predict, explain, explore, export, ui, sync,
    register, config, schema, plugins, doctor,
):  # fmt: skip
    cli.add_command(command)


def _working_directory_is_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def main() -> None:
    """Run the command line and exit; errors that are known are told in plain sentences."""
    shutdown.signal = None
    output.begin()
    if not os.environ.get("FORCE_COLOR"):  # older rich takes what is empty for set
        os.environ.pop("FORCE_COLOR", None)
    with hidden_from_terminal():
        try:
            answer = cli.main(standalone_mode=False)
            code = answer if isinstance(answer, int) else 0
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            code = _told_if_read(error)
    silence()
    sys.exit(code)


def _told_if_read(error: BaseException) -> int:
    try:
        return _told(error)
    except NobodyReadsError:
        return UNREAD


def _told(error: BaseException) -> int:
    """Say what ended the command, and return its exit code."""
    if isinstance(error, Exception) and _working_directory_is_gone():
        output.event("error", "error", _NO_DIRECTORY, exit_code=DataError.exit_code)
        return DataError.exit_code
    if isinstance(error, click.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__  # click takes it for a person's Ctrl-D
    if isinstance(error, (KeyboardInterrupt, click.Abort)) or shutdown.signal is not None:
        by = f" by {shutdown.signal.name}" if shutdown.signal else ""
        code = 128 + (shutdown.signal or signal.SIGINT)
        output.event("error", "interrupted", f"interrupted{by}", exit_code=code)
        return code
    if isinstance(error, NobodyReadsError):
        if sys.__stdout__ is None:
            output.event("error", "error", _CLOSED, exit_code=UNREAD)
        return UNREAD
    if isinstance(error, click.ClickException):
        if output.lines is None:
            error.message = as_text(error.message)  # type: ignore[misc] # click takes them out
            error.show()
        else:
            output.event("error", "error", error.format_message(), exit_code=error.exit_code)
        return error.exit_code
    if isinstance(error, DbgsomError):
        output.event("error", "error", str(error), exit_code=error.exit_code)
        return error.exit_code
    if os.environ.get("DBGSOM_DEBUG"):
        traceback.print_exception(error)
        return 1
    told = f"the run failed: {type(error).__name__}: {as_text(error)}"
    cure = "set DBGSOM_DEBUG=1 to see where it came from"
    if isinstance(error, MemoryError):
        cure = (
            "there is no memory left: let the data be read in blocks (engine: {name: blocks}), use "
            "float32, fewer figures or fewer samples"
        )
    output.event("error", "error", f"{told}\n{cure}", exit_code=1)
    return 1
