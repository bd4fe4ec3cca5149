"""`check`: what new rows say that a map did not know, in tables, sentences, figures and a page.

`comparison` makes the tables, with the statistics of `new_rows`; this module says in words what
they hold. A further table of the page is a `Section` more in `Check.sections`.
"""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import DataError
from dbgsom_core.estimators import new_rows
from dbgsom_core.estimators.display import unwrap
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.persistence import FittedModel
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.compare import Section, render
from dbgsom_core.runs.comparison import LEVEL, Comparison, Known
from dbgsom_core.runs.data import column_of, data_errors
from dbgsom_core.runs.describe import number, p_value, percent, plural
from dbgsom_core.runs.folder import write_text
from dbgsom_core.runs.predict import UNKNOWN, FoundModel, find_model
from dbgsom_core.runs.rows import known_rows, moments_of, read_rows
from dbgsom_core.runs.session import mirror_ended, tracking_of
from dbgsom_core.tables import CsvDialect

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MOST_SAID = 5  # of what a sentence lists
_LEAST_EFFECT = 0.1  # of a column that a sentence names: half of a small one for Cohen (1988)


@dataclass(frozen=True)
class Check:
    """What new rows say that a map did not know.

    Attributes
    ----------
    groups : data frame
        New groups, the largest first: ``rows`` and their ``share`` of the new rows, how many were
        ``expected``, ``p`` adjusted for all neurons, ``name`` by the columns in which they differ
        most from known rows, and their ``neurons``.
    drift : data frame
        Shares of ``known`` and ``new`` rows in each label, neuron and among novel rows, their
        ``difference`` with the ends of its 95 % interval, and ``p`` adjusted within its kind.
    columns : data frame
        Means of each column among known and new rows, the ``effect`` in standard deviations of the
        known ones, ``p``, and ``effect_moved``, that in neurons whose share moved.
    suspects : data frame
        New rows whose given label is doubtful, the least likely first.
    alarms : data frame
        Alarms in time, with the columns that pulled rows away.
    rows : data frame
        Of each new row ``unit``, ``label``, ``novelty``, ``pvalue``, its ``new_group`` from 1 on,
        0 for none, and in time the charts ``average`` and ``total`` with ``alarm``.
    measures : mapping of str to float
        Numbers that limits can be set to.
    sentences : sequence of str
    """

    groups: pd.DataFrame
    drift: pd.DataFrame
    columns: pd.DataFrame
    suspects: pd.DataFrame
    alarms: pd.DataFrame
    rows: pd.DataFrame
    measures: Mapping[str, float]
    sentences: Sequence[str]
    view: MapView

    def __repr__(self) -> str:
        return "\n".join(self.sentences)

    def plot(self, kind: str = "map") -> Figure:
        """Return a figure of the `figures`."""
        figure: Figure = self.figures[kind]
        return figure

    @cached_property
    def figures(self) -> Mapping[str, Figure]:
        """``map``, which neurons' shares moved and where new groups are, and in time ``time``."""
        drawn: Mapping[str, Figure] = guarded(get_registry().build("figure", "changes")).draw(
            self.view
        )
        return drawn

    def save(self, folder: str | Path) -> None:
        """Write the tables as CSV files and ``check.html``, a page with the figures."""
        folder = Path(folder)
        names = {"groups": "novel", "drift": "drift", "columns": "columns"}
        names |= {"suspects": "suspects", "alarms": "alarms", "rows": "rows"}
        for attribute, name in names.items():
            table = getattr(self, attribute)
            if len(table):
                write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
        write_text(folder / "check.html", self.page())

    def page(self) -> str:
        """Return the page of `save`."""
        pictures = []
        for name, figure in self.figures.items():
            written = io.BytesIO()
            figure.savefig(written, format="png", dpi=110)
            pictures.append((name, b64encode(written.getvalue()).decode()))
        title = self.view.title
        return render(True, title, self.sections(), first=self.sentences, pictures=pictures)

    def sections(self) -> Iterator[Section]:
        """Yield the tables as text, up to twenty rows of each."""
        moved = self.drift[(self.drift["p"] <= 0.05) | (self.drift["of"] == "label")]
        tables = {
            "New groups": self.groups.drop(columns="neurons"),
            "Shares that moved": moved.sort_values("p", kind="stable"),
            "Columns that moved": self.columns[self.columns["p"] <= 0.05],
            "Alarms": self.alarms,
            "Doubtful labels": self.suspects,
        }
        for title, table in tables.items():
            if len(table):
                rows = [[_cell(value) for value in row] for row in table.head(20).to_numpy(object)]
                note = f"the first 20 of {len(table):,}" if len(table) > 20 else ""
                yield Section(title, note, [*map(str, table.columns)], rows, [])


