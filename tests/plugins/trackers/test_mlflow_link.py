"""The link that opens compared runs in MLflow."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from dbgsom_core.interfaces.trackers import Run
from dbgsom_core.runs.compare.compare import compare
from dbgsom_core.runs.compare.export import _identities
from dbgsom_plugins.trackers import mlflow_link
from dbgsom_plugins.trackers.mlflow import MLflow
from dbgsom_plugins.trackers.mlflow_link import compare_address
from dbgsom_plugins.trackers.run_folder import RunFolder


def named(address: str) -> tuple[list[str], list[str]]:
    query = parse_qs(address.partition("?")[2])
    return json.loads(query["runs"][0]), json.loads(query["experiments"][0])


def test_runs_of_a_local_store_are_compared_by_their_ids_there(
    uri: str,
    client: Any,
    make_run: Callable[..., Run],
    play: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number, seed in enumerate((1, 2)):
        run = make_run(f"20261124-10150{number}-a{number}")
        tracking = [{"name": "mlflow", "uri": uri}]
        run = replace(run, config={**run.config, "seed": seed, "tracking": tracking})
        play(run, RunFolder().observer(), MLflow(uri=uri).observer())
    comparison = compare("digits", by="test/accuracy", runs=run.folder.parent.parent)
    (link,) = comparison.links()
    command, address = link.splitlines()
    assert f"ui --backend-store-uri {uri}" in command
    assert address.startswith("then open http://127.0.0.1:5000/#/compare-runs?runs=")
    found = client.get_experiment_by_name("digits")
    there = {run.info.run_id for run in client.search_runs([found.experiment_id])}
    runs, experiments = named(address)
    assert set(runs) == there
    assert address.endswith("&workflowType=machine_learning")
    assert experiments == [found.experiment_id]
    monkeypatch.setattr(mlflow_link, "_MOST", 1)  # of more than so many the table of runs is shown
    (link,) = comparison.links()
    assert f"#/experiments/{found.experiment_id}/runs?" in link
    assert len(link.splitlines()[1]) < 150


def test_many_runs_are_named_by_the_sweep_that_all_of_them_are_of() -> None:
    runs: Any = [SimpleNamespace(experiment="e", id=f"{i}", parent="sweep") for i in range(9)]
    assert _identities(runs) == [("e", "sweep")]
    assert _identities(runs[:8]) == [("e", f"{i}") for i in range(8)]
    for parent in ("another", None):
        others = [*runs, SimpleNamespace(experiment="e", id="9", parent=parent)]
        assert len(_identities(others)) == 10


def test_there_is_no_link_where_mlflow_lacks_the_runs(uri: str, tmp_path: Path) -> None:
    assert compare_address(uri, ["digits"], ["a", "b"]) is None
    assert compare_address(f"sqlite:///{tmp_path}/none.db", ["digits"], ["a", "b"]) is None
    assert not (tmp_path / "none.db").exists()
    assert compare_address("databricks", ["digits"], ["a", "b"]) is None
    assert compare_address("http://127.0.0.1:9", ["digits"], ["a", "b"]) is None


class Server(BaseHTTPRequestHandler):
    """What MLflow's REST interface answers to the two calls."""

    def do_GET(self) -> None:
        name = parse_qs(self.path.partition("?")[2])["experiment_name"][0]
        tags = [{"key": "mlflow.sharedViewState.dbgsom-b", "value": "{}"}]
        self._answer({"experiment": {"experiment_id": f"id of {name}", "tags": tags}})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Authorization"] == "Bearer word"
        runs = [
            {
                "info": {"run_id": f"run of {one}", "experiment_id": asked["experiment_ids"][0]},
                "data": {"tags": [{"key": "dbgsom.run_id", "value": one}]},
            }
            for one in "abc"
        ]
        self._answer({"runs": runs})

    def _answer(self, content: Any) -> None:
        text = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_is_asked_through_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "word")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with served() as address:
        tracker = MLflow(uri=address, experiment="mine")
        told = tracker.how_to_compare([("digits", "c"), ("digits", "a"), ("digits", "gone")])
        ways = [tracker.how_to_compare([("digits", one)]) for one in ("a", "b", "gone")]
    assert told is not None
    assert address in told
    table = f"{address}/#/experiments/id of mine/runs?workflowType=machine_learning"
    found = [None if one is None else one.removeprefix("open ").strip("'") for one in ways]
    assert found == [table, f"{table}&viewStateShareKey=dbgsom-b", None]
    assert named(unquote(told).replace("'", "")) == (["run of c", "run of a"], ["id of mine"])
