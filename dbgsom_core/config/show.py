"""Resolved configurations with the places of their values, and YAML as text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dbgsom_core.config.document import Document, Problems
from dbgsom_core.config.experiment import require_experiment
from dbgsom_core.config.load import dump_yaml, read_config
from dbgsom_core.config.variants import load_sweep
from dbgsom_core.errors import as_text
from dbgsom_core.experiments.addresses import masked
from dbgsom_core.plugins.registry import Registry

_WIDEST = 60  # characters of a line with a comment beside it
_LONGEST_COMMENT = 70  # characters of a comment beside its line

Path = tuple[str | int, ...]  # the keys and positions that lead to a value


def resolve(
    path: str | os.PathLike[str], overrides: Sequence[str], registry: Registry
) -> tuple[Mapping[str, Any], Document]:
    """Return the resolved configuration of a run or a sweep, and what was written, with places.

    References to the environment are as they were written. Of a sweep defaults are left out: each
    of its runs has its own. Errors are those of `load_experiment` and `load_sweep`.
    """
    problems = Problems()
    document = read_config(path, overrides, problems)
    if document.values.get("sweep") is None:
        document = document.without("sweep")
        return require_experiment(document, registry, problems).resolved, document
    load_sweep(path, overrides, registry)  # raises what is wrong with any of its runs
    return masked(document.values), document


def places(values: Any, document: Document, path: Path = ()) -> dict[Path, str]:
    """Return the place of each value that was written, a file or ``--set``; defaults have none."""
    is_list = isinstance(values, list) and any(isinstance(item, (dict, list)) for item in values)
    found: dict[Path, str] = {}
    if isinstance(values, dict) and values:
        for key, value in values.items():
            found |= places(value, document, (*path, key))
    elif is_list:
        for i, value in enumerate(values):
            found |= places(value, document, (*path, i))
    elif document.find(*path)[1]:
        found[path] = masked(str(document.mark(*path).value))
    return found


# ------------------------------------------------------------------------------------ YAML as text


def dump_inline(value: Any) -> str:
    """Return plain values as YAML on one line that stands after ``key:``."""
    text = dump_yaml(value, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")


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
