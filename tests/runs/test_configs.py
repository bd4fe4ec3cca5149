"""Every configuration that is shipped runs, in reduced size."""

import contextlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import dbgsom_core
from dbgsom_core.config import is_sweep, load_sweep
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.folder import read_run
from dbgsom_core.runs.session import make_callbacks
from dbgsom_core.runs.sweep import run_sweep

pytestmark = pytest.mark.one_version

CONFIGS = Path(__file__).parents[2] / "configs"
RUNS = [path for path in sorted(CONFIGS.glob("*.yaml")) if not is_sweep(path)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs a configuration in reduced size, once."""

    @cache
    def run(name):
        small = {"model.epochs": 3, "tracking": [], "figures": ["label_map"]}
        if name == "dask.yaml":
            pytest.importorskip("distributed")
            small["engine.workers"] = None  # processes are slow to start
        return dbgsom_core.run(CONFIGS / name, overrides=small)

    with contextlib.chdir(tmp_path_factory.mktemp("runs")):
        X = np.random.default_rng(0).random((9000, 6), dtype=np.float32)
        np.save("big.npy", X)  # what big.yaml is about
        yield run


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_it_runs_and_its_comments_are_there(path, run):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    found = run(path.name)
    assert read_run(found.folder).status == "finished"
    assert found.measures
    assert [figure.name for figure in found.figures] == ["label_map.png"]


@pytest.mark.parametrize(
    ("name", "changes", "runs"),
    [
        ("sweep-metrics", {"repeats": {"seeds": 2}, "grid": {"model.metric": ["cosine"]}}, 4),
        ("optimize", {"optimize": {"trials": 2}}, 2),
    ],
)
def test_sweeps_run_in_reduced_size(name, changes, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "optimize":
        pytest.importorskip("optuna")
    small = {
        "extends": str(CONFIGS / f"{name}.yaml"),
        "model": {"epochs": 2},
        "figures": [],
        "tracking": None,
        "sweep": changes,
    }
    Path("small.yaml").write_text(json.dumps(small))
    registry = get_registry()
    sweep = load_sweep("small.yaml", registry=registry)
    done = run_sweep(sweep, make_callbacks((), registry), registry)
    assert len(done.children) == runs == sweep.runs
    assert not done.failed
    assert done.rankings
