"""Sending run folders to an MLflow store: the same steps live, at the end, and years later.

Importing this module imports MLflow; callers do it inside `store.quiet`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from dbgsom_core.api import DbgsomError, masked
from dbgsom_core.runs.find import mark_killed
from dbgsom_core.runs.folder import (
    JournalLine,
    RunFiles,
    State,
    StoredRun,
    read_journal,
    read_run,
)
from dbgsom_core.runs.manifest import data_title
from dbgsom_plugins.trackers.mlflow.store import (
    client_of,
    fingerprint,
    is_away,
    place_of,
    read_note,
    sqlite_file,
    write_note,
)
from dbgsom_plugins.trackers.mlflow.views import (
    OVERVIEW,
    RANK,
    VIEW_TAG,
    description,
    overview,
    ranks_of,
    short_name,
    sweep_view,
    view_of,
)

SOURCE_TYPE = "dbgsom"
_ID = "dbgsom.run_id"
_PARENT = "mlflow.parentRunId"
_BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # as many as MLflow takes
_LARGEST = 1 << 26  # bytes of a table, or an artefact, that is sent along
_SECONDS_TO_LOCK = 60.0  # for another process that sends the same run
_STATES = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
_CONTEXTS = {"train": "training", "test": "testing", "fold": "validation"}
_NO_PROFILE = ("name", "digest", "feature_names", "test")


def key_of(name: str) -> str:
    """Return the name with what MLflow refuses in names replaced."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


