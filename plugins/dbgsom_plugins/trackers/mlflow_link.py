"""The address under which MLflow shows runs beside each other, found without importing MLflow.

A store in SQLite is asked directly, which takes milliseconds; a server through its REST interface.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dbgsom_plugins.trackers.mlflow_address import sqlite_file

_MOST = 100  # runs that its page can show beside each other
_SECONDS = 2.0
_ID_TAG = "dbgsom.run_id"
_BY_ID = """
select tags.value, runs.run_uuid, runs.experiment_id
from tags join runs on runs.run_uuid = tags.run_uuid
where tags.key = ? and runs.lifecycle_stage = 'active' and tags.value in ({})
"""


def compare_address(uri: str, experiments: Iterable[str], ids: Sequence[str]) -> str | None:
    """Return what follows the address of MLflow's pages to compare runs; None: it has not two.

    Parameters
    ----------
    uri : str
        The tracking store.
    experiments : iterable of str
        Names of MLflow experiments that hold the runs.
    ids : sequence of str
        Ids of run folders; of more than 100 the first.
    """
    found: Mapping[str, tuple[str, str]] = {}
    with contextlib.suppress(Exception):  # a link that cannot be had is no trouble
        database = sqlite_file(uri)
        if database is not None:
            found = _in_sqlite(database, ids)
        elif uri.startswith(("http://", "https://")):
            found = _on_server(uri.rstrip("/"), set(experiments))
    shown = [found[one] for one in ids if one in found][:_MOST]
    if len(shown) < 2:
        return None
    runs = json.dumps([run for run, _ in shown], separators=(",", ":"))
    groups = json.dumps(sorted({group for _, group in shown}), separators=(",", ":"))
    return f"#/compare-runs?runs={quote(runs)}&experiments={quote(groups)}"


def _in_sqlite(path: Path, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    wanted, found = list(ids), {}
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_SECONDS)) as store:
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            for one, run, group in store.execute(_BY_ID.format(marks), (_ID_TAG, *part)):
                found[str(one)] = (str(run), str(group))
    return found


def _on_server(uri: str, names: set[str]) -> dict[str, tuple[str, str]]:
    import requests

    user, password = (
        os.environ.get(f"MLFLOW_TRACKING_{word}") for word in ("USERNAME", "PASSWORD")
    )
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    with requests.Session() as session:
        if user and password:
            session.auth = (user, password)
        elif token:
            session.headers["Authorization"] = f"Bearer {token}"

        def call(method: str, path: str, **content: Any) -> Any:
            address = f"{uri}/api/2.0/mlflow/{path}"
            answer = session.request(method, address, timeout=_SECONDS, **content)
            answer.raise_for_status()
            return answer.json()

        groups = [
            call("GET", "experiments/get-by-name", params={"experiment_name": name})
            for name in sorted(names)
        ]
        wanted: dict[str, Any] = {
            "experiment_ids": [one["experiment"]["experiment_id"] for one in groups],
            "max_results": 1000,
        }
        runs = call("POST", "runs/search", json=wanted).get("runs", [])
    found = {}
    for run in runs:
        info = run["info"]
        for tag in run["data"].get("tags", ()):
            if tag["key"] == _ID_TAG:
                found[tag["value"]] = (info["run_id"], info["experiment_id"])
    return found
