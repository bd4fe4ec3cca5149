"""The data set of FCS files: events of several files, compensated, with their file and number."""

from __future__ import annotations

import glob
import re
import warnings
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from dbgsom_core.api import Component, Data, DataError
from dbgsom_core.tables import Columns, as_texts, open_table
from dbgsom_cyto.fcs_files import EVENT, FILE, OWN, FcsFile, Spillover

_LISTED = 12  # names in a sentence
_NOT_MEASURED = re.compile(
    r"time.*|(fsc|ssc|fs|ss)([\W_\d].*)?|event.*|width|center|offset|residual|tof"
    r"|cell[\W_]?length|file[\W_]?(no|number|id|origin).*|bead_?dist.*|bc_sep.*|mahalanobis.*",
    re.IGNORECASE,
)

Texts = Annotated[
    str | tuple[str, ...],
    BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given),
]


class Fcs(Component):
    """Events of FCS files, each a sample, through flowio; a feature is called by its marker.

    Values are linear and divided by their gain, as the standard says. Where a spillover matrix
    compensates a channel its name begins with ``Comp-``, so that a model never gets values that are
    not; see ``dbgsom_cyto.fcs_files``. ``file`` and ``event``, from 0, identify a sample.
    """

    path: Texts = Field(
        min_length=1,
        examples=["files"],
        description="a file, a folder, a pattern as day1/*.fcs, or a list of these",
    )
    channels: Texts | None = Field(
        default=None,
        description="names of markers or detectors, or patterns as CD*; null: all but time, "
        "scatter, counters, heights and widths beside areas, and those without a marker where "
        "others have one",
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
    rows: int | None = Field(
        default=None, ge=1, description="at most so many events of each file; null: all"
    )
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
        if self.spillover is not None and not self.compensate:
            raise DataError("spillover has no effect with compensate: false; leave one out")
        files = [FcsFile.open(path) for path in _files(self.path)]
        called = _short_names([file.path for file in files])
        own = [file.own_matrix() for file in files]
        matrices = self._matrices(files, own)
        kept = self._kept(files)
        features = _feature_names(files, matrices, kept)
        target = None if self.target is None else _found(files[0], self.target)
        counts = [min(file.events, self.rows or file.events) for file in files]
        X = np.empty((sum(counts), len(features)), dtype=np.float32)
        events, goals, end = np.empty(len(X), np.int64), [], 0
        for i, (file, matrix, m) in enumerate(zip(files, matrices, counts, strict=True)):
            columns = file.read([] if matrix is None else [matrix])
            if target is not None and target not in columns:
                raise DataError(f"{file.path} lacks the target '{target}'")
            drawn: Any = slice(None)
            if m < file.events:
                rng = np.random.default_rng([self.seed, i])
                drawn = np.sort(rng.choice(file.events, m, replace=False))
            start, end = end, end + m
            events[start:end] = np.arange(file.events)[drawn]
            with np.errstate(over="ignore"):
                for place, name in enumerate(features):
                    X[start:end, place] = columns[name][drawn]
            if target is not None:
                goals.append(file.meanings(target, columns[target][drawn]))
        offered = {name for file in files for name in file.names}
        for file, *several in zip(files, own, matrices, strict=True):
            for matrix in {*several} - {None}:
                offered |= {
                    matrix.prefix + file.names[i] for i in file.places(matrix, strict=False)
                }
        return Data(
            X,
            _as_target(goals),
            feature_names=features,
            columns=Columns(
                tuple(features),
                target=target,
                ids=(FILE, EVENT),
                dropped=tuple(sorted(offered - {*features, target})),
                dtype="float32",
            ),
            ids={FILE: _repeated(called, counts), EVENT: events},
            annotations={
                name: _repeated(values, counts)
                for name, values in self._of_samples(files, called).items()
            },
        )

    @classmethod
    def examples(cls, folder: str | Path) -> dict[str, Any]:
        from flowio import create_fcs

        rng = np.random.default_rng(0)
        for name in ("control", "treated"):
            events = np.column_stack([rng.lognormal(4, 2, (40, 3)), np.arange(40) % 2])
            channels, markers = ["FL1-A", "FL2-A", "FL3-A", "gate"], ["CD3", "CD4", "CD8", ""]
            text = {"SPILLOVER": "2,FL1-A,FL2-A,1,0.1,0.02,1"}
            with (Path(folder) / f"{name}.fcs").open("wb") as file:
                create_fcs(file, events.ravel(), channels, markers, text)
        return {"path": str(folder), "channels": ("CD*",), "target": "gate"}

    def _matrices(
        self, files: Sequence[FcsFile], own: Sequence[Spillover | None]
    ) -> list[Spillover | None]:
        """Return the matrix that compensates each file."""
        if not self.compensate:
            return [None] * len(files)
        if self.spillover is not None:
            return [Spillover.of_csv(self.spillover)] * len(files)
        cure = "give one for all with spillover, or set compensate: false"
        for file in files:
            if "comp" in file.text and own[0] is None and file.own_matrix() is None:
                _warn(f"{file.path} is not compensated: its $COMP does not name channels; {cure}")
        lacking = [file.path for file, matrix in zip(files, own, strict=True) if matrix is None]
        if 0 < len(lacking) < len(files):
            raise DataError(
                f"{lacking[0]} holds no spillover matrix ({len(lacking)} of {len(files)} files): "
                f"{cure}"
            )
        plain = [
            file.path
            for file, matrix in zip(files, own, strict=True)
            if matrix is not None and (matrix.values == np.eye(len(matrix.values))).all()
        ]
        if plain:
            _warn(
                f"the spillover matrix of {_listed(plain)} compensates nothing: it holds 1 for "
                "each channel and 0 between them"
            )
        return [*own]

    def _kept(self, files: Sequence[FcsFile]) -> list[str]:
        """Return the names of the channels that become features, those of all files."""
        if self.channels is None:
            chosen = [_measured(file) for file in files]
            if not any(chosen):
                raise DataError(f"{files[0].path} has no channel but time and scatter: name some")
            goal = None if self.target is None else _found(files[0], self.target)
            out = [name for name in files[0].names if name not in [*chosen[0], goal]]
            if out:
                _warn(f"channels that are left out, unless channels names them: {_listed(out)}")
        else:
            given = (self.channels,) if isinstance(self.channels, str) else self.channels
            chosen = [[name for one in given for name in _matching(file, one)] for file in files]
            for one in given:
                if not any(_matching(file, one) for file in files):
                    _found(files[0], one)  # raises
        union = [*dict.fromkeys(name for names in chosen for name in names)]
        for file, names in zip(files, chosen, strict=True):
            lacking = [name for name in union if name not in {*names}]
            if lacking and self.differing == "error":
                holder = next(
                    f for f, names in zip(files, chosen, strict=True) if lacking[0] in names
                )
                raise DataError(
                    f"{file.path} lacks {_listed(lacking)}, which {holder.path} measures: set "
                    "differing: intersect to leave them out, or choose channels"
                )
        common = [name for name in union if all(name in names for names in chosen)]
        if not common:
            raise DataError("the files have no channel in common: choose files of one panel")
        if len(common) < len(union):
            _warn(f"left out, as some files lack them: {_listed({*union} - {*common})}")
        return common

    def _of_samples(self, files: Sequence[FcsFile], called: Sequence[str]) -> dict[str, list[str]]:
        """Return what the table of samples says of each file, by its columns."""
        if self.samples is None:
            return {}
        table = open_table(self.samples)
        names = table.names
        if FILE not in names or len({*names}) < len(names):
            raise DataError(f"{self.samples} needs a column '{FILE}', and columns of other names")
        cells: dict[str, list[Any]] = {name: [] for name in names}
        for batch in table.batches():
            for name, column in zip(names, batch.columns, strict=True):
                cells[name] += as_texts(column).fill_null("").to_pylist()
        at = {}
        for i, name in enumerate(cells.pop(FILE)):
            at[name] = at[name.removesuffix(".fcs")] = i
        rows = []
        for file, short in zip(files, called, strict=True):
            known = [
                name for name in (Path(file.path).name, short, Path(file.path).stem) if name in at
            ]
            if not known:
                raise DataError(f"{self.samples} has no row for the file '{short}': add it")
            rows.append(at[known[0]])
        return {name: [values[row] for row in rows] for name, values in cells.items()}


def _files(path: str | Sequence[str]) -> list[str]:
    """Return the files that paths, folders and patterns name, each once."""
    found: list[str] = []
    for one in (path,) if isinstance(path, str) else path:
        place = Path(one).expanduser()
        if place.is_dir():
            inside = [f"{file}" for file in place.iterdir() if file.suffix.lower() == ".fcs"]
            if not inside:
                raise DataError(f"{one} is a folder without an .fcs file: give another path")
        elif not place.exists() and glob.has_magic(one):
            inside = glob.glob(f"{place}", recursive=True)  # noqa: PTH207 - may be absolute
            if not inside:
                raise DataError(f"no file is called {one}: give another pattern")
        else:
            inside = [one]
        found += sorted(inside, key=_in_order)
    return [*dict.fromkeys(found)]


def _in_order(path: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path)  # part 2 comes before part 10
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _short_names(paths: Sequence[str]) -> list[str]:
    """Return a name for each file, unique, without what all of them share."""
    parts = [Path(path).absolute().with_suffix("").parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-depth:]) for one in parts]
        if len({*names}) == len(names):
            break
    return names


