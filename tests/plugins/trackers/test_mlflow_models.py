"""Models and data in MLflow: asked by column names, by address, evaluated; without pickle."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import dbgsom_core
from dbgsom_core import SomClassifier, SomRegressor
from dbgsom_core import mlflow as models
from dbgsom_core.errors import DbgsomError
from dbgsom_core.experiments.trackers import RunResult
from dbgsom_core.persistence import FittedModel, distributions
from dbgsom_plugins.trackers.mlflow.store import quiet
from dbgsom_plugins.trackers.mlflow.tracker import MLflow
from dbgsom_plugins.trackers.run_folder import RunFolder

TABLE = "id;size;colour;day;code;kind\n" + "".join(
    f"{i};{i % 7},5 cm;{('red', 'blue')[i % 2]};2024-01-{i % 28 + 1:02};{i % 3};{'ab'[i % 2]}\n"
    for i in range(60)
)
CONFIG = {
    "experiment": "fruit",
    "dataset": {
        "name": "csv",
        "path": "fruit.csv",
        "delimiter": ";",
        "decimal": ",",
        "id": ["id"],
        "units": {"size": "cm"},
        "target": "kind",
        "dates": "ordinal",
        "categorical": ["colour", "code"],
    },
    "prepare": ["standardize"],
    "model": {"estimator": "classifier", "epochs": 3},
    "measures": ["accuracy"],
    "figures": [],
    "tracking": [{"name": "mlflow", "uri": "sqlite:///mlflow.db"}],
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory, empty_store):
    """A run on a table, with its model in MLflow."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "fruit.csv").write_text(TABLE)
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patched, quiet():
        patched.chdir(folder)
        patched.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        patched.setenv("MLFLOW_TRACKING_URI", uri)
        import mlflow

        found = dbgsom_core.run(CONFIG)
        client = mlflow.MlflowClient(uri, registry_uri=uri)
        experiment = client.get_experiment_by_name("fruit").experiment_id
        [run] = client.search_runs([experiment])
        [output] = client.get_run(run.info.run_id).outputs.model_outputs
        place = Path(client.get_logged_model(output.model_id).artifact_location[7:])
        yield SimpleNamespace(
            found=found,
            run=run,
            folder=folder,
            files=place,
            uri=uri,
            name=client.get_logged_model(output.model_id).name,
            model=mlflow.pyfunc.load_model(str(place)),
        )


@pytest.fixture
def rows():
    return pd.DataFrame(
        {
            "size": [0.5, 3.5, np.nan],
            "colour": ["red", "blue", "red"],
            "day": ["2024-01-03", "2024-01-20", "2024-01-07"],
            "code": [0, 1, 2],
        }
    )


def _answers(stored, rows, *columns):
    with quiet():
        return stored.model.predict(rows, params={"columns": list(columns)} if columns else None)


def test_columns_are_known_by_name_in_any_order(stored, rows):
    signature = stored.model.metadata.signature
    assert signature.inputs.input_names() == ["size", "colour", "day", "code"]
    wanted = stored.found.model.predict(rows)
    assert set(wanted) <= {"a", "b"}
    for order in (rows, rows[rows.columns[::-1]], rows.sample(frac=1, axis=1, random_state=0)):
        np.testing.assert_array_equal(_answers(stored, order), wanted)
    written = rows.assign(size=["0,5 cm", "3,5cm", ""])
    np.testing.assert_array_equal(_answers(stored, written), wanted)
    assert _answers(stored, rows.set_index(pd.Index([7, 8, 9]))).tolist() == wanted.tolist()


def test_missing_and_extra_columns_are_told(stored, rows, caplog):
    import mlflow

    with pytest.raises(mlflow.MlflowException, match=r"missing inputs \['size'\]"):
        _answers(stored, rows.drop(columns="size"))
    wanted = _answers(stored, rows)
    mlflow_log = __import__("logging").getLogger("mlflow.models.utils")
    mlflow_log.addHandler(caplog.handler)
    try:
        with caplog.at_level("WARNING", "mlflow.models.utils"):
            more = stored.model.predict(rows.assign(taste="sweet"))
    finally:
        mlflow_log.removeHandler(caplog.handler)
    np.testing.assert_array_equal(more, wanted)
    assert "extra inputs" in caplog.text
    assert "taste" in caplog.text


