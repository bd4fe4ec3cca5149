"""Tables that a model reads by the names of its columns."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dbgsom_core import SomVQ, persistence
from dbgsom_core.errors import DataError, ModelFileError
from dbgsom_core.persistence import FittedModel
from dbgsom_core.tables import Columns, as_array

COLUMNS = Columns(
    names=("age", "region", "day"),
    categories={"region": ("North", "South")},
    dates={"day": ("%d.%m.%Y", "year", "month", "day", "weekday")},
    target="happy",
    ids=("nr",),
    dropped=("note",),
    decimal=",",
)
TEXTS = pd.DataFrame(
    {
        "nr": ["1", "2", "3"],
        "day": ["01.02.2024", " 29.02.2024", "NA"],
        "age": ["1,5", "", "-3"],
        "region": ["South", "?", "North "],
        "note": ["x", "", "z"],
    },
    dtype=object,
)
SAMPLES = [
    [1.5, 0, 1, 2024, 2, 1, 3],
    [np.nan, np.nan, np.nan, 2024, 2, 29, 3],
    [-3, 1, 0, np.nan, np.nan, np.nan, np.nan],
]


def test_cells_of_a_file_become_features_by_name():
    assert COLUMNS.feature_names == (
        "age", "region=North", "region=South", "day.year", "day.month", "day.day", "day.weekday",
    )  # fmt: skip
    np.testing.assert_array_equal(COLUMNS.samples(TEXTS), SAMPLES)
    np.testing.assert_array_equal(COLUMNS.samples(TEXTS[TEXTS.columns[::-1]]), SAMPLES)


def test_typed_columns_become_the_same_features():
    frame = pd.DataFrame(
        {
            "age": pd.array([1.5, None, -3], dtype="Float32"),
            "region": pd.Categorical(["South", None, "North"]),
            "day": pd.to_datetime(["2024-02-01", "2024-02-29", None]),
        }
    )
    np.testing.assert_array_equal(COLUMNS.samples(frame), SAMPLES)
    as_objects = frame.assign(
        age=pd.Series([1.5, None, -3], dtype=object), day=frame["day"].dt.date.astype(object)
    )
    in_arrow = frame.convert_dtypes(dtype_backend="pyarrow")
    for other in (as_objects, in_arrow, pa.Table.from_pandas(in_arrow)):
        np.testing.assert_array_equal(COLUMNS.samples(other), SAMPLES)


def test_float32_stays_in_columns_of_pyarrow_and_nullable_ones():
    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    frame = pd.DataFrame(X, columns=list("abc"))
    usual = SomVQ(epochs=2, tol=0).fit(frame)
    for table in (frame.astype("Float32"), frame.astype("float[pyarrow]"), pa.table(frame)):
        vq = SomVQ(epochs=2, tol=0).fit(table)
        np.testing.assert_array_equal(vq.weights_, usual.weights_)
        assert vq.transform(table).dtype == np.float32


def test_unknown_columns_and_categories_are_told_once_and_count_nothing():
    frame = TEXTS.assign(region=["Mars", "South", "Mars"], what=1, why=2)
    with pytest.warns(UserWarning, match="ignored|did not occur") as caught:
        X = COLUMNS.samples(frame)
    assert X[:, 1:3].tolist() == [[0, 0], [0, 1], [0, 0]]
    assert [str(one.message) for one in caught] == [
        "2 columns ('what', 'why') of the data frame: unknown to the model, and ignored",
        "column 'region': 'Mars' (2 rows) did not occur in training: none of its known values",
    ]


def test_columns_that_are_not_there_are_named():
    with pytest.raises(DataError, match=r"lacks 2 columns \('age', 'region'\), .*it has: day"):
        COLUMNS.samples(TEXTS[["day"]])
    with pytest.raises(DataError, match=r"lacks column 'region', .*did you mean 'regions'"):
        COLUMNS.samples(TEXTS.rename(columns={"region": "regions"}))
    with pytest.raises(DataError, match="has column 'age' twice"):
        COLUMNS.samples(TEXTS.rename(columns={"nr": "age"}))


def test_all_cells_that_cannot_be_read_are_told():
    frame = TEXTS.assign(age=["1,5", "1.5", "inf"], day=["31.02.2024", "2024-02-01", "NA"])
    with pytest.raises(DataError) as caught:
        COLUMNS.samples(frame)
    assert str(caught.value).splitlines() == [
        "the data frame, row 0, column 'day': '31.02.2024' is no date of the form %d.%m.%Y "
        "(and 1 more)",
        "the data frame, row 1, column 'age': '1.5' is no number: give decimal as '.' (and 1 more)",
    ]


@pytest.fixture(scope="module")
def model():
    frame = pd.DataFrame({"a": np.arange(20.0), "c": ["x", "y"] * 10, "b": np.arange(20)[::-1] % 7})
    columns = Columns(("a", "c", "b"), categories={"c": ("x", "y")}, target="t")
    X = columns.samples(frame)
    return FittedModel((), SomVQ(epochs=3).fit(X), columns), frame, X


def test_a_saved_model_reads_tables_by_name(model, tmp_path):
    fitted, frame, X = model
    fitted.save(tmp_path / "m.npz")
    again = persistence.load(tmp_path / "m.npz")
    assert again.columns == fitted.columns
    expected = fitted.predict(X)
    shuffled = frame[["b", "c", "a"]].astype({"b": str, "a": "float32"})
    for given in (X, frame, shuffled):
        assert again.predict(given).tolist() == expected.tolist()
    found, expected = again.answers(shuffled), fitted.estimator.answers(X)
    assert found.unit.tolist() == expected.unit.tolist()
    np.testing.assert_array_equal(found.novelty, expected.novelty)
    assert isinstance(SomVQ.load(tmp_path / "m.npz"), SomVQ)


def test_gaps_are_refused_by_name_where_the_metric_takes_none(model):
    fitted, frame, X = model
    gaps = frame.astype({"b": object})
    gaps.loc[[3, 5], "b"] = None
    assert len(fitted.predict(gaps)) == 20
    angles = FittedModel((), SomVQ(metric="cosine", epochs=2).fit(X), fitted.columns)
    with pytest.raises(DataError) as caught:
        angles.predict(gaps)
    assert str(caught.value) == (
        "the data frame, row 3, column 'b': the value is missing: the model's metric takes none "
        "(and 1 more)"
    )


@pytest.mark.parametrize(
    "columns",
    [
        Columns(("a", "b")),
        Columns(("a", "b", "c", "d"), categories={"x": ("1",)}),
        Columns(("a", "b", "c"), dates={"a": ("ISO8601", "second")}),
        SomVQ,
    ],
)
def test_columns_that_do_not_fit_are_refused(model, columns, tmp_path):
    with pytest.raises(ModelFileError, match=r"[Cc]olumns"):
        FittedModel((), model[0].estimator, columns).save(tmp_path / "m.npz")


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.int64()])
def test_categories_of_any_type_stay_apart(kind):
    values = pa.array([2**50, 2**50 + 10**6], kind)
    columns = Columns(
        ("k",), categories={"k": tuple(Columns(()).texts(as_array(values)).to_pylist())}
    )
    assert columns.samples(pa.table({"k": values})).tolist() == [[1, 0], [0, 1]]
