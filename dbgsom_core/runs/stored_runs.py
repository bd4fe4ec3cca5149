"""Stored runs: find them, lock them, mark those that were killed, and resume.

A run holds the lock of its folder while it runs; the system frees it when the process dies. A
resumed run keeps the epochs of its journal, and its training resumes from the last checkpoint, or
from the beginning: both give the bits of an uninterrupted run.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from dbgsom_core.config import (
    Experiment,
    Sweep,
    dump_yaml,
    is_sweep,
    load_experiment,
    load_sweep,
)
from dbgsom_core.errors import ConfigError, DataError, DbgsomError, did_you_mean
from dbgsom_core.experiments.trackers import Run
from dbgsom_core.interfaces.component import Component, flat, nested_fields
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import Tracking, mirror_ended, runs_folder
from dbgsom_core.runs.folder import (
    DATA_FILE,
    RunFiles,
    StoredRun,
    find_experiments,
    find_folders,
    find_runs,
    is_run,
    journal_damage,
    plain,
    read_json,
    read_run,
    read_status,
    timestamp,
    write_status,
)
from dbgsom_core.runs.manifest import model_parts
from dbgsom_core.tables.safe_files import exists

SHORTEST_ID = 4  # characters of the end of an id that will do
_SECONDS_UNSEEN = 86400.0  # without a sign of life of a run whose lock cannot be seen
_LOCK = ".lock"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")  # of a run, as `start_run` makes it
_SECONDS_BETWEEN_TOUCHES = 30.0
_SECONDS_TO_PROBE = 0.1  # others may probe at the same time
_SECONDS_TO_END = 60.0  # of a sweep's child whose sweep was killed
_SECONDS_TO_WAIT = 1.0  # for another process that looks at the run, and lets go

# ------------------------------------------------------------------------------------ by name


def find_folder(name: str, root: Path) -> Path | None:
    """Return the run folder of a path, an id or the end of an id; None: no run."""
    folder = Path(name)
    if is_run(folder):
        return folder
    known = find_experiments(root) if root.is_dir() and Path(name).name == name else []
    exact = next((root / group / name for group in known if is_run(root / group / name)), None)
    if exact is not None or name in known or exists(name):
        return exact
    matches = _folders_ending_with(name, root, known)
    return matches[0] if len(matches) == 1 else None


def _folders_ending_with(name: str, root: Path, known: Iterable[str]) -> list[Path]:
    folders = (folder for group in known for folder in find_folders(root, group))
    return [one for one in folders if len(name) >= SHORTEST_ID and one.name.endswith(name)]


def find_run(name: str, root: Path, *, besides: str = "") -> tuple[StoredRun, tuple[str, ...]]:
    """Return the run or sweep of a name, and notes.

    ``name`` is a run's folder, its id or the end of that, or an experiment, for its newest finished
    run, or its newest run. Others raise `DataError`, whose message also excludes ``besides``.
    """
    folder = find_folder(name, root)
    if folder is not None:
        return mark_killed(read_run(folder.absolute())), ()
    groups = find_experiments(root)
    if name in groups:
        runs = [run for run in find_runs(root, name) if run.parent is None and not run.damage]
        finished = [run for run in runs if run.status == "finished"]
        if runs:
            newest = mark_killed((finished or runs)[-1])
            kind = "newest finished" if finished else "newest"
            return newest, (f"{newest.id} is the {kind} {newest.kind} of experiment '{name}'",)
    matches = _folders_ending_with(name, root, groups)
    if len(matches) > 1:
        listed = ", ".join(str(folder) for folder in matches[:5])
        raise DataError(f"'{name}' may be any of {listed}: name its folder")
    ids = (folder.name for group in groups for folder in find_folders(root, group))
    hint = did_you_mean(name, [*groups, *ids]) or "; 'dbgsom run CONFIG' makes runs"
    raise DataError(
        f"'{name}' is no run folder{besides}, and {root.absolute()} has no run and no experiment "
        f"of this name{hint}"
    )


def newest_folders(root: Path) -> tuple[list[Path], dict[str, int]]:
    """Return the folders of runs and sweeps, newest first, and the runs in each sweep, by its id.

    A run of a sweep whose folder is there is counted only.
    """
    folders = [folder for group in find_experiments(root) for folder in find_folders(root, group)]
    known = {folder.name for folder in folders}
    parents = {folder: str(read_json(RunFiles(folder).run).get("parent")) for folder in folders}
    inside = {folder: one for folder, one in parents.items() if one in known}
    alone = sorted((f for f in folders if f not in inside), key=lambda f: f.name, reverse=True)
    return alone, Counter(inside.values())


def shell_name(stored: StoredRun | Path) -> str:
    """Return the name of a run for commands: its id where it can be found, or its folder."""
    folder = stored if isinstance(stored, Path) else stored.files.folder
    found = find_folder(folder.name, Path("runs"))
    known = found is not None and found.absolute() == folder.absolute()
    return folder.name if known else shlex.quote(str(folder))


# ------------------------------------------------------------------------------ the lock of a run


class RunLock:
    """The lock of one run folder; its file's age is a sign of life for other hosts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / _LOCK
        self._lock: Any = FileLock(str(self.path), thread_local=False)  # any thread may release it
        self._touched = 0.0

    def acquire(self, seconds: float = _SECONDS_TO_PROBE) -> bool:
        """Take the lock; return False when another process still holds it after ``seconds``."""
        try:
            self._lock.acquire(timeout=seconds, poll_interval=0.01)
        except Timeout:
            return False
        except (OSError, NotImplementedError):  # a read-only folder, or one without locks
            pass
        return True

    def touch(self) -> None:
        """Show other hosts that the run lives; cheap enough for every epoch."""
        if time.monotonic() - self._touched > _SECONDS_BETWEEN_TOUCHES:
            self._touched = time.monotonic()
            with suppress(OSError):  # whoever writes the folder reports what is wrong with it
                os.utime(self.path)

    def release(self) -> None:
        """Free the lock; its file stays: another process may hold it open already."""
        self._lock.release()

    def remove_unbegun(self) -> bool:
        """Remove the folder if it is no run yet and this lock is held; return whether it is gone.

        A folder that holds anything else than a run begins with stays.
        """
        files = RunFiles(self.path.parent)
        early = {self.path, files.config, files.environment}
        if not self._lock.is_locked or is_run(files.folder):
            return False
        with suppress(OSError):
            files.remove_temporary()
            if early.issuperset(files.folder.iterdir()):
                for path in early:
                    path.unlink(missing_ok=True)
                files.folder.rmdir()
        return not files.folder.exists()

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def is_locked(folder: Path) -> bool | None:
    """Return whether a process of this host holds the lock of a run folder; None: unknown."""
    path = folder / _LOCK
    if not path.exists():
        return None
    lock = FileLock(str(path))
    try:
        lock.acquire(timeout=_SECONDS_TO_PROBE, poll_interval=0.01)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return None
    lock.release()
    return False


