"""A tracker of a third party: a folder with a file of JSON lines as its store."""

import json
import shutil
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from dbgsom_core.api import DataError, Page, TrackerComponent, hookimpl

DBGSOM_API_VERSION = 1


class Observer:
    """Keeps a run when it has finished, and tries to change what it is given."""

    def __init__(self, tracker):
        self._tracker = tracker

    def dbgsom_run_finished(self, run, result):
        self._tracker.mirror(run.folder)
        result.measures.clear()
        result.model.estimator.weights_[:] = 0


class Lines(TrackerComponent):
    """Keeps runs as lines of JSON, and their models beside them."""

    addresses: ClassVar[tuple[str, ...]] = ("lines:/",)
    store_field: ClassVar[str] = "path"
    path: str = Field(default="lines", min_length=1, description="the folder")

    def observer(self):
        return Observer(self)

    def mirror(self, folder):
        store, model = Path(self.path), Path(self.path) / f"{folder.name}.npz"
        if model.exists():
            return False
        store.mkdir(exist_ok=True)
        shutil.copy(folder / "model.npz", model)
        with (store / "runs.jsonl").open("a") as lines:
            measured = json.loads((folder / "measures.json").read_text())
            lines.write(json.dumps({"id": folder.name, "measures": measured}) + "\n")
        return True

    def page(self, experiment, folder, port):
        words = ["python", "-m", "http.server", "--directory", self.path, str(port)]
        return Page(f"http://127.0.0.1:{port}/{folder.name if folder else ''}", words)

    def fetch_model(self, address, folder):
        model = Path(self.path) / f"{address.removeprefix('lines:/')}.npz"
        if not model.exists():
            raise DataError(f"{address} is not in {self.path}")
        return Path(shutil.copy(model, folder))


@hookimpl
def dbgsom_trackers():
    return {"lines": Lines}
