"""Every example of configs/README.md does what the page says, with the built-in components."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dbgsom_core.config import is_sweep, load_experiment, load_sweep
from dbgsom_core.errors import ConfigError
from dbgsom_core.experiments.measuring import describe_measure
from dbgsom_core.plugins.registry import Registry

PAGE = (Path(__file__).parents[2] / "configs" / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
WRONG = [text for text in EXAMPLES if text.startswith("experiment: wrong")]
RIGHT = [text for text in EXAMPLES if text not in WRONG]


@pytest.fixture(scope="module")
def built_ins():
    return Registry.discover(own_only=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOM_SEED", raising=False)
    for text in EXAMPLES:
        if text.startswith("# merge-base.yaml"):
            Path("merge-base.yaml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("text", RIGHT)
def test_every_example_loads(folder, built_ins, text):
    Path("run.yaml").write_text(text, encoding="utf-8")
    if is_sweep("run.yaml"):
        assert len(load_sweep("run.yaml", registry=built_ins).children) > 1
    else:
        load_experiment("run.yaml", registry=built_ins)


def test_the_merging_example_merges_as_it_says(folder, built_ins):
    (text,) = (text for text in RIGHT if text.startswith("extends"))
    Path("run.yaml").write_text(text, encoding="utf-8")
    params = load_experiment("run.yaml", registry=built_ins).model.params
    assert (params["kernel"].start, params["kernel"].end) == (3, 0.5)
    assert (params["growth"].rows, params["growth"].columns) == (5, 5)


def test_the_problems_are_those_that_the_page_shows(folder, built_ins):
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    Path("run.yaml").write_text(WRONG[0], encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_experiment("run.yaml", ["model.tol=-1"], built_ins)
    assert str(caught.value) == shown.strip()


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("metric", "metric"),
        ("kernel", "kernel"),
        ("figure", "figure"),
        ("grid", "grid"),
        ("initialisation", "init"),
        ("schedule", "schedule"),
        ("stopping", "stopping"),
    ],
)
def test_every_built_in_has_its_row(built_ins, kind, head):
    table = re.search(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)[1]
    rows = re.findall(r"^\| (\w+) \|", table, re.MULTILINE)
    assert sorted(rows) == sorted(built_ins.names(kind))


def test_every_built_in_measure_has_its_row_as_it_tells_of_itself(built_ins):
    for name in built_ins.names("measure"):
        one = describe_measure(built_ins.find("measure", name)())
        cells = (name, one["what"].removesuffix("."), one["range"], one["best"], one["reference"])
        assert f"\n| {' | '.join(cells)} |\n" in PAGE, name


def test_the_tables_of_keys_are_made_from_the_models(folder):
    path = Path("README.md")
    path.write_text(PAGE, encoding="utf-8")
    script = Path(__file__).parents[1] / "docs" / "key_tables.py"
    subprocess.run([sys.executable, script, path], check=True)
    assert path.read_text(encoding="utf-8") == PAGE, f"run: python {script} configs/README.md"
    sections = re.findall(r"<!-- keys: (\S+) -->\n\n\| key ", PAGE)
    assert sections == [".", "split", "model", "stability", "plugins", "sweep.*"]
