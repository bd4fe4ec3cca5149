"""Columns of text and several ids, from a file through a run to the answers on another file."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from dbgsom_core import persistence, run
from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets.table_files import Csv, Parquet

IDS = ["plant", "bed"]
SAID = ['A "small" one, in the shade', "Näher am Weg;\nblau", ""]


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path, monkeypatch):
    """A file with two ids and a text, its frame, and its format."""
    monkeypatch.chdir(tmp_path)
    X, y = load_iris(return_X_y=True, as_frame=True)
    frame = X.set_axis(["a", "b", "c", "d"], axis=1)
    frame.insert(0, "plant", [f"p{i}" for i in range(150)])
    frame.insert(3, "bed", np.arange(150) % 7)
    frame["said"] = np.array(SAID, dtype=object)[y]
    if request.param == "csv":
        frame.to_csv("t.csv", index=False)
    else:
        frame.to_parquet("t.parquet")
    return f"t.{request.param}", frame, request.param


def test_ids_and_texts_keep_their_columns_from_the_file_to_the_answers(table, called, tmp_path):
    path, frame, name = table
    dataset = {"name": name, "path": path, "id": IDS, "texts": "said"}
    model = {"labeller": {"name": "clusters", "n_clusters": 3}, "epochs": 10}
    figures = ["explorer", {"name": "names", "by": "said"}]
    done = run(
        {"experiment": "e", "dataset": dataset, "model": model, "figures": figures, "tracking": []}
    )
    assert done.model.columns.annotations == ("said",)
    assert not {"said", *IDS} & {*done.model.columns.feature_names}
    beside = frame[[*IDS, "said"]].astype(str)
    sheets = [pd.read_csv(done.folder / "assignments.csv", dtype=str, keep_default_na=False)]
    for where in ("answers.csv", "answers.parquet"):
        called(tmp_path, "predict", "e", path, "-o", where)
    sheets.append(pd.read_csv("answers.csv", dtype=str, keep_default_na=False))
    sheets.append(pd.read_parquet("answers.parquet"))
    for sheet in sheets:
        told = sheet[[*IDS, "said"]].fillna("").astype(str)
        pd.testing.assert_frame_equal(told, beside, check_dtype=False)
    labels = done.model.predict(frame)
    assert sheets[1]["label"].tolist() == [str(label) for label in labels]
    again = persistence.load(done.folder / "model.npz")
    assert again.columns == done.model.columns
    words = pd.read_csv(done.folder / "clusters.csv")["words"].fillna("")
    assert any("small" in text for text in words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"texts": "said", "id": "said"}, "column 'said' is id and texts: choose one"),
        ({"texts": "said", "units": {"said": "cm"}}, "column 'said' is texts and has a unit"),
        ({"texts": "sad"}, "texts column 'sad' does not exist; did you mean 'said'"),
    ],
)
def test_a_text_column_has_no_other_role(table, fields, words):
    path, _, name = table
    reader = {"csv": Csv, "parquet": Parquet}[name]
    with pytest.raises(DataError, match=words):
        reader(path=path, **fields).load()


def test_texts_that_are_all_empty_give_no_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"x": np.repeat([0.0, 9.0], 20) + np.arange(40) % 3, "said": ""})
    frame.to_csv("t.csv", index=False)
    dataset = {"name": "csv", "path": "t.csv", "texts": "said"}
    model = {"labeller": {"name": "clusters", "n_clusters": 2}, "epochs": 5}
    figures = [{"name": "names", "by": "said"}, "explorer"]
    done = run(
        {"experiment": "e", "dataset": dataset, "model": model, "figures": figures, "tracking": []}
    )
    assert pd.read_csv(done.folder / "clusters.csv")["words"].isna().all()
    assert not any("failed" in note for note in done.notes)
