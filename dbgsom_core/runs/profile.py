"""Profiles of clusters, and how answers are spread over the groups of a column.

``clusters.csv`` of a run holds the former, ``groups.csv`` the latter (``report: {by: COLUMN}``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, as_text
from dbgsom_core.experiments.measuring import ClusterProfile, GroupCounts, SampleTests
from dbgsom_core.interfaces.measures import ClusterStability
from dbgsom_core.runs.data import column_of, has_target
from dbgsom_core.runs.describe import percent, to_digits
from dbgsom_core.tables import top_words

if TYPE_CHECKING:
    from dbgsom_core.config.schema import ReportSettings
    from dbgsom_core.experiments.datasets import Data
    from dbgsom_core.persistence import FittedModel

Floats = NDArray[np.float64]

_MOST_CLUSTERS = 50  # of a profile, a row of a report each: more are not read
_MOST_GROUPS = 60  # values of a column, a row of a report each
_EFFECT = " (effect)"  # after the name of a feature, in clusters.csv
_CLEAR = 0.5  # effect from which on a feature may name a cluster: medium for Cohen (1988)
_WORDS = 3  # features in a name, at most: names are labels of figures
_TYPICAL = 3  # rows of a cluster
_MOST_WORDS = 8  # of the texts of a cluster: two lines of a report
_BATCH = 1 << 16  # rows that are read together: data may stay on a disk
_ROUNDING = 1e-12  # share of a value below which a deviation is the rounding of a constant column
_OF_GROUPS = ("column", "group", "label", "rows", "share")  # columns of groups.csv
_OF_TESTS = ("samples", "difference", "low", "high", "p")  # where rows are of samples
_SHOWN = ["rows", "share", "name", "mean (effect)", "typical rows"]  # of each, with its label


# -------------------------------------------------------------------------------------- clusters


def profile_clusters(
    model: FittedModel, data: Data, rows: Any, X: Any, labels: NDArray[Any]
) -> ClusterProfile | None:
    """Return what sets the clusters of a map apart; None where its labels are no clusters.

    Parameters
    ----------
    model : FittedModel
    data : Data
        Of the run; the profile is of its columns.
    rows : int array (m,) or slice
        The rows of the data that it is taken on.
    X : float array (m, D)
        These rows, prepared.
    labels : int array (m,)
        Their clusters.
    """
    hits = np.asarray(model.estimator.leaf_hit_counts_)
    live = np.asarray(model.estimator.leaf_labels_)[hits > 0]
    clusters, of_leaf = np.unique(live, return_inverse=True)
    if not 2 <= len(clusters) <= min(_MOST_CLUSTERS, len(live) - 1):
        return None
    codes = np.searchsorted(clusters, labels)
    counts = np.bincount(of_leaf, hits[hits > 0], len(clusters))
    if model.estimator._centres is not None:  # samples are not where their neurons are
        counts = np.rint(np.bincount(codes, minlength=len(clusters)) * hits.sum() / len(labels))
    return _profile(data, rows, X, clusters, codes, counts.astype(np.int64))


def profile_classes(
    data: Data, rows: Any, X: Any, y: NDArray[Any], names: Mapping[Any, str]
) -> ClusterProfile | None:
    """Return what sets the classes of targets y (m,) apart, as `profile_clusters` does clusters.

    ``names`` are those of classes. None where a target is missing, or there are many classes.
    """
    if not has_target(y).all():
        return None
    classes, codes, sizes = np.unique(y, return_inverse=True, return_counts=True)
    if not 2 <= len(classes) <= _MOST_CLUSTERS:
        return None
    labels = np.array([names.get(label, str(label)) for label in classes.tolist()])
    return _profile(data, rows, X, labels, codes, sizes.astype(np.int64))


def _profile(
    data: Data,
    rows: Any,
    X: Any,
    clusters: NDArray[Any],
    codes: NDArray[np.intp],
    sizes: NDArray[np.int64],
) -> ClusterProfile:
    """Return the profile of ``clusters`` (C,) with these ``sizes``; ``codes`` (m,) are of rows."""
    numbers = np.arange(len(data.X))[rows]
    features = data.feature_names or [f"feature {i}" for i in range(data.X.shape[1])]
    features = list(map(str, features))
    variables = [np.asarray(values)[numbers] for values in data.variables.values()]

    def read(part: slice) -> Floats:
        columns = [values[part] for values in variables]
        return np.column_stack([data.X[numbers[part]], *columns]).astype(np.float64)

    means, means_of_others, deviations = _moments(read, codes, len(clusters))
    effects = np.zeros_like(means)
    np.divide(means - means_of_others, deviations, out=effects, where=deviations > 0)
    effects[~np.isfinite(effects)] = 0.0
    typical = _typical_rows(X, codes, len(clusters))
    words = None
    if data.texts:
        columns = [np.asarray(data.annotations[name])[numbers].tolist() for name in data.texts]
        texts = list(map(" ".join, zip(*columns, strict=True)))
        words = top_words(texts, codes, len(clusters), _MOST_WORDS)
    return ClusterProfile(
        clusters=clusters,
        names=[name_cluster(row, features) for row in effects],
        rows=sizes,
        features=(*features, *data.variables),
        means=means,
        means_of_others=means_of_others,
        effects=effects,
        typical=[numbers[places] for places in typical],
        words=words,
    )


def _parts(n: int) -> list[slice]:
    return [slice(start, start + _BATCH) for start in range(0, n, _BATCH)]


def _moments(
    read: Callable[[slice], Floats], codes: NDArray[np.intp], count: int
) -> tuple[Floats, Floats, Floats]:
    """Return means (C, D) of clusters and of the others, and (D,) deviations of all samples.

    What is missing does not count. Sums are around the first row, so that large numbers keep their
    digits.
    """
    shift = np.nan_to_num(read(slice(1))[0])
    sums = np.zeros((count, len(shift)))
    counts, squares = np.zeros_like(sums), np.zeros_like(shift)
    for part in _parts(len(codes)):
        values = read(part)
        known = ~np.isnan(values)
        around = np.where(known, values - shift, 0.0)
        member = (codes[part] == np.arange(count)[:, None]).astype(np.float64)
        sums += member @ around
        counts += member @ known
        squares += np.square(around).sum(axis=0)
    total, n = sums.sum(axis=0), counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts
        rest = (total - sums) / (n - counts)
        variances = squares / n - np.square(total / n)  # E[x²] - E[x]²
    deviations = np.sqrt(np.maximum(variances, 0.0))
    deviations[deviations <= _ROUNDING * abs(shift)] = 0.0
    return means + shift, rest + shift, deviations


def _typical_rows(X: Any, codes: NDArray[np.intp], count: int) -> list[NDArray[np.intp]]:
    """Return for each cluster the places of the samples (m, D) that are nearest to its mean."""

    def read(part: slice) -> Floats:
        return np.asarray(X[part], dtype=np.float64)

    means = _moments(read, codes, count)[0]
    distances = np.zeros(len(codes))
    for part in _parts(len(codes)):
        squares = np.square(read(part) - means[codes[part]])
        known = np.maximum((~np.isnan(squares)).sum(axis=1), 1)
        distances[part] = np.nansum(squares, axis=1) / known
    typical = []
    for code in range(count):
        places = np.flatnonzero(codes == code)
        typical.append(places[np.argsort(distances[places], kind="stable")[:_TYPICAL]])
    return typical


def name_cluster(effects: Floats, features: Sequence[str]) -> str:
    """Return a name made of the features with the largest effects of a cluster."""
    words: list[str] = []
    for place in np.argsort(-abs(effects[: len(features)]), kind="stable").tolist():
        feature, effect = features[place], effects[place]
        if abs(effect) < _CLEAR or len(words) == _WORDS:
            break
        if "=" not in feature:
            level = "high" if effect > 0 else "low"
            words.append(f"{level} {feature}")
        elif effect > 0:  # colour=red says more than that it is not blue
            words.append(feature)
    return ", ".join(words) or "near the mean of all"


def table_of_clusters(
    profile: ClusterProfile, ids: Mapping[str, NDArray[Any]], what: str = "cluster"
) -> list[tuple[str, Any]]:
    """Return the columns of clusters.csv: means of features, then effects.

    ``ids`` (n,) name the rows of the data; without any their numbers do.
    """
    shares = profile.rows / max(1, int(profile.rows.sum()))
    effects = [f"{name}{_EFFECT}" for name in profile.features]
    words = []
    if profile.words is not None:
        words.append(("words", np.array(list(map(", ".join, profile.words)))))
    typical = []
    for name, values in ids.items() or {"": None}.items():
        cells = profile.typical if values is None else [values[rows] for rows in profile.typical]
        texts = ["; ".join(map(str, rows.tolist())) for rows in cells]
        typical.append((f"typical {name}" if len(ids) > 1 else "typical", np.array(texts)))
    return [
        (what, profile.clusters),
        ("name", np.array(profile.names)),
        *words,
        ("rows", profile.rows),
        ("share", shares),
        *typical,
        *zip(profile.features, profile.means.T, strict=True),
        *zip(effects, profile.effects.T, strict=True),
    ]


def columns_of_stability(found: ClusterStability) -> list[tuple[str, Any]]:
    """Return more columns of clusters.csv: the Jaccard coefficients of clusters in new halves."""
    mean, low, high = np.array(found.group_shares).T
    ends = [("jaccard_low", low), ("jaccard_high", high)]
    return [("jaccard", mean), *ends, ("jaccard_by_chance", found.group_chances)]


def table_of_stability(found: ClusterStability) -> dict[str, Any]:
    """Return the columns of cluster_stability.csv: a row for each number of clusters."""
    mean, low, high = np.array(found.agreements).T
    names = ("number", "agreement", "low", "high", "chance")
    return dict(zip(names, (found.numbers, mean, low, high, found.chances), strict=True))


def read_clusters(path: Path, most: int = 4) -> tuple[list[str], list[list[str]]]:
    """Return the clusters in a clusters.csv, or classes in a classes.csv, as header and rows.

    The features with the ``most`` largest effects are shown as "age 31.2 (-1.3)": name, mean and
    effect, the difference from the mean of all other samples in standard deviations of all.
    """
    rows = []
    with _reading(path) as table:
        names = list(table.columns)
        what, shown = names[0], list(_SHOWN)
        has_words = names[2] == "words"  # where the rows are without them
        if has_words:
            shown.insert(3, "words")
        after = names[names.index("share") + 1 :]
        of_typical = list(takewhile(lambda name: name.startswith("typical"), after))
        for row in table.to_dict("records"):
            share = percent(float(row["share"]))
            effects = _largest_effects(row, most)
            ids = zip(*(row[name].split("; ") for name in of_typical), strict=False)
            cells = [row[what], row["rows"], share, row["name"], effects]
            cells.append("; ".join(map(" ".join, ids)))
            if has_words:
                cells.insert(4, row["words"])
            rows.append(list(map(as_text, cells)))
        return [what, *shown], rows


def _largest_effects(row: Mapping[str, str], most: int) -> str:
    """Return the features of a row of clusters.csv whose effects are largest, as text."""
    effects = {}
    for name, text in row.items():
        if name.endswith(_EFFECT):
            effects[name.removesuffix(_EFFECT)] = float(text)
    names = sorted(effects, key=lambda name: -abs(effects[name]))
    shown = []
    for name in names[:most]:
        mean = float(row[name] or "nan")
        text = to_digits(mean, 3)
        if "=" in name:  # of a category, whose mean is a share
            text = percent(mean)
        if abs(effects[name]) >= _CLEAR / 2:
            shown.append(f"{name} {text} ({effects[name]:+.1f})")
    return ", ".join(shown)


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Yield the texts of a table of a run folder; what is wrong with it is a `DataError`."""
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        if table.isna().to_numpy().any():
            raise ValueError("a line is cut short")
        yield table
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is damaged ({type(error).__name__}: {error})") from error


