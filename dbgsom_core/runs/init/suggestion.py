"""The configuration to begin with: the roles of columns, and commented YAML."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

import pyarrow as pa

from dbgsom_core.errors import DataError, as_text, did_you_mean
from dbgsom_core.runs.init.columns import ColumnProfile
from dbgsom_core.runs.init.commented_yaml import Key, commented_yaml
from dbgsom_core.runs.init.profile import TableProfile
from dbgsom_core.tables import NA_VALUES, without_unit

_MOST_SPREAD = 3  # times that one feature may spread more than another and still count as much
_LISTED = 5  # names or values in a comment
_TARGET = re.compile(
    r"(?i)(target|class|classes|label|labels|y|outcome|species|klasse|ziel|zielvariable"
    r"|diagnosis|churn|response)"
)
_SWEEP = """\
# With the next line 'dbgsom sweep' compares variants, each with three seeds:
# sweep: {grid: {model.spreading_factor: [0.3, 0.5, 0.7]}, repeats: {seeds: 3}}
"""


class Role(NamedTuple):
    """The key under which a column is listed (empty for features), and why."""

    key: str
    reason: str = ""


@dataclass(frozen=True)
class Suggestion:
    """A configuration and the reasons for it.

    Attributes
    ----------
    estimator : str
    roles : sequence of Role
        One of each column.
    config : mapping
    comments : mapping of tuple to str
        See `commented_yaml`.
    """

    estimator: str
    roles: Sequence[Role]
    config: Mapping[str, Any]
    comments: Mapping[Key, str]

    def text(self, source: str, file: str) -> str:
        """Return it as YAML that begins with the data and the commands that use the ``file``."""
        typed = shlex.quote(file)
        header = [
            f"Written by 'dbgsom init' after a look at {source}: change what you know",
            "better. These check it, and train:",
            f"  dbgsom validate {typed}",
            f"  dbgsom run {typed}",
        ]
        return commented_yaml(self.config, self.comments, header) + _SWEEP


def suggest(profile: TableProfile, target: str | None = None) -> Suggestion:
    """Return the configuration that a profile suggests.

    Parameters
    ----------
    profile : TableProfile
    target : str, optional
        The column to predict; without it one that looks like a target.

    Raises
    ------
    DataError
        No column can become a feature, or the target is none of them.
    """
    chosen = _target(profile, target)
    roles = _roles(profile, chosen)
    estimator = _estimator(profile, chosen)
    comments: dict[Key, str] = {}
    config: dict[str, Any] = {"experiment": _experiment(profile.path)}
    if profile.format == "name":
        config["dataset"] = profile.path
    else:
        config["dataset"] = _dataset(profile, roles, chosen, target is not None, comments)
    if scales := _scales(profile, roles):
        config["prepare"], comments["prepare",] = "standardize", scales
    if estimator != "vq":
        rare = chosen is not None and chosen.rarest < 2
        config["split"] = {"test_size": 0.25}
        comments["split",] = "a quarter is kept for testing"
        if estimator == "classifier" and not rare and profile.format != "npy":
            config["split"]["stratify"] = True
    config["model"] = {"estimator": estimator, "spreading_factor": 0.5}
    comments["model", "estimator"] = {
        "vq": "clusters; classifier and regressor need a target",
        "classifier": "the target holds classes; vq learns without it",
        "regressor": "the target holds numbers; vq learns without it",
    }[estimator]
    comments["model", "spreading_factor"] = "nearer to 1: more neurons; auto: by held-out rows"
    return Suggestion(estimator, roles, config, comments)


def _target(profile: TableProfile, name: str | None) -> ColumnProfile | None:
    columns = profile.columns
    if name is None:
        named = [one for one in columns if one.name and _TARGET.fullmatch(one.name)]
        for column in named:
            if column.kind == "number" or column.has_classes:
                return column
        usable = [one for one in columns if one.kind in ("category", "number")]
        binary = [one for one in columns if one.is_binary]
        for column in [*columns[-1:], *columns[:1]] if len(usable) > 1 else []:
            words = column is columns[-1] and column.kind == "category" and column.has_classes
            unique = sum(one.name == column.name for one in columns) == 1
            if unique and (words or binary == [column]):
                return column
        return None
    if not columns:
        raise DataError(f"{profile.path} has no columns by name: leave out --target {name}")
    found = [one for one in columns if one.name == name]
    if not found:
        near = did_you_mean(name, [one.name for one in columns])
        raise DataError(f"{profile.path} has no column '{name}'{near}")
    why = {
        "empty": "has no value",
        "constant": "has one value only",
        "date": "holds dates",
        "id": "has a value of its own in each row",
    }
    kind, numeric = found[0].kind, found[0].spread > 0
    if kind in why and not numeric:
        raise DataError(f"{profile.path}: column '{name}' {why[kind]} and is no target")
    return found[0]


def _roles(profile: TableProfile, target: ColumnProfile | None) -> list[Role]:
    """Return the role of each column, by the rules that the comments of the file state."""
    keys = {"id": "id", "category": "categorical", "date": "dates", "number": ""}
    roles, seen = list[Role](), set() if target is None else {target.name}
    for column in profile.columns:
        repeated, kind = column.name in seen, column.kind
        if column is target:
            role = Role("target")
        elif kind == "empty":
            role = Role("drop", "no value at all")
        elif not column.name:
            role = Role("drop", "no name")
        elif kind in ("constant", "text"):
            why = "one value only" if kind == "constant" else "text with many values"
            role = Role("drop", column.note or why)
        elif repeated:
            role = Role("drop", f"'{column.name}' again: rename it to use it")
        else:
            role = Role(keys[kind])
            seen.add(column.name)
        roles.append(role)
    used = {role.key for role in roles}
    if profile.columns and not used & {"", "categorical", "dates"}:
        reasons = {"id": "an id", "target": "the target"}
        listed = [
            f"'{column.name or column.place}' ({role.reason or reasons[role.key]})"
            for column, role in zip(profile.columns, roles, strict=True)
        ]
        raise DataError(
            f"{profile.path}: no column looks like numbers, dates or categories, of which samples "
            f"could be made: {', '.join(listed[:_LISTED])}{', …' if len(listed) > _LISTED else ''}"
        )
    if not used & {"", "categorical"}:
        form = _date_format(profile, roles)
        for column, role in zip(profile.columns, roles, strict=True):
            if role.key == "dates" and form and form not in column.date_formats:
                roles[column.place] = Role("drop", f"dates not as {form}")
    return roles


def _date_format(profile: TableProfile, roles: Sequence[Role]) -> str:
    """Return the format in which dates that are features are read, where one has several."""
    formats = [c.date_formats for c, role in _of(profile, roles, "dates")]
    if all(len(fitting) == 1 for fitting in formats):
        return ""
    common = [one for one in formats[0] if all(one in fitting for fitting in formats)]
    return (common or formats[0])[0]


def _of(
    profile: TableProfile, roles: Sequence[Role], *keys: str
) -> list[tuple[ColumnProfile, Role]]:
    both = zip(profile.columns, roles, strict=True)
    return [(column, role) for column, role in both if role.key in keys]


def _estimator(profile: TableProfile, target: ColumnProfile | None) -> str:
    if target is not None:
        numeric = target.spread > 0 and not target.has_classes
        return "regressor" if numeric else "classifier"
    if profile.columns or not profile.has_target:
        return "vq"
    return "regressor" if profile.classes is None else "classifier"


def _experiment(path: str) -> str:
    stem = PurePath(path).name.lstrip(".").partition(".")[0]
    kept = re.sub(r"[^A-Za-z0-9 ._-]+", "-", stem).strip(" .-_")[:60]
    return kept or "first steps"


def _dataset(
    profile: TableProfile,
    roles: Sequence[Role],
    target: ColumnProfile | None,
    named: bool,
    comments: dict[Key, str],
) -> dict[str, Any]:
    dataset: dict[str, Any] = {"name": profile.format, "path": profile.path}

    def put(key: str, value: Any, comment: str) -> None:
        dataset[key] = value
        comments["dataset", key] = comment

    why = {
        "delimiter": "between two fields",
        "encoding": "how characters are written: not as UTF-8",
        "decimal": "the decimal mark",
        "thousands": "between thousands",
        "header": "the first line holds data",
        "x": "the array of samples",
        "y": "the array of targets",
    }
    for key, value in profile.options.items():
        put(key, value, why[key])
    if not profile.columns:
        if profile.missing:
            put("missing", "keep", "distances leave missing values out")
        return dataset
    reference = _references(profile)

    def put_columns(key: str, rule: str) -> None:
        listed = _of(profile, roles, key)
        for place, (column, role) in enumerate(listed):
            reason = _values(column) if key == "categorical" else role.reason
            if reason:
                comments["dataset", key, place] = reason
        if listed:
            put(key, [reference(column) for column, _ in listed], rule)

    put_columns("id", "identifies a sample")
    if target is None:
        put("target", None, "a column with classes or numbers to predict")
    else:
        last = target is profile.columns[-1]
        by_name = _TARGET.fullmatch(target.name) is not None
        guess = "by its name" if by_name else f"the {'last' if last else 'first'} column"
        begin = "" if named else f"a guess ({guess}): "
        rule = f"{begin}{_values(target)}; null: nothing to predict"
        put("target", reference(target), rule)
    put_columns("categorical", "text with few values: a column of 0 and 1 for each")
    if codes := [f"{c.name} ({c.note})" for c, _ in _of(profile, roles, "") if c.note]:
        begin = comments.get(("dataset", "categorical"), "")
        rule = f"numbers, or codes that belong here? {', '.join(codes[:_LISTED])}"
        put("categorical", dataset.get("categorical", []), "; ".join(filter(None, [begin, rule])))
    put_columns("drop", "left out")
    measured = [column for column, _ in _of(profile, roles, "", "target") if column.unit]
    if measured:
        example, unit = measured[0].examples[0], measured[0].unit
        plain = without_unit(pa.array([example]), unit)[0].as_py()
        rule = f"numbers are read without them, {example} as {plain}"
        put("units", {str(reference(column)): column.unit for column in measured}, rule)
    dates = [column for column, _ in _of(profile, roles, "dates")]
    if dates:
        alone = not _of(profile, roles, "", "categorical")
        forms = ", ".join(
            f"{one.name} ({' or '.join(one.date_formats)})" for one in dates[:_LISTED]
        )
        first = "nothing else is left:" if alone else "drop keeps them beside the samples,"
        rule = f"{first} ordinal counts days, parts: year, month, day, weekday; {forms}"
        put("dates", "ordinal" if alone else "drop", rule)
        if alone and (form := _date_format(profile, roles)):
            fitting = next(one.date_formats for one in dates if len(one.date_formats) > 1)
            put("date_format", form, f"a guess: the days fit {' or '.join(fitting)}")
    words = sorted({word for column in profile.columns for word in column.words})
    if words:
        rule = f"what stands for a missing value: the usual words, and {', '.join(words)}"
        put("na_values", [*NA_VALUES, *words], rule)
    features = [c for c, _ in _of(profile, roles, "", "categorical")] or dates
    gaps = [f"{one.name} {_percent(one.missing)}" for one in features if one.missing]
    if gaps:
        more = ", …" if len(gaps) > _LISTED else ""
        rule = "distances leave missing values out; error refuses them: "
        put("missing", "keep", f"{rule}{', '.join(gaps[:_LISTED])}{more}")
    elif not profile.complete:
        rule = "gaps, if parts of the file that were not looked at have any; error refuses them"
        put("missing", "keep", rule)
    if target is not None and (target.missing or not profile.complete):
        share = f"{_percent(target.missing)} of the samples have"
        rule = f"{share if target.missing else 'if any has'} no target; or unlabelled"
        put("missing_target", "drop", rule)
    return dataset


def _references(profile: TableProfile) -> Any:
    """Return what names a column in a configuration: its name, or its number where that fails."""
    times = Counter(column.name for column in profile.columns)

    def reference(column: ColumnProfile) -> str | int:
        usable = column.name and times[column.name] == 1 and "${" not in column.name
        return column.name if usable else column.place

    return reference


def _scales(profile: TableProfile, roles: Sequence[Role]) -> str:
    """Return why features should be scaled; empty: they spread alike."""
    if profile.format == "name" and profile.path == "digits":
        return ""
    spreads = [column.spread for column, _ in _of(profile, roles, "")] or [*profile.spreads]
    spreads += [0.5] * len(_of(profile, roles, "categorical"))
    known = [one for one in spreads if one > 0]
    if known and max(known) > _MOST_SPREAD * min(known):
        return f"features spread from {min(known):.3g} to {max(known):.3g}: let each count as much"
    return ""


def _values(column: ColumnProfile) -> str:
    shown = ", ".join(re.sub(r"\s+", " ", one)[:20] for one in column.examples)
    more = ", …" if column.values > len(column.examples) else ""
    return as_text(f"{column.values} values: {shown}{more}")


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"
