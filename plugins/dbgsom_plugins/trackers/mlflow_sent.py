"""What of a run folder was sent to which store, noted there, so that it is not sent again."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from dbgsom_core.api import masked
from dbgsom_core.runs.folder.records import Records
from dbgsom_core.runs.folder.store import RunFiles, write_json

_NAME = "mlflow.json"  # where: {store: fingerprint of the folder as it was sent}


def place(uri: str, experiment: str | None, register: str | None) -> str:
    """Return what a store and a place in it are called in the notes: no password is in it."""
    return f"{masked(uri).replace('***@', '')} {experiment} {register}"


def is_noted(files: RunFiles, where: str) -> bool:
    """Say whether a folder was sent to a store just as it is now."""
    return _notes(files.folder).get(where) == _fingerprint(files)


def note(files: RunFiles, where: str) -> None:
    """Note that a folder was sent to a store whole; a folder that cannot be written stays as is."""
    with contextlib.suppress(OSError):
        if files.run.exists():
            notes = _notes(files.folder) | {where: _fingerprint(files)}
            write_json(files.folder / _NAME, notes)


def _notes(folder: Path) -> dict[str, object]:
    return dict(Records().json(folder / _NAME).content)


def _fingerprint(files: RunFiles) -> str:
    digest = hashlib.sha256()
    for path in _sent(files):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            digest.update(f"{path.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _sent(files: RunFiles) -> Iterator[Path]:
    yield from (files.status, files.run, files.config, files.environment, files.journal)
    yield from (
        files.measures,
        files.folds,
        files.model,
        *files.examples,
        files.report,
        *files.figures(),
    )
