"""Resolved configurations: values with origins, as YAML, and differences of two."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from dbgsom_core.config.experiment import require_experiment
from dbgsom_core.config.load import as_section, merged, names_in, read_scalar
from dbgsom_core.config.sections import Items, Mark, Problems, Section, plain
from dbgsom_core.config.variants import load_sweep
from dbgsom_core.errors import as_text
from dbgsom_core.plugins.registry import Registry

_WIDEST = 60  # characters of a line with a comment beside it
_LONGEST_COMMENT = 70  # characters of a comment beside its line

Path = tuple[str | int, ...]  # the keys and positions that lead to a value
Side = tuple[Any, str]  # a value and its origin


@dataclass(frozen=True)
class Explained:
    """A resolved configuration with the origin of each value.

    Origins are ``file:line``, ``--set``, ``default`` or ``default of NAME`` for the path of each
    plain value and of each list; what refers to the environment names the variable.
    """

    values: Mapping[str, Any]  # references to the environment as they were written; loads again
    origins: Mapping[Path, str]
    complete: bool = True  # False: of a sweep, whose runs fill in what the file leaves out

    def flat(self) -> dict[str, Side]:
        """Return value and origin of each plain value and each list of such, by dotted key."""
        return {
            ".".join(map(str, path)): (value, self.origins[path])
            for path, value in _leaves(self.values)
        }


def explain(
    path: str | os.PathLike[str],
    overrides: Sequence[str],
    registry: Registry,
    defaults: bool = True,
) -> Explained:
    """Return the resolved configuration of a run or a sweep.

    Of a sweep, and without ``defaults``, only what the files and ``overrides`` say. Errors are
    those of `load_experiment` and `load_sweep`.
    """
    problems = Problems()
    root = merged(path, overrides, problems)
    values = plain(root)
    is_sweep = root.get("sweep") is not None
    if is_sweep:
        load_sweep(path, overrides, registry)  # raises what is wrong with any of its runs
    else:
        root = root.without("sweep")
        experiment = require_experiment(root, registry, problems)
        values = dict(experiment.resolved) if defaults else plain(root)
    origins = dict(_origins(values, root, Mark(root.place, root.place), (), "default"))
    return Explained(values, origins, not (is_sweep and defaults))


def _leaves(values: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the path of each plain value, list of plain values and empty container."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(values, list) and any(isinstance(one, (Mapping, list)) for one in values):
        for i, value in enumerate(values):
            yield from _leaves(value, (*path, i))
    else:
        yield path, values


def _origins(
    values: Any, source: Any, mark: Mark | None, path: Path, otherwise: str
) -> Iterator[tuple[Path, str]]:
    """Yield path and origin of each value; ``mark`` is None for a default."""
    if isinstance(values, Mapping) and values:
        section = as_section(source, mark) if mark is not None and "name" in values else source
        is_component = isinstance(values.get("name"), str) and path[:1] not in ((), ("sweep",))
        inner = f"default of {values['name']}" if is_component else otherwise
        for key, value in values.items():
            item: tuple[Any, Mark | None] = (None, None)
            if isinstance(section, Section) and key in section:
                item = section[key], section.marks[key]
            words = otherwise if key == "name" else inner
            yield from _origins(value, *item, (*path, key), words)
        return
    words = otherwise
    if mark is not None:
        place = mark.value
        words = f"{place.source}:{place.line}" if place.line else place.source.partition(" ")[0]
        for name in names_in(str(source)):
            words += f", environment: {name}{'' if os.environ.get(name) else ' (not set)'}"
    yield path, _one_line(words)
    if isinstance(values, list) and any(isinstance(one, (Mapping, list)) for one in values):
        items: Sequence[tuple[Any, Mark | None]] = [(None, None)] * len(values)
        if isinstance(source, Items) and len(source) == len(values):
            items = list(zip(source, source.marks, strict=True))
        elif len(values) == 1 and not isinstance(source, Items):
            items = [(source, mark)]
        for i, (value, item) in enumerate(zip(values, items, strict=True)):
            yield from _origins(value, *item, (*path, i), otherwise)


def differences(first: Explained, second: Explained) -> dict[str, tuple[Side | None, Side | None]]:
    """Return differences by dotted key: value and origin in each; None: no such key.

    Where it follows from another difference, as the defaults of another component do, it is none.
    """
    one, other = first.flat(), second.flat()
    found = {}
    for key in dict.fromkeys((*one, *other)):
        sides = one.get(key), other.get(key)
        given = [side for side in sides if side is not None]
        # 1 and True are equal in Python; 1 and 1.0 mean the same in YAML.
        meant = [(isinstance(value, bool), value) for value, _ in given]
        follows = all(origin.startswith("default") for _, origin in given)
        if not follows and (len(given) < 2 or meant[0] != meant[1]):
            found[key] = sides
    return found


# ------------------------------------------------------------------------------------ YAML as text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # PyYAML quotes what YAML 1.1 would misread; 1e-3 and 0o10 are text there but numbers in 1.2
    try:
        style = None if isinstance(read_scalar(value), str) else "'"
    except ValueError:
        style = "'"
    if any(mark in value for mark in "\n\x85\u2028\u2029"):  # the last three break lines in 1.1
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _represent_text)


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Return YAML text of plain values, in their order, that `load_experiment` reads back."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def dump_inline(value: Any) -> str:
    """Return plain values as YAML on one line that stands after ``key:``."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")


