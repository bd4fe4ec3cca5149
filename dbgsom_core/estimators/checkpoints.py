"""Checkpoint files, from which a fit resumes to the same bits.

A checkpoint is an archive without code, as model files are. It identifies its fit by all facts on
which the map depends.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.partitions import each_range
from dbgsom_core.errors import CheckpointError, PluginError, callers_level
from dbgsom_core.estimators.archive import (
    ArchiveError,
    NotPlainError,
    from_plain,
    open_archive,
    printable_line,
    to_plain,
    write_archive,
)
from dbgsom_core.interfaces.component import flat
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.training.parts import FittedMetric
from dbgsom_core.training.state import (
    Checkpointer,
    FitTask,
    States,
    read_state,
    write_state,
)

log = logging.getLogger("dbgsom")

FORMAT = 4
Facts = Mapping[str, str]


class Stored(NamedTuple):
    """What a checkpoint file holds."""

    facts: Facts
    states: States
    random: Any  # the state of the estimator's generator, if it has one
    extra: Mapping[str, Any]  # plain values and arrays of the caller


def read_checkpoint(path: Path) -> Stored | None:
    """Return what a file holds; None where there is no file."""
    try:
        with open_archive(path) as archive:
            header = archive.header
            if header["checkpoint"] != FORMAT:
                raise ArchiveError(f"has a format that dbgsom-core {__version__} does not read")
            states = {}
            for neurons, plain in header["states"]:
                states[tuple(map(int, neurons))] = read_state(from_plain(plain, archive.take))
            random = from_plain(header["random"], archive.take)
            extra = from_plain(header["extra"], archive.take)
            return Stored(dict(header["facts"]), states, random, extra)
    except FileNotFoundError:
        return None
    except (ArchiveError, OSError) as error:
        raise CheckpointError(
            f"{path} {printable_line(error)}; remove it to train from the beginning"
        ) from error


def write_checkpoint(
    path: Path,
    facts: Facts,
    states: States,
    random: Any = None,
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write facts and states, the state of a generator, and ``extra``, for `read_checkpoint`."""
    arrays: dict[str, NDArray[Any]] = {}
    try:
        header = {
            "checkpoint": FORMAT,
            "facts": dict(facts),
            "random": to_plain(random, arrays),
            "extra": to_plain(extra, arrays),
            "states": [
                [list(neurons), to_plain(write_state(state), arrays, "what growth remembers")]
                for neurons, state in states.items()
            ],
        }
    except NotPlainError as error:
        raise PluginError(
            f"no checkpoint can be written, as it {error}; the state of a growth strategy may hold "
            "plain values and arrays of numbers"
        ) from error
    write_archive(path, header, arrays)


