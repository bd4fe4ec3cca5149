"""Profiles of clusters, and labels by the groups of a column."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import chi2_contingency
from scipy.stats.contingency import association

from dbgsom_core import run
from dbgsom_core.errors import ConfigError, DataError
from dbgsom_core.experiments.measuring import SampleTests
from dbgsom_core.runs.profile import name_cluster

N = 300
NOTES = ["Tea, and the 2 cakes", "The bread, the bread", "tea and soup"]  # of each kind


@pytest.fixture(scope="module")
def customers(tmp_path_factory):
    """A file of three kinds of customers, some without an income, in two batches."""
    rng, kind = np.random.default_rng(0), np.arange(N) % 3
    places = np.array(["north", "south", "west"])
    frame = pd.DataFrame(
        {
            "customer": [f"c{i}" for i in range(N)],
            "income": np.round(np.array([30e3, 52e3, 80e3])[kind] + rng.normal(0, 5e3, N)),
            "age": np.round(np.array([25, 60, 40])[kind] + rng.normal(0, 4, N)),
            "region": places[np.where(rng.random(N) < 0.9, kind, rng.integers(0, 3, N))],
            "price": rng.random(N),
            "batch": np.where(kind == 0, "A", rng.choice(["A", "B"], N)),
            "said": np.array(NOTES)[kind],
            "day": pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d"),
        }
    )
    frame.loc[::50, "income"] = np.nan
    path = tmp_path_factory.mktemp("customers") / "customers.csv"
    frame.to_csv(path, index=False)
    return path, frame


def config(path, **more):
    dataset = {
        "name": "csv",
        "path": str(path),
        "id": ["customer", "batch"],
        "extra": "price",
        "categorical": "region",
        "texts": "said",
        "dates": "drop",
        "missing": "keep",
    }
    model = {"labeller": {"name": "clusters", "n_clusters": 3}, "epochs": 20}
    usual = {"experiment": "customers", "dataset": dataset, "prepare": "standardize"}
    return {**usual, "model": model, "figures": [], "measures": None, "tracking": [], **more}


def test_clusters_csv_holds_what_a_data_frame_says_of_each_cluster(
    customers, tmp_path, monkeypatch, called
):
    monkeypatch.chdir(tmp_path)
    path, frame = customers
    done = run(config(path))
    labels = pd.read_csv(done.folder / "assignments.csv")["label"]
    found = pd.read_csv(done.folder / "clusters.csv")
    values = pd.get_dummies(frame["region"], prefix="region", prefix_sep="=").astype(float)
    values = pd.concat([frame[["income", "age"]], values, frame[["price"]]], axis=1)
    *fixed, customer, batch = list(found)[:7]
    assert fixed == ["cluster", "name", "words", "rows", "share"]
    effects = [f"{name} (effect)" for name in values]
    sure = ["jaccard", "jaccard_low", "jaccard_high", "jaccard_by_chance"]
    assert list(found)[7:] == [*values, *effects, *sure]
    for _, row in found.iterrows():
        inside = labels == row["cluster"]
        assert row["rows"] == inside.sum()
        assert row["share"] == pytest.approx(inside.mean())
        for name in values:
            mean, rest = values[name][inside].mean(), values[name][~inside].mean()
            effect = (mean - rest) / values[name].std(ddof=0)
            assert row[name] == pytest.approx(mean, rel=1e-12, abs=1e-12)
            assert row[f"{name} (effect)"] == pytest.approx(effect, abs=1e-9)
        typical = row[customer].split("; ")
        assert len(typical) == 3
        batches = frame.set_index("customer")["batch"][typical]
        assert row[batch].split("; ") == batches.tolist()
        assert {"cakes", "bread", "soup"} & {*row["words"].split(", ")}
        rows = frame.index[frame["customer"].isin(typical)]
        assert inside[rows].all()
        # No other row of the cluster is nearer to its mean.
        scaled = (values.drop(columns="price") - values.drop(columns="price").mean()) / values.drop(
            columns="price"
        ).std(ddof=0)
        apart = ((scaled - scaled[inside].mean()) ** 2).mean(axis=1)
        assert apart[rows].max() == pytest.approx(apart[inside].sort_values().iloc[2])
    regions = {name.split(",")[0] for name in found["name"]}
    assert regions == {"region=north", "region=south", "region=west"}
    assert {words.split(", ")[0] for words in found["words"]} == {"cakes", "bread", "soup"}
    report = (done.folder / "report.md").read_text(encoding="utf-8")
    pairs = zip(*(found[name][0].split("; ") for name in (customer, batch)), strict=True)
    assert "; ".join(map(" ".join, pairs)) in report
    shown = called(tmp_path, "show", done.folder, "--map", "none").out
    assert all(name in shown for name in found["name"])


@pytest.mark.parametrize("labeller", ["index", "majority"])
def test_labels_that_are_no_clusters_have_no_profile(customers, tmp_path, monkeypatch, labeller):
    monkeypatch.chdir(tmp_path)
    values = config(customers[0])
    values["model"] = {**values["model"], "labeller": labeller}
    if labeller == "majority":
        values["dataset"] = {**values["dataset"], "id": "customer", "target": "batch"}
    done = run(values)
    assert not (done.folder / "clusters.csv").exists()
    assert "## Clusters" not in (done.folder / "report.md").read_text(encoding="utf-8")


def test_large_numbers_keep_their_digits_and_a_constant_has_no_effect(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(0, 1, (60, 2)), rng.normal(9, 1, (60, 2))])
    X = np.column_stack([X + np.array([1e9, 0.0]), np.full(120, 0.1)])
    np.save("x.npy", X)
    done = run(
        config("x.npy") | {"dataset": {"name": "npy", "path": "x.npy"}, "prepare": None},
        overrides={"model.labeller.n_clusters": 2},
    )
    labels = pd.read_csv(done.folder / "assignments.csv")["label"].to_numpy()
    for row in pd.read_csv(done.folder / "clusters.csv").to_dict("records"):
        inside, column = labels == row["cluster"], X[:, 0] - 1e9
        effect = (column[inside].mean() - column[~inside].mean()) / column.std()
        assert row["feature 0 (effect)"] == pytest.approx(effect, rel=1e-6)
        assert row["feature 2 (effect)"] == 0


@pytest.mark.parametrize(
    ("effects", "name"),
    [
        ([1.5, -0.6, 0.1, 0.2], "high age, low smoker"),
        ([0.2, 0.1, 1.2, -1.2], "region=north"),
        ([2.0, 1.5, 0.9, 0.8], "high age, high smoker, region=north"),
        ([0.3, 0.0, 0.4, -0.2], "near the mean of all"),
    ],
)
def test_names_of_clusters(effects, name):
    features = ["age", "smoker", "region=north", "region=south"]
    assert name_cluster(np.array(effects), features) == name


@pytest.mark.parametrize(
    ("column", "groups"), [("batch", ["A", "B"]), ("region", ["north", "south", "west"])]
)
def test_labels_are_counted_by_the_values_of_a_column(
    customers, tmp_path, monkeypatch, called, column, groups
):
    monkeypatch.chdir(tmp_path)
    path, frame = customers
    values = config(path, report={"by": column}, figures=["group_shares"])
    done = run(values)
    labels = pd.read_csv(done.folder / "assignments.csv")["label"]
    counts = pd.crosstab(frame[column], labels)
    found = pd.read_csv(done.folder / "groups.csv")
    assert list(found) == ["column", "group", "label", "rows", "share"]
    assert found["column"].unique().tolist() == [column]
    assert found["group"].unique().tolist() == groups
    table = found.pivot(index="group", columns="label", values="rows")
    assert (table.to_numpy() == counts.to_numpy()).all()
    shares = found.groupby("group")["share"].sum()
    assert shares.to_numpy() == pytest.approx(1)
    assert [path.name for path in done.figures] == ["group_shares.png"]
    report = (done.folder / "report.md").read_text(encoding="utf-8")
    assert f"## Labels by {column}" in report
    strength, p = association(counts, method="cramer"), chi2_contingency(counts, False).pvalue
    said = f"Cramér's V {strength:.2f} (p {p:.2g} if rows are independent; 0: "
    shown = called(tmp_path, "show", done.folder, "--map", "none").out
    assert said in report
    assert said in shown


def test_groups_of_a_classifier_count_the_rows_of_the_test_part_too(
    customers, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    values = config(customers[0], report={"by": "region"}, split={"test_size": 0.25})
    values["dataset"] = {**values["dataset"], "id": "customer", "target": "batch"}
    done = run({**values, "model": {"estimator": "classifier", "epochs": 5}})
    assert pd.read_csv(done.folder / "groups.csv")["rows"].sum() == N
    assert not (done.folder / "clusters.csv").exists()
    classes = pd.read_csv(done.folder / "classes.csv")
    trained = pd.read_csv(done.folder / "assignments.csv")["part"] == "train"
    frame = customers[1][trained.to_numpy()]
    assert classes["class"].tolist() == ["A", "B"]
    for _, row in classes.iterrows():
        inside = frame["batch"] == row["class"]
        assert row["rows"] == inside.sum()
        assert row["age"] == pytest.approx(frame["age"][inside].mean())
    assert "## Classes" in (done.folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("column", "more", "sentence"),
    [
        ("bach", {}, "there is no column 'bach'; did you mean 'batch'?"),
        ("day", {}, "'day' has 300 values, and a table of groups at most 60"),
        ("note", {"drop": "note"}, "'note' is dropped: list it under id"),
    ],
)
def test_a_column_that_makes_no_groups_is_refused_before_a_folder_exists(
    customers, tmp_path, monkeypatch, column, more, sentence
):
    monkeypatch.chdir(tmp_path)
    customers[1].assign(note="x").to_csv("noted.csv", index=False)
    values = config("noted.csv", report={"by": column})
    values["dataset"] = {"drop": "note", **values["dataset"], **more}
    with pytest.raises(DataError, match=r"report\.by: ") as caught:
        run(values)
    assert sentence in str(caught.value)
    assert not Path("runs").exists()


def test_what_cannot_go_with_groups_is_found_by_validate(customers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = config(customers[0], report={"by": "batch"}, model={"estimator": "regressor"})
    with pytest.raises(ConfigError, match="counts labels, and a regressor answers"):
        run(values)


# ------------------------------------------------------------------------------------- samples


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """A file of cells of 12 patients, half of them treated, which halves one of two kinds."""
    rng, rows = np.random.default_rng(5), []
    for patient in range(12):
        treated = patient % 2
        share = np.clip(rng.normal(0.3 if treated else 0.6, 0.06), 0.05, 0.95)
        kind = rng.random(80) < share
        points = np.where(kind[:, None], 6.0, 0.0) + rng.normal(size=(80, 2))
        block = f"pair {patient // 2}"
        for x, y in points.round(3).tolist():
            rows.append((x, y, f"p{patient:02d}", "drug" if treated else "none", block))
    frame = pd.DataFrame(rows, columns=["x", "y", "patient", "therapy", "pair"])
    path = tmp_path_factory.mktemp("patients") / "cells.csv"
    frame.to_csv(path, index=False)
    return path, frame


def of_patients(path, **report):
    return {
        "experiment": "cells",
        "dataset": {"name": "csv", "path": str(path), "id": ["patient", "therapy", "pair"]},
        "model": {"labeller": {"name": "clusters", "n_clusters": 2}, "epochs": 20},
        "figures": ["group_shares"],
        "measures": None,
        "tracking": [],
        "report": {"by": "therapy", **report},
    }


@pytest.mark.parametrize("block", [None, "pair"])
def test_labels_are_compared_over_samples(patients, tmp_path, monkeypatch, called, block):
    monkeypatch.chdir(tmp_path)
    path, frame = patients
    report = {"sample": "patient", **({"block": block} if block else {})}
    done = run(of_patients(path, **report))
    labels = pd.read_csv(done.folder / "assignments.csv")["label"]
    shares = pd.crosstab(frame["patient"], labels, normalize="index")
    treated = frame.groupby("patient")["therapy"].first() == "drug"
    angles = np.arcsin(np.sqrt(shares.to_numpy()))
    test = stats.ttest_rel if block else stats.ttest_ind
    p = stats.false_discovery_control(test(angles[treated], angles[~treated]).pvalue)
    groups = pd.read_csv(done.folder / "groups.csv")
    drug = groups[groups["group"] == "drug"].set_index("label")
    assert drug["samples"].tolist() == [6, 6]
    assert drug["p"].to_numpy() == pytest.approx(p)
    difference = shares[treated].mean() - shares[~treated].mean()
    assert drug["difference"].to_numpy() == pytest.approx(difference.to_numpy())
    interval = test(shares[treated], shares[~treated]).confidence_interval(0.95)
    assert drug["low"].to_numpy() == pytest.approx(interval.low)
    assert drug["high"].to_numpy() == pytest.approx(interval.high)
    sentence = "2 of 2 labels differ between samples (6 of drug, 6 of none)"
    assert sentence in (done.folder / "report.md").read_text(encoding="utf-8")
    assert sentence in called(tmp_path, "show", done.folder, "--map", "none").out
    assert [figure.name for figure in done.figures] == ["group_shares.png"]


def test_fewer_than_three_samples_a_side_are_told(patients, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = patients[1]
    frame[frame["patient"].isin(["p00", "p01", "p02", "p03", "p04"])].to_csv("few.csv", index=False)
    done = run(of_patients("few.csv", sample="patient"))
    report = (done.folder / "report.md").read_text(encoding="utf-8")
    assert "too few samples to compare (2 of drug, 3 of none): 3 a side are needed" in report
    assert pd.read_csv(done.folder / "groups.csv")["p"].isna().all()


def test_samples_of_two_groups_are_refused(patients, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="'pair 0' has rows of two values of 'therapy'"):
        run(of_patients(patients[0], sample="pair"))
    with pytest.raises(ConfigError, match="name 'sample', too"):
        run(of_patients(patients[0], block="pair"))


def test_samples_without_a_difference_are_rarely_told_apart():
    rng, found, covered = np.random.default_rng(6), [], []
    for _ in range(200):
        means = rng.dirichlet(np.full(5, 2.0))
        shares = (
            np.array([rng.multinomial(500, rng.dirichlet(40 * means)) for _ in range(10)]) / 500
        )
        tests = SampleTests.of(shares, np.arange(10) % 2)
        found.append((tests.pvalues <= 0.05).any())
        _, low, high = tests.intervals
        covered.append(((low <= 0) & (high >= 0)).mean())
    assert np.mean(found) <= 0.09
    assert 0.93 <= np.mean(covered) <= 0.98
