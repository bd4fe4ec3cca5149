"""CSV files by pandas, some rows at a time."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from dbgsom_core.runs.using.parts import Part
from dbgsom_core.runs.using.short_lines import ShortLines

if TYPE_CHECKING:
    import pandas as pd


def frames_of(
    stream: Any,
    path: str,
    part: Part,
    numeric: Collection[int],
    missing: Sequence[str],
    mark: str,
    rows: int,
) -> Iterator[pd.DataFrame]:
    """Yield so many rows of a part at a time, all of its columns, by their places.

    Parameters
    ----------
    stream : binary stream
        What the part opens.
    path : str
    part : Part
    numeric : collection of int
        Columns of float64; the others are text.
    missing : sequence of str
        What a number that is missing is written as.
    mark : str
        The decimal mark.
    rows : int

    Raises
    ------
    DataError
        A line lacks fields.
    Exception
        Anything that pandas raises: of a cell of ``numeric`` that is none, of a line too long.
    """
    import pandas as pd

    head = part.head
    places = range(len(head.names))
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # lines that are too long
        reader = pd.read_csv(
            stream,
            sep=head.delimiter,
            header=None,
            skiprows=head.skipped + head.header,
            names=list(places),
            index_col=False,
            dtype={i: "float64" if i in numeric else "str" for i in places},
            na_filter=bool(numeric),
            na_values=dict.fromkeys(numeric, missing),  # type: ignore[arg-type]
            keep_default_na=False,
            skipinitialspace=True,
            decimal=mark,
            encoding=head.encoding,
            compression=None,
            chunksize=rows,
            **_exact_floats(),
        )
        # Of all columns: pandas would let lines that are too long pass.
        with reader, closing(ShortLines(path, part)) as short_lines:
            for frame in reader:
                short_lines.check(frame)
                yield frame


def _exact_floats() -> dict[str, Any]:
    """Return what makes pandas read a float as Python does.

    Since 3.1 it does without, but for 17 digits between a plus sign and a blank: an ulp aside.
    """
    import pandas as pd

    major, minor = (int(part) for part in pd.__version__.split(".")[:2])
    return {"float_precision": "round_trip"} if (major, minor) < (3, 1) else {}
