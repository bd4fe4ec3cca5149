"""A run whose process died is told from one that goes on, and closed."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest

from dbgsom_core.files import sweep, write_atomically
from dbgsom_core.runs.folder import dead as dead_runs
from dbgsom_core.runs.folder.dead import close_dead_runs, close_if_dead, remove_unbegun
from dbgsom_core.runs.folder.processes import Process
from dbgsom_core.runs.folder.store import RunFiles, find_runs, read_run, write_status
from dbgsom_core.runs.folder.writing import write_json

STARTED = "2026-11-24T10:15:00.000+00:00"


@pytest.fixture(scope="module")
def dead():
    """A process that has ended, as it was seen while it lived."""
    script = (
        "import json, dataclasses; from dbgsom_core.runs.folder.processes import Process; "
        "print(json.dumps(dataclasses.asdict(Process.this())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return Process.of(json.loads(done.stdout))


def running(root, process, name="1"):
    files = RunFiles(root / "digits" / name)
    write_status(files, "running", STARTED, process=process)
    return files


def test_a_process_knows_itself_and_that_another_has_ended(dead):
    assert Process.this().lives() is True
    assert dead.lives() is False
    assert Process.of(asdict(dead)) == dead
    assert Process.of({"pid": "12"}) is None


def test_a_process_that_has_the_number_of_a_dead_one_is_another():
    again = replace(Process.this(), started=f"{Process.this().started}0")
    assert again.lives() is False


def test_a_process_that_nobody_has_waited_for_is_dead():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        mark = replace(Process.this(), pid=child.pid)
        from dbgsom_core.runs.folder import processes

        seen = replace(mark, started=processes._started(child.pid))
        try:
            assert seen.lives() is True
            child.kill()
            while not (line := _state(child.pid)).startswith("Z"):
                assert line, "it was waited for"
                time.sleep(0.01)
            assert seen.lives() is False
        finally:
            child.kill()


def _state(pid):
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
        return stat.read().rpartition(") ")[2]


def test_a_process_elsewhere_is_neither_dead_nor_alive():
    here = Process.this()
    assert replace(here, host="elsewhere").lives() is None
    boot, _, ticks = here.started.split("/")
    assert replace(here, started=f"{boot}/pid:[1]/{ticks}").lives() is None  # a container
    assert replace(here, started=f"other/pid:[1]/{ticks}").lives() is False  # before the last boot


def test_dead_runs_are_closed_as_killed_and_swept(tmp_path, dead):
    files = running(tmp_path, dead)
    files.figure("u_matrix").parent.mkdir()
    for place in (files.folder, files.figure("u_matrix").parent):
        (place / ".model-0123456789ab.npz").write_bytes(b"half")
    (files.folder / ".kept").write_text("whose?")
    (closed,) = close_dead_runs(tmp_path, "digits")
    stored = read_run(files.folder)
    assert stored.status == closed.status == "killed"
    assert str(dead.pid) in stored.error
    assert stored.started.isoformat(timespec="milliseconds") == STARTED
    assert stored.ended is not None
    assert stored.process == dead
    left = {path.name for path in files.folder.rglob("*")}
    assert left == {"status.json", "figures", ".kept"}
    assert close_dead_runs(tmp_path, "digits") == []


def test_runs_that_go_on_or_cannot_be_seen_are_left_alone(tmp_path):
    here = Process.this()
    for name, process in (("1", here), ("2", replace(here, host="elsewhere"))):
        running(tmp_path, process, name)
    assert close_dead_runs(tmp_path, "digits") == []
    assert [run.status for run in find_runs(tmp_path, "digits")] == ["running", "running"]


def test_a_run_that_cannot_be_seen_has_died_when_it_gave_no_sign_for_a_day(tmp_path):
    files = running(tmp_path, replace(Process.this(), host="elsewhere"))
    long_ago = time.time() - 90_000
    os.utime(files.status, (long_ago, long_ago))
    (closed,) = close_dead_runs(tmp_path, "digits")
    assert "on elsewhere gave no sign of life for a day" in closed.error
    assert abs(closed.ended.timestamp() - long_ago) < 60
    assert read_run(files.folder).status == "killed"


def test_a_run_that_goes_on_gives_signs_of_life(tmp_path, monkeypatch):
    files, touched = running(tmp_path, Process.this()), threading.Event()
    os.utime(files.status, (0, 0))
    monkeypatch.setattr(dead_runs, "SECONDS_BETWEEN_SIGNS", 0.01)
    touch = os.utime
    monkeypatch.setattr(os, "utime", lambda path: touch(path) or touched.set())
    with dead_runs.seen_alive(files.status):
        assert touched.wait(30)
    assert read_run(files.folder).silent < 60


def test_who_closes_a_run_sees_that_somebody_goes_on_with_it(tmp_path, dead):
    files = running(tmp_path, dead)
    seen = read_run(files.folder)
    write_status(files, "running", STARTED)
    assert close_if_dead(seen).process == Process.this()
    assert read_run(files.folder).status == "running"


@pytest.mark.parametrize("content", [b"", bytes(200), b'{"status": "run'])
def test_a_status_that_was_torn_is_that_of_a_run_that_died(tmp_path, content):
    files = running(tmp_path, None)
    files.status.write_bytes(content)
    os.utime(files.status, (0, 0))
    assert "status.json is no JSON" in read_run(files.folder).damage  # whose ever it is
    write_json(files.run, {"id": "1", "name": "one"})
    files.config.write_text("experiment: digits\ndataset: iris\n")
    os.utime(files.status)
    assert close_dead_runs(tmp_path, "digits") == []  # somebody may be writing it right now
    os.utime(files.status, (0, 0))
    (closed,) = close_dead_runs(tmp_path, "digits")
    assert closed.error.startswith("status.json is no JSON")
    assert closed.error.endswith("its process was killed, or the disk was full")
    stored = read_run(files.folder)
    assert (stored.status, stored.name, stored.damage) == ("killed", "one", "")
    assert stored.process is None


def test_a_folder_whose_process_never_wrote_is_no_run_and_removed_in_time(tmp_path):
    for name in ("old", "new"):
        (tmp_path / "digits" / name).mkdir(parents=True)
    (tmp_path / "digits" / "old" / ".status-0123456789ab.json").touch()
    os.utime(tmp_path / "digits" / "old", (0, 0))
    assert find_runs(tmp_path, "digits") == []
    close_dead_runs(tmp_path, "digits")
    assert [path.name for path in (tmp_path / "digits").iterdir()] == ["new"]


def test_what_is_written_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(os, "fsync", lambda number: order.append(os.fstat(number).st_ino))
    path = tmp_path / "a.json"
    write_json(path, {})
    assert order == [path.stat().st_ino, tmp_path.stat().st_ino]


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


def test_a_full_disk_has_room_for_the_end(tmp_path, monkeypatch):
    files = running(tmp_path, None)

    def full(path, write):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dbgsom_core.runs.folder.writing.write_atomically", full)
    write_status(files, "failed", STARTED, STARTED, "ä" * 9000)
    stored = read_run(files.folder)
    assert stored.status == "failed"
    assert files.status.stat().st_size <= 4096


def test_what_never_began_goes_in_experiments_without_runs_too(tmp_path):
    group = tmp_path / "group" / "digits"
    empty, half, kept, young = (group / f"20260101-12000{i}-0123ab" for i in range(4))
    for folder in (empty, half, kept, young, tmp_path / "mine" / "a-b-c"):
        folder.mkdir(parents=True)
    (half / ".status-0123456789ab.json").touch()
    (kept / "notes.txt").touch()
    for folder in (empty, half, kept, tmp_path / "mine" / "a-b-c"):
        os.utime(folder, (0, 0))
    remove_unbegun(tmp_path)
    assert sorted(group.iterdir()) == [kept, young]
    assert (tmp_path / "mine" / "a-b-c").exists()
    remove_unbegun(tmp_path / "nowhere")
