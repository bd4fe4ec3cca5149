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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout
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

from dbgsom_core.api import Columns, DbgsomError, masked
from dbgsom_core.persistence import load
from dbgsom_core.runs.folder import (
    JournalLine,
    RunFiles,
    State,
    StoredRun,
    array_of,
    read_journal,
    read_run,
)
from dbgsom_core.runs.manifest import data_title
from dbgsom_plugins.trackers.mlflow import pages
from dbgsom_plugins.trackers.mlflow import store as stores
from dbgsom_plugins.trackers.mlflow.model import (
    EPOCH_TAG,
    NAME,
    as_tuples,
    facts_of,
    logged_models,
    write_model,
)
from dbgsom_plugins.trackers.mlflow.store import (
    Store,
    as_tags,
    fingerprint,
    key_of,
    metrics_of,
    read_record,
    write_record,
)

_log = logging.getLogger("dbgsom")
_ID = "dbgsom.run_id"
_PARENT = "mlflow.parentRunId"
_MAX_FILE_BYTES = 1 << 26  # bytes of a table, or an artefact, that is sent along
_STATES = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
_CONTEXTS = {"train": "training", "test": "testing", "fold": "validation"}


class Uploader:
    """Brings a store up to date with run folders; doing so twice changes nothing.

    Runs go to an ``experiment``, None: their own, and maps become versions of the registered model
    ``register``. ``run`` is the MLflow run to log into, ``parent`` one that others are children of.
    """

    def __init__(
        self,
        uri: str,
        experiment: str | None = None,
        register: str | None = None,
        run: str | None = None,
        parent: str | None = None,
    ) -> None:
        self.store = Store(uri)
        self._experiment, self._register = experiment, register
        self._run_id, self._parent_id = run, parent or run
        self._store_key = stores.store_key(uri, experiment)
        # Of folders whose run goes on: their runs, and the bytes of their journals that were sent.
        self._begun: dict[Path, tuple[Run, int]] = {}

    def upload_new(self, folder: Path) -> None:
        """Send what a running run has written since the last call."""
        run, offset = self._begun.pop(folder, (None, 0))  # kept once all of this has arrived
        if run is None:
            stored = read_run(folder)
            with _folder_lock(folder):
                run = self._find_or_create(stored)
            if run.info.status != "RUNNING":
                self.store.client.update_run(run.info.run_id, status="RUNNING")
            self._send_start(run, stored)
        known = run.data.metrics if offset == 0 else {}  # of a process before
        lines, end = read_journal(RunFiles(folder).journal, offset)
        self._send_points(run, lines, known)
        self._begun[folder] = run, end

    def upload(self, folder: Path, status: State = "running") -> bool:
        """Send what MLflow lacks of a run that has ended; return whether it lacked anything.

        ``status`` is how it ended where its folder cannot say, on a full disk. A run whose process
        died without a word ends as KILLED, one that goes on is left to its process.
        """
        folder, before = folder.absolute(), self.store.writes
        with _folder_lock(folder):
            stored = read_run(folder)
            state = _STATES.get(status if stored.status == "running" else stored.status)
            if state is None:
                return False
            self._begun.pop(folder, None)
            run = self.store.client.get_run(self._find_or_create(stored).info.run_id)
            try:
                self._send_all(run, stored)
            finally:  # a run whose files MLflow refuses has ended, too
                ended = _milliseconds(stored.ended)
                if run.info.status != state or (ended is not None and run.info.end_time != ended):
                    self.store.write("set_terminated", run.info.run_id, state, ended)
            write_record(folder, self._store_key, sent=fingerprint(folder))
        return self.store.writes > before

    def register(self, folder: Path, name: str, alias: str | None) -> str:
        """Make the model of a run that was sent a version of a registered one; return its address.

        Raises
        ------
        DbgsomError
            MLflow holds no model of this run.
        """
        run = str(read_record(folder, self._store_key).get("run", ""))
        model = models_of(self.store, run).get("") if run else None
        if model is None:
            where = masked(self.store.uri)
            raise DbgsomError(f"MLflow at {where} holds no model of run {folder.name}")
        version = register_model(self.store, name, run, model)
        if alias is None:
            return f"models:/{name}/{version}"
        self.store.write("set_registered_model_alias", name, alias, version)
        return f"models:/{name}@{alias}"

    def _find_or_create(self, stored: StoredRun) -> Run:
        """Return the MLflow run of a folder, which is created where there is none."""
        folder, into = stored.files.folder, None if stored.parent else self._find(self._run_id)
        noted = self._find(read_record(folder, self._store_key).get("run"))
        for known in (noted, into):
            if known is not None and known.data.tags.get(_ID) == stored.id:
                return known
        experiment, around = self._experiment_and_parent(stored)
        wanted, name = f"tags.`{_ID}` = '{stored.id}'", pages.short_name(stored)
        same_id = self.store.client.search_runs([experiment], wanted, max_results=1)
        if same_id:
            run = same_id[0]
        elif into is not None and _ID not in into.data.tags:
            self.store.log(into.info.run_id, tags={**_tags(stored), "mlflow.runName": name})
            run = into
        else:
            tags = as_tags({**_tags(stored), _PARENT: around})
            run = self.store.write(
                "create_run", experiment, _milliseconds(stored.started), tags, name
            )
        ids = {"run": run.info.run_id, "experiment": run.info.experiment_id}
        write_record(folder, self._store_key, **ids, sent=None)
        return run

    def _find(self, run_id: str | None) -> Run | None:
        """Return a run; None: the store does not have it."""
        try:
            run = None if run_id is None else self.store.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST" or run_id == self._run_id:
                raise
            return None
        return run if run is not None and run.info.lifecycle_stage == "active" else None

    def _experiment_and_parent(self, stored: StoredRun) -> tuple[str, str | None]:
        """Return the experiment that a run belongs to, and the id of the MLflow run around it."""
        around = self._parent_id
        if stored.parent is not None:  # its sweep is sent first where MLflow lacks it
            folder, around = stored.files.folder.parent / stored.parent, None
            sweep = read_run(folder)
            if sweep.files.run.exists():
                around = read_record(folder, self._store_key).get("run")
                if self._find(around) is None:
                    with _folder_lock(folder):
                        around = self._find_or_create(sweep).info.run_id
                    self.upload(folder)
        if around is None or self._experiment is not None:
            return self.store.experiment(self._experiment or stored.experiment), around
        return self.store.client.get_run(around).info.experiment_id, around

    def _send_start(self, run: Run, stored: StoredRun) -> None:
        params = {k: v for k, v in stored.params.items() if key_of(k) not in run.data.params}
        self.store.log(run.info.run_id, params=params)
        self._send_inputs(run, inputs_of(stored))

    def _send_inputs(self, run: Run, inputs: Mapping[str, DatasetInput]) -> None:
        known = {item.dataset.digest for item in run.inputs.dataset_inputs}
        lacking = [item for item in inputs.values() if item.dataset.digest not in known]
        if lacking:
            self.store.log_inputs(run.info.run_id, lacking)

    def _send_points(
        self, run: Run, lines: Sequence[JournalLine], known: Mapping[str, float]
    ) -> None:
        """Send points that a run with ``known`` metrics lacks; servers refuse some sent twice."""
        points = metrics_of(lines)
        has = set()
        for name in known.keys() & {point.key for point in points}:
            for point in self.store.client.get_metric_history(run.info.run_id, name):
                has.add((name, int(point.step)))
        lacking = [point for point in points if (point.key, point.step) not in has]
        self.store.log(run.info.run_id, metrics=lacking)

    def _send_all(self, run: Run, stored: StoredRun) -> None:
        note, ended = read_record(stored.files.folder, self._store_key), _milliseconds(stored.ended)
        was_complete = note.get("sent") == fingerprint(stored.files.folder)
        measures = JournalLine(model_epoch(stored), ended or 0, dict(stored.measures))
        if not was_complete:
            lines = [*read_journal(stored.files.journal)[0], measures]
            for fold in stored.folds:
                named = {f"fold/{k.removeprefix('test/')}": v for k, v in fold.measures.items()}
                lines.append(JournalLine(fold.fold, ended or 0, named))
            self._send_start(run, stored)
            self._send_points(run, lines, run.data.metrics)
        self._send_files(run, stored.files, was_complete)
        run_id, inputs = run.info.run_id, inputs_of(stored)
        model = send_models(self.store, run_id, stored, metrics_of([measures]), inputs)
        if model is not None and self._register is not None:
            register_model(self.store, self._register, run_id, model)
        self._send_description(run, stored, model)

    def _send_files(self, run: Run, files: RunFiles, was_complete: bool) -> None:
        """Send the files that MLflow lacks, or all where the folder has changed meanwhile."""
        client, run_id = self.store.client, run.info.run_id
        paths = [files.config, files.run, files.measures, files.report, files.page]
        paths += [*files.folder.glob("*.csv"), *files.artifacts(), *files.figures()]
        known: dict[str | None, list[Any]] = {}  # artefacts by their folder
        for path in paths:
            if not path.is_file() or path.stat().st_size > _MAX_FILE_BYTES:
                continue
            name = path.relative_to(files.folder).as_posix()
            inside = name.rpartition("/")[0] or None
            if was_complete and inside not in known:
                known[inside] = client.list_artifacts(run_id, inside)
            if not any(one.path == name for one in known.get(inside, ())):
                self.store.write("log_artifact", run_id, str(path), inside)

    def _send_description(self, run: Run, stored: StoredRun, model: str | None) -> None:
        """Send the description, and of a sweep the data of the runs that won."""
        winners = {}
        for ranking in stored.rankings:
            best = stored.files.folder.parent / ranking.best.runs[0]
            if not read_record(best, self._store_key).get("run"):
                self.upload(best)
            if winner := read_record(best, self._store_key).get("run"):
                winners[ranking.data] = winner
            self._send_inputs(run, inputs_of(read_run(best)))
        note = pages.description(
            stored,
            run.info.experiment_id,
            run.info.run_id,
            model=model,
            parent=run.data.tags.get(_PARENT),
            winners=winners,
        )
        names = "; ".join(ranking.best.name for ranking in stored.rankings)
        tags = as_tags({"mlflow.note.content": note, "dbgsom.best": names or None})
        self.store.log(run.info.run_id, tags=dict(tags.items() - run.data.tags.items()))


