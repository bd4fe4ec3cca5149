"""Resolved configurations with the places of their values, and YAML as text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dbgsom_core.config.experiment import require_experiment
from dbgsom_core.config.load import Document, Problems, dump_yaml, read_config
from dbgsom_core.config.variants import load_sweep
from dbgsom_core.errors import as_text
from dbgsom_core.experiments.trackers import masked
from dbgsom_core.plugins.registry import Registry

_WIDEST = 100  # characters of a line with its comment

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
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(values, dict):
        pairs = values.items()
    elif isinstance(values, list) and any(isinstance(item, (dict, list)) for item in values):
        pairs = enumerate(values)
    texts: dict[Path, str] = {}
    for key, value in pairs:
        texts |= places(value, document, (*path, key))
    _, is_written = document.find(*path)
    if is_written and not pairs:
        texts[path] = masked(str(document.mark(*path).value))
    return texts


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
    lines = [f"# {_one_line(line)}" for line in header]
    for text, comment in _commented(values, comments, (), ""):
        shown = f"# {_one_line(comment)}"
        if not comment:
            lines.append(text)
        elif len(text) + len(shown) < _WIDEST:
            lines.append(f"{text}  {shown}")
        else:
            indent = len(text) - len(text.lstrip())
            lines += [" " * indent + shown, text]
    return "".join(f"{line}\n" for line in lines)


def _commented(
    values: Any, comments: Mapping[Path, str], path: Path, indent: str
) -> Iterator[tuple[str, str]]:
    """Yield the lines of values that stand at a path, each with its comment or an empty text."""
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
    for key, value in pairs:
        at = (*path, key)
        head = f"{indent}- " if isinstance(key, int) else f"{indent}{dump_inline(key)}:"
        has_lines = isinstance(value, Mapping)
        if isinstance(value, list):
            has_lines = any(isinstance(item, (Mapping, list)) for item in value)
            has_lines |= any((*at, number) in comments for number in range(len(value)))
        if not has_lines or not value:
            yield f"{head.rstrip()} {dump_inline(value)}", comments.get(at, "")
        elif isinstance(key, int) and isinstance(value, Mapping):
            # The first key of a section in a list stands behind the dash.
            (first, comment), *rest = _commented(value, comments, at, f"{indent}  ")
            yield f"{head}{first.lstrip()}", comment
            yield from rest
        else:
            yield head.rstrip(), comments.get(at, "")
            yield from _commented(value, comments, at, f"{indent}  ")


def _one_line(text: str) -> str:
    return as_text(text).replace("\n", "\\n")
