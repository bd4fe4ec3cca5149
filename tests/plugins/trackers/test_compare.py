from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from dbgsom_core.api import Component
from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare import compare_runs
from dbgsom_plugins.trackers.run_folder import RunFolder


class Accuracy(Component):
    greater_is_better: ClassVar[bool] = True

    def compute(self, evaluation: Any) -> float:
        return 0.0


class Error(Accuracy):
    greater_is_better: ClassVar[bool] = False


@pytest.fixture
def registry() -> Registry:
    from dbgsom_core.api import hookimpl

    def dbgsom_measures() -> dict[str, Any]:
        return {"accuracy": Accuracy, "error": Error, "error_8": Accuracy}

    registry = Registry()
    plugin = SimpleNamespace(DBGSOM_API_VERSION=1, dbgsom_measures=hookimpl(dbgsom_measures))
    registry.register(plugin, "measures")
    return registry


@pytest.fixture
def store(make_run: Callable[..., Run]) -> Callable[..., Path]:
    def write(number: int, measures: dict[str, float], factor: float = 0.5, **changes: Any) -> Path:
        run = make_run(f"2026-{number}", **changes)
        run = replace(
            run,
            params={**run.params, "spreading_factor": factor},
            config={
                "experiment": "digits",
                "model": {"spreading_factor": factor, "growth": {"number": number % 2}},
                "tracking": {"uri": f"sqlite:///{number}.db"},
            },
        )
        observer = RunFolder().observer()
        observer.dbgsom_run_started(run)
        observer.dbgsom_run_finished(run, RunResult(measures=measures))
        return run.folder.parent.parent

    return write


def test_the_best_run_comes_first_in_the_measures_own_direction(
    store: Callable[..., Path], registry: Registry
) -> None:
    store(1, {"test/accuracy": 0.9, "test/error": 0.3}, 0.1)
    store(2, {"test/accuracy": 0.8, "test/error": 0.1}, 0.2)
    root = store(3, {"test/accuracy": float("nan"), "test/error": 0.2}, 0.3)
    by_accuracy = compare_runs(root, "digits", "accuracy", registry)
    assert [run.id for run in by_accuracy.runs] == ["2026-1", "2026-2", "2026-3"]
    assert by_accuracy.by == "test/accuracy"
    by_error = compare_runs(root, "digits", "test/error", registry)
    assert [run.id for run in by_error.runs] == ["2026-2", "2026-3", "2026-1"]
    assert not by_error.greater_is_better


def test_columns_are_what_differs_each_once(store: Callable[..., Path], registry: Registry) -> None:
    store(1, {"test/accuracy": 0.9}, 0.1)
    store(2, {"test/accuracy": 0.9}, 0.2)
    root = store(3, {"test/accuracy": 0.8}, 0.3)
    found = compare_runs(root, "digits", "accuracy", registry)
    assert found.varying == ["spreading_factor", "model.growth.number"]
    assert found.runs[0].varying == {"spreading_factor": 0.1, "model.growth.number": 1}


def test_a_bare_name_falls_back_to_the_training_part(
    store: Callable[..., Path], registry: Registry
) -> None:
    root = store(1, {"train/accuracy": 0.9})
    assert compare_runs(root, "digits", "accuracy", registry).by == "train/accuracy"


def test_the_longest_registered_name_decides_the_direction(
    store: Callable[..., Path], registry: Registry
) -> None:
    root = store(1, {"test/error_8": 1.0, "test/error_k5": 1.0})
    assert compare_runs(root, "digits", "error_8", registry).greater_is_better
    assert not compare_runs(root, "digits", "error_k5", registry).greater_is_better


def test_sweep_parents_and_unfinished_runs_are_no_rows(
    store: Callable[..., Path], registry: Registry, make_run: Callable[..., Run]
) -> None:
    store(1, {"test/accuracy": 0.9})
    root = store(2, {"best/test/accuracy": 0.9}, kind="sweep")
    RunFolder().observer().dbgsom_run_started(make_run("2026-3"))
    assert [run.id for run in compare_runs(root, "digits", "accuracy", registry).runs] == ["2026-1"]


def test_an_unknown_experiment_is_answered_with_the_known_ones(
    store: Callable[..., Path], registry: Registry
) -> None:
    root = store(1, {"test/accuracy": 0.9})
    with pytest.raises(DataError, match=r"'digit'.*did you mean 'digits'.*known: digits"):
        compare_runs(root, "digit", "accuracy", registry)


def test_an_unknown_measure_is_answered_with_the_available_ones(
    store: Callable[..., Path], registry: Registry
) -> None:
    root = store(1, {"test/accuracy": 0.9})
    with pytest.raises(DataError, match=r"did you mean 'accuracy'.*available: test/accuracy"):
        compare_runs(root, "digits", "acuracy", registry)


def test_without_finished_runs_the_states_are_told(
    make_run: Callable[..., Run], registry: Registry
) -> None:
    run = make_run()
    RunFolder().observer().dbgsom_run_started(run)
    with pytest.raises(DataError, match=r"no finished run.*running"):
        compare_runs(run.folder.parent.parent, "digits", "accuracy", registry)


def test_an_empty_root_names_the_cure(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(DataError, match="dbgsom run"):
        compare_runs(tmp_path, "digits", "accuracy", registry)
