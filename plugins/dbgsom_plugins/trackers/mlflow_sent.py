"""What of a run folder was sent to which store, noted there, so that it is not sent again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbgsom_core.api import DbgsomError, masked
from dbgsom_core.runs.folder import RunFiles, read_config, read_json, read_status, write_json
from dbgsom_plugins.trackers.mlflow_address import is_masked, store_of

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_LOOKED_AT = 200  # runs, the newest ones, that may have been missed
_NAME = "mlflow.json"  # where: {store: fingerprint of the folder as it was sent}
_SECONDS_TO_WAIT = 60.0  # for another process that sends the same run


def place(uri: str, experiment: str | None, register: str | None) -> str:
    """Return what a store and a place in it are called in the notes: no password is in it."""
    return f"{masked(uri).replace('***@', '')} {experiment} {register}"


def is_noted(files: RunFiles, where: str) -> bool:
    """Say whether a folder was sent to a store just as it is now."""
    return _notes(files.folder).get(where) == _fingerprint(files)


def has_model(files: RunFiles) -> bool:
    """Say whether a run that goes on has kept its model with an example, which is written last."""
    return files.output_example.exists()


def note(files: RunFiles, where: str) -> None:
    """Note that a folder was sent to a store whole; a folder that cannot be written stays as is."""
    with contextlib.suppress(OSError):
        if files.run.exists():
            notes = _notes(files.folder) | {where: _fingerprint(files)}
            write_json(files.folder / _NAME, notes)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let no other process of this machine make or end the MLflow run of a folder meanwhile.

    Raises
    ------
    DbgsomError
        Another process does not come to an end with it.
    """
    opened = _locked(folder / _NAME) if fcntl is not None else None
    try:
        yield
    finally:
        if opened is not None:
            os.close(opened)


def _locked(path: Path) -> int | None:
    """Lock a file, which is made where it is missing; None where that cannot be."""
    until = time.monotonic() + _SECONDS_TO_WAIT
    while time.monotonic() < until:
        try:
            opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW, 0o666)
        except OSError:
            return None
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(opened), path.stat()):  # it was not written anew meanwhile
                return opened
        except BlockingIOError:
            pass
        except OSError:  # a file system without locks, or the folder is gone
            os.close(opened)
            return None
        os.close(opened)
        time.sleep(0.02)
    raise DbgsomError(f"another process is sending run {path.parent.name} to MLflow")


def missed(folder: Path, uri: str, experiment: str | None, register: str | None) -> list[Path]:
    """Return the ended runs beside ``folder`` that were to be sent to this place and were not."""
    beside = sorted((one for one in folder.parent.iterdir() if one != folder), reverse=True)
    return [one for one in beside[:_LOOKED_AT] if _is_missed(one, uri, experiment, register)]


def _is_missed(folder: Path, uri: str, experiment: str | None, register: str | None) -> bool:
    stored, files = read_status(folder), RunFiles(folder)
    if stored.damage or stored.status == "running" or not files.config.exists():
        return False
    if is_noted(files, place(uri, experiment, register)):
        return False
    tracking = read_config(files).get("tracking")
    return any(
        isinstance(one, Mapping)
        and one.get("name") == "mlflow"
        and (one.get("experiment"), one.get("registered_model")) == (experiment, register)
        and isinstance(one.get("uri"), str)
        and (one["uri"] == masked(uri) or _means(one["uri"], folder, uri))
        for one in (tracking if isinstance(tracking, list) else ())
    )


def _means(written: str, folder: Path, uri: str) -> bool:
    return not is_masked(written) and store_of(written, folder) == store_of(uri, folder)


def _notes(folder: Path) -> dict[str, object]:
    return dict(read_json(folder / _NAME))


def _fingerprint(files: RunFiles) -> str:
    digest = hashlib.sha256()
    for path in _sent(files):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            digest.update(f"{path.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _sent(files: RunFiles) -> Iterator[Path]:
    yield from (files.status, files.run, files.config, files.environment, files.journal)
    yield files.scalars
    yield from (
        files.measures,
        files.folds,
        files.model,
        *files.epoch_models().values(),
        *files.examples,
        files.report,
        files.page,
        *files.figures(),
        *files.artifacts(),
    )
