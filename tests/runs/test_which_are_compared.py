"""Which runs are compared: experiments, sweeps and runs by name, and what is left out."""

import pytest

from dbgsom_core.errors import DataError
from dbgsom_core.runs.folder import RunFiles, find_runs, write_status

FOLDS = {"folds": 5}


def accuracy(value):
    return {"test/accuracy": value, "test/quantization_error": 1.0}


def test_sweeps_runs_and_folders_are_meant_by_id(store, found):
    decide = {"sweep": {"grid": {}, "decide": {"measure": "quantization_error"}}}
    store(1, {}, kind="sweep", config=decide)
    for number in (2, 3):
        store(number, accuracy(number / 10), seed=number, parent="run-0001")
    store(4, accuracy(0.9), seed=9)
    whole = found("e")
    assert [run.id for run in whole.runs] == ["run-0002", "run-0003", "run-0004"]
    assert whole.decision.name == "test/accuracy"
    sweep = found("run-0001")
    assert [run.id for run in sweep.runs] == ["run-0002", "run-0003"]
    assert sweep.decision.name == "test/quantization_error"
    assert found("run-0001", by="accuracy").decision.name == "test/accuracy"
    several = found("run-0004", store.root / "e" / "run-0002", "run-0004")
    assert [run.id for run in several.runs] == ["run-0002", "run-0004"]
    assert [run.id for run in found().runs] == [run.id for run in whole.runs]


def test_the_end_of_an_id_will_do_where_it_means_one_run(store, found):
    store(1, accuracy(0.5))
    store(11, accuracy(0.6), seed=2)
    assert [run.id for run in found("0001").runs] == ["run-0001"]
    store(1, accuracy(0.7), experiment="other")
    with pytest.raises(DataError, match=r"'0001' may be any of .*run-0001, .*run-0001: name its"):
        found("0001")
    store(2, accuracy(0.9), experiment="0001")
    assert [run.id for run in found("0001").runs] == ["run-0002"]  # an experiment is called so


def test_groups_of_experiments_lie_deeper(store, found):
    store(1, {}, kind="sweep", experiment="a/b")
    store(2, accuracy(0.5), parent="run-0001", experiment="a/b")
    assert [run.id for run in found("a/b/").runs] == ["run-0002"]
    assert [run.id for run in found("run-0001").runs] == ["run-0002"]


def test_unknown_names_are_answered_with_known_ones(store, found):
    with pytest.raises(DataError, match="has no run and no experiment of this name"):
        found("e")
    store(1, accuracy(0.5), experiment="digits")
    with pytest.raises(DataError, match=r"no run folder, no sweep.*did you mean 'digits'"):
        found("digit")
    with pytest.raises(DataError, match=r"did you mean 'accuracy'.*available: test/accuracy"):
        found("digits", by="acuracy")
    with pytest.raises(DataError, match="'accuracy' on the train part, but on the other"):
        found("digits", by="accuracy", split="train")
    store(2, accuracy(0.5), experiment="other")
    with pytest.raises(DataError, match=r"several experiments in .*: digits, other"):
        found()


def test_what_has_not_finished_is_told(store, found):
    store(1, {}, status="failed")
    told = "has no finished run: run-0001 failed; to go on: dbgsom run --resume run-0001$"
    with pytest.raises(DataError, match=told):
        found("e")
    (store.root / "e/run-0001/config.yaml").unlink()  # as of a folder that vanished meanwhile
    with pytest.raises(DataError, match=r"has no finished run: run-0001 failed$"):
        found("e")
    store(2, accuracy(0.5))
    assert found("e").notes == ["not finished, and left out: 1 failed"]


def test_a_sweep_that_was_killed_before_its_runs_is_told_as_that(store, found):
    store(1, {}, kind="sweep", status="killed")
    told = (
        r"run-0001 in .* has no finished run: run-0001 killed; "
        r"to go on: dbgsom sweep --resume run-0001$"
    )
    with pytest.raises(DataError, match=told):
        found("run-0001")
    store(2, {}, parent="run-0001", status="killed")
    told = r"no finished run: run-0001 killed, run-0002 killed; to go on: dbgsom sweep --resume"
    with pytest.raises(DataError, match=told):
        found("e")


def test_of_runs_of_one_second_the_newest_is_the_last_that_began(tmp_path):
    for number, name in enumerate("f0a"):
        files = RunFiles(tmp_path / "e" / f"20260101-120000-{name * 6}")
        write_status(files, "finished", f"2026-01-01T12:00:00.{number}00+00:00", None)
    assert [one.files.folder.name[-1] for one in find_runs(tmp_path, "e")] == ["f", "0", "a"]
