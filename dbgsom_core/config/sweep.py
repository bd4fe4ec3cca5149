"""Unfolding a ``sweep`` section into the children that it stands for."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from dbgsom_core.config.check import check
from dbgsom_core.config.merge import merge
from dbgsom_core.config.nodes import Entry, Items, Node, Scalar, Section, Spot, held, plain
from dbgsom_core.config.overrides import is_dotted_key, patch
from dbgsom_core.config.problems import Problems
from dbgsom_core.config.settings import Settings
from dbgsom_core.plugins.validation_messages import shown, unknown_key

KINDS = ("grid", "random", "list")
BESIDE = ("decide",)  # keys that may stand beside one of those
MOST_CHILDREN = 10_000
_FIXED = ("experiment", "name", "extends", "sweep", "tracking")
_UNSAFE = re.compile(r"[^A-Za-z0-9 ,.\-_/:=]")

Varied = Mapping[str, Entry]


class RandomSettings(Settings):
    """How many combinations of a grid to draw, and from which seed."""

    samples: int = Field(ge=1, description="distinct combinations to draw")
    seed: int = Field(default=0, ge=0, description="start of the draw")


def unfold(spot: Spot, problems: Problems) -> list[Varied]:
    """Return what each child of the ``sweep`` section at ``spot`` changes, in order."""
    section = spot.node
    if not isinstance(section, Section):
        problems.add(section.place, spot.path, f"must be a section with one of {_or(KINDS)}")
        return []
    for key, entry in section.entries.items():
        if key not in (*KINDS, *BESIDE):
            told = unknown_key(key, (*KINDS, *BESIDE))
            problems.add(entry.place, f"{spot.path}.{key}", told)
    given = [key for key in section.entries if key in KINDS]
    if len(given) != 1:
        problems.add(spot.key_place, spot.path, f"needs exactly one of {_or(KINDS)}")
        return []
    unfolding = {"grid": _grid, "random": _random, "list": _list}[given[0]]
    children = unfolding(spot / given[0], problems)
    for key, entry in (item for child in children for item in child.items()):
        if not is_dotted_key(key):
            problems.add(entry.place, key, "is no dotted key such as model.epochs")
        elif key.partition(".")[0] in _FIXED:
            problems.add(entry.place, key, "cannot vary within a sweep")
    return children


def apply(base: Section, varied: Varied, problems: Problems) -> Section:
    """Return ``base`` with a child's values written over it."""
    for key, entry in varied.items():
        base = merge(base, patch(key, entry.node, entry.place), problems)
    return base


def child_names(children: list[Varied]) -> list[str]:
    """Return a name for each child, from what varies: ``kernel=gaussian, epochs=20``."""
    keys = dict.fromkeys(key for child in children for key in child)
    ends = [key.rpartition(".")[2] for key in keys]
    short = {key: end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)}
    names: list[str] = []
    for child in children:
        parts = (f"{short[key]}={_told(entry.node)}" for key, entry in child.items())
        name = _UNSAFE.sub("-", ", ".join(parts))
        same = names.count(name)
        names.append(name if not same else f"{name} : {same + 1}")
    return names


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
            problems.add(entry.node.place, path, f"must be a list of values, not {found}")
            continue
        for node in _repeated(entry.node.items):
            problems.add(node.place, path, f"{_shown(node)} appears twice")
        axes[key] = entry.node.items
    return axes


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


def _told(node: Node) -> str:
    if isinstance(node, Scalar):
        value: Any = plain(node)
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        return str(value)
    if isinstance(node, Items):
        return " ".join(map(_told, node.items)) or "none"
    parts = []
    for key, entry in node.entries.items():
        parts.append(_told(entry.node) if key == "name" else f"{key}={_told(entry.node)}")
    return " ".join(parts)


def _or(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
