"""What observers add to the folder of a run, and what mirrors of it hold then."""

import json
import signal

import pytest

from dbgsom_core.config import parse_experiment
from dbgsom_core.interfaces.privacy import redaction
from dbgsom_core.interfaces.trackers import Run
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.folder import RunFiles, find_runs
from dbgsom_core.runs.pipeline import run_experiment


@pytest.fixture
def run_of(tmp_path):
    """Return a run of a folder that is there, anew each time."""

    def make():
        facts = {"config": {}, "params": {}, "environment": {}, "data": {}}
        return Run(id="one", name="one", experiment="e", kind="run", folder=tmp_path, **facts)

    return make


def test_a_name_has_one_value_a_step_and_a_torn_line_is_no_line(run_of, tmp_path):
    run, files = run_of(), RunFiles(tmp_path)
    for step in (1, 2):
        run.log_scalar("drift/mean", 0.5 * step, step)
    run.log_scalar("drift/worst", float("nan"), 2)
    with files.scalars.open("ab") as journal:
        journal.write(b'{"epoch": 3, "time": 1, "metr')
    again = run_of()  # what an interrupted process leaves
    for step in (2, 3):
        again.log_scalar("drift/mean", -1.0, step)
    lines = [json.loads(line) for line in files.scalars.read_text().splitlines()]
    assert [(one["epoch"], one["metrics"]) for one in lines] == [
        (1, {"drift/mean": 0.5}),
        (2, {"drift/mean": 1.0}),
        (2, {"drift/worst": "NaN"}),
        (3, {"drift/mean": -1.0}),
    ]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("log_scalar", "train/accuracy", 1.0, 1), "what begins with 'train/' is the run's own"),
        (("log_scalar", "a//b", 1.0, 1), "needs a name"),
        (("log_scalar", "x\n", 1.0, 1), "needs a name"),
        (("log_scalar", "x" * 251, 1.0, 1), "at most 240"),
        (("log_scalar", "x", "1", 1), "must be a number, not '1'"),
        (("log_scalar", "x", True, 1), "must be a number, not True"),
        (("log_scalar", "x", 1.0, -1), r"whole number from 0, below 2\^63, not -1"),
        (("log_scalar", "x", 1.0, 1.5), r"whole number from 0, below 2\^63, not 1.5"),
        (("log_scalar", "x", 1.0, 2**63), r"below 2\^63, not 9223372036854775808"),
        (("log_artifact", "x/" + "ä" * 121, b""), "at most 240"),
        (("log_artifact", "../x", b""), "needs a name"),
        (("log_artifact", "/etc/x", b""), "needs a name"),
        (("log_artifact", "a/.x", b""), "needs a name"),
        (("log_artifact", "a\\b", b""), "needs a name"),
        (("log_artifact", "c:x", b""), "needs a name"),
        (("log_artifact", "nul.txt", b""), "needs a name"),
        (("log_artifact", "x", 3), "must be text, bytes or the path of a file, not int"),
    ],
)
def test_what_cannot_be_logged_is_told_and_writes_nothing(call, told, run_of, tmp_path):
    method, *arguments = call
    with pytest.raises(ValueError, match=told):
        getattr(run_of(), method)(*arguments)
    assert not list(tmp_path.iterdir())


def test_artefacts_are_whole_masked_and_replaced(run_of, tmp_path):
    run, files = run_of(), RunFiles(tmp_path)
    (tmp_path / "given.bin").write_bytes(b"\x00\x01")
    with redaction({"swordfish": "${env:TOKEN}"}):
        run.log_artifact("notes/a.txt", "the word is swordfish")
        run.log_artifact("notes/a.txt", "it was swordfish")
    found = run.log_artifact("b.bin", tmp_path / "given.bin")
    assert found.read_bytes() == b"\x00\x01"
    assert (tmp_path / "artifacts/notes/a.txt").read_text() == "it was ${env:TOKEN}"
    with pytest.raises(FileNotFoundError):
        run.log_artifact("notes/c.txt", tmp_path / "nowhere")
    (tmp_path / "artifacts/notes/link").symlink_to("/etc/hostname")
    (tmp_path / "artifacts/notes/.a-0123456789ab.txt").write_text("half")
    files.remove_temporary()
    assert [path.name for path in files.artifacts()] == ["b.bin", "a.txt"]
    assert not list((tmp_path / "artifacts/notes").glob(".*"))


class Links:
    """Logs of each epoch, and is interrupted once."""

    def __init__(self, last):
        self.last = last

    def dbgsom_epoch_finished(self, run, epoch):
        run.log_scalar("links/mean", epoch.som_map.degrees().mean(), epoch.epoch)
        run.log_artifact("links/each epoch.txt", f"{epoch.epoch}")
        if epoch.epoch == self.last:
            signal.raise_signal(signal.SIGINT)

    def dbgsom_run_finished(self, run, result):
        run.log_artifact("links/last.txt", f"{len(result.history)} epochs")


@pytest.mark.parametrize("seconds", [0.0, 100.0])  # a checkpoint each epoch, and none
def test_a_resumed_run_has_each_scalar_once(seconds, tmp_path):
    values = {
        "experiment": "logs",
        "dataset": "iris",
        "model": {"epochs": 6, "tol": 0.0, "growth": "fixed"},
        "measures": [],
        "figures": [],
        "tracking": {
            "name": "run_folder",
            "path": str(tmp_path / "runs"),
            "checkpoint_seconds": seconds,
        },
    }
    registry = get_registry()

    def start(links, stored=None):
        experiment = parse_experiment(values, registry=registry)
        observers = make_callbacks(experiment.tracking, registry, [links])
        run_experiment(experiment, observers, registry, stored=stored)

    with pytest.raises(KeyboardInterrupt):
        start(Links(3))
    (stored,) = find_runs(tmp_path / "runs", "logs")
    assert [line.epoch for line in stored.scalars()] == [1, 2, 3]
    start(Links(0), stored)
    (stored,) = find_runs(tmp_path / "runs", "logs")
    assert stored.status == "finished"
    assert [line.epoch for line in stored.scalars()] == [1, 2, 3, 4, 5, 6]
    assert [path.read_text() for path in stored.files.artifacts()] == ["6", "6 epochs"]
    page = stored.files.page.read_text()
    link = '<a href="artifacts/links/each%20epoch.txt">artifacts/links/each epoch.txt</a>'
    assert link in page
    assert "(artifacts/links/each%20epoch.txt)" in stored.files.report.read_text()
