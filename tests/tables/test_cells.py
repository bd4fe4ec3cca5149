"""Cells of text to numbers and dates, against the same rules cell by cell in plain Python."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbgsom_core.tables.cells import (
    GROUP_MARKS,
    ISO_DATES,
    date_forms,
    is_missing,
    number,
    number_problem,
    parse_dates,
    parse_numbers,
)

CELLS = [
    "1.234", "1,234", "1'234", "1\u2019234", "1 234", "1\u202f234", "1.234,5", "1,234.5",
    "12.34", "-1.234.567", "+1,234,567.", "1_234", "1e3", "true", "FALSE", "x", "", " 7 ", "(8)",
    "(1.5)", "(1,5)", "-(2)", "()", "7", "1.5", "1,5", "nan", "inf", "-Infinity", "1e999", "0x10",
    "+3", "+-3", ".5", "5.", ".", "-", "1e", "é", "1 2", "((3))",
]  # fmt: skip


def twin(cell: str, decimal: str, thousands: str) -> float | None:
    """One cell, as the documentation says it."""
    cell = cell.strip()
    if cell.startswith("(") and cell.endswith(")") and cell[1:2] not in ("", "-", "+", "(", ")"):
        cell = "-" + cell[1:-1]
    if thousands:
        marks = GROUP_MARKS[thousands]
        whole, _, rest = cell.partition(decimal)
        groups = "".join("|" if mark in marks else mark for mark in whole.lstrip("+-")).split("|")
        sign = whole[: len(whole) - len(whole.lstrip("+-"))]
        plain = len(groups) > 1 and all(group.isdigit() for group in groups)
        plain = plain and 0 < len(groups[0]) < 4 and {len(group) for group in groups[1:]} == {3}
        if plain and len(sign) < 2 and (rest.isdigit() or not rest):
            cell = sign + "".join(groups) + (decimal if decimal in cell else "") + rest
    if decimal == ",":
        if "." in cell:
            return None
        cell = cell.replace(",", ".")
    if cell.lower() in ("true", "false"):
        return float(cell.lower() == "true")
    try:
        value = None if "_" in cell else float(cell)
    except ValueError:
        return None
    return None if value is not None and np.isnan(value) else value


@pytest.mark.parametrize("marks", [",.", ".,", ".'", ". ", ","])
def test_numbers_are_what_the_rules_say_of_each_cell(marks):
    decimal, thousands = marks[0], marks[1:]
    values, bad = parse_numbers(pa.array(CELLS), decimal, thousands, words=())
    expected = [twin(cell, decimal, thousands) for cell in CELLS]
    assert [None if no else value for value, no in zip(values.tolist(), bad, strict=True)] == (
        expected
    )
    assert [number(cell, decimal, thousands) for cell in CELLS] == expected


def test_what_is_missing_is_no_fault_in_any_case_of_letters():
    texts = pa.array(["NA", "n/a", " Nan ", "", None, "none", "<na>", "-9"])
    assert is_missing(texts).tolist() == [True] * 5 + [False, True, False]
    values, bad = parse_numbers(texts)
    assert bad.tolist() == [False] * 5 + [True, False, False]
    np.testing.assert_array_equal(values, [np.nan] * 7 + [-9])
    assert parse_numbers(texts, words=("NONE",))[1].tolist() == [
        True, True, True, True, False, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "unit", "values"),
    [
        (["($123.00)", "$ 1,234.5", "-$3", "5 $", "7"], "$", [-123, 1234.5, -3, 5, 7]),
        (["173 cm", "173cm", "-5\u202fcm", "(4 cm)", "cm 3"], "cm", [173, 173, -5, -4, 3]),
        (["14.4 %", "(3%)"], "%", [14.4, -3]),
    ],
)
def test_units_and_accounting_negatives(cells, unit, values):
    read, bad = parse_numbers(pa.array(cells), ".", ",", unit)
    assert not bad.any()
    assert read.tolist() == values
    assert parse_numbers(pa.array(cells[:1]), ".", ",", "kg")[1].all()


@pytest.mark.parametrize(
    ("cell", "marks", "told"),
    [
        ("1,5", (".", "", ""), "'1,5' is no number: give decimal as ','"),
        ("1,234.5", (".", "", ""), "is no number: give decimal as '.' and thousands as ','"),
        ("5 kg", (".", "", ""), "'5 kg' is no number: set units, or write it without 'kg'"),
        ("($5.00)", (".", "", ""), "'($5.00)' is no number: set units, or write it without '$'"),
        ("5 kg", (".", "", "g"), "'5 kg' is no number: convert it to 'g'"),
        ("a\nb" + "c" * 99, (".", "", ""), "'a b" + "c" * 36 + "…' is no number: look again"),
    ],
)
def test_what_is_no_number_is_told_with_the_cure(cell, marks, told):
    assert told in number_problem(cell, *marks, hint=": look again")


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2024-02-29", "2024-02-29"),
        ("2024-02", "2024-02-01"),
        (" 2024-02-29T12:30 ", "2024-02-29T12:30"),
        ("2024-02-29 12:30:15.25Z", "2024-02-29T12:30:15.25"),
        ("2024-02-29T01:30:00+02:00", "2024-02-28T23:30"),
        ("2023-02-29", None),
        ("2024-01-01T24:00", None),
        (None, None),
    ],
)
def test_iso_dates(cell, moment):
    found = parse_dates(pa.array([cell], pa.string()), ISO_DATES)
    assert found.dtype == np.dtype("datetime64[us]")
    assert (found[0] == np.datetime64(moment, "us")) if moment else np.isnat(found[0])


@pytest.mark.parametrize(
    "form",
    [
        "%d.%m.%Y",
        "%d %b %Y",
        "%I:%M %p, %j of %Y",
        "%Y-%m-%dT%H:%M:%S.%f%z",
    ],
)
@given(moment=st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31), timezones=st.just(UTC)))
def test_dates_of_a_form_are_those_of_strptime(form, moment):
    cell = moment.strftime(form)
    expected = datetime.strptime(cell, form)
    expected = expected if expected.tzinfo is None else expected.astimezone(UTC)
    found = parse_dates(pa.array([cell, "x" + cell]), form)
    assert found[0] == np.datetime64(expected.replace(tzinfo=None), "us")
    assert np.isnat(found[1])


def test_the_form_of_dates_is_found_where_one_alone_fits():
    assert date_forms(["2024-02-01", "2024-02-01T10:00"]) == [ISO_DATES]
    assert date_forms(["01.02.2024", "1.2.2024"]) == ["%d.%m.%Y"]
    assert date_forms(["01/02/2024"]) == ["%d/%m/%Y", "%m/%d/%Y"]
    assert date_forms(["01/02/2024", "13/02/2024"]) == ["%d/%m/%Y"]
    assert date_forms(["3.4.2024", "x"]) == date_forms([]) == []
    assert date_forms(["3.4.2024", "x"], share=0.5) == ["%d.%m.%Y"]
    assert date_forms(["3 Apr 2024"], "%d %b %Y") == ["%d %b %Y"]
