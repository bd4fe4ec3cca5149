"""A run names the few rows that carry most of the squared error."""

import numpy as np
import pandas as pd
import pytest

from dbgsom_core import run


@pytest.fixture
def prices(rng):
    size = rng.uniform(50, 200, 1200)
    frame = pd.DataFrame({"size": size, "rooms": np.round(size / 30)})
    frame["price"] = np.round(3000 * size * rng.uniform(0.9, 1.1, 1200))
    frame["house"] = [f"house-{row}" for row in range(1200)]
    return frame


def finish(frame, folder):
    overrides = {
        "dataset": {"name": "parquet", "path": "data.parquet", "target": "price", "id": "house"},
        "model": {"estimator": "regressor"},
        "split": {"folds": 3},
        "figures": [],
        "tracking": [{"name": "run_folder", "path": str(folder)}],
    }
    return run({"experiment": "prices", **overrides}, data=frame)


def test_mistyped_targets_are_named_with_a_cure(prices, tmp_path):
    mistyped = [7, 300, 301, 555, 600, 800, 1000, 1100]
    prices.loc[mistyped, "price"] *= 10
    finished = finish(prices, tmp_path)
    report = (finished.folder / "report.md").read_text()
    assert all(f"house-{row} (" in report for row in mistyped)
    assert "loss: absolute" in report
    assert "8 of 1,200 held-out rows" in report


def test_errors_of_many_rows_are_no_news(prices, tmp_path):
    finished = finish(prices, tmp_path)
    assert "squared error is that of" not in (finished.folder / "report.md").read_text()
