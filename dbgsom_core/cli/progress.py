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
from dbgsom_core.plugins.callbacks import line

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
            observer = BarObserver(bar, runs, clock)
            try:
                yield observer
            finally:
                observer.clear()
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
    """Shows a rich bar for each run that goes on, and a line for each that has ended."""

    def __init__(self, bar: Any, runs: int, clock: CompileClock) -> None:
        self._bar, self._runs = bar, runs
        self._clock = clock
        self._going: dict[str, tuple[Any, str, _Trained]] = {}
        self._begun = 0

    def dbgsom_run_started(self, run: Run) -> None:
        """Print the run's name and add a bar below it."""
        if run.kind != "run":
            return
        self._begun += 1
        number = f"{self._begun}/{self._runs} " if self._runs > 1 else ""
        self._print(f"{number}{run.name}")
        task = self._bar.add_task(number, total=run.total_epochs, neurons=0, error="-", left="")
        self._going[run.id] = task, number, _Trained(self._clock)

    def kept(self) -> None:
        """Count a run of a sweep that had finished before."""
        self._begun += 1

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        """Move the bar."""
        task, _, trained = self._going[run.id]
        self._bar.update(
            task,
            completed=epoch.epoch,
            total=epoch.epochs,  # fewer than planned where a full map goes on to fine-tuning
            neurons=epoch.neurons,
            error=f"{epoch.quantization_error:.4g}",
            left=trained.left(epoch),
        )

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Fill the bar: training may have converged before the last epoch. Of many, print a line.

        Many bars would be higher than the terminal.
        """
        if run.id not in self._going:
            return
        task, number, _ = self._going.pop(run.id)
        if self._runs > 1:
            self._bar.remove_task(task)
            if result.history:
                self._print(f"{number}{_done(result.history[-1])}")
        elif result.history:
            ran = result.history[-1].epoch
            self._bar.update(task, completed=ran, total=ran, left="")

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        """Take the bar away, and leave a line that says how far it came."""
        if run.id in self._going:
            self._stop(run.id)

    def clear(self) -> None:
        """Take away the bars of runs of which nobody said how they ended."""
        for id in [*self._going]:
            self._stop(id)

    def _stop(self, id: str) -> None:
        task, number, trained = self._going.pop(id)
        self._bar.remove_task(task)
        if trained.last is not None:
            self._print(f"{number}{line(trained.last)}  stopped")

    def say(self, told: str) -> None:
        """Print a sentence."""
        self._print(told)

    def _print(self, text: str) -> None:
        self._bar.console.print(as_text(text), markup=False, highlight=False)


class LineObserver:
    """Prints a line when a run starts, every two seconds (every epoch with -v), and at its end."""

    def __init__(self, runs: int, clock: CompileClock) -> None:
        self._runs, self._begun = runs, 0
        self._clock = clock
        self._going: dict[str, tuple[str, _Trained]] = {}
        self._last_line: dict[str, float] = {}

    def dbgsom_run_started(self, run: Run) -> None:
        """Say which run starts."""
        if run.kind == "run":
            self._begun += 1
            number = f"[{self._begun}/{self._runs}] " if self._runs > 1 else ""
            _print(f"{number}{run.name}: {run.data['samples']} × {run.data['features']} samples")
            self._going[run.id] = number, _Trained(self._clock)
            self._last_line[run.id] = time.monotonic()

    def kept(self) -> None:
        """Count a run of a sweep that had finished before."""
        self._begun += 1

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        """Print the epoch now and then, with the time that is left at most."""
        number, trained = self._going[run.id]
        left = trained.left(epoch)
        if output.verbose or time.monotonic() - self._last_line[run.id] >= _SECONDS_BETWEEN_LINES:
            _print(f"{number}{line(epoch)}  {left}")
            self._last_line[run.id] = time.monotonic()

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Print the last epoch."""
        number, _ = self._going.pop(run.id, ("", None))
        if result.history:
            _print(f"{number}{_done(result.history[-1])}")

    def say(self, told: str) -> None:
        """Print a sentence."""
        _print(told)


def _done(last: EpochRecord) -> str:
    return f"{line(last)}  done in {last.seconds:.2f} s"


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

    def say(self, told: str) -> None:
        """Tell how far a sweep is."""
        output.event("info", "sweep", told)


def _event(run: Run, event: str, message: str, level: str = "info", **fields: Any) -> None:
    output.event(level, event, message, run=run.id, **fields)


class _Trained:
    """How long a training took so far without what was compiled meanwhile."""

    def __init__(self, clock: CompileClock) -> None:
        self._clock = clock
        self._seconds, self._compiled, self._spent = 0.0, clock.seconds, 0.0
        self.last: EpochRecord | None = None

    def left(self, epoch: EpochRecord) -> str:
        """Say how long the epochs that are left take at most."""
        self.last = epoch
        seconds, compiled = epoch.seconds, self._clock.seconds
        self._spent += max(seconds - self._seconds - (compiled - self._compiled), 0.0)
        self._seconds, self._compiled = seconds, compiled
        return f"ETA {self._spent / epoch.epoch * (epoch.epochs - epoch.epoch):.0f} s"


def _print(text: str) -> None:
    print(as_text(text), file=sys.stderr, flush=True)
