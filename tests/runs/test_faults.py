"""Faults of the data are found before a run folder exists, and told with their place."""

from pathlib import Path

import numpy as np
import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.errors import DataError
from dbgsom_core.runs.pipeline import prepare_run

RNG = np.random.default_rng(3)


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Prepare a run of X and y that must be refused, and return the sentence."""
    monkeypatch.chdir(tmp_path)

    def refused(X, y=None, **sections):
        with pytest.raises(DataError) as caught:
            ready(X, y, **sections)
        return str(caught.value)

    return refused


def ready(X, y=None, **sections):
    np.savez("data.npz", X=X, **({} if y is None else {"y": y}))
    rest = "".join(f"{key}: {text}\n" for key, text in sections.items())
    with Path("run.yaml").open("w", encoding="utf-8") as file:
        file.write(f"experiment: x\ndataset: {{name: npz, path: data.npz, missing: keep}}\n{rest}")
    return prepare_run(load_experiment("run.yaml"))


@pytest.fixture
def X():  # noqa: N802
    return RNG.normal(size=(40, 3))


def test_a_step_may_fill_what_is_missing(refused, X):
    X[7] = np.nan
    assert len(ready(X, prepare="'sklearn.impute:SimpleImputer'").fold.train.X) == 40


@pytest.mark.parametrize("model", ["{estimator: classifier, unlabelled: -1}"])
def test_targets_without_any_class_are_told(refused, X, model):
    told = refused(X, np.full(40, -1), model=model)
    assert told.startswith("no sample of data set 'data.npz' has a class")


def test_a_part_to_train_on_without_a_class_is_told(refused, X):
    y = np.full(40, -1)
    y[7] = 0
    seed = next(seed for seed in range(9) if len(_to_train(X, y, seed)) == 0)
    told = refused(
        X, y, model="{estimator: classifier, unlabelled: -1}", split="{test_size: 0.5}", seed=seed
    )
    assert told.startswith("split: no sample of the part to train on has a class")


def _to_train(X, y, seed):
    """Return the labels in the part to train on."""
    part = ready(X, y, split="{test_size: 0.5}", seed=seed).fold.train
    return part.y[part.y >= 0]


def test_a_fold_that_takes_away_all_values_of_a_column_is_told(refused, X):
    X[1:, 2] = np.nan
    told = refused(X, split="{folds: 2}")
    assert told.startswith("split: column 2 has no value in the part to train on of fold")
