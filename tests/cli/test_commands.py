"""Commands that do not train, exit codes, bad input, and what is imported."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dbgsom_core.cli import cli

pytestmark = pytest.mark.one_version

CONFIGS = Path(__file__).parents[2] / "configs"
HEAVY = ("numba", "sklearn", "mlflow", "matplotlib", "scipy", "pandas", "pyarrow")
LIGHT = [
    ["--help"],
    ["--version"],
    ["run", "--help"],
    ["validate", str(CONFIGS / "digits.yaml")],
    ["config", "show", str(CONFIGS / "digits.yaml")],
]
TYPED = """
import json, sys
from dbgsom_core.cli import main
heavy, commands = json.loads(sys.argv[1])
for words in commands:
    sys.argv = ["dbgsom", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, ended.code
    loaded = [name for name in heavy if name in sys.modules]
    assert not loaded, (words, loaded)
"""


def test_a_light_command_imports_nothing_heavy():
    assert run_python(TYPED, json.dumps([HEAVY, LIGHT]))


def test_plugins_list_names_every_built_in(dbgsom):
    header, *lines = dbgsom("plugins", "list").out.splitlines()
    assert header.endswith("sentence")
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
        ("model: {robust: true}", "seed=1", 2, "unknown key; it is gone: fit again without"),
        ("", "model.growth.spreading_factor=0.3", 0, "run.yaml: ok"),
        ("", "sweep.grid={model.epochs: [1, 2]}", 0, "a sweep of 2 runs"),
    ],
)
def test_validate_says_what_run_would(rest, override, code, message, dbgsom, write):
    file = write("run.yaml", f"experiment: x\ndataset: iris\n{rest}\n")
    answer = dbgsom("validate", file, "--set", override)
    assert answer.code == code, answer
    assert message in answer.out + answer.err


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["doctor"], "No such command 'doctor'; it is gone: 'dbgsom plugins list' shows"),
        (["run", "x.yaml", "--dry-run"], "it is gone: 'dbgsom validate' checks"),
        (["doctr"], "No such command 'doctr'."),
    ],
)
def test_a_command_or_option_that_went_says_what_takes_its_place(words, cure, dbgsom):
    answer = dbgsom(*words)
    assert answer.code == 2
    assert cure in answer.err


def leaves(group, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(leaves(cli))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_is_0_and_an_unknown_option_2(path, dbgsom):
    answer = dbgsom(*path, "--help")
    assert answer.code == 0
    assert answer.out.startswith("Usage:")
    assert dbgsom(*path, "--no-such-option").code == 2


BAD = "experiment: bad\ndataset: {dataset}\n{rest}\n"


def bad_config(dataset, rest=""):
    return BAD.format(dataset=dataset, rest=rest)


@pytest.fixture
def refused(dbgsom, write, tmp_path):
    """Run a configuration that must be refused and return what was printed."""

    def run(text, *arguments, command="run"):
        before = sorted(path.name for path in tmp_path.iterdir())
        file = write("run.yaml", text)
        answer = dbgsom(command, file, *arguments)
        after = sorted(path.name for path in tmp_path.iterdir() if path.name != "run.yaml")
        assert after == before  # no run folder, no MLflow store
        assert answer.code == 2, answer
        assert "Traceback" not in answer.err
        return answer.err.strip()

    return run


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("prepare: ['sklearn.preprocessing:NoSuch']", "cannot be imported"),
        ("prepare: [{name: 'sklearn.decomposition:PCA', n_components: 90}]", "PCA"),
        ("prepare: ['sklearn.preprocessing:SplineTransformer']", "cannot be saved"),
        ("split: {test_size: 0.99}", "rows are left"),
    ],
)
def test_a_wrong_key_or_value_has_its_place_and_cure(rest, message, refused):
    error = refused(bad_config("iris", rest))
    assert message in error
    assert "\n" not in error


def run_python(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