# ---------------------------------------------------------------------------------------- groups


def groups_of(data: Data, column: str) -> NDArray[Any]:
    """Return the group of each row, text (n,), by the values of a column beside the samples.

    Raises
    ------
    DataError
        There is no such column, or it has too many values.
    """
    values = column_of(data, column, "report.by").tolist()
    groups = np.array(list(map(_as_value, values)))
    count = len(np.unique(groups))
    if count > _MOST_GROUPS:
        raise DataError(
            f"report.by: '{column}' has {count} values, and a table of groups at most "
            f"{_MOST_GROUPS}: name a column with fewer"
        )
    return groups


def _as_value(value: Any) -> str:
    if value is None or value != value:  # nan
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def samples_of(
    data: Data, column: str, report: ReportSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None] | None:
    """Return the sample (n,) of each row, and its block if any; None: rows are not of samples.

    Raises
    ------
    DataError
        A sample has rows of two groups or blocks.
    """
    if report.sample is None:
        return None
    names, samples = np.unique(
        column_of(data, report.sample, "report.sample").astype(str), return_inverse=True
    )
    blocks = None
    if report.block is not None:
        values = column_of(data, report.block, "report.block").astype(str)
        blocks = np.unique(values, return_inverse=True)[1]
    groups = np.unique(groups_of(data, column), return_inverse=True)[1]
    first = np.unique(samples, return_index=True)[1]
    for name, codes in ((column, groups), (report.block, blocks)):
        if codes is None:
            continue
        mixed = np.flatnonzero(codes[first][samples] != codes)
        if len(mixed):
            sample = names[samples[mixed[0]]]
            raise DataError(
                f"report.sample: '{sample}' has rows of two values of '{name}': name a column that "
                "tells samples apart"
            )
    return samples, blocks


