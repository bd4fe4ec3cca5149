"""What a model in MLflow needs to be loaded: its requirements, and wheels that no index has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dbgsom_core import mlflow as models
from dbgsom_core.errors import DbgsomError
from dbgsom_core.persistence import distributions
from dbgsom_plugins.trackers.mlflow.store import quiet


def test_what_a_model_needs_is_what_it_is_made_of(small_model: Any) -> None:
    assert distributions(small_model).keys() == {
        *("dbgsom-core", "numpy", "numba", "scipy", "scikit-learn"),
    }


def test_wheels_are_kept_with_the_model_and_named_by_its_requirements(
    small_model: Any, tmp_path: Path
) -> None:
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
        tmp_path / "none.whl": "no wheel .*: 'pip wheel",
        wheel.rename(tmp_path / "dbgsom_core-0.0.0-py3-none-any.whl"): "of another version than",
        Path(shutil.copy(tmp_path / "model" / "MLmodel", tmp_path / "x-1-py3-none-any.whl")): (
            "of nothing that the model needs"
        ),
    }
    for path, told in wrong.items():
        with quiet(), pytest.raises(DbgsomError, match=told):
            models.save_model(small_model, str(tmp_path / "other"), wheels=[path])
    assert not (tmp_path / "other").exists()