# --------------------------------------------------------------------------- runs that were killed


def has_died(stored: StoredRun) -> bool:
    """Return whether a run marked "running" has a dead process, as far as this host can tell."""
    if stored.damage or stored.status != "running":
        return False  # a damaged folder is left as it is
    elsewhere = stored.process is not None and stored.process.is_elsewhere
    locked = None if elsewhere else is_locked(stored.files.folder)
    if locked is None and stored.process is not None:
        return stored.silent > _SECONDS_UNSEEN
    return not locked


def mark_killed(stored: StoredRun) -> StoredRun:
    """Return the run, and mark it and its folder as killed if its process has died."""
    if not has_died(stored):
        return stored
    process, how, where = stored.process, "died without a word", ""
    if process is not None:
        how = "gave no sign of life for a day" if process.is_elsewhere else how
        where = f" {process.pid} on {process.host}"
    error = f"its process{where} {how}: it was killed, or the machine went down"
    ended = datetime.fromtimestamp(time.time() - stored.silent, UTC)
    lock = RunLock(stored.files.folder)
    with suppress(OSError):  # a folder that cannot be written can still be read
        if not lock.acquire():
            return read_run(stored.files.folder)  # somebody goes on with it
        try:
            current = read_run(stored.files.folder)
            if current.status != "running":  # somebody else was faster
                return current
            started = None if stored.started is None else timestamp(stored.started)
            write_status(stored.files, "killed", started, timestamp(ended), error, process)
            stored.files.remove_temporary()
        finally:
            lock.release()
    return stored.model_copy(update={"status": "killed", "ended": ended, "error": error})


def remove_unbegun(root: Path, experiment: str) -> bool:
    """Remove folders of runs that were killed before they began; return whether there were any."""
    removed = False
    for folder in (root / experiment).glob("*"):
        if _ID.fullmatch(folder.name) and not is_run(folder):
            lock = RunLock(folder)
            if lock.acquire():
                with lock:
                    removed = lock.remove_unbegun() or removed
    return removed


def mark_killed_runs(root: Path, experiment: str) -> list[StoredRun]:
    remove_unbegun(root, experiment)
    folders = find_folders(root, experiment)
    running = [folder for folder in folders if read_status(folder).status == "running"]
    runs = [mark_killed(read_run(folder)) for folder in running]
    return [run for run in runs if run.status == "killed"]


# -------------------------------------------------------------------------- which run to resume

Loaded = tuple[Experiment | Sweep, tuple[Experiment, ...]]  # experiments: one, or those of a sweep


