"""A configuration that is written is read as what it was, whatever its names hold."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dbgsom_core.errors import DataError
from dbgsom_core.runs.init.suggestion import commented_yaml

ODD = [
    "a\ntracking: {name: mlflow}", "a\r\nb", "# c", "a # b", 'q"u\'o\\te', "tab\tb", "\u2028",
    "\x85", "\ufeffBOM", "\x1b[31m", "\u202e", "\U0001f600\x00", "\udcff", "", " a ", "no", "on",
    "1e3", "0o7", "null", "~", "- a", "a: b", "[x", "{y", "%z", "@", "12:30:45", "2024-01-01", "=",
    "<<", "ü",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_names_that_yaml_would_misread_stay_names(name):
    content = {"experiment": "e", "dataset": {"path": name, "drop": [name, name], name: {name: 1}}}
    comments = {
        ("dataset", "path"): name, ("dataset", "drop"): name, ("dataset", "drop", 0): name,
        ("dataset", name, name): name,
    }  # fmt: skip
    text = commented_yaml(content, comments, [name])
    assert yaml.safe_load(text) == content
    assert all(line.isprintable() for line in text.split("\n"))


@given(
    name=st.text(), comment=st.text(), value=st.none() | st.booleans() | st.integers() | st.text()
)
def test_any_text_reads_back(name, comment, value):
    if "${" in f"{name}{value}":
        return
    content = {"a": {"b": value, "c": [name]}, "d": [name, value]}
    comments = {("a",): comment, ("a", "b"): comment, ("d", 0): comment, ("d", 1): name}
    assert yaml.safe_load(commented_yaml(content, comments, [comment])) == content


def test_a_reference_to_the_environment_is_refused():
    with pytest.raises(DataError, match="reference to the environment"):
        commented_yaml({"path": "${env:HOME}.csv"}, {})
