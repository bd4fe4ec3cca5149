"""Prepare steps beside a configuration: saved by name, and imported from no stored path."""

import sys
from pathlib import Path

import numpy as np
import pytest

import dbgsom_core
from dbgsom_core import persistence
from dbgsom_core.errors import ConfigError, ModelFileError
from dbgsom_core.experiments.models import OWN_STEPS
from dbgsom_core.runs.folder import read_run

pytestmark = pytest.mark.one_version

STEP = """
from pathlib import Path

Path("imported").touch()


class Scaler:
    def __init__(self, factor=2.0):
        self.factor = factor

    def fit(self, X, y=None):
        self.means_, self.names_, self.known_ = X.mean(axis=0), ["a"], {"n": len(X)}
        LINE
        return self

    def transform(self, X):
        return (X - self.means_) * self.factor
"""
CONFIG = """\
experiment: own
dataset: iris
prepare: [{name: 'dbgsom_test_steps:Scaler', factor: 3}]
model: {epochs: 2, max_neurons: 9}
measures: []
figures: []
tracking: []
"""


@pytest.fixture
def forget():
    """Return a function that lets this process be as new to the module."""

    def forget():
        OWN_STEPS.clear()
        sys.modules.pop("dbgsom_test_steps", None)
        Path("imported").unlink(missing_ok=True)

    yield forget
    forget()


@pytest.fixture
def project(tmp_path, monkeypatch, forget):
    """Write a configuration and its step into a folder beside the working directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    folder = tmp_path / "project"

    def write(line="", more=""):
        folder.mkdir(exist_ok=True)
        (folder / "run.yaml").write_text(CONFIG + more)
        (folder / "dbgsom_test_steps.py").write_text(STEP.replace("LINE", line))
        return folder

    return write


def test_a_step_is_saved_by_its_name_and_loaded_with_its_class(project, forget):
    run = dbgsom_core.run(project() / "run.yaml")
    cls, X = type(run.model.steps[0][1]), np.ones((1, 4))
    answers = run.model.predict(X)
    forget()
    path = run.folder / "model.npz"
    with pytest.raises(ModelFileError, match="a 'dbgsom_test_steps:Scaler', which is not on the"):
        persistence.load(path)
    model = persistence.load(path, steps=[cls])
    step = model.steps[0][1]
    assert (step.factor, step.names_, step.known_) == (3, ["a"], {"n": 150})
    np.testing.assert_array_equal(model.predict(X), answers)
    assert not Path("imported").exists()


def test_what_files_cannot_hold_is_refused_before_training(project):
    with pytest.raises(
        ConfigError, match=r"'dbgsom_test_steps:Scaler' cannot be saved .*found_, a builtins.set"
    ):
        dbgsom_core.run(project("self.found_ = {1}") / "run.yaml")
    assert not Path("runs").exists()


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_commands_import_it_from_the_folder_that_is_named(command, project, forget, called):
    folder = project()
    run = dbgsom_core.run(folder / "run.yaml")
    forget()
    Path("new.csv").write_text("a,b,c,d\n1,2,3,4\n")
    rows = ["--row", "0"] if command == "explain" else []
    for hostile in (run.folder, Path.cwd()):  # nothing is imported from there
        (hostile / "dbgsom_test_steps.py").write_text("open('imported', 'w')")
    arguments = [command, run.folder, "new.csv", *rows]
    answer = called(Path.cwd(), *arguments)
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "dbgsom_test_steps:Scaler" in answer.err
    assert "--steps FOLDER" in answer.err
    assert not Path("imported").exists()
    answer = called(Path.cwd(), *arguments, "--steps", folder)
    assert answer.code == 0, answer.err
    assert Path("imported").exists()
    assert "not available" not in answer.err


def test_resuming_imports_it_from_a_folder_that_is_named(project, forget, called):
    folder = project()
    run = dbgsom_core.run(folder / "run.yaml")
    stored = run.folder / "run.json"
    stored.write_text(stored.read_text().replace('"finished"', '"failed"'))
    assert read_run(run.folder).environment["folder"] == str(folder)
    forget()
    (run.folder / "dbgsom_test_steps.py").write_text("open('imported', 'w')")
    answer = called(Path.cwd(), "run", "--resume", run.folder)
    assert answer.code == 2
    assert "there is no module 'dbgsom_test_steps' installed or in the folder" in answer.err
    assert not Path("imported").exists()
    answer = called(Path.cwd(), "run", "--resume", run.folder, "--steps", folder)
    assert answer.code == 0, answer.err
