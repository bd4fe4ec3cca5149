"""What MLflow's pages show: a run's name, its description with links, a sweep's saved view."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dbgsom_core.runs.folder import StoredRun
from dbgsom_plugins.trackers.markdown import as_markdown
from dbgsom_plugins.trackers.report import data_facts, measures_table, rankings_tables, told_winner

_LONGEST = 5000  # letters of a tag
_MOST_COLUMNS = 8  # of parameters
_TELLING = ("dataset", "metric", "kernel", "growth", "growth.spreading_factor")
_LOOKED_AT = ("accuracy", "r2", "quantization_error", "topographic_error")
MODE = "workflowType=machine_learning"  # what MLflow's pages are about
_SHORT = {"spreading_factor": "SF"}
_WORD = re.compile(r"(?!(?:null|true|false|none|auto|nan|inf)\b)[^\W\d]", re.IGNORECASE)
RANK = "sweep/rank"  # metric of a run: which place its variant has on its data set
OVERVIEW = "dbgsom"  # key of the view of all runs of an experiment
VIEW_TAG = "mlflow.sharedViewState."  # of an experiment: what its page's "Views" offers


def short_name(stored: StoredRun) -> str:
    """Return what a run is called in narrow columns: ``bubble · cosine · wine``.

    Of a sweep's child that is what it changes, words without their keys, numbers with them; data
    set and seed, which have columns of their own, are last. A name that somebody gave stays.
    """
    parts = [part.partition("=") for part in stored.name.split(", ")]
    if not {key for key, _, _ in parts} <= set(_endings(stored.varies)):
        return stored.name
    parts.sort(key=lambda part: (part[0] == "seed", part[0] == "dataset"))
    ends = [(key.rpartition(".")[2], told) for key, _, told in parts]
    return " · ".join(
        told if _WORD.match(told) else f"{_SHORT.get(end, end)} {told}" for end, told in ends
    )


def _endings(varies: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield what the name of a run may call a key that it changes: its last parts."""
    for key, value in varies.items():
        whole = f"{before}{key}".removesuffix(".name")
        parts = whole.split(".")
        yield from (".".join(parts[at:]) for at in range(len(parts)))
        if isinstance(value, Mapping):
            yield from _endings(value, f"{whole}.")


