"""``folds.csv`` of a run folder: what each model of a part of the data measured on the rest."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FACTS = ("fold", "train_samples", "test_samples", "rows")


@dataclass(frozen=True)
class FoldMeasures:
    """Measures of one fold, by their logged names."""

    fold: int  # counted from 1
    train_samples: int
    test_samples: int
    rows: str  # digest of the rows to train and to test on, the same in runs that divide alike
    measures: Mapping[str, float] = field(default_factory=dict)


def digest_of_rows(train: NDArray[Any], test: NDArray[Any]) -> str:
    """Return a short digest of the rows to train and to test on."""
    found = hashlib.sha256()
    for rows in (train, test):
        found.update(f"{len(rows)}:".encode())
        found.update(rows.astype("<i8").tobytes())
    return found.hexdigest()[:12]


def folds_text(folds: Sequence[FoldMeasures]) -> str:
    """Return folds as CSV: a line each, a column for each measure; what is missing is empty."""
    names = list(dict.fromkeys(name for fold in folds for name in fold.measures))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*_FACTS, *names])
    for fold in folds:
        values = (fold.measures.get(name) for name in names)
        cells = ("" if value is None else repr(float(value)) for value in values)
        writer.writerow([*(getattr(fold, fact) for fact in _FACTS), *cells])
    return stream.getvalue()


def parse_folds(text: str) -> list[FoldMeasures]:
    """Read what `folds_text` returned; raises ValueError where it is no such table."""
    lines = list(csv.reader(io.StringIO(text), strict=True))
    if not lines or tuple(lines[0][: len(_FACTS)]) != _FACTS:
        raise ValueError(f"its first columns are not {', '.join(_FACTS)}")
    names, folds = lines[0][len(_FACTS) :], []
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) != len(lines[0]):
            raise ValueError(f"line {number} has {len(cells)} cells, not {len(lines[0])}")
        fold, train, test = (int(cell) for cell in cells[:3])
        values = zip(names, cells[len(_FACTS) :], strict=True)
        measures = {name: float(cell) for name, cell in values if cell}
        folds.append(FoldMeasures(fold, train, test, cells[3], measures))
    return folds


def summary(folds: Iterable[FoldMeasures]) -> dict[str, float]:
    """Return the mean of each measure over folds, and the standard deviation as ``test_std/…``."""
    found: dict[str, list[float]] = {}
    for name, value in (item for fold in folds for item in fold.measures.items()):
        found.setdefault(name, []).append(value)
    means = {name: statistics.fmean(values) for name, values in found.items()}
    spreads = {
        name.replace("test/", "test_std/"): (
            statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan
        )
        for name, values in found.items()
        if len(values) > 1
    }
    return means | spreads