def load(config: str | Path, overrides: Sequence[str], registry: Registry) -> Loaded:
    if is_sweep(config, overrides):
        sweep = load_sweep(config, overrides, registry)
        return sweep, tuple(child.experiment for child in sweep.children)
    experiment = load_experiment(config, overrides, registry)
    return experiment, (experiment,)


def stored_run(name: str, root: Path) -> StoredRun | None:
    """Return the run that `find_folder` finds; None: it is no run."""
    folder = find_folder(name, root)
    return None if folder is None else _checked(mark_killed(read_run(folder.absolute())))


def interrupted_run(
    load: Callable[[], Loaded], registry: Registry
) -> tuple[StoredRun | None, Loaded]:
    """Return the newest run of a configuration that has not ended well, or in part only.

    None: it was killed before it began, and starts anew.
    """
    loaded, experiments = load()
    stored = _newest(loaded, runs_folder(experiments[0], registry))
    return stored, (loaded, experiments)


def _newest(loaded: Experiment | Sweep, root: Path) -> StoredRun | None:
    kind, wanted = "sweep" if isinstance(loaded, Sweep) else "run", _normalized(loaded.resolved)
    group = loaded.experiment
    runs = [
        run
        for run in find_runs(root.absolute(), group)
        if run.kind == kind and run.parent is None and run.config and not run.damage
    ]
    left = [run for run in runs if not is_complete(run, loaded)]
    same = [run for run in left if _normalized(run.config) == wanted] or [
        run for run in runs if _normalized(run.config) == wanted
    ]
    if same:
        return _checked(mark_killed(same[-1]))
    if not left and remove_unbegun(root, group):
        return None
    text = f"no interrupted run of {loaded.source} in {root / group}"
    if left:
        differs = "; ".join(_differences(_normalized(left[-1].config), wanted))
        text += f"; {left[-1].id} differs: {differs}. Give what it was started with"
    raise ConfigError(f"{text}; start it without --resume")


def _checked(stored: StoredRun) -> StoredRun:
    damage = stored.damage
    if not damage and stored.status != "finished":
        damage = journal_damage(stored)
    if damage:
        raise DataError(f"{stored.files.folder} is damaged, so nothing can go on there: {damage}")
    return stored


def load_stored(stored: StoredRun, overrides: Sequence[str], registry: Registry) -> Loaded:
    config = stored.files.config
    if overrides:
        raise ConfigError("a run goes on with its own configuration: leave --set out")
    if not config.exists():
        raise ConfigError(f"{config} does not exist: the run cannot be resumed, start a new one")
    try:
        text = config.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{config} cannot be read: {error.strerror}") from error
    if "//***@" in text or "=***" in text:
        cure = "give the file that the run was started with, 'dbgsom run --resume FILE'"
        raise ConfigError(f"{config} lacks the password or token of an address: {cure}")
    loaded, _ = load(config, (), registry)
    written = stored.environment.get("folder")  # where its relative paths start
    folder = loaded.folder if written is None else Path(written)
    if (rows := stored.kept_data) is not None:
        loaded = with_rows(loaded, rows)
    if isinstance(loaded, Experiment):
        given = stored.environment.get("given")
        if isinstance(given, dict):
            # A configuration that is written down gives all fields of the model's parts; a saved
            # model knows which were given in truth.
            parts: dict[str, Any] = {
                kind: _with_fields_set(part, set(map(str, given.get(kind) or ())))
                for kind, part in model_parts(loaded).items()
            }
            engine = parts.pop("engine", loaded.engine)
            model = replace(loaded.model, params={**loaded.model.params, **parts})
            loaded = replace(loaded, model=model, engine=engine)
        loaded = replace(loaded, folder=folder)
        return loaded, (loaded,)
    found = loaded.with_experiments(lambda experiment: replace(experiment, folder=folder))
    loaded = replace(found, folder=folder)
    return loaded, tuple(child.experiment for child in loaded.children)


def with_rows(loaded: Experiment | Sweep, rows: Path) -> Experiment | Sweep:
    """Return what is loaded with the data of a data frame read from the file ``rows``."""
    if isinstance(loaded, Sweep):
        return loaded.with_experiments(lambda one: with_rows(one, rows))  # type: ignore[arg-type, return-value]
    if getattr(loaded.dataset, "path", None) != DATA_FILE:
        return loaded
    return replace(loaded, dataset=loaded.dataset.model_copy(update={"path": str(rows)}))


def _with_fields_set(part: Component, given: set[str]) -> Component:
    values = dict(part)
    for field in nested_fields(type(part)):
        inner = {name.removeprefix(f"{field}.") for name in given if name.startswith(f"{field}.")}
        values[field] = _with_fields_set(values[field], inner)
    # What differs from today's default had another default when the run began, if not given.
    fields = type(part).model_fields.items()
    changed = {k for k, of in fields if values[k] != of.get_default(call_default_factory=True)}
    return type(part).model_construct(_fields_set=given & values.keys() | changed, **values)


