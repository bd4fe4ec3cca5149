"""``dbgsom sync`` sends runs to their own store, wherever it is called, and says what it does."""

from functools import partial
from pathlib import Path

import pytest

import dbgsom_core
from dbgsom_core.errors import DbgsomError
from dbgsom_core.runs.folder import RunFiles, read_run
from dbgsom_plugins.trackers.mlflow.store import resolve_uri
from dbgsom_plugins.trackers.mlflow.tracker import MLflow
from dbgsom_plugins.trackers.run_folder import RunFolder

CONFIG = {"uri": "sqlite:///mlflow.db", "name": "mlflow"}


@pytest.fixture
def dbgsom(called):
    return partial(called, Path())


@pytest.fixture
def stored(uri, tmp_path, monkeypatch):
    """A run that its store, beside the folder of the runs, has not heard of."""
    monkeypatch.chdir(tmp_path)
    config = {
        "experiment": "iris",
        "dataset": "iris",
        "model": {"epochs": 2},
        "measures": ["quantization_error"],
        "figures": [],
        "tracking": [CONFIG],
    }
    with monkeypatch.context() as patched:
        patched.setattr(MLflow, "observer", lambda self: object())
        return Path(dbgsom_core.run(config).folder)


def test_runs_go_to_the_store_of_where_they_were_started(
    stored, dbgsom, client, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert dbgsom("sync", "--runs", "../runs")[:2] == (0, "1 run(s) brought up to date\n")
    assert not list(elsewhere.iterdir())
    assert client.only_run("iris").info.status == "FINISHED"


def test_runs_that_were_moved_with_their_store_go_there(stored, tmp_path, monkeypatch):
    moved = tmp_path / "moved"
    (moved / "runs").mkdir(parents=True)
    folder = stored.rename(moved / "runs" / stored.name)
    file = RunFiles(folder).run
    assert str(tmp_path) in file.read_text()
    file.write_text(file.read_text().replace(str(tmp_path), str(tmp_path / "gone")))
    monkeypatch.chdir(moved)
    assert resolve_uri("sqlite:///a.db", folder) == f"sqlite:///{moved / 'a.db'}"


def test_a_dry_run_lists_and_touches_nothing(stored, dbgsom, client):
    code, said, _ = dbgsom("sync", "--dry-run")
    assert code == 0
    assert said.splitlines() == [
        f"{Path('runs') / 'iris' / stored.name}: finished, not in mlflow as it is",
        "1 run(s) to be brought up to date",
    ]
    assert client.get_experiment_by_name("iris") is None
    assert "mlflow.json" not in {path.name for path in stored.iterdir()}
    assert dbgsom("sync")[0] == 0
    none = "0 run(s) to be brought up to date; 1 were already\n"
    assert dbgsom("sync", "--dry-run")[1] == none


def test_a_killed_run_ends_with_its_last_epoch(stored, dbgsom, client):
    read_run(stored).model_copy(update={"status": "running", "ended": None}).write()
    assert "killed, not in mlflow as it is" in dbgsom("sync", "--dry-run")[1]
    dbgsom("sync")
    run = client.only_run("iris")
    assert run.info.status == "KILLED"
    assert run.info.end_time == read_run(stored).epochs()[-1].time


def test_a_password_that_no_folder_holds_is_asked_for(make_run, play, monkeypatch):
    run = make_run()
    play(run, RunFolder().observer())
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    masked = "https://***@host/mlflow?token=***&a=1"
    with pytest.raises(DbgsomError, match="set MLFLOW_TRACKING_USERNAME"):
        MLflow(uri=masked).mirror(run.folder)
    assert not MLflow(uri=masked).mirrored(run.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    assert resolve_uri(masked, run.folder) == "https://host/mlflow?a=1"


def test_what_observers_log_is_mirrored_once(uri, make_run, play, client, tmp_path):
    class Logging:
        def dbgsom_run_started(self, run):
            pass

        def dbgsom_epoch_finished(self, run, epoch):
            run.log_scalar("drift/mean", epoch.epoch / 2, epoch.epoch)

        def dbgsom_run_finished(self, run, result):
            run.log_scalar("drift/at end", 7.0, 0)
            run.log_artifact("drift/a.txt", "at last")

    run, tracker = make_run(), MLflow(uri=uri, flush_seconds=0)
    play(run, RunFolder().observer(), Logging(), tracker.observer())
    found = client.only_run()
    assert found.data.metrics["drift/at end"] == 7.0
    points = client.get_metric_history(found.info.run_id, "drift/mean")
    assert [(one.step, one.value) for one in points] == [(1, 0.5), (2, 1.0), (3, 1.5)]
    inside = client.list_artifacts(found.info.run_id, "artifacts/drift")
    assert [one.path for one in inside] == ["artifacts/drift/a.txt"]
    assert tracker.mirrored(run.folder)
    run.log_scalar("drift/mean", 2.0, 4)  # by one that was given up, and wakes
    run.log_artifact("drift/b.txt", "later")
    assert not tracker.mirrored(run.folder)
    tracker.mirror(run.folder)
    assert tracker.mirrored(run.folder)
    points = client.get_metric_history(found.info.run_id, "drift/mean")
    assert [one.step for one in points] == [1, 2, 3, 4]
    assert len(client.list_artifacts(found.info.run_id, "artifacts/drift")) == 2
