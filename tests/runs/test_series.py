"""Rows in the order of time: prepare steps that look back, alone, in runs and in model files."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dbgsom_core
from dbgsom_core import SomVQ
from dbgsom_core.errors import ConfigError, DataError
from dbgsom_core.experiments.series import Cyclic, Lags, Rolling
from dbgsom_core.persistence import load

HOURS = pd.DataFrame(
    {
        "hour": np.arange(600) % 24,
        "heat": np.random.default_rng(0).normal(size=600).cumsum().round(3),
        "flow": np.random.default_rng(1).normal(size=600).round(3),
    }
)


def test_lags_are_the_values_before_or_the_change_since():
    made = Lags(columns=["heat"], steps=(1, 24)).fit(HOURS)
    names = made.get_feature_names_out().tolist()
    assert names == ["hour", "heat", "flow", "heat before 1", "heat before 24"]
    found = pd.DataFrame(made.transform(HOURS), columns=names)
    for step in (1, 24):
        expected = HOURS["heat"].shift(step).fillna(HOURS["heat"][0])
        assert found[f"heat before {step}"].tolist() == expected.tolist()
    changes = Lags(columns=["heat"], difference=True).fit(HOURS)
    assert changes.get_feature_names_out()[-1] == "heat since 1"
    expected = HOURS["heat"].diff().fillna(0).to_numpy()
    assert changes.transform(HOURS)[:, -1] == pytest.approx(expected)


def test_rolling_statistics_are_those_of_a_loop():
    step = Rolling(columns=["flow"], window=5, statistics=["mean", "std", "max"]).fit(HOURS)
    assert step.get_feature_names_out()[3:].tolist() == [
        "mean 5 of flow", "std 5 of flow", "max 5 of flow",
    ]  # fmt: skip
    flow = HOURS["flow"].to_numpy()
    for row in (0, 3, 100):
        window = flow[max(0, row - 4) : row + 1]
        made = step.transform(HOURS)[row, 3:]
        assert made == pytest.approx([window.mean(), window.std(), window.max()], abs=1e-9)


def test_a_cycle_is_replaced_by_its_place_on_a_circle():
    step = Cyclic({"hour": 24}).fit(HOURS)
    assert step.get_feature_names_out().tolist() == ["heat", "flow", "sin hour", "cos hour"]
    made = step.transform(HOURS)
    apart = np.linalg.norm(made[0, 2:] - made[[1, 12, 23, 24], 2:], axis=1)
    assert apart == pytest.approx([2 * np.sin(np.pi / 24), 2, 2 * np.sin(np.pi / 24), 0])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Lags(columns=["heatt"]), "no column 'heatt'; did you mean 'heat'"),
        (Lags(steps=[0]), "steps are numbers of rows from 1 on"),
        (Rolling(window=1), "window is a number of rows from 2 on"),
        (Rolling(statistics=["median"]), "statistics are of mean, std, min, max"),
        (Cyclic({"hour": 0}), "'hour' needs a period above 0"),
        (Lags(steps=range(1, 4000)), "more than 10,000 columns"),
    ],
)
def test_what_cannot_be_made_is_told(step, message):
    with pytest.raises(ValueError, match=message):
        step.fit(HOURS)


PREPARE = [
    {"name": "lags", "columns": ["heat"], "steps": [1], "difference": True},
    {"name": "rolling", "columns": ["flow"], "window": 6, "statistics": ["std"]},
    {"name": "cyclic", "columns": {"hour": 24}},
    "standardize",
]


def described(**more):
    return {
        "experiment": "plant",
        "dataset": {"name": "csv", "path": "plant.csv"},
        "prepare": PREPARE,
        "model": {"epochs": 10},
        "figures": ["u_matrix"],
        "measures": ["quantization_error"],
        "tracking": ["run_folder"],
        **more,
    }


def test_a_run_looks_back_before_it_divides_rows(tmp_path, monkeypatch, called):
    monkeypatch.chdir(tmp_path)
    HOURS.to_csv("plant.csv", index=False)
    done = dbgsom_core.run(described(split={"test_size": 0.25}))
    steps = [Lags(["heat"], [1], True), Rolling(["flow"], 6, ["std"]), Cyclic({"hour": 24})]
    series = make_pipeline(*steps).set_output(transform="pandas")
    whole = series.fit_transform(HOURS).to_numpy()
    scaler = done.model.steps[-1][1]
    assigned = pd.read_csv(done.folder / "assignments.csv")
    trained = (assigned["part"] == "train").to_numpy()
    assert scaler.mean_ == pytest.approx(whole[trained].mean(axis=0))
    expected = done.model.estimator.bmu(scaler.transform(whole))
    assert assigned["unit"].tolist() == expected.tolist()
    loaded = load(done.folder / "model.npz")
    assert loaded.looks_back
    monkeypatch.setattr("dbgsom_core.runs.predict._CELLS", 1)
    monkeypatch.setattr("dbgsom_core.runs.predict._LEAST_ROWS", 50)
    code, _, err = called(tmp_path, "predict", "plant", "plant.csv", "-o", "answers.csv")
    assert code == 0, err
    assert pd.read_csv("answers.csv")["unit"].tolist() == expected.tolist()
    code, _, err = called(tmp_path, "explain", "plant", "plant.csv", "--row", "3")
    assert "looks at the rows before a row" in err
    code, out, err = called(tmp_path, "check", "plant", "plant.csv")
    assert code == 0, err
    assert "No new group" in out


def test_steps_that_look_back_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    HOURS.to_csv("plant.csv", index=False)
    with pytest.raises(ConfigError, match="'lags' looks at the rows before: only such steps"):
        dbgsom_core.run(described(prepare=["standardize", "lags"]))
    with pytest.raises(DataError, match="no column 'heatt'"):
        dbgsom_core.run(described(prepare=[{"name": "lags", "columns": ["heatt"]}]))


def test_a_sensor_that_is_stuck_is_stranger_with_what_was_before():
    stuck = HOURS.copy()
    stuck.loc[400:450, "flow"] = stuck["flow"][400]
    scores = {}
    for name, steps in {"plain": [], "rolling": [Rolling(["flow"], 6, ["std"])]}.items():
        model = make_pipeline(*steps, StandardScaler(), SomVQ(max_neurons=40)).fit(HOURS)
        score = model.score_samples(stuck)
        scores[name] = score[405:450].mean() - score[:400].mean()
    assert scores["rolling"] < scores["plain"] - 0.2
