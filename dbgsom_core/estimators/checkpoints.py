"""Checkpoints of a fit: files from which another process goes on to the same bits.

A checkpoint is a zip of .npy arrays and a JSON header, as model files are, and runs nothing either.
It says of what fit it is: by the facts on which the map depends.
"""

from __future__ import annotations

import glob
import hashlib
import json
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

from dbgsom_core.engine.samples import Samples
from dbgsom_core.engine.tables import each_range
from dbgsom_core.errors import CheckpointError, PluginError, callers_level
from dbgsom_core.estimators.allow_list import NotPlainError, from_plain, to_plain
from dbgsom_core.estimators.archive import ArchiveError, one_line, opened_archive
from dbgsom_core.interfaces.component import flat
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.tables.safe_files import write_atomically
from dbgsom_core.training.checkpoint import Checkpointer, States, TrainingState
from dbgsom_core.training.config import Held, Settings
from dbgsom_core.training.parts import FittedMetric, Parts
from dbgsom_core.training.stopping import BY_CALLBACK
from dbgsom_core.training.targets import Target

log = logging.getLogger("dbgsom")

FORMAT = 2
_DIGESTED = 1 << 22  # bytes of a table that are digested at a time
Facts = Mapping[str, str]


@dataclass(frozen=True)
class Checkpoints:
    """Where a fit writes checkpoints, and how often.

    Attributes
    ----------
    path : Path
    seconds : float
        After which one is written, see `Checkpointer`. 0: every epoch.
    stays : bool
        Whether they are there still when the fit has ended.
    first : callable, optional
        Called before each is written: what must be on the disk by then.
    """

    path: Path
    seconds: float = 1.0
    stays: bool = False
    first: Callable[[], object] | None = None
    _warned: list[str] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of(cls, given: Any) -> Checkpoints | None:
        """Return what the parameter ``checkpoint`` of an estimator means; None: none."""
        if given is None or isinstance(given, Checkpoints):
            return given
        if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
            raise ValueError(f"checkpoint must be the path of a file, or None, not {given!r}")
        return cls(Path(os.fsdecode(given)))

    def progress(self, facts: Facts, random_state: Any = None) -> Checkpointer:
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
            self._check(found["facts"], facts)
            states = found["states"]
            if found["random"] is not None and isinstance(random_state, np.random.RandomState):
                random_state.set_state(found["random"])
            epochs = sum(len(state.history) for state in states.values())
            log.info("training goes on after %d epochs, from %s", epochs, self.path)

        def write(states: States) -> None:
            self._write(facts, states, random_state)

        return Checkpointer(states, write, self.seconds)

    def ended(self) -> None:
        """Take the checkpoint away unless it stays: the fit has ended."""
        if not self.stays:
            self.remove()

    def remove(self) -> None:
        """Take the checkpoint away."""
        self.path.unlink(missing_ok=True)

    # ------------------------------------------------------------------------------ files

    def _write(self, facts: Facts, states: States, random_state: Any) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        generator = isinstance(random_state, np.random.RandomState)
        try:
            plain = [
                [list(path), to_plain(state.plain(), arrays, "what growth remembers")]
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
        text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)

        def write(partial: Path) -> None:
            with partial.open("wb") as file:
                np.savez(file, **{**arrays, "header": text})  # type: ignore[arg-type]

        try:
            if self.first is not None:
                self.first()
            write_atomically(self.path, write)
        except OSError as error:
            if not self._warned:  # the training is worth more than its checkpoints
                self._warned.append(str(error))
                warnings.warn(
                    f"checkpoint {self.path} cannot be written ({error}); training goes on without",
                    stacklevel=callers_level(),
                )

    def _read(self) -> dict[str, Any] | None:
        """Return facts, states and the state of the generator; None where there is no file."""
        try:
            with opened_archive(self.path) as archive:
                header, take = archive.header, archive.take
                if header["checkpoint"] != FORMAT:
                    raise ArchiveError(f"has a format that dbgsom-core {__version__} does not read")
                states = {
                    tuple(map(int, path)): TrainingState.of_plain(from_plain(state, take))
                    for path, state in header["states"]
                }
                random = from_plain(header["random"], take)
                return {"facts": dict(header["facts"]), "states": states, "random": random}
        except FileNotFoundError:
            return None
        except (ArchiveError, OSError) as error:
            raise CheckpointError(
                f"{self.path} {one_line(error)}; remove it to train from the beginning"
            ) from error

    def _check(self, was: Facts, now: Facts) -> None:
        differences = [
            f"{name} was {was.get(name, 'not there')} and is {now.get(name, 'not there')}"
            for name in dict.fromkeys((*was, *now))
            if was.get(name) != now.get(name)
        ]
        if differences:
            raise CheckpointError(
                f"checkpoint {self.path} is of another fit: {'; '.join(differences)}. Give the "
                "same again to go on with it, or remove it, or name another file, to train from "
                "the beginning"
            )


