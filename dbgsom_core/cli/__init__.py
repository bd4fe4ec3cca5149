"""The ``dbgsom`` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import signal
import sys
import traceback

import click

from dbgsom_core.cli.compare import compare
from dbgsom_core.cli.init import init
from dbgsom_core.cli.masking import hidden_from_terminal
from dbgsom_core.cli.plugins import plugins
from dbgsom_core.cli.run import run, sweep, validate
from dbgsom_core.cli.sync import sync
from dbgsom_core.errors import DbgsomError, as_text
from dbgsom_core.runs.ends import asked
from dbgsom_core.runs.patience import leave


# color: else click takes escapes out where nobody looks, instead of showing them as text.
@click.group(context_settings={"help_option_names": ["-h", "--help"], "color": True})
@click.version_option(package_name="dbgsom-core", prog_name="dbgsom")
def cli() -> None:
    """Growing self-organizing maps: train, measure, draw, compare.

    Exit codes: 0 ok, 1 a run failed, 2 wrong configuration or data, 3 a plugin is missing or
    broken, 128 and the signal's number when one asked to end (130 for Ctrl-C, 143 for TERM).
    """


for command in (init, run, sweep, validate, compare, plugins, sync):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit; errors that are known are told in plain sentences."""
    asked.signal = None
    with hidden_from_terminal():
        try:
            answer = cli.main(standalone_mode=False)
            code = answer if isinstance(answer, int) else 0
        except Exception as error:
            code = _told(error)
        except KeyboardInterrupt as error:
            code = _told(error)
    leave(code)


def _told(error: BaseException) -> int:
    """Say what ended the command, and return its exit code."""
    if isinstance(error, (KeyboardInterrupt, click.Abort)) or asked.signal is not None:
        by = f" by {asked.signal.name}" if asked.signal else ""
        click.echo(f"interrupted{by}", err=True)
        return 128 + (asked.signal or signal.SIGINT)
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, DbgsomError):
        click.echo(str(error), err=True)
        return error.exit_code
    if isinstance(error, BrokenPipeError):  # the reader has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return 0
    if os.environ.get("DBGSOM_DEBUG"):
        traceback.print_exception(error)
        return 1
    click.echo(
        f"the run failed: {type(error).__name__}: {as_text(error)}\n"
        "set DBGSOM_DEBUG=1 to see where it came from",
        err=True,
    )
    return 1
