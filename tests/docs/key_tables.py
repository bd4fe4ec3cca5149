"""The tables of keys in configs/README.md: ``python tests/docs/key_tables.py`` writes them.

A table stands between ``<!-- keys: SECTION -->`` and ``<!-- end -->``, and is made from the JSON
Schema, which is made from the models: ``.`` is the top level, ``model`` the section of that name.
``SECTION.*`` shows the keys of the sections within it as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dbgsom_core.config.json_schema import experiment_schema
from dbgsom_core.config.schema import STEP
from dbgsom_core.errors import ConfigError
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.plugins.registry import Registry

Schema = Mapping[str, Any]

_MARKED = re.compile(r"(<!-- keys: (\S+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_MOST = 8  # names that a cell lists


def with_tables(page: str, registry: Registry) -> str:
    """Return a markdown page with its tables of keys made anew."""
    schema = experiment_schema(registry)

    def table(match: re.Match[str]) -> str:
        path, deep, _ = match[2].partition(".*")
        section = _section(schema, path)
        rows = _rows(schema, section, bool(deep))
        lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
        cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
        lines += [f"| {' | '.join(row)} |" for row in cells]
        return match[1] + "\n" + "\n".join(lines) + "\n\n" + match[3]

    return _MARKED.sub(table, page)


def _section(schema: Schema, path: str) -> Schema:
    found: Schema = schema
    for key in filter(None, path.split(".")):
        inner = _inside(schema, found.get("properties", {}).get(key, {}))
        if inner is None:
            raise ConfigError(f"<!-- keys: {path} -->: there is no section '{key}'")
        found = inner
    return found


def _inside(schema: Schema, about: Schema) -> Schema | None:
    """Return the section that a key holds, where it holds one of known keys."""
    for one in (about, *about.get("anyOf", ())):
        if "$ref" in one and _name(one) not in (*KINDS, STEP):
            one = schema["$defs"][_name(one)]
        if "properties" in one:
            return one  # type: ignore[no-any-return]
    return None


def _rows(
    schema: Schema, section: Schema, deep: bool, prefix: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    properties = section["properties"]
    needed = section.get("required", ())
    if not prefix and section is schema:  # one of two ways in
        needed = ("experiment", "dataset")
    for key, about in properties.items():
        inner = _inside(schema, about) if deep else None
        if inner is not None:
            yield from _rows(schema, inner, deep, f"{prefix}{key}.")
        else:
            default = "required" if key in needed else _default(about)
            meaning = about.get("description", "").rstrip(".")
            yield f"`{prefix}{key}`", _type(schema, about), default, meaning


def _default(about: Schema) -> str:
    value = about.get("default", ...)
    if value is ...:
        return ""
    if value in ([], {}):
        return "none"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"`{value}`" if isinstance(value, str) else f"{value:g}"


def _type(schema: Schema, about: Schema) -> str:
    options = about.get("anyOf")
    if options is None:
        return _one(schema, about)
    lists = [one for one in options if one.get("type") == "array"]
    null = any(one.get("type") == "null" for one in options)
    rest = [one for one in options if one not in lists and one.get("type") != "null"]
    words = [word for one in rest for word in _words(schema, one)]
    if lists:  # one alone is a list of one, and null is none
        words = [word for word in words if word.startswith("`default`")]
        return _or([*words, _list(schema, lists[0])])
    return _or([*dict.fromkeys(words), *(["null"] if null else [])])


def _words(schema: Schema, about: Schema) -> list[str]:
    names = about.get("enum", ())
    return [f"`{name}`" for name in names] if 0 < len(names) <= _MOST else [_one(schema, about)]


def _list(schema: Schema, about: Schema) -> str:
    items = about.get("items", {})
    options = items.get("anyOf", [items])
    named = [one for one in options if "$ref" in one]
    one = _one(schema, (named or options)[0])
    return f"list of {one}" + ("" if one in ("text", "values") else "s")


def _one(schema: Schema, about: Schema) -> str:
    if "$ref" in about:
        name = _name(about)
        if name in KINDS:
            return "component"
        return "section" if name != STEP else "step"
    if "const" in about:
        return f"`{about['const']}`"
    if "enum" in about:
        names = about["enum"]
        if len(names) > _MOST:
            return f"one of {len(names)} names"
        return _or([f"`{name}`" for name in names])
    kind = about.get("type")
    if kind in ("integer", "number"):
        return _number(about, kind)
    if kind == "array":
        return _list(schema, about)
    if kind == "object":
        inner = about.get("additionalProperties")
        lists = isinstance(inner, Mapping) and inner.get("type") == "array"
        return "section of lists" if lists else "section"
    return {"string": "text", "boolean": "true or false"}.get(str(kind), "values")


def _number(about: Schema, kind: str) -> str:
    what = f"an {kind}".removeprefix("an ")
    low, above = about.get("minimum"), about.get("exclusiveMinimum")
    high, below = about.get("maximum"), about.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{what} from {_plain(low)} to {_plain(high)}"
    if above is not None and below is not None:
        return f"{what} between {_plain(above)} and {_plain(below)}"
    if above == 0 and high is None:
        return f"positive {what}"
    bounds = {"above": above, "of at least": low, "below": below, "at most": high}
    words = [f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None]
    return " ".join([what, " and ".join(words)]).strip()


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)  # some versions say 1.0 for 1


def _name(about: Schema) -> str:
    return str(about["$ref"].rpartition("/")[2])


def _or(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


if __name__ == "__main__":
    page = Path(__file__).parents[2] / "configs/README.md"
    made = with_tables(page.read_text(encoding="utf-8"), Registry.discover(own_only=True))
    page.write_text(made, encoding="utf-8")