# ------------------------------------------------------------------------------ models of a run


def send_models(
    store: Store,
    run_id: str,
    stored: StoredRun,
    measures: Sequence[Metric],
    inputs: Mapping[str, DatasetInput],
) -> str | None:
    """Store the final model of a run and those of epochs, each with its measures, once.

    Returns the id of the final one; None: the run has none.
    """
    files, final = stored.files, None
    if not files.model.exists():
        return None
    if stored.model.get("own_steps"):
        steps = ", ".join(map(str, stored.model["own_steps"]))
        text = "MLflow gets run %s without its model, whose prepare step %s is of no package"
        _log.warning(text, stored.id, steps)
        return None
    known, kind = models_of(store, run_id), str(stored.config.get("model", {}).get("estimator"))
    name = model_name(pages.short_name(stored))
    lines = {line.epoch: line for line in stored.epochs()}
    for epoch, file in [*files.epoch_models().items(), (None, files.model)]:
        epoch_tag = "" if epoch is None else str(epoch)
        final = known.get(epoch_tag) or upload_model(
            store,
            run_id,
            name if epoch is None else f"epoch {epoch} {name}",
            partial(_write_model_folder, stored, file),
            step=model_epoch(stored) if epoch is None else epoch,
            kind=kind,
            epoch_tag=epoch_tag,
        )
        points = measures if epoch is None else metrics_of([lines[epoch]])
        link_measures(store, run_id, final, points, inputs)
    return final


