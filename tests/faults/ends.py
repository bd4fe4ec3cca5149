"""Something happens at each change that a small run makes to the disk: is its end told truly?

    python tests/faults/ends.py                     # half an hour
    python tests/faults/ends.py --every 7 --ways TERM KILL

A change is the opening of a file for writing, a new name, a name less, or a write that is forced
to the disk. For each change and each thing that can happen there is one run, in a process of its
own: signals, a disk that is full from then on (FULL), a runs folder that vanishes (GONE). Then
``compare``, ``sync`` and ``plugins doctor`` read what it left, an hour later.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

CONFIG = """\
experiment: small
dataset: iris
model: {epochs: 3}
measures: [quantization_error]
figures: [hit_map]
tracking: []
engine: {name: local, threads: 1}
"""
# How a run is asked to end: the signals at the chosen change, and at the one that follows.
WAYS = {
    "TERM": ([signal.SIGTERM], []),
    "INT": ([signal.SIGINT], []),
    "HUP": ([signal.SIGHUP], []),
    "KILL": ([signal.SIGKILL], []),
    "INT+INT": ([signal.SIGINT], [signal.SIGINT]),
    "INT,INT": ([signal.SIGINT, signal.SIGINT], []),
    "INT+KILL": ([signal.SIGINT], [signal.SIGKILL]),
    "FULL": ([], []),
    "GONE": ([], []),
}
IMPORTED_ONCE = (
    "matplotlib.backends.backend_agg",
    "dbgsom_core.persistence",
    "dbgsom_core.runs.compare.compare",
    "dbgsom_core.runs.pipeline",
)
READERS = (
    ("compare", "small", "--by", "quantization_error"),
    ("sync",),
    ("plugins", "doctor"),
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_RENAMES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}


class Injection:
    """Counts changes below a folder and sends signals at one of them."""

    def __init__(self, folder: Path, at: int, way: str) -> None:
        self._folder = str(folder.resolve())
        self._at = at
        self._way = way
        self._first, self._next = WAYS[way]
        self._lock = threading.Lock()
        self.changes = 0

    def install(self) -> None:
        sys.addaudithook(self._hear)
        whole = os.fsync

        def fsync(number: int) -> None:
            self._count()
            whole(number)

        os.fsync = fsync

    def _hear(self, event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            changes = isinstance(flags, int) and flags & _WRITES
        else:
            path, changes = arguments[0] if arguments else None, event in _RENAMES
        if changes and isinstance(path, (str, bytes, os.PathLike)):
            place = str(Path.cwd() / os.fsdecode(path))
            if place.startswith(self._folder) and not place.endswith((".log", "changes")):
                self._count()
                needs_room = event == "os.mkdir" or (event == "open" and flags & os.O_CREAT)
                if needs_room and self._way == "FULL" and self._at <= self.changes:
                    raise OSError(errno.ENOSPC, "No space left on device")

    def _count(self) -> None:
        with self._lock:
            self.changes += 1
            now = self.changes
        if self._way == "GONE" and now == self._at:
            shutil.rmtree("runs", ignore_errors=True)
        _send({self._at: self._first, self._at + 1: self._next}.get(now, []))


def _send(signals: list[signal.Signals]) -> None:
    if signals:
        try:
            os.kill(os.getpid(), signals[0])
        finally:  # the first one raises here where this is the main thread
            _send(signals[1:])


def run_child(folder: Path, at: int, way: str) -> int:
    """Run the small run, disturbed at a change; return its exit code, or minus a signal."""

    def work() -> int:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        injection = Injection(folder, at, way)
        injection.install()
        code = command("run", "run.yaml")
        Path("changes").write_text(str(injection.changes))
        return code

    return forked(folder, "run.log", work)


def forked(folder: Path, log: str, work: Callable[[], int]) -> int:
    """Do some work in a process of its own; return its exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 99
    try:
        os.chdir(folder)
        output = os.open(log, os.O_CREAT | os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def command(*words: str) -> int:
    from dbgsom_core.cli import main

    sys.argv = ["dbgsom", *words]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 98


def judge(folder: Path, way: str, code: int) -> list[str]:
    """Return what is wrong with what a run left in a folder."""
    wrong = []
    said = (folder / "run.log").read_text(errors="replace")
    if "Traceback" in said:
        wrong.append("a traceback")
    if way in ("FULL", "GONE"):
        known, ends = {0, 1}, ("failed", "finished")
        if code == 1 and not ("cannot be" in said and "run folder" in said):
            wrong.append(f"no sentence: {said[-200:]}")
    else:
        known, ends = {0, 128 + WAYS[way][0][0]}, ("killed", "finished")
        known |= {-signal.SIGKILL} if "KILL" in way else set()
    statuses = [read(path) for path in folder.glob("runs/small/*/status.json")]
    if set(statuses) <= {"finished"}:  # before or after the time in which signals are heard
        known |= {-number for number in WAYS[way][0]}
    if code not in known:
        wrong.append(f"exit code {code}")
    if "KILL" not in way:
        wrong += [f"{one} after exit code {code}" for one in statuses if one == "running"]
        if litter := [path.name for path in temporary(folder)]:
            wrong.append(f"litter {litter}")
    wrong += [f"{one} of {way}" for one in statuses if one not in (*ends, "running")]
    for path in folder.glob("runs/small/*"):
        os.utime(path, (0, 0))
    for words in READERS:
        answer = forked(folder, "reader.log", lambda words=words: command(*words))
        said = (folder / "reader.log").read_text(errors="replace")
        if answer not in ((0, 2) if words[0] == "compare" else (0,)) or "Traceback" in said:
            wrong.append(f"{words[0]}: exit code {answer}: {said.strip()[-300:]}")
    for path in folder.glob("runs/small/*"):
        status = read(path / "status.json")
        if status not in ends:
            wrong.append(f"{status} after it was closed")
        if status == "finished" and (missing := incomplete(path)):
            wrong.append(f"finished without {missing}")
        if code == 0 and status != "finished":
            wrong.append(f"{status} after exit code 0")
    if litter := [path.name for path in temporary(folder)]:
        wrong.append(f"litter after closing {litter}")
    return wrong


def read(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["status"])
    except (OSError, ValueError, KeyError):
        return "unreadable"


def incomplete(folder: Path) -> list[str]:
    """Return what a finished run lacks."""
    names = ["run.json", "config.yaml", "environment.json", "measures.json", "report.md"]
    missing = [name for name in names if not (folder / name).exists()]
    if not missing and json.loads((folder / "run.json").read_text())["kind"] == "run":
        import_module("dbgsom_core.persistence").load(folder / "model.npz")
        if len((folder / "metrics.jsonl").read_text().splitlines()) != 3:
            missing.append("epochs")
    return missing


def temporary(folder: Path) -> list[Path]:
    return [path for path in folder.glob("runs/**/.*") if path.is_file()]


def prepared(folder: Path) -> Path:
    folder.mkdir()
    (folder / "run.yaml").write_text(CONFIG)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--every", type=int, default=1, help="take every so many-th change")
    parser.add_argument("--from", dest="start", type=int, default=1, help="the first change taken")
    chosen = parser.parse_args()
    os.environ["DBGSOM_NO_PLUGINS"] = "1"
    # What is imported once is there in every forked process; no thread runs yet.
    for module in IMPORTED_ONCE:
        import_module(module)

    root = Path(tempfile.mkdtemp(prefix="dbgsom-faults-"))
    told: Counter[str] = Counter()
    try:
        whole = prepared(root / "whole")
        if run_child(whole, 0, "TERM"):
            print((whole / "run.log").read_text())
            return 1
        changes = int((whole / "changes").read_text())
        print(f"{changes} changes to the disk", flush=True)
        for way in chosen.ways:
            for at in range(chosen.start, changes + 1, chosen.every):
                folder = prepared(root / "disturbed")
                code = run_child(folder, at, way)
                wrong = judge(folder, way, code)
                ends = [read(path) for path in sorted(folder.glob("runs/small/*/status.json"))]
                told.update([f"{way:9} {' '.join(ends) or 'none':9}"])
                for sentence in wrong:
                    told.update([f"{way:9} WRONG"])
                    print(f"{way} at {at}: {sentence}", flush=True)
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    for line, count in sorted(told.items()):
        print(f"{line} {count}")
    return 1 if any("WRONG" in line for line in told) else 0


if __name__ == "__main__":
    sys.exit(main())
