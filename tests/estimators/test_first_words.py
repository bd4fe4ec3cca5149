"""What the estimators say to those who come from another library: errors, warnings, tables."""

import inspect
import logging
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

import dbgsom_core
from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.errors import DataError, ScaleWarning
from dbgsom_core.estimators import growing_map


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    age = rng.integers(18, 80, 90)
    return pd.DataFrame(
        {"age": age, "in\u200bcome": rng.normal(30000, 9000, 90), "<b>": rng.normal(size=90)}
    )


@pytest.fixture
def y(frame):
    return np.where(frame["age"] > 50, "old", "<i>young")


def test_an_unknown_parameter_is_refused_as_python_and_scikit_learn_do():
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_clusters'"):
        SomVQ(n_clusters=3)
    with pytest.raises(TypeError, match="positional argument"):
        SomVQ(0.5)
    with pytest.raises(ValueError, match="Invalid parameter 'epoch' for estimator SomRegressor"):
        SomRegressor().set_params(epoch=3)


def test_constructors_keep_their_signatures():
    names = [*inspect.signature(SomClassifier).parameters]
    assert names == [*inspect.signature(SomClassifier.__init__).parameters][1:]

    class Mine(SomVQ):
        def __init__(self, size=3, **others):
            self.size = size
            super().__init__(max_neurons=size, **others)

    assert Mine(5, epochs=2).max_neurons == 5
    assert [*inspect.signature(Mine).parameters] == ["size", "others"]
    assert clone(SomVQ(epochs=3)).epochs == 3


def test_columns_of_very_different_scale_warn_with_the_cure(frame, y):
    text = (
        r"^column 'in\\u200bcome' spreads more than 100 times as far as column '<b>', .*"
        r"make_pipeline\(StandardScaler\(\), SomVQ\(\)\)"
    )
    with pytest.warns(ScaleWarning, match=text) as found:
        SomVQ(epochs=2, tol=0).fit(frame)
    assert found[0].filename == __file__
    with pytest.warns(ScaleWarning, match="^column 1 spreads .* as column 2, "):
        SomVQ(metric="manhattan", epochs=2, tol=0).fit(frame.to_numpy())
    rng = np.random.default_rng(1)
    grey = rng.integers(0, 256, (60, 9))
    grey[:, 0] = rng.random(60) < 0.03
    rare = np.column_stack([rng.normal(size=60), rng.normal(size=60) * 9, np.arange(60) < 1])
    counts = rng.poisson(0.2, (60, 9)) * [1, 1, 1, 1, 1, 1, 1, 1, 900]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for X in (grey, rare, counts, frame[["age"]]):
            SomVQ(epochs=2, tol=0).fit(X)
        for metric in ("mahalanobis", "cosine", "canberra"):
            SomVQ(epochs=2, tol=0, metric=metric).fit(frame.to_numpy())
        for step in (StandardScaler(), PCA()):  # a pipeline's steps are what was wanted
            make_pipeline(step, SomVQ(epochs=2, tol=0)).fit(frame.to_numpy())
        warnings.simplefilter("ignore", ScaleWarning)
        SomVQ(epochs=2, tol=0).fit(frame)


def test_a_search_warns_of_scales_once_of_its_last_fit(frame, y):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        few = SomClassifier(epochs=2, tol=0)
        GridSearchCV(few, {"spreading_factor": [0.3, 0.6]}, cv=2).fit(frame, y)
    assert [one.category for one in found if one.category is ScaleWarning] == [ScaleWarning]


def test_a_run_without_prepare_notes_scales(frame, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"experiment": "scales", "model": {"epochs": 2, "tol": 0}, "tracking": []}
    config |= {"figures": [], "measures": []}
    found = dbgsom_core.run(config, data=frame)
    assert sum("spreads more than 100 times" in note for note in found.notes) == 1
    found = dbgsom_core.run({**config, "prepare": "sklearn.decomposition:PCA"}, data=frame)
    assert not any("spreads more" in note for note in found.notes)


