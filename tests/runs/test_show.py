"""``dbgsom show`` without a run: which runs there are, and how they differ."""

import pytest
from click.testing import CliRunner

from dbgsom_core.cli import cli
from dbgsom_core.cli.show import _MOST_RUNS
from dbgsom_core.experiments.trackers import Ranking, Variant
from dbgsom_core.runs.folder import StoredRun, run_lock


@pytest.fixture
def listed(store, monkeypatch):
    """Return the lines of the list, as words of each column."""
    store.root.mkdir()
    monkeypatch.chdir(store.root.parent)

    def call(*words, code=0):
        done = CliRunner().invoke(cli, ["show", *words])
        assert done.exit_code == code, done.output
        return done.output.splitlines()

    return call


def accuracy(value):
    return {"test/accuracy": value, "train/accuracy": 1.0}


def test_runs_are_listed_newest_first_with_what_differs(store, listed):
    for number, kernel in enumerate(["gaussian", "bubble"], start=1):
        params = {"kernel": kernel, "epochs": 9}
        store(number, accuracy(number / 4), params=params, status="finished")
    store(3, {}, kind="sweep", experiment="other")
    store(4, accuracy(0.9), parent="run-0003", experiment="other")
    store(5, accuracy(0.9), parent="run-0003", experiment="other", status="failed")
    store(6, {}, experiment="other", status="failed").measures.write_text("{")
    header, *lines = listed()
    assert header.split("  ")[0] == "run"
    assert [line.split()[0] for line in lines] == ["0006", "0003", "0002", "0001"]
    damaged, sweep, bubble, gaussian = lines
    assert "damaged: measures.json: Invalid JSON" in damaged
    assert "name of 3" in sweep
    assert " kernel=bubble " in bubble
    assert " accuracy    0.5  finished" in bubble
    assert " kernel=gaussian " in gaussian
    assert "epochs" not in gaussian
    assert any(line.startswith("run run-0002 of") for line in listed("0002"))  # as it is listed


def test_a_sweep_is_listed_with_its_best_variant_and_without_a_ranking_names_compare(store, listed):
    files = store(1, {}, kind="sweep", status="finished")
    assert "nothing is ranked; the runs that have finished: dbgsom compare" in listed("0001")[-3]
    name = "test/accuracy"
    best = Variant("width=2", {"width": 2}, {name: 0.9}, {name: 0.01}, ["a", "b"])
    rankings = [Ranking("iris", [name], "maximize", [best])]
    StoredRun(id="run-0001", name="2 runs", kind="sweep", rankings=rankings, files=files).write()
    assert " accuracy  0.900 ± 0.010 " in listed()[1]
    assert "best: width=2 (test/accuracy 0.900 ± 0.010)" in listed("0001")


def test_a_run_that_goes_on_says_how_far_it_is(store, listed):
    files = store(1, {}, status="running")
    with run_lock(files.folder):
        assert "no epoch yet" in listed("0001")
        files.append(3, {"epoch/neurons": 9.0}, time=0)
        assert "epoch 3 so far" in listed("0001")


def test_a_damaged_run_says_what_is_damaged(store, listed):
    store(1, {}).measures.write_text("{")
    assert any(line.startswith("damaged: measures.json") for line in listed("0001"))


def test_a_list_is_capped_and_says_so(store, listed):
    for number in range(_MOST_RUNS + 3):
        store(number, accuracy(0.5))
    *lines, last = listed()
    assert len(lines) == 1 + _MOST_RUNS
    assert last == "and 3 more: dbgsom show --all"
    assert len(listed("--all")) == 1 + _MOST_RUNS + 3


def test_a_folder_without_runs_and_a_wrong_name_have_their_cure(store, listed):
    assert listed() == ["there are no runs in runs: 'dbgsom run CONFIG' makes them"]
    store(7, accuracy(0.5), experiment="flowers")
    assert listed("flower", code=1) == []
    for wrong, right in (("flower", "flowers"), ("run-0008", "run-0007")):
        error = CliRunner().invoke(cli, ["show", wrong]).exception
        assert f"did you mean '{right}'?" in str(error)
