"""Which run, and which model, is meant: by a folder, an id, a file, or a tracker's address."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from dbgsom_core.config import fill_text
from dbgsom_core.errors import DataError
from dbgsom_core.estimators import som  # noqa: F401 - files hold its classes
from dbgsom_core.estimators.model_file import FittedModel, load
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import build_tracker
from dbgsom_core.runs.data import digest, load_data
from dbgsom_core.runs.find import find_run
from dbgsom_core.runs.folder import StoredRun, is_run, read_run
from dbgsom_core.runs.resume import load_stored
from dbgsom_core.tables import CsvDialect
from dbgsom_core.tables.safe_files import exists


@dataclass(frozen=True)
class FoundModel:
    """A loaded model, and where it is from."""

    model: FittedModel
    where: str  # what messages call it
    run: StoredRun | None = None  # that left it, where that is known
    notes: tuple[str, ...] = ()  # what a reader should know of how it was found
    path: Path | None = None  # of the model file, where there is one on this machine

    @property
    def feature_names(self) -> list[str] | None:
        """What the run's data calls its features, where the model does not know it."""
        found = None if self.run is None else self.run.data.get("feature_names")
        return [str(one) for one in found] if isinstance(found, list) else None

    @property
    def dialect(self) -> CsvDialect:
        """How the CSV file was written that the run learnt from, where it was one.

        Its marks are not among that: the model's columns know them.
        """
        dataset = None if self.run is None else self.run.config.get("dataset")
        known = dataset if isinstance(dataset, dict) else {}
        encoding, delimiter = known.get("encoding"), known.get("delimiter")
        return CsvDialect(
            delimiter=delimiter if isinstance(delimiter, str) and len(delimiter) == 1 else None,
            encoding=encoding if isinstance(encoding, str) else None,
        )


def find_model(name: str, root: Path, registry: Registry, uri: str | None = None) -> FoundModel:
    """Load the model that a name means: a file, a run, an experiment, or a tracker's address."""
    for tracker, traits in registry.trackers().items():
        if name.startswith(traits.addresses):
            with tempfile.TemporaryDirectory() as folder:
                store = {traits.store_field: uri} if uri and traits.store_field else {}
                built = build_tracker(tracker, registry, **store)
                path = guarded("tracker", built, "fetch_model")(name, Path(folder))
                return FoundModel(model_of(Path(path)), name)
    path = Path(fill_text(name))
    if exists(path) and not path.is_dir():
        run = read_run(path.parent.absolute()) if is_run(path.parent) else None
        return FoundModel(model_of(path), str(path), run, path=path)
    run, notes = find_trained(name, root)
    path = run.files.model
    return FoundModel(model_of(path), f"run {run.id}", run, notes, path)


def training_data(run: StoredRun, registry: Registry) -> tuple[Data, bool]:
    """Return the data that a run learnt from, and whether it is as it was then."""
    _, experiments = load_stored(run, (), registry)
    with warnings.catch_warnings():  # the run itself has given them
        warnings.simplefilter("ignore")
        data = load_data(experiments[0])
    return data, run.data.get("digest") in (None, digest(data))


def find_trained(name: str, root: Path) -> tuple[StoredRun, tuple[str, ...]]:
    """Return the run with a model that a name means, of a sweep its best run, and notes."""
    run, notes = find_run(name, root, besides=" and no model file")
    if run.kind == "sweep":
        run, notes = _best_of(run, notes)
    if not exists(run.files.model):
        how = {"running": "it still goes on", "failed": "it failed", "killed": "it was killed"}
        why = run.damage or how.get(run.status, "its model.npz is not there")
        raise DataError(f"run {run.id} has left no model: {why}")
    return run, notes


def _best_of(sweep: StoredRun, notes: tuple[str, ...]) -> tuple[StoredRun, tuple[str, ...]]:
    best = sweep.best
    if best is None:
        raise DataError(f"{sweep.id} is a sweep without a best run: name one of its runs")
    run = read_run(sweep.files.folder.with_name(best))
    note = f"{run.id} is the best run of sweep {sweep.id} ({run.name})"
    return run, (*notes, note)


def model_of(path: Path) -> FittedModel:
    """Load a model file as a `FittedModel`, whatever was saved."""
    model = load(path)
    return model if isinstance(model, FittedModel) else FittedModel((), model)