def test_an_explanation_is_a_table_in_raw_units(frame, y):
    pipeline = make_pipeline("passthrough", StandardScaler(), SomClassifier(epochs=5, tol=0))
    pipeline.fit(frame, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in (frame.iloc[3], frame[3:4]):
            found = dbgsom_core.explain(pipeline, x)
    table = found.to_frame()
    assert {*table.index} == {"age", "in\\u200bcome", "<b>"}
    assert table.loc["age", "value"] == frame["age"][3]
    assert 18 <= table.loc["age", "prototype"] <= 80
    lines = repr(found).splitlines()
    assert lines[0].startswith(f"label {found.label} (")
    assert lines[1].startswith(f"neuron {found.unit} at (")
    assert lines[3].split() == ["feature", "value", "prototype", "deviations"]
    assert {line.split()[0] for line in lines[4:]} == {*table.index}
    wide = np.random.default_rng(0).normal(size=(40, 12))
    shown = repr(SomVQ(epochs=2, tol=0).fit(wide).explain(wide[0])).splitlines()
    assert len(shown) == 13
    assert shown[-1] == "… and 4 more features"


def test_explanations_of_other_models(frame, y):
    scaled = MinMaxScaler().fit_transform(frame)
    alone = SomClassifier(epochs=5, tol=0).fit(scaled, y)
    names = ["a", "b", "c"]
    assert dbgsom_core.explain(alone, scaled[0], names) == alone.explain(scaled[0], names)
    mixed = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["kind"]))
    words = frame.assign(kind=["a", "b"] * 45)
    pipeline = make_pipeline(mixed, SomVQ(epochs=3, tol=0)).fit(words)
    for x in (words.iloc[0], words[:1], words.to_numpy()[0]):
        found = {one.feature for one in dbgsom_core.explain(pipeline, x).differences}
        assert "standardscaler__age" in found
        assert len(found) == 3
    with pytest.raises(ValueError, match="not a StandardScaler"):
        dbgsom_core.explain(make_pipeline(StandardScaler(), StandardScaler()).fit(frame), frame)


def test_the_page_takes_feature_names(frame, y):
    estimator = SomVQ(epochs=3, tol=0).fit(MinMaxScaler().fit_transform(frame))
    page = estimator.explore(MinMaxScaler().fit_transform(frame), feature_names=["ax", "bx", "cx"])
    assert "bx" in page.text


def test_workers_of_a_search_do_not_warn_of_scales(tmp_path):
    script = tmp_path / "search.py"
    script.write_text(
        "import numpy as np\n"
        "from sklearn.model_selection import GridSearchCV\n"
        "from dbgsom_core import SomVQ\n"
        "if __name__ == '__main__':\n"
        "    X = np.random.default_rng(0).normal(size=(60, 2)) * [1, 1e5]\n"
        "    few = SomVQ(epochs=2, tol=0)\n"
        "    GridSearchCV(few, {'spreading_factor': [0.3, 0.6]}, cv=2, n_jobs=2).fit(X)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stderr.count("ScaleWarning") == 1


@pytest.mark.parametrize("fitted", ["pandas", "polars", "table", "batch"])
@pytest.mark.parametrize("asked", ["pandas", "polars", "table", "batch"])
def test_the_names_of_every_frame_are_checked_as_in_scikit_learn(frame, fitted, asked):
    kinds = {
        "pandas": lambda rows: rows,
        "polars": lambda rows: pytest.importorskip("polars").from_arrow(pa.table(rows)),
        "table": pa.Table.from_pandas,
        "batch": pa.RecordBatch.from_pandas,
    }
    vq = SomVQ(epochs=2).fit(kinds[fitted](frame))
    assert [*vq.feature_names_in_] == [*frame]
    assert (vq.bmu(kinds[asked](frame)) == vq.bmu(frame)).all()
    for other in (frame[frame.columns[::-1]], frame.assign(extra=1.0)):
        with pytest.raises(ValueError, match="feature names should match those that were passed"):
            vq.bmu(kinds[asked](other))


def test_a_fit_says_how_much_memory_it_takes_besides_the_data(caplog, capsys):
    X = np.random.default_rng(0).normal(size=(40_000, 8))
    with caplog.at_level(logging.INFO, logger="dbgsom"):
        SomVQ(epochs=1, tol=0, verbose=1).fit(X)
    text = "training takes about 5 MiB of memory besides the data"  # a copy, bounds, 24 bytes a row
    assert text in caplog.messages
    assert capsys.readouterr().out.startswith(text)
    caplog.clear()
    engine = {"name": "local", "working_memory": 0}
    with caplog.at_level(logging.INFO, logger="dbgsom"):
        SomVQ(epochs=1, tol=0, engine=engine).fit(X)
    assert text.replace("5", "1") in caplog.messages


def test_a_fit_that_does_not_fit_in_memory_is_refused_before_it_begins(monkeypatch):
    X = np.random.default_rng(0).normal(size=(40_000, 8))
    monkeypatch.setattr(growing_map, "available_memory", lambda: X.nbytes + 3 * 2**20)
    epochs = []
    vq = SomVQ(callbacks=[epochs.append])
    with pytest.raises(DataError, match=r"about 5 MiB .* and this process may take 5 MiB"):
        vq.fit(X)
    assert epochs == []
    assert not hasattr(vq, "som_map_")
    vq.set_params(engine={"name": "local", "working_memory": 0}, epochs=1, tol=0).fit(X)