def test_params_choose_what_is_told(stored, rows):
    asked = ("label", "unit", "x", "y", "distance", "probabilities", "novelty", "pvalue")
    told, wanted = _answers(stored, rows, *asked), stored.found.model.answers(rows)
    assert list(told) == [
        *("label", "unit", "x", "y", "distance"),
        *("probability_a", "probability_b", "novelty", "pvalue"),
    ]
    np.testing.assert_array_equal(told["unit"], wanted.unit)
    np.testing.assert_array_equal(told[["x", "y"]], wanted.cell)
    np.testing.assert_array_equal(told[["probability_a", "probability_b"]], wanted.probabilities)
    np.testing.assert_array_equal(told["novelty"], wanted.novelty)
    assert told["pvalue"].between(0, 1).all()
    with pytest.raises(Exception, match=r"'noveltie' is none of label.*did you mean 'novelty'"):
        _answers(stored, rows, "noveltie")


def test_a_served_model_answers_a_request(stored, rows):
    with quiet():
        from mlflow.pyfunc import scoring_server

        frame = rows[rows.columns[::-1]].iloc[:2]
        request = {
            "dataframe_split": json.loads(frame.to_json(orient="split", index=False)),
            "params": {"columns": ["label", "unit"]},
        }
        answer = scoring_server.invocations(
            json.dumps(request),
            "application/json",
            stored.model,
            stored.model.metadata.get_input_schema(),
        )
    told = pd.DataFrame(json.loads(answer.response)["predictions"])
    wanted = stored.found.model.answers(rows.iloc[:2])
    assert told["unit"].tolist() == wanted.unit.tolist()
    assert told["label"].tolist() == wanted.label.tolist()


@pytest.mark.parametrize("kind", ["words", "objects", "numbers"])
def test_whatever_a_model_answers_its_signature_says_it(
    kind, uri, client, make_run, play, tmp_path
):
    X = np.random.default_rng(0).random((30, 2))
    words = np.array(["up", "down"])[(X[:, 0] > 0.5).astype(int)]
    y = {"words": words, "objects": words.astype(object), "numbers": X[:, 0]}[kind]
    estimator = SomRegressor if kind == "numbers" else SomClassifier
    model = FittedModel((), estimator(epochs=2, growth="fixed", random_state=0).fit(X, y))
    folder, run = RunFolder().observer(), make_run()
    folder.dbgsom_run_started(run)
    folder.dbgsom_run_finished(run, RunResult({}, model=model, example=X[:3]))
    MLflow(uri=uri).mirror(run.folder)
    with quiet():
        import mlflow

        [output] = client.only_run().outputs.model_outputs
        place = client.get_logged_model(output.model_id).artifact_location
        loaded = mlflow.pyfunc.load_model(place)
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        assert "tensor" not in str(loaded.metadata.get_input_schema())
        outputs = loaded.metadata.get_output_schema()
    assert outputs is not None


def test_nothing_is_pickled_and_requirements_are_those_of_the_model(stored):
    names = {path.name for path in stored.files.rglob("*") if path.is_file()}
    assert "model.npz" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]
    lines = (stored.files / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines)
    assert pinned.keys() == {
        *("dbgsom-core", "numpy", "numba", "scipy", "scikit-learn", "pandas", "mlflow")
    }
    assert all(pinned.values())
    assert stored.name == "fruit directed SF 0_5, gaussian, euclidean"


def test_columns_may_be_typed(stored, rows, tmp_path):
    fitted = dbgsom_core.persistence.load(stored.found.folder / "model.npz")
    with quiet():
        import mlflow

        example = rows.astype({"code": str})
        models.save_model(fitted, str(tmp_path / "m"), input_example=example, signature="typed")
        model = mlflow.pyfunc.load_model(str(tmp_path / "m"))
        inputs = model.metadata.get_input_schema()
        told = {name: one.type.name for name, one in inputs.input_dict().items()}
        assert told == {"size": "double", "colour": "string", "day": "string", "code": "string"}
        texts = rows.astype({"code": str, "size": "float32"}).set_index(pd.Index([7, 8, 9]))
        assert model.predict(texts[texts.columns[::-1]]).tolist() == _answers(stored, rows).tolist()
        with pytest.raises(mlflow.MlflowException, match="Can not safely convert int64"):
            model.predict(texts.assign(size=[1, 3, 5]))
        signature = model.metadata.signature
        models.save_model(fitted, str(tmp_path / "own"), input_example=example, signature=signature)
        own = mlflow.models.Model.load(str(tmp_path / "own"))
    assert own.signature == signature


