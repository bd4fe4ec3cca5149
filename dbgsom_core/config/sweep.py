"""Unfolding a ``sweep`` section into the children that it stands for."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field

from dbgsom_core.config.check import check
from dbgsom_core.config.merge import merge
from dbgsom_core.config.names import Varied, child_names
from dbgsom_core.config.nodes import Entry, Items, Node, Section, Spot, held, is_null, plain
from dbgsom_core.config.optimize import Space, read_space
from dbgsom_core.config.overrides import is_dotted_key, patch
from dbgsom_core.config.problems import Problems
from dbgsom_core.config.settings import Settings
from dbgsom_core.plugins.validation_messages import shown, unknown_key

KINDS = ("grid", "random", "list", "optimize")
BESIDE = ("decide", "repeats")  # keys that may stand beside one of those
MOST_CHILDREN = 10_000
_FIXED = ("experiment", "name", "extends", "sweep", "tracking")


class RandomSettings(Settings):
    """How many combinations of a grid to draw, and from which seed."""

    samples: int = Field(ge=1, description="distinct combinations to draw")
    seed: int = Field(default=0, ge=0, description="start of the draw")


class RepeatSettings(Settings):
    """Running each variant several times."""

    seeds: int = Field(ge=1, le=1000, description="runs of each variant: seed, seed + 1, …")


@dataclass(frozen=True)
class Unfolded:
    """What a ``sweep`` section stands for.

    Attributes
    ----------
    variants : list of (name, what it changes)
        In order; of a search a few that show whether its values can be used.
    seeds : int
        How many runs each variant has; 1: those of its own seed.
    space : Space or None
        What is searched.
    """

    variants: list[tuple[str, Varied]]
    seeds: int = 1
    space: Space | None = None


def unfold(spot: Spot, problems: Problems) -> Unfolded:
    """Return what the ``sweep`` section at ``spot`` stands for."""
    section = spot.node
    if not isinstance(section, Section):
        problems.add(section.place, spot.path, f"must be a section with one of {_or(KINDS)}")
        return Unfolded([])
    for key, entry in section.entries.items():
        if key not in (*KINDS, *BESIDE):
            told = unknown_key(key, (*KINDS, *BESIDE))
            problems.add(entry.place, f"{spot.path}.{key}", told)
    given = [key for key in section.entries if key in KINDS]
    if len(given) != 1:
        problems.add(spot.key_place, spot.path, f"needs exactly one of {_or(KINDS)}")
        return Unfolded([])
    space = None
    if given[0] == "optimize":
        space = read_space(spot / "optimize", problems)
        varied = [] if space is None else space.probes()
    else:
        unfolding = {"grid": _grid, "random": _random, "list": _list}[given[0]]
        varied = unfolding(spot / given[0], problems)
    known: set[tuple[str, str]] = set()
    for key, entry in (item for child in varied for item in child.items()):
        first = key.partition(".")[0]
        if not is_dotted_key(key):
            why = "is no dotted key such as model.epochs"
        elif first in _FIXED:
            why = "cannot vary within a sweep"
        elif space is not None and key in ("dataset", "dataset.name"):
            why = "cannot be optimized: measures on different data sets do not compare"
        else:
            continue
        if (key, why) not in known:
            known.add((key, why))
            problems.add(entry.place, key, why)
    seeds = _seeds(spot, varied, 1 if space is None else space.settings.trials, problems)
    return Unfolded(list(zip(child_names(varied), varied, strict=True)), seeds, space)


def _seeds(spot: Spot, varied: list[Varied], trials: int, problems: Problems) -> int:
    if is_null(spot.node.get("repeats")):  # type: ignore[union-attr] # it is a section
        return 1
    at = spot / "repeats"
    if not isinstance(at.node, Section):
        problems.add(at.node.place, at.path, "must be a section: {seeds: 5}")
        return 1
    settings = check(RepeatSettings, at, problems)
    if any(key == "seed" for child in varied for key in child):
        told = "sets the seeds of each variant: leave 'seed' out of what varies"
        problems.add(at.key_place, at.path, told)
    if settings is None:
        return 1
    runs = settings.seeds * max(len(varied) if trials == 1 else trials, 1)
    if runs > MOST_CHILDREN:
        told = f"makes {runs} runs, more than {MOST_CHILDREN}"
        problems.add((at / "seeds").node.place, f"{at.path}.seeds", told)
    return settings.seeds


def apply(base: Section, varied: Varied, problems: Problems) -> Section:
    """Return ``base`` with a child's values written over it, in any order, as by ``--set``."""
    changes = Section(patch=True)
    for key in sorted(varied, key=lambda key: key.count(".")):  # a component before its fields
        changes = merge(changes, patch(key, varied[key].node, varied[key].place), problems)
    return merge(base, changes, problems)


