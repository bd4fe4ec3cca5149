import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbgsom_core.config import read_plain
from dbgsom_core.config.load import Problems, read_scalar, read_yaml
from dbgsom_core.config.resolved import dump_yaml


def read(text: str) -> Any:
    problems = Problems()
    values = read_yaml(text, problems, "t.yaml").values
    problems.raise_any()
    return values


PLAIN = {
    0.001: ["1e-3"], 1.0: ["1."], 0.5: [".5"], 150.0: ["+1.5e+2"], 6.02e23: ["6.02e23"],
    0: ["0"], 10: ["010"], 7: ["+7"], 8: ["0o10"], 31: ["0x1F"], None: ["null", "~"],
    math.inf: [".inf", "+.INF"],
}  # fmt: skip
TEXTS = [
    "0b11", "1_000", "0o8", "12:30:45", "2001-12-14", "no", "on", "tRUE", "nan", "1.2.3", "٣",
]  # fmt: skip
SCALARS = [(text, value) for value, texts in PLAIN.items() for text in texts]
SCALARS += [(text, text) for text in TEXTS]
SCALARS += [(text, True) for text in ("true", "True", "TRUE")] + [("false", False)]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_plain_scalars_follow_the_yaml_1_2_core_schema(text: str, value: Any) -> None:
    assert read_scalar(text) == value
    assert type(read_scalar(text)) is type(value)
    assert read(f"k: {text}") == {"k": value}


@pytest.mark.parametrize("text", ["1", "true", "null", "~", "1e3", ""])
def test_quoted_scalars_are_text(text: str) -> None:
    assert read(f"k: '{text}'") == {"k": text}
    assert read(f'k: "{text}"') == {"k": text}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(
        ["1e-3", "0o10", "010", "no", "12:30:45", "", "~", "a: b", "#", "0x1f", "1."]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), VALUES, min_size=1, max_size=4))
def test_what_is_dumped_is_read_back(values: dict[str, Any]) -> None:
    if "<<" not in str(values):
        assert read(dump_yaml(values)) == values
        assert read_plain(dump_yaml(values), "t.yaml") == values
