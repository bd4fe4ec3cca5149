"""SIGKILL at random moments of runs and sweeps, each of which then goes on to the same bits.

    python tests/faults/resume.py --kills 100

Each round starts a run, or a sweep of two, kills it at a random moment, goes on with it, may kill
that once more, and lets it end. After each kill no file but a journal is written by half. In the
end journal, measures and models are those of one that nobody killed, to the bit.
Exits with 1 when anything differs, and tells which seed to try again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import yaml

CONFIG = """\
experiment: faults
dataset: digits
model: {{max_neurons: 40, epochs: 40, tol: 0.0}}
split: {split}
measures: [quantization_error, topographic_error]
figures: []
tracking:
  - {{name: run_folder, checkpoint_seconds: 0}}
{more}"""
SWEEP = "sweep: {grid: {model.tol: [0.0, 1.0e-9]}}\n"
DASK = "engine: {name: dask, shard: 0.05}\n"
JOBS = ("-j", "2")
KINDS = {
    "run": ("{test_size: 0.25}", ""),
    "dask": ("{test_size: 0.25}", DASK),
    "folds": ("{folds: 3}", ""),
    "sweep": ("{test_size: 0.25}", SWEEP),
    "sweep in processes": ("{test_size: 0.25}", SWEEP),
}


def start(folder: Path, *words: str) -> int:
    """Run ``dbgsom`` in a child that has all imports already; return its process id."""
    child = os.fork()
    if child:
        return child
    os.chdir(folder)
    said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv = ["dbgsom", *words]
    from dbgsom_core.cli import main

    try:
        main()
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    finally:
        os._exit(1)


def end(child: int) -> int:
    """Wait for a child; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(child: int, after: float, worker: bool = False) -> int:
    """Kill a child, or a process of its own, after so many seconds; return how it ended."""
    until = time.monotonic() + after
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    victim = child
    if worker:
        pids = Path(f"/proc/{child}/task/{child}/children").read_text().split()
        victim = int(random.choice(pids)) if pids else child
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    return end(child)


def results(folder: Path) -> dict[str, dict[str, object]]:
    """Return what the finished runs below a folder hold, by name, without times."""
    found: dict[str, dict[str, object]] = {}
    for stored in begun(folder):
        run = json.loads((stored / "run.json").read_text())
        assert run["name"] not in found, f"two runs are called {run['name']}"
        journal, model, measures = (
            stored / name for name in ("metrics.jsonl", "model.npz", "measures.json")
        )
        lines = [json.loads(line) for line in journal.open()] if journal.exists() else []
        found[run["name"]] = {
            "status": run["status"],
            "epochs": [(line["epoch"], line["metrics"]) for line in lines],
            "measures": json.loads(measures.read_text()) if measures.exists() else None,
            "model": _model(model) if model.exists() else None,
            "children": [(one["name"], one["measures"]) for one in run.get("children", [])],
            "checkpoint": (stored / "checkpoint.npz").exists(),
            "temporary": sorted(one.name for one in stored.rglob(".*")),
        }
    return found


def check_whole(folder: Path) -> None:
    """Raise an error if a file that stands under its name below a folder is written by half."""
    for path in sorted(folder.glob("runs/**/[!.]*.*")):
        if path.name == "checkpoint.npz":  # processes that live on may remove it
            continue
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".yaml":
            assert isinstance(yaml.safe_load(path.read_text()), dict), f"{path.name} is cut"
        elif path.suffix == ".npz":
            with np.load(path) as file:
                assert all(len(file[name].tobytes()) >= 0 for name in file.files)
        elif path.suffix == ".csv":
            assert path.read_bytes().endswith(b"\n"), f"{path.name} is cut"
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>"), f"{path.name} is cut"


def begun(folder: Path) -> list[Path]:
    """Return the run folders but those that were killed before there was anything to go on with."""
    found = sorted(path.parent for path in folder.glob("runs/faults/*/run.json"))
    return [path for path in found if (path / "config.yaml").exists()]


def _model(path: Path) -> dict[str, object]:
    with np.load(path) as file:
        header = json.loads(bytes(file["header"]))
        for record in header["estimator"]["history"]:
            del record["seconds"]
        for part in header["estimator"]["parts"].values():
            # A run that goes on by its id has the configuration with all fields that were defaults.
            if isinstance(part, dict):
                part.pop("params", None)
        arrays = {name: file[name].tobytes() for name in file.files if name != "header"}
    return {"header": header, **arrays}


