"""Tables in Parquet files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dbgsom_core.api import ISO_DATES, Columns, Data, DataError, numbered, open_regular
from dbgsom_plugins.datasets._files import existing_file, is_folder, memory
from dbgsom_plugins.datasets._parquet_rows import PAGED, ParquetRows
from dbgsom_plugins.datasets._roles import Roles
from dbgsom_plugins.datasets._table import Table, units_cure

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = re.compile(r"([0-9]+)")
_LOOKED_AT = 1000  # cells by which columns of dates are told
_CURE = "list it under categorical, id or drop, or make it the target"


class Parquet(Table):
    """A table in a Parquet file: one sample a row, one feature a column.

    Columns hold numbers, dates, or categories that become one column of 0 and 1 for each value, and
    are given by name or by number, counted from 0 (-1 is the last). float32 stays float32 where all
    features are. Where the engine reads in blocks and all features are numbers, they stay in the
    file, or go to a temporary one. The path may be a folder: its files, part.2 before part.10, are
    one table. Needs the package pyarrow.
    """

    unpacked: bool | None = Field(
        default=None,
        description="where the engine reads in blocks: keep what is decoded in a temporary file, "
        "in TMPDIR, /var/tmp or /tmp, so that it is decoded once and not in each epoch; it is "
        "gone at the end, however that comes. null: where a disk has room for twice its size",
    )

    @classmethod
    def examples(cls, folder: str | Path) -> dict[str, Any]:
        """Write a table into a folder, and return the fields that read it."""
        import pandas as pd

        path = Path(folder) / "table.parquet"
        frame = pd.DataFrame({"a": [1, 3, 2, 4], "b": [2.5, 1.5, 0.5, 2], "class": list("xyxy")})
        frame.to_parquet(path, engine="pyarrow")
        return {"path": str(path), "target": "class"}

    def load(self) -> Data:
        """Return the table as samples and, where they are named, its target and ids.

        Raises
        ------
        DataError
            The file is missing or damaged, pyarrow is not installed, a column does not exist, or
            cells cannot be used; the sentences name rows, from 0, and columns.
        """
        files = self._files(fits=True)
        with self._told():
            roles = self._roles(files)
            self._check_room(files, roles)
            frame = self._frame(files, roles.used)
        if len(frame) == 0:
            raise DataError(f"{self.path} has no rows: give a file with data")
        forms = self._forms(frame, roles)
        roles = self.without_dates(roles, forms)
        forms = {i: form for i, form in forms.items() if i in roles.features}
        return self.data_of(frame, roles, forms)

    def opened(self) -> Data | None:
        """Return the table with its features where they are; None where some are no quantities.

        Target, ids and extra columns are read. Raises as `load`.
        """
        if self.missing == "keep" or Columns((), na_values=self.na_values).codes:
            return None
        files = self._files(fits=False)
        with self._told():
            roles = self._roles(files)
            schema = _schema(files[0])
            kinds = schema.types
            dates = {i: ISO_DATES for i in roles.features if str(kinds[i]).startswith("timestamp")}
            if dates and self.dates != "drop":
                return None
            roles = self.without_dates(roles, dates)
            coded = set(roles.features).intersection(roles.categorical)
            named = [schema.names[i] for i in roles.features]
            twice = any(schema.names.count(name) > 1 for name in named)
            if coded or twice or not all(_is_number(kinds[i]) for i in roles.features):
                return None
            single = all(str(kinds[i]) == "float" for i in roles.features)
            columns = replace(self.columns_of(roles), dtype="float32" if single else "float64")
            paths = [str(file) for file in files]
            X = ParquetRows(paths, named, columns.dtype, self.unpacked)
            beside = [i for i in roles.used if i not in roles.features]
            frame = self._frame(files, beside)
        if beside and len(frame) != X.shape[0]:
            raise DataError(f"{self.path} has columns of unequal length: write it again")
        return self.data_around(X, columns, frame, roles) if X.shape[0] else None

    def _files(self, fits: bool) -> list[Path]:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise DataError(
                f"{self.path}: the data set 'parquet' needs the package pyarrow: install it with "
                "pip install 'dbgsom-core[parquet]'"
            ) from None
        if not is_folder(self.path):
            return [existing_file(self.path, fits)]
        found = [
            one
            for one in Path(self.path).expanduser().iterdir()
            if one.suffix.lower() in (".parquet", ".pq") and not one.name.startswith((".", "_"))
        ]
        if not found:
            raise DataError(f"{self.path} is a folder without a .parquet file: give another path")
        return [existing_file(str(one), fits) for one in sorted(found, key=_in_order)]

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # what a damaged byte raises is in no list
            told = "".join(str(error).strip().splitlines()[:1])[:200]
            raise DataError(
                f"{self.path} is no Parquet file, or damaged ({told}): write it again"
            ) from None

    def _roles(self, files: Sequence[Path]) -> Roles:
        schema = _schema(files[0])
        for file in files[1:]:
            other = _schema(file)
            if not other.equals(schema, check_metadata=False):
                raise DataError(
                    f"{self.path}: {file.name} has other columns, or of other types, than "
                    f"{files[0].name}: give each file the same"
                )
        roles = self.roles([name.strip() for name in schema.names])
        nested = [roles.names[i] for i in roles.used if schema.types[i].num_fields]
        if nested:
            raise DataError(f"{self.path}: column '{nested[0]}' holds lists or records: drop it")
        return roles

    def _frame(self, files: Sequence[Path], places: Sequence[int]) -> pd.DataFrame:
        """Return columns of all files, called by their places."""
        import pyarrow as pa

        parts = []
        for file in files:
            with _read(file) as opened:
                names = opened.schema_arrow.names
                chosen = opened.read(columns=[*dict.fromkeys(names[i] for i in places)])
                # All columns of a name are read.
                at = {name: i for i, name in enumerate(numbered(chosen.column_names))}
                labels = numbered(names)
                parts.append(chosen.select([at[labels[i]] for i in places]))
        frame: pd.DataFrame = pa.concat_tables(parts).to_pandas(ignore_metadata=True)
        frame.columns = list(places)
        return frame

    def _check_room(self, files: Sequence[Path], roles: Roles) -> None:
        size = rows = 0
        for file in files:
            with _read(file) as opened:
                flat = {opened.schema.column(i).path: i for i in range(len(opened.schema))}
                wanted = [flat[opened.schema_arrow.names[i]] for i in roles.used]
                meta = opened.metadata
                rows += meta.num_rows
                size += sum(
                    meta.row_group(group).column(i).total_uncompressed_size
                    for group in range(meta.num_row_groups)
                    for i in wanted
                )
        if max(size, 8 * rows * len(roles.used)) > memory():
            raise DataError(
                f"{self.path} has {rows} rows of {len(roles.used)} columns, more than this "
                "machine has memory: choose fewer columns, or give a part of it"
            )

    def _forms(self, frame: pd.DataFrame, roles: Roles) -> dict[int, str]:
        """Return the columns among the features that hold dates, with their forms."""
        plain = Columns((), na_values=self.na_values)
        forms: dict[int, str] = {}
        faults = []
        for i in roles.features:
            kind = frame[i].dtype.kind
            if i in roles.categorical or i in roles.units or kind in "biuf":
                continue
            if kind == "M":
                forms[i] = ISO_DATES
                continue
            cells, missing = plain.texts(frame[i].dropna().head(_LOOKED_AT))
            known: list[str] = cells[~missing].tolist()
            try:
                form = self.date_form(roles.names[i], known)
            except DataError as error:
                faults.append(str(error))
                continue
            if form is not None:
                forms[i] = form
            elif len(known) and (told := plain.problem("", known[0])):
                cure = units_cure(told, roles.names[i]) + _CURE
                faults.append(f"column '{roles.names[i]}' holds text ('{known[0]:.40}'): {cure}")
        if faults:
            raise DataError("\n".join(f"{self.path}: {fault}" for fault in faults))
        return forms


@contextmanager
def _read(file: Path) -> Iterator[Any]:
    from pyarrow import parquet

    with open_regular(file) as stream:
        yield parquet.ParquetFile(stream, **PAGED)


def _schema(file: Path) -> Any:
    with _read(file) as opened:
        return opened.schema_arrow


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _in_order(file: Path) -> list[tuple[int, str]]:
    # Numbers in names count as numbers: part.2 is before part.10.
    return [(int(one), "") if one.isdigit() else (-1, one) for one in _DIGITS.split(file.name)]
