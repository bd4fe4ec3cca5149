"""Progress of a run on standard error: a bar on a terminal, plain lines elsewhere, or JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from dbgsom_core.cli.console import output, unescaped
from dbgsom_core.engine.runtime import CompileClock, compile_clock
from dbgsom_core.errors import as_text
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.callbacks import line

_SECONDS_BETWEEN_LINES = 2.0
_RUN_FIELDS = ("name", "experiment", "kind", "data", "tags")
_EPOCH_FIELDS = ("epoch", "epochs", "phase", "neurons", "quantization_error", "width", "movement",
                 "seconds")  # fmt: skip


@contextmanager
def show_progress(runs: int = 1) -> Iterator[Any]:
    """Yield a callback that shows the progress of so many runs, or nothing with ``-q``."""
    if output.quiet:
        yield object()
    elif output.lines is not None:
        with compile_clock(partial(output.event, "info", "compiling")):
            yield JsonDisplay()
    elif sys.stderr.isatty() and not output.verbose:
        with _make_bar() as bar, compile_clock(bar.console.print) as clock:
            display = TextDisplay(runs, clock, bar)
            try:
                yield display
            finally:
                display.clear()
    else:
        with compile_clock(_print) as clock:
            yield TextDisplay(runs, clock)


def _make_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.completed}/{task.total}"),
        TextColumn("{task.fields[neurons]} neurons"),
        TextColumn("QE {task.fields[error]}"),
        TextColumn("{task.fields[left]}"),
        console=Console(file=unescaped(sys.stderr)),
    )


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _RunState:
    """What a display knows of a run: its number, last epoch, and time without compilation."""

    def __init__(self, number: str, clock: CompileClock, task: Any) -> None:
        self.number, self.task = number, task
        self.last: EpochRecord | None = None
        self.shown = time.monotonic()
        self._clock, self._compiled = clock, clock.seconds
        self._spent = 0.0

    def add(self, epoch: EpochRecord) -> str:
        """Add an epoch and return how long the epochs that are left take at most."""
        before = 0.0 if self.last is None else self.last.seconds
        compiled, self._compiled = self._clock.seconds - self._compiled, self._clock.seconds
        self._spent += max(epoch.seconds - before - compiled, 0.0)
        self.last = epoch
        return f"ETA {self._spent / epoch.epoch * (epoch.epochs - epoch.epoch):.0f} s"


class TextDisplay:
    """Prints a line when a run starts, every two seconds (every epoch with -v), and at its end.

    With a rich bar each run that goes on has a bar, and those that have ended a line above it.
    """

    def __init__(self, runs: int, clock: CompileClock, bar: Any = None) -> None:
        self._runs, self._begun, self._clock, self._bar = runs, 0, clock, bar
        self._running: dict[str, _RunState] = {}

    def dbgsom_run_started(self, run: Run) -> None:
        """Print the name and the size of the data."""
        if run.kind == "run":
            self._begun += 1
            number = f"[{self._begun}/{self._runs}] " if self._runs > 1 else ""
            self.say(f"{number}{run.name}: {run.data['samples']} × {run.data['features']} samples")
            fields = {"total": run.total_epochs, "neurons": 0, "error": "-", "left": ""}
            task = None if self._bar is None else self._bar.add_task(number, **fields)
            self._running[run.id] = _RunState(number, self._clock, task)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        """Show the epoch, with the time that is left at most."""
        state = self._running[run.id]
        left = state.add(epoch)
        if self._bar is not None:
            self._bar.update(
                state.task,
                completed=epoch.epoch,
                total=epoch.epochs,  # fewer than planned where a full map goes on to fine-tuning
                neurons=epoch.neurons,
                error=f"{epoch.quantization_error:.4g}",
                left=left,
            )
        elif output.verbose or time.monotonic() - state.shown >= _SECONDS_BETWEEN_LINES:
            self.say(f"{state.number}{line(epoch)}  {left}")
            state.shown = time.monotonic()

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Print the last epoch."""
        self._end(run.id, "done", result.history[-1] if result.history else None)

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        """Print how far the run came."""
        self._end(run.id, "stopped")

    def kept(self) -> None:
        """Count a run of a sweep that had finished before."""
        self._begun += 1

    def clear(self) -> None:
        """End runs whose end was never reported."""
        for id in [*self._running]:
            self._end(id, "stopped")

    def _end(self, id: str, how: str, last: EpochRecord | None = None) -> None:
        state = self._running.pop(id, None)
        if state is not None:
            if self._bar is not None:
                self._bar.remove_task(state.task)
            if (last := last or state.last) is not None:
                self.say(f"{state.number}{line(last)}  {how} in {last.seconds:.2f} s")

    def say(self, text: str) -> None:
        """Print a sentence, above the bars where there are any."""
        if self._bar is None:
            _print(text)
        else:
            self._bar.console.print(as_text(text), markup=False, highlight=False)


class JsonDisplay:
    """Writes an object for each event of a run, with all that the event holds."""

    def dbgsom_run_started(self, run: Run) -> None:
        """Write which run starts."""
        fields = {name: getattr(run, name) for name in _RUN_FIELDS}
        fields |= {"parent": run.parent and run.parent.id, "folder": str(run.folder)}
        output.event("info", "run_started", run.name, run=run.id, epochs=run.total_epochs, **fields)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        """Write the epoch."""
        fields = {name: getattr(epoch, name) for name in _EPOCH_FIELDS}
        output.event("info", "epoch", line(epoch), run=run.id, **fields)

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Write the measures."""
        message = f"{run.name} has finished"
        output.event("info", "run_finished", message, run=run.id, measures=result.measures)

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        """Write why it ended early."""
        output.event("error", "run_failed", f"{type(error).__name__}: {error}", run=run.id)

    def say(self, text: str) -> None:
        """Write how far a sweep is."""
        output.event("info", "sweep", text)
