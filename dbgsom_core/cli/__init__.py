"""The ``dbgsom`` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback

import click

from dbgsom_core.cli import check, config, plugins, predict, run, show, trackers
from dbgsom_core.cli.console import Commands, echo, output, show_warnings
from dbgsom_core.errors import DbgsomError, as_text
from dbgsom_core.runs.session import Interrupted
from dbgsom_core.withdrawn import withdrawn


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dbgsom-core", prog_name="dbgsom")
def cli() -> None:
    """Growing self-organizing maps: train, measure, draw, compare.

    Exit codes: 0 ok, 1 a run failed, 2
    wrong configuration, data or option, 3 a plugin is missing or broken, 128 and the signal's
    number when a signal ended it (130 for Ctrl-C, 143 for TERM).
    """


for command in (
    config.init, run.validate, run.run, run.sweep, show.show, show.compare, predict.predict,
    predict.explain, predict.explore, predict.export, check.check, trackers.ui, trackers.sync,
    trackers.register, config.config, config.schema, plugins.plugins,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    output.quiet, output.verbose = False, 0
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe's encoding may be ASCII or cp1252
            stream.reconfigure(errors="backslashreplace")
    show_warnings()
    try:
        answer = cli.main(standalone_mode=False)
        code = answer if isinstance(answer, int) else 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does; nothing else is lost
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (Exception, KeyboardInterrupt) as error:
        code = _report(error)
    sys.exit(code)


def _report(error: BaseException) -> int:
    """Print what ended a command, and return its exit code."""
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        is_term = isinstance(error.__cause__ or error, Interrupted)
        echo("interrupted by SIGTERM" if is_term else "interrupted", err=True)
        return 128 + (signal.SIGTERM if is_term else signal.SIGINT)
    if isinstance(error, click.ClickException):
        error.message = as_text(error.message)  # type: ignore[misc] # click removes escapes
        if hint := withdrawn("option", getattr(error, "option_name", "")):
            error.message = error.message.rstrip(".") + hint  # type: ignore[misc]
        error.show()
        return error.exit_code
    from dbgsom_core.experiments.trackers import cut_message

    if isinstance(error, DbgsomError):
        echo(cut_message(str(error)), err=True)
        return error.exit_code
    if os.environ.get("DBGSOM_DEBUG"):
        traceback.print_exception(error)
        return 1
    echo(cut_message(f"the run failed: {type(error).__name__}: {error}"), err=True)
    echo("set DBGSOM_DEBUG=1 to see where it came from", err=True)
    return 1
