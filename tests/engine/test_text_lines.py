"""Numbers are written by the shortest text that reads back to the bit, as pyarrow writes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbgsom_core.engine.text.lines import (
    FLOAT,
    INTEGER,
    SPARE,
    TEXT,
    TRUTH,
    WIDEST,
    tables,
    text_at,
    write_lines,
)

POWERS = 2.0 ** np.arange(-1074, 1024)


def written(values, kind=FLOAT, gone=False):
    cells = np.array(values, np.float64 if kind == FLOAT else np.int64)[None]
    out = np.zeros(cells.size * (WIDEST + 3) + SPARE, np.uint8)
    absent = np.full(cells.shape, gone)
    room = np.zeros(1, np.uint8)
    kinds = np.array([kind], np.uint8)
    end = write_lines(
        kinds, cells.view(np.int64), absent, room, ord(","), tables(), 0, cells.size, out
    )
    return bytes(out[:end]).decode().split("\n")[:-1]


def digits(text):
    return text.lower().lstrip("-").split("e")[0].replace(".", "").strip("0")


def assert_shortest(values):
    texts = written(values)
    assert [float(one) for one in texts] == values
    assert [one[0] == "-" for one in texts] == [repr(one)[0] == "-" for one in values]  # also -0
    assert [digits(one) for one in texts] == [digits(repr(one)) for one in values]


def test_floats_of_all_sizes_are_written_as_python_rounds_them(rng):
    bits = rng.integers(0, 1 << 64, 20_000, dtype=np.uint64).view(np.float64)
    some = [bits[np.isfinite(bits)], rng.normal(size=5000), rng.normal(size=2000).round(3)]
    edges = [POWERS, np.nextafter(POWERS, 0)[1:], np.nextafter(POWERS, np.inf)[:-1]]
    whole = [10.0 ** np.arange(-308, 309), rng.integers(0, 1 << 53, 2000) * 1.0, [0.0, -0.0]]
    assert_shortest(np.concatenate([*some, *edges, *whole]).tolist())


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_any_float_reads_back_to_the_bit(values):
    assert_shortest(values)


def test_text_is_that_of_pyarrow(rng):
    pa = pytest.importorskip("pyarrow")
    values = rng.normal(size=3000) * 10.0 ** rng.integers(-14, 24, 3000)
    values = np.concatenate([values, POWERS, 10.0 ** np.arange(-30, 30), [np.inf, -np.inf, -0.0]])
    assert written(values) == pa.array(values).cast(pa.string()).to_pylist()


def test_integers_truth_and_gaps():
    least, most = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    values = [
        0,
        7,
        -7,
        10,
        99,
        100,
        999,
        1000,
        -999,
        99_999_999,
        100_000_000,
        least,
        most,
        -(10**18),
    ]
    assert written(values, INTEGER) == list(map(str, values))
    assert written([1, 0], TRUTH) == ["true", "false"]
    assert written([1.5, np.nan, -np.nan]) == ["1.5", '""', '""']
    assert written([1.5, 2.0], gone=True) == ['""', '""']


def test_texts_of_any_length_are_copied_whole_between_numbers(rng):
    texts = ["".join(rng.choice(list("abcdefgh"), length)) for length in (*range(26), 3, 0, 8)]
    lengths = np.array([len(one) for one in texts])
    pool = np.frombuffer("".join(texts).encode() + bytes(SPARE), np.uint8)
    cells = np.stack(
        [np.arange(len(texts)), text_at(np.cumsum(lengths) - lengths, lengths), lengths % 2]
    )
    out = np.full(lengths.sum() + 12 * len(texts) + SPARE, ord("!"), np.uint8)
    kinds, gone = np.array([INTEGER, TEXT, TRUTH], np.uint8), np.zeros(cells.shape, bool)
    end = write_lines(kinds, cells, gone, pool, ord(","), tables(), 0, len(texts), out)
    expected = [f"{i},{one},{'true' if len(one) % 2 else 'false'}" for i, one in enumerate(texts)]
    assert bytes(out[:end]).decode().split("\n") == [*expected, ""]
    assert (out[end + SPARE :] == ord("!")).all()
