"""Mirroring run folders into an MLflow store: the same steps live, at the end, and years later.

Importing this module imports MLflow; callers do it inside `mlflow_quiet.quiet`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from mlflow.entities import Metric, RunTag

from dbgsom_core.api import masked
from dbgsom_core.runs.find import mark_killed
from dbgsom_core.runs.folder import (
    JournalLine,
    RunFiles,
    State,
    StoredRun,
    read_journal,
    read_run,
)
from dbgsom_plugins.trackers.mlflow_address import Surroundings
from dbgsom_plugins.trackers.mlflow_inputs import datasets_of
from dbgsom_plugins.trackers.mlflow_model import (
    holds_model,
    kept_epoch,
    link_measures,
    plugin_versions,
    register_model,
    store_epoch_models,
    store_model,
)
from dbgsom_plugins.trackers.mlflow_points import METRICS_A_BATCH, batches, key_of, send_params
from dbgsom_plugins.trackers.mlflow_quiet import is_away
from dbgsom_plugins.trackers.mlflow_sent import alone, has_model, is_noted, note, place
from dbgsom_plugins.trackers.mlflow_store import Store
from dbgsom_plugins.trackers.mlflow_view import (
    OVERVIEW,
    RANK,
    VIEW_TAG,
    described,
    links_of,
    overview_tag,
    ranks_of,
    short_name,
    view_tag,
)

ID_TAG = "dbgsom.run_id"
_LARGEST_TABLE = 1 << 26  # bytes of a table, or an artefact, that is sent along
SWEEP_TAG = "dbgsom.sweep"  # of its children, and of the sweep itself
VARIANT_TAG = "dbgsom.variant"  # of a sweep's child: what it changes, with all keys
BEST_TAG = "dbgsom.best"  # of a sweep: the variant that won
_MOST = 10_000  # runs of a sweep that MLflow tells of at once
_STATES = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}


@dataclass
class _Opened:
    """An MLflow run that mirrors a folder, and what it has already."""

    run_id: str
    described: bool = False
    offset: int = 0
    last_epoch: int = 0
    has_model: bool = False
    is_new: bool = False
    scalars: int = 0  # bytes of them that were sent
    steps: dict[str, set[int]] = field(default_factory=dict)  # that MLflow had, by scalar


class Mirror:
    """Brings MLflow runs up to date with run folders; doing so twice changes nothing.

    Parameters
    ----------
    store : Store
    experiment : str or None
        MLflow experiment; None: the run's own.
    register : str or None
        Registered model that each finished map becomes a version of.
    within : Surroundings, optional
        The run that a run is to be logged into, or to be a child of.
    """

    def __init__(
        self,
        store: Store,
        experiment: str | None,
        register: str | None,
        within: Surroundings | None = None,
    ) -> None:
        self._store = store
        self._experiment = experiment
        self._register = register
        self._within = within if within is not None and within.holds(store.uri) else None
        self._where = place(store.uri, experiment, register)
        self._opened: dict[Path, _Opened] = {}
        self._viewed: set[str] = set()  # experiments that have a view of all runs

    def tail(self, folder: Path) -> None:
        """Send what the run has gained; opens the MLflow run when there is none yet.

        The model is sent as soon as it is kept, while figures are drawn.
        """
        folder = folder.absolute()
        if folder not in self._opened:
            with alone(folder):
                self._open(folder)
        opened, client = self._opened[folder], self._store.client
        if not opened.described:
            self._describe(opened, read_run(folder))
        lines, offset = read_journal(RunFiles(folder).journal, opened.offset)
        # Not every MLflow takes a point twice: one that is NaN breaks the batch of older servers.
        for metrics in batches(line for line in lines if line.epoch > opened.last_epoch):
            client.log_batch(opened.run_id, metrics=metrics)
            opened.last_epoch = metrics[-1].step
        opened.offset = offset
        lines, offset = read_journal(RunFiles(folder).scalars, opened.scalars)
        for metrics in batches(self._news(opened, line) for line in lines):
            client.log_batch(opened.run_id, metrics=metrics)
        opened.scalars = offset
        if not opened.has_model and has_model(RunFiles(folder)):
            store_model(client, opened.run_id, read_run(folder))
            opened.has_model = True

    def catch_up(self, folder: Path, status: State = "running") -> bool:
        """Send a folder and end its MLflow run, unless MLflow was sent it and still holds it; say
        whether it was sent.

        A run whose process died without a word ends as KILLED; one that goes on stays as it is.
        ``status`` is how the run ended where its folder could not be told.
        """
        folder = folder.absolute()
        with alone(folder):
            stored = mark_killed(read_run(folder))
            if is_noted(stored.files, self._where) and self._holds(stored):
                self._opened.pop(folder, None)
                return False
            self._finish(folder, status)
            return True

    def _finish(self, folder: Path, status: State = "running") -> None:
        """Send everything the folder holds and end the MLflow run, whatever goes wrong."""
        opened = self._open(folder)
        stored = mark_killed(read_run(folder))
        status = status if stored.status == "running" else stored.status
        trouble: Exception | None = None
        try:
            self.tail(folder)
            if status != "running":
                self._send_results(opened.run_id, stored)
                note(stored.files, self._where)
        except Exception as error:
            trouble = error
            raise
        finally:
            del self._opened[folder]
            # A server that does not answer would only keep the run waiting once more.
            if status != "running" and not (trouble and is_away(trouble)):
                ended = _milliseconds(stored.ended)
                self._store.client.set_terminated(opened.run_id, _STATES[status], ended)

    def _holds(self, stored: StoredRun) -> bool:
        client, run_id = self._store.client, self._find(stored)
        if run_id is None:
            return False
        run = client.get_run(run_id)
        files, figures = stored.files, [path.name for path in stored.files.figures()]
        wanted = {path.name for path in (files.config, files.environment, files.report, files.page)}
        wanted = {name for name in wanted if (files.folder / name).exists()}
        wanted |= {f"figures/{name}" for name in figures}
        logged = [one for one in files.artifacts() if one.stat().st_size <= _LARGEST_TABLE]
        wanted |= {one.relative_to(files.folder).as_posix() for one in logged}
        found = {one.path for one in client.list_artifacts(run_id)}
        inside = {str(Path(one).parent.as_posix()) for one in wanted} - {"."}
        for folder in sorted(inside):
            found |= {one.path for one in client.list_artifacts(run_id, folder)}
        return (
            run.info.status == _STATES.get(stored.status)
            and {key_of(name) for name in stored.measures} <= set(run.data.metrics)
            and wanted <= found
            and holds_model(client, run, stored, self._register)
        )

    def finish_all(self) -> None:
        """Finish whatever was opened on the way, such as the sweep of a run."""
        for folder in list(self._opened):
            self.catch_up(folder)

    def _open(self, folder: Path) -> _Opened:
        if folder not in self._opened:
            stored = read_run(folder)
            run_id = self._find(stored)
            if run_id is None:
                opened = _Opened(self._create(stored), is_new=True)
            else:
                opened = _Opened(run_id, last_epoch=self._last_epoch(run_id, stored))
                self._store.client.update_run(run_id, status="RUNNING")
            self._opened[folder] = opened
        return self._opened[folder]

    def _describe(self, opened: _Opened, stored: StoredRun) -> None:
        send_params(self._store.client, opened.run_id, stored.params)
        if stored.data.get("digest"):
            inputs = list(datasets_of(stored).values())
            self._store.client.log_inputs(opened.run_id, inputs)
        opened.described = True

    def _last_epoch(self, run_id: str, stored: StoredRun) -> int:
        names = [name for line in stored.epochs()[:1] for name in line.metrics]
        points = self._store.client.get_metric_history(run_id, key_of(names[0])) if names else []
        return max((int(point.step) for point in points), default=0)

    def _news(self, opened: _Opened, line: JournalLine) -> JournalLine:
        """Return what MLflow lacks of a line of scalars."""
        if opened.is_new:
            return line
        for name in set(line.metrics) - set(opened.steps):
            points = self._store.client.get_metric_history(opened.run_id, key_of(name))
            opened.steps[name] = {int(point.step) for point in points}
        steps = opened.steps
        left = {k: v for k, v in line.metrics.items() if line.epoch not in steps[k]}
        return replace(line, metrics=left)

    def _find(self, stored: StoredRun) -> str | None:
        client, own = self._store.client, self._experiment_of(stored)
        wanted = f"tags.`{ID_TAG}` = '{stored.id}'"
        found = client.search_runs([own], filter_string=wanted, max_results=1)
        if not found:  # one that was made within another run is where that is
            others = [one.experiment_id for one in client.search_experiments()]
            found = client.search_runs(others, filter_string=wanted, max_results=1)
        return str(found[0].info.run_id) if found else None

    def _create(self, stored: StoredRun) -> str:
        client, tags, within = self._store.client, self._tags(stored), self._within
        if within is not None and stored.parent is None:
            if within.run is not None and ID_TAG not in client.get_run(within.run).data.tags:
                tags["mlflow.runName"] = short_name(stored)
                client.log_batch(within.run, tags=[RunTag(*one) for one in tags.items()])
                return within.run
            around = within.parent or within.run
            if around is not None:
                tags["mlflow.parentRunId"] = around
        parent = tags.get("mlflow.parentRunId")
        beside = parent is not None and self._experiment is None
        created = client.create_run(
            client.get_run(parent).info.experiment_id if beside else self._experiment_of(stored),
            start_time=_milliseconds(stored.started),
            tags=tags,
            run_name=short_name(stored),
        )
        return str(created.info.run_id)

    def _experiment_of(self, stored: StoredRun) -> str:
        return self._store.experiment(self._experiment or stored.experiment)

    def _tags(self, stored: StoredRun) -> dict[str, str]:
        git = stored.environment.get("git") or {}
        plugins = plugin_versions(stored.environment).items()
        tags = {key_of(name): masked(str(value))[:5000] for name, value in stored.tags.items()}
        tags |= {
            ID_TAG: stored.id,
            "mlflow.source.name": masked(str(stored.environment.get("command", "dbgsom"))),
            "mlflow.source.type": "LOCAL",
            "dbgsom.plugins": ", ".join(f"{name} {release}" for name, release in plugins)[:5000],
        }
        if git.get("commit"):
            tags["mlflow.source.git.commit"] = str(git["commit"])
            tags["dbgsom.git.dirty"] = str(bool(git.get("dirty"))).lower()
        if stored.parent or stored.kind == "sweep":
            tags[SWEEP_TAG] = stored.parent or stored.id
        if stored.parent:
            tags[VARIANT_TAG] = stored.name
            parent = self._parent(stored.files.folder.parent / stored.parent)
            if parent is not None:
                tags["mlflow.parentRunId"] = parent
        return tags

    def _parent(self, folder: Path) -> str | None:
        """Return the MLflow run of a sweep, which is mirrored first when MLflow lacks it."""
        if folder in self._opened:
            return self._opened[folder].run_id
        stored = read_run(folder)
        if not stored.files.run.exists():
            return None
        run_id = self._find(stored)
        if run_id is None:
            with alone(folder):
                run_id = self._open(folder).run_id
                if stored.status != "running":
                    self._finish(folder)
        return run_id

    def _send_results(self, run_id: str, stored: StoredRun) -> None:
        client = self._store.client
        ended = _milliseconds(stored.ended) or 0
        step = kept_epoch(stored)
        measures = [
            Metric(key_of(name), value, ended, step) for name, value in stored.measures.items()
        ]
        known = client.get_run(run_id).data.metrics
        news = [one for one in measures if not _same(known.get(one.key), one.value)]
        news += self._fold_metrics(run_id, stored, ended)
        if stored.parent is not None:
            place = ranks_of(read_run(stored.files.folder.parent / stored.parent)).get(stored.id)
            if place is not None and known.get(RANK) != place:
                news.append(Metric(RANK, place, ended, 0))
        for start in range(0, len(news), METRICS_A_BATCH):
            client.log_batch(run_id, metrics=news[start : start + METRICS_A_BATCH])
        if stored.rankings:
            best = "; ".join(ranking.best.name for ranking in stored.rankings)
            client.set_tag(run_id, BEST_TAG, best[:5000])
        files = stored.files
        for path in (files.config, files.environment, files.report, files.page, files.folds):
            if path.exists():
                client.log_artifact(run_id, str(path))
        for path in (files.table("assignments"), files.table("neurons")):
            if path.exists() and path.stat().st_size <= _LARGEST_TABLE:
                client.log_artifact(run_id, str(path))
        for path in files.figures():
            client.log_artifact(run_id, str(path), "figures")
        for path in files.artifacts():
            if path.stat().st_size <= _LARGEST_TABLE:
                where = path.parent.relative_to(files.folder).as_posix()
                client.log_artifact(run_id, str(path), where)
        model_id = store_model(client, run_id, stored)
        if model_id is not None:
            inputs = datasets_of(stored)
            link_measures(client, run_id, model_id, measures, inputs)
            store_epoch_models(client, run_id, stored, inputs)
            if self._register:
                register_model(client, self._register, run_id, model_id)
        self._send_view(run_id, stored, model_id)

    def _send_view(self, run_id: str, stored: StoredRun, model_id: str | None) -> None:
        """Send the description, and of a sweep its runs' ranks and the view that shows them."""
        client, run = self._store.client, self._store.client.get_run(run_id)
        experiment, parent = run.info.experiment_id, run.data.tags.get("mlflow.parentRunId")
        winners = self._winners(run_id, stored)
        links = links_of(stored, experiment, run_id, parent, model_id, winners)
        client.set_tag(run_id, "mlflow.note.content", described(stored, links))
        ranks = ranks_of(stored)
        children = f"tags.`mlflow.parentRunId` = '{run_id}'"
        for child in client.search_runs([experiment], children, max_results=_MOST) if ranks else ():
            place = ranks.get(child.data.tags.get(ID_TAG, ""))
            if place is not None and child.data.metrics.get(RANK) != place:
                client.log_metric(child.info.run_id, RANK, place, child.info.end_time, 0)
        tag = view_tag(stored, run_id) if stored.rankings else None
        if tag is not None:
            client.set_experiment_tag(experiment, *tag)
        if stored.kind == "run" and stored.parent is None and experiment not in self._viewed:
            kept = client.get_experiment(experiment).tags
            tag = None if f"{VIEW_TAG}{OVERVIEW}" in kept else overview_tag(stored)
            if tag is not None:
                client.set_experiment_tag(experiment, *tag)
            self._viewed.add(experiment)

    def _winners(self, run_id: str, stored: StoredRun) -> dict[str, str]:
        """Return the best run on each data set of a sweep, which the sweep then has as its own."""
        found, beside = {}, stored.files.folder.parent
        for ranking in stored.rankings:
            best = read_run(beside / ranking.best.runs[0])
            inputs = list(datasets_of(best).values())
            if inputs:
                self._store.client.log_inputs(run_id, inputs)
            there = self._find(best)
            if there is not None:
                found[ranking.data] = there
        return found

    def _fold_metrics(self, run_id: str, stored: StoredRun, time: int) -> list[Metric]:
        """Return what MLflow lacks of the folds' measures: ``fold/accuracy``, a step each fold."""
        found = [
            Metric(key_of(f"fold/{name.removeprefix('test/')}"), value, time, one.fold)
            for one in stored.folds
            for name, value in one.measures.items()
        ]
        if not found:
            return []
        sent = self._store.client.get_metric_history(run_id, found[0].key)
        last = max((point.step for point in sent), default=0)
        return [one for one in found if one.step > last]


def _same(known: float | None, value: float) -> bool:
    return known is not None and (known == value or (math.isnan(known) and math.isnan(value)))


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
