"""Sweeps in one process and in several, searched by Optuna, and their winners."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dbgsom_core.config import load_sweep
from dbgsom_core.errors import DbgsomError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs import processes
from dbgsom_core.runs.folder import read_run
from dbgsom_core.runs.session import ended_by_term, make_callbacks
from dbgsom_core.runs.sweep import run_sweep
from dbgsom_plugins.trackers.run_folder import RunFolderObserver

pytestmark = pytest.mark.one_version

CONFIG = """\
experiment: swept
dataset: iris
split: {test_size: 0.3}
model: {estimator: classifier, epochs: 6, max_neurons: 9, tol: 0.0}
measures: [accuracy, quantization_error, purity]
figures: []
tracking: {name: run_folder, checkpoint_seconds: 0}
"""
ENDLESS = "1000000"
RUNS = Path("runs/swept")
SECONDS = 300.0  # in which a process that is alive does something


class Display:
    """Hears of how far a sweep is."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def pid_of(folder):
    """Return the process that holds the lock of a run folder."""
    inode = (folder / ".lock").stat().st_ino
    for text in Path("/proc/locks").read_text().splitlines():
        words = text.split()
        if words[5].endswith(f":{inode}"):
            return int(words[4])
    return None


def begun(name):
    """Return the folder of the run whose name has ``name``, once it has trained an epoch."""
    for journal in Path("runs/swept").glob("*/metrics.jsonl"):
        if name in read_run(journal.parent).name and journal.stat().st_size:
            return journal.parent
    return None


def when(true, then):
    """Do something in a thread once something is true."""

    def wait():
        wait_until(true)
        then()

    threading.Thread(target=wait, daemon=True).start()


@pytest.fixture
def swept(tmp_path, monkeypatch):
    """Run a sweep in this process and return its outcome."""
    monkeypatch.chdir(tmp_path)

    def run(section, display=None, stored=None, figures="[]", **how):
        config = CONFIG.replace("figures: []", f"figures: {figures}")
        Path("sweep.yaml").write_text(f"{config}sweep: {section}\n")
        registry = get_registry()
        sweep = load_sweep("sweep.yaml", registry=registry)
        observers = make_callbacks(sweep.children[0].experiment.tracking, registry)
        with ended_by_term():
            return run_sweep(sweep, observers, registry, stored, display=display, **how)

    return run


