"""A figure may be a page: the run folder keeps it, the report links it, MLflow holds it."""

import re
import shutil

import pytest

from dbgsom_core.api import FigureComponent, Html, hookimpl
from dbgsom_core.config import parse_experiment
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.folder import read_run
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.testing import checks_for
from dbgsom_plugins.trackers.mlflow.store import quiet

pytestmark = pytest.mark.one_version

DBGSOM_API_VERSION = 1


class Table(FigureComponent):
    """The hits of each neuron as a page, with a letter that is not ASCII."""

    def draw(self, view):
        rows = "".join(f"<tr><td>{hits}</td></tr>" for hits in view.evaluation.hits)
        return Html(f"<!doctype html><html><h1>Größe</h1><table>{rows}</table></html>")


class Fragment(FigureComponent):
    """No whole page."""

    def draw(self, view):
        return Html("<p>hello</p>")


class Pages:
    """A plugin."""

    DBGSOM_API_VERSION = 1

    @hookimpl
    def dbgsom_figures(self):
        return {"table": Table}


def test_a_page_is_a_file_of_the_run_folder_the_report_and_mlflow(tmp_path, empty_store):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    registry = Registry.discover(own_only=True)
    registry.register(Pages(), "pages", "dbgsom-pages", "1")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    config = {
        "experiment": "pages",
        "dataset": "iris",
        "model": {"epochs": 5, "max_neurons": 9},
        "figures": ["hit_map", "table"],
        "tracking": [
            {"name": "run_folder", "path": str(tmp_path / "runs")},
            {"name": "mlflow", "uri": uri},
        ],
    }
    experiment = parse_experiment(config, registry)
    outcome = run_experiment(experiment, make_callbacks(experiment.tracking, registry), registry)
    files = read_run(outcome.run.folder).files
    assert [path.name for path in files.figures()] == ["hit_map.png", "table.html"]
    text = files.figure("table", "html").read_text(encoding="utf-8")
    assert "Größe" in text
    assert sum(map(int, re.findall(r"<td>(\d+)</td>", text))) == 150
    report = files.report.read_text(encoding="utf-8")
    assert "![hit map](figures/hit_map.png)" in report
    assert "\n[table](figures/table.html)" in report
    with quiet():
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        (run,) = client.search_runs([client.get_experiment_by_name("pages").experiment_id])
        held = {one.path for one in client.list_artifacts(run.info.run_id, "figures")}
    assert held == {"figures/hit_map.png", "figures/table.html"}


def test_the_kit_takes_whole_pages_alone():
    (check,) = [check for check in checks_for(Table()) if check.name == "draw"]
    check(Table())
    with pytest.raises(AssertionError, match="whole page"):
        check(Fragment())
