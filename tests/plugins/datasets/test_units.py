"""Numbers with a unit: one rule for files that train, files that are asked, and data frames."""

import numpy as np
import pandas as pd
import pytest

from dbgsom_core import SomVQ, persistence
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import DataError
from dbgsom_core.persistence import FittedModel
from dbgsom_plugins.datasets.table_files import Csv

TABLE = """nr;tall;share;kind;price;beside
1;173 cm;14,4 %;a;€ 12,50;1 kg
2;180cm;-3,5%;b;1.000 €;2 kg
3;165;NA;a;-€ 3;3 kg
4;190 cm;0 %;b;5€;4,5 kg
"""
UNITS = {"tall": "cm", "share": "%", "price": "€", "beside": "kg"}
FIELDS = {
    "delimiter": ";", "decimal": ",", "thousands": ".", "id": "nr", "categorical": "kind",
    "extra": "beside", "missing": "keep",
}  # fmt: skip
X = [[173, 14.4, 1, 0], [180, -3.5, 0, 1], [165, np.nan, 1, 0], [190, 0, 0, 1]]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE, encoding="utf-8")
    return str(tmp_path / "t.csv")


def table(path, **fields):
    return Csv(path=path, **FIELDS | {"target": "price", "units": UNITS} | fields)


def test_numbers_are_read_without_their_units(path):
    data = table(path).load()
    np.testing.assert_array_equal(data.X, X)
    assert data.y.tolist() == [12.5, 1000, -3, 5]
    assert data.variables["beside"].tolist() == [1, 2, 3, 4.5]
    assert data.columns.units == UNITS
    whole = table(path, target="tall", missing="error", columns=["kind"]).load()
    assert (whole.y.dtype, whole.y.tolist()) == (np.int64, [173, 180, 165, 190])


def test_a_unit_that_is_none_is_refused_with_its_place_in_the_configuration(tmp_path):
    section = "{name: csv, path: t.csv, units: {name: cm, path: ' m'}}"
    (tmp_path / "t.yaml").write_text(f"experiment: u\ndataset: {section}\nmodel: {{estimator: vq}}")
    with pytest.raises(ValueError, match=r"t.yaml:2:\d+: dataset.units: ' m' is no unit of 'path'"):
        load_experiment(tmp_path / "t.yaml")


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ({"tal": "cm"}, "units column 'tal' does not exist; did you mean 'tall'"),
        (UNITS | {"nr": "m"}, "column 'nr' is id and has a unit: choose one"),
        (UNITS | {"tall": "m"}, "line 2, column 'tall': '173 cm' is no number: convert it to 'm'"),
        (
            {"price": "€", "beside": "kg", "share": "%"},
            "line 2, column 'tall': '173 cm' is no number: set units, or write it without 'cm'",
        ),
    ],
)
def test_what_does_not_fit_a_unit_is_refused_with_the_cure(path, units, words):
    with pytest.raises(DataError) as caught:
        table(path, units=units).load()
    assert words in str(caught.value)


def test_models_read_frames_by_the_unit(path, tmp_path):
    data = table(path, target=None, drop="price").load()
    fitted = FittedModel((), SomVQ(epochs=2).fit(data.X), data.columns)
    fitted.save(tmp_path / "m.npz")
    loaded = persistence.load(tmp_path / "m.npz")
    assert loaded.columns == data.columns
    frame = pd.read_csv(path, sep=";", keep_default_na=False)
    for asked in (frame, frame.assign(tall=[173.0, 180, 165, 190])):
        np.testing.assert_array_equal(loaded.columns.samples(asked), X)
    assert loaded.predict(frame).tolist() == fitted.predict(data.X).tolist()
    with pytest.raises(DataError, match=r"row 0, column 'tall': '1,73 m' is no number: convert it"):
        loaded.predict(frame.assign(tall="1,73 m"))
