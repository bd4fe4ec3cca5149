"""A run whose process died is told from one that goes on, and marked as killed."""

import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from dbgsom_core.cli import cli
from dbgsom_core.runs.folder import (
    JournalLine,
    Process,
    RunFiles,
    append_epoch,
    journal_damage,
    read_run,
    write_json,
    write_status,
)
from dbgsom_core.runs.stored_runs import (
    RunLock,
    find_run,
    is_locked,
    mark_killed_runs,
)
from dbgsom_core.tables.safe_files import sweep, write_atomically

STARTED = "2026-11-24T10:15:00.000+00:00"
HOLDER = """
import sys, time
from pathlib import Path
from dbgsom_core.runs.folder import RunFiles, write_status
from dbgsom_core.runs.stored_runs import RunLock
folder = Path(sys.argv[1])
lock = RunLock(folder)
assert lock.acquire()
write_status(RunFiles(folder), "running", sys.argv[2])
print("up", flush=True)
time.sleep(600)
"""


def running(root, process=..., name="1"):
    files = RunFiles(root / "digits" / name)
    write_status(files, "running", STARTED, process=process)
    return files


@pytest.fixture
def other(tmp_path):
    """A process that runs a run, until it is killed."""
    folder = tmp_path / "digits" / "1"
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", HOLDER, str(folder), STARTED]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        yield process
        process.kill()


def test_a_run_is_killed_once_its_process_is(other, tmp_path):
    files = RunFiles(tmp_path / "digits" / "1")
    files.figure("u_matrix").parent.mkdir()
    for place in (files.folder, files.figure("u_matrix").parent):
        (place / ".model-0123456789ab.npz").write_bytes(b"half")
    (files.folder / ".kept").write_text("whose?")
    assert is_locked(files.folder)
    assert mark_killed_runs(tmp_path, "digits") == []
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    (killed,) = mark_killed_runs(tmp_path, "digits")
    stored = read_run(files.folder)
    assert stored.status == killed.status == "killed"
    assert f"its process {other.pid} on" in stored.error
    assert "died without a word: it was killed, or the machine went down" in stored.error
    assert stored.started.isoformat(timespec="milliseconds") == STARTED
    assert stored.ended is not None
    assert stored.process.pid == other.pid
    assert {path.name for path in files.folder.rglob("*")} == {
        "status.json",
        "figures",
        ".kept",
        ".lock",
    }
    assert mark_killed_runs(tmp_path, "digits") == []


@pytest.mark.parametrize("command", ["compare", "show", "run"])
def test_commands_mark_it_in_its_status(command, other, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "digits").rename(tmp_path / "runs" / "digits")
    files = RunFiles(tmp_path / "runs" / "digits" / "1")
    write_json(files.run, {"id": "1", "name": "one", "experiment": "digits"})
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    (tmp_path / "run.yaml").write_text(
        "experiment: digits\ndataset: iris\nmodel: {epochs: 2}\nmeasures: []\nfigures: []\n"
        "tracking: []\n"
    )
    words = {"compare": ["compare", "digits"], "show": ["show", "digits"]}
    CliRunner().invoke(cli, words.get(command, ["run", "-q", "run.yaml"]))
    assert read_run(files.folder).status == "killed"


def test_a_run_of_another_host_died_when_it_gave_no_sign_for_a_day(tmp_path):
    elsewhere = Process(host="elsewhere", pid=1)
    files = running(tmp_path, elsewhere)
    assert mark_killed_runs(tmp_path, "digits") == []
    long_ago = time.time() - 90_000
    os.utime(files.status, (long_ago, long_ago))
    (files.folder / ".lock").touch()
    assert mark_killed_runs(tmp_path, "digits") == []  # the lock was touched just now
    os.utime(files.folder / ".lock", (long_ago, long_ago))
    (killed,) = mark_killed_runs(tmp_path, "digits")
    assert "on elsewhere gave no sign of life for a day" in killed.error
    assert abs(killed.ended.timestamp() - long_ago) < 60
    assert read_run(files.folder).status == "killed"


def test_a_run_that_goes_on_touches_its_lock(tmp_path):
    lock = RunLock(tmp_path)
    with lock:
        assert lock.acquire()
        os.utime(lock.path, (0, 0))
        lock.touch()
        assert time.time() - lock.path.stat().st_mtime < 60
        os.utime(lock.path, (0, 0))
        lock.touch()  # not in every epoch
        assert lock.path.stat().st_mtime == 0


@pytest.mark.parametrize(
    ("epochs", "damage"),
    [([1, 2, 3], ""), ([1, 3], "lacks epoch 2"), ([2], "lacks epoch 1"), ([1, 2, 2], "2 twice")],
)
def test_a_lost_or_doubled_line_of_the_journal_is_noticed(epochs, damage, tmp_path):
    files, length = running(tmp_path), 0
    for epoch in epochs:
        length = append_epoch(files.journal, JournalLine(epoch, 0, {"a": 1.0}), length)
    found = journal_damage(read_run(files.folder))
    assert found.endswith(damage)
    assert bool(found) == bool(damage)


def test_only_what_was_left_half_written_is_swept(tmp_path):
    def killed(temporary):
        temporary.write_text("{")
        (tmp_path / "name").write_text(temporary.name)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.b.json", killed)
    (tmp_path / (tmp_path / "name").read_text()).touch()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_a_full_disk_has_space_for_the_end(tmp_path, monkeypatch):
    files = running(tmp_path, None)

    def full(path, write):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dbgsom_core.runs.folder.write_atomically", full)
    write_status(files, "failed", STARTED, STARTED, "ä" * 9000)
    stored = read_run(files.folder)
    assert stored.status == "failed"
    assert files.status.stat().st_size <= 4096


def test_folders_of_older_versions_are_read_with_defaults(tmp_path):
    files = RunFiles(tmp_path / "digits" / "1")
    process = {"host": "h", "pid": 7, "started": "boot/pid:[1]/12"}
    status = {"status": "failed", "started": STARTED, "ended": None, "process": process}
    write_json(files.status, status)
    write_json(files.run, {"id": "1", "name": "one", "parent": None, "params": {"seed": 1}})
    stored, _ = find_run("digits", tmp_path)
    assert (stored.status, stored.kind, stored.damage) == ("failed", "run", "")
    assert (stored.tags, stored.children, stored.experiment) == ({}, (), "digits")
    assert stored.process == Process(host="h", pid=7)
