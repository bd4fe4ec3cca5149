"""Progress of a run: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from dbgsom_core.cli.masking import styled
from dbgsom_core.cli.output import output
from dbgsom_core.engine.compiling import CompileClock, compile_clock
from dbgsom_core.errors import as_text
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.observers import line

_SECONDS_BETWEEN_LINES = 2.0


@contextmanager
def progress(quiet: bool, runs: int = 1) -> Iterator[Any]:
    """Yield an observer that shows progress on standard error.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    runs : int
        How many runs there will be.
    """
    if quiet:
        yield object()
    elif output.lines is not None:
        with compile_clock(partial(output.event, "info", "compiling")):
            yield JsonObserver()
    elif sys.stderr.isatty() and not output.verbose:
        with _bar() as bar, compile_clock(bar.console.print) as clock:
            yield BarObserver(bar, runs, clock)
    else:
        with compile_clock(_print) as clock:
            yield LineObserver(runs, clock)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.completed}/{task.total}"),
        TextColumn("{task.fields[neurons]} neurons"),
        TextColumn("QE {task.fields[error]}"),
        TextColumn("{task.fields[left]}"),
        console=Console(file=styled(sys.stderr)),
    )


class BarObserver:
    """Shows one rich bar per run."""

    def __init__(self, bar: Any, runs: int, clock: CompileClock) -> None:
        self._bar, self._runs = bar, runs
        self._clock, self._trained = clock, _Trained(clock)
        self._tasks: dict[str, Any] = {}

    def dbgsom_run_started(self, run: Run) -> None:
        """Print the run's name and add a bar below it."""
        if run.kind != "run":
            return
        number = f"{len(self._tasks) + 1}/{self._runs} " if self._runs > 1 else ""
        self._bar.console.print(as_text(f"{number}{run.name}"), markup=False, highlight=False)
        self._tasks[run.id] = self._bar.add_task(
            number, total=run.total_epochs, neurons=0, error="-", left=""
        )
        self._trained = _Trained(self._clock)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        """Move the bar."""
        self._bar.update(
            self._tasks[run.id],
            completed=epoch.epoch,
            total=epoch.epochs,  # fewer than planned where a full map goes on to fine-tuning
            neurons=epoch.neurons,
            error=f"{epoch.quantization_error:.4g}",
            left=self._trained.left(epoch),
        )

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Fill the bar: training may have converged before the last epoch."""
        if run.id in self._tasks:
            ran = len(result.history)
            self._bar.update(self._tasks[run.id], completed=ran, total=ran, left="")


class LineObserver:
    """Prints a line when a run starts, every two seconds (every epoch with -v), and at its end."""

    def __init__(self, runs: int, clock: CompileClock) -> None:
        self._runs, self._number = runs, 0
        self._clock, self._trained = clock, _Trained(clock)
        self._last_line = 0.0

    def dbgsom_run_started(self, run: Run) -> None:
        """Say which run starts."""
        if run.kind == "run":
            self._number += 1
            number = f"[{self._number}/{self._runs}] " if self._runs > 1 else ""
            _print(f"{number}{run.name}: {run.data['samples']} × {run.data['features']} samples")
            self._last_line, self._trained = time.monotonic(), _Trained(self._clock)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        """Print the epoch now and then, with the time that is left at most."""
        left = self._trained.left(epoch)
        if output.verbose or time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            _print(f"{line(epoch)}  {left}")
            self._last_line = time.monotonic()

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Print the last epoch."""
        if result.history:
            last = result.history[-1]
            _print(f"{line(last)}  done in {last.seconds:.2f} s")


class JsonObserver:
    """Writes an object for each event of a run, with all that the event holds."""

    def dbgsom_run_started(self, run: Run) -> None:
        """Say which run starts."""
        _event(
            run,
            "run_started",
            run.name,
            name=run.name,
            experiment=run.experiment,
            kind=run.kind,
            parent=None if run.parent is None else run.parent.id,
            folder=str(run.folder),
            data=run.data,
            tags=run.tags,
            epochs=run.total_epochs,
        )

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        """Tell the epoch."""
        told = ("epoch", "epochs", "phase", "neurons", "quantization_error", "width", "movement",
                "seconds")  # fmt: skip
        _event(run, "epoch", line(epoch), **{name: getattr(epoch, name) for name in told})

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Tell the measures."""
        _event(run, "run_finished", f"{run.name} has finished", measures=result.measures)

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        """Tell why it ended early."""
        told = f"{type(error).__name__}: {error}"
        _event(run, "run_failed", told, level="error")


def _event(run: Run, event: str, message: str, level: str = "info", **fields: Any) -> None:
    output.event(level, event, message, run=run.id, **fields)


class _Trained:
    """How long a training took so far without what was compiled meanwhile."""

    def __init__(self, clock: CompileClock) -> None:
        self._clock = clock
        self._seconds, self._compiled, self._spent = 0.0, clock.seconds, 0.0

    def left(self, epoch: EpochRecord) -> str:
        """Say how long the epochs that are left take at most."""
        seconds, compiled = epoch.seconds, self._clock.seconds
        self._spent += max(seconds - self._seconds - (compiled - self._compiled), 0.0)
        self._seconds, self._compiled = seconds, compiled
        return f"ETA {self._spent / epoch.epoch * (epoch.epochs - epoch.epoch):.0f} s"


def _print(text: str) -> None:
    print(as_text(text), file=sys.stderr, flush=True)
