"""Commands that do not train: help, plugins, validate; and what they import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"
HEAVY = ("numba", "sklearn", "mlflow", "matplotlib", "scipy", "pandas")

LIGHT = """
import sys
sys.argv = ["dbgsom", *sys.argv[1:]]
from dbgsom_core.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
loaded = [name for name in {heavy} if name in sys.modules]
assert not loaded, loaded
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["plugins", "list"],
        ["plugins", "list", "--json"],
        ["run", "--help"],
        ["validate", str(CONFIGS / "digits.yaml")],
        ["config", "show", str(CONFIGS / "digits.yaml")],
    ],
)
def test_a_light_command_imports_nothing_heavy(arguments):
    script = LIGHT.format(heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_importing_the_package_imports_nothing_heavy():
    script = f"import sys, dbgsom_core; assert not [n for n in {HEAVY} if n in sys.modules]"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_plugins_list_names_every_built_in(dbgsom):
    answer = dbgsom("plugins", "list")
    assert answer.code == 0
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["metric", "euclidean"] in [row[:2] for row in rows]
    assert ["tracker", "mlflow"] in [row[:2] for row in rows]
    assert answer.out.splitlines()[0].endswith("what it is")
    (moons,) = (
        line
        for line in answer.out.splitlines()
        if line.startswith("dataset  ") and " moons " in line
    )
    assert "Two interleaved half circles" in moons
    listed = json.loads(dbgsom("plugins", "list", "--json").out)
    assert all(one["sentence"].endswith(".") for one in listed["components"])
    assert len(listed["components"]) == len(rows) - 1  # the first line names the columns


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_config_is_valid(file, dbgsom):
    answer = dbgsom("validate", file)
    assert answer.code == 0, answer.err
    assert "ok" in answer.out


def test_validate_tells_what_run_would(dbgsom, write):
    file = write("run.yaml", "experiment: x\ndataset: iris\nmodell: {}\n")
    answer = dbgsom("validate", file)
    assert answer.code == 2
    assert answer.err.startswith("run.yaml:3:1: modell: unknown key; did you mean 'model'?")
