"""The run folder, and what a tracker of a third party can do."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dbgsom_core.api import DbgsomError, Ranking, RunResult, write_atomically
from dbgsom_core.experiments.trackers import Variant, read_journal
from dbgsom_core.runs.folder import read_run, run_lock, write_json
from dbgsom_plugins.trackers.run_folder import RunFolder, array_of


def test_a_finished_run_leaves_everything_behind(make_run, play, result):
    run = make_run()
    play(run, RunFolder().observer())
    left = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*")}
    assert left == {
        "run.json",
        "config.yaml",
        "metrics.jsonl",
        "measures.json",
        "model.npz",
        "figures",
        "figures/growth_curve.png",
        "report.md",
        "report.html",
    }
    stored = read_run(run.folder)
    assert stored.status == "finished"
    assert stored.started is not None
    assert stored.ended is not None
    assert stored.started <= stored.ended
    assert (stored.id, stored.name, stored.experiment) == (run.id, run.name, run.experiment)
    assert stored.params == run.params
    assert stored.config == run.config
    assert stored.measures["test/accuracy"] == 0.95
    assert yaml.safe_load((run.folder / "config.yaml").read_text()) == run.config
    report = (run.folder / "report.md").read_text(encoding="utf-8")
    assert "| accuracy | 0.97 | 0.95 |" in report
    assert "![growth curve](figures/growth_curve.png)" in report
    assert "* the cap of 80 neurons was reached" in report
    assert stored.environment == run.environment
    assert stored.warnings == ["the cap of 80 neurons was reached"]
    np.testing.assert_array_equal(array_of(stored.model["example"]), result.example)
    answers = array_of(stored.model["answers"])
    np.testing.assert_array_equal(answers, result.model.predict(result.example))
    assert {"numpy", "scikit-learn"} <= stored.model["needs"].keys()


def test_numbers_that_are_not_finite_survive_valid_json(make_run, play):
    run = make_run()
    play(run, RunFolder().observer())

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    for path in run.folder.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    stored = read_run(run.folder)
    assert math.isnan(stored.measures["train/davies_bouldin"])
    assert math.isnan(stored.epochs()[0].metrics["epoch/movement"])


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("too few rows"), "failed"), (KeyboardInterrupt(), "killed")]
)
def test_a_run_that_ends_early_says_how(error, status, make_run, play):
    run = make_run()
    play(run, RunFolder().observer(), error=error)
    stored = read_run(run.folder)
    assert stored.status == status
    assert stored.error is not None
    assert stored.error.startswith(type(error).__name__)
    assert stored.ended is not None


def test_a_torn_last_line_is_ignored_and_cut_off_on_resume(make_run, history):
    run, observer = make_run(), RunFolder().observer()
    observer.dbgsom_run_started(run)
    for epoch in history[:2]:
        observer.dbgsom_epoch_finished(run, epoch)
    journal = run.folder / "metrics.jsonl"
    with journal.open("a") as torn:
        torn.write('{"epoch": 3, "ti')
    assert [line.epoch for line in read_run(run.folder).epochs()] == [1, 2]
    started = read_run(run.folder).started
    again = RunFolder().observer()
    again.dbgsom_run_started(run)
    for epoch in history:  # resumed from a checkpoint before epoch 1
        again.dbgsom_epoch_finished(run, epoch)
    assert [line.epoch for line in read_run(run.folder).epochs()] == [1, 2, 3]
    assert read_run(run.folder).started == started


def test_the_journal_grows_while_the_run_goes_on_and_can_be_followed_by_offset(make_run, history):
    run, observer = make_run(), RunFolder().observer()
    observer.dbgsom_run_started(run)
    journal = run.folder / "metrics.jsonl"
    assert read_journal(journal) == ([], 0)
    observer.dbgsom_epoch_finished(run, history[0])
    first, offset = read_journal(journal)
    observer.dbgsom_epoch_finished(run, history[1])
    second, _ = read_journal(journal, offset)
    assert [line.epoch for line in first + second] == [1, 2]
    with run_lock(run.folder):
        assert read_run(run.folder).status == "running"
    assert read_run(run.folder).status == "killed"


def test_a_sweep_knows_its_children_and_the_best(make_run, result, play):
    sweep = make_run("s1", kind="sweep", name="sweep")
    observer = RunFolder().observer()
    observer.dbgsom_run_started(sweep)
    good, bad = (make_run(name, parent=sweep) for name in ("c1", "c2"))
    variants = [
        Variant(name, {"kernel": name}, {"test/accuracy": value}, {}, [run])
        for name, value, run in (("gaussian", 0.95, "c1"), ("a|b", 0.5, "c2"))
    ]
    ranking = Ranking("digits", ["test/accuracy"], "maximize", variants)
    summary = RunResult(
        measures={"best/test/accuracy": 0.95},
        children=[(bad, {"test/accuracy": 0.5}), (good, {"test/accuracy": 0.95})],
        rankings=[ranking],
    )
    observer.dbgsom_run_finished(sweep, summary)
    stored = read_run(sweep.folder)
    assert [child["id"] for child in stored.children] == ["c2", "c1"]
    assert stored.best == "c1"
    assert stored.rankings == [ranking]
    report = (sweep.folder / "report.md").read_text(encoding="utf-8")
    assert "**Best on digits: gaussian**: test/accuracy 0.95." in report
    assert "| gaussian | 0.95 |\n| a\\|b | 0.5 |" in report
    play(good, observer)
    assert read_run(good.folder).parent == "s1"


def test_a_broken_figure_costs_a_warning_only(make_run, result, caplog):
    class Broken:
        def savefig(self, *args, **options):
            raise ValueError("no ink")

    run, observer = make_run(), RunFolder().observer()
    observer.dbgsom_run_started(run)
    figures: Any = {**result.figures, "broken": Broken()}
    observer.dbgsom_run_finished(run, replace(result, figures=figures))
    assert read_run(run.folder).status == "finished"
    assert [path.stem for path in read_run(run.folder).files.figures()] == ["growth_curve"]
    assert "no ink" in caplog.text


def test_a_result_that_cannot_be_written_ends_the_run_with_a_sentence(make_run, result):
    class Unsavable:
        def save(self, path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run, observer = make_run(), RunFolder().observer()
    observer.dbgsom_run_started(run)
    with pytest.raises(DbgsomError, match=r"No space left on device.*run_folder, path") as ended:
        observer.write_results(run, replace(result, model=Unsavable()))
    observer.dbgsom_run_failed(run, ended.value)
    stored = read_run(run.folder)
    assert stored.status == "failed"
    assert stored.measures["test/accuracy"] == 0.95


def test_a_table_that_cannot_be_written_ends_the_run_as_failed(make_run, result, monkeypatch):
    def full(path, write):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("dbgsom_core.tables.formats.write_atomically", full)
    run, observer = make_run(), RunFolder().observer()
    observer.dbgsom_run_started(run)
    tables = {"neurons": lambda: iter([{"unit": [0]}])}
    with pytest.raises(DbgsomError, match="No space left") as ended:
        observer.write_results(run, replace(result, tables=tables))
    assert ended.value.exit_code == 1


@pytest.mark.parametrize("how", ["folder", "unwritable"])
def test_a_folder_that_cannot_be_written_ends_the_run(how, make_run, history):
    run, observer = make_run(), RunFolder().observer()
    observer.dbgsom_run_started(run)
    observer.dbgsom_epoch_finished(run, history[0])
    journal = run.folder / "metrics.jsonl"
    if how == "folder":
        shutil.rmtree(run.folder)
    else:
        journal.unlink()
        journal.mkdir()
    with pytest.raises(DbgsomError, match=r"the run folder .* cannot be written"):
        observer.dbgsom_epoch_finished(run, history[1])
    observer.dbgsom_run_failed(run, DbgsomError("as told"))
    assert read_run(run.folder).status == "failed" or how == "unwritable"


def test_a_run_is_not_finished_while_something_of_it_is_missing(make_run, result):
    run, observer = make_run(), RunFolder().observer()
    observer.dbgsom_run_started(run)
    observer.write_results(run, result)
    (run.folder / "measures.json").unlink()
    with pytest.raises(DbgsomError, match=r"measures.json was removed by another process"):
        observer.dbgsom_run_finished(run, replace(result, figures={}))
    assert read_run(run.folder).status != "finished"


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": True})

    def interrupted(temporary):
        temporary.write_text("{")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, interrupted)
    assert json.loads(path.read_text()) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]


RUN = """
experiment: fruit
dataset: iris
model: {estimator: classifier, epochs: 3}
measures: [accuracy]
figures: []
tracking: lines
"""
KERNEL = """
import numpy as np
from dbgsom_core.api import KernelComponent, hookimpl
DBGSOM_API_VERSION = 1
class Flat(KernelComponent):
    "Equal weights."
    def weight(self, hops, width):
        return np.ones(len(hops))
