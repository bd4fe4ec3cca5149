"""The README is true: its snippets run, its plugin works, its map of the folders matches."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import yaml

pytestmark = pytest.mark.one_version

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
REFERENCE = (ROOT / "configs" / "README.md").read_text(encoding="utf-8")
IN_PYTHON = REFERENCE.split("## In Python")[1].split("\n## ")[0]
SNIPPETS = [code for kind, code in BLOCKS if kind == "python" and "# plugin:" not in code]
SNIPPETS += re.findall(r"```python\n(.*?)```", IN_PYTHON, re.DOTALL)
PLUGIN = next(code for kind, code in BLOCKS if kind == "python" and "# plugin:" in code)

USE = """
from dbgsom_core import SomVQ
from dbgsom_core.plugins.registry import get_registry
from sklearn.datasets import load_iris

assert not get_registry().broken, get_registry().broken
X = load_iris().data
vq = SomVQ(kernel={"name": "laplace", "power": 1.5}, epochs=10).fit(X)
vq.save("map.npz")
assert (SomVQ.load("map.npz").predict(X) == vq.labels_).all()
"""


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_every_python_snippet_runs(number, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if "dask" in SNIPPETS[number]:
        pytest.importorskip("distributed")
    exec(compile(SNIPPETS[number], f"README snippet {number}", "exec"), {})
    plt.close("all")


def test_there_are_two_commands_of_one_line_each():
    commands = re.findall(r"<!-- command: (\w+) -->\n```sh\n([^\n]+)\n```", README)
    assert [name for name, _ in commands] == ["run", "test"]
    assert all(command.startswith("python3 -m venv .venv && ") for _, command in commands)


def test_the_plugin_has_twenty_lines_and_works_once_it_is_installed(tmp_path):
    lines = [line for line in PLUGIN.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 20
    entry = next(code for kind, code in BLOCKS if kind == "toml" and "dbgsom.plugins" in code)
    group, name, module = re.search(r'\."([\w.]+)"\]\n(\w+) = "(\w+)"', entry).groups()
    (tmp_path / f"{module}.py").write_text(PLUGIN, encoding="utf-8")
    info = tmp_path / "dbgsom_laplace-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dbgsom-laplace\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{USE}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_map_of_the_folders_names_what_is_there():
    tree = README.split("## Map of the folders")[1].split("```")[1]
    core = ROOT / "dbgsom_core"
    for folder, sentence in re.findall(r"^  (\w+)/ (.*)", tree, re.MULTILINE):
        for name in re.findall(r"\b[a-z_]+\.py\b", sentence):
            assert any(ROOT.glob(f"*/{folder}/{name}")), name
    folders = [path.name for path in core.iterdir() if (path / "__init__.py").exists()]
    assert all(f"{folder}/" in tree for folder in folders), folders
    for place in ("plugins/dbgsom_plugins", "tests"):
        names = [path.name for path in (ROOT / place).iterdir() if path.is_dir()]
        assert all(name in tree for name in names if name[0] not in "._"), names


def test_every_link_inside_the_repository_leads_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_each_figure_of_the_gallery_is_small_and_that_of_a_configuration():
    shown = set(re.findall(r"\(\.github/gallery/([\w-]+)-(\w+)\.png\)", README))
    for config, figure in shown:
        assert (ROOT / f".github/gallery/{config}-{figure}.png").stat().st_size < 100_000
        (file,) = [*ROOT.glob(f"configs/{config}.yaml"), *ROOT.glob(f"plugins/*/{config}.yaml")]
        figures = yaml.safe_load(file.read_text(encoding="utf-8"))["figures"]
        names = [one if isinstance(one, str) else one["name"] for one in figures]
        assert figure in names, (config, figure)
    kept = {path.stem for path in (ROOT / ".github/gallery").glob("*.png")}
    assert kept == {f"{config}-{figure}" for config, figure in shown}


@pytest.mark.parametrize("module", ["", ".api", ".measures", ".mlflow", ".persistence"])
def test_what_users_call_is_documented(module):
    door = importlib.import_module(f"dbgsom_core{module}")
    for name in door.__all__:
        named = getattr(door, name)
        if inspect.isclass(named) or inspect.isfunction(named):
            assert inspect.getdoc(named), name
        for public in [attribute for attribute in dir(named) if not attribute.startswith("_")]:
            method = getattr(named, public, None)  # defaults of instances are not of the class
            if str(getattr(method, "__module__", "")).startswith("dbgsom_core"):
                assert inspect.getdoc(method), f"{name}.{public}"