def model_epoch(stored: StoredRun) -> int:
    """Return the epoch whose map a run kept: the last one, unless a rule kept the best."""
    epoch = stored.model.get("epoch")
    last = max((line.epoch for line in stored.epochs()), default=0)
    return epoch if isinstance(epoch, int) else last


def upload_model(
    store: Store,
    run_id: str,
    name: str,
    write: Callable[[Path, Model], None],
    *,
    step: int,
    kind: str,
    epoch_tag: str = "",
) -> str:
    """Store a model of a run, or complete one that was begun; return its id.

    ``write`` writes the folder of the model, given its path and what MLflow knows of the model,
    ``step`` is the epoch whose map it is, ``kind`` the estimator, and ``epoch_tag`` the epoch again
    or "" of the final one.
    """
    run = store.client.get_run(run_id)
    begun = (
        one for one in logged_models(store.client, run) if one.tags.get(EPOCH_TAG, "") == epoch_tag
    )
    model = next(begun, None) or store.write(
        "create_logged_model",
        run.info.experiment_id,
        name=name,
        source_run_id=run_id,
        tags={EPOCH_TAG: epoch_tag} if epoch_tag else None,
        model_type=kind,
        params=run.data.params,
    )
    model_id, where = str(model.model_id), model.artifact_location
    if model_id not in [output.model_id for output in run.outputs.model_outputs]:
        store.write("log_outputs", run_id, [LoggedModelOutput(model_id, step=step)])
    own = Model(artifact_path=where, model_uuid=model_id, run_id=run_id, model_id=model_id)
    with TemporaryDirectory() as folder:
        with _tracking_uri(store.uri):
            write(Path(folder) / "model", own)
        store.write("log_model_artifacts", model_id, str(Path(folder) / "model"))
    store.write("finalize_logged_model", model_id, LoggedModelStatus.READY)
    return model_id


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


