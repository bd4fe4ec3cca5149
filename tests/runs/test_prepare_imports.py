"""Prepare steps come from what is installed, and whatever their import does is told."""

import sys

import numpy as np
import pytest

from dbgsom_core.errors import ConfigError, DataError
from dbgsom_core.runs.prepare import fit_steps, make_step

STEP = """
class Step:
    def fit(self, X, y=None):
        {fit}
        return self
    def transform(self, X):
        return X
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module into the working directory, or into one that is on the path."""
    near, installed = tmp_path / "near", tmp_path / "installed"
    near.mkdir()
    installed.mkdir()
    monkeypatch.chdir(near)
    monkeypatch.setattr(sys, "path", ["", str(near), *sys.path, str(installed)])
    known = set(sys.modules)

    def write(name, text, where=installed):
        path = where / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return where

    write.near, write.installed = near, installed
    yield write
    for name in set(sys.modules) - known:
        if name.startswith("dbgsom_test_"):
            del sys.modules[name]


def refusal(name, **params):
    before = list(sys.path)
    with pytest.raises(ConfigError) as caught:
        make_step(name, params)
    assert sys.path == before
    return str(caught.value)


def test_what_is_installed_is_imported(module):
    module("dbgsom_test_there", STEP.format(fit=""))
    assert type(make_step("dbgsom_test_there:Step", {})).__name__ == "Step"


def test_what_lies_in_the_working_directory_is_not(module):
    module("dbgsom_test_near", "open('ran', 'w').close()\n" + STEP.format(fit=""), module.near)
    assert refusal("dbgsom_test_near:Step") == (
        "prepare step 'dbgsom_test_near:Step' cannot be imported: there is no module "
        "'dbgsom_test_near' among what is installed (the working directory does not count)"
    )
    assert not (module.near / "ran").exists()


def test_a_folder_that_is_installed_in_place_counts(module):
    module("dbgsom_test_edited", STEP.format(fit=""), module.near)
    told = module.installed / "dbgsom_test_edited-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Name: dbgsom-test-edited\nVersion: 1\n")
    url = f'{{"url": "{module.near.as_uri()}", "dir_info": {{"editable": true}}}}'
    (told / "direct_url.json").write_text(url)
    assert make_step("dbgsom_test_edited:Step", {}) is not None


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import sys; sys.exit(0)", "(SystemExit: 0)"),
        ("1 / 0", "(ZeroDivisionError: division by zero)"),
        ("def", "(SyntaxError: "),
    ],
)
def test_whatever_an_import_does_is_told(code, told, module):
    module("dbgsom_test_bad", code)
    assert told in refusal("dbgsom_test_bad:Step")


def test_a_step_that_ends_the_process_is_told(module):
    module("dbgsom_test_exit", STEP.format(fit="raise SystemExit(0)"))
    step = make_step("dbgsom_test_exit:Step", {})
    with pytest.raises(DataError, match="'s' cannot use the data: SystemExit: 0"):
        fit_steps([("s", step)], np.eye(2), None)


def test_scikit_learn_alone_may_be_allowed(module, monkeypatch):
    module("dbgsom_test_other", "open('ran', 'w').close()\n" + STEP.format(fit=""))
    monkeypatch.setenv("DBGSOM_SKLEARN_ONLY", "1")
    told = refusal("dbgsom_test_other:Step")
    assert told.endswith("is not of scikit-learn, the only one allowed")
    assert not (module.near / "ran").exists()
    assert make_step("sklearn.preprocessing:MinMaxScaler", {}) is not None
    assert make_step("standardize", {}) is not None
    assert "unpickle" in refusal("sklearn.cluster:FeatureAgglomeration", memory="cache")
