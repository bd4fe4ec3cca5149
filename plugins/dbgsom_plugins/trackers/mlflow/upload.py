"""Sending run folders to an MLflow store: the same steps live, at the end, and years later.

Importing this module imports MLflow; callers do it inside `store.quiet`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from filelock import FileLock
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Run,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from dbgsom_core.api import (
    DbgsomError,
    RunFiles,
    StoredRun,
    as_markdown,
    data_title,
    headline,
    masked,
)
from dbgsom_plugins.trackers.mlflow.model import EPOCH_TAG, NAME, logged_models, write_model
from dbgsom_plugins.trackers.mlflow.store import (
    MODE,
    Store,
    as_tags,
    fingerprint,
    key_of,
    read_record,
    store_key,
    write_record,
)

_log = logging.getLogger("dbgsom")
_ID = "dbgsom.run_id"
_PARENT = "mlflow.parentRunId"
_NOTE = "mlflow.note.content"
_MAX_FILE_BYTES = 1 << 26  # of a table, or an artefact, that is sent along: 64 MiB take seconds
_MOST_TOLD = 3  # measures at the beginning of a description
_KEY_OF_WORD = re.compile(r"(?<![^ ])[\w.]+=(?!(?:true|false|none)\b)(?=[^\W\d])")  # kernel=bubble
_STATES = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}


@dataclass
class Uploader:
    """Brings a store up to date with run folders; doing so twice changes nothing.

    Runs go to an ``experiment``, None: their own, and maps become versions of the model
    ``registered_model``; ``wheels`` and ``signature`` are of the models. ``run_id`` is that of the
    MLflow run to log into, ``parent_id`` of one that others are children of.
    """

    store: Store
    experiment: str | None = None
    registered_model: str | None = None
    wheels: Sequence[str] = ()
    signature: str = "any"
    run_id: str | None = None
    parent_id: str | None = None
    # Of folders whose run goes on: their runs, and the bytes of their journals that were sent.
    _running: dict[Path, tuple[Run, int]] = field(default_factory=dict)

    def follow(self, folder: Path) -> None:
        """Send what a running run has written since the last call."""
        run, offset = self._running.pop(folder, (None, 0))  # kept once all of this has arrived
        if run is None:
            stored = StoredRun.read(folder)
            with _folder_lock(folder):
                run = self._find_or_create(stored)
            if run.info.status != "RUNNING":
                self.store.client.update_run(run.info.run_id, status="RUNNING")
            self._send_start(run, stored)
        lines, end = RunFiles(folder).lines(offset)
        names = run.data.metrics if offset == 0 else ()  # sent by a process before
        self._send_points(run, _points_of(lines), names)
        self._running[folder] = run, end

    def upload(self, folder: Path, status: str = "running") -> bool:
        """Send what MLflow lacks of a run that has ended; return whether it lacked anything.

        ``status`` is how it ended where its folder cannot say, on a full disk. A run whose process
        died without a word ends as KILLED, one that goes on is left to its process.
        """
        folder, before = folder.absolute(), self.store.writes
        with _folder_lock(folder):
            stored = StoredRun.read(folder)
            if stored.status != "running":
                status = stored.status
            state = _STATES.get(status)
            if state is None:
                return False
            self._running.pop(folder, None)
            run = self.store.client.get_run(self._find_or_create(stored).info.run_id)
            is_known = read_record(folder, self._key).get("sent") == fingerprint(folder)
            try:
                self.send(run, stored, is_known)
            finally:  # a run whose files MLflow refuses has ended, too
                ended = _end_of(stored)
                if run.info.status != state or run.info.end_time != ended:
                    self.store.write("set_terminated", run.info.run_id, state, ended)
            write_record(folder, self._key, sent=fingerprint(folder))
        return self.store.writes > before

    def send(self, run: Run, stored: StoredRun, is_known: bool = False) -> None:
        """Send all of a run that has ended, its files, points and model, into an MLflow run.

        ``is_known``: it was sent as it is, and what MLflow may have lost since are files, the model
        and its version.
        """
        if not is_known:
            self._send_start(run, stored)
            self._send_points(run, _points_of_run(stored), run.data.metrics)
        self._send_files(run, stored.files, is_known)
        model = self._send_models(run.info.run_id, stored)
        if model is not None and self.registered_model is not None:
            self._register(self.registered_model, run.info.run_id, model)
        self._send_description(run, stored, model)

    def register(self, folder: Path, name: str, alias: str | None) -> str:
        """Make the model of a run that was sent a version of a registered one; return its address.

        Raises
        ------
        DbgsomError
            MLflow holds no model of this run.
        """
        run = self._find_or_create(StoredRun.read(folder))
        for model in logged_models(self.store.client, run):
            if EPOCH_TAG not in model.tags and model.status == LoggedModelStatus.READY:
                version = self._register(name, run.info.run_id, model.model_id)
                if alias is None:
                    return f"models:/{name}/{version}"
                self.store.write("set_registered_model_alias", name, alias, version)
                return f"models:/{name}@{alias}"
        where = masked(self.store.uri)
        raise DbgsomError(f"MLflow at {where} holds no model of run {folder.name}")

    # ------------------------------------------------------------------------ the run in MLflow

    @property
    def _key(self) -> str:
        return store_key(self.store.uri, self.experiment)

    def _find_or_create(self, stored: StoredRun) -> Run:
        """Return the MLflow run of a folder, which is created where there is none."""
        folder, open_run = stored.files.folder, None
        if not stored.parent:
            open_run = self._find(self.run_id)
        recorded = self._find(read_record(folder, self._key).get("run"))
        for run in (recorded, open_run):
            if run is not None and run.data.tags.get(_ID) == stored.id:
                return run
        experiment, parent = self._experiment_and_parent(stored)
        same_id = f"tags.`{_ID}` = '{stored.id}'"
        runs = self.store.client.search_runs([experiment], same_id, max_results=1)
        if runs:
            run = runs[0]
        elif open_run is not None and _ID not in open_run.data.tags:
            run = open_run
            tags = {**_tags(stored), "mlflow.runName": _short_name(stored)}
            self.store.log(run.info.run_id, tags=tags)
        else:
            tags = as_tags({**_tags(stored), _PARENT: parent})
            started = _milliseconds(stored.started)
            run = self.store.write("create_run", experiment, started, tags, _short_name(stored))
        ids = {"run": run.info.run_id, "experiment": run.info.experiment_id}
        write_record(folder, self._key, **ids, sent=None)
        return run

    def _find(self, run_id: str | None) -> Run | None:
        """Return a run; None: the store does not have it."""
        if run_id is None:
            return None
        try:
            run = self.store.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST" or run_id == self.run_id:
                raise
            return None
        return run if run.info.lifecycle_stage == "active" else None

    def _experiment_and_parent(self, stored: StoredRun) -> tuple[str, str | None]:
        """Return the experiment that a run belongs to, and the id of the MLflow run around it."""
        parent = self.parent_id or self.run_id
        if stored.parent is not None:  # its sweep is sent first where MLflow lacks it
            folder, parent = stored.files.folder.parent / stored.parent, None
            sweep = StoredRun.read(folder)
            if sweep.files.run.exists():
                parent = read_record(folder, self._key).get("run")
                if self._find(parent) is None:
                    with _folder_lock(folder):
                        parent = self._find_or_create(sweep).info.run_id
                    self.upload(folder)
        if parent is None or self.experiment is not None:
            return self.store.experiment(self.experiment or stored.experiment), parent
        return self.store.client.get_run(parent).info.experiment_id, parent

    # ------------------------------------------------------------------------------ what is sent

    def _send_start(self, run: Run, stored: StoredRun) -> None:
        params = {}
        for name, value in stored.params.items():
            if key_of(name) not in run.data.params:  # what others logged under the same name stays
                params[name] = value
        self.store.log(run.info.run_id, params=params)
        self._send_inputs(run, stored)

    def _send_inputs(self, run: Run, stored: StoredRun) -> None:
        digests = {item.dataset.digest for item in run.inputs.dataset_inputs}
        inputs = [item for item in inputs_of(stored).values() if item.dataset.digest not in digests]
        if not inputs:
            return
        try:
            self.store.write("log_inputs", run.info.run_id, inputs)
        except Exception:  # two runs may have created the same one
            self.store.write("log_inputs", run.info.run_id, inputs)

    def _send_points(self, run: Run, points: Sequence[Metric], names: Iterable[str]) -> None:
        """Send points that a run with metrics of these names lacks; some servers refuse others."""
        stored = set()
        for name in {point.key for point in points}.intersection(names):
            for point in self.store.client.get_metric_history(run.info.run_id, name):
                stored.add((name, int(point.step)))
        metrics = [point for point in points if (point.key, point.step) not in stored]
        self.store.log(run.info.run_id, metrics=metrics)

    def _send_files(self, run: Run, files: RunFiles, is_known: bool) -> None:
        """Send the files that MLflow lacks, or all where the folder has changed meanwhile."""
        run_id, stored = run.info.run_id, set()
        if is_known:
            folders = {None, "figures"}
            folders.update(_folder_in(files, path) for path in files.artifacts())
            for folder in folders:
                for item in self.store.client.list_artifacts(run_id, folder):
                    stored.add(item.path)
        paths = [files.config, files.run, files.measures, files.report, files.page]
        paths += [*files.folder.glob("*.csv"), *files.artifacts(), *files.figures()]
        for path in paths:
            if path.relative_to(files.folder).as_posix() in stored:
                continue
            if path.is_file() and path.stat().st_size <= _MAX_FILE_BYTES:
                self.store.write("log_artifact", run_id, str(path), _folder_in(files, path))

    def _send_models(self, run_id: str, stored: StoredRun) -> str | None:
        """Store the final model of a run and those of epochs, each with its measures, once.

        Returns the id of the final one; None: the run has none.
        """
        files, client = stored.files, self.store.client
        if not files.model.exists():
            return None
        steps = stored.model.get("own_steps")
        if steps:
            text = "MLflow gets run %s without its model, whose prepare step %s is of no package"
            _log.warning(text, stored.id, ", ".join(steps))
            return None
        run = client.get_run(run_id)
        model_of = {model.tags.get(EPOCH_TAG, ""): model for model in logged_models(client, run)}
        outputs = {output.model_id for output in run.outputs.model_outputs}
        lines = {line.epoch: line for line in stored.epochs()}
        models = []
        for epoch, file in files.epoch_models().items():
            models.append((str(epoch), file, epoch, _points_of([lines[epoch]])))
        models.append(("", files.model, _epoch_of_model(stored), _measures_of(stored)))
        for tag, file, step, points in models:
            model = model_of.get(tag) or self._create_model(run, stored, tag)
            if model.model_id not in outputs:
                output = LoggedModelOutput(model.model_id, step=step)
                self.store.write("log_outputs", run_id, [output])
            if model.status != LoggedModelStatus.READY:
                self._send_model(run_id, stored, file, model)
            self._link(run_id, model.model_id, points, inputs_of(stored))
        return str(model.model_id)

    def _create_model(self, run: Run, stored: StoredRun, tag: str) -> Any:
        # MLflow refuses some characters.
        name = re.sub(r"[^\w\-,]+", " ", _short_name(stored).replace(".", "_"))
        name, tags = name.strip()[:200] or NAME, None
        if tag:
            name, tags = f"epoch {tag} {name}", {EPOCH_TAG: tag}
        return self.store.write(
            "create_logged_model",
            run.info.experiment_id,
            name=name,
            source_run_id=run.info.run_id,
            tags=tags,
            model_type=str(stored.config.get("model", {}).get("estimator")),
            params=run.data.params,
        )

    def _send_model(self, run_id: str, stored: StoredRun, file: Path, model: Any) -> None:
        model_id = model.model_id
        directory = Path(stored.environment.get("directory") or "")
        into = Model(
            artifact_path=model.artifact_location,
            model_uuid=model_id,
            run_id=run_id,
            model_id=model_id,
        )
        with TemporaryDirectory() as place:
            folder = Path(place) / "model"
            with _tracking_uri(self.store.uri):
                write_model(
                    folder,
                    file,
                    into,
                    stored.model,
                    names=stored.data.get("feature_names"),
                    wheels=[directory / wheel for wheel in self.wheels],
                    signature=self.signature,
                )
            self.store.write("log_model_artifacts", model_id, str(folder))
        self.store.write("finalize_logged_model", model_id, LoggedModelStatus.READY)

    def _link(
        self,
        run_id: str,
        model_id: str,
        points: Iterable[Metric],
        inputs: Mapping[str, DatasetInput],
    ) -> None:
        """Show measures of a run on its model, each with the data that it is of, once."""
        model = self.store.client.get_logged_model(model_id)
        names = {metric.key for metric in model.metrics or []}
        metrics = []
        for point in points:
            if point.key in names or not math.isfinite(point.value):
                continue
            part, _, _ = point.key.partition("/")
            part = part.removesuffix("_std").replace("epoch", "train")
            data = {}
            if part in inputs:
                dataset = inputs[part].dataset
                data = {"dataset_name": dataset.name, "dataset_digest": dataset.digest}
            values = (point.key, point.value, point.timestamp, point.step)
            metrics.append(Metric(*values, model_id=model_id, run_id=run_id, **data))
        self.store.log(run_id, metrics=metrics)

    def _register(self, name: str, run_id: str, model_id: str) -> str:
        """Make a model a version of the registered model ``name``, once; return the version."""
        client = self.store.client
        versions = client.search_model_versions(f"name='{name}'")
        for version in versions:
            if version.run_id == run_id:
                return str(version.version)
        if not versions:
            with suppress(MlflowException):  # it exists; if not, the next call says what is wrong
                self.store.write("create_registered_model", name)
        source = client.get_logged_model(model_id).artifact_location
        ids = {"run_id": run_id, "model_id": model_id}
        version = self.store.write("create_model_version", name, source, **ids)
        return str(version.version)

    def _send_description(self, run: Run, stored: StoredRun, model: str | None) -> None:
        """Send the description, links first, and of a sweep the data of the runs that won."""
        files, tags, run_id = stored.files, run.data.tags, run.info.run_id
        if _NOTE in tags and tags.get(_ID) != stored.id:  # the user's own
            return
        links = {}
        pages = {"Report": files.page, "Explorer": files.figure("explorer", "html")}
        for name, path in pages.items():
            if path.exists():
                artifact = path.relative_to(files.folder).as_posix()
                links[name] = f"runs/{run_id}/artifacts/{artifact}"
        if model is not None:
            links["Model"] = f"models/{model}"
        if _PARENT in tags:
            links["Sweep"] = f"runs/{tags[_PARENT]}"
        for ranking in stored.rankings:
            folder = files.folder.parent / ranking.best.runs[0]
            self.upload(folder)
            self._send_inputs(run, StoredRun.read(folder))
            best_id = read_record(folder, self._key).get("run")
            links[f"Best on {as_markdown(ranking.data)}"] = f"runs/{best_id}"
        root = f"#/experiments/{run.info.experiment_id}"
        end = urlencode(MODE)
        line = " · ".join(f"[{name}]({root}/{page}?{end})" for name, page in links.items())
        note = "\n\n".join([line, *_sentences_of(stored)])
        best = "; ".join(ranking.best.name for ranking in stored.rankings)
        new_tags = as_tags({_NOTE: note, "dbgsom.best": best or None})
        self.store.log(run_id, tags=dict(new_tags.items() - tags.items()))


@contextmanager
def _tracking_uri(uri: str) -> Iterator[None]:
    """Set the tracking URI: MLflow 3.10 would make a store in the working directory."""
    name = "MLFLOW_TRACKING_URI"
    is_set = name in os.environ
    os.environ.setdefault(name, uri)
    try:
        yield
    finally:
        if not is_set:
            os.environ.pop(name, None)


def _folder_lock(folder: Path) -> Any:
    """Let no other process of this machine make or end the MLflow run of a folder meanwhile."""
    if not os.access(folder, os.W_OK):
        return nullcontext()
    return FileLock(folder / ".mlflow.lock", timeout=60)


def _folder_in(files: RunFiles, path: Path) -> str | None:
    """Return the folder of a file within the run folder."""
    folder = path.parent.relative_to(files.folder).as_posix()
    return None if folder == "." else folder


# ------------------------------------------------------------------------- what a run folder says


def _points_of(lines: Iterable[Any]) -> list[Metric]:
    """Return the points in lines of a journal."""
    points = []
    for line in lines:
        for name, value in line.metrics.items():
            points.append(Metric(key_of(name), value, line.time, line.epoch))
    return points


def _measures_of(stored: StoredRun) -> list[Metric]:
    """Return the final measures as points of the epoch whose map was kept."""
    epoch, end = _epoch_of_model(stored), _milliseconds(stored.ended) or 0
    return [Metric(key_of(name), value, end, epoch) for name, value in stored.measures.items()]


def _points_of_run(stored: StoredRun) -> list[Metric]:
    lines, _ = stored.files.lines()
    points = _points_of(lines) + _measures_of(stored)
    end = _milliseconds(stored.ended) or 0
    for fold in stored.folds:
        for name, value in fold.measures.items():
            key = key_of(f"fold/{name.removeprefix('test/')}")
            points.append(Metric(key, value, end, fold.fold))
    return points


def _epoch_of_model(stored: StoredRun) -> int:
    """Return the epoch whose map a run kept: the last one, unless a rule kept the best."""
    epoch = stored.model.get("epoch")
    if isinstance(epoch, int):
        return epoch
    return max((line.epoch for line in stored.epochs()), default=0)


def _sentences_of(stored: StoredRun) -> list[str]:
    """Return what a description says: the data, how far a run came, which variants won."""
    data, epochs, lines = stored.data, stored.epochs(), []
    told = []
    for top in headline(stored.measures, stored.config, data)[:_MOST_TOLD]:
        told.append(f"`{top.name}` {top.text} ({top.part})")
    if told and stored.kind == "run":
        lines.append(", ".join(told))
    if "samples" in data:
        size = f"{data['samples']} samples × {data.get('features')} features"
        lines.append(f"{as_markdown(data.get('name'))}: {size}")
    if epochs:
        neurons = epochs[-1].metrics.get("epoch/neurons", 0)
        lines.append(f"{neurons:.0f} neurons after {epochs[-1].epoch} epochs")
    if stored.verdict:
        place = 0 if data.get("classes") is None and stored.kind == "run" else len(lines)
        lines.insert(place, as_markdown(stored.verdict))
    if stored.error:
        lines.append(f"Ended early: {as_markdown(stored.error)}")
    for ranking in stored.rankings:
        best, measure = ranking.best, ranking.measures[0]
        value = best.measures.get(measure, math.nan)
        text = f"Best on {as_markdown(ranking.data)}: **{as_markdown(best.name)}**, "
        text += f"with `{measure}` {value:.4g}. {as_markdown(ranking.verdict)}"
        lines.append(text.strip())
    return lines


def inputs_of(stored: StoredRun) -> dict[str, DatasetInput]:
    """Return the data that a run used: ``train``, and ``test`` where it kept some."""
    data, split = stored.data, stored.config.get("split") or {}
    if stored.kind == "sweep" or not data.get("digest"):
        return {}
    section, test = stored.config.get("dataset", data.get("name")), data.get("test")
    inputs = {"train": _input(stored, data["digest"], section, "training")}
    if test:
        inputs["test"] = _input(stored, test["digest"], split.get("test", section), "testing")
    elif split:  # a part of the data: the whole of it, and how it was divided, say which
        which = json.dumps([data["digest"], split, stored.config.get("seed")], sort_keys=True)
        digest = hashlib.sha256(which.encode()).hexdigest()
        context = "validation" if split.get("folds") else "testing"
        inputs["test"] = _input(stored, digest, section, context)
    return inputs


def _input(stored: StoredRun, digest: str, section: Any, context: str) -> DatasetInput:
    """Return a data set as an input of an MLflow run; ``section`` is how it is configured."""
    names = ("samples", "features", "classes", "baseline")
    facts = {name: stored.data.get(name) for name in names}
    source = {"mlflow.source.name": f"dbgsom {stored.kind}"}
    dataset = Dataset(
        name=data_title(section, str(stored.data.get("name")))[:500],
        digest=digest[:12],
        source_type="code",
        source=json.dumps({"tags": source, "dataset": section}),
        profile=json.dumps({**facts, "split": stored.config.get("split")}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _short_name(stored: StoredRun) -> str:
    """Return a name whose end narrow columns show: of a sweep's run words stand without keys."""
    return _KEY_OF_WORD.sub("", stored.name) if stored.parent else stored.name


def _tags(stored: StoredRun) -> dict[str, Any]:
    """Return the tags that a run is created with."""
    git = stored.environment.get("git") or {}
    plugins = {}
    for record in stored.environment.get("plugins") or ():
        if record["status"] == "ok" and record["distribution"] not in ("unknown", "unregistered"):
            plugins[f"{record['distribution']} {record['version']}"] = record
    return {
        **stored.tags,
        _ID: stored.id,
        "mlflow.source.name": f"dbgsom {stored.kind}",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git.get("commit"),
        "dbgsom.git.dirty": str(bool(git.get("dirty"))).lower() if git.get("commit") else None,
        "dbgsom.plugins": ", ".join(plugins),
        "dbgsom.sweep": stored.id if stored.kind == "sweep" else stored.parent,
        "dbgsom.variant": stored.name if stored.parent else None,
    }


def _end_of(stored: StoredRun) -> int | None:
    """Return when a run ended; its last epoch where its process died without a word."""
    lines = stored.epochs()
    if stored.ended is None and lines:
        return lines[-1].time
    return _milliseconds(stored.ended or stored.started)


def _milliseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return int(moment.timestamp() * 1000)