class Store:
    """A tracking store; texts that are logged to it are masked here, and ``writes`` are counted."""

    def __init__(self, uri: str) -> None:
        self.uri, self.client, self.writes = uri, client_of(uri), 0

    def write(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of the client that changes the store."""
        self.writes += 1
        return getattr(self.client, method)(*args, **options)

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        metrics: Iterable[Metric] = (),
    ) -> None:
        """Log parameters, tags and metrics, cut short and in batches as MLflow takes them."""
        entities: dict[str, list[Any]] = {
            "params": [Param(key_of(k), masked(str(v))[:6000]) for k, v in (params or {}).items()],
            "tags": [RunTag(key_of(k), masked(str(v))[:5000]) for k, v in (tags or {}).items()],
            "metrics": list(metrics),
        }
        for kind, found in entities.items():
            for start in range(0, len(found), _BATCH[kind]):
                batch = found[start : start + _BATCH[kind]]
                self.write("log_batch", run_id, **{kind: batch})

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, which is created when the store lacks it.

        Raises
        ------
        DbgsomError
            The experiment was deleted in MLflow.
        """
        found = self.client.get_experiment_by_name(name)
        if found is None:
            database = sqlite_file(self.uri)  # MLflow's own place depends on the working directory
            location = None if database is None else (database.parent / "mlruns").as_uri()
            kind = {"mlflow.experimentKind": "custom_model_development"}
            try:
                return str(self.write("create_experiment", name, location, tags=kind))
            except MlflowException:  # another process may have been faster
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise DbgsomError(
                f"the MLflow experiment '{name}' was deleted; restore it (mlflow experiments "
                f"restore --experiment-id {found.experiment_id}) or choose another name with "
                "'tracking: {name: mlflow, experiment: …}'"
            )
        return str(found.experiment_id)


@dataclass
class _Sent:
    """An MLflow run, and what it has of its folder."""

    run: str
    experiment: str
    is_new: bool = False
    offsets: dict[Path, int] = field(default_factory=dict)  # bytes of journals
    steps: dict[str, set[int]] = field(default_factory=dict)  # of metrics that MLflow had
    settled: bool = False  # the folder is as it was when all of it had been sent
    described: bool = False


class Uploader:
    """Brings MLflow up to date with run folders; doing so twice changes nothing.

    Parameters
    ----------
    uri : str
        The store.
    experiment : str or None
        MLflow experiment; None: the run's own.
    register : str or None
        Registered model that each finished map becomes a version of.
    run, parent : str, optional
        The MLflow run that a run is to be logged into, or to be a child of.
    """

    def __init__(
        self,
        uri: str,
        experiment: str | None = None,
        register: str | None = None,
        *,
        run: str | None = None,
        parent: str | None = None,
    ) -> None:
        self.store = Store(uri)
        self._experiment, self._register = experiment, register
        self._into, self._around = run, parent or run
        self._place = place_of(uri, experiment, register)
        self._sent: dict[Path, _Sent] = {}

    def follow(self, folder: Path) -> None:
        """Send what a run that goes on has gained."""
        if folder not in self._sent:
            with _alone(folder):
                sent = self._sent[folder] = self._open(read_run(folder))
            if not sent.is_new:
                self.store.client.update_run(sent.run, status="RUNNING")
        try:
            self._send_start(self._sent[folder], read_run(folder))
            self._send_journals(self._sent[folder], RunFiles(folder))
        except Exception:
            del self._sent[folder]  # what has arrived is asked for the next time
            raise

    def upload(self, folder: Path, status: State = "running") -> bool:
        """Send what MLflow lacks of a run that has ended; return whether it lacked anything.

        ``status`` is how it ended where its folder cannot say, on a full disk. A run whose process
        died without a word ends as KILLED, one that goes on is left to its process.
        """
        folder, before = folder.absolute(), self.store.writes
        with _alone(folder):
            stored = mark_killed(read_run(folder))
            state = _STATES.get(status if stored.status == "running" else stored.status)
            if state is None:
                return False
            sent = self._sent.pop(folder, None) or self._open(stored)
            try:
                if not sent.settled:
                    self._send_start(sent, stored)
                    self._send_journals(sent, stored.files)
                self._send_results(sent, stored)
            except Exception as error:
                if not is_away(error):
                    self._finish(sent, state, stored)
                raise
            self._finish(sent, state, stored)
            write_note(folder, self._place, sent=fingerprint(folder))
        return self.store.writes > before

    def register(self, folder: Path, name: str, alias: str | None) -> str:
        """Make the model of a run that was sent a version of a registered one; return its address.

        Raises
        ------
        DbgsomError
            MLflow holds no model of this run.
        """
        from dbgsom_plugins.trackers.mlflow.model import models_of, register_model

        run = read_note(folder, self._place).get("run", "")
        model = models_of(self.store, run).get("") if run else None
        if model is None:
            where = masked(self.store.uri)
            raise DbgsomError(f"MLflow at {where} holds no model of run {folder.name}")
        version = register_model(self.store, name, run, model)
        if alias is None:
            return f"models:/{name}/{version}"
        self.store.write("set_registered_model_alias", name, alias, version)
        return f"models:/{name}@{alias}"

    # -------------------------------------------------------------------------- the MLflow run

    def _open(self, stored: StoredRun) -> _Sent:
        """Return the MLflow run of a folder, which is created where there is none."""
        folder = stored.files.folder
        note = read_note(folder, self._place)
        for run in map(self._get, (note.get("run"), self._into)):
            if run is not None and run.data.tags.get(_ID) == stored.id:
                return self._known(run, stored)
        experiment, around = self._home(stored)
        wanted = f"tags.`{_ID}` = '{stored.id}'"
        found = self.store.client.search_runs([experiment], wanted, max_results=1)
        if found:
            return self._known(found[0], stored)
        tags = {key_of(k): masked(str(v))[:5000] for k, v in _tags(stored, around).items()}
        into = self._get(self._into) if stored.parent is None else None
        if into is not None and _ID not in into.data.tags:
            tags = {**tags, "mlflow.runName": short_name(stored)}
            del tags[_PARENT]
            self.store.log(into.info.run_id, tags=tags)
            return self._known(into, stored)
        created = self.store.write(
            "create_run", experiment, _milliseconds(stored.started), tags, short_name(stored)
        )
        write_note(folder, self._place, run=created.info.run_id, experiment=experiment, sent=None)
        return _Sent(created.info.run_id, experiment, is_new=True)

    def _known(self, run: Run, stored: StoredRun) -> _Sent:
        sent, folder = _Sent(run.info.run_id, run.info.experiment_id), stored.files.folder
        note = read_note(folder, self._place)
        if note.get("run") == sent.run:
            sent.settled = note.get("sent") == fingerprint(folder)
        else:
            write_note(folder, self._place, run=sent.run, experiment=sent.experiment, sent=None)
        return sent

    def _get(self, run_id: str | None) -> Run | None:
        """Return a run, None where the store does not have it."""
        try:
            run = None if run_id is None else self.store.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST" or run_id == self._into:
                raise
            return None
        return run if run is not None and run.info.lifecycle_stage == "active" else None

    def _home(self, stored: StoredRun) -> tuple[str, str | None]:
        """Return the experiment that a run belongs to, and the id of the MLflow run around it."""
        around = self._around
        if stored.parent is not None:  # its sweep is sent first where MLflow lacks it
            folder = stored.files.folder.parent / stored.parent
            sweep = read_run(folder)
            around = None
            if sweep.files.run.exists():
                around = read_note(folder, self._place).get("run")
                if self._get(around) is None:
                    with _alone(folder):
                        around = self._open(sweep).run
                    self.upload(folder)
        if around is None or self._experiment is not None:
            return self.store.experiment(self._experiment or stored.experiment), around
        return self.store.client.get_run(around).info.experiment_id, around

    def _finish(self, sent: _Sent, state: str, stored: StoredRun) -> None:
        info, ended = self.store.client.get_run(sent.run).info, _milliseconds(stored.ended)
        if info.status != state or (ended is not None and info.end_time != ended):
            self.store.write("set_terminated", sent.run, state, ended)

    # -------------------------------------------------------------------------- what is sent

    def _send_start(self, sent: _Sent, stored: StoredRun) -> None:
        if sent.described:
            return
        run = self.store.client.get_run(sent.run)
        params = {k: v for k, v in stored.params.items() if key_of(k) not in run.data.params}
        self.store.log(sent.run, params=params)
        known = {item.dataset.digest for item in run.inputs.dataset_inputs}
        inputs = [one for one in inputs_of(stored).values() if one.dataset.digest not in known]
        if inputs:
            self.store.write("log_inputs", sent.run, inputs)
        sent.described = True

    def _send_journals(self, sent: _Sent, files: RunFiles) -> None:
        for path in (files.journal, files.scalars):
            lines, offset = read_journal(path, sent.offsets.get(path, 0))
            for batch in batches(self._news(sent, line) for line in lines):
                self.store.log(sent.run, metrics=batch)
            sent.offsets[path] = offset

    def _news(self, sent: _Sent, line: JournalLine) -> JournalLine:
        """Return what MLflow lacks of a line: not every server takes a point that is NaN twice."""
        if sent.is_new:
            return line
        for name in set(line.metrics) - set(sent.steps):
            points = self.store.client.get_metric_history(sent.run, key_of(name))
            sent.steps[name] = {int(point.step) for point in points}
        lacking = {k: v for k, v in line.metrics.items() if line.epoch not in sent.steps[k]}
        return replace(line, metrics=lacking)

    def _send_results(self, sent: _Sent, stored: StoredRun) -> None:
        from dbgsom_plugins.trackers.mlflow.model import kept_epoch, send_models

        run, ended = self.store.client.get_run(sent.run), _milliseconds(stored.ended) or 0
        sweep = None if stored.parent is None else stored.files.folder.parent / stored.parent
        step, inputs = kept_epoch(stored), inputs_of(stored)
        measures = [Metric(key_of(k), v, ended, step) for k, v in stored.measures.items()]
        rank = {} if sweep is None else ranks_of(read_run(sweep))
        ranked = [Metric(RANK, rank[stored.id], ended, 0)] if stored.id in rank else []
        known = run.data.metrics
        lacking = [one for one in (*measures, *ranked) if not _same(known.get(one.key), one.value)]
        folds = [
            JournalLine(
                fold.fold,
                ended,
                {f"fold/{k.removeprefix('test/')}": v for k, v in fold.measures.items()},
            )
            for fold in stored.folds
        ]
        for batch in batches(self._news(sent, line) for line in folds):
            lacking += batch
        self.store.log(sent.run, metrics=lacking)
        self._send_files(sent, stored)
        model = send_models(self.store, sent.run, stored, measures, inputs, self._register)
        self._send_views(sent, stored, run, model)

    def _send_files(self, sent: _Sent, stored: StoredRun) -> None:
        """Send the files that MLflow lacks, or all where the folder has changed meanwhile."""
        files, folder, store = stored.files, stored.files.folder, self.store
        paths = [files.config, files.environment, files.report, files.page, files.folds]
        large = [files.table("assignments"), files.table("neurons"), *files.artifacts()]
        paths += [path for path in large if path.exists() and path.stat().st_size <= _LARGEST]
        paths = [path for path in (*paths, *files.figures()) if path.exists()]
        names = {path: path.relative_to(folder).as_posix() for path in paths}
        has: dict[str, int] = {}
        if sent.settled:
            for inside in {name.rpartition("/")[0] for name in names.values()}:
                found = store.client.list_artifacts(sent.run, inside or None)
                has |= {one.path: one.file_size for one in found}
        for path, name in names.items():
            if has.get(name) != path.stat().st_size:
                store.write("log_artifact", sent.run, str(path), name.rpartition("/")[0] or None)

    def _send_views(self, sent: _Sent, stored: StoredRun, run: Run, model: str | None) -> None:
        """Send the description, and of a sweep its runs' ranks and the view that shows them."""
        store, folder = self.store, stored.files.folder
        winners = {}
        for ranking in stored.rankings:
            best = read_run(folder.parent / ranking.best.runs[0])
            known = {item.dataset.digest for item in run.inputs.dataset_inputs}
            data = [one for one in inputs_of(best).values() if one.dataset.digest not in known]
            if data:
                store.write("log_inputs", sent.run, data)
            winners[ranking.data] = read_note(best.files.folder, self._place).get("run")
        tags = {
            "mlflow.note.content": description(
                stored,
                sent.experiment,
                sent.run,
                model=model,
                parent=run.data.tags.get(_PARENT),
                winners={data: best for data, best in winners.items() if best},
            )
        }
        if stored.rankings:
            tags["dbgsom.best"] = "; ".join(ranking.best.name for ranking in stored.rankings)
        known_tags = run.data.tags
        store.log(sent.run, tags={k: v for k, v in tags.items() if known_tags.get(k) != v[:5000]})
        if ranks := ranks_of(stored):
            children = f"tags.`{_PARENT}` = '{sent.run}'"
            for child in store.client.search_runs([sent.experiment], children, max_results=10_000):
                rank = ranks.get(child.data.tags.get(_ID, ""))
                if rank is not None and child.data.metrics.get(RANK) != rank:
                    point = Metric(RANK, rank, child.info.end_time, 0)
                    store.log(child.info.run_id, metrics=[point])
        kept = store.client.get_experiment(sent.experiment).tags
        view = None
        if stored.rankings:
            view = sweep_view(stored, sent.run)
        elif stored.kind == "run" and stored.parent is None and f"{VIEW_TAG}{OVERVIEW}" not in kept:
            view = overview(stored)
        if view is not None and kept.get(view[0]) != view[1]:
            store.write("set_experiment_tag", sent.experiment, *view)
        has_overview = f"{VIEW_TAG}{OVERVIEW}" in {*kept, *(view or ())}
        write_note(
            folder,
            self._place,
            view=view_of(stored) if stored.rankings else None,
            overview=OVERVIEW if has_overview else None,
        )


def batches(lines: Iterable[JournalLine]) -> Iterator[list[Metric]]:
    """Yield the metrics of epochs, as many of whole epochs at a time as MLflow takes."""
    batch: list[Metric] = []
    for line in lines:
        metrics = [Metric(key_of(k), v, line.time, line.epoch) for k, v in line.metrics.items()]
        if len(batch) + len(metrics) > _BATCH["metrics"]:
            yield batch
            batch = []
        batch += metrics
    if batch:
        yield batch


def log_figures(client: Any, run_id: str, figures: Mapping[str, Any]) -> dict[str, str]:
    """Log figures of matplotlib and pages; return where each lies among the artefacts."""
    paths = {}
    for name, figure in figures.items():
        paths[name] = f"figures/{name}.{'png' if hasattr(figure, 'savefig') else 'html'}"
        if hasattr(figure, "savefig"):
            client.log_figure(run_id, figure, paths[name], save_kwargs={"dpi": 150})
        else:
            client.log_text(run_id, figure.text, paths[name])
    return paths


def inputs_of(stored: StoredRun) -> dict[str, DatasetInput]:
    """Return the data that a run used: ``train``, and ``test`` or ``fold`` where it kept some."""
    data = stored.data
    if not data.get("digest"):
        return {}
    section = stored.config.get("dataset", data.get("name"))
    name = data_title(section, str(data.get("name")))
    sections = {"train": section}
    facts: dict[str, Mapping[str, Any]] = {"train": {**data, "name": name}}
    split = stored.config.get("split")
    split = split if isinstance(split, Mapping) else {}
    own = data.get("test")
    if isinstance(own, Mapping) and own.get("digest"):
        sections["test"] = split.get("test", section)
        facts["test"] = {**data, **own, "name": f"{name} (test)"}
    elif split:
        # A part of the data: the whole of it, and how it was divided, say which.
        part = "fold" if split.get("folds") else "test"
        whole = json.dumps([data["digest"], split, stored.config.get("seed")], sort_keys=True)
        digest = hashlib.sha256(whole.encode()).hexdigest()
        sections[part] = section
        facts[part] = {**data, "name": name, "digest": digest, "split": split, "samples": None}
    folder = stored.environment.get("folder")
    return {
        part: dataset_input(
            facts[part],
            SOURCE_TYPE,
            {"dataset": sections[part], "folder": folder},
            _CONTEXTS[part],
        )
        for part in facts
    }


def dataset_input(
    facts: Mapping[str, Any], source_type: str, source: Mapping[str, Any], context: str
) -> DatasetInput:
    """Return what a run says of its data as an input of an MLflow run."""
    shape = [facts.get("samples"), facts.get("features")]
    tensor = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, shape[1]]}}
    schema = {"mlflow_tensorspec": {"features": json.dumps([tensor]), "targets": None}}
    profile = {key: value for key, value in facts.items() if key not in _NO_PROFILE}
    return DatasetInput(
        Dataset(
            name=masked(str(facts.get("name", "data")))[:500],
            digest=str(facts["digest"])[:12],
            source_type=source_type,
            source=json.dumps(masked(source)),
            schema=json.dumps(schema),
            profile=json.dumps({"features_shape": shape, **masked(profile)}),
        ),
        [InputTag("mlflow.data.context", context)],
    )


