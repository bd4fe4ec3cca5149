"""Going on with a run that was interrupted: which one, and whether it is still the same.

A run goes on in its folder: its journal keeps the epochs that it has, and its map goes on from the
last checkpoint, or from the beginning where there is none yet. Both give the bits that the run
would have given, so nothing is written twice and nothing is missing.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from dbgsom_core.config import (
    Experiment,
    Sweep,
    dump_yaml,
    fill_text,
    is_sweep,
    load_experiment,
    load_sweep,
    with_defaults,
)
from dbgsom_core.errors import ConfigError, DataError, DbgsomError
from dbgsom_core.estimators.checkpoints import Checkpoints
from dbgsom_core.estimators.film import GrowthFilm
from dbgsom_core.files import to_disk
from dbgsom_core.interfaces.component import Component, flat
from dbgsom_core.interfaces.privacy import masked, masked_name, private_logger
from dbgsom_core.interfaces.trackers import Run, TrackerAbilities
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.components import packages_named, with_given_fields
from dbgsom_core.runs.epoch_models import EpochModels
from dbgsom_core.runs.folder.dead import alone_with, close_if_dead
from dbgsom_core.runs.folder.finding import find_folder
from dbgsom_core.runs.folder.folds import FoldMeasures, digest_of_rows, folds_text, parse_folds
from dbgsom_core.runs.folder.store import (
    RunFiles,
    StoredRun,
    find_runs,
    read_run,
    read_status,
    stamp,
    write_status,
)
from dbgsom_core.runs.folder.writing import plain, write_text

log = private_logger("dbgsom")

_SECONDS_TO_DIE = 60.0

Loaded = TypeVar("Loaded", Experiment, Sweep)


# ------------------------------------------------------------------------------- which run


def load(
    config: str | Path, overrides: Sequence[str], registry: Registry
) -> tuple[Experiment | Sweep, tuple[Experiment, ...]]:
    """Return what a configuration describes, and its experiments: one, or those of a sweep."""
    if is_sweep(config, overrides):
        sweep = load_sweep(config, overrides, registry)
        return sweep, tuple(child.experiment for child in sweep.children)
    experiment = load_experiment(config, overrides, registry)
    return experiment, (experiment,)


def stored_run(name: str, root: Path) -> StoredRun | None:
    """Return the run that `find_folder` finds; None: it is no run."""
    folder = find_folder(name, root)
    if folder is None:
        return None
    stored = close_if_dead(read_run(folder.absolute()))
    if stored.damage:
        raise DataError(f"{folder} is damaged, so nothing can go on there: {stored.damage}")
    return stored


def load_stored(
    stored: StoredRun, overrides: Sequence[str], registry: Registry
) -> tuple[Experiment | Sweep, tuple[Experiment, ...]]:
    """Return what the configuration in a run folder describes.

    Raises
    ------
    ConfigError
        There is none yet, it lacks what must not be written down, or something shall be changed.
    """
    files = stored.files
    if overrides:
        raise ConfigError("a run goes on with its own configuration: leave --set out")
    if not files.config.exists():
        raise ConfigError(
            f"{files.folder} was killed before its configuration was written: there is nothing to "
            "go on with, start it anew"
        )
    config = files.config.read_text(encoding="utf-8")
    if "//***@" in config or "=***" in config:
        raise ConfigError(
            f"{files.config} lacks the password or token of an address, which is not written down: "
            "give the file that the run was started with, 'dbgsom run --resume FILE'"
        )
    with packages_named(files, registry):
        loaded, experiments = load(files.config, (), registry)
    given = stored.environment.get("given")
    if isinstance(loaded, Experiment) and isinstance(given, dict):
        loaded = with_given_fields(loaded, given)
        experiments = (loaded,)
    folder = stored.environment.get("folder")
    if folder is None:
        return loaded, experiments
    at: Callable[[Any], Any] = partial(replace, folder=Path(fill_text(folder)))
    if isinstance(loaded, Sweep):
        children = tuple(replace(one, experiment=at(one.experiment)) for one in loaded.children)
        return replace(at(loaded), children=children), tuple(one.experiment for one in children)
    return at(loaded), (at(loaded),)


def interrupted_run(loaded: Experiment | Sweep, root: Path) -> StoredRun:
    """Return the newest run of a configuration that has not ended well, or in part only.

    Where all have finished, the newest of them, see `is_whole`.

    Raises
    ------
    ConfigError
        There is none; the sentence says what differs in the newest one that is like it.
    """
    kind, wanted = "sweep" if isinstance(loaded, Sweep) else "run", _config(loaded)
    group = masked_name(loaded.experiment)
    like = [
        one
        for one in find_runs(root.absolute(), group)
        if one.kind == kind and one.parent is None and one.config and not one.damage
    ]
    left = [one for one in like if not is_whole(one, loaded)]
    same = [one for one in left if _completed(one.config) == wanted] or [
        one for one in like if _completed(one.config) == wanted
    ]
    if same:
        return close_if_dead(same[-1])
    told = f"no interrupted run of {loaded.source} in {root / group}"
    if left:
        differs = "; ".join(_differences(_completed(left[-1].config), wanted))
        raise ConfigError(
            f"{told}; {left[-1].id} differs: {differs}. Give what it was started with, or start a "
            "new run without --resume"
        )
    raise ConfigError(f"{told}; start it without --resume")


def wait_for_the_dying(stored: StoredRun, sweep: StoredRun) -> None:
    """Wait for the process of a sweep's child that ends after that of its sweep has.

    It may still tell trackers of an end that its folder has already.
    """
    process, until = stored.process, time.monotonic() + _SECONDS_TO_DIE
    if process is None or process == sweep.process:
        return
    while process.lives() and time.monotonic() < until:
        time.sleep(0.1)


def is_whole(stored: StoredRun, loaded: Experiment | Sweep) -> bool:
    """Say whether nothing is left to do: it has finished, and so have all runs of a sweep."""
    if stored.status != "finished":
        return False
    return not isinstance(loaded, Sweep) or len(stored.children) >= loaded.runs


def check_can_go_on(stored: StoredRun) -> None:
    """Refuse a run that another process has in hand.

    Raises
    ------
    DbgsomError
        It still goes on, or may.
    """
    process = stored.process
    if stored.status != "running" or process is None or process.lives() is False:
        return
    where = f"in process {process.pid} on {process.host}"
    if process.lives():
        raise DbgsomError(f"run {stored.id} is already going on, {where}")
    raise DbgsomError(
        f"run {stored.id} may still go on, {where}, which cannot be seen from here: its last sign "
        f"of life is {stored.silent:.0f} s old, and after a day it is closed. If it does not go "
        f"on, remove {stored.files.status} and try again"
    )


def claim(stored: StoredRun) -> None:
    """Say in its folder that a run goes on in this process, unless another one was faster.

    Raises
    ------
    DbgsomError
        Another one was, or the folder cannot be written.
    """
    try:
        with alone_with(stored.files.folder):
            now = read_status(stored.files.folder)
            check_can_go_on(now)
            if now.status == "finished" and stored.status != "finished":
                raise DbgsomError(f"run {stored.id} has finished meanwhile")
            write_status(stored.files, "running", stamp(now.started))
    except OSError as error:
        raise DbgsomError(
            f"run {stored.id} cannot go on in {stored.files.folder}: {error}"
        ) from error


# ----------------------------------------------------------------------- whether it is the same


def check_same(stored: StoredRun, run: Run) -> None:
    """Refuse to go on where configuration, components or data are others than before.

    Raises
    ------
    ConfigError, DataError
        They are; the sentence says which, and the cure.
    """
    check_same_data(stored, run.data)
    told = []
    if stored.config:
        told += _differences(_completed(stored.config), _as_read(run.config))
    if stored.environment:  # else it was killed before it had written that
        told += _differences(_versions(stored.environment), _versions(run.environment))
    if told:
        raise ConfigError(
            f"run {stored.id} cannot go on: {'; '.join(told)}; give back what it was started with, "
            "or start a new run without --resume"
        )


def check_same_data(stored: StoredRun, now: Mapping[str, Any]) -> None:
    """Refuse to go on with other data, of which ``now`` are the facts that runs hold.

    Raises
    ------
    DataError
        The data is another than before.
    """
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
        raise DataError(
            f"run {stored.id} cannot go on: {which} was {before} and is {after}; bring the data "
            "back, or start a new run without --resume"
        )


def _versions(environment: Mapping[str, Any]) -> dict[str, Any]:
    components = {
        f"{one.get('kind')} {one.get('name')}": {"version": one.get("version")}
        for one in environment.get("components") or ()
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


def _config(loaded: Experiment | Sweep) -> dict[str, Any]:
    return _as_read(masked(loaded.resolved))


def _completed(config: Mapping[str, Any]) -> dict[str, Any]:
    return _as_read(with_defaults(config, get_registry()))


def _as_read(config: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(dump_yaml(config))
    return read


# ---------------------------------------------------------------------- what it has done already


class Done:
    """What a run has done so far: the checkpoints of its fits, and the measures of its folds.

    The checkpoints lie in the folder ``checkpoints`` of the run until it has finished.
    """

    def __init__(self, files: RunFiles, seconds: float, every: int | None = None) -> None:
        self._files, self._seconds, self._every = files, seconds, every
        self._folds = files.folds

    def checkpoints(self, name: str) -> Checkpoints:
        """Return where a fit is noted; the epochs that it holds are safe in the journal first."""
        path = self._files.checkpoints / f"{name}.npz"
        return Checkpoints(path, self._seconds, stays=True, first=self._save_journal)

    def epoch_models(self) -> EpochModels:
        """Return what keeps the maps of some epochs, where that is asked for."""
        return EpochModels(self._files.checkpoints / "epochs", self._every)

    def film(self, wanted: bool) -> list[GrowthFilm]:
        """Return what keeps the prototypes of some epochs for a film, where one is wanted."""
        return [GrowthFilm(folder=self._files.checkpoints / "film")] if wanted else []

    def folds(self, divided: Sequence[tuple[Any, Any]]) -> list[FoldMeasures]:
        """Return the measures of the folds that are done.

        Raises
        ------
        DataError
            They divided the data otherwise than ``divided``, pairs of rows, does.
        """
        try:
            folds = parse_folds(self._folds.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        now = [digest_of_rows(train, test) for train, test in divided]
        if [one.rows for one in folds] != now[: len(folds)]:
            raise DataError(
                f"{self._folds.parent} cannot go on: its folds were of other rows; bring the "
                "groups back, or start a new run without --resume"
            )
        return folds

    def keep_folds(self, folds: Sequence[FoldMeasures]) -> None:
        """Note the measures of the folds that are done, the last of them just now."""
        write_text(self._folds, folds_text(folds))
        self.checkpoints(f"fold-{len(folds)}").remove()

    def forget(self) -> None:
        """Remove it all: the run has finished."""
        shutil.rmtree(self._files.checkpoints, ignore_errors=True)

    def _save_journal(self) -> None:
        if self._files.journal.exists():
            to_disk(self._files.journal)


def kept_run(stored: StoredRun, parent: Run | None) -> Run:
    """Return a stored run as it was told of while it ran."""
    return Run(
        id=stored.id,
        name=stored.name,
        experiment=stored.experiment,
        kind=stored.kind,
        folder=stored.files.folder,
        config=stored.config,
        params=stored.params,
        environment=stored.environment,
        data=stored.data,
        parent=parent,
        varies=stored.varies,
        tags=stored.tags,
    )


def finish_off(stored: StoredRun, tracking: Sequence[tuple[str, Component]]) -> None:
    """Do what a run that had finished was killed before: forget how, and let trackers catch up."""
    Done(stored.files, 0.0).forget()
    catch_up(stored, tracking)


def catch_up(stored: StoredRun, tracking: Sequence[tuple[str, Component]]) -> None:
    """Let trackers catch up with a run that has ended in another process."""
    for name, tracker in tracking:
        mirror = TrackerAbilities.of(tracker).mirror
        if mirror is not None:
            try:
                mirror(stored.files.folder)
            except Exception as error:
                log.warning("%s was not brought up to date: %s", name, error)
