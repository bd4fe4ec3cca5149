"""The interactive page from the command line: one map, or two with the same rows."""

import json
import re
from base64 import b64decode
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import pytest
import yaml


def parsed(path):
    (data,) = re.findall(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"))
    return json.loads(data)


def integers(packed):
    return np.frombuffer(b64decode(packed["data"]), f"<u{packed['size']}").astype(np.int64)


@pytest.fixture(scope="module")
def smaller(shop, described, called):
    """Another run on the same table."""
    described = {**described, "experiment": "few", "figures": []}
    described["model"] = {"estimator": "vq", "max_neurons": 9, "epochs": 5, "tol": 0.0}
    (shop / "few.yaml").write_text(yaml.safe_dump(described))
    code, _, err = called(shop, "run", "few.yaml", "-q")
    assert code == 0, err


def test_a_run_is_explored_with_all_rows_of_its_data(shop, told, model):
    out, err = told("explore", "fruit")
    told, link = out.splitlines()
    assert told.endswith("120 rows: explorer.html")
    address = link.removeprefix("to look at it in a browser: ")
    assert Path(url2pathname(urlsplit(address).path)) == shop / "explorer.html"
    assert "newest finished run" in err
    page = parsed(shop / "explorer.html")
    raw = pd.read_csv(shop / "fruit.csv", sep=";", dtype={"id": str})
    assert page["features"] == list(model.columns.feature_names)
    assert page["classes"] == ["apple", "plum"]
    assert page["units"]
    assert np.array_equal(integers(page["samples"]["leaf"]), model.bmu(raw))
    assert [page["classes"][i - 1] for i in integers(page["samples"]["classes"])] == list(
        raw["kind"]
    )


@pytest.mark.usefixtures("smaller")
def test_two_runs_are_side_by_side_with_the_rows_of_the_first(shop, told, model):
    out, _ = told("explore", "fruit", "few", "-o", "two.html")
    assert "beside run" in out
    page = parsed(shop / "two.html")
    assert page["title"].startswith("fruit: ")
    assert page["other"]["title"].startswith("few · ")
    assert len(integers(page["other"]["samples"]["leaf"])) == 120
    assert page["other"]["same_units"]
    assert page["labels"]["what"] == "class"


@pytest.mark.usefixtures("smaller")
def test_rows_of_a_file_are_shown_on_both_maps(shop, told, model, new):
    new.to_csv(shop / "new.csv", sep=";", index=False)
    told("explore", "fruit", "few", "--data", "new.csv", "-o", "new.html")
    page = parsed(shop / "new.html")
    assert page["samples"]["n"] == 50
    assert np.array_equal(integers(page["samples"]["leaf"]), model.answers(new).leaf)
    # A model file knows no data, and shows rows that are given.
    path = next((shop / "runs" / "few").iterdir()) / "model.npz"
    (shop / "alone.npz").write_bytes(path.read_bytes())
    told("explore", "alone.npz", "--data", "new.csv", "-o", "alone.html")
    assert parsed(shop / "alone.html")["samples"]["n"] == 50


def test_what_cannot_be_explored_is_refused(shop, refused, run_folder):
    assert "must end in .html" in refused("explore", "fruit", "-o", "map.png")
    assert "there is no folder" in refused("explore", "fruit", "-o", "nowhere/map.html")
    assert "no run and no experiment" in refused("explore", "fruit", "vegetables")
    (shop / "lone.npz").write_bytes((run_folder / "model.npz").read_bytes())
    assert "give rows with --data FILE" in refused("explore", "lone.npz")
    assert "nothing.csv" in refused("explore", "fruit", "--data", "nothing.csv")


def test_maps_of_other_data_need_rows_for_both(shop, described, called, refused):
    frame = pd.read_csv(shop / "fruit.csv", sep=";", dtype=str)
    frame.iloc[:60].to_csv(shop / "half.csv", sep=";", index=False)
    described = {**described, "experiment": "half", "figures": []}
    described["dataset"] = {**described["dataset"], "path": "half.csv"}
    (shop / "half.yaml").write_text(yaml.safe_dump(described))
    assert called(shop, "run", "half.yaml", "-q")[0] == 0
    assert "did not learn from the same data: give the rows" in refused("explore", "fruit", "half")
