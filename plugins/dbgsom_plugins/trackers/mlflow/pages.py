"""What MLflow's pages show: addresses, names of runs, descriptions, saved views with charts.

All that relies on what MLflow does not document stands here: the addresses of its pages, and the
tags in which an experiment keeps views. Nothing here imports MLflow.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.text import as_markdown
from dbgsom_plugins.trackers.mlflow.store import LONGEST_TAG

_MODE = "workflowType=machine_learning"  # what MLflow's pages are about
EXPERIMENTS = f"#/experiments?{_MODE}"
RANK = "sweep/rank"  # metric of a run: which place its variant has on its data set
VIEW_TAG = "mlflow.sharedViewState."  # of an experiment: what its page's "Views" offers
OVERVIEW = "dbgsom"  # key of the view of all runs of an experiment
MODEL_VERSIONS = "mlflow.modelVersions"  # of a model: what its page says is registered of it
_MOST_COLUMNS = 8  # of parameters
_MOST_COMPARED = 8  # runs that an address names: the table of runs has charts, too
_USUAL_PARAMS = ("dataset", "metric", "kernel", "growth", "growth.spreading_factor")
_USUAL_MEASURES = ("accuracy", "r2", "quantization_error", "topographic_error")
_WORD = re.compile(r"(?!(?:null|true|false|none|auto|nan|inf)\b)[^\W\d]", re.IGNORECASE)


def route(experiment: str, tags: Mapping[str, str], note: Mapping[str, Any]) -> str:
    """Return the way to the run that a folder notes, or to its experiment's table of runs.

    The table is shown in the best of the views that are among the experiment's tags.
    """
    if note.get("run") and not note.get("view"):
        return f"#/experiments/{experiment}/runs/{note['run']}?{_MODE}"
    views = [view for view in (note.get("view"), OVERVIEW) if view and f"{VIEW_TAG}{view}" in tags]
    return _table_route(experiment, *views[:1])


def _table_route(experiment: str, view: str | None = None) -> str:
    shown = f"&viewStateShareKey={view}" if view else ""
    return f"#/experiments/{experiment}/runs?{_MODE}{shown}"


def compare_route(notes: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the way to runs beside each other, from what their folders note; None: there is none.

    A single run is shown in the table of its experiment, and so are many.
    """
    sent = [note for note in notes if note.get("run")]
    experiments = sorted({note["experiment"] for note in sent})
    if len(sent) == 1 == len(notes) or (len(sent) > _MOST_COMPARED and len(experiments) == 1):
        own = sent[0].get("view") if len(sent) == 1 else None
        return _table_route(experiments[0], own or sent[0].get("overview"))
    if len(sent) < 2:
        return None
    runs = json.dumps([note["run"] for note in sent[:100]], separators=(",", ":"))
    groups = json.dumps(experiments, separators=(",", ":"))
    return f"#/compare-runs?runs={quote(runs)}&experiments={quote(groups)}&{_MODE}"


def short_name(stored: StoredRun) -> str:
    """Return what a run is called in narrow columns: ``bubble · cosine · wine``.

    Of a sweep's child that is what it changes, words without their keys, numbers with them; data
    set and seed, which have columns of their own, are last. A name that somebody gave stays.
    """
    parts = [part.partition("=") for part in stored.name.split(", ")]
    if not {key for key, _, _ in parts} <= set(_endings(stored.varies)):
        return stored.name
    parts.sort(key=lambda part: (part[0] == "seed", part[0] == "dataset"))
    ends = [(key.rpartition(".")[2].replace("spreading_factor", "SF"), v) for key, _, v in parts]
    return " · ".join(value if _WORD.match(value) else f"{key} {value}" for key, value in ends)


