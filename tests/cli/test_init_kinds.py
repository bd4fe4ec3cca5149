"""What ``dbgsom init`` takes a column for: a number, a category, an id, a date, text."""

import pytest
import yaml
from click.testing import CliRunner

from dbgsom_core.cli.init import init
from dbgsom_core.config import load_experiment
from dbgsom_core.runs.first_look.column_kinds import look_at_column


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin():
    done = CliRunner().invoke(init, ["p.csv", "--force"])
    assert done.exception is None
    return done.output


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("a", ["1", "2", "2", "NA"], "number"),
        ("a", [f"{i}" for i in range(50)], "id"),
        ("a", [f"{i * i}" for i in range(50)], "number"),
        ("nr", [f"{i * i}" for i in range(50)], "id"),
        ("a", [f"{i * 7:05d}" for i in range(50)], "id"),
        ("a", ["01", "02"] * 25, "category"),
        ("a", ["x", "y"] * 25, "category"),
        ("a", [f"words and {i}" for i in range(50)], "text"),
        ("user_id", [f"u{i}" for i in range(50)], "id"),
        ("a", ["2024-01-01", "2024-02-01", ""], "date"),
        ("a", ["x"] * 9, "constant"),
        ("a", ["", "NA", "?"], "empty"),
        ("a", [*["1", "2"] * 20, "unknown"], "number"),
        ("a", [*["1", "2"] * 20, *["unknown"] * 20], "category"),
    ],
)
def test_kinds_of_columns(name, cells, kind):
    column = look_at_column(1, name, cells, ".")
    assert column.kind == kind
    assert column.words == (("unknown",) if kind == "number" and "unknown" in cells else ())


@pytest.mark.parametrize("form", ["{},{:03d}.50 €", "{} {:03d} kg", "{}{:03d} %", "({},{:03d}.25)"])
def test_numbers_with_marks_or_units_are_told(form, folder):
    cells = [form.format(i + 1, i * 7) for i in range(30)]
    column = look_at_column(1, "price", cells, ",")
    assert column.kind == "text"
    assert column.note.startswith("numbers with units, or marks between thousands")
    lines = [f"{i * i};{cell};{i % 7}" for i, cell in enumerate(cells)]
    (folder / "p.csv").write_text("a;price;b\n" + "\n".join(lines), encoding="utf-8")
    assert "dropped: numbers with units" in begin()


@pytest.mark.parametrize(
    ("mark", "decimal"), [(".", ","), (" ", ","), ("\u202f", ","), (",", "."), ("'", ".")]
)
def test_marks_between_thousands_are_found(folder, mark, decimal):
    rows = [
        f"{i % 3}{mark}{i * 7:03d}{decimal}5;{i * i}{decimal}25;{'ab'[i % 2]}" for i in range(40)
    ]
    (folder / "p.csv").write_text("price;b;kind\n" + "\n".join(rows), encoding="utf-8")
    begin()
    dataset = yaml.safe_load((folder / "p.yaml").read_text(encoding="utf-8"))["dataset"]
    assert dataset["thousands"] == mark.replace("\u202f", " ")
    assert dataset["decimal" if decimal == "," else "target"] in (",", "kind")
    assert "drop" not in dataset
    data = load_experiment("p.yaml").dataset.load()
    assert data.X[4].tolist() == [1028.5, 16.25]
