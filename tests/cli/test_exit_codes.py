"""The exit codes 0 1 2 3 130 141, the same in every command."""

import json
import os
import shlex
import subprocess
import sys

import click
import pytest

from dbgsom_core.cli import cli
from dbgsom_core.cli.masking import NobodyReadsError
from dbgsom_core.errors import ConfigError, DataError, DbgsomError, PluginError


def leaves(group, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(leaves(cli))
ENDS = [
    (None, 0, ""),
    (DbgsomError("it failed"), 1, "it failed\n"),
    (OSError(5, "the disk is gone"), 1, "the run failed: OSError: [Errno 5] the disk is gone\n"),
    (EOFError("a file ends early"), 1, "the run failed: EOFError: a file ends early\n"),
    (MemoryError("9 GiB"), 1, "the run failed: MemoryError: 9 GiB\nthere is no memory left: "),
    (ConfigError("a wrong key"), 2, "a wrong key\n"),
    (DataError("a wrong column"), 2, "a wrong column\n"),
    (PluginError("it is broken"), 3, "it is broken\n"),
    (KeyboardInterrupt(), 130, "interrupted\n"),
    (NobodyReadsError(), 141, ""),
]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_ends_with_the_code_of_its_error(path, dbgsom, monkeypatch):
    command = cli
    for name in path:
        command = command.commands[name]
    monkeypatch.setattr(command, "params", [])
    for error, code, said in ENDS:

        def end(error=error):
            if error is not None:
                raise error

        monkeypatch.setattr(command, "callback", end)
        answer = dbgsom(*path)
        assert answer.code == code, answer
        assert answer.err.lstrip("\n").startswith(said)
        assert (answer.err.strip() == "") == (said == "")
        assert "Traceback" not in answer.err


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_is_0_and_an_unknown_option_2(path, dbgsom):
    answer = dbgsom(*path, "--help")
    assert answer.code == 0
    assert answer.out.startswith("Usage:")
    assert dbgsom(*path, "--no-such-option").code == 2


def test_commands_are_told_in_whole_sentences_and_in_the_order_of_work(dbgsom):
    told = [dbgsom(*path, "--help").out.split("Commands:\n")[1] for path in ([], ["plugins"])]
    assert "..." not in "".join(told)
    order = [line.split()[0] for line in told[0].splitlines() if line[2:3].strip()]
    assert order[:4] == ["init", "validate", "run", "sweep"]
    assert sorted(order) == sorted(cli.commands)


def test_ctrl_c_while_all_is_imported_says_nothing():
    script = (
        "import builtins, signal\n"
        "real = builtins.__import__\n"
        "def slow(name, *rest):\n"
        "    if name == 'click':\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = slow\n"
        "import dbgsom_core.cli\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode in (-2, 130), done
    assert done.stderr == ""


def test_ctrl_c_is_pythons_again_once_all_is_imported():
    script = (
        "import signal, dbgsom_core.cli\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.skipif(os.name != "posix", reason="the shell closes the streams")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
def test_a_closed_stream_is_no_obstacle(closed, tmp_path):
    command = f"{shlex.quote(sys.executable)} -m dbgsom_core.cli schema -o s.json {closed}"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads((tmp_path / "s.json").read_text())["$schema"]
