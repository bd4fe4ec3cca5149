"""A table as surveys come: marks, dates, gaps, text, and how each column of it is read."""

import numpy as np
import pytest

from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets.table_files import Csv

SURVEY = """nr;datum;größe;region;kinder;froh;bemerkung
007;01.02.2024;1,5;Nord;2;ja;"sagt: ""gut"";
immer"
008;29.02.2024;NA;Süd;?;nein;
009;;-3;NA;0;NA;-
010;03.03.2024;4;Süd;1;ja;x
"""
FIELDS = {
    "delimiter": ";",
    "decimal": ",",
    "id": "nr",
    "target": "froh",
    "categorical": "region",
    "drop": "bemerkung",
    "missing": "keep",
    "missing_target": "unlabelled",
    "dates": "ordinal",
}
SAMPLES = [
    [19754, 1.5, 1, 0, 2],
    [19782, np.nan, 0, 1, np.nan],
    [np.nan, -3, np.nan, np.nan, 0],
    [19785, 4, 0, 1, 1],
]
PLAIN = dict.fromkeys(["id", "categorical", "drop"], ()) | {"target": None}


@pytest.fixture
def load(tmp_path):
    def load(content=SURVEY, **fields):
        file = tmp_path / "data.csv"
        file.write_text(content, encoding="utf-8")
        return Csv(path=str(file), **FIELDS | fields).load()

    return load


def test_every_kind_of_column_knows_what_is_missing(load):
    data = load()
    np.testing.assert_array_equal(data.X, SAMPLES)
    assert data.feature_names == ("datum", "größe", "region=Nord", "region=Süd", "kinder")
    assert data.y.tolist() == ["ja", "nein", None, "ja"]
    assert data.ids["nr"].tolist() == ["007", "008", "009", "010"]


def test_dates_are_dropped_or_taken_apart(load):
    data = load(dates="drop")
    assert data.feature_names == ("größe", "region=Nord", "region=Süd", "kinder")
    assert data.annotations["datum"].tolist() == ["01.02.2024", "29.02.2024", "", "03.03.2024"]
    timed = "t;a\n2024-02-01 12:30;1\n2024-02-02;2\n"
    data = load(timed, **PLAIN, dates="parts")
    assert data.feature_names[:5] == ("t.year", "t.month", "t.day", "t.weekday", "t.hour")
    assert data.X[0, :5].tolist() == [2024, 2, 1, 3, 12]


def test_dates_that_nothing_was_said_of_are_left_out_with_a_note(tmp_path):
    (tmp_path / "t.csv").write_text("t,a\n01.02.2024,1\n02.02.2024,2\n")
    with pytest.warns(UserWarning, match=r"dates are left out: 't' \(%d\.%m\.%Y\)"):
        assert Csv(path=str(tmp_path / "t.csv")).load().feature_names == ("a",)


def test_days_and_months_that_cannot_be_told_apart_are_asked_for(load):
    content = "datum;a\n01/02/2024;1\n03/04/2024;2\n"
    with pytest.raises(DataError, match="set date_format to '%d/%m/%Y' or '%m/%d/%Y'"):
        load(content, **PLAIN)
    assert load(content, **PLAIN, date_format="%m/%d/%Y").X[0, 0] == 19724
    assert load(content + "13/04/2024;3\n", **PLAIN).X[0, 0] == 19754


def test_samples_without_a_target_are_refused_or_dropped(load):
    with pytest.raises(DataError, match="line 5, column 'froh': the value is missing: drop"):
        load(missing_target="error")
    with pytest.warns(UserWarning, match="1 of 4 samples have no target and are left out"):
        data = load(missing_target="drop")
    assert data.y.tolist() == ["ja", "nein", "ja"]
    assert data.ids["nr"].tolist() == ["007", "008", "010"]
    assert len(data.X) == 3


def test_targets_that_are_numbers_may_be_unknown(load):
    text = SURVEY.replace("ja", "1")
    np.testing.assert_array_equal(load(text.replace("nein", "2,5")).y, [1, 2.5, np.nan, 1])
    assert load(text.replace("nein", "2")).y.tolist() == [1, 2, None, 1]


@pytest.mark.parametrize("missing_target", ["error", "drop", "unlabelled"])
def test_rows_without_any_value_are_left_out_where_gaps_are_kept(load, missing_target):
    text = SURVEY.replace("NA;ja", "1;ja").replace("0;NA;-", "0;nein;-")
    gone = text.replace("010;", ";;;;;;\n011;;;NA; ?;nein;so\n010;")
    words = "2 of 6 rows have no value in any feature and are left out, row 3 first"
    with pytest.warns(UserWarning, match=words):
        data = load(gone, missing_target=missing_target)
    np.testing.assert_array_equal(data.X, SAMPLES)
    assert data.y.tolist() == ["ja", "nein", "nein", "ja"]
    assert data.ids["nr"].tolist() == ["007", "008", "009", "010"]


def test_what_is_missing_can_be_said(load):
    text = SURVEY.replace("NA", "k.A.").replace("?", "k.A.")
    np.testing.assert_array_equal(load(text, na_values=["", "k.A."]).X, SAMPLES)
    codes = load(na_values=["", "?"], drop=["bemerkung", "größe"])
    assert codes.y.tolist() == ["ja", "nein", "NA", "ja"]
    assert "region=NA" in codes.feature_names


def test_all_faults_are_named_at_once(load):
    text = SURVEY.replace("1,5", "1.500,5").replace(";4;", ";old;").replace(";0;", ";inf;")
    with pytest.raises(DataError) as caught:
        load(text, missing="error", missing_target="error", drop=(), categorical=())
    lines = [line.partition("data.csv, ")[2] for line in str(caught.value).splitlines()]
    assert [line.partition(": ")[0] for line in lines] == [
        "line 2, column 'bemerkung'", "line 2, column 'größe'", "line 2, column 'region'",
        "line 5, column 'datum'", "line 5, column 'froh'", "line 5, column 'kinder'",
    ]  # fmt: skip
    assert "'1.500,5' is no number: give decimal as ',' and thousands as '.' (and 2 m" in lines[1]