def _cell(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def check(
    model: Any,
    X_new: Any,
    X_known: Any = None,
    *,
    y_new: Any = None,
    y_known: Any = None,
    by: Any = None,
    time: Any = None,
    rate: float = 0.05,
    run_length: float = 370.0,
) -> Check:
    """Say what new rows have that a map does not know: new groups, drift, alarms, wrong labels.

    Parameters
    ----------
    model : FinishedRun, or a fitted SomVQ, SomClassifier, SomRegressor or FittedModel
        A run knows its training rows.
    X_new : array-like (n, D) or data frame
        Raw rows, as the model takes them.
    X_known : array-like (m, D) or data frame, optional
        The rows that the map was fitted to, in the order of time where ``time`` is given. Without a
        run they are needed.
    y_new, y_known : array-like (n,) and (m,), optional
        Labels or targets; those of the new rows are looked through for wrong ones.
    by : array-like (m,) or str, optional
        The file, day or machine of each known row, or the column of the run's data that says it:
        a new group then has to differ from each of them.
    time : array-like (n,) or str, optional
        The time of each new row, or its column in ``X_new``.
    rate : float in (0, 1)
        False discovery rate of new groups (Benjamini & Hochberg 1995).
    run_length : float
        Mean number of rows up to a false alarm in time.

    Returns
    -------
    Check
        Tables, sentences and measures; ``plot()`` draws what moved on the map.

    Raises
    ------
    DataError
        A column is unknown, rows cannot be used, or there are no known rows.

    Examples
    --------
    >>> from dbgsom_core import SomVQ, check
    >>> vq = SomVQ().fit(X[:100])
    >>> found = check(vq, X[100:], X[:100])
    >>> found.measures["new_groups"] >= 0
    True
    """
    if not 0 < rate < 1:
        raise DataError(f"rate must lie between 0 and 1, and is {rate:g}")
    if run_length < 2:
        raise DataError(f"run_length must be at least 2 rows, and is {run_length:g}")
    if hasattr(model, "folder"):
        if by is not None and not isinstance(by, str):
            raise DataError("by: name a column of the run's data")
        trained = find_model(str(model.folder), Path(), get_registry())
        fitted, notes = trained.model, list[str]()
        known = known_rows(
            trained, get_registry(), by, time if isinstance(time, str) else None, notes
        )
    else:
        estimator, with_steps = unwrap(model)
        fitted = with_steps or FittedModel((), estimator)
        if X_known is None:
            raise DataError("give X_known, the rows that the map was fitted to: it keeps none")
        files = _column(by, X_known, "by")
        data = _data_of(fitted, X_known, y_known)
        known, notes = Known(data, np.ones(len(data.X), bool), files), []
    new = _data_of(fitted, X_new, y_new)
    moments = _column(time, X_new, "time")
    if moments is not None:
        moments = moments_of(moments, time if isinstance(time, str) else "time")
    found = check_rows(fitted, known, new, moments, rate, run_length)
    return replace(found, sentences=[*found.sentences, *notes])


def check_file(
    trained: FoundModel,
    source: str,
    registry: Registry,
    by: str | None = None,
    time: str | None = None,
    dialect: CsvDialect = UNKNOWN,
    **levels: float,
) -> Check:
    """Return what the rows of a file say that the map of a run did not know, see `check`."""
    notes = list(trained.notes)
    known = known_rows(trained, registry, by, time, notes)
    new = read_rows(source, trained, dialect, registry, notes, [time] if time else [])
    moments = None if time is None else moments_of(column_of(new, time, "time"), time)
    title = f"{Path(source).name} beside {trained.where}"
    found = check_rows(trained.model, known, new, moments, title=title, **levels)
    return replace(found, sentences=[*found.sentences, *notes])


def keep_check(trained: FoundModel, registry: Registry, found: Check, name: str) -> Path:
    """Write a check into the folder of a run and send it to its trackers; return its page."""
    assert trained.run is not None
    run = trained.run.as_run()
    name = f"check-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name) or 'rows'}"
    with TemporaryDirectory() as folder:
        found.save(folder)
        for path in sorted(Path(folder).iterdir()):
            kept = run.log_artifact(f"{name}/{path.name}", path)
    number = 1 + sum("check/psi_neuron" in line.metrics for line in trained.run.scalars())
    for measure, value in found.measures.items():
        run.log_scalar(f"check/{measure}", value, number)
    mirror_ended(trained.run, tracking_of(trained.run, registry))
    return kept.with_name("check.html")


def _column(given: Any, table: Any, key: str) -> NDArray[Any] | None:
    """Return a column (n,) that is given as an array or by its name in a data frame."""
    if isinstance(given, str):
        if given not in getattr(table, "columns", ()):
            raise DataError(f"{key}: the rows have no column '{given}'")
        given = table[given]
    values = None if given is None else np.asarray(given)
    if values is not None and values.shape != (len(table),):
        raise DataError(f"{key}: {values.size} values for {len(table)} rows")
    return values


def _data_of(model: FittedModel, X: Any, y: Any) -> Data:
    """Return rows that a program gave as data of raw features."""
    names = model.feature_names
    if model.columns is not None:
        takes_gaps = model.fills_gaps or "missing" in model.estimator._metric.calls.handles
        X = model.columns.read(X, takes_gaps)
    elif names is not None and hasattr(X, "columns"):
        X = X[names]
    X = np.asarray(X)
    if X.ndim != 2:
        raise DataError("rows are a dense table (n, D)")
    if y is not None and len(y) != len(X):
        raise DataError(f"{len(y)} labels for {len(X)} rows")
    return Data(X, None if y is None else np.asarray(y), names)


# ------------------------------------------------------------------------------- what is found


def check_rows(
    model: FittedModel,
    known: Known,
    new: Data,
    moments: NDArray[Any] | None = None,
    rate: float = 0.05,
    run_length: float = 370.0,
    title: str = "new rows",
) -> Check:
    """Return what `check` does of rows that are read already; ``moments`` (n,) are their times."""
    import pandas as pd

    if not len(new.X):
        raise DataError("there are no new rows")
    with data_errors(title):
        there = Comparison.of(model, known, new, is_in_time=moments is not None)
    ids = dict(new.ids or {"row": np.arange(len(new.X))})
    rows = {**ids, **there.answers()}
    groups, rows["new_group"] = there.new_groups(rate)
    drift, measures = there.drift(rows["pvalue"])
    columns = there.columns_moved(drift)
    measures |= {"new_groups": len(groups), "new_rows": int((rows["new_group"] > 0).sum())}
    least = new_rows.least_group(len(new.X), len(known.is_own), len(model.estimator.som_map_), rate)
    sentences = [_on_groups(groups, len(new.X), least, known.files is not None)]
    sentences += _on_drift(drift, columns, measures)
    alarms, suspects, limits = pd.DataFrame(), pd.DataFrame(), None
    if moments is not None:
        limits, charts, alarms = there.in_time(moments, run_length)
        rows |= {"time": moments, **charts}
        measures["alarms"] = len(alarms)
        sentences.append(_on_alarms(alarms, len(new.X), run_length))
    if new.y is not None and there.new.probabilities is not None:
        found = new_rows.doubtful_rows(
            model.estimator, there.new.on_map.neurons, new.y, there.new.probabilities, ids
        )
        suspects, measures["wrong_labels"] = pd.DataFrame(found.table), found.expected
        sentences.append(f"{found.sentence}.")
    table = pd.DataFrame(rows)
    view = there.view(title, groups, None if limits is None else (limits, table))
    return Check(groups, drift, columns, suspects, alarms, table, measures, sentences, view)


# -------------------------------------------------------------------------------------- sentences


def _on_groups(groups: pd.DataFrame, n: int, least: int, by_file: bool) -> str:
    if not len(groups) and least > n:
        return f"{plural(n, 'row')} are too few to show a new group."
    if not len(groups):
        return f"No new group among {n:,} rows; one of about {least:,} in one place would show."
    texts = []
    for group in _records(groups.head(_MOST_SAID)):
        text = f"{group.rows:,} rows where {number(group.expected)} are expected "
        texts.append(text + f"({p_value(group.p)}): {group.name}")
    beside = " beside each file" if by_file else ""
    return f"{plural(len(groups), 'new group')}{beside}. " + "; ".join(texts) + "."


def _on_drift(
    drift: pd.DataFrame, columns: pd.DataFrame, measures: Mapping[str, float]
) -> list[str]:
    (novel,) = _records(drift[drift["of"] == "novelty"])
    text = f"{percent(novel.new)} of the rows are as unlike the training as 5 % of known rows are"
    texts = [f"{text} (95 % interval of the difference {_interval(novel)})."]
    kind = "label" if "psi_label" in measures else "neuron"
    index, limit = measures[f"psi_{kind}"], measures[f"psi_{kind}_by_chance"]
    text = f"Population stability index over {kind}s {number(index)}; chance stays below "
    texts.append(f"{text}{number(limit)} in 95 %.")
    moved = drift[(drift["of"] == "label") & (drift["p"] <= LEVEL)]
    if len(moved):
        largest = moved.sort_values("difference", key=lambda x: -abs(x), kind="stable")
        listed = []
        for row in _records(largest.head(_MOST_SAID)):
            share = f"{row.value} from {percent(row.known)} to {percent(row.new)}"
            listed.append(f"{share} ({_interval(row)})")
        texts.append(f"Labels that moved: {'; '.join(listed)}.")
    moved = columns[(columns["p"] <= LEVEL) & (abs(columns["effect"]) >= _LEAST_EFFECT)]
    if len(moved):
        listed = [f"{row.column} ({row.effect:+.2f})" for row in _records(moved.head(_MOST_SAID))]
        texts.append(f"Columns that moved, in standard deviations: {', '.join(listed)}.")
    return texts


def _records(table: pd.DataFrame) -> Iterator[Any]:
    return table.itertuples()


def _interval(row: Any) -> str:
    return f"{100 * row.low:+.2g} to {100 * row.high:+.2g} points"


def _on_alarms(alarms: pd.DataFrame, n: int, run_length: float) -> str:
    chance = f"{number(n / run_length)} are expected by chance"
    if not len(alarms):
        return f"No alarm in {n:,} rows; {chance}."
    first = alarms.iloc[0]
    text = f"{plural(len(alarms), 'alarm')} in {n:,} rows, where {chance}; the first at "
    return f"{text}{first['alarm']}, after {plural(int(first['rows']), 'row')}: {first['columns']}."
