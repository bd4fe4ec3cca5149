"""The ``dbgsom`` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

import click

from dbgsom_core.cli import config, models, plugins, run, show, trackers
from dbgsom_core.cli.console import (
    Commands,
    OutputClosedError,
    discard_unread,
    output,
    redacted_terminal,
    show_warnings,
)
from dbgsom_core.errors import DataError, DbgsomError, as_text
from dbgsom_core.experiments.messages import cut_message
from dbgsom_core.runs.callbacks import shutdown

_CLOSED_PIPE = 128 + 13  # of SIGPIPE, which ends other commands that write to a closed pipe


# color: else click removes escapes where output is no terminal, instead of showing them as text.
@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "color": True})
@click.version_option(package_name="dbgsom-core", prog_name="dbgsom")
def cli() -> None:
    """Growing self-organizing maps: train, measure, draw, compare.

    Exit codes: 0 ok, 1 a run failed (config diff: they differ), 2
    wrong configuration, data or option, 3 a plugin is missing or broken, 128 and the signal's
    number when a signal ended it (130 for Ctrl-C, 143 for TERM, 141 when the reader of the output
    has closed it).
    """


for command in (
    config.init, run.validate, run.run, run.sweep, show.show, show.compare, models.predict,
    models.explain, models.explore, models.export, trackers.ui, trackers.sync, trackers.register,
    config.config, config.schema, plugins.plugins,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    shutdown.signal = None
    output.quiet, output.verbose = False, 0
    if not os.environ.get("FORCE_COLOR"):  # older rich takes what is empty for set
        os.environ.pop("FORCE_COLOR", None)
    with redacted_terminal():
        show_warnings()
        try:
            answer = cli.main(standalone_mode=False)
            code = answer if isinstance(answer, int) else 0
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            try:
                code = _report(error)
            except OutputClosedError:
                code = _CLOSED_PIPE
    discard_unread()
    sys.exit(code)


def _report(error: BaseException) -> int:
    if isinstance(error, click.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__  # click takes any EOFError for Ctrl-D at a prompt
    try:
        Path.cwd()
        folder_is_gone = False
    except FileNotFoundError:
        folder_is_gone = True
    if isinstance(error, Exception) and folder_is_gone:
        error = DataError(
            "the working directory was deleted: change to a folder that exists, and start the "
            "command again"
        )
    elif isinstance(error, (KeyboardInterrupt, click.Abort)) or shutdown.signal is not None:
        by = f" by {shutdown.signal.name}" if shutdown.signal else ""
        code = 128 + (shutdown.signal or signal.SIGINT)
        return _print_error(f"interrupted{by}", code, event="interrupted")
    if isinstance(error, OutputClosedError):
        if sys.__stdout__ is None:
            lost = "standard output is closed: what was to be printed there is lost"
            _print_error(lost, _CLOSED_PIPE)
        return _CLOSED_PIPE
    if isinstance(error, click.ClickException):
        if output.lines is not None:
            return _print_error(error.format_message(), error.exit_code)
        error.message = as_text(error.message)  # type: ignore[misc] # click removes escapes
        error.show()
        return error.exit_code
    if isinstance(error, DbgsomError):
        return _print_error(str(error), error.exit_code)
    if os.environ.get("DBGSOM_DEBUG"):
        traceback.print_exception(error)
        return 1
    hint = "set DBGSOM_DEBUG=1 to see where it came from"
    if isinstance(error, MemoryError):
        hint = (
            "there is no memory left: let the data stay where they are (engine: dask), use "
            "float32, fewer figures or fewer samples"
        )
    return _print_error(f"the run failed: {type(error).__name__}: {as_text(error)}\n{hint}", 1)


def _print_error(message: str, code: int, event: str = "error") -> int:
    output.event("error", event, cut_message(message), exit_code=code)
    return code
