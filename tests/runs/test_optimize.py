"""Searches with Optuna: each trial follows from those before it, whatever was interrupted."""

import json
import signal
import sys
from pathlib import Path

import pytest

from dbgsom_core.cli import main
from dbgsom_core.config import load_sweep
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.folder import read_run
from dbgsom_core.runs.sweep import Trials
from dbgsom_plugins.trackers.run_folder import RunFolderObserver

CONFIG = """\
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
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(trials, text=CONFIG):
        Path("search.yaml").write_text(text % trials)
        return "search.yaml"

    return write


@pytest.fixture
def dbgsom(monkeypatch, capsys):
    def call(*words, code=0):
        monkeypatch.setattr(sys, "argv", ["dbgsom", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        assert (ended.value.code or 0) == code, told.err
        return told.out + told.err

    return call


def measured():
    """What the runs vary and measured, by name."""
    found = {}
    for path in Path("runs/searched").iterdir():
        stored = read_run(path)
        assert stored.name not in found
        found[stored.name] = (stored.status, stored.varies, stored.measures)
    return found


def test_without_optuna_the_extra_is_named(write, dbgsom, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    for command in ("validate", "sweep"):
        told = dbgsom(command, write(5), code=3)
        assert "pip install '.[optimize]'" in told
    assert not Path("runs").exists()


class Search:
    """Trials of a search whose values a function gives, in any order."""

    def __init__(self, path, window, value):
        sweep = load_sweep(path, registry=get_registry())
        self.trials = Trials(sweep.optimization, sweep.seeds, window, {})
        self.value, self.going, self.varied = value, [], []

    def begin(self):
        child = self.trials.next()
        if child is not None:
            self.going.append(child)
            self.varied.append(dict(child.varies))
        return child

    def end(self, at=0):
        child = self.going.pop(at)
        self.trials.ended(child, self.value(child.varies), greater_is_better=False)


def distance(varies):
    return abs(varies["model.max_neurons"] - 12) + varies["model.kernel.end"]


def test_the_order_in_which_trials_end_does_not_matter(write):
    pytest.importorskip("optuna")
    path = write(24)
    in_turn, by_age = Search(path, 3, distance), Search(path, 3, distance)
    for _ in range(24):
        while in_turn.begin():
            pass
        in_turn.end()
        while by_age.begin():
            pass
        by_age.end(at=-1 if len(by_age.going) < 3 else 1)
    assert len(in_turn.varied) == len(by_age.varied) == 24
    assert in_turn.varied == by_age.varied


def test_a_search_learns_and_tries_nothing_twice(write):
    pytest.importorskip("optuna")
    told = Search(write(40), 1, distance)
    values = []
    while told.begin():
        values.append(distance(told.going[0].varies))
        told.end()
    tried = {json.dumps(one, sort_keys=True) for one in told.varied}
    assert len(tried) == 40
    assert sum(values[-15:]) < sum(values[:15])
    for one in told.varied:
        assert 4 <= one["model.max_neurons"] <= 30
        assert isinstance(one["model.max_neurons"], int)
        assert 0.2 <= one["model.kernel.end"] <= 1.0


def test_a_small_space_is_tried_whole(write):
    pytest.importorskip("optuna")
    head = CONFIG.partition("    space:")[0]
    space = "    space: {model.max_neurons: [5, 6], model.epochs: {low: 2, high: 4}}\n"
    told = Search(write(6, head + space), 1, lambda varies: 1.0)
    while told.begin():
        told.end()
    assert len({tuple(one.items()) for one in told.varied}) == 6
    assert told.begin() is None


def test_a_search_that_was_interrupted_goes_on_to_the_same_trials(write, dbgsom, monkeypatch):
    pytest.importorskip("optuna")
    path = write(13)
    told = dbgsom("sweep", path)
    assert "13/13 done; best so far: " in told
    assert "best: " in told
    whole = measured()
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
        told = dbgsom("sweep", path, "-q", code=143)
    assert "to go on: dbgsom sweep --resume " in told
    kept = {
        one.folder / "model.npz": (one.folder / "model.npz").stat().st_mtime_ns for one in finished
    }
    dbgsom("sweep", "--resume", path, "-q")
    assert measured() == whole
    assert {model: model.stat().st_mtime_ns for model in kept} == kept
