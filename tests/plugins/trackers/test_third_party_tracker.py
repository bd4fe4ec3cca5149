"""A tracker of a third party can do what the built-in one can."""

import json
from pathlib import Path

import pytest

from tests.plugins.conftest import Site

RUN = """
experiment: fruit
dataset: iris
model: {estimator: classifier, epochs: 3}
measures: [accuracy]
figures: []
tracking: lines
"""
KERNEL = """
import numpy as np
from dbgsom_core.api import KernelComponent, hookimpl
DBGSOM_API_VERSION = 1
class Flat(KernelComponent):
    "Equal weights."
    def weight(self, hops, width):
        return np.ones(len(hops))
@hookimpl
def dbgsom_kernels():
    return {"flat": Flat}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "site", tmp_path / "work")
    site.write("dbgsom-lines", Path(__file__).with_name("lines_tracker.py").read_text())
    (site.work / "run.yaml").write_text(RUN)
    return site


def test_it_serves_sync_ui_and_models_by_address_and_changes_no_result(site: Site) -> None:
    said = site.dbgsom("run", "run.yaml").stdout
    [folder] = (site.work / "runs" / "fruit").iterdir()
    store = site.work / "lines"
    kept = json.loads((store / "runs.jsonl").read_text())
    accuracy = kept["measures"]["train/accuracy"]
    assert (kept["id"], accuracy > 0.8) == (folder.name, True)
    assert f"accuracy  greater   {accuracy:.4g}" in said  # which the tracker tried to clear

    assert "0 run(s) brought up to date; 1 were already" in site.dbgsom("sync").stdout
    (store / f"{folder.name}.npz").unlink()
    assert site.dbgsom("sync").stdout == "1 run(s) brought up to date\n"

    page = site.dbgsom("ui", str(folder), "--print", "--port", "5987").stdout
    assert f"http.server --directory lines 5987\nopen http://127.0.0.1:5987/{folder.name}" in page

    (site.work / "new.csv").write_text("a,b,c,d\n5.1,3.5,1.4,0.2\n")
    address = f"lines:/{folder.name}"
    own = site.dbgsom("predict", str(folder), "new.csv", "--columns", "label").stdout
    assert site.dbgsom("predict", address, "new.csv", "--columns", "label").stdout == own
    store.rename(site.work / "moved")
    moved = site.dbgsom("predict", address, "new.csv", "--columns", "label", "--store", "moved")
    assert moved.stdout == own
    assert "is not in lines" in site.dbgsom("predict", address, "new.csv", code=2).stderr


def test_a_run_whose_plugin_is_gone_is_synced(site: Site) -> None:
    site.write("dbgsom-flat", KERNEL)
    site.dbgsom("run", "run.yaml", "--set", "model.kernel=flat")
    (site.folder / "dbgsom_flat.py").unlink()
    (site.folder / "dbgsom_flat-1.0.dist-info" / "entry_points.txt").unlink()
    [model] = (site.work / "lines").glob("*.npz")
    model.unlink()
    assert site.dbgsom("sync").stdout == "1 run(s) brought up to date\n"