@hookimpl
def dbgsom_kernels():
    return {"flat": Flat}
"""


@pytest.fixture
def site(site):
    site.write("dbgsom-lines", Path(__file__).with_name("lines_tracker.py").read_text())
    (site.work / "run.yaml").write_text(RUN)
    return site


def test_it_serves_sync_ui_and_models_by_address_and_changes_no_result(site):
    said = site.dbgsom("run", "run.yaml", "--all").out
    [folder] = (site.work / "runs" / "fruit").iterdir()
    store = site.work / "lines"
    kept = json.loads((store / "runs.jsonl").read_text())
    accuracy = kept["measures"]["train/accuracy"]
    assert (kept["id"], accuracy > 0.8) == (folder.name, True)
    # which the tracker tried to clear
    assert f"accuracy ↑ {accuracy:.4g}" in " ".join(said.split())

    assert "0 run(s) brought up to date; 1 were already" in site.dbgsom("sync").out
    (store / f"{folder.name}.npz").unlink()
    assert site.dbgsom("sync").out == "1 run(s) brought up to date\n"

    page = site.dbgsom("ui", str(folder), "--print", "--port", "5987").out
    assert f"http.server --directory lines 5987\nopen http://127.0.0.1:5987/{folder.name}" in page

    (site.work / "new.csv").write_text("a,b,c,d\n5.1,3.5,1.4,0.2\n")
    address = f"lines:/{folder.name}"
    own = site.dbgsom("predict", str(folder), "new.csv", "--columns", "label").out
    assert site.dbgsom("predict", address, "new.csv", "--columns", "label").out == own
    store.rename(site.work / "moved")
    moved = site.dbgsom("predict", address, "new.csv", "--columns", "label", "--store", "moved")
    assert moved.out == own
    assert "is not in lines" in site.dbgsom("predict", address, "new.csv", code=2).err


def test_a_run_whose_plugin_is_gone_is_synced(site):
    site.write("dbgsom-flat", KERNEL)
    site.dbgsom("run", "run.yaml", "--set", "model.kernel=flat")
    (site.folder / "dbgsom_flat.py").unlink()
    (site.folder / "dbgsom_flat-1.0.dist-info" / "entry_points.txt").unlink()
    [model] = (site.work / "lines").glob("*.npz")
    model.unlink()
    assert site.dbgsom("sync").out == "1 run(s) brought up to date\n"


def test_a_figure_with_contours_is_written(make_run, result):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().contour(np.outer(np.arange(4), np.arange(5)))
    run, observer = make_run(), RunFolder().observer()
    observer.dbgsom_run_started(run)
    observer.dbgsom_run_finished(run, replace(result, figures={"contours": figure}))
    assert (run.folder / "figures" / "contours.png").stat().st_size > 1000