def _endings(varies: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield what the name of a run may call a key that it changes: its last parts."""
    for key, value in varies.items():
        parts = f"{before}{key}".removesuffix(".name").split(".")
        yield from (".".join(parts[at:]) for at in range(len(parts)))
        if isinstance(value, Mapping):
            yield from _endings(value, f"{'.'.join(parts)}.")


def description(
    stored: StoredRun,
    experiment: str,
    run: str = "",
    *,
    model: str | None = None,
    parent: str | None = None,
    winners: Mapping[str, str] | None = None,
    trained: str = "",
) -> str:
    """Return the description that a run's page opens with, links first.

    ``experiment`` to ``parent`` are ids in MLflow: of the run, its model and its sweep; ``winners``
    are those of the runs that won a sweep, by data set. ``trained`` says how far it came where
    there is no journal.
    """
    own, files = f"#/experiments/{experiment}", stored.files
    routes = {"All variants": _table_route(experiment, view_of(stored))} if stored.rankings else {}
    pages = {"Report": files.page, "Explorer": files.figure("explorer", "html")}
    for name, path in pages.items():
        if path.exists():
            where = path.relative_to(files.folder).as_posix()
            routes[name] = f"{own}/runs/{run}/artifacts/{where}?{_MODE}"
    if model is not None:
        routes["Model"] = f"{own}/models/{model}?{_MODE}"
    if parent is not None:
        routes["Sweep"] = f"{own}/runs/{parent}?{_MODE}"
    for data, winner in list((winners or {}).items())[:_MOST_COLUMNS]:
        routes[f"Best on {as_markdown(data)}"] = f"{own}/runs/{winner}?{_MODE}"
    facts, epochs = stored.data, stored.epochs()
    blocks = [" · ".join(f"[{name}]({way})" for name, way in routes.items())]
    if {"name", "samples", "features"} <= set(facts):
        size = f"{facts['samples']} samples × {facts['features']} features"
        blocks.append(f"{as_markdown(facts['name'])}: {size}")
    if epochs:
        neurons = epochs[-1].metrics.get("epoch/neurons", 0)
        trained = f"{neurons:.0f} neurons after {epochs[-1].epoch} epochs"
    blocks += [trained, f"Ended early: {as_markdown(stored.error)}" if stored.error else ""]
    for ranking in stored.rankings:
        best, decides = ranking.best, ranking.measures[0]
        value = f"`{decides}` {best.measures.get(decides, float('nan')):.4g}"
        text = f"Best on {as_markdown(ranking.data)}: **{as_markdown(best.name)}**, with {value}."
        blocks.append(f"{text} {as_markdown(ranking.verdict)}".strip())
    return "\n\n".join(filter(None, blocks))[:LONGEST_TAG]


# ------------------------------------------------------------------------------------ saved views


def view_of(stored: StoredRun) -> str:
    """Return the key of the view of a sweep."""
    return f"{OVERVIEW}-{stored.id}"


def ranks_of(sweep: StoredRun) -> dict[str, int]:
    """Return the place, from 1, of each run's variant among those on its data set, by the run's id.

    Of a sweep on one data set what decides says it: there are none.
    """
    return {
        run: rank
        for ranking in (sweep.rankings if len(sweep.rankings) > 1 else ())
        for rank, variant in enumerate(ranking.variants, start=1)
        for run in variant.runs
    }


def sweep_view(stored: StoredRun, run: str) -> tuple[str, str]:
    """Return the tag of an experiment that keeps the view of a sweep.

    Its runs without nesting, best first, with what varies and what decides as columns; charts of
    these come before the others. On several data sets each has its own best: runs are in the order
    of `RANK`. MLflow 3.17 lists the view by name, 3.10 opens it by its address.
    """
    measures = list(stored.rankings[0].measures)
    keys = {"dataset", *stored.rankings[0].keys}
    varied = [  # what follows from these varies, too, and is no column
        name
        for name, value in stored.params.items()
        if value == "varies" and keys & {name, name.rpartition(".")[2]}
    ]
    several = len(stored.rankings) > 1
    state = {
        **_view(varied[:_MOST_COLUMNS], measures, [RANK, *measures] if several else measures),
        "searchFilter": f"tags.`mlflow.parentRunId` = '{run}'",
        "orderByKey": f"metrics.`{RANK if several else measures[0]}`",
        "orderByAsc": several or stored.rankings[0].direction == "minimize",
        "compareRunSections": [{**_SECTION, "name": "Variants"}],
    }
    return _kept(view_of(stored), f"{stored.name} ({stored.id})", stored, state)


def overview(stored: StoredRun) -> tuple[str, str] | None:
    """Return the tag of an experiment that keeps the view of all of its runs, the newest first.

    Columns are what tells maps apart and the measures that most people look at, of those that this
    run has; None: it has none.
    """
    measures = [
        f"{'test' if f'test/{name}' in stored.measures else 'train'}/{name}"
        for name in _USUAL_MEASURES
        if {f"test/{name}", f"train/{name}"} & set(stored.measures)
    ]
    if not measures:
        return None
    params = [name for name in _USUAL_PARAMS if name in stored.params]
    state = _view(params, measures, [*measures, "epoch/neurons"])
    return _kept(OVERVIEW, "All runs", stored, state)


def _kept(key: str, name: str, stored: StoredRun, state: Mapping[str, Any]) -> tuple[str, str]:
    moment = 0 if stored.started is None else int(stored.started.timestamp() * 1000)
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    listed = {"name": name[:200], "createdAt": moment, "updatedAt": moment}
    listed["state"] = f"deflate;{packed}"
    written = [
        json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        for content in ({**listed, **state}, listed)  # for MLflow 3.10, and for 3.17 alone
    ]
    return f"{VIEW_TAG}{key}", next((one for one in written if len(one) <= LONGEST_TAG), written[1])


_WIDTHS = {"attributes.`Run Name`": 300, "runDateAndNestInfo": 130, "duration": 80}  # pixels
_SECTION = {"uuid": "dbgsom", "name": "Measures", "display": True, "isReordered": False}
_LINE = {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""}
_SHOWN: Mapping[str, Any] = {  # MLflow 3.10 does not fill in what is left out
    "runsExpanded": {},
    "runsPinned": [],
    "runsHidden": [],
    "runsVisibilityMap": {},
    "runsHiddenMode": "SHOW_ALL",
    "viewMaximized": False,
    "runListHidden": False,
    "groupBy": None,
    "groupsExpanded": {},
    "autoRefreshEnabled": True,
    "useGroupedValuesInCharts": True,
    "hideEmptyCharts": True,
    "globalLineChartConfig": _LINE,
}


def _view(params: list[str], measures: list[str], metrics: list[str]) -> dict[str, Any]:
    """Return a view with columns of parameters and metrics, and charts of measures, best first."""
    columns = [f"params.`{name}`" for name in params]
    columns += [f"metrics.`{name}`" for name in metrics]
    shown = [*columns, "attributes.`Models`"]
    decides, *beside = measures
    parallel = {  # the last metric gives the colours
        "type": "PARALLEL",
        "selectedParams": params[:4],
        "selectedMetrics": [*beside[:1], decides],
        "showAllRuns": True,
    }
    charts = [parallel, {"type": "BAR", "metricKey": decides, "runsCountToCompare": 100}]
    for name in beside[:1]:
        x, y = ({"key": key, "type": "METRIC"} for key in (name, decides))
        charts.append({"type": "SCATTER", "xaxis": x, "yaxis": y, "runsCountToCompare": 100})
    charts.append({"type": "LINE", "metricKey": "epoch/quantization_error"})
    own = {"metricSectionId": _SECTION["uuid"], "deleted": False, "isGenerated": False}
    return {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": shown,
        "columnOrder": [*_WIDTHS, *shown],
        "columnWidths": _WIDTHS,
        "isAccordionReordered": True,  # the first section stays the first
        "compareRunCharts": [
            {"uuid": f"dbgsom-{i}", **own, **chart} for i, chart in enumerate(charts)
        ],
        "compareRunSections": [_SECTION],
        **_SHOWN,
    }
