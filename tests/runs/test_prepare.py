"""Prepare steps: what they are given is checked, imports are told, constant columns are noted."""

import sys

import numpy as np
import pytest
from click.testing import CliRunner

from dbgsom_core.cli import cli
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError, DataError, Remark
from dbgsom_core.runs.data import final_fold, load_data
from dbgsom_core.runs.prepare import fit_steps, make_step, make_steps

SCALER, PCA = "sklearn.preprocessing:RobustScaler", "sklearn.decomposition:PCA"


def test_every_fault_of_every_step_is_told_at_its_place(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "experiment: e\n"
        "dataset: iris\n"
        "prepare:\n"
        f"  - {{name: '{SCALER}', shere: 1}}\n"
        "  - standardize\n"
        f"  - name: {PCA}\n"
        "    n_components: many\n"
        "  - {name: standardize, with_meen: true}\n"
        "  - sklearn.preprocessing:RobustScale\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        make_steps(load_experiment(path))
    told = str(caught.value).replace(f"{path}:", "").splitlines()
    assert [line.partition(": prepare step")[0] for line in told] == [
        "4:50: prepare.0.shere",
        "7:5: prepare.2.n_components",
        "8:25: prepare.3.with_meen",
        "9:5: prepare.4",
    ]
    assert told[0].endswith("has no parameter 'shere'; it has with_centering, with_scaling, "
                            "quantile_range, copy, unit_variance")  # fmt: skip
    assert "Got 'many' instead" in told[1]
    assert told[2].endswith("did you mean 'with_mean'?")


def test_a_list_stands_for_a_tuple():
    assert make_step(SCALER, {"quantile_range": [10, 90]}).quantile_range == (10, 90)


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
    info = module.installed / "dbgsom_test_edited-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: dbgsom-test-edited\nVersion: 1\n")
    url = f'{{"url": "{module.near.as_uri()}", "dir_info": {{"editable": true}}}}'
    (info / "direct_url.json").write_text(url)
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


@pytest.fixture
def described(tmp_path):
    """Return a description of a table of which so many of six columns are constant."""

    def made(constant):
        X = np.random.default_rng(0).normal(size=(30, 6))
        X[:, :constant] = 7.0
        np.save(tmp_path / "x.npy", X)
        path = tmp_path / "run.yaml"
        path.write_text(
            f"experiment: e\ndataset: {{name: npy, path: '{tmp_path / 'x.npy'}'}}\n"
            f"prepare: range_scale\nmodel: {{max_neurons: 6, epochs: 2}}\n"
            f"figures: []\ntracking: {{name: run_folder, path: '{tmp_path / 'runs'}'}}\n",
            encoding="utf-8",
        )
        return path

    return made


@pytest.mark.parametrize(("constant", "listed"), [(2, "0, 1"), (3, "0, 1, 2")])
def test_constant_columns_are_a_remark(described, constant, listed):
    told = f"{constant} of 6 columns are constant and scaled to 0: {listed}"
    experiment = load_experiment(described(constant))
    with pytest.warns(Remark, match=told):
        final_fold(experiment, load_data(experiment))


def test_a_remark_is_in_the_report_and_not_on_the_terminal(described, tmp_path):
    done = CliRunner().invoke(cli, ["run", str(described(2))])
    assert done.exit_code == 0, done.output
    assert "constant" not in done.output
    (report,) = (tmp_path / "runs").glob("e/*/report.md")
    assert "2 of 6 columns are constant and scaled to 0" in report.read_text(encoding="utf-8")