def is_complete(stored: StoredRun, loaded: Experiment | Sweep) -> bool:
    """Return whether a run has finished, and for a sweep all of its runs."""
    if stored.status != "finished":
        return False
    return not isinstance(loaded, Sweep) or len(stored.children) >= loaded.runs


def clean_up_finished(stored: StoredRun, tracking: Tracking) -> None:
    """Complete a finished run that was killed at its end: remove checkpoints, update trackers."""
    stored.files.remove_checkpoints()
    mirror_ended(stored, tracking)


# --------------------------------------------------------------------- whether it can be resumed


def wait_for_end(stored: StoredRun, sweep: StoredRun) -> None:
    """Wait for the process of a sweep's child that ends after that of its sweep has."""
    until = time.monotonic() + _SECONDS_TO_END
    if stored.process is None or stored.process == sweep.process:
        return
    while is_locked(stored.files.folder) and time.monotonic() < until:
        time.sleep(0.1)


def check_not_running(stored: StoredRun) -> None:
    """Raise `DbgsomError` for a run that is, or may be, running in another process."""
    process = stored.process
    if stored.status != "running" or process is None or has_died(stored):
        return
    where = f"in process {process.pid} on {process.host}"
    if not process.is_elsewhere:
        raise DbgsomError(f"run {stored.id} is already going on, {where}")
    raise DbgsomError(
        f"run {stored.id} may still go on, {where}: its last sign of life is {stored.silent:.0f} s "
        f"old. If it does not, remove {stored.files.status} and try again"
    )


def claim(stored: StoredRun) -> RunLock:
    """Return the lock of a run that is resumed in this process, held."""
    folder = stored.files.folder
    lock = RunLock(folder)
    locked = lock.acquire(_SECONDS_TO_WAIT)
    try:
        now = read_status(folder)
        if not locked:
            where = f", in process {now.process.pid} on {now.process.host}" if now.process else ""
            raise DbgsomError(f"run {stored.id} is already going on{where}")
        if now.status == "finished" and stored.status != "finished":
            raise DbgsomError(f"run {stored.id} has finished meanwhile")
        started = None if now.started is None else timestamp(now.started)
        write_status(stored.files, "running", started)
    except BaseException as error:
        if locked:
            lock.release()
        if isinstance(error, OSError):
            raise DbgsomError(f"run {stored.id} cannot go on in {folder}: {error}") from error
        raise
    return lock


# ----------------------------------------------------------------------- whether it is the same


def check_same(stored: StoredRun, run: Run) -> None:
    check_same_data(stored, run.data)
    differences = []
    if stored.config:
        differences += _differences(_normalized(stored.config), _normalized(run.config))
    if stored.environment:  # else it was killed before it had written that
        differences += _differences(_versions(stored.environment), _versions(run.environment))
    if differences:
        text = f"run {stored.id} cannot go on: {'; '.join(differences)}"
        raise ConfigError(f"{text}; give that back, or start a new run without --resume")


def check_same_data(stored: StoredRun, now: Mapping[str, Any]) -> None:
    for was, is_now, which in (
        (stored.data, now, "its data"),
        (stored.data.get("test") or {}, now.get("test") or {}, "its data to test on"),
    ):
        if not is_now or was.get("digest") in (None, is_now.get("digest")):
            continue  # data to test on is loaded later than the other
        before, after = (
            f"{facts.get('samples')} × {now.get('features')} with digest "
            f"{str(facts.get('digest'))[:12]}"
            for facts in (was, is_now)
        )
        text = f"run {stored.id} cannot go on: {which} was {before} and is {after}"
        raise DataError(f"{text}; bring it back, or start a new run without --resume")


def _versions(environment: Mapping[str, Any]) -> dict[str, Any]:
    components = {
        f"{part.get('kind')} {part.get('name')}": {"version": part.get("version")}
        for part in environment.get("components") or ()
    }
    ours = (environment.get("versions") or {}).get("dbgsom-core")
    return json.loads(json.dumps(plain({"dbgsom-core": ours, **components})))  # type: ignore[no-any-return]


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    before, after = flat(was), flat(now)
    return [
        f"{key} was {before.get(key, 'not there')!r} and is {after.get(key, 'not there')!r}"
        for key in dict.fromkeys((*before, *after))
        if before.get(key, ...) != after.get(key, ...)
    ]


def _normalized(config: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(dump_yaml(config))
    return read


def resumed_run(stored: StoredRun, parent: Run | None) -> Run:
    names = (
        "id", "name", "experiment", "kind", "config", "params", "environment", "data", "varies",
        "tags",
    )  # fmt: skip
    same: dict[str, Any] = {name: getattr(stored, name) for name in names}
    return Run(folder=stored.files.folder, parent=parent, **same)