def count_groups(
    column: str,
    groups: NDArray[Any],
    labels: NDArray[Any],
    names: Mapping[Any, str],
    samples: tuple[NDArray[np.int64], NDArray[np.int64] | None] | None = None,
) -> GroupCounts:
    """Return how often each label (n,) stands in each group (n,); ``names`` are those of labels."""
    import pandas as pd

    counts = pd.crosstab(groups, labels)
    texts = tuple(names.get(label, str(label)) for label in counts.columns.tolist())
    tests = None
    if samples is not None:
        sample_of, block_of = samples
        by_sample = pd.crosstab(sample_of, labels).to_numpy()
        firsts = np.unique(sample_of, return_index=True)[1]
        group_of = np.searchsorted(counts.index.to_numpy(), groups[firsts])
        blocks = None if block_of is None else block_of[firsts]
        shares = by_sample / by_sample.sum(axis=1, keepdims=True)
        tests = SampleTests.of(shares, group_of, blocks)
    return GroupCounts(column, tuple(counts.index), texts, counts.to_numpy(), tests)


def table_of_groups(columns: Sequence[GroupCounts]) -> list[tuple[str, Any]]:
    """Return the columns of groups.csv: a row for each column, group and label."""
    rows, names = [], list(_OF_GROUPS)
    if any(counts.tests for counts in columns):
        names += _OF_TESTS
    for counts in columns:
        shares = counts.shares
        for place, group in enumerate(counts.groups):
            cells = [counts.labels, counts.counts[place], shares[place]]
            if counts.tests is not None:
                tests = counts.tests
                sizes = np.full(len(counts.labels), tests.sizes[place])
                cells += [sizes, *(ends[place] for ends in tests.intervals), tests.pvalues[place]]
            for row in zip(*cells, strict=True):
                rows.append((counts.column, group, *row))
    cells_of = map(np.array, zip(*rows, strict=True))
    return list(zip(names, cells_of, strict=True))


