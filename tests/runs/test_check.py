"""`check` from Python: what new rows say that a map did not know."""

import numpy as np
import pandas as pd
import pytest

import dbgsom_core
from dbgsom_core import SomClassifier, SomVQ, check
from dbgsom_core.errors import DataError

COLUMNS = ["heat", "flow", "noise"]


def plant(n, seed, new=0, drift=0.0, wrong=0.0):
    """Return rows of three states of a plant; the last ``new`` are of another one."""
    rng = np.random.default_rng(seed)
    state = rng.integers(0, 3, n)
    X = np.array([[0, 0, 0], [5, 0, 1], [0, 5, 2]])[state] + rng.normal(size=(n, 3))
    X[n - new :] = [9, 9, 0] + 0.3 * rng.normal(size=(new, 3))
    X[:, 2] += drift
    names = np.array(["idle", "hot", "wet"])[state]
    is_wrong = rng.random(n) < wrong
    names[is_wrong] = "idle"
    frame = pd.DataFrame(X, columns=COLUMNS)
    return frame.assign(state=names, hour=np.arange(n), is_wrong=is_wrong & (state > 0))


KNOWN = plant(900, 1)


@pytest.fixture(scope="module")
def vq():
    return SomVQ(labeller="clusters", max_neurons=40).fit(KNOWN[COLUMNS])


def test_a_new_group_is_told_with_its_rows_and_columns(vq):
    new = plant(400, 2, new=12)
    found = check(vq, new[COLUMNS], KNOWN[COLUMNS])
    assert len(found.groups) >= 1
    assert "high heat" in found.groups["name"][0]
    flagged = np.flatnonzero(found.rows["new_group"])
    assert set(flagged) <= set(range(388, 400))
    assert len(flagged) == found.measures["new_rows"] >= 9
    assert found.sentences[0].startswith("1 new group") or "new groups" in found.sentences[0]
    assert (found.rows["novelty"] == vq.score_samples(new[COLUMNS])).all()
    assert set(found.figures) == {"map"}


def test_rows_of_the_same_plant_are_nothing_new(vq):
    found = check(vq, plant(400, 3)[COLUMNS], KNOWN[COLUMNS])
    assert found.measures["new_groups"] == 0
    assert 0.02 <= found.measures["novel_share"] <= 0.09
    assert found.measures["psi_label"] < 2 * found.measures["psi_label_by_chance"]
    assert "No new group among 400 rows; one of about 7 in one place would show." in repr(found)


def test_too_few_rows_show_no_group(vq):
    few = check(vq, KNOWN[COLUMNS][:5], KNOWN[COLUMNS][:5])
    assert few.sentences[0] == "5 rows are too few to show a new group."


def test_what_drifts_is_named(vq):
    found = check(vq, plant(400, 4, drift=1.5)[COLUMNS], KNOWN[COLUMNS])
    assert found.columns["column"][0] == "noise"
    assert found.columns["effect"][0] > 0.8
    assert any("noise (+" in sentence for sentence in found.sentences)
    shares = found.drift[found.drift["of"] == "neuron"]
    assert shares["new"].sum() == pytest.approx(1)
    assert ((shares["low"] <= shares["high"]) & (shares["p"] <= 1)).all()


def test_rows_in_time_raise_alarms_after_they_change(vq):
    new = plant(600, 5)
    new.loc[400:, "flow"] -= 4
    shuffled = new.sample(frac=1, random_state=0).reset_index(drop=True)
    found = check(vq, shuffled[[*COLUMNS, "hour"]], KNOWN[COLUMNS], time="hour")
    late = found.alarms["alarm"] >= 400
    assert late.sum() > 5 * (~late).sum()
    first = found.alarms[late].iloc[0]
    assert first["alarm"] < 420
    assert "low flow" in first["columns"]
    marked = found.rows.loc[found.rows["alarm"], "time"]
    assert sorted(marked) == found.alarms["alarm"].tolist()
    assert set(found.figures) == {"map", "time"}


def test_doubtful_labels_of_new_rows_are_listed(tmp_path):
    model = SomClassifier(max_neurons=40).fit(KNOWN[COLUMNS], KNOWN["state"])
    new = plant(500, 6, wrong=0.1)
    found = check(model, new[COLUMNS], KNOWN[COLUMNS], y_new=new["state"], y_known=KNOWN["state"])
    assert new["is_wrong"][found.suspects["row"]].mean() > 0.8
    assert found.suspects["probability"].is_monotonic_increasing
    assert found.measures["wrong_labels"] == pytest.approx(new["is_wrong"].sum(), rel=0.4)
    found.save(tmp_path / "kept")
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert names == {"check.html", "drift.csv", "columns.csv", "suspects.csv", "rows.csv"}
    page = (tmp_path / "kept" / "check.html").read_text()
    assert "labels are wrong" in page
    assert "data:image/png;base64," in page


def test_a_run_knows_its_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    KNOWN.drop(columns=["is_wrong", "hour"]).to_csv("plant.csv", index=False)
    done = dbgsom_core.run(
        {
            "experiment": "plant",
            "dataset": {"name": "csv", "path": "plant.csv", "drop": ["state"]},
            "prepare": ["standardize"],
            "split": {"test_size": 0.2},
            "figures": [],
            "tracking": ["run_folder"],
        }
    )
    found = check(done, plant(300, 7, new=12)[COLUMNS])
    assert found.measures["new_groups"] >= 1
    assert found.columns["known"].to_numpy() == pytest.approx(
        KNOWN[found.columns["column"]].mean().to_numpy()
    )
    with pytest.raises(DataError, match="by: there is no column 'machine'"):
        check(done, KNOWN[COLUMNS], by="machine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"X_known": None}, "give X_known"),
        ({"rate": 0}, "rate must lie between 0 and 1"),
        ({"run_length": 1}, "run_length must be at least 2"),
        ({"time": "day"}, "time: the rows have no column 'day'"),
        ({"by": np.zeros(3)}, "by: 3 values for 900 rows"),
        ({"y_new": [1, 2]}, "2 labels for 900 rows"),
        ({"time": np.array(["soon"] * 900)}, "column 'time' is no time: it holds 'soon'"),
    ],
)
def test_what_will_not_do_is_told(vq, options, message):
    given = {"X_new": KNOWN[COLUMNS], "X_known": KNOWN[COLUMNS], **options}
    with pytest.raises(DataError, match=message):
        check(vq, **given)
