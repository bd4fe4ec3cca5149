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
from dbgsom_core.interfaces.trackers import ARTIFACTS, SCALARS, Run, RunResult, TrackerAbilities
from dbgsom_core.plugins.callbacks import Callbacks, call
from dbgsom_core.testing import material
from dbgsom_core.testing.kit import Subject, ask, check


@check("tracker")
def check_observer(component: Any, subject: Subject) -> None:
    """Each observer is a fresh object with lifecycle hooks that take the arguments they get."""
    first, second = (ask("tracker", component, "observer") for _ in range(2))
    assert first is not second, "observer() must return a fresh object"
    hooks = [name for name in dir(first) if name.startswith("dbgsom_")]
    assert hooks, f"the observer has none of {', '.join(LIFECYCLE_HOOKS)}"
    for hook in hooks:
        assert hook in LIFECYCLE_HOOKS, f"unknown hook: {hook}"
        known = set(inspect.signature(getattr(hookspecs, hook)).parameters)
        for name, argument in inspect.signature(getattr(first, hook)).parameters.items():
            stars = argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL)
            assert stars or name in known, f"{hook} has an unknown argument '{name}'"


@check("tracker")
def check_runs(component: Any, subject: Subject) -> None:
    """Its observer hears of runs that finish, fail or are interrupted without raising; what it adds
    to a run folder goes through the run, which a resumed run repeats.
    """
    history, example = material.trained().history_, material.data()[:3]
    result = RunResult({"train/quantization_error": 0.5}, history, example=example, notes=["x"])
    with _working_folder() as folder:
        for name in ("first", "second", "second"):  # the last one as where a run is resumed
            _drive(component, folder / name, 3, "dbgsom_run_finished", result=result)
        written = {one.name for one in (folder / "second").iterdir()} - {SCALARS, ARTIFACTS}
        cure = "use run.log_scalar(name, value, step) and run.log_artifact(name, content)"
        own = is_own(component)
        assert own or not written, f"it writes {sorted(written)} into the run folder: {cure}"
        errors = (RuntimeError("conformance"), KeyboardInterrupt(), SystemExit(1))
        for number, error in enumerate(errors):
            _drive(component, folder / str(number), number, "dbgsom_run_failed", error=error)


@check("tracker")
def check_how_to_open(component: Any, subject: Subject) -> None:
    """It says in a few words how to look at the runs, and how it is or why it cannot be used."""
    for method in ("how_to_open", "reachable"):
        if getattr(TrackerAbilities.of(component), method) is not None:
            with suppress(DbgsomError):  # it may be out of reach
                text = getattr(component, method)()
                plain = isinstance(text, str) and text.strip()
                assert plain, f"{method} gives {text!r}"


@contextmanager
def _working_folder() -> Iterator[Path]:
    # Trackers write into the working directory.
    before = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def _drive(component: Any, folder: Path, epochs: int, end: str, **event: Any) -> None:
    # A run, without a net: what the observer raises is raised.
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
    notify = Callbacks([observer], required=observer).notify
    notify("dbgsom_run_started", run=run)
    trained = material.trained()
    for record in trained.history_[:epochs]:
        record.show(trained.som_map_)
        notify("dbgsom_epoch_finished", run=run, epoch=record)
        record.show(None)
    notify(end, run=run, **event)
    call(observer, "close", {})