def read_groups(path: Path) -> list[GroupCounts]:
    """Return what a groups.csv says of each column."""
    columns = []
    with _reading(path) as table:
        for column, rows in table.map(as_text).groupby("column", sort=False):
            wide = rows.pivot(index="group", columns="label")
            groups, labels = rows["group"].unique(), rows["label"].unique()

            def values(name: str, wide: Any = wide, at: Any = (groups, labels)) -> NDArray[Any]:
                cells = wide[name].loc[at[0], at[1]].replace("", "nan")
                return np.asarray(cells.to_numpy(), np.float64)

            tests = None
            if "samples" in rows:
                sizes = values("samples")[:, 0].astype(np.int64)
                ends = values("difference"), values("low"), values("high")
                none = np.empty((0, len(labels)))
                tests = SampleTests(sizes, ends, values("p"), none, np.empty(0, np.int64))
            counts = values("rows").astype(np.int64)
            columns.append(GroupCounts(str(column), tuple(groups), tuple(labels), counts, tests))
    return columns


def group_rows(counts: GroupCounts, most: int) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table of groups: rows, and the shares of up to so many labels."""
    rows = []
    for group, numbers, shares in zip(counts.groups, counts.counts, counts.shares, strict=True):
        rows.append([group or "(none)", f"{numbers.sum():,}", *map(percent, shares[:most])])
    return [counts.column, "rows", *counts.labels[:most]], rows