def _tags(stored: StoredRun, around: str | None) -> dict[str, Any]:
    """Return the tags that a run is created with."""
    from dbgsom_plugins.trackers.mlflow.model import plugin_versions

    git = stored.environment.get("git") or {}
    plugins = plugin_versions(stored.environment).items()
    sweep = stored.id if stored.kind == "sweep" else stored.parent
    tags = {
        **stored.tags,
        _ID: stored.id,
        "mlflow.source.name": stored.environment.get("command", "dbgsom"),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git.get("commit"),
        "dbgsom.git.dirty": str(bool(git.get("dirty"))).lower() if git.get("commit") else None,
        "dbgsom.plugins": ", ".join(f"{name} {version}" for name, version in plugins),
        "dbgsom.sweep": sweep,
        "dbgsom.variant": stored.name if stored.parent else None,
        _PARENT: around,
    }
    return {name: value for name, value in tags.items() if value is not None}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other process of this machine make or end the MLflow run of a folder meanwhile."""
    lock = FileLock(folder / ".mlflow.lock")
    try:
        lock.acquire(timeout=_SECONDS_TO_LOCK)
    except Timeout:
        raise DbgsomError(f"another process is sending run {folder.name} to MLflow") from None
    except (OSError, NotImplementedError):  # a folder that cannot be written can still be sent
        pass
    try:
        yield
    finally:
        lock.release()


def _same(known: float | None, value: float) -> bool:
    return known is not None and (known == value or (math.isnan(known) and math.isnan(value)))


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