def test_a_registered_model_is_named_by_its_alias(stored, monkeypatch, called):
    dbgsom = partial(called, stored.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    for _ in range(2):
        told = dbgsom("register", "fruit", "fruits", "--alias", "champion")
        assert told[:2] == (0, "models:/fruits@champion\n")
    assert dbgsom("register", stored.found.id, "fruits")[:2] == (0, "models:/fruits/1\n")
    code, out, err = dbgsom("predict", "models:/fruits@champion", "fruit.csv", "--columns", "label")
    assert (code, out.splitlines()[:3]) == (0, ["id,label", "0,a", "1,b"]), err
    code, _, err = dbgsom("register", "fruit", "a/b")
    assert code == 2
    assert "leave out / : and @" in err


def test_what_a_model_needs_is_what_it_is_made_of(small_model):
    assert distributions(small_model).keys() == {
        *("dbgsom-core", "numpy", "numba", "scipy", "scikit-learn")
    }


def test_wheels_are_kept_with_the_model_and_named_by_its_requirements(small_model, tmp_path):
    version = distributions(small_model)["dbgsom-core"]
    wheel = tmp_path / f"dbgsom_core-{version}-py3-none-any.whl"
    wheel.write_bytes(b"zip")
    X = np.eye(2)
    with quiet():
        models.save_model(small_model, str(tmp_path / "model"), input_example=X, wheels=[wheel])
    assert (tmp_path / "model" / "code" / wheel.name).read_bytes() == b"zip"
    lines = (tmp_path / "model" / "requirements.txt").read_text().splitlines()
    assert f"code/{wheel.name}" in lines
    assert not any(line.startswith("dbgsom") for line in lines)
    wrong = {
        tmp_path / "none.whl",
        wheel.rename(tmp_path / "dbgsom_core-0.0.0-py3-none-any.whl"),
        Path(shutil.copy(tmp_path / "model" / "MLmodel", tmp_path / "x-1-py3-none-any.whl")),
    }
    for path in wrong:
        with quiet(), pytest.raises(DbgsomError, match=f"{path} is no wheel of what the model"):
            models.save_model(small_model, str(tmp_path / "other"), wheels=[path])
    assert not (tmp_path / "other").exists()


SMALL_TABLE = "a,b,kind\n" + "".join(f"{i % 7},{i % 5},{'xy'[i % 2]}\n" for i in range(40))
SMALL_CONFIG = {
    "experiment": "table",
    "dataset": {"name": "csv", "path": "t.csv", "target": "kind"},
    "split": {"test_size": 0.25},
    "model": {"estimator": "classifier", "epochs": 2},
    "measures": ["accuracy"],
    "figures": [],
}


def test_data_is_logged_with_its_contexts(uri, client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(SMALL_TABLE)
    dbgsom_core.run({**SMALL_CONFIG, "tracking": [{"name": "mlflow", "uri": uri}]})
    run = client.only_run("table")
    inputs = {one.tags[0].value: one.dataset for one in run.inputs.dataset_inputs}
    assert inputs.keys() == {"training", "testing"}
    assert (inputs["training"].name, inputs["testing"].name) == ("t", "t")
    assert inputs["training"].digest != inputs["testing"].digest
    assert json.loads(inputs["training"].source)["dataset"]["path"] == "t.csv"
    [output] = run.outputs.model_outputs
    measures = client.get_logged_model(output.model_id).metrics
    on = {one.key: one.dataset_digest for one in measures}
    assert on["train/accuracy"] == inputs["training"].digest
    assert on["test/accuracy"] == inputs["testing"].digest
    best = client.search_logged_models(
        [run.info.experiment_id],
        datasets=[{"dataset_name": inputs["testing"].name}],
        order_by=[{"field_name": "metrics.test/accuracy", "ascending": False}],
    )
    assert [one.model_id for one in best] == [output.model_id]