def as_yaml(explained: Explained, comments: bool = True) -> str:
    """Return YAML that loads again; ``comments`` tell each value's origin."""
    if not comments:
        return commented_yaml(explained.values, {})
    leaves = [path for path, _ in _leaves(explained.values)]
    return commented_yaml(explained.values, {path: explained.origins[path] for path in leaves})


def commented_yaml(
    values: Mapping[str, Any], comments: Mapping[Path, str], header: Iterable[str] = ()
) -> str:
    """Return YAML that loads as ``values``, with comments beside its lines, or above where long.

    ``comments`` are found by the keys and positions that lead to a value; a list of plain values
    stands on one line unless one of them has a comment. ``header`` are comment lines above all.
    """
    lines = list(_commented(values, comments, (), ""))
    width = max((len(text) for text, note in lines if note and len(text) <= _WIDEST), default=0)
    found = [f"# {_one_line(line)}" for line in header]
    for text, comment in lines:
        shown = _one_line(comment)
        if not shown:
            found.append(text)
        elif len(text) <= _WIDEST and len(shown) <= _LONGEST_COMMENT:
            found.append(f"{text:<{width}}  # {shown}")
        else:
            found += [f"{' ' * (len(text) - len(text.lstrip()))}# {shown}", text]
    return "".join(f"{line}\n" for line in found)


def _commented(
    values: Any, comments: Mapping[Path, str], path: Path, indent: str
) -> Iterator[tuple[str, str]]:
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
    for key, value in pairs:
        at = (*path, key)
        head = f"{indent}- " if isinstance(key, int) else f"{indent}{dump_inline(key)}:"
        nested = isinstance(value, Mapping) or (
            isinstance(value, list)
            and any(isinstance(one, (Mapping, list)) or (*at, i) in comments
                    for i, one in enumerate(value))
        )  # fmt: skip
        if not nested or not value:
            yield f"{head.rstrip()} {dump_inline(value)}", comments.get(at, "")
        elif isinstance(key, int) and isinstance(value, Mapping):
            inner = list(_commented(value, comments, at, f"{indent}  "))
            yield f"{head}{inner[0][0].lstrip()}", inner[0][1]
            yield from inner[1:]
        else:
            yield head.rstrip(), comments.get(at, "")
            yield from _commented(value, comments, at, f"{indent}  ")


def _one_line(text: str) -> str:
    return as_text(text).replace("\n", "\\n")
