"""The configuration to begin with: what was seen of a data set, as commented YAML."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from dbgsom_core.config import read_scalar
from dbgsom_core.errors import DataError, as_text
from dbgsom_core.interfaces.cells import NA_VALUES, without_unit
from dbgsom_core.runs.first_look.column_kinds import EITHER, Column, Look, guess_target

_APART = 3  # times that one feature may spread more than another and still count as much
_SWEEP = "sweep: {grid: {model.spreading_factor: [0.3, 0.5, 0.7]}, repeats: {seeds: 3}}"
_LISTED = 5  # names or values in a comment
_PLAIN = re.compile(r"[^\W\d][\w .-]*")
_WIDTH = 44  # where comments begin
_LONGEST_COMMENT = 70  # that stands beside its line


@dataclass(frozen=True)
class Roles:
    """What becomes of the columns of a table.

    Attributes
    ----------
    target : Column or None
    ids, categorical, dates, features : sequences of Column
    drop : sequence of (Column, why)
    again : sequence of Column
        Of those, the ones that have the name of a column that is used.
    """

    target: Column | None
    ids: Sequence[Column]
    categorical: Sequence[Column]
    dates: Sequence[Column]
    features: Sequence[Column]
    drop: Sequence[tuple[Column, str]]
    again: Sequence[Column] = ()

    @property
    def only_dates(self) -> bool:
        """Whether nothing but dates is left for the samples."""
        return bool(self.dates) and not (self.features or self.categorical)

    @property
    def date_format(self) -> str:
        """The form in which dates that are features are read, where one of them has several."""
        forms = [one.form.split(EITHER) for one in self.dates if self.only_dates]
        if all(len(fitting) == 1 for fitting in forms):
            return ""
        common = [form for form in forms[0] if all(form in fitting for fitting in forms)]
        return (common or forms[0])[0]

    def of(self, column: Column) -> str:
        """Return in a word what becomes of a column."""
        if column is self.target:
            return "target"
        for part, told in ((self.ids, "id"), (self.categorical, "one column a value")):
            if column in part:
                return told
        for one, why in self.drop:
            if one is column:
                return f"dropped: {why}"
        if column not in self.dates:
            return "feature"
        return "feature: days" if self.only_dates else "dropped: dates"


def roles_of(look: Look) -> Roles:
    """Decide what becomes of the columns of a table, by the rules that the file states.

    Raises
    ------
    DataError
        None of them could become a feature.
    """
    why = {"constant": "one value only", "text": "text with many values"}
    seen: set[str] = set()
    drop, named, again = [], [], []
    for column in look.columns:
        if column.kind == "empty":
            drop.append((column, "no value at all"))
        elif not column.name:
            drop.append((column, "no name"))
        elif column.kind in why:
            drop.append((column, column.note or why[column.kind]))
            named.append(column)
        elif column.name in seen:
            drop.append((column, f"'{column.name}' again: rename it to use it"))
            again.append(column)
        else:
            seen.add(column.name)
            named.append(column)
    target = guess_target(named)
    rest = [one for one in named if one is not target and one.kind not in why]
    if look.columns and all(one.kind == "id" for one in rest):
        told = [f"'{one.name or one.place}' ({reason})" for one, reason in drop]
        told += [f"'{one.name}' (an id)" for one in rest]
        told += [] if target is None else [f"'{target.name}' (the target)"]
        raise DataError(
            f"{look.path}: no column looks like numbers, dates or categories, of which samples "
            f"could be made: {', '.join(told[:_LISTED])}{', …' if len(told) > _LISTED else ''}"
        )
    roles = Roles(
        target=target,
        ids=[one for one in rest if one.kind == "id"],
        categorical=[one for one in rest if one.kind == "category"],
        dates=[one for one in rest if one.kind == "date"],
        features=[one for one in rest if one.kind == "number"],
        drop=drop,
        again=again,
    )
    form = roles.date_format
    other = [one for one in roles.dates if form not in one.form.split(EITHER)] if form else []
    drop += [(one, f"dates not as {form}") for one in other]
    drop.sort(key=lambda one: one[0].place)
    return replace(roles, dates=[one for one in roles.dates if one not in other])


def first_config(look: Look, roles: Roles, config_name: str) -> str:
    """Return the text of a configuration that validates and runs."""
    written = as_text(shlex.quote(config_name)).replace("\n", "\\n")
    lines = [
        f"# Written by 'dbgsom init' after a look at {as_text(look.path)}: change what you know",
        "# better. These check it, and train:",
        f"#   dbgsom validate {written}",
        f"#   dbgsom run {written}",
        f"experiment: {_experiment(look.path)}",
    ]
    lines += _dataset(look, roles)
    if (scales := _scales(look, roles)) is not None:
        lines += _line("prepare", "standardize", scales)
    lines += _model(look, roles)
    return "\n".join(lines) + "\n"


def estimator_of(look: Look, roles: Roles) -> str:
    """Return which estimator suits the target."""
    if look.columns:
        if roles.target is None:
            return "vq"
        return "classifier" if roles.target.may_be_classes else "regressor"
    if not look.has_target:
        return "vq"
    return "regressor" if look.classes is None else "classifier"


def _experiment(path: str) -> str:
    stem = PurePath(path).name.lstrip(".").partition(".")[0]
    kept = re.sub(r"[^A-Za-z0-9 ._-]+", "-", stem).strip(" .-_")[:60]
    return _scalar(kept or "first steps")


def _dataset(look: Look, roles: Roles) -> Iterator[str]:
    if look.format == "name":
        yield f"dataset: {_scalar(look.path)}"
        return
    yield "dataset:"
    yield f"  name: {look.format}"
    yield f"  path: {_scalar(look.path)}"
    told = {
        "delimiter": "between two fields",
        "encoding": "how letters are written: it is no UTF-8",
        "decimal": "the decimal mark",
        "thousands": "what stands between thousands",
        "header": "the first line holds data",
        "x": "the array of samples",
        "y": "the array of targets",
    }
    for key, value in look.options.items():
        yield from _line(f"  {key}", _scalar(value), told[key])
    if not look.columns:
        if look.missing:
            yield from _line("  missing", "keep", "distances leave missing values out")
        return
    twice = {name for name in (one.name for one in look.columns) if _count(look, name) > 1}
    yield from _columns("id", [(one, "") for one in roles.ids], twice, "identifies a sample")
    if roles.target is None:
        yield from _line("  target", "null", "a column with classes or numbers to predict")
    else:
        yield from _line("  target", _reference(roles.target, twice), _of_target(look, roles))
    categories = [(one, _values(one)) for one in roles.categorical]
    rule = "text with few values: a column of 0 and 1 for each"
    yield from _columns("categorical", categories, twice, rule)
    rule = "left out"
    yield from _columns("drop", list(roles.drop), twice, rule)
    measured = [*roles.features, *([roles.target] if roles.target else [])]
    measured = sorted((one for one in measured if one.unit), key=lambda one: one.place)
    if measured:
        shown = measured[0].shown[0]
        rule = f"numbers are read without them, {shown} as {without_unit(shown, measured[0].unit)}"
        yield from _line("  units", "", rule)
        for one in measured:
            yield from _line(f"    {_key(one, twice)}", _scalar(one.unit))
    if roles.dates:
        forms = ", ".join(f"{one.name} ({one.form})" for one in roles.dates[:_LISTED])
        yield f"  # dates: {as_text(forms)}"
        first = "nothing else is left:" if roles.only_dates else "drop leaves them out,"
        rule = f"{first} ordinal counts days, parts: year, month, day, weekday"
        yield from _line("  dates", "ordinal" if roles.only_dates else "drop", rule)
        if roles.date_format:
            forms = next(one.form for one in roles.dates if EITHER in one.form)
            rule = f"a guess: the days fit {forms}"
            yield from _line("  date_format", _scalar(roles.date_format), rule)
    words = sorted({word for one in look.columns for word in one.words})
    if words:
        values = ", ".join(_scalar(word) for word in (*NA_VALUES, *words))
        found = as_text(", ".join(words))
        yield f"  # what stands for a missing value: the usual words, and {found}"
        yield f"  na_values: [{values}]"
    features = roles.dates if roles.only_dates else (*roles.features, *roles.categorical)
    gaps = [one for one in features if one.missing]
    if gaps:
        named = ", ".join(f"{one.name} {_percent(one.missing)}" for one in gaps[:_LISTED])
        yield f"  # missing values: {as_text(named)}{', …' if len(gaps) > _LISTED else ''}"
        yield from _line("  missing", "keep", "distances leave them out; error refuses them")
    elif not look.whole:
        rule = "gaps, if parts of the file that were not looked at have any; error refuses them"
        yield from _line("  missing", "keep", rule)
    target = roles.target
    if target is not None and (target.missing or not look.whole):
        share = (
            f"{_percent(target.missing)} of the samples have" if target.missing else "if any has"
        )
        yield from _line("  missing_target", "drop", f"{share} no target; or unlabelled")


def _model(look: Look, roles: Roles) -> Iterator[str]:
    estimator = estimator_of(look, roles)
    if estimator != "vq":
        rare = roles.target is not None and roles.target.rarest < 2
        even = estimator == "classifier" and not rare and look.format != "npy"
        share = "{test_size: 0.25, stratify: true}" if even else "{test_size: 0.25}"
        yield from _line("split", share, "a quarter is kept for testing")
    yield "model:"
    told = {
        "vq": "clusters; classifier and regressor need a target",
        "classifier": "the target holds classes; vq learns without it",
        "regressor": "the target holds numbers; vq learns without it",
    }
    yield from _line("  estimator", estimator, told[estimator])
    yield from _line(
        "  spreading_factor", "0.5", "nearer to 1: more neurons; auto: by held-out rows"
    )
    yield "# With the next line 'dbgsom sweep' compares variants, each with three seeds:"
    yield f"# {_SWEEP}"


def _scales(look: Look, roles: Roles) -> str | None:
    spreads = [one.spread for one in roles.features] if look.columns else list(look.spreads)
    if look.format == "name" and look.path == "digits":
        return None
    spreads += [0.5] * len(roles.categorical)
    known = [one for one in spreads if one > 0]
    if known and max(known) > _APART * min(known):
        return f"features spread from {min(known):.3g} to {max(known):.3g}: let each count as much"
    return None


def _columns(
    key: str, columns: Sequence[tuple[Column, str]], twice: set[str], rule: str
) -> Iterator[str]:
    if not columns:
        return
    if len(columns) == 1:
        column, why = columns[0]
        why = f": {why}" if why else ""
        yield from _line(f"  {key}", f"[{_reference(column, twice)}]", f"{rule}{why}")
        return
    yield from _line(f"  {key}", "", rule)
    for column, why in columns:
        yield from _line("    - ", _reference(column, twice), why)


def _of_target(look: Look, roles: Roles) -> str:
    target = roles.target
    assert target is not None
    where = "the last column" if target is look.columns[-1] else "by its name"
    return f"a guess ({where}): {_values(target)}; null: nothing to predict"


def _values(column: Column) -> str:
    shown = ", ".join(re.sub(r"\s+", " ", one)[:20] for one in column.shown)
    return f"{column.values} values: {shown}{', …' if column.values > len(column.shown) else ''}"


def _count(look: Look, name: str) -> int:
    return sum(one.name == name for one in look.columns)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"


def _reference(column: Column, twice: Iterable[str]) -> str:
    """Return how a column is named in YAML: by its name, or its number where that is none."""
    if not column.name or column.name in twice or "${" in column.name:
        return str(column.place)
    return _scalar(column.name)


def _key(column: Column, twice: Iterable[str]) -> str:
    reference = _reference(column, twice)
    return f'"{reference}"' if reference.isdecimal() else reference


def _line(key: str, value: str, comment: str = "") -> Iterator[str]:
    text = f"{key}{value}" if key.endswith("- ") else f"{key}: {value}".rstrip()
    comment = as_text(comment)
    if not comment:
        yield text
    elif len(text) < _WIDTH and len(comment) <= _LONGEST_COMMENT:
        yield f"{text.ljust(_WIDTH)}# {comment}"
    else:
        indent = " " * (len(text) - len(text.lstrip()))
        yield f"{indent}# {comment}"
        yield text


def _scalar(value: Any) -> str:
    """Return a value as one YAML scalar on one line."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value == value.strip() and isinstance(read_scalar(value), str):
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())