class Rounds:
    """Rounds of one kind, beside the same that nobody kills."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        split, more = KINDS[kind]
        self.jobs = JOBS if "processes" in kind else ()
        self.command = "sweep" if self.jobs else "run"  # that goes on
        self.words = ("sweep" if "sweep" in kind else "run", "config.yaml", "-q", *self.jobs)
        self.config = CONFIG.format(split=split, more=more)
        whole = self._new("whole")
        started = time.monotonic()
        assert end(start(whole, *self.words)) == 0, (whole / "said.txt").read_text()
        self.seconds = time.monotonic() - started
        self.wanted = results(whole)

    def run(self, seed: int, chance: random.Random) -> int:
        """Kill up to three times, go on, and compare; return how often it was killed."""
        folder, kills, words = self._new(f"round-{seed}"), 0, self.words
        while kills < 10:
            child = start(folder, *words)
            hit = kills == 0 or (kills < 3 and chance.random() < 0.4)
            worker = bool(self.jobs) and chance.random() < 0.5
            after = chance.uniform(0, self.seconds)
            code = killed(child, after, worker) if hit else end(child)
            check_whole(folder)
            said = (folder / "said.txt").read_text()
            kills += hit and (worker or code == -signal.SIGKILL)
            begun = not (code == 2 and "start it" in said.splitlines()[-1])
            if code == 0:
                break
            assert code == -signal.SIGKILL or not begun or (worker and hit and code == 1), said
            going_on = (self.command, "--resume", self._name(folder, chance), "-q", *self.jobs)
            words = going_on if begun else self.words
        assert code == 0, said
        time.sleep(2 if self.jobs else 0)  # processes of a sweep that was killed may end later
        found = results(folder)
        assert found.keys() == self.wanted.keys(), f"runs {sorted(found)}"
        for name, wanted in self.wanted.items():
            for key, value in wanted.items():
                shown = f": {found[name][key]}" if key == "temporary" else ""
                assert found[name][key] == value, f"{key} of {name} differs{shown}"
        shutil.rmtree(folder, ignore_errors=True)  # the same may write there even now
        return kills

    def _name(self, folder: Path, chance: random.Random) -> str:
        runs = [
            path.parent
            for path in sorted(folder.glob("runs/faults/*/run.json"))
            if json.loads(path.read_text())["parent"] is None
            and (path.parent / "config.yaml").exists()
        ]
        names = ["config.yaml", *([runs[-1].name, str(runs[-1])] if runs else [])]
        # A run that finished before it was killed is no longer that of its file.
        done = runs and json.loads((runs[-1] / "run.json").read_text())["status"] == "finished"
        return chance.choice(names[1:] if done else names)

    def _new(self, name: str) -> Path:
        folder = self.folder / self.kind.replace(" ", "-") / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(self.config)
        (folder / "said.txt").touch()  # it may be killed before it says a word
        return folder


def main() -> int:
    """Kill, go on, compare, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(KINDS), action="append")
    given = parser.parse_args()
    _import_all()
    counts: Counter[str] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory(
        prefix="dbgsom-faults-", ignore_cleanup_errors=True
    ) as temporary:
        rounds = [Rounds(kind, Path(temporary)) for kind in given.only or KINDS]
        seed = given.seed
        while counts.total() < given.kills and wrong < 10:
            one = rounds[seed % len(rounds)]
            try:
                counts[one.kind] += one.run(seed, random.Random(seed))
            except (AssertionError, ValueError) as error:
                wrong += 1
                print(f"seed {seed}, {one.kind}: {str(error)[-600:]}", flush=True)
            seed += 1
            if seed % 20 == 0:
                print(f"{seed - given.seed} rounds, {counts.total()} kills", flush=True)
    for kind, kills in counts.items():
        print(f"{kind}: {kills} kills")
    print(f"{counts.total()} kills in {seed - given.seed} rounds, {wrong} of them wrong")
    return 1 if wrong else 0


def _import_all() -> None:
    import sklearn.model_selection  # noqa: F401
    from sklearn.datasets import load_digits

    from dbgsom_core import SomVQ

    # What is compiled, or read from the cache, the children have then.
    SomVQ(max_neurons=40, epochs=20, engine={"name": "local", "threads": 1}).fit(
        load_digits().data[:1347]
    )


if __name__ == "__main__":
    sys.exit(main())
