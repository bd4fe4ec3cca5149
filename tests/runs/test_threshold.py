"""A run decides between two classes at the threshold of its configuration."""

import numpy as np
import pandas as pd

from dbgsom_core import run
from dbgsom_core.runs.predict import predict_file


def test_a_run_says_its_threshold_and_its_model_decides_by_it(rng, tmp_path):
    frame = pd.DataFrame(rng.normal(size=(400, 3)), columns=["a", "b", "c"])
    is_churn = rng.random(400) < 1 / (1 + np.exp(3 - 2 * frame["a"]))
    frame["churn"] = np.where(is_churn, "yes", "no")
    finished = run(
        {
            "experiment": "churn",
            "dataset": {"name": "parquet", "path": "data.parquet", "target": "churn"},
            "model": {"estimator": "classifier", "threshold": {"recall": 0.9}, "epochs": 10},
            "figures": [],
            "tracking": [{"name": "run_folder", "path": str(tmp_path / "runs")}],
        },
        data=frame,
    )
    threshold = finished.model.estimator.threshold_
    sentence = f"answers yes from a probability of {threshold:.3g} on"
    assert sentence in (finished.folder / "report.md").read_text()
    frame.to_csv(tmp_path / "new.csv", index=False)
    predict_file(finished.model, str(tmp_path / "new.csv"), str(tmp_path / "answers.csv"))
    answers = pd.read_csv(tmp_path / "answers.csv")
    is_yes = answers["probability_yes"] >= threshold
    assert (answers["label"] == np.where(is_yes, "yes", "no")).all()
