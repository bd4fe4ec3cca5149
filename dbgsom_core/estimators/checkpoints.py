"""Files from which a fit goes on to the same bits, and the prototypes of past epochs.

A checkpoint is a zip of .npy arrays and a JSON header, as model files are, and runs nothing either.
It says of what fit it is: by the facts on which the map depends.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.tables import each_range
from dbgsom_core.errors import CheckpointError, PluginError, callers_level
from dbgsom_core.estimators.archive import (
    ArchiveError,
    NotPlainError,
    from_plain,
    one_line,
    opened_archive,
    to_plain,
    write_archive,
)
from dbgsom_core.interfaces.component import flat
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.training.parts import FittedMetric
from dbgsom_core.training.state import Checkpointer, FitTask, States, TrainingState
from dbgsom_core.training.train import BY_CALLBACK

log = logging.getLogger("dbgsom")

FORMAT = 2
_DIGESTED = 1 << 22  # bytes of a table that are digested at a time
Facts = Mapping[str, str]


@dataclass(frozen=True)
class Checkpoints:
    """Where a fit writes checkpoints, and how often."""

    path: Path
    seconds: float = 1.0  # see `Checkpointer`
    stays: bool = False  # whether they are there still when the fit has ended
    first: Callable[[], object] | None = None  # puts on the disk what must be there by then
    _warned: list[str] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of(cls, given: Any) -> Checkpoints | None:
        """Return what the parameter ``checkpoint`` of an estimator means; None: none."""
        if given is None or isinstance(given, Checkpoints):
            return given
        if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
            raise ValueError(f"checkpoint must be the path of a file, or None, not {given!r}")
        return cls(Path(os.fsdecode(given)))

    def resumed(self, facts: Facts, random_state: Any = None) -> Checkpointer:
        """Return how far a fit that these facts describe has come.

        A ``random_state`` that is a generator is set to where it was.
        """
        if self.path.is_dir():
            raise CheckpointError(f"checkpoint {self.path} is a folder; give the path of a file")
        for left in self.path.parent.glob(
            f".{glob.escape(self.path.stem)}-????????????{glob.escape(self.path.suffix)}"
        ):
            left.unlink(missing_ok=True)  # by a process that was killed while it wrote
        found = self._read()
        states: States = {}
        if found is not None:
            was, states, random = found
            differences = [
                f"{name} was {was.get(name, 'not there')} and is {facts.get(name, 'not there')}"
                for name in dict.fromkeys((*was, *facts))
                if was.get(name) != facts.get(name)
            ]
            if differences:
                raise CheckpointError(
                    f"checkpoint {self.path} is of another fit: {'; '.join(differences)}. Give the "
                    "same again to go on with it, or remove it, or name another file, to train "
                    "from the beginning"
                )
            if random is not None and isinstance(random_state, np.random.RandomState):
                random_state.set_state(random)
            epochs = sum(len(state.history) for state in states.values())
            log.info("training goes on after %d epochs, from %s", epochs, self.path)

        def write(states: States) -> None:
            self._write(facts, states, random_state)

        return Checkpointer(states, write, self.seconds)

    def _write(self, facts: Facts, states: States, random_state: Any) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        generator = isinstance(random_state, np.random.RandomState)
        try:
            plain = [
                [list(path), to_plain(state.to_dict(), arrays, "what growth remembers")]
                for path, state in states.items()
            ]
        except NotPlainError as error:
            raise PluginError(
                f"no checkpoint can be written: {error}; a growth strategy may remember plain "
                "values and arrays of numbers"
            ) from error
        header = {
            "checkpoint": FORMAT,
            "facts": dict(facts),
            "random": to_plain(random_state.get_state(), arrays) if generator else None,
            "states": plain,
        }
        try:
            if self.first is not None:
                self.first()
            write_archive(self.path, header, arrays, packed=False)
        except OSError as error:
            if not self._warned:  # the training is worth more than its checkpoints
                self._warned.append(str(error))
                warnings.warn(
                    f"checkpoint {self.path} cannot be written ({error}); training goes on without",
                    stacklevel=callers_level(),
                )

    def _read(self) -> tuple[Facts, States, Any] | None:
        """Return facts, states and the state of the generator; None where there is no file."""
        try:
            with opened_archive(self.path) as archive:
                header, take = archive.header, archive.take
                if header["checkpoint"] != FORMAT:
                    raise ArchiveError(f"has a format that dbgsom-core {__version__} does not read")
                states = {
                    tuple(map(int, path)): TrainingState.from_dict(from_plain(state, take))
                    for path, state in header["states"]
                }
                return dict(header["facts"]), states, from_plain(header["random"], take)
        except FileNotFoundError:
            return None
        except (ArchiveError, OSError) as error:
            raise CheckpointError(
                f"{self.path} {one_line(error)}; remove it to train from the beginning"
            ) from error


@dataclass(frozen=True)
class Snapshot(Checkpoints):
    """A checkpoint at which training ends: a fit to the same samples has the map of that epoch.

    It trains no epoch; labels, novelty and all else that an estimator knows are those of this map.
    Who gives it as ``checkpoint`` answers for it that samples and parameters are those of the
    training.
    """

    stays: bool = True
    history: Sequence[EpochRecord] = ()  # the epochs up to this one

    def keep(self, epoch: EpochRecord) -> None:
        """Write the map of an epoch, while callbacks hear of it."""
        state = TrainingState(epoch.som_map, [epoch], epoch.epochs, stopped=BY_CALLBACK)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write({}, {(): state}, None)

    def resumed(self, facts: Facts, random_state: Any = None) -> Checkpointer:
        found = self._read()
        if found is None:
            raise CheckpointError(f"there is no {self.path}")
        states = found[1]
        states[()] = replace(states[()], history=list(self.history) or states[()].history)
        return Checkpointer(states)


# -------------------------------------------------------------------------------- what fit it is


def facts_of(task: FitTask, metric: FittedMetric) -> dict[str, str]:
    """Return everything on which the bits of a fit depend, by names that a user knows.

    The engine is not among them, since no bit depends on it.
    """
    samples, target, start = task.samples, task.target, task.start
    facts: dict[str, Any] = {"dbgsom-core": __version__, "X": samples.X, "y": None}
    if target is not None:
        facts |= {"y": target.y, "classes": target.codes}
    facts["sample_weight"] = samples.weights
    for part, kind, component in task.parts.each():
        if part == "engine":
            continue
        try:
            identity = get_registry().identify(kind, component)
        except PluginError:  # of the user's own program
            facts[part] = repr(component)
            continue
        facts[part] = f"{identity.name} of {identity.distribution} {identity.version}"
        fields = flat(component.model_dump(mode="json"))
        facts |= {f"{part}.{name}": repr(value) for name, value in fields.items()}
    facts.setdefault("init", task.parts.init)
    if task.validation is not None:
        unseen, its_target = task.validation
        facts["validation"] = unseen.X
        if its_target is not None:
            facts["validation targets"] = its_target.y
    facts |= {f"metric learns {name}": value for name, value in (metric.state or {}).items()}
    facts |= task.settings
    if start is not None:
        facts |= {"map at the start": start.prototypes, "its cells": start.positions}
        facts["new samples"] = "all" if task.new is None else task.new
    return {name: _described(value) for name, value in facts.items()}


def _described(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "none"
    if isinstance(value, np.random.RandomState):
        _, key, *rest = value.get_state(legacy=True)
        return f"generator at {data_digest(np.asarray(key))} {rest}"
    if isinstance(value, (list, tuple)):
        value = np.asarray(value)
    if getattr(value, "shape", ()):  # an array, a CSR matrix or a table
        shape = " × ".join(map(str, value.shape))
        return f"{shape} {value.dtype} with digest {data_digest(value)}"
    return repr(value.item() if isinstance(value, np.generic) else value)


def data_digest(X: Any) -> str:
    """Return 16 hexadecimal digits that other values, shapes or dtypes give otherwise."""
    found = hashlib.sha256(f"{X.dtype.str} {X.shape}".encode())
    if issparse(X):
        for part in (X.indptr, X.indices, X.data):
            found.update(data_digest(part).encode())
        return found.hexdigest()[:16]
    width = max(1, int(np.prod(X.shape[1:])) * max(X.dtype.itemsize, 1))
    ends = [*range(0, X.shape[0], max(1, _DIGESTED // width)), X.shape[0]]
    for digest in each_range(X, list(pairwise(ends)), _digest_of_rows, 1):
        found.update(digest)
    return found.hexdigest()[:16]


def _digest_of_rows(X: Any, rows: slice) -> bytes:  # where the rows are
    part = np.ascontiguousarray(X[rows])
    raw = repr(part.tolist()).encode() if part.dtype == object else part.tobytes()
    return hashlib.sha256(raw).digest()


# ------------------------------------------------------------------------ films of growth

_MOST_VALUES = 4_000_000  # of 4 bytes


class GrowthFilm:
    """Keeps the prototypes of some epochs; give it among the ``callbacks`` of an estimator.

    ``explore`` finds it there, and its growth film then shows how variables, images and likeness
    changed, too. A fit anew begins anew. Beyond 4 million values every second frame is let go.

    Parameters
    ----------
    frames : int
        How many epochs to keep, spread evenly, and the first one.
    folder : Path, optional
        Where frames lie as well, for a training that is interrupted and goes on.

    Attributes
    ----------
    frames : dict of int to float32 array (k, D)
        By the number of the epoch, in order.
    """

    def __init__(self, frames: int = 16, folder: Path | None = None) -> None:
        if frames < 1:
            raise ValueError(f"frames must be at least 1, not {frames}")
        self._count, self._folder, self._last = frames, folder, 0
        self._frames: dict[int, NDArray[np.float32]] = {}

    def __call__(self, epoch: EpochRecord) -> None:
        """Record the prototypes of an epoch, as a callback of the estimator."""
        if epoch.epoch <= self._last:
            self._frames.clear()
        self._last = epoch.epoch
        if epoch.epoch > 1 and epoch.epoch % max(1, -(-epoch.epochs // self._count)):
            return
        frame = epoch.prototypes.astype(np.float32)
        self._frames[epoch.epoch] = frame
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            np.save(self._folder / f"{epoch.epoch}.npy", frame)
        while len(self._frames) > 1 and sum(f.size for f in self._frames.values()) > _MOST_VALUES:
            self._frames = {number: self._frames[number] for number in list(self._frames)[::2]}

    @property
    def frames(self) -> dict[int, NDArray[np.float32]]:
        """The prototypes of each epoch that is kept, also by a process before this one."""
        frames = dict(self._frames)
        first = min(self._frames, default=self._last)
        for path in () if self._folder is None else self._folder.glob("*.npy"):
            if path.stem.isdecimal() and int(path.stem) < first:
                try:
                    frames[int(path.stem)] = np.load(path, allow_pickle=False)
                except (OSError, ValueError, EOFError):
                    continue  # the process died while it was written
        return dict(sorted(frames.items()))


def frames_of(estimator: object) -> dict[int, NDArray[np.float32]]:
    """Return the frames of a film among the callbacks of an estimator, none without one."""
    callbacks = getattr(estimator, "callbacks", None)
    several = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    return next((one.frames for one in several if isinstance(one, GrowthFilm)), {})
