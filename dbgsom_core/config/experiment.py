"""What a configuration becomes: an experiment, or a sweep of experiments."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dbgsom_core.config.schema import (
    DecideSettings,
    OptimizeSettings,
    RangeSettings,
    Split,
    StabilitySettings,
)
from dbgsom_core.config.sections import Mark, Section, mark_at
from dbgsom_core.errors import ConfigError, DbgsomError
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.privacy import Secrets

if TYPE_CHECKING:
    from dbgsom_core.interfaces.engine import Engine

Named = tuple[str, Component]


@dataclass(frozen=True)
class PrepareStep:
    """One step before training."""

    name: str  # of a built-in step or of a plugin, or ``module:Class``
    params: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""  # the class of a plugin's step as ``module:Class``


@dataclass(frozen=True)
class Model:
    """Which estimator to build, and the keyword arguments that the configuration gives it."""

    estimator: Literal["vq", "classifier", "regressor"] = "vq"
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """One validated configuration, its components built; attributes are named as the keys."""

    experiment: str
    name: str | None
    dataset: Component
    dataset_name: str
    prepare: tuple[PrepareStep, ...]
    split: Split | None  # None trains on everything
    model: Model
    seed: int
    measures: tuple[Named, ...] | None  # None is the default list of the estimator
    figures: tuple[Named, ...]
    tracking: tuple[Named, ...]
    engine: Engine
    # Every default filled, references to the environment as they were written, no password of an
    # address: plain values that load again.
    resolved: Mapping[str, Any]
    disabled: tuple[str, ...] = ()  # plugins or distributions that this run leaves alone
    patience: float = 120.0  # old configurations have it; it does nothing
    stability: StabilitySettings | None = None  # None: no refits
    tags: Mapping[str, Any] = field(default_factory=dict)
    source: str = field(default="<python>", compare=False)  # the file's name
    folder: Path = field(default_factory=Path.cwd, compare=False)  # where relative paths start
    secrets: Secrets = field(default_factory=dict, compare=False, repr=False)
    root: Section = field(default_factory=Section, compare=False, repr=False)  # what was written

    def mark(self, *steps: str | int) -> Mark:
        """Return where a value, or the section that it would stand in, is written."""
        return mark_at(self.root, steps)

    @property
    def data_called(self) -> str:
        """What sentences call the data: the name of its file, as one data set reads many."""
        path = getattr(self.dataset, "path", None)
        return Path(path).name if isinstance(path, str | Path) else self.dataset_name


@contextmanager
def estimator_errors_located(experiment: Experiment) -> Iterator[None]:
    """Turn an estimator's error about its parameters into one about the configuration.

    Its place is that of the parameter with which its sentence begins.
    """
    try:
        yield
    except DbgsomError:
        raise
    except ValueError as error:
        parameter = re.match(r"\w+", str(error))
        key = parameter[0] if parameter else ""
        if key not in experiment.model.params:
            raise ConfigError(f"{experiment.source}: model: {error}") from error
        place = experiment.mark("model", key).value
        raise ConfigError(f"{place}: model.{key}: {error}") from error


@dataclass(frozen=True)
class Child:
    """One run of a sweep: named by what varies, with the values as they were written."""

    name: str
    varies: Mapping[str, Any]
    experiment: Experiment

    @property
    def varies_beside_seed(self) -> Mapping[str, Any]:
        """What its variant changes."""
        return {key: value for key, value in self.varies.items() if key != "seed"}


@dataclass(frozen=True)
class Space:
    """What a search chooses from: by dotted key a range or a list, ``written`` as in the file."""

    settings: OptimizeSettings
    axes: Mapping[str, RangeSettings | list[Any]]
    written: Section = field(compare=False, repr=False)

    def varied(self, chosen: Mapping[str, int | float]) -> Section:
        """Return what a trial changes; of a list ``chosen`` has the position."""
        found = Section()
        for key, axis in self.axes.items():
            mark = self.written.marks[key]
            if isinstance(axis, RangeSettings):
                found.put(key, chosen[key], mark)
            else:
                at = int(chosen[key])
                inner = self.written[key].marks[at]
                found.put(key, axis[at], inner._replace(key=mark.key))
        return found

    def probes(self) -> list[Section]:
        """Return variants that have each value of each list, and both ends of each range."""
        ends = {
            key: (axis.low, axis.high) if isinstance(axis, RangeSettings) else range(len(axis))
            for key, axis in self.axes.items()
        }
        first = {key: values[0] for key, values in ends.items()}
        return [self.varied(first)] + [
            self.varied({**first, key: value})
            for key, values in ends.items()
            for value in values[1:]
        ]


@dataclass(frozen=True)
class Optimization:
    """A search for the best variant.

    ``variant`` returns the children of trial ``number``, counted from 1, for what was chosen by
    dotted key: a number, or a position in a list; it raises `ConfigError` where the values do not
    go together.
    """

    space: Space
    variant: Callable[[int, Mapping[str, int | float]], tuple[Child, ...]] = field(compare=False)


@dataclass(frozen=True)
class Sweep:
    """Several experiments that differ in a few values.

    Of a search the children are a few that show whether its values can be used; the search makes
    its own.
    """

    experiment: str
    children: tuple[Child, ...]
    resolved: Mapping[str, Any]  # with the section ``sweep``, references as they were written
    source: str
    folder: Path
    decide: DecideSettings = field(default_factory=DecideSettings)  # what "best" means
    seeds: int = 1  # children of each variant, which differ in their seed alone
    optimization: Optimization | None = None

    @property
    def runs(self) -> int:
        """How many runs there will be."""
        if self.optimization is None:
            return len(self.children)
        return self.optimization.space.settings.trials * self.seeds

    @property
    def title(self) -> str:
        """The sweep's name: the one given, or how many runs there are and what varies."""
        given = self.children[0].experiment.resolved["name"]
        if given:
            return str(given)
        varied = (
            key
            for child in self.children
            for key in (child.varies if self.seeds == 1 else child.varies_beside_seed)
        )
        keys = dict.fromkeys(key.removesuffix(".name") for key in varied)
        title = f"{self.runs} runs: " + " × ".join(shortened(list(keys)).values())
        return title if self.seeds == 1 else f"{title}, {self.seeds} seeds each"


def shortened(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each dotted key where no other one ends alike."""
    ends = Counter(key.rpartition(".")[2] for key in dict.fromkeys(keys))
    short = {key: key.rpartition(".")[2] for key in keys}
    return {key: end if ends[end] == 1 else key for key, end in short.items()}
