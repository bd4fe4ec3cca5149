"""The configuration to begin with: the roles of columns, and commented YAML."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from dbgsom_core.config.show import Path, commented_yaml
from dbgsom_core.errors import DataError, as_text, did_you_mean
from dbgsom_core.runs.init.profile import ColumnProfile, TableProfile
from dbgsom_core.tables import NA_VALUES

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
_COMMENTS = {
    "delimiter": "between two fields",
    "encoding": "how characters are written: not as UTF-8",
    "decimal": "the decimal mark",
    "thousands": "between thousands",
    "header": "the first line holds data",
    "x": "the array of samples",
    "y": "the array of targets",
    "missing": "distances leave missing values out",
    "vq": "clusters; classifier and regressor need a target",
    "classifier": "the target holds classes; vq learns without it",
    "regressor": "the target holds numbers; vq learns without it",
}


class Role(NamedTuple):
    """The key under which a column is listed (empty for features), and why."""

    key: str
    reason: str = ""


@dataclass(frozen=True)
class Suggestion:
    """A configuration and the reasons for it: the role of each column, and comments.

    `commented_yaml` says how comments name their values.
    """

    estimator: str
    roles: Sequence[Role]
    config: Mapping[str, Any]
    comments: Mapping[Path, str]

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
    """Return the configuration that a profile suggests; without a target it is guessed."""
    chosen = _guess_target(profile) if target is None else _named_target(profile, target)
    roles = _roles(profile, chosen)
    estimator = profile.estimator
    if chosen is not None:
        numeric = chosen.spread > 0 and not chosen.has_classes
        estimator = "regressor" if numeric else "classifier"
    comments: dict[Path, str] = {}
    stem = PurePath(profile.path).name.lstrip(".").partition(".")[0]
    name = re.sub(r"[^A-Za-z0-9 ._-]+", "-", stem).strip(" .-_")[:60]
    config: dict[str, Any] = {"experiment": name or "first steps", "dataset": profile.path}
    if profile.format != "name":
        config["dataset"] = _dataset(profile, roles, chosen, target is not None, comments)
    spreads = [one.spread for one in _with_role(profile, roles, "")] or [*profile.spreads]
    spreads += [0.5] * len(_with_role(profile, roles, "categorical"))
    known = [one for one in spreads if one > 0 and profile.path != "digits"]
    if known and max(known) > _MOST_SPREAD * min(known):
        config["prepare"] = "standardize"
        comments["prepare",] = (
            f"features spread from {min(known):.3g} to {max(known):.3g}: let each count as much"
        )
    if estimator != "vq":
        config["split"] = {"test_size": 0.25}
        comments["split",] = "a quarter is kept for testing"
        if estimator == "classifier" and (chosen is None or chosen.rarest > 1):
            config["split"]["stratify"] = True
    config["model"] = {"estimator": estimator, "spreading_factor": 0.5}
    comments["model", "estimator"] = _COMMENTS[estimator]
    comments["model", "spreading_factor"] = "nearer to 1: more neurons; auto: by held-out rows"
    return Suggestion(estimator, roles, config, comments)


def _guess_target(profile: TableProfile) -> ColumnProfile | None:
    columns = profile.columns
    for column in columns:
        if _TARGET.fullmatch(column.name) and (column.kind == "number" or column.has_classes):
            return column
    binary = [one for one in columns if one.is_binary]
    usable = [one for one in columns if one.kind in ("category", "number")]
    for column in [*columns[-1:], *columns[:1]] if len(usable) > 1 else []:
        words = column is columns[-1] and column.kind == "category" and column.has_classes
        unique = sum(one.name == column.name for one in columns) == 1
        if unique and (words or binary == [column]):
            return column
    return None


def _named_target(profile: TableProfile, name: str) -> ColumnProfile:
    if not profile.columns:
        raise DataError(f"{profile.path} has no columns by name: leave out --target {name}")
    found = next((one for one in profile.columns if one.name == name), None)
    if found is None:
        near = did_you_mean(name, [one.name for one in profile.columns])
        raise DataError(f"{profile.path} has no column '{name}'{near}")
    if found.kind in ("empty", "constant", "date", "id"):
        raise DataError(f"{profile.path}: column '{name}' is no target: it looks like {found.kind}")
    return found


def _roles(profile: TableProfile, target: ColumnProfile | None) -> list[Role]:
    """Return the role of each column, by the rules that the comments of the file state."""
    keys = {"id": "id", "category": "categorical", "date": "dates", "number": ""}
    reasons = {"empty": "no value at all", "constant": "one value only"}
    roles, seen = list[Role](), set() if target is None else {target.name}
    for column in profile.columns:
        if column is target:
            role = Role("target")
        elif column.kind not in keys:
            role = Role("drop", column.note or reasons.get(column.kind, "text with many values"))
        elif not column.name:
            role = Role("drop", "no name")
        elif column.name in seen:
            role = Role("drop", f"'{column.name}' again: rename it to use it")
        else:
            role = Role(keys[column.kind])
            seen.add(column.name)
        roles.append(role)
    used = {role.key for role in roles}
    if profile.columns and not used & {"", "categorical", "dates"}:
        both = zip(profile.columns, roles, strict=True)
        listed = [f"'{one.name or one.place}' ({role.reason or role.key})" for one, role in both]
        raise DataError(
            f"{profile.path}: no column looks like numbers, dates or categories, of which samples "
            f"could be made: {', '.join(listed[:_LISTED])}{', …' if len(listed) > _LISTED else ''}"
        )
    return roles


def _with_role(profile: TableProfile, roles: Sequence[Role], *keys: str) -> list[ColumnProfile]:
    both = zip(profile.columns, roles, strict=True)
    return [column for column, role in both if role.key in keys]


def _dataset(
    profile: TableProfile,
    roles: Sequence[Role],
    target: ColumnProfile | None,
    named: bool,
    comments: dict[Path, str],
) -> dict[str, Any]:
    dataset: dict[str, Any] = {"name": profile.format, "path": profile.path}
    columns, times = profile.columns, Counter(column.name for column in profile.columns)

    def put(key: str, value: Any, comment: str) -> None:
        dataset[key] = value
        comments["dataset", key] = comment

    def reference(column: ColumnProfile) -> str | int:
        """Return what names a column: its name, or its number where that fails."""
        usable = column.name and times[column.name] == 1 and "${" not in column.name
        return column.name if usable else column.place

    def put_columns(key: str, rule: str) -> None:
        listed = _with_role(profile, roles, key)
        for place, column in enumerate(listed):
            reason = _values(column) if key == "categorical" else roles[column.place].reason
            if reason:
                comments["dataset", key, place] = reason
        if listed:
            put(key, [reference(column) for column in listed], rule)

    for key, value in profile.options.items():
        put(key, value, _COMMENTS[key])
    if not columns:
        return dataset
    put_columns("id", "identifies a sample")
    if target is None:
        put("target", None, "a column with classes or numbers to predict")
    else:
        begin = "" if named else "a guess, by its name or place: "
        put("target", reference(target), f"{begin}{_values(target)}; null: nothing to predict")
    put_columns("categorical", "text with few values: a column of 0 and 1 for each")
    features = _with_role(profile, roles, "", "categorical")
    put_columns("drop", "left out")
    if measured := [one for one in _with_role(profile, roles, "", "target") if one.unit]:
        units = {str(reference(column)): column.unit for column in measured}
        put("units", units, "numbers are read without them")
    if dates := _with_role(profile, roles, "dates"):
        forms = ", ".join(f"{one.name} ({one.date_formats[0]})" for one in dates[:_LISTED])
        first = "drop keeps them beside the samples" if features else "nothing else is left"
        rule = f"{first}; ordinal counts days, parts: year, month, day, weekday; {forms}"
        put("dates", "drop" if features else "ordinal", rule)
        several = [one.date_formats for one in dates if len(one.date_formats) > 1]
        if several and not features:
            put("date_format", several[0][0], f"a guess: days fit {' or '.join(several[0])}")
    if words := sorted({word for column in columns for word in column.words}):
        rule = f"what stands for a missing value: the usual words, and {', '.join(words)}"
        put("na_values", [*NA_VALUES, *words], rule)
    gaps = [f"{one.name} {one.missing:.1%}" for one in features or dates if one.missing]
    if gaps or not profile.complete:
        seen = ", ".join(gaps[:_LISTED]) or "if parts that were not looked at have any"
        put("missing", "keep", f"{_COMMENTS['missing']}; error refuses them: {seen}")
    if target is not None and (target.missing or not profile.complete):
        put("missing_target", "drop", "samples without a target; or unlabelled")
    return dataset


def _values(column: ColumnProfile) -> str:
    shown = ", ".join(re.sub(r"\s+", " ", one)[:20] for one in column.examples)
    more = ", …" if column.values > len(column.examples) else ""
    return as_text(f"{column.values} values: {shown}{more}")
