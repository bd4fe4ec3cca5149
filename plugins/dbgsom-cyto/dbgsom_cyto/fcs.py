"""The data set of FCS files: events of several files, compensated, with their file and number."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from flowio import create_fcs
from pydantic import BeforeValidator, Field

from dbgsom_core.api import Data, DataError, DatasetComponent
from dbgsom_core.tables import Columns, as_texts, open_table
from dbgsom_cyto.fcs_files import EVENT, FILE, OWN, FcsFile, FcsReader, Spillover, files_of

_NOT_MEASURED = re.compile(
    r"time.*|hdr.*|(fsc|ssc|fs|ss)([\W_\d].*)?|event.*|width|center|offset|residual|tof"
    r"|cell[\W_]?length|file[\W_]?(no|number|id|origin).*|bc_sep.*|mahalanobis.*"
    r"|(comp-)?((\d+[a-z]+|[a-z]+\d+(di)?)[\W_]+)?"  # an isotope, and what is of no marker
    r"(dna[\W_]?\d*|.*intercalator.*|(eq\d?[\W_]*)?beads?([\W_\d].*)?|bead_?dist.*|bc[\W_]?\d+"
    r"|barcode.*|cisplatin.*|viab.*|(live|(live)?dead|l[\W_]?d)([\W_].*)?|zombie.*)",
    re.IGNORECASE,
)
bare_name = partial(re.compile(rf"^{OWN}([0-9a-f]{{4}}-)?").sub, "")  # without its matrix

Names = Annotated[  # where a list is expected, one is a list of one
    tuple[str, ...],
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else tuple(given)),
    Field(json_schema_extra={"type": ["string", "array"]}),
]


class Fcs(DatasetComponent):
    """Events of FCS files, each a sample; a feature is called by its marker.

    Values are linear and divided by their gain, as the standard says. Where a spillover matrix
    compensates a channel its name begins with ``Comp-``, so that a model never gets values that
    are not compensated. ``file`` and ``event``, from 0, identify a sample.
    """

    file_fields: ClassVar[tuple[str, ...]] = ("path", "spillover", "samples")

    path: str | Annotated[tuple[str, ...], Field(strict=False)] = Field(
        min_length=1,
        examples=["files"],
        description="a file, a folder, a pattern as day1/*.fcs, or a list of these",
    )
    channels: Names | None = Field(
        default=None,
        description="names of markers or detectors, or patterns as CD*; null: all but time, "
        "scatter, counters, DNA, beads, barcodes, dead cells, heights and widths beside areas, and "
        "those without a marker where others have one",
    )
    compensate: bool = Field(
        default=True,
        description="undo the spillover where files hold a matrix ($SPILLOVER, SPILL or $COMP)",
    )
    spillover: str | None = Field(
        default=None,
        description="CSV file of a matrix for all files, in place of their own: a header of "
        "channels, and a row for each",
    )
    rows: int | None = Field(default=None, ge=1, description="at most so many events of each file")
    seed: int = Field(default=0, ge=0, description="which events rows draws")
    target: str | None = Field(
        default=None, description="a channel that holds the class, or a number, of each event"
    )
    samples: str | None = Field(
        default=None,
        description="CSV file with a column file, and others such as condition, batch or patient, "
        "which are kept beside each event",
    )
    differing: Literal["error", "intersect"] = Field(
        default="error",
        description="channels that some files lack: error, or intersect to leave them out",
    )

    def load(self) -> Data:
        """Return the events as float32 samples.

        Raises
        ------
        DataError
            A file is missing, damaged or empty, lacks a channel, or cannot be compensated.
        """
        files = [*map(FcsFile.open, files_of(self.path))]
        called, matrices = _short_names([file.path for file in files]), self._matrices(files)
        target = None if self.target is None else _found(files[0], self.target)
        kept = self._kept(files, target)
        features = _features(files, matrices, kept)
        counts = [min(file.events, self.rows or file.events) for file in files]
        X = np.empty((sum(counts), len(features)), dtype=np.float32)
        events, y, end = np.empty(len(X), np.int64), np.empty(len(X)), 0
        for i, (file, matrix, m) in enumerate(zip(files, matrices, counts, strict=True)):
            columns = file.read([] if matrix is None else [matrix])
            if target is not None and target not in columns:
                raise DataError(f"{file.path} lacks the target '{target}': choose another one")
            drawn: Any = slice(None)
            if m < file.events:
                rng = np.random.default_rng([self.seed, i])
                drawn = np.sort(rng.choice(file.events, m, replace=False))
            part, end = slice(end, end + m), end + m
            events[part] = np.arange(file.events)[drawn]
            with np.errstate(over="ignore"):
                for place, name in enumerate(features):
                    X[part, place] = columns[name][drawn]
            if target is not None:
                y[part] = columns[target][drawn]
        whole = np.isfinite(y).all() and (y == np.round(y)).all() if target else False
        offered = {name for file in files for name in FcsReader.open(file.path).names}
        dropped = tuple(sorted(offered - {*features, target, FILE, EVENT}))
        beside = {FILE: called, **self._of_samples(files, called)}
        of_files = {n: np.repeat(np.array(v, dtype=object), counts) for n, v in beside.items()}
        table = Columns(
            tuple(features), target=target, ids=(FILE, EVENT), dropped=dropped, dtype="float32"
        )
        known = (y.astype(np.int64) if whole else y) if target else None
        ids = {FILE: of_files.pop(FILE), EVENT: events}
        return Data(X, known, features, columns=table, ids=ids, annotations=of_files)

    def for_new(self, path: str) -> Fcs | None:
        if self.spillover is None:
            return None  # files say how they are compensated
        return self.model_copy(update={"path": path, "rows": None, "target": None, "samples": None})

    @classmethod
    def examples(cls, folder: str | Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        for name in ("control", "treated"):
            events = np.column_stack([rng.lognormal(4, 2, (40, 3)), np.arange(40) % 2])
            channels, markers = ["FL1-A", "FL2-A", "FL3-A", "gate"], ["CD3", "CD4", "CD8", ""]
            text = {"SPILLOVER": "2,FL1-A,FL2-A,1,0.1,0.02,1"}
            with (Path(folder) / f"{name}.fcs").open("wb") as file:
                create_fcs(file, events.ravel(), channels, markers, text)
        return {"path": str(folder), "channels": ("CD*",), "target": "gate"}

    def _matrices(self, files: Sequence[FcsFile]) -> list[Spillover | None]:
        """Return the matrix that compensates each file."""
        if self.spillover is not None:
            if not self.compensate:
                raise DataError("spillover has no effect with compensate: false; leave one out")
            return [Spillover.of_csv(self.spillover)] * len(files)
        found = [file.own_matrix() if self.compensate else None for file in files]
        lacking = [file.path for file, one in zip(files, found, strict=True) if one is None]
        if 0 < len(lacking) < len(files):
            raise DataError(
                f"{_listed(lacking)}: no spillover matrix, and others have one: give one for all "
                "with spillover, or set compensate: false"
            )
        return found

    def _kept(self, files: Sequence[FcsFile], target: str | None) -> list[str]:
        """Return the names of the channels that become features, those of all files."""
        if self.channels is None:
            chosen = [[name for name in _measured(file) if name != target] for file in files]
            out = [name for name in files[0].names if name not in [*chosen[0], target]]
            if out:
                text = f"channels that are left out, unless channels names them: {_listed(out)}"
                warnings.warn(text, stacklevel=2)
        else:
            several = [[_matching(file, one) for one in self.channels] for file in files]
            for i, one in enumerate(self.channels):
                if not any(found[i] for found in several):
                    _found(files[0], one)  # raises
            chosen = [[*dict.fromkeys(chain(*found))] for found in several]
        union = [*dict.fromkeys(chain(*chosen))]
        lacking = [[name for name in union if name not in names] for names in chosen]
        common = [name for name in union if not any(name in names for names in lacking)]
        for file, names in zip(files, lacking, strict=True):
            if names and self.differing == "error":
                raise DataError(
                    f"{file.path} lacks {_listed(names)}, which other files measure: set "
                    "differing: intersect to leave that out, or choose channels"
                )
        if not common:
            raise DataError(f"{files[0].path}: no channel is left to train on: name some")
        if len(common) < len(union):
            missing = _listed(dict.fromkeys(chain(*lacking)))
            text = f"channels that are left out, as some files lack them: {missing}"
            warnings.warn(text, stacklevel=2)
        return common

    def _of_samples(self, files: Sequence[FcsFile], called: Sequence[str]) -> dict[str, list[str]]:
        """Return what the table of samples says of each file, by its columns."""
        if self.samples is None:
            return {}
        table = open_table(self.samples)
        if {FILE, EVENT} & {*table.names} != {FILE}:
            raise DataError(f"{self.samples} needs a column '{FILE}', and none called '{EVENT}'")
        rows = dict[str, dict[str, str]]()
        for batch in table.batches():
            columns = [as_texts(column).fill_null("").to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                row = dict(zip(table.names, cells, strict=True))
                rows[re.sub(r"\.fcs$", "", row.pop(FILE), flags=re.IGNORECASE)] = row
        found = []
        for file, short in zip(files, called, strict=True):
            base = Path(file.path).stem
            alike = [name for name in rows if re.split(r"[/\\]", name)[-1] == base]
            name = short if short in rows else base if base in rows else "".join(alike)
            if name not in rows:
                lacking = f"{self.samples} has no row for the file '{short}': add one"
                raise DataError(f"{lacking} (there are: {_listed(rows, 5)})")
            found.append(rows[name])
        return {name: [about[name] for about in found] for name in found[0]}


def _short_names(paths: Sequence[str]) -> list[str]:
    """Return a name for each file, unique, with as few folders as possible."""
    parts = [Path(path).absolute().with_suffix("").parts for path in paths]
    every = (["/".join(one[-depth:]) for one in parts] for depth in count(1))
    return next(names for names in every if len({*names}) == len(names))


def _found(file: FcsFile, name: str) -> str:
    """Return what a channel is called; raise `DataError` for one that does not exist."""
    if found := _matching(file, name):
        return found[0]
    return one_of([*file.names, *file.channels], name, f"{file.path} has no channel")


def _matching(file: FcsFile, name: str) -> list[str]:
    """Return the names of the channels that a name or a pattern stands for."""
    named = [*zip(file.names, file.channels, file.labels, strict=True)]
    exact = [file.names[place] for place in places_of(name, named)]
    return exact or [
        names[0] for names in named if any(fnmatchcase(one, name) for one in names if one)
    ]


def places_of(name: str, channels: Sequence[Sequence[str]]) -> list[int]:
    """Return the places of the channels of a name, or of the only one with it as a word."""
    found = [i for i, names in enumerate(channels) if name in names]
    found = found or [
        i for i, names in enumerate(channels) if bare_name(name) in map(bare_name, names)
    ]
    for between in (r"[\s_]", r"[\s_-]"):  # CD3 in 170Er_CD3, then in CD3-BV421
        if not found:
            words = [{*re.split(between, " ".join(map(bare_name, names)))} for names in channels]
            found = [i for i, has in enumerate(words) if bare_name(name) in has]
            found = found if len(found) == 1 else []
    return found


def _measured(file: FcsFile) -> list[str]:
    """Return the names of the channels that measure a marker."""
    kept = [
        (name, label not in ("", channel))
        for name, channel, label in zip(file.names, file.channels, file.labels, strict=True)
        if not any(_NOT_MEASURED.fullmatch(one) for one in (channel, name))
        and not (channel[-2:] in ("-H", "-W") and f"{channel[:-2]}-A" in file.channels)
        and channel not in file.added
    ]
    return [name for name, labelled in kept if labelled] or [name for name, _ in kept]


def _features(
    files: Sequence[FcsFile], matrices: Sequence[Spillover | None], kept: Sequence[str]
) -> list[str]:
    """Return what the features are called, with the prefix of the matrix that compensates them."""
    found: list[str] = []
    for file, matrix in zip(files, matrices, strict=True):
        called = {} if matrix is None else file.compensated(matrix)
        names = [called.get(name, name) for name in kept]
        if found and found != names:
            name = min({*names} ^ {*found})
            raise DataError(
                f"{file.path} and {files[0].path} do not both compensate '{name}': give a matrix "
                "for all with spillover, or leave that channel out"
            )
        found = names
    return found


def one_of(names: Iterable[str], name: str, lacking: str) -> str:
    """Return a name; raise `DataError` with what is like it where it is not one of several."""
    names = [*names]
    if name in names:
        return name
    known = {one.lower(): one for one in names}
    near = [known[one] for one in get_close_matches(name.lower(), known, 1)]
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise DataError(f"{lacking} '{name}'{hint} (there are: {_listed(names)})")


def _listed(names: Iterable[str], most: int = 12) -> str:
    shown = [*names]
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")