@dataclass(frozen=True)
class Snapshot(Checkpoints):
    """A checkpoint at which training ends: a fit to the same samples has the map of that epoch.

    It trains no epoch; labels, novelty and all else that an estimator knows are those of this map.
    Who gives it as ``checkpoint`` answers for it that samples and parameters are those of the
    training.

    Attributes
    ----------
    history : sequence of EpochRecord
        The epochs up to this one.
    """

    history: Sequence[EpochRecord] = ()

    def keep(self, epoch: EpochRecord) -> None:
        """Write the map of an epoch, while callbacks hear of it."""
        state = TrainingState(epoch.som_map, [epoch], epoch.epochs, stopped=BY_CALLBACK)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write({}, {(): state}, None)

    def progress(self, facts: Facts, random_state: Any = None) -> Checkpointer:
        """Return the training as it was, at its end."""
        found = self._read()
        if found is None:
            raise CheckpointError(f"there is no {self.path}")
        states = found["states"]
        states[()] = replace(states[()], history=list(self.history) or states[()].history)
        return Checkpointer(states)

    def ended(self) -> None:
        """Leave it where it is."""


# -------------------------------------------------------------------------------- what fit it is


def facts_of(
    parts: Parts,
    metric: FittedMetric,
    samples: Samples,
    target: Target | None,
    settings: Settings,
    start: SomMap | None,
    new: int | None,
    validation: Held | None = None,
) -> dict[str, str]:
    """Return everything on which the bits of a fit depend, by names that a user knows.

    The engine is not among them, since no bit depends on it.
    """
    facts: dict[str, Any] = {"dbgsom-core": __version__, "X": samples.X, "y": None}
    if target is not None:
        facts |= {"y": target.y, "classes": target.codes}
    facts["sample_weight"] = samples.weights
    for part, kind, component in parts.each():
        if part != "engine":
            facts |= _component(part, kind, component)
    facts.setdefault("init", parts.init)
    if validation is not None:
        facts["validation"] = validation.samples.X
        if validation.target is not None:
            facts["validation targets"] = validation.target.y
    facts |= {f"metric learns {name}": value for name, value in (metric.state or {}).items()}
    facts |= vars(settings)
    if start is not None:
        facts |= {"map at the start": start.prototypes, "its cells": start.positions}
        facts["new samples"] = "all" if new is None else new
    return {name: _described(value) for name, value in facts.items()}


def _component(part: str, kind: str, component: Any) -> dict[str, str]:
    try:
        identity = get_registry().identify(kind, component)
    except PluginError:  # of the user's own program
        return {part: repr(component)}
    named = f"{identity.name} of {identity.distribution} {identity.version}"
    fields = flat(component.model_dump(mode="json"))
    return {part: named} | {f"{part}.{name}": repr(value) for name, value in fields.items()}


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
    """Return 16 hexadecimal digits that other values, shapes or dtypes give otherwise.

    Parameters
    ----------
    X : array (n, …), array of texts or objects, CSR matrix, or table
        Rows are read where slices of it are.
    """
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
