"""The ``optimize`` section of a sweep: which values a trial may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from dbgsom_core.config.check import check
from dbgsom_core.config.names import Varied
from dbgsom_core.config.nodes import Entry, Items, Node, Scalar, Section, Spot
from dbgsom_core.config.problems import Problems
from dbgsom_core.config.settings import Settings
from dbgsom_core.plugins.validation_messages import unknown_key

MOST_TRIALS = 10_000


class OptimizeSettings(Settings):
    """A search for the best variant by Optuna's TPE (Bergstra et al. 2011), trial by trial."""

    trials: int = Field(ge=1, le=MOST_TRIALS, description="how many variants to try")
    measure: str | None = Field(
        default=None, min_length=1, description="what to optimize, as decide.measure"
    )
    direction: Literal["maximize", "minimize"] | None = Field(
        default=None, description="which end of it is best, as decide.direction"
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="start of the search")


class RangeSettings(Settings):
    """Numbers from low to high, whole ones where all of its numbers are."""

    low: int | float = Field(description="the least value")
    high: int | float = Field(description="the greatest value")
    log: bool = Field(default=False, description="search on a logarithmic scale")
    step: int | float | None = Field(default=None, gt=0, description="distance between values")

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be less than high, not {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic scale needs a low above 0, not {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other; leave one out")
        if self.step is not None:
            steps = (self.high - self.low) / self.step
            if abs(steps - round(steps)) > 1e-8 * max(steps, 1.0) or round(steps) < 1:
                raise ValueError(
                    f"high must be low and some steps of {self.step:g}, such as "
                    f"{self.low + self.step * max(math.floor(steps), 1):g}"
                )
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are integers."""
        return all(isinstance(one, int) for one in (self.low, self.high, self.step or 1))

    @property
    def size(self) -> int | None:
        """How many values it has; None: as many as there are numbers."""
        if self.step is not None:
            return round((self.high - self.low) / self.step) + 1
        return int(self.high - self.low) + 1 if self.whole else None


Axis = RangeSettings | tuple[Node, ...]


@dataclass(frozen=True)
class Space:
    """What a search chooses from.

    Attributes
    ----------
    settings : OptimizeSettings
    axes : mapping of str to RangeSettings or tuple of nodes
        By dotted key.
    places : mapping of str to Entry
        Where each axis is written.
    """

    settings: OptimizeSettings
    axes: Mapping[str, Axis]
    places: Mapping[str, Entry]

    def varied(self, chosen: Mapping[str, int | float]) -> Varied:
        """Return what a trial changes; of a list ``chosen`` has the position."""
        found = {}
        for key, axis in self.axes.items():
            entry = self.places[key]
            if isinstance(axis, RangeSettings):
                found[key] = Entry(entry.place, Scalar(chosen[key], entry.node.place))
            else:
                node = axis[int(chosen[key])]
                found[key] = Entry(node.place, node)
        return found

    def probes(self) -> list[Varied]:
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


def read_space(spot: Spot, problems: Problems) -> Space | None:
    """Return what the ``optimize`` section at a spot says, or None with problems."""
    section = spot.node
    if not isinstance(section, Section):
        problems.add(section.place, spot.path, "must be a section with 'trials' and 'space'")
        return None
    rest = Spot(spot.path, spot.key_place, section.without("space"))
    settings = check(OptimizeSettings, rest, problems, known=("space",))
    space = section.get("space")
    if not isinstance(space, Section) or not space.entries:
        place = spot.key_place if space is None else space.place
        told = "must be a section of 'dotted.key: [values]' and 'dotted.key: {low, high}' lines"
        problems.add(place, f"{spot.path}.space", told)
        return None
    at = spot / "space"
    axes = {key: _axis(at / key, problems) for key in space.entries}
    found = {key: axis for key, axis in axes.items() if axis is not None}
    if settings is None or len(found) < len(axes):
        return None
    _check_size(spot, settings, found, problems)
    return Space(settings, found, space.entries)


def _axis(spot: Spot, problems: Problems) -> Axis | None:
    node = spot.node
    if isinstance(node, Items) and node.items:
        return node.items
    if isinstance(node, Section):
        if node.entries and not node.entries.keys() & RangeSettings.model_fields.keys():
            key, entry = next(iter(node.entries.items()))
            told = unknown_key(key, list(RangeSettings.model_fields))
            problems.add(entry.place, f"{spot.path}.{key}", told)
            return None
        return check(RangeSettings, spot, problems)
    problems.add(node.place, spot.path, "must be a list of values or a range {low: …, high: …}")
    return None


def _check_size(
    spot: Spot, settings: OptimizeSettings, axes: Mapping[str, Axis], problems: Problems
) -> None:
    sizes = [axis.size if isinstance(axis, RangeSettings) else len(axis) for axis in axes.values()]
    whole = [size for size in sizes if size is not None]
    if len(whole) == len(sizes) and settings.trials > math.prod(whole):
        at = spot / "trials"
        told = f"asks for {settings.trials} of {math.prod(whole)} variants"
        problems.add(at.node.place, at.path, told)
