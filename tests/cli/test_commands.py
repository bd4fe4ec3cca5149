"""Commands that do not train: help, plugins, validate; and what they import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"
HEAVY = ("numba", "sklearn", "mlflow", "matplotlib", "scipy", "pandas", "pyarrow")
LIGHT = f"""
import sys
sys.argv = ["dbgsom", *sys.argv[1:]]
from dbgsom_core.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
loaded = [name for name in {HEAVY} if name in sys.modules]
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
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_light_command_imports_nothing_heavy(arguments):
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_plugins_list_names_every_built_in(dbgsom):
    header, *lines = dbgsom("plugins", "list").out.splitlines()
    assert header.endswith("what it is")
    names = [line.split()[:2] for line in lines]
    assert ["metric", "euclidean"] in names
    assert ["tracker", "mlflow"] in names
    (moons,) = [line for line in lines if line.split()[:2] == ["dataset", "moons"]]
    assert "Two interleaved half circles" in moons
    listed = json.loads(dbgsom("plugins", "list", "--json").out)["components"]
    assert all(component["sentence"].endswith(".") for component in listed)
    assert len(listed) == len(lines)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_config_is_valid(file, dbgsom):
    answer = dbgsom("validate", file)
    assert answer.code == 0, answer.err
    assert "ok" in answer.out


@pytest.mark.parametrize(
    ("rest", "override", "code", "message"),
    [
        ("modell: {}", "seed=1", 2, "run.yaml:3:1: modell: unknown key; did you mean 'model'?"),
        (
            "model: {growth: fixed}",
            "model.spreading_factor=0.5",
            2,
            "Fixed has no spreading_factor",
        ),
        ("", "model.growth.spreading_factor=0.3", 0, "run.yaml: ok"),
        ("", "sweep.grid={model.epochs: [1, 2]}", 0, "a sweep of 2 runs"),
    ],
)
def test_validate_says_what_run_would(rest, override, code, message, dbgsom, write):
    file = write("run.yaml", f"experiment: x\ndataset: iris\n{rest}\n")
    answer = dbgsom("validate", file, "--set", override)
    assert answer.code == code, answer
    assert message in answer.out + answer.err
