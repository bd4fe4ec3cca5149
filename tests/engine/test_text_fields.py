"""Numbers in text are read as Python's float reads them, and what is no plain number is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbgsom_core.engine.text.fields import FULL, MORE, STRANGE, layout, read_lines

WORDS = [b"", b"NA", b"-", b"N/A"]


def read(text, rows=None, places=(0,), mark=".", delimiter=",", grouping=""):
    data = np.frombuffer(text.encode() + b"\0", np.uint8)
    wide = max(places) + 1
    rows = text.count("\n") if rows is None else rows
    out = np.zeros((rows, wide))
    how = layout(delimiter, mark, grouping, np.array(places), WORDS)
    at, row, why = read_lines(data, 0, len(data) - 1, how, out.view(np.uint64), 0)
    return out[:row], why, text[at:]


def assert_read(texts):
    found, why, _ = read("".join(f"{one}\n" for one in texts))
    assert why == MORE
    expected = np.array([float(one) for one in texts])
    assert found[:, 0].view(np.uint64).tolist() == expected.view(np.uint64).tolist()


def test_numbers_of_all_sizes_are_read_as_python_does(rng):
    digits, powers = rng.integers(0, 1 << 53, 5000), rng.integers(-22, 23, 5000)
    some = [f"{one}e{power}" for one, power in zip(digits, powers, strict=True)]
    measured = [f"{one:.6g}" for one in 10.0 ** rng.uniform(-16, 22, 3000)]
    single = [str(one) for one in rng.normal(size=3000).astype(np.float32)]
    near = [str(2**power + one) for power in range(1, 53) for one in (-1, 0, 1)]
    plain = ["0", "-0", "+1.5", ".5", "5.", "00012.50", "-0.0001", "1E5", "1e+05", "0e999"]
    assert_read([*some, *measured, *single, *near, *plain, "0.0000000000123456789"])


@given(st.lists(st.decimals(-(10**9), 10**9, places=6)))
def test_any_number_of_15_digits_is_read_to_the_bit(values):
    assert_read([f"{one:f}" for one in values])


@given(
    st.lists(
        st.from_regex(r"[-+]?0{0,3}([0-9]{1,7}[.]?[0-9]{0,7}|[.][0-9]{1,7})", fullmatch=True),
        min_size=1,
    )
)
def test_numbers_of_few_digits_are_read_to_the_bit_up_to_the_end_of_memory(texts):
    assert_read(texts)
    found, why, _ = read(f"{','.join(texts)}\r\n", places=tuple(range(len(texts))))
    expected = np.array([float(one) for one in texts])
    assert (why, found.view(np.uint64).tolist()) == (MORE, [expected.view(np.uint64).tolist()])


@pytest.mark.parametrize(
    "long", ["9007199254740993", "4503599627370497.5", "0.1234567890123456789", "1e23", "1e-23"]
)
def test_what_one_product_does_not_round_is_left_to_others(long):
    assert read(f"1\n{long}\n")[1:] == (STRANGE, f"{long}\n")


def test_fields_become_the_numbers_of_a_row_and_others_are_skipped():
    found, why, rest = read(
        "1 ;x 1;2,5  \r\n\r\n NA;;-\n", places=(1, -1, 0), mark=",", delimiter=";"
    )
    np.testing.assert_array_equal(found, [[2.5, 1], [np.nan, np.nan]])
    assert (why, rest) == (MORE, "")
    found, why, rest = read("1\n2\n\n3\n", rows=2)
    assert (found.tolist(), why, rest) == ([[1], [2]], FULL, "3\n")


def test_a_space_may_stand_between_fields():
    found, why, _ = read("-27894.44 80211\n0.000000537 -1e-5\n1 NA\n", places=(0, 1), delimiter=" ")
    assert why == MORE
    np.testing.assert_array_equal(found, [[-27894.44, 80211], [5.37e-7, -1e-5], [1, np.nan]])
    assert read("-27894.44  80211\n", places=(0, 1), delimiter=" ")[1] == STRANGE


def test_digits_may_stand_in_groups_of_three():
    how = {"mark": ",", "delimiter": ";", "grouping": "."}
    found, why, _ = read("1.234.567,5\n-12.345\n123\n1234,5\n-\n", **how)
    assert why == MORE
    np.testing.assert_array_equal(found[:, 0], [1234567.5, -12345, 123, 1234.5, np.nan])
    for cell in ("1.5", "1234.567", "1.234.", "1.2345", "1.234e5", ".234", "1.234,5.678"):
        assert read(f"{cell}\n", **how)[1:] == (STRANGE, f"{cell}\n")


STRANGE_LINES = """1 1,2,3 "1",2 1,é x,2 1·1,2 NA·,2 1,NAN inf,2 nan,2 0x1,2 1_0,2 1.2.3,2 1e,2
--1,2 +,2 .,2 12345678901234567890,2
1e400,2 1e-320,2 1\r2 1,2\r3 1,\0""".replace("\n", " ").split(" ")


@pytest.mark.parametrize("line", [one.replace("·", " ") for one in STRANGE_LINES])
def test_what_is_no_plain_line_of_numbers_is_left_to_others(line):
    found, why, rest = read(f"1,2\n{line}\n3,4\n", places=(0, -1 if line == "1,é" else 1))
    assert (len(found), why, rest) == (1, STRANGE, f"{line}\n3,4\n")
