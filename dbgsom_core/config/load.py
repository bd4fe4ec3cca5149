"""From files, ``extends``, ``--set`` and the environment to one tree of values.

read ▶ merge over what a file extends ▶ overrides ▶ fill references to the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from dbgsom_core.config.sections import (
    DEEPEST,
    Items,
    Location,
    Mark,
    Problems,
    Section,
    below,
)
from dbgsom_core.config.yaml_text import read_scalar, read_yaml
from dbgsom_core.errors import ConfigError, did_you_mean
from dbgsom_core.interfaces.privacy import register
from dbgsom_core.tables.safe_files import MOST_SIBLINGS, read_at_most

_LARGEST = 1 << 22  # bytes of a file; the values in it are counted, too
_MOST_BELOW = 50  # files that extend each other in a row
_TABLES = {".csv", ".tsv", ".parquet", ".pq", ".npy", ".npz"}  # what `dbgsom init` looks at
_LONG = 200  # characters of a path that a message shows

# where a bare text is short for {name: text}
_COMPONENTS = (
    "dataset",
    "model.metric",
    "model.kernel",
    "model.growth",
    "model.labeller",
    "tracking",
    "engine",
)
_REFERENCE = re.compile(r"\$\{env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^}]*))?\}")


# ------------------------------------------------------------------------------------------ files


def merged(path: str | os.PathLike[str], overrides: Sequence[str], problems: Problems) -> Section:
    """Return the section of a file, those that it extends and overrides; nothing is filled."""
    root = _read_file(os.fspath(path), None, (), {}, problems)
    return merge(root, overlay(overrides, problems), problems)


def _read_file(
    shown: str,
    named_at: Location | None,
    inside: tuple[Path, ...],
    known: dict[Path, Section],
    problems: Problems,
) -> Section:
    """Return the section of a file, over those that it extends; ``known`` are read already.

    ``inside`` are the files that led to it, the last of which names it somewhere; of the one on the
    command line the file itself is the location of what is wrong.
    """
    name = shown if len(shown) <= _LONG else f"{shown[:_LONG]}…"
    where = (Location(name), "") if named_at is None else (named_at, "extends")
    try:
        real = Path(shown).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a null byte, or links in a circle
        problems.fail(*where, f"'{name}' cannot be read: {error}")
    if len(inside) > _MOST_BELOW:
        problems.fail(*where, f"goes through more than {_MOST_BELOW} files")
    if real in inside:
        circle = [f"'{one.name}'" for one in (*inside[inside.index(real) :], real)]
        problems.fail(*where, f"goes in a circle: {' extends '.join(circle)}")
    if real in known:
        return known[real]
    section, _ = read_yaml(_text_of(shown, name, where, problems), problems, shown)
    first = Location(shown, 1, 1)
    if section is None:
        problems.fail(first, "", "the file is empty; it needs at least 'experiment'")
    if not isinstance(section, Section):
        found = "a list" if isinstance(section, Items) else "a single value"
        problems.fail(first, "", f"the file must hold 'key: value' lines, not {found}")
    result, bases = Section(place=first), section.get("extends")
    if bases is not None:
        mark = section.marks["extends"]
        pairs = (
            zip(bases, bases.marks, strict=True) if isinstance(bases, Items) else [(bases, mark)]
        )
        for base, at in pairs:
            if not isinstance(base, str) or not base:
                message = "must be the path of a file, or a list of paths"
                problems.add(at.value, "extends", message)
                continue
            beside = os.path.normpath(Path(shown).parent / base)
            below_it = _read_file(beside, at.value, (*inside, real), known, problems)
            result = merge(result, below_it, problems)
    known[real] = merge(result, section.without("extends"), problems)
    return known[real]


def _text_of(shown: str, name: str, where: tuple[Location, str], problems: Problems) -> str:
    path = Path(shown)
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    if suffixes & _TABLES and not suffixes & {".yaml", ".yml"} and path.is_file():
        problems.fail(*where, f"is a table, no configuration: 'dbgsom init {name}' writes one")
    try:
        content = read_at_most(path, _LARGEST)
    except FileNotFoundError:
        names: list[str] = []
        with suppress(OSError):  # there is no such folder either
            names = [one.name for one in islice(path.parent.iterdir(), MOST_SIBLINGS)]
        near = did_you_mean(path.name, [one for one in names if one.endswith((".yaml", ".yml"))])
        looked = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
        problems.fail(*where, f"there is no file '{name}'{looked}{near}")
    except OSError as error:
        problems.fail(*where, f"'{name}' cannot be read: {error.strerror}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        at = Location(shown, before.count("\n") + 1, len(before) - before.rfind("\n"))
        byte = f"0x{content[error.start]:02x}"
        problems.fail(at, "", f"byte {byte} is no UTF-8; save the file as UTF-8")


# ---------------------------------------------------------------------------------------- merging


def merge(base: Section, over: Section, problems: Problems, path: str = "") -> Section:
    """Return ``base`` with ``over`` written over it.

    Sections merge key by key; lists and plain values are replaced, null included. A section whose
    ``name`` differs is replaced as a whole. A patch may reach into a list by position.
    """
    result = Section(base, base.marks, base.place, base.patch)
    for key, value in over.items():
        inner, mark, old = below(path, key), over.marks[key], base.get(key)
        if key in base and isinstance(value, Section) and value.patch:
            # a key that is only reached through stays where it was written
            mark = mark._replace(key=base.marks[key].key)
        result.put(key, *_merged(old, base.marks.get(key, mark), value, mark, inner, problems))
    return result


def as_section(value: Any, mark: Mark) -> Any:
    """Return ``{name: text}`` for a bare text, and any other value as it is."""
    if isinstance(value, str):
        return Section({"name": value}, {"name": mark._replace(key=mark.value)}, mark.value)
    return value


def _merged(
    base: Any, base_mark: Mark, over: Any, mark: Mark, path: str, problems: Problems
) -> tuple[Any, Mark]:
    if any(path == known or path.startswith(f"{known}.") for known in _COMPONENTS):
        if isinstance(over, Section) or isinstance(base, Section):
            base = as_section(base, base_mark)
        if isinstance(base, Section):
            over = as_section(over, mark)
    if not isinstance(over, Section):
        return over, mark
    if isinstance(base, Items) and over.patch:
        return _patched(base, over, path, problems), base_mark
    if not isinstance(base, Section) or _is_renamed(base, over):
        base = Section(place=over.place, patch=over.patch)
    section = merge(base, over, problems, path)
    return section, mark._replace(value=section.place)


def _patched(base: Items, over: Section, path: str, problems: Problems) -> Items:
    items = Items(base, base.marks)
    for key, value in over.items():
        inner, mark = f"{path}.{key}", over.marks[key]
        if not key.isdecimal() or int(key) >= len(items):
            known = f"its items are 0 to {len(items) - 1}" if items else "it is empty"
            problems.add(mark.key, inner, f"there is no such item in this list; {known}")
            continue
        old, at = items[int(key)], items.marks[int(key)]
        if isinstance(value, Section):
            old = as_section(old, at)
        items[int(key)], items.marks[int(key)] = _merged(old, at, value, mark, inner, problems)
    return items


def _is_renamed(base: Section, over: Section) -> bool:
    old, new = base.get("name"), over.get("name")
    if old is None or new is None:
        return False
    return isinstance(old, (Section, Items)) or isinstance(new, (Section, Items)) or old != new


# -------------------------------------------------------------------------------------- overrides


def patch(dotted: str, value: Any, mark: Mark) -> Section:
    """Return the section in which ``value`` stands at a dotted key, such as ``model.epochs``."""
    for key in reversed(dotted.split(".")):
        value = Section({key: value}, {key: mark}, mark.value, patch=True)
    assert isinstance(value, Section)
    return value


def is_dotted_key(text: str) -> bool:
    """Return whether every part between the dots of a key, not too many, holds something."""
    parts = text.split(".")
    return len(parts) <= DEEPEST and all(part and part == part.strip() for part in parts)


def overlay(overrides: Sequence[str], problems: Problems) -> Section:
    """Return all ``key=value`` overrides as one section to be merged over a file."""
    if isinstance(overrides, str):
        raise TypeError("overrides must be a list of 'key=value' texts, not one text")
    result = Section(patch=True)
    for override in overrides:
        place = Location(f"--set {override}")
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not is_dotted_key(key):
            message = "an override is written key=value, such as model.epochs=20"
            problems.add(place, "", message)
        elif key.partition(".")[0] == "extends":
            problems.add(place, key, "can only be written in a file")
        else:
            try:
                value, mark = read_yaml(text, problems, "", place, key)
            except ConfigError:  # already among the problems
                continue
            result = merge(result, patch(key, value, mark), problems)
    return result


# ------------------------------------------------------------------------------------ environment


def fill(root: Section, problems: Problems, apart: Sequence[str] = ()) -> Section:
    """Return a tree with every reference to the environment filled, ``apart`` from some keys.

    A value that is one reference and nothing else is read as a scalar, so ``seed: ${env:SEED}``
    is a number. A default holds where the variable is unset or empty.
    """

    def filled(value: Any, mark: Mark, path: str) -> tuple[Any, Mark]:
        if path in apart:
            return value, mark
        if isinstance(value, Section):
            section = Section(place=value.place)
            for key, inner in value.items():
                section.put(key, *filled(inner, value.marks[key], below(path, key)))
            return section, mark
        if isinstance(value, Items):
            pairs = [
                filled(inner, inside, below(path, i))
                for i, (inner, inside) in enumerate(zip(value, value.marks, strict=True))
            ]
            return Items([one for one, _ in pairs], [one for _, one in pairs]), mark
        if not isinstance(value, str) or "${env:" not in value:
            return value, mark
        return _filled(value, mark, path, problems)

    section, _ = filled(root, Mark(root.place, root.place), "")
    assert isinstance(section, Section)
    return section


def _filled(written: str, mark: Mark, path: str, problems: Problems) -> tuple[Any, Mark]:
    if "${env:" in _REFERENCE.sub("", written):
        message = "holds a broken reference; write ${env:NAME} or ${env:NAME:-default}"
        problems.add(mark.value, path, message)
        return written, mark
    is_secret = False

    def value_of(match: re.Match[str]) -> str:
        nonlocal is_secret
        name, held = match["name"], os.environ.get(match["name"])
        if held:
            register(problems.secrets, held, match[0], problems.public)
            is_secret = True
        elif held is None and match["default"] is None:
            problems.add(mark.value, path, f"the environment variable {name} is not set")
        return held or match["default"] or ""

    text = _REFERENCE.sub(value_of, written)
    if is_secret:  # as a whole it can be redacted even if what it was filled with is short
        register(problems.secrets, text, written, problems.public)
    value: Any = text
    if text and _REFERENCE.fullmatch(written):
        try:
            value = read_scalar(text)
        except ValueError:
            value = text
    return value, mark._replace(reference=written, text=text)


def fill_text(text: str) -> str:
    """Return a text that was written down with the references in it filled, where they can be."""
    return _REFERENCE.sub(lambda match: os.environ.get(match["name"]) or match[0], text)


def names_in(text: str) -> list[str]:
    """Return the variables that a text refers to, each once."""
    return list(dict.fromkeys(match["name"] for match in _REFERENCE.finditer(text)))


def public_texts(value: Any) -> Iterator[str]:
    """Yield every text in a configuration: keys, values and defaults of references."""
    if isinstance(value, Items):
        for item in value:
            yield from public_texts(item)
    elif isinstance(value, Section):
        for key, inner in value.items():
            yield key
            yield from public_texts(inner)
    else:
        yield _REFERENCE.sub(lambda match: match["default"] or "", str(value))