def model_name(run: str) -> str:
    """Return what a run's model is called in MLflow, which refuses some characters."""
    return re.sub(r"[^\w\-,]+", " ", run.replace(".", "_")).strip()[:200] or NAME


def models_of(store: Store, run_id: str) -> dict[str, str]:
    """Return the ids of a run's whole models by epoch; "" is the final one.

    One that became READY while the answer was lost may not be among the run's outputs.
    """
    run = store.client.get_run(run_id)
    outputs = [output.model_id for output in run.outputs.model_outputs]
    return {
        model.tags.get(EPOCH_TAG, ""): str(model.model_id)
        for model in logged_models(store.client, run)
        if model.status == LoggedModelStatus.READY and model.model_id in outputs
    }


def link_measures(
    store: Store,
    run_id: str,
    model_id: str,
    metrics: Sequence[Metric],
    inputs: Mapping[str, DatasetInput],
) -> None:
    """Show measures of a run on its model, each with the data that it is of, once."""
    known = {metric.key for metric in store.client.get_logged_model(model_id).metrics or []}
    linked = []
    for one in metrics:
        part = one.key.partition("/")[0].removesuffix("_std").replace("epoch", "train")
        found = inputs.get(part) or (inputs.get("fold") if part == "test" else None)
        on = {} if found is None else {"dataset_name": found.dataset.name}
        on |= {} if found is None else {"dataset_digest": found.dataset.digest}
        if one.key not in known and math.isfinite(one.value):
            point = (one.key, one.value, one.timestamp, one.step)
            linked.append(Metric(*point, model_id=model_id, run_id=run_id, **on))
    store.log(run_id, metrics=linked)


def register_model(store: Store, name: str, run_id: str, model_id: str) -> str:
    """Make the model a version of the registered model ``name``, once; return the version."""
    known = store.client.search_model_versions(f"name='{name}'")
    for version in known:
        if version.run_id == run_id:
            return str(version.version)
    if not known:
        with suppress(MlflowException):  # it exists; if not, the next call says what is wrong
            store.write("create_registered_model", name)
    model = store.client.get_logged_model(model_id)
    where, ids = model.artifact_location, {"run_id": run_id, "model_id": model_id}
    made = store.write("create_model_version", name, where, **ids)
    versions = json.loads(model.tags.get(pages.MODEL_VERSIONS, "[]"))
    versions.append({"name": name, "version": made.version})
    store.write("set_logged_model_tags", model_id, {pages.MODEL_VERSIONS: json.dumps(versions)})
    return str(made.version)


def _write_model_folder(stored: StoredRun, file: Path, target: Path, own: Model) -> None:
    """Write the folder of a model of a run, with the versions and settings that the run had."""
    files, names = stored.files, stored.data.get("feature_names")
    facts = stored.model
    example, labels = (
        array_of(facts[name]) if facts.get(name) else None for name in ("example", "answers")
    )
    if example is None or not isinstance(names, list) or len(names) != example.shape[1]:
        names = None
    needs, columns = facts.get("needs"), facts.get("columns")
    if not isinstance(needs, Mapping):  # the answers are objects
        needs, columns, labels = facts_of(load(files.model), example)
    elif columns is not None:
        columns = Columns(**as_tuples(columns))
    versions = {**plugin_versions(stored.environment), **(stored.environment.get("versions") or {})}
    tracking = [one for one in stored.config.get("tracking") or () if isinstance(one, Mapping)]
    settings = next((one for one in tracking if one.get("name") == "mlflow"), {})
    start = Path(stored.environment.get("directory") or "")
    write_model(
        target,
        file,
        own,
        {name: str(versions.get(name, version)) for name, version in needs.items()},
        columns=columns,
        names=names,
        example=example,
        labels=None if labels is None or labels.ndim > 1 else labels,
        wheels=[start / str(path) for path in settings.get("wheels") or ()],
        signature=settings.get("signature", "any"),
    )


