"""The lock of a run folder: held while its run lives, and freed by the system when it dies."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

_NAME = ".lock"
_SECONDS_BETWEEN_TOUCHES = 30.0
_SECONDS_TO_PROBE = 0.1  # others may probe at the same time
_held: set[RunLock] = set()


class RunLock:
    """The lock of one run folder; its file's age is a sign of life for other hosts.

    Where the file system knows no locks the age of the file is all that there is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _NAME
        self._lock: Any = FileLock(str(self.path))
        self._touched = 0.0

    def acquire(self, seconds: float = _SECONDS_TO_PROBE) -> bool:
        """Take the lock; return False when another process still holds it after ``seconds``."""
        until = time.monotonic() + seconds
        while True:
            try:
                left = max(until - time.monotonic(), 0.0)
                self._lock.acquire(timeout=left, poll_interval=0.01)
            except Timeout:
                return False
            except (OSError, NotImplementedError):  # a read-only folder, or one without locks
                return True
            if self._is_current():
                _held.add(self)
                return True
            self._lock.release()

    def _is_current(self) -> bool:
        # Whoever held it may have removed the file that this process had opened already.
        descriptor = _descriptor(self)
        try:
            return descriptor is None or os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def touch(self) -> None:
        """Show other hosts that the run lives; cheap enough for every epoch."""
        if time.monotonic() - self._touched > _SECONDS_BETWEEN_TOUCHES:
            self._touched = time.monotonic()
            with suppress(OSError):  # whoever writes the folder reports what is wrong with it
                os.utime(self.path)

    def release(self) -> None:
        """Free the lock, and remove its file."""
        if self in _held:
            _held.discard(self)
            with suppress(OSError):
                self.path.unlink()
        self._lock.release()

    def remove_unused(self) -> None:
        """Remove the folder, if it holds nothing else: of a run that could not even begin."""
        folder = self.path.parent
        with suppress(OSError):
            if [path.name for path in folder.iterdir()] == [_NAME]:
                self.path.unlink()
                folder.rmdir()

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def is_locked(folder: Path) -> bool | None:
    """Return whether a process of this host holds the lock of a run folder; None: unknown."""
    path = folder / _NAME
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


def _descriptor(lock: RunLock) -> int | None:
    context = getattr(lock._lock, "_context", None)
    return getattr(context, "lock_file_fd", None)


def _close_in_child() -> None:
    # A forked child has the descriptors, and would keep alive a run that it outlives. Closing them
    # keeps the lock, which release() would free for the parent, too.
    for lock in _held:
        descriptor = _descriptor(lock)
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)
            lock._lock._context.lock_file_fd = None
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
