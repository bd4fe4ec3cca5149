"""Which model a name means, and why it answers as it does: explain."""

import json

import numpy as np
import pytest
import yaml

from dbgsom_core import persistence
from dbgsom_core.errors import ModelFileError


def test_a_run_is_found_by_folder_id_and_experiment(shop, told, new, run_folder):
    new.to_csv(shop / "new.csv", index=False)
    wanted = told("predict", run_folder, "new.csv")[0]
    for name in (run_folder.name, run_folder.name[-6:], "fruit", run_folder / "model.npz"):
        assert told("predict", name, "new.csv")[0] == wanted


def test_names_that_mean_nothing_are_told_with_the_nearest(refused, run_folder):
    assert "did you mean 'fruit'" in refused("predict", "friut", "new.csv")
    assert "no run folder" in refused("show", "nothing-like-it")


def test_the_best_run_of_a_sweep_speaks_for_it(shop, told, new, fruit, called, described):
    folder = shop / "swept"
    folder.mkdir()
    fruit(120, 1).to_csv(folder / "fruit.csv", sep=";", index=False)
    new.to_csv(folder / "new.csv", index=False)
    varied = {**described, "sweep": {"grid": {"model.epochs": [2, 15]}}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(varied))
    code, _, err = called(folder, "sweep", "sweep.yaml", "-q")
    assert code == 0, err
    code, _, err = called(folder, "predict", "fruit", "new.csv", "--columns", "label")
    assert code == 0, err
    assert "is the best run of sweep" in err
    shown = called(folder, "show", "fruit")[1]
    assert "best: " in shown
    assert "model.epochs" in shown or "epochs=" in shown


# ------------------------------------------------------------------------------------ explain


def test_a_row_is_explained(shop, told, new, model, fruit):
    odd = new.copy()
    odd.loc[4, "weight"] = 30.0
    odd.to_csv(shop / "odd.csv", index=False)
    out, _ = told("explain", "fruit", "odd.csv", "--row", "4", "--json")
    found = json.loads(out)
    assert found["differences"][0]["feature"] == "weight"
    assert found["differences"][0]["value"] == pytest.approx(30)
    assert found["differences"][0]["deviations"] > 3
    assert found["outlier"] is True
    assert found["label"] == model.predict(odd)[4]
    training = fruit(120, 1)
    apart = np.abs(model.prepare(training) - model.prepare(odd)[4])
    nearest = np.argsort(np.linalg.norm(apart, axis=1))[:5]
    assert [one["row"] for one in found["nearest"]] == nearest.tolist()
    assert [one["target"] for one in found["nearest"]] == training["kind"][nearest].tolist()
    told_text, _ = told("explain", "fruit", "odd.csv", "--row", "4", "--nearest", "2")
    assert "unlike the training data" in told_text
    assert "by the training samples around it, 0 at best: unlike" in told_text
    assert "neurons beside it" in told_text
    (head,) = [line for line in told_text.splitlines() if line.startswith("row  ")]
    assert head.split() == ["row", "kind", "distance"]  # as the file calls its target
    assert told_text.index("weight") < told_text.index("size")


def test_training_rows_are_left_out_where_they_have_changed(shop, told, new, run_folder):
    new.to_csv(shop / "new.csv", index=False)
    before = (shop / "fruit.csv").read_text()
    try:
        (shop / "fruit.csv").write_text(before.replace("red", "blue", 1))
        out, err = told("explain", "fruit", "new.csv", "--row", "0")
    finally:
        (shop / "fruit.csv").write_text(before)
    assert "not what it was" in err
    assert "most like it" not in out


def test_what_is_no_model_is_called_by_its_name(refused, run_folder):
    assert "fruit.csv is damaged or cut short, or nothing" in refused(
        "predict", "fruit.csv", "fruit"
    )
    with pytest.raises(ModelFileError, match="cannot be read: it is a folder"):
        persistence.load(run_folder)


def test_a_row_that_is_not_there_is_told(shop, refused, new):
    new.to_csv(shop / "new.csv", index=False)
    assert "has 50 rows" in refused("explain", "fruit", "new.csv", "--row", "50")