@dataclass(frozen=True)
class Checkpoints:
    """Path and interval of a fit's checkpoints."""

    path: Path
    seconds: float = 1.0  # see `Checkpointer`
    stays: bool = False  # whether the file is kept after the fit
    extra: Callable[[], Mapping[str, Any]] | None = None  # what the file holds besides
    _warned: list[str] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def from_parameter(cls, checkpoint: Any) -> Checkpoints:
        """Return the checkpoints of an estimator's parameter ``checkpoint``."""
        if isinstance(checkpoint, Checkpoints):
            return checkpoint
        if not isinstance(checkpoint, (str, os.PathLike)) or not os.fspath(checkpoint):
            raise ValueError(f"checkpoint must be the path of a file, or None, not {checkpoint!r}")
        return cls(Path(os.fsdecode(checkpoint)))

    def resume(self, facts: Facts, random_state: Any = None) -> Checkpointer:
        """Return the checkpointer of the fit with these facts, with the states in the file.

        A ``random_state`` that is a generator is set to its state there.
        """
        if self.path.is_dir():
            raise CheckpointError(f"checkpoint {self.path} is a folder; give the path of a file")
        stem, suffix = glob.escape(self.path.stem), glob.escape(self.path.suffix)
        for left in self.path.parent.glob(f".{stem}-????????????{suffix}"):
            left.unlink(missing_ok=True)  # of a process killed while writing, see `files`
        generator = random_state if isinstance(random_state, np.random.RandomState) else None
        states: States = {}
        stored = read_checkpoint(self.path)
        if stored is not None and stored.states:
            self._check_same(stored.facts, facts)
            states = stored.states
            if generator is not None and stored.random is not None:
                generator.set_state(stored.random)
            epochs = sum(len(state.history) for state in states.values())
            log.info("training goes on after %d epochs, from %s", epochs, self.path)

        def write(states: States) -> None:
            self.write(facts, states, generator)

        return Checkpointer(states, write, self.seconds)

    def _check_same(self, was: Facts, now: Facts) -> None:
        differences = []
        for name in {**was, **now}:
            before, after = was.get(name, "not there"), now.get(name, "not there")
            if before != after:
                differences.append(f"{name} was {before} and is {after}")
        if differences:
            raise CheckpointError(
                f"checkpoint {self.path} is of another fit: {'; '.join(differences)}. Give the "
                "same again to go on with it, or remove it, or name another file, to train "
                "from the beginning"
            )

    def write(
        self, facts: Facts, states: States, generator: np.random.RandomState | None = None
    ) -> None:
        """Write the file; a disk that cannot be written to is warned of once."""
        random = None if generator is None else generator.get_state()
        try:
            extra = {} if self.extra is None else self.extra()
            write_checkpoint(self.path, facts, states, random, extra)
        except OSError as error:
            if not self._warned:  # training continues without checkpoints
                self._warned.append(str(error))
                warnings.warn(
                    f"checkpoint {self.path} cannot be written ({error}); training goes on without",
                    stacklevel=callers_level(),
                )


# ------------------------------------------------------------------------ identity of a fit


def facts_of(task: FitTask, metric: FittedMetric) -> dict[str, str]:
    """Return all inputs on which the bits of a fit depend, by names that users know.

    The engine is not among them: no bit depends on it.
    """
    samples, target, start = task.samples, task.target, task.start
    facts: dict[str, Any] = {"dbgsom-core": __version__, "X": samples.X, "y": None}
    if target is not None:
        facts |= {"y": target.y, "classes": target.codes}
    facts["sample_weight"] = samples.weights
    for part, kind, component in task.parts.each():
        if part == "engine":
            continue
        entry = get_registry().offer_of(kind, type(component))
        if entry is None:  # of the user's own program
            facts[part] = repr(component)
            continue
        facts[part] = f"{entry.name} of {entry.distribution} {entry.version}"
        for name, value in flat(component.model_dump(mode="json")).items():
            facts[f"{part}.{name}"] = repr(value)
    facts.setdefault("init", task.parts.init)
    if task.validation is not None:
        unseen, its_target = task.validation
        facts["validation"] = unseen.X
        if its_target is not None:
            facts["validation targets"] = its_target.y
    for name, value in (metric.state or {}).items():
        facts[f"metric learns {name}"] = value
    facts |= task.settings
    if start is not None:
        facts |= {"map at the start": start.prototypes, "its cells": start.positions}
        facts["new samples"] = "all" if task.new is None else task.new
    return {name: _describe(value) for name, value in facts.items()}


def _describe(value: Any) -> str:
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
    """Return a digest of values, shape and dtype, 16 hexadecimal digits."""
    digest = hashlib.sha256(f"{X.dtype.str} {X.shape}".encode())
    if issparse(X):
        for part in (X.indptr, X.indices, X.data):
            digest.update(data_digest(part).encode())
    else:
        for digest_of_rows in each_range(X, _digest_of_rows, 1):
            digest.update(digest_of_rows)
    return digest.hexdigest()[:16]


def _digest_of_rows(X: Any) -> bytes:  # also on workers
    part = np.ascontiguousarray(X)
    raw = repr(part.tolist()).encode() if part.dtype == object else part.tobytes()
    return hashlib.sha256(raw).digest()