def _found(file: FcsFile, name: str) -> str:
    """Return what a channel is called; raise `DataError` for one that does not exist."""
    if found := _matching(file, name):
        return found[0]
    known = [*dict.fromkeys(filter(None, [*file.names, *file.channels]))]
    near = get_close_matches(name, known, 1)
    lower = [one for one in known if one.lower() == name.lower()]
    hint = f"; did you mean '{(lower or near)[0]}'?" if lower or near else ""
    raise DataError(f"{file.path} has no channel '{name}'{hint} (it has: {_listed(known)})")


def _matching(file: FcsFile, name: str) -> list[str]:
    """Return the names of the channels that a name or a pattern stands for."""
    named = [*zip(file.names, file.channels, file.labels, strict=True)]
    plain = name.removeprefix(OWN)
    exact = [names[0] for names in named if name in names or plain in names]
    return exact or [
        names[0] for names in named if any(fnmatchcase(one, name) for one in names if one)
    ]


def _measured(file: FcsFile) -> list[str]:
    """Return the names of the channels that measure a marker."""
    named = [*zip(file.names, file.channels, file.labels, strict=True)]
    kept = [
        (name, channel, label)
        for name, channel, label in named
        if not (_NOT_MEASURED.fullmatch(channel) or _NOT_MEASURED.fullmatch(name))
        and not (channel[-2:] in ("-H", "-W") and f"{channel[:-2]}-A" in file.channels)
        and channel not in file.added
    ]
    labelled = [name for name, channel, label in kept if label not in ("", channel)]
    return labelled or [name for name, _, _ in kept]


