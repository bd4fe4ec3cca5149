"""What the estimators say to those who come from another library: errors, warnings, tables."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import dbgsom_core
from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.errors import DataError, ScaleWarning
from dbgsom_core.estimators import growing_map

FEW = {"epochs": 2, "tol": 0}


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


def test_columns_of_very_different_scale_warn_with_the_cure(frame):
    text = (
        r"^column 'in\\u200bcome' spreads more than 100 times as far as column '<b>', .*"
        r"make_pipeline\(StandardScaler\(\), SomVQ\(\)\)"
    )
    with pytest.warns(ScaleWarning, match=text) as caught:
        SomVQ(**FEW).fit(frame)
    assert caught[0].filename == __file__
    rng = np.random.default_rng(1)
    grey = rng.integers(0, 256, (60, 9))
    grey[:, 0] = rng.random(60) < 0.03
    counts = rng.poisson(0.2, (60, 9)) * [1, 1, 1, 1, 1, 1, 1, 1, 900]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for X in (grey, counts, frame[["age"]]):
            SomVQ(**FEW).fit(X)
        SomVQ(**FEW, metric="mahalanobis").fit(frame.to_numpy())
        make_pipeline(PCA(), SomVQ(**FEW)).fit(frame.to_numpy())  # steps are what was wanted


def test_an_explanation_is_a_table_in_raw_units(frame, y):
    pipeline = make_pipeline("passthrough", StandardScaler(), SomClassifier(epochs=5, tol=0))
    pipeline.fit(frame, y)
    explanation = dbgsom_core.explain(pipeline, frame.iloc[3])
    assert dbgsom_core.explain(pipeline, frame[3:4]) == explanation
    table = explanation.to_frame()
    assert {*table.index} == {"age", "in\\u200bcome", "<b>"}
    assert table.loc["age", "value"] == frame["age"][3]
    assert 18 <= table.loc["age", "prototype"] <= 80
    lines = repr(explanation).splitlines()
    assert lines[0].startswith(f"label {explanation.label} (")
    assert lines[1].startswith(f"neuron {explanation.unit} at (")
    assert {line.split()[0] for line in lines[4:]} == {*table.index}


def test_an_explanation_of_a_column_transformer_names_its_columns(frame):
    mixed = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["kind"]))
    words = frame.assign(kind=["a", "b"] * 45)
    pipeline = make_pipeline(mixed, SomVQ(**FEW)).fit(words)
    for x in (words.iloc[0], words.to_numpy()[0]):
        features = {line.feature for line in dbgsom_core.explain(pipeline, x).differences}
        assert features == {"standardscaler__age", "onehotencoder__kind_a", "onehotencoder__kind_b"}
    with pytest.raises(ValueError, match="not a StandardScaler"):
        dbgsom_core.explain(make_pipeline(StandardScaler(), StandardScaler()).fit(frame), frame)


FRAMES = {
    "pandas": lambda rows: rows,
    "polars": lambda rows: pytest.importorskip("polars").from_arrow(pa.table(rows)),
    "arrow": pa.Table.from_pandas,
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_the_names_of_every_frame_are_checked_as_in_scikit_learn(frame, make):
    vq = SomVQ(epochs=2).fit(make(frame))
    assert [*vq.feature_names_in_] == [*frame]
    assert (vq.bmu(frame) == vq.bmu(make(frame))).all()
    for other in (frame[frame.columns[::-1]], frame.assign(extra=1.0)):
        with pytest.raises(ValueError, match="feature names should match those that were passed"):
            vq.bmu(make(other))
    with pytest.raises(ValueError, match=r"X\[model\.feature_names_in_\] has the columns"):
        vq.bmu(frame[frame.columns[::-1]])


def test_a_column_of_text_is_named(frame):
    with pytest.raises(ValueError, match=r"column 'colour' holds no numbers: dbgsom_core\.run"):
        SomVQ().fit(frame.assign(colour="red"))


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
