"""``dbgsom check``: tables, a page and numbers of a run, and its exit code."""

import pandas as pd

from dbgsom_core.runs.folder import read_run


def test_a_check_lies_in_the_folder_of_its_run(shop, told, run_folder, fruit):
    new = fruit(100, 5)
    new.loc[80:, ["size", "weight"]] = [[19.0 + i / 50, 1.0] for i in range(20)]
    new.to_csv(shop / "june.csv", index=False)
    out, err = told("check", "fruit", "june.csv", "--fail-above", "novel_share=0.5")
    assert "new group" in out
    kept = run_folder / "artifacts" / "check-june"
    assert f"tables and page: runs/fruit/{run_folder.name}/artifacts/check-june/check.html" in out
    assert "newest finished run" in out + err
    novel = pd.read_csv(kept / "novel.csv")
    assert novel["rows"].sum() >= 15
    rows = pd.read_csv(kept / "rows.csv")
    assert len(rows) == 100
    assert (rows["new_group"] > 0).sum() == novel["rows"].sum()
    logged = {name for line in read_run(run_folder).scalars() for name in line.metrics}
    assert {"check/new_groups", "check/psi_label", "check/wrong_labels"} <= logged
    told("check", "fruit", "june.csv", "-q")
    steps = [line.epoch for line in read_run(run_folder).scalars()]
    assert set(steps) == {1, 2}


def test_limits_decide_on_the_exit_code(shop, called, fruit):
    fruit(100, 6).to_csv(shop / "july.csv", index=False)
    limits = (
        "--rows",
        "july.parquet",
        "--fail-above",
        "novel_share=0.001",
        "--fail-above",
        "new_groups=0",
    )
    code, _, err = called(shop, "check", "fruit", "july.csv", "-o", "july", *limits)
    assert code == 1
    assert "novel_share is" in err
    assert "new_groups is" not in err
    assert (shop / "july" / "check.html").exists()
    assert "new_group" in pd.read_parquet(shop / "july.parquet")


def test_what_cannot_be_checked_is_told(shop, refused, run_folder, fruit):
    fruit(30, 7).to_csv(shop / "july.csv", index=False)
    assert "there is no number 'psi'" in refused(
        "check", "fruit", "july.csv", "--fail-above", "psi=1"
    )
    assert "NAME=NUMBER" in refused("check", "fruit", "july.csv", "--fail-above", "psi")
    assert "no column 'day'" in refused("check", "fruit", "july.csv", "--time", "day")
    assert "holds no check" in refused("check", "fruit", "july.csv", "-o", "runs")