@pytest.fixture
def forked(monkeypatch):
    """Start the processes of sweeps as copies of one that has imported what they need.

    That a process is started from nothing is tested with one, two and with killed sweeps.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dbgsom_core.runs.processes", "dbgsom_core.persistence"])
    monkeypatch.setattr(processes, "_SPAWN", context)


def anew():
    Path("runs").rename(f"before-{len(list(Path().iterdir()))}")


def wait_until(true, seconds=SECONDS):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def lives(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


GRID = "{grid: {model.epochs: [4, 5], model.kernel: [gaussian, {name: cut_gaussian, cutoff: 2}]}}"


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_the_same_runs_come_of_any_number_of_processes(swept, results):
    one = swept(GRID)
    here = results(RUNS)
    anew()
    display = Display()
    two = swept(GRID, display, jobs=2)
    assert results(RUNS) == here
    assert len(here) == 5
    assert [run.name for run, _ in two.children] == [run.name for run, _ in one.children]
    assert display.said[-1].startswith("4/4 done; best so far: ")
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("forked")
def test_a_process_that_is_killed_is_one_failed_run(swept, results):
    section = f"{{grid: {{model.epochs: [{ENDLESS}, 4, 5, 6]}}}}"
    when(lambda: begun(ENDLESS), lambda: os.kill(pid_of(begun(ENDLESS)), signal.SIGKILL))
    done = swept(section, Display(), jobs=2)
    ((name, why),) = done.failed.items()
    assert name == f"epochs={ENDLESS}"
    assert "its process was ended from outside" in why
    states = {name: state[0] for name, state in results(RUNS).items()}
    others = dict.fromkeys([done.run.name, "epochs=4", "epochs=5", "epochs=6"], "finished")
    assert states == {**others, name: "killed"}
    assert f"{name} failed: its process" in (done.run.folder / "report.md").read_text()


@pytest.mark.usefixtures("forked")
def test_what_failed_is_run_again_and_the_rest_is_kept(swept, monkeypatch, typed, results):
    swept(GRID)
    whole = results(RUNS)
    anew()
    from dbgsom_core.runs import sweep as module

    run, fails = module.run_experiment, ["epochs=4, kernel=gaussian", "epochs=5, kernel=gaussian"]

    def run_or_fail(**named):
        if named["name"] in fails:
            raise RuntimeError("no luck")
        return run(**named)

    with monkeypatch.context() as patched:
        patched.setattr(module, "run_experiment", run_or_fail)
        done = swept(GRID)
    assert done.failed == dict.fromkeys(fails, "RuntimeError: no luck")
    kept = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("model.npz")}
    assert len(kept) == 2
    told = typed("sweep", "--resume", done.run.id, "-j", "2")
    assert re.search(r"^4/4 done", told, re.MULTILINE)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert results(RUNS) == whole


def test_a_failed_run_ends_the_sweep_where_that_is_wanted(swept, monkeypatch, results):
    from dbgsom_core.runs import sweep as module

    def fail(*given, **named):
        raise RuntimeError("no luck")

    monkeypatch.setattr(module, "run_experiment", fail)
    with pytest.raises(
        DbgsomError, match=r"epochs=4, kernel=gaussian failed: RuntimeError: no luck; so the"
    ):
        swept(GRID, fail_fast=True)
    (only,) = results(RUNS).values()
    assert only[0] == "failed"


def test_a_sweep_without_a_finished_run_says_why(swept, monkeypatch):
    from dbgsom_core.runs import sweep as module

    def fail(*given, **named):
        raise RuntimeError("no luck")

    monkeypatch.setattr(module, "run_experiment", fail)
    with pytest.raises(DbgsomError, match=r"every run of the sweep failed; the first: no luck"):
        swept(GRID)


@pytest.mark.usefixtures("forked")
def test_a_signal_ends_all_processes_and_says_so(swept):
    section = f"{{grid: {{model.epochs: [{ENDLESS}], model.max_neurons: [8, 9]}}}}"
    when(lambda: begun("=8") and begun("=9"), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        swept(section, jobs=2)
    assert not multiprocessing.active_children()
    stored = [read_run(path) for path in Path("runs/swept").iterdir()]
    assert [one.status for one in stored] == ["killed"] * 3
    assert {one.error for one in stored} == {"Interrupted: asked to end by SIGTERM"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks /proc who lives")
def test_processes_end_when_that_of_the_sweep_is_killed(tmp_path):
    text = f"{CONFIG}sweep: {{grid: {{model.epochs: [{ENDLESS}], seed: [1, 2]}}}}\n"
    (tmp_path / "sweep.yaml").write_text(text)
    words = [sys.executable, "-m", "dbgsom_core.cli", "sweep", "sweep.yaml", "-j", "2", "-q"]
    sweep = subprocess.Popen(words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": _path()})
    try:
        wait_until(lambda: len(list(tmp_path.glob("runs/swept/*/metrics.jsonl"))) == 2)
        stored = [read_run(path) for path in tmp_path.glob("runs/swept/*")]
        pids = [pid_of(one.files.folder) for one in stored if one.parent]
        assert all(map(lives, pids))
        sweep.kill()
        sweep.wait()
        wait_until(lambda: not any(map(lives, pids)))
    finally:
        sweep.kill()
        sweep.wait()
    children = [read_run(one.files.folder) for one in stored if one.parent]
    ends = [(one.status, one.error) for one in children]
    assert ends == [("killed", "Interrupted: asked to end by SIGTERM")] * 2


STEP = """
class Half:
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X / 2
"""


@pytest.mark.slow
def test_a_script_needs_no_guard_and_its_processes_find_the_steps_beside_the_configuration(
    tmp_path,
):
    (tmp_path / "steps_of_test.py").write_text(STEP)
    section = "prepare: ['steps_of_test:Half']\nsweep: {grid: {seed: [1, 2]}}\n"
    (tmp_path / "sweep.yaml").write_text(CONFIG + section)
    (tmp_path / "script.py").write_text(
        "import dbgsom_core\nprint('begun')\nprint(len(dbgsom_core.sweep('sweep.yaml', jobs=2)))\n"
    )
    env = {**os.environ, "PYTHONPATH": _path()}
    words = [sys.executable, "script.py"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["begun", "2"]


def _path():
    return os.pathsep.join(path for path in sys.path if path)


def test_repeats_are_one_variant_with_mean_and_spread(swept):
    done = swept("{repeats: {seeds: 3}, grid: {model.max_neurons: [5, 9]}}")
    assert len(done.children) == 6
    (ranking,) = done.rankings
    assert {one.varies["max_neurons"] for one in ranking.variants} == {5, 9}
    best = ranking.best
    values = [measures["test/accuracy"] for run, measures in done.children if run.id in best.runs]
    assert len(values) == 3
    assert best.measures["test/accuracy"] == pytest.approx(np.mean(values))
    assert best.spread["test/accuracy"] == pytest.approx(np.std(values, ddof=1))
    assert done.measures["best/test/accuracy"] == best.measures["test/accuracy"]
    means = [one.measures["test/accuracy"] for one in ranking.variants]
    assert means == sorted(means, reverse=True)
    report = (done.run.folder / "report.md").read_text()
    assert best.name in report
    assert f"{best.measures['test/accuracy']:.3f}" in report
    assert " ± " in report


def test_each_data_set_has_a_winner_of_its_own(swept):
    section = "{grid: {dataset: [iris, wine], model.max_neurons: [5, 9]}}"
    done = swept(section, display := Display())
    assert [one.data for one in done.rankings] == ["iris", "wine"]
    for ranking in done.rankings:
        assert {one.name for one in ranking.variants} == {"max_neurons=5", "max_neurons=9"}
        value = ranking.best.measures["test/accuracy"]
        assert done.measures[f"best/{ranking.data}/test/accuracy"] == value
    assert read_run(done.run.folder).best is None
    assert re.search(r"best so far: .*dataset=wine", display.said[-1])
    report = (done.run.folder / "report.md").read_text()
    assert all(name in report for one in done.rankings for name in (one.data, one.best.name))


SEARCH = """\
experiment: searched
dataset: iris
split: {test_size: 0.3}
model: {estimator: classifier, epochs: 4, max_neurons: 9}
measures: [accuracy, quantization_error]
figures: []
tracking: run_folder
sweep:
  optimize:
    measure: quantization_error
    trials: %d
    seed: 3
    space:
      model.max_neurons: {low: 4, high: 30}
      model.kernel.end: {low: 0.2, high: 1.0, log: true}
      model.growth.spreading_factor: {low: 0.1, high: 0.9, step: 0.1}
      model.kernel: [gaussian, {name: cut_gaussian, cutoff: 2}]