def described(stored: StoredRun, links: Iterable[str], trained: str = "") -> str:
    """Return the description that the run's page opens with, links first.

    ``trained`` says how far it came where there is no journal.
    """
    facts = stored.data
    blocks = [" · ".join(links)]
    if {"name", "samples", "features"} <= set(facts):
        blocks.append(data_facts(facts))
    epochs = stored.epochs()
    if epochs:
        neurons = epochs[-1].metrics.get("epoch/neurons", 0)
        trained = f"{neurons:.0f} neurons after {epochs[-1].epoch} epochs"
    blocks.append(trained)
    if stored.error:
        blocks.append(f"Ended early: {as_markdown(stored.error)}")
    if stored.rankings:
        blocks += [told_winner(one, stored.rankings) for one in stored.rankings]
        blocks.append(_until(rankings_tables(stored.rankings), _LONGEST // 2))
    elif stored.measures:
        blocks.append(measures_table(stored.measures))
    return _until("\n\n".join(filter(None, blocks)), _LONGEST)


def links_of(
    stored: StoredRun,
    experiment: str,
    run_id: str,
    parent: str | None,
    model: str | None,
    winners: Mapping[str, str],
) -> list[str]:
    """Return links within MLflow's pages: report, explorer, model, sweep; of a sweep also its view
    and the runs that won, by their data sets.
    """
    own = f"#/experiments/{experiment}"
    found = {}
    if stored.rankings:
        found["All variants"] = f"{own}/runs?{MODE}&viewStateShareKey={view_of(stored.id)}"
    files = {"Report": stored.files.page, "Explorer": stored.files.figure("explorer", "html")}
    for name, path in files.items():
        if path.exists():
            where = path.relative_to(stored.files.folder).as_posix()
            found[name] = f"{own}/runs/{run_id}/artifacts/{where}?{MODE}"
    if model is not None:
        found["Model"] = f"{own}/models/{model}?{MODE}"
    if parent is not None:
        found["Sweep"] = f"{own}/runs/{parent}?{MODE}"
    for data, best in list(winners.items())[:_MOST_COLUMNS]:
        name = f"Best on {as_markdown(data)}" if len(winners) > 1 else "Best"
        found[name] = f"{own}/runs/{best}?{MODE}"
    return [f"[{name}]({where})" for name, where in found.items()]


def model_link(experiment: str, model: str) -> str:
    """Return the link to the page of a logged model."""
    return f"[Model](#/experiments/{experiment}/models/{model}?{MODE})"


def view_of(identifier: str) -> str:
    """Return the key of the view of a sweep with this id."""
    return f"{OVERVIEW}-{identifier}"


def ranks_of(sweep: StoredRun) -> dict[str, int]:
    """Return the place, from 1, of each run's variant among those on its data set, by the run's id.

    Of a sweep on one data set what decides says it: there are none.
    """
    rankings = sweep.rankings if len(sweep.rankings) > 1 else ()
    return {
        run: place
        for one in rankings
        for place, variant in enumerate(one.variants, start=1)
        for run in variant.runs
    }


def view_tag(stored: StoredRun, run_id: str) -> tuple[str, str] | None:
    """Return the tag of an experiment that keeps the view of a sweep; None: MLflow cannot hold it.

    Its runs without nesting, best first, with what varies and what decides as columns; charts of
    these come before the others. On several data sets each has its own best: runs are in the order
    of `RANK`. MLflow 3.17 lists it by name, 3.10 opens it by its address.
    """
    [decides, *beside] = stored.rankings[0].measures
    keys = {"dataset", *stored.rankings[0].keys}
    varied = [  # what follows from these varies, too, and is no column
        name
        for name, value in stored.params.items()
        if value == "varies" and keys & {name, name.rpartition(".")[2]}
    ][:_MOST_COLUMNS]
    measures = [decides, *beside]
    several = len(stored.rankings) > 1
    state = {
        **_table(varied, measures, [*([RANK] if several else []), *measures]),
        "searchFilter": f"tags.`mlflow.parentRunId` = '{run_id}'",
        "orderByKey": f"metrics.`{RANK if several else decides}`",
        "orderByAsc": several or stored.rankings[0].direction == "minimize",
        "compareRunSections": [_SECTION | {"name": "Variants"}],
    }
    return _kept(view_of(stored.id), f"{stored.name} ({stored.id})", stored, state)


def overview_tag(stored: StoredRun) -> tuple[str, str] | None:
    """Return the tag of an experiment that keeps the view of all of its runs, the newest first.

    Columns are what tells maps apart and the measures that most people look at, of those that this
    run has; None: it has none.
    """
    full = [
        name
        for short in _LOOKED_AT
        for name in [f"test/{short}", f"train/{short}"]
        if name in stored.measures
    ]
    short = {name.partition("/")[2]: name for name in reversed(full)}  # test before train
    measures = [short[name] for name in _LOOKED_AT if name in short]
    if not measures:
        return None
    params = [name for name in _TELLING if name in stored.params]
    state = _table(params, measures, [*measures, "epoch/neurons"])
    return _kept(OVERVIEW, "All runs", stored, state)


def _table(params: list[str], measures: list[str], metrics: list[str]) -> dict[str, Any]:
    """Return a view with columns of parameters and metrics, and charts of the measures.

    The first of the measures decides.
    """
    shown = [
        *(f"params.`{name}`" for name in params),
        *(f"metrics.`{name}`" for name in metrics),
        "attributes.`Models`",
    ]
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
        "compareRunCharts": _charts(params, measures),
        "compareRunSections": [_SECTION],
        **_SHOWN,
    }


def _kept(
    key: str, name: str, stored: StoredRun, state: Mapping[str, Any]
) -> tuple[str, str] | None:
    moment = 0 if stored.started is None else int(stored.started.timestamp() * 1000)
    listed = {
        "name": name[:200],
        "createdAt": moment,
        "updatedAt": moment,
        "state": _packed(state),
    }
    for content in (listed | {**state}, listed):
        written = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        if len(written) <= _LONGEST:
            return f"{VIEW_TAG}{key}", written
    return None


_WIDTHS = {"attributes.`Run Name`": 300, "runDateAndNestInfo": 130, "duration": 80}  # pixels
_SECTION = {"uuid": "dbgsom", "name": "Measures", "display": True, "isReordered": False}
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
    "globalLineChartConfig": {
        "xAxisKey": "step",
        "lineSmoothness": 0,
        "selectedXAxisMetricKey": "",
    },
}


def _charts(varied: list[str], measures: list[str]) -> list[dict[str, Any]]:
    decides, *beside = measures
    charts: list[dict[str, Any]] = [
        {
            "type": "PARALLEL",
            "selectedParams": varied[:4],
            "selectedMetrics": [*beside[:1], decides],  # the last one gives the colours
            "showAllRuns": True,
        },
        {"type": "BAR", "metricKey": decides, "runsCountToCompare": 100},
    ]
    for name in beside[:1]:
        axes = {"xaxis": _axis(name), "yaxis": _axis(decides)}
        charts.append({"type": "SCATTER", **axes, "runsCountToCompare": 100})
    charts.append({"type": "LINE", "metricKey": "epoch/quantization_error"})
    own = {"metricSectionId": _SECTION["uuid"], "deleted": False, "isGenerated": False}
    return [{"uuid": f"dbgsom-{i}", **own, **chart} for i, chart in enumerate(charts)]


def _axis(name: str) -> dict[str, str]:
    return {"key": name, "type": "METRIC"}


def _packed(state: Mapping[str, Any]) -> str:
    packed = zlib.compress(json.dumps(state).encode(), 9)
    return f"deflate;{base64.b64encode(packed).decode()}"


def _until(text: str, longest: int) -> str:
    """Return the lines of a text that have room, so that no row of a table is torn."""
    if len(text) <= longest:
        return text
    return text[: longest - 2].rpartition("\n")[0] + "\n…"
