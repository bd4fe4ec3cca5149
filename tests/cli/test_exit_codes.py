"""The exit codes 0 1 2 3 130 141, the same in every command."""

import json
import subprocess
import sys

import click
import pytest

from dbgsom_core.cli import cli
from dbgsom_core.cli.console import OutputClosedError
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
    (OutputClosedError(), 141, ""),
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


def test_commands_are_listed_in_the_order_of_work(dbgsom):
    listed = dbgsom("--help").out.split("Commands:\n")[1]
    order = [line.split()[0] for line in listed.splitlines() if line[2:3].strip()]
    assert order[:4] == ["init", "validate", "run", "sweep"]
    assert sorted(order) == sorted(cli.commands)


RUN = "experiment: e\ndataset: iris\nmodel: {epochs: 2}\nmeasures: []\nfigures: []\ntracking: []\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has no sh")
@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [
        (">&-", 141, "standard output is closed: what was to be printed there is lost"),
        ("2>&-", 0, ""),
        (">&- 2>&-", 141, ""),
        ("<&-", 0, ""),
        ("2>&1 | true", 141, ""),
    ],
)
def test_a_run_whose_streams_are_closed_is_complete(closed, code, said, write, tmp_path):
    write("run.yaml", RUN)
    done = typed_in_a_shell(f"run run.yaml {closed}", tmp_path)
    assert done.returncode == code or (closed.endswith("true") and done.returncode == 0)
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    (status,) = tmp_path.glob("runs/e/*/status.json")
    assert json.loads(status.read_text())["status"] == "finished"


@pytest.mark.skipif(sys.platform == "win32", reason="has no sh")
@pytest.mark.parametrize("words", ["run run.yaml", "show e", "compare e"])
def test_a_working_directory_that_was_deleted_is_told_in_one_sentence(words, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = typed_in_a_shell(words, gone, before=f"rmdir {gone}; ")
    assert done.returncode == 2
    assert done.stderr == (
        "the working directory was deleted: change to a folder that exists, and start the command "
        "again\n"
    )


def typed_in_a_shell(words, folder, before=""):
    command = f"{before}{sys.executable} -m dbgsom_core.cli {words}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )
