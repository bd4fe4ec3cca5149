"""Checks of trackers: their observers, driven through runs that finish and runs that do not."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dbgsom_core import hookspecs
from dbgsom_core.errors import DbgsomError
from dbgsom_core.hookspecs import LIFECYCLE_HOOKS
from dbgsom_core.interfaces.guard import is_own
from dbgsom_core.interfaces.run_log import ARTIFACTS, SCALARS
from dbgsom_core.interfaces.trackers import Run, RunResult, TrackerAbilities
from dbgsom_core.plugins.callbacks import Callbacks, call
from dbgsom_core.testing import material
from dbgsom_core.testing.kit import Subject, check


@check("tracker")
def check_observer(component: Any, subject: Subject) -> None:
    """Each observer is a fresh object with lifecycle hooks that take the arguments they get."""
    first, second = component.observer(), component.observer()
    assert first is not second, "observer() must return a fresh object"
    heard = [hook for hook in LIFECYCLE_HOOKS if hasattr(first, hook)]
    assert heard, f"the observer has none of {', '.join(LIFECYCLE_HOOKS)}"
    for hook in heard:
        known = set(inspect.signature(getattr(hookspecs, hook)).parameters)
        for name, argument in inspect.signature(getattr(first, hook)).parameters.items():
            named = argument.kind not in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL)
            assert not named or name in known, f"{hook} has an unknown argument '{name}'"
    odd = [
        name for name in dir(first) if name.startswith("dbgsom_") and name not in LIFECYCLE_HOOKS
    ]
    assert not odd, f"unknown hooks: {', '.join(odd)}"


@check("tracker")
def check_finished_run(component: Any, subject: Subject) -> None:
    """Its observer hears of a whole run, and of a second one, without raising."""
    with _workshop() as folder:
        for name in ("first", "second"):
            run, observer, tell = _started(component, folder / name)
            _train(run, tell, 3)
            tell("dbgsom_run_finished", run=run, result=_result())
            call(observer, "close", {})


@check("tracker")
def check_failed_run(component: Any, subject: Subject) -> None:
    """It hears of runs that fail or are interrupted, whenever that is, without raising."""
    with _workshop() as folder:
        errors = (RuntimeError("conformance"), KeyboardInterrupt(), SystemExit(1))
        for number, error in enumerate(errors):
            run, observer, tell = _started(component, folder / str(number))
            _train(run, tell, number)
            tell("dbgsom_run_failed", run=run, error=error)
            call(observer, "close", {})


@check("tracker", applies=lambda component, subject: not is_own(component))
def check_logged_through_the_run(component: Any, subject: Subject) -> None:
    """What it adds to a run folder goes through the run, which a resumed run repeats."""
    with _workshop() as folder:
        place = folder / "first"
        observers = []
        for _ in range(2):  # the second time as a resumed run would be told
            run, observer, tell = _started(component, place)
            observers.append(observer)
            _train(run, tell, 3)
        tell("dbgsom_run_finished", run=run, result=_result())
        for observer in observers:
            call(observer, "close", {})
        own = [one.name for one in place.iterdir() if one.name not in (SCALARS, ARTIFACTS)]
        told = "use run.log_scalar(name, value, step) and run.log_artifact(name, content)"
        assert not own, f"it writes {', '.join(sorted(own))} into the run folder: {told}"


@check("tracker", applies=lambda component, subject: _can(component, "how_to_open"))
def check_how_to_open(component: Any, subject: Subject) -> None:
    """It says in one line how to look at the runs."""
    told = component.how_to_open()
    assert isinstance(told, str) and told.strip(), f"how_to_open gives {told!r}"


@check("tracker", applies=lambda component, subject: _can(component, "reachable"))
def check_reachable(component: Any, subject: Subject) -> None:
    """It says in a few words how it is, or why it cannot be used."""
    with suppress(DbgsomError):
        told = component.reachable()
        assert isinstance(told, str) and told.strip(), f"reachable gives {told!r}"


def _can(component: Any, method: str) -> bool:
    return getattr(TrackerAbilities.of(component), method) is not None


@contextmanager
def _workshop() -> Iterator[Path]:
    # Trackers write into the working directory.
    before = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def _started(component: Any, folder: Path) -> tuple[Run, Any, Any]:
    # A run that has begun, the observer that was ready for it, and what tells it, without a net.
    folder.mkdir(exist_ok=True)
    run = Run(
        id=folder.name,
        name=folder.name,
        experiment="conformance",
        kind="run",
        folder=folder,
        config={"experiment": "conformance", "tracking": []},
        params={"growth": "fixed"},
        environment={"versions": {}},
        data={"name": "blobs", "samples": material.SAMPLES, "features": material.FEATURES},
        total_epochs=5,
    )
    observer = component.observer()
    call(observer, "prepare", {})
    tell = Callbacks([observer], required=observer).notify
    tell("dbgsom_run_started", run=run)
    return run, observer, tell


def _train(run: Run, tell: Any, epochs: int) -> None:
    trained = material.trained()
    for record in trained.history_[:epochs]:
        record.show(trained.som_map_)
        tell("dbgsom_epoch_finished", run=run, epoch=record)
        record.show(None)


def _result() -> RunResult:
    return RunResult(
        measures={"train/quantization_error": 0.5},
        history=material.trained().history_,
        example=material.data()[:3],
        notes=["conformance"],
    )