def _feature_names(
    files: Sequence[FcsFile], matrices: Sequence[Spillover | None], kept: Sequence[str]
) -> list[str]:
    """Return what the features are called, with the prefix of the matrix that compensates them."""
    found: list[str] = []
    for file, matrix in zip(files, matrices, strict=True):
        prefix = (
            {} if matrix is None else {file.names[i]: matrix.prefix for i in file.places(matrix)}
        )
        names = [prefix.get(name, "") + name for name in kept]
        differing = {*names} ^ {*(found or names)}
        if differing:
            name = min(differing).removeprefix(OWN)
            raise DataError(
                f"{file.path} and {files[0].path} have spillover matrices of other channels, as of "
                f"'{name}': give one for all with spillover, or leave that channel out"
            )
        found = names
    return found


def _as_target(parts: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    if not parts:
        return None
    y = np.concatenate(parts)
    whole = y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.round(y)).all()
    return y.astype(np.int64) if whole and np.abs(y).max() < 1 << 53 else y


def _repeated(values: Sequence[str], counts: Sequence[int]) -> NDArray[Any]:
    return np.repeat(np.array([*values], dtype=object), counts)


def _listed(names: Iterable[str]) -> str:
    shown = [*names]
    return ", ".join(shown[:_LISTED]) + (", …" if len(shown) > _LISTED else "")


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=3)
