"""Run, sync or server are killed at random moments: does one sync bring everything back?

    python tests/faults/uploads.py                     # 20 kills, a SQLite file
    python tests/faults/uploads.py --server --kills 6  # `mlflow server` on loopback

Each round starts a small run, or sync, and kills one of the processes outright. In the end ``sync``
is called once, and every epoch of every journal is looked for in the store, with what is twice.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from random import Random

CONFIG = """\
experiment: killed
dataset: iris
model: {{epochs: 600, growth: {{name: directed, max_neurons: 60}}}}
measures: [quantization_error]
figures: [hit_map]
tracking: {{name: mlflow, uri: '{uri}', flush_seconds: 0.5}}
engine: {{name: local, threads: 1}}
"""
METRICS_AN_EPOCH = 4
COMMAND = [sys.executable, "-m", "dbgsom_core.cli"]


class Server:
    """`mlflow server` on loopback, ended with its workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        store = ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"]
        files = ["--artifacts-destination", str(self._folder / "artifacts")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *words, *store, *files],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1).close()
                return
            time.sleep(0.2)
        raise SystemExit("the server does not start")

    def kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a command whose output goes to a file."""
    with (folder / "run.log").open("ab") as log:
        return subprocess.Popen([*COMMAND, *words], cwd=folder, stdout=log, stderr=log)


def looked_at(folder: Path) -> list[str]:
    """Return what the store lacks of the run folders, or has twice."""
    wrong: list[str] = []
    points = 0
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as store:
        for run in sorted((folder / "runs" / "killed").glob("*-*-*")):
            status = json.loads((run / "status.json").read_text())["status"]
            found = store.execute(
                "select r.run_uuid, r.status from runs r join tags t on r.run_uuid = t.run_uuid "
                "where t.key = 'dbgsom.run_id' and t.value = ? and r.lifecycle_stage = 'active'",
                (run.name,),
            ).fetchall()
            if len(found) != 1 or found[0][1] != status.upper():
                wrong.append(f"{run.name} is {status}, in MLflow {found}")
                continue
            identifier = found[0][0]
            sent = [
                steps
                for (steps,) in store.execute(
                    "select count(*) from metrics where run_uuid = ? and key like 'epoch/%' "
                    "group by key, step",
                    (identifier,),
                )
            ]
            journal = run / "metrics.jsonl"
            lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
            points += lines * METRICS_AN_EPOCH
            if sent != [1] * (lines * METRICS_AN_EPOCH):
                wrong.append(f"{run.name}: {len(sent)} points of {lines * METRICS_AN_EPOCH}")
            models = store.execute(
                "select status from logged_models where source_run_id = ?", (identifier,)
            ).fetchall()
            if models != ([(2,)] if (run / "model.npz").exists() else []):
                wrong.append(f"{run.name}: models {models}")
    print(f"{points} points looked for")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--server", action="store_true", help="mlflow server in place of a file")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    by_chance = Random(chosen.seed)
    root = Path(tempfile.mkdtemp(prefix="dbgsom-uploads-"))
    server = Server(root) if chosen.server else None
    uri = "sqlite:///mlflow.db" if server is None else f"http://127.0.0.1:{server.port}"
    (root / "run.yaml").write_text(CONFIG.format(uri=uri))
    try:
        if server is not None:
            server.start()
        begun = time.monotonic()
        subprocess.run([*COMMAND, "run", "run.yaml", "-q"], cwd=root, check=True)
        seconds = time.monotonic() - begun
        for number in range(chosen.kills):
            victim = by_chance.choice(["run", "sync"] + ["server"] * (server is not None))
            words = ["sync"] if victim == "sync" else ["run", "run.yaml", "-q"]
            process = start(root, *words)
            time.sleep(by_chance.uniform(0.2, 1.1) * seconds)
            if victim == "server" and server is not None:
                server.kill()
                process.wait(180)
                server.start()
            else:
                process.kill()
                process.wait()
            print(f"{number + 1}: {victim} killed", flush=True)
        subprocess.run([*COMMAND, "sync"], cwd=root, check=True)
        wrong = looked_at(root)
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(root, ignore_errors=True)
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