"""


@pytest.fixture
def write_search(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write_search(trials, text=SEARCH):
        Path("search.yaml").write_text(text % trials)
        return "search.yaml"

    return write_search


@pytest.fixture
def typed(called):
    def call(*words, code=0):
        done = called(Path(), *words)
        assert done.code == code, done.err
        return done.out + done.err

    return call


def test_without_optuna_the_extra_is_named(write_search, typed, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    for command in ("validate", "sweep"):
        told = typed(command, write_search(5), code=3)
        assert "pip install '.[optimize]'" in told
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_search_that_was_interrupted_goes_on_to_the_same_trials(
    write_search, typed, monkeypatch, results
):
    pytest.importorskip("optuna")
    path = write_search(13)
    told = typed("sweep", path)
    assert "13/13 done; best so far: " in told
    assert "best: " in told
    whole = results(Path("runs/searched"))
    assert len(whole) == 14
    Path("runs").rename("before")
    finish, finished = RunFolderObserver.dbgsom_run_finished, []

    def interrupt(observer, run, result):
        finish(observer, run, result)
        finished.append(run)
        if len(finished) == 11:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolderObserver, "dbgsom_run_finished", interrupt)
        told = typed("sweep", path, "-q", code=143)
    assert "to go on: dbgsom sweep --resume " in told
    kept = {
        one.folder / "model.npz": (one.folder / "model.npz").stat().st_mtime_ns for one in finished
    }
    typed("sweep", "--resume", path, "-q")
    assert results(Path("runs/searched")) == whole
    assert {model: model.stat().st_mtime_ns for model in kept} == kept