# -------------------------------------------------------------------------- data, figures, tags


def log_figures(client: Any, run_id: str, figures: Mapping[str, Any]) -> dict[str, str]:
    """Log figures of matplotlib and pages; return where each lies among the artefacts."""
    paths = {}
    for name, figure in figures.items():
        is_page = not hasattr(figure, "savefig")
        paths[name] = f"figures/{name}.{'html' if is_page else 'png'}"
        if is_page:
            client.log_text(run_id, figure.text, paths[name])
        else:
            client.log_figure(run_id, figure, paths[name], save_kwargs={"dpi": 150})
    return paths


def inputs_of(stored: StoredRun) -> dict[str, DatasetInput]:
    """Return the data that a run used: ``train``, and ``test`` or ``fold`` where it kept some."""
    data, split = stored.data, stored.config.get("split") or {}
    if stored.kind == "sweep" or not data.get("digest"):
        return {}
    section = stored.config.get("dataset", data.get("name"))
    whole = {**data, "name": data_title(section, str(data.get("name")))}
    parts, own = {"train": (whole, section)}, data.get("test")
    if isinstance(own, Mapping) and own.get("digest"):
        test = {**whole, **own, "name": f"{whole['name']} (test)"}
        parts["test"] = test, split.get("test", section)
    elif split:
        # A part of the data: the whole of it, and how it was divided, say which.
        which = json.dumps([data["digest"], split, stored.config.get("seed")], sort_keys=True)
        digest = hashlib.sha256(which.encode()).hexdigest()
        part = {**whole, "digest": digest, "split": split, "samples": None}
        parts["fold" if split.get("folds") else "test"] = part, section
    source = {"tags": {"mlflow.source.name": stored.environment.get("command", "dbgsom")}}
    return {
        part: dataset_input(facts, {**source, "dataset": section}, _CONTEXTS[part])
        for part, (facts, section) in parts.items()
    }


def dataset_input(
    facts: Mapping[str, Any], source: Mapping[str, Any], context: str
) -> DatasetInput:
    """Return what a run says of its data as an input of an MLflow run."""
    shape = [facts.get("samples"), facts.get("features")]
    tensor = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, shape[1]]}}
    schema = {"mlflow_tensorspec": {"features": json.dumps([tensor]), "targets": None}}
    separate = ("name", "digest", "feature_names", "test")
    profile = {key: value for key, value in facts.items() if key not in separate}
    dataset = Dataset(
        name=str(facts.get("name", "data"))[:500],
        digest=str(facts["digest"])[:12],
        source_type="code",
        source=json.dumps(source),
        schema=json.dumps(schema),
        profile=json.dumps({"features_shape": shape, **profile}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def plugin_versions(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return the version of each distribution whose plugins worked in a run."""
    return {
        record["distribution"]: record["version"]
        for record in environment.get("plugins") or []
        if record["status"] == "ok" and record["distribution"] not in ("unknown", "unregistered")
    }


def _tags(stored: StoredRun) -> dict[str, Any]:
    """Return the tags that a run is created with."""
    git = stored.environment.get("git") or {}
    plugins = plugin_versions(stored.environment).items()
    return {
        **stored.tags,
        _ID: stored.id,
        "mlflow.source.name": stored.environment.get("command", "dbgsom"),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git.get("commit"),
        "dbgsom.git.dirty": str(bool(git.get("dirty"))).lower() if git.get("commit") else None,
        "dbgsom.plugins": ", ".join(f"{name} {version}" for name, version in plugins),
        "dbgsom.sweep": stored.id if stored.kind == "sweep" else stored.parent,
        "dbgsom.variant": stored.name if stored.parent else None,
    }


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """Let no other process of this machine make or end the MLflow run of a folder meanwhile."""
    lock = FileLock(folder / ".mlflow.lock")
    try:
        lock.acquire(timeout=60)
    except Timeout:
        raise DbgsomError(f"another process is sending run {folder.name} to MLflow") from None
    except (OSError, NotImplementedError):  # a folder that cannot be written can still be sent
        pass
    try:
        yield
    finally:
        lock.release()


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
