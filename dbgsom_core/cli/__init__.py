"""The ``dbgsom`` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys

import click

from dbgsom_core.cli.compare import compare
from dbgsom_core.cli.plugins import plugins
from dbgsom_core.cli.run import run, sweep, validate
from dbgsom_core.cli.sync import sync
from dbgsom_core.errors import DbgsomError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dbgsom-core", prog_name="dbgsom")
def cli() -> None:
    """Growing self-organizing maps: train, measure, draw, compare.

    Exit codes: 0 ok, 1 a run failed, 2 wrong configuration or data, 3 a plugin is missing or
    broken, 130 interrupted.
    """


for command in (run, sweep, validate, compare, plugins, sync):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit; errors that are known are told in plain sentences."""
    try:
        answer = cli.main(standalone_mode=False)
        code = answer if isinstance(answer, int) else 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except DbgsomError as error:
        click.echo(str(error), err=True)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = 130
    except BrokenPipeError:  # the reader has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        code = 0
    except Exception as error:
        if os.environ.get("DBGSOM_DEBUG"):
            raise
        click.echo(
            f"the run failed: {type(error).__name__}: {error}\n"
            "set DBGSOM_DEBUG=1 to see where it came from",
            err=True,
        )
        code = 1
    sys.exit(code)
