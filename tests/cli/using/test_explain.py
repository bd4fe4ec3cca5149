"""Which model a name means, and why it answers as it does: explain."""

import json
import re

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


def test_other_rows_say_nothing(shop, told, new, fruit, called, described):
    training = fruit(120, 1).astype({"kind": object})
    training.loc[3, "kind"] = None
    training.to_csv(shop / "part.csv", sep=";", index=False)
    content = yaml.safe_load(yaml.safe_dump(described))
    content["experiment"] = "part"
    content["dataset"].update(path="part.csv", missing_target="drop")
    (shop / "part.yaml").write_text(yaml.safe_dump(content))
    code, _, err = called(shop, "run", "part.yaml", "-q")
    assert code == 0, err
    strange = new.astype({"size": object, "colour": object})
    strange.loc[5, "colour"] = "teal"
    strange.loc[6, "size"] = "big"
    strange.to_csv(shop / "strange.csv", index=False)
    assert "teal" not in told("explain", "part", "strange.csv", "--row", "1")[1]
    assert "'teal' (1 row)" in told("explain", "part", "strange.csv", "--row", "5")[1]
    assert "no target" not in told("explain", "part", "strange.csv", "--row", "1")[1]


def test_what_is_no_model_is_called_by_its_name(refused, run_folder):
    assert "fruit.csv is damaged or cut short, or nothing" in refused(
        "predict", "fruit.csv", "fruit"
    )
    with pytest.raises(ModelFileError, match=r"is a folder; its model is .*model\.npz"):
        persistence.load(run_folder)


def test_a_row_that_is_not_there_is_told(shop, refused, new):
    new.to_csv(shop / "new.csv", index=False)
    assert "has 50 rows" in refused("explain", "fruit", "new.csv", "--row", "50")


def test_what_a_row_lacks_and_what_is_new_in_it_is_told(shop, new, called):
    odd = new.head(4).copy()
    odd.loc[1, "colour"] = "teal"
    odd.loc[2, "colour"] = "pink"
    odd.to_csv(shop / "odd.csv", index=False)
    code, out, err = called(shop, "explain", "fruit", "odd.csv", "--row", 1)
    assert code == 0, err
    assert "'teal' (1 row) did not occur in training" in err
    assert "pink" not in out + err
    assert "-0.00" not in out


@pytest.mark.parametrize(("clock", "shown"), [("", ""), (" 12:30", " 12:30")])
def test_dates_are_shown_as_dates(shop, told, called, described, clock, shown):
    name = f"dated{len(clock)}"
    rng = np.random.default_rng(5)
    rows = [
        f"{day:02d}.{month:02d}.2024{clock};{rng.normal():.3f};{'ab'[month % 2]}"
        for month in range(1, 11)
        for day in rng.integers(1, 28, 5)
    ]
    (shop / "dated.csv").write_text("when;x;kind\n" + "\n".join(rows) + "\n")
    data = {"name": "csv", "path": "dated.csv", "delimiter": ";", "target": "kind"}
    config = {
        **described, "experiment": name, "dataset": {**data, "dates": "ordinal"}, "figures": [],
    }  # fmt: skip
    (shop / "dated.yaml").write_text(yaml.safe_dump(config))
    code, _, err = called(shop, "run", "dated.yaml", "-q")
    assert code == 0, err
    (shop / "new-date.csv").write_text(f"when;x\n24.12.2024{clock};0.5\n")
    out, _ = told("explain", name, "new-date.csv", "--row", "0")
    (line,) = [line for line in out.splitlines() if line.startswith("when ")]
    words = re.split(r"  +", line)
    assert words[1] == f"2024-12-24{shown}"
    assert re.fullmatch(r"2024-\d\d-\d\d" + (r" \d\d:\d\d" if clock else ""), words[2])
    out, _ = told("explain", name, "new-date.csv", "--row", "0", "--json")
    values = {one["feature"]: one["value"] for one in json.loads(out)["differences"]}
    assert values["when"] == pytest.approx(20081 + (0.5 + 0.5 / 24 if clock else 0))


def as_told(out, begin):
    """Return the words of the line that begins so."""
    (line,) = [line for line in out.splitlines() if line.startswith(begin)]
    return re.split(r"  +", line)


def test_numbers_are_told_as_people_write_them_and_what_is_usual_is_counted(shop, called):
    rng = np.random.default_rng(3)
    salary, share = rng.integers(10**6, 2 * 10**7, 60), rng.random(60) / 1e5
    rows = [f"{a},{b:.9f},7" for a, b in zip(salary, share, strict=True)]
    (shop / "pay.csv").write_text("salary,share,always\n" + "\n".join(rows) + "\n")
    config = {
        "experiment": "pay", "dataset": {"name": "csv", "path": "pay.csv"}, "figures": [],
        "model": {"estimator": "vq", "max_neurons": 6, "epochs": 5, "tol": 0.0}, "tracking": [],
    }  # fmt: skip
    (shop / "pay.yaml").write_text(yaml.safe_dump(config))
    code, _, err = called(shop, "run", "pay.yaml", "-q")
    assert code == 0, err
    (shop / "one.csv").write_text("salary,share,always\n9999999,0.000001234567,7\n1e12,0,8\n")
    code, out, err = called(shop, "explain", "pay", "one.csv", "--row", "0", "--features", "1")
    assert code == 0, err
    assert out.startswith("row 0 of one.csv: label ")
    (head,) = [line for line in out.splitlines() if line.startswith("row  ")]
    assert head.split() == ["row", "distance"]  # there is no target
    told = called(shop, "explain", "pay", "one.csv", "--row", "0")[1]
    assert as_told(told, "salary")[1] == "9999999"
    assert as_told(told, "salary")[2].isdigit()
    assert as_told(told, "share")[1] == "1.23457e-06"
    assert "always" not in told
    assert "\n1 other is as in the prototype\n" in told
    assert re.search(r"\nand 1 more, by \d\.\d\d or less \(--features 2\)\n1 other is as", out)
    odd = called(shop, "explain", "pay", "one.csv", "--row", "1")[1]
    assert as_told(odd, "salary")[1] == "1000000000000"
    assert re.fullmatch(r"\+\d+", as_told(odd, "salary")[3])
    assert as_told(odd, "always")[3] == "+∞"
    assert "e+" not in odd
