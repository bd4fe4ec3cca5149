"""Run folders as runs leave them, for what reads them back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dbgsom_core.experiments.trackers import FoldMeasures
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare import compare_runs
from dbgsom_core.runs.describe import flat_params
from dbgsom_core.runs.folder import (
    RunFiles,
    StoredRun,
    read_run,
)

STARTED = "2026-11-24T10:15:{:02d}.{:03d}+00:00"


def _store(
    root,
    number,
    measures,
    *,
    experiment="e",
    seed=1,
    data="iris",
    model=None,
    split=None,
    folds=(),
    parent=None,
    kind="run",
    status="finished",
    config=None,
    estimator="classifier",
    baseline=None,
    params=None,
):
    """Write a run folder; ``folds`` are values of test/accuracy, or (rows, value) pairs."""
    files = RunFiles(root / experiment / f"run-{number:04d}")
    started = STARTED.format(number // 1000 % 60, number % 1000)
    facts = {"name": data, "samples": 150, "features": 4, "digest": data * 8}
    facts |= {} if baseline is None else {"baseline": baseline}
    if size := (split or {}).get("test_size"):
        test = round(size * 150) if isinstance(size, float) else size
        facts["parts"] = {"train": 150 - test, "test": test}
    described = {
        "experiment": experiment,
        "dataset": {"name": data},
        "prepare": [],
        "split": split,
        "model": {"estimator": estimator, **(model or {})},
        "seed": seed,
        "tracking": [],
    }
    described |= config or {}
    stored = {
        "id": files.folder.name,
        "name": f"name of {number}",
        "experiment": experiment,
        "kind": kind,
        "parent": parent,
        "status": status,
        "started": started,
        "ended": started,
        "params": flat_params(described) | (params or {}),
        "data": {} if kind == "sweep" else facts,
    }
    StoredRun(**stored, files=files).write()
    files.write_config(described)
    named = [one if isinstance(one, tuple) else (f"{i}", one) for i, one in enumerate(folds)]
    several = [
        FoldMeasures(i + 1, 120, 30, rows, {"test/accuracy": value})
        for i, (rows, value) in enumerate(named)
    ]
    files.write_measures(measures, several)
    return files


def _results(root):
    """Return what the run folders below ``root`` hold, by name, without times, ids and places."""
    results = {}
    for path in root.glob("*/run.json"):
        stored = read_run(path.parent)
        assert stored.name not in results, "there are two"
        files, model = RunFiles(path.parent), {}
        if files.model.exists():
            with np.load(files.model) as arrays:
                model = {name: arrays[name].tobytes() for name in arrays.files}
        hidden = {"header", "digest"}  # which know how long it took
        model = {name: array for name, array in model.items() if name not in hidden}
        variants = [
            (variant.name, variant.varies, variant.measures, variant.spread)
            for ranking in stored.rankings
            for variant in ranking.variants
        ]
        epochs = [(line.epoch, line.metrics) for line in stored.epochs()]
        children = [(one["name"], one["measures"], one["params"]) for one in stored.children]
        left = sorted(file.name for file in path.parent.iterdir() if file.name != "figures")
        results[stored.name] = (
            stored.status, stored.varies, stored.params, stored.measures, epochs, children,
            variants, model, left,
        )  # fmt: skip
    return results


@pytest.fixture(scope="session")
def results():
    return _results


@dataclass(frozen=True)
class Store:
    """A folder of runs; calling it writes one."""

    root: Path

    def __call__(self, number, measures, **options):
        return _store(self.root, number, measures, **options)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.fixture(scope="module")
def registry():
    return Registry.discover(own_only=True)


@pytest.fixture
def found(store, registry):
    def call(*targets, **options):
        return compare_runs(targets, store.root, registry, **options)

    return call
