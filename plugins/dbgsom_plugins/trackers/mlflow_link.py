"""The addresses under which MLflow shows runs, found without importing MLflow.

A store in SQLite is asked directly, which takes milliseconds; a server through its REST interface.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dbgsom_plugins.trackers.mlflow_address import sqlite_file
from dbgsom_plugins.trackers.mlflow_view import MODE, OVERVIEW, VIEW_TAG, view_of

EXPERIMENTS = f"#/experiments?{MODE}"
_MOST = 8  # runs that an address names: more are a page long, and the table of runs has charts, too
_PAGE = 100  # runs that its page can show beside each other
_SECONDS = 2.0
_ID_TAG = "dbgsom.run_id"
_BY_ID = """
select tags.value, runs.run_uuid, runs.experiment_id
from tags join runs on runs.run_uuid = tags.run_uuid
where tags.key = ? and runs.lifecycle_stage = 'active' and tags.value in ({})
"""
_VIEWS = "select experiment_id, key from experiment_tags where substr(key, 1, 23) = ?"


@dataclass(frozen=True)
class Place:
    """Where MLflow has a run: its id there, its experiment's, and keys of that one's tags."""

    run: str
    experiment: str
    tags: frozenset[str] = frozenset()


def run_address(uri: str, experiment: str, identifier: str) -> str | None:
    """Return what follows the address of MLflow's pages to show a run in the table of runs.

    Parameters
    ----------
    uri : str
        The tracking store.
    experiment : str
        Name of the MLflow experiment that holds the run.
    identifier : str
        Id of a run folder, of a sweep's too.

    Returns
    -------
    str or None
        None: MLflow does not have it.
    """
    place = _found(uri, [experiment], [identifier]).get(identifier)
    return None if place is None else table_route(place.experiment, place.tags, identifier)


def table_route(experiment: str, tags: Iterable[str], identifier: str | None = None) -> str:
    """Return the way to an experiment's table of runs, in the best view that its tags hold."""
    wanted = [OVERVIEW] if identifier is None else [view_of(identifier), OVERVIEW]
    kept = [one for one in wanted if f"{VIEW_TAG}{one}" in {*tags}]
    shown = f"&viewStateShareKey={kept[0]}" if kept else ""
    return f"#/experiments/{experiment}/runs?{MODE}{shown}"


def compare_address(uri: str, experiments: Iterable[str], ids: Sequence[str]) -> str | None:
    """Return what follows the address of MLflow's pages to compare runs; None: it has not two.

    Parameters
    ----------
    uri : str
        The tracking store.
    experiments : iterable of str
        Names of MLflow experiments that hold the runs.
    ids : sequence of str
        Ids of run folders; many of one experiment are shown in its table of runs.
    """
    found = _found(uri, experiments, ids)
    shown = [found[one] for one in ids if one in found]
    if len(shown) < 2:
        return None
    if len(shown) > _MOST and len({one.experiment for one in shown}) == 1:
        return table_route(shown[0].experiment, shown[0].tags)
    shown = shown[:_PAGE]
    runs = json.dumps([one.run for one in shown], separators=(",", ":"))
    groups = json.dumps(sorted({one.experiment for one in shown}), separators=(",", ":"))
    return f"#/compare-runs?runs={quote(runs)}&experiments={quote(groups)}&{MODE}"


def _found(uri: str, experiments: Iterable[str], ids: Sequence[str]) -> Mapping[str, Place]:
    with contextlib.suppress(Exception):  # a link that cannot be had is no trouble
        database = sqlite_file(uri)
        if database is not None:
            return _in_sqlite(database, ids)
        if uri.startswith(("http://", "https://")):
            return _on_server(uri.rstrip("/"), set(experiments), ids)
    return {}


def _in_sqlite(path: Path, ids: Sequence[str]) -> dict[str, Place]:
    wanted, found = list(ids), {}
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_SECONDS)) as store:
        tags: dict[str, set[str]] = {}
        for group, key in store.execute(_VIEWS, (VIEW_TAG,)):
            tags.setdefault(str(group), set()).add(str(key))
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            for one, run, group in store.execute(_BY_ID.format(marks), (_ID_TAG, *part)):
                kept = frozenset(tags.get(str(group), ()))
                found[str(one)] = Place(str(run), str(group), kept)
    return found


def _on_server(uri: str, names: set[str], ids: Sequence[str]) -> dict[str, Place]:
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
            call("GET", "experiments/get-by-name", params={"experiment_name": name})["experiment"]
            for name in sorted(names)
        ]
        tags = {
            one["experiment_id"]: frozenset(tag["key"] for tag in one.get("tags", ()))
            for one in groups
        }
        wanted: dict[str, Any] = {"experiment_ids": [*tags], "max_results": 1000}
        if len(ids) == 1:
            wanted["filter"] = f"tags.`{_ID_TAG}` = '{ids[0]}'"
        runs = call("POST", "runs/search", json=wanted).get("runs", [])
    found = {}
    for run in runs:
        info = run["info"]
        for tag in run["data"].get("tags", ()):
            if tag["key"] == _ID_TAG:
                group = info["experiment_id"]
                found[tag["value"]] = Place(info["run_id"], group, tags.get(group, frozenset()))
    return found
