"""The reference of what authors meet, of docstrings and annotations of `dbgsom_core.api`.

``python tests/plugins/reference.py`` writes it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from dbgsom_core import api
from dbgsom_core.testing import all_checks

PAGE = Path(__file__).parents[2] / "plugins" / "REFERENCE.md"
_HEAD = """# What authors meet

Every class of `dbgsom_core.api`, and those of what a component is given, with fields and methods,
and the checks of the kit, made from docstrings by `python tests/plugins/reference.py`. [The
guide](README.md) says what they are for. There are n samples, m of them, D features, K neurons, L
leaves, C classes, T targets. Arrays that a component gets are read-only, and samples keep the
dtype, float32 or float64, in which they were given.
"""
# What methods are given, by module.
_GIVEN = {
    "experiments.trackers": ("Variant",),
    "interfaces.context": ("Chunk", "Context", "GrowthEvent"),
    "interfaces.measures": ("ClusterStability", "Interval"),
    "som_map.tree": ("Tree",),
}
_OWN = ("self", "cls")
_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)


def reference() -> str:
    """Return the whole page."""
    found = {name: getattr(api, name) for name in api.__all__}
    for home, names in _GIVEN.items():
        module = import_module(f"dbgsom_core.{home}")
        found |= {name: getattr(module, name) for name in names}
    classes = [(name, cls) for name, cls in sorted(found.items()) if isinstance(cls, type)]
    entries = (_entry(name, cls) for name, cls in classes)
    return "\n".join([_HEAD, *entries, *_checks()])


def _checks() -> Iterator[str]:
    """Yield the sections of what the kit checks, by kind."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for one in all_checks():
        kinds.setdefault(one.kind, []).append((one.name, _text(one.promise)))
    for kind, rows in kinds.items():
        yield f"## Checks of {'every component' if kind == 'any' else kind}\n"
        yield from _table(("check", "promise"), rows)


def _entry(name: str, cls: type[Any]) -> str:
    doc = inspect.getdoc(cls) or ""
    parts = _SECTION.split(doc)
    lines = [f"## {name}", "", _text(parts[0]), ""]
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    rows = list(_described(sections.get("Attributes") or sections.get("Parameters", "")))
    known = {one for row in rows for one in row[0].split(", ")}
    rows += [row for row in _annotated(cls) if row[0] not in known]
    lines += _table(("field", "type", "meaning"), rows)
    lines += _table(("method", "meaning"), _methods(cls, known))
    return "\n".join(lines)


def _annotated(cls: type[Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and meaning of the fields that the docstring does not describe."""
    fields = getattr(cls, "model_fields", {})
    for name, told in vars(cls).get("__annotations__", {}).items():
        told = getattr(told, "__forward_arg__", told)
        if not name.startswith("_") and not str(told).startswith("ClassVar"):
            yield name, str(told), getattr(fields.get(name), "description", None) or ""


def _described(section: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and meaning of the entries of a numpydoc section."""
    for item in re.split(r"\n(?=\S)", section.strip("\n")):
        head, _, text = item.partition("\n")
        name, _, told = head.partition(" : ")
        if name.strip():
            yield name.strip(), told.strip(), _text(text)


def _methods(cls: type[Any], known: set[str]) -> Iterator[tuple[str, str]]:
    bases = [base for base in cls.__mro__[1:] if base.__module__.startswith("dbgsom_core.engine")]
    for name, one in [pair for base in (cls, *bases) for pair in vars(base).items()]:
        function = getattr(one, "fget", None) or getattr(one, "func", None) or one
        function = getattr(function, "__func__", function)
        function = getattr(function, "_function", function)  # of a default
        if name.startswith("_") or name in known or not inspect.isfunction(function):
            continue
        doc = (inspect.getdoc(function) or "").split("\n\n")[0]
        given = [
            one for one in inspect.signature(function).parameters if one not in ("self", "cls")
        ]
        plain = function is one or hasattr(one, "__func__")
        yield f"{name}({', '.join(given)})" if plain else name, _text(doc)


def _text(doc: str) -> str:
    # Of reStructuredText, as far as docstrings here use it, into Markdown.
    paragraphs = [" ".join(one.split()) for one in doc.strip().split("\n\n")]
    return re.sub(r"``([^`]+)``", r"`\1`", "\n\n".join(paragraphs))


def _table(names: tuple[str, ...], rows: Any) -> list[str]:
    rows = list(rows)
    if not rows:
        return []
    shown = [
        [f"`{row[0]}`", *(" ".join(cell.split()).replace("|", "\\|") for cell in row[1:])]
        for row in rows
    ]
    cells = [names, ["---"] * len(names), *shown]
    return [*(f"| {' | '.join(row)} |" for row in cells), ""]


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