def _grid(spot: Spot, problems: Problems) -> list[Varied]:
    axes = _axes(spot, problems)
    size = _size(axes)
    if size > MOST_CHILDREN:
        problems.add(
            spot.key_place,
            spot.path,
            f"makes {size} runs, more than {MOST_CHILDREN}; use 'random' to draw some of them",
        )
        return []
    return [_combination(axes, i) for i in range(size)]


def _random(spot: Spot, problems: Problems) -> list[Varied]:
    section = spot.node
    if not isinstance(section, Section) or section.get("space") is None:
        problems.add(spot.key_place, spot.path, "needs 'samples' and 'space'")
        return []
    rest = Spot(spot.path, spot.key_place, section.without("space"))
    settings = check(RandomSettings, rest, problems, known=("space",))
    axes = _axes(spot / "space", problems)
    if settings is None or not axes:
        return []
    size = _size(axes)
    if settings.samples > min(size, MOST_CHILDREN):
        problems.add(
            section.entries["samples"].node.place,
            f"{spot.path}.samples",
            f"asks for {settings.samples} of {size} combinations (at most {MOST_CHILDREN})",
        )
        return []
    chosen = random.Random(settings.seed).sample(range(size), settings.samples)
    return [_combination(axes, i) for i in chosen]


def _list(spot: Spot, problems: Problems) -> list[Varied]:
    if not isinstance(spot.node, Items) or not spot.node.items:
        problems.add(spot.node.place, spot.path, "must be a list of 'dotted.key: value' sections")
        return []
    children: list[Varied] = []
    for i, item in enumerate(spot.node.items):
        if isinstance(item, Section) and item.entries:
            children.append(
                {key: Entry(entry.node.place, entry.node) for key, entry in item.entries.items()}
            )
        else:
            problems.add(
                item.place, f"{spot.path}.{i}", "must be a section of 'dotted.key: value' lines"
            )
    return children


def _axes(spot: Spot, problems: Problems) -> dict[str, tuple[Node, ...]]:
    section = spot.node
    if not isinstance(section, Section) or not section.entries:
        problems.add(section.place, spot.path, "must be a section of 'dotted.key: [values]' lines")
        return {}
    axes: dict[str, tuple[Node, ...]] = {}
    for key, entry in section.entries.items():
        path = f"{spot.path}.{key}"
        if not isinstance(entry.node, Items) or not entry.node.items:
            found = "an empty list" if isinstance(entry.node, Items) else _shown(entry.node)
            cure = _dotted(key, entry.node)
            problems.add(entry.node.place, path, f"must be a list of values, not {found}{cure}")
            continue
        for node in _repeated(entry.node.items):
            problems.add(node.place, path, f"{_shown(node)} appears twice")
        axes[key] = entry.node.items
    return axes


def _dotted(key: str, node: Node) -> str:
    # Sections within each other, as outside of a sweep, were meant as one dotted key.
    while isinstance(node, Section) and node.entries and "name" not in node.entries:
        inner, entry = next(iter(node.entries.items()))
        key, node = f"{key}.{inner}", entry.node
        if isinstance(node, Items):
            return f"; write '{key}: […]' for what varies"
    return ""


def _shown(node: Node) -> str:
    return held(node) or shown(plain(node))


def _repeated(nodes: tuple[Node, ...]) -> Iterator[Node]:
    seen = set()
    for node in nodes:
        written = repr(plain(node))
        if written in seen:
            yield node
        seen.add(written)


def _size(axes: Mapping[str, tuple[Node, ...]]) -> int:
    return math.prod(map(len, axes.values())) if axes else 0


def _combination(axes: Mapping[str, tuple[Node, ...]], index: int) -> Varied:
    chosen: dict[str, Entry] = {}
    for key, values in reversed(list(axes.items())):
        index, place = divmod(index, len(values))
        node = values[place]
        chosen[key] = Entry(node.place, node)
    return {key: chosen[key] for key in axes}


def _or(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
