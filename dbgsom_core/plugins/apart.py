"""Work in a process of its own that tells how far it is: it may die or hang, and is ended then."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from dbgsom_core.plugins.apart import serve; serve()"
)


class Apart:
    """A process that runs ``module.work(task, tell)`` and hands over what it tells.

    Parameters
    ----------
    module : str
    task : mapping
        Plain JSON values.
    limit : float
        Seconds from one line to the next.
    environment : mapping, optional
        Variables besides those of this process.

    Attributes
    ----------
    ended : str
        How it ended early, in words; empty while all is well.
    """

    def __init__(
        self,
        module: str,
        task: Mapping[str, Any],
        limit: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.limit, self.ended = limit, ""
        paths = [path for path in sys.path if path]
        words = [sys.executable, "-c", _BOOT, json.dumps(paths), module, json.dumps(task)]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # so that what it starts ends with it
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield what the process tells until it has done everything, or ``ended`` says why not."""
        try:
            while True:
                line = self._lines.get(timeout=self.limit)
                told = json.loads(line) if line else {}
                if told.get("apart") == "done":
                    return
                if not line:
                    code = self._process.wait(self.limit)
                    by = f"signal {-code}" if code < 0 else f"exit code {code}"
                    self.ended = f"ended the process ({by})"
                    return
                yield told
        except (queue.Empty, subprocess.TimeoutExpired):
            self.ended = f"took longer than {self.limit:g} s"
        finally:
            self.close()

    def close(self) -> None:
        """End the process, whatever it does, and what it has started."""
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        self._reader.join(1.0)  # what has left the process group may hold the pipe open
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()


def serve() -> None:
    """Do the work of the process that `Apart` started."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anybody prints is no answer

    def tell(line: Mapping[str, Any]) -> None:
        print(json.dumps(line), file=answer, flush=True)

    import_module(sys.argv[2]).work(json.loads(sys.argv[3]), tell)
    tell({"apart": "done"})
    if hasattr(os, "killpg"):
        os.kill(os.getpid(), signal.SIGKILL)  # threads that somebody left behind end with it
