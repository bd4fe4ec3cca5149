"""Tables in Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbgsom_core.api import ISO_DATES, Columns, Data, DataError, open_regular
from dbgsom_plugins.datasets._files import existing_file, memory
from dbgsom_plugins.datasets._roles import Roles
from dbgsom_plugins.datasets._table import Table

if TYPE_CHECKING:
    import pandas as pd

_LOOKED_AT = 1000  # cells by which columns of dates are told
_CURE = ": list it under categorical, id or drop, or make it the target"


class Parquet(Table):
    """A table in a Parquet file: one sample a row, one feature a column.

    Columns hold numbers, dates, or categories that become one column of 0 and 1 for each value, and
    are given by name or by number, counted from 0 (-1 is the last). float32 stays float32 where all
    features are. Needs the package pyarrow.
    """

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
        try:
            from pyarrow import parquet
        except ImportError:
            raise DataError(
                f"{self.path}: the data set 'parquet' needs the package pyarrow: install it with "
                "pip install 'dbgsom-core[parquet]'"
            ) from None
        file = existing_file(self.path)
        with open_regular(file) as stream:
            try:
                opened = parquet.ParquetFile(stream)
                roles = self.roles([name.strip() for name in opened.schema_arrow.names])
                self._check_room(opened, roles)
                names = [opened.schema_arrow.names[i] for i in roles.used]
                frame = opened.read(columns=names).to_pandas(ignore_metadata=True)
            except DataError:
                raise
            except Exception as error:  # what a damaged byte raises is in no list
                told = "".join(str(error).strip().splitlines()[:1])[:200]
                raise DataError(
                    f"{self.path} is no Parquet file, or damaged ({told}): write it again"
                ) from None
        frame.columns = list(roles.used)
        if len(frame) == 0:
            raise DataError(f"{self.path} has no rows: give a file with data")
        forms = self._forms(frame, roles)
        roles = self.without_dates(roles, forms)
        forms = {i: form for i, form in forms.items() if i in roles.features}
        return self.data_of(frame, roles, forms)

    def _check_room(self, opened: Any, roles: Roles) -> None:
        flat = {opened.schema.column(i).path: i for i in range(len(opened.schema))}
        nested = [name for name in (roles.names[i] for i in roles.used) if name not in flat]
        if nested:
            raise DataError(f"{self.path}: column '{nested[0]}' holds lists or records: drop it")
        wanted = [flat[roles.names[i]] for i in roles.used]
        meta = opened.metadata
        size = sum(
            meta.row_group(group).column(i).total_uncompressed_size
            for group in range(meta.num_row_groups)
            for i in wanted
        )
        if max(size, 8 * meta.num_rows * len(wanted)) > memory():
            raise DataError(
                f"{self.path} has {meta.num_rows} rows of {len(wanted)} columns, more than this "
                "machine has memory: choose fewer columns, or give a part of it"
            )

    def _forms(self, frame: pd.DataFrame, roles: Roles) -> dict[int, str]:
        """Return the columns among the features that hold dates, with their forms."""
        plain = Columns((), na_values=self.na_values)
        forms: dict[int, str] = {}
        faults = []
        for i in roles.features:
            kind = frame[i].dtype.kind
            if i in roles.categorical or kind in "biuf":
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
            elif len(known) and plain.problem("", known[0]):
                faults.append(f"column '{roles.names[i]}' holds text ('{known[0]:.40}'){_CURE}")
        if faults:
            raise DataError("\n".join(f"{self.path}: {fault}" for fault in faults))
        return forms
