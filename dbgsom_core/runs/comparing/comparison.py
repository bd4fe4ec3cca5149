"""The result of `compare`, in all its forms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.comparing.compared import Compared
from dbgsom_core.runs.comparing.comparison_files import as_frame, as_html, save
from dbgsom_core.runs.comparing.links import compare_links

if TYPE_CHECKING:
    import pandas as pd


class Comparison(Compared):
    """What `compare` found: see `Compared` for its attributes, `Table` and `Row` for the numbers.

    A notebook shows it as tables.
    """

    def __repr__(self) -> str:
        return f"<{len(self.runs)} runs compared by {self.decision.name}: {self.sentence}>"

    def links(self, registry: Registry | None = None) -> list[str]:
        """Return the commands or addresses that show the runs beside each other, by tracker.

        One run of each variant comes first.
        """
        return compare_links(self, registry)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each variant on each data set; see `Row` for the columns.

        ``best`` says which values of the measure that ranks are best: ``greater``, ``less`` or
        ``0``. Of the measures beside it ``attrs["best"]`` says so, by column; nothing where no
        plugin does.
        """
        return as_frame(self)

    def save(self, path: str | Path) -> None:
        """Write the tables to a file: .csv, .html or .md by its ending.

        Raises
        ------
        DataError
            The file has another ending, or cannot be written.
        """
        save(self, Path(path))

    def _repr_html_(self) -> str:
        return as_html(self)
