"""What a data set is, and what it loads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from dbgsom_core.errors import UnfitError, described

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.tables import Columns


@dataclass(frozen=True)
class Data:
    """A loaded data set.

    Attributes
    ----------
    X : float array (n, D), or Table
        A table is what `Dataset.opened` may return.
    y : array (n,) or None
        Class labels of any type, or regression targets.
    feature_names : sequence of D str, optional
    target_names : sequence of str, optional
        Names for the classes 0..C-1 when y holds integers.
    image_shape : (rows, columns), optional
        When each sample is an image.
    columns : Columns, optional
        Which columns of a table the features are; the model keeps it and reads tables by it.
    ids : mapping of str to array (n,), optional
        What identifies each sample, by the name of the column.
    annotations : mapping of str to array (n,)
        What else is kept beside each sample, such as dates, by the name of the column.
    variables : mapping of str to float array (n,)
        Numbers of each sample beside the features, for figures; nan for none.
    """

    X: Any
    y: NDArray[Any] | None = None
    feature_names: Sequence[str] | None = None
    target_names: Sequence[str] | None = None
    image_shape: tuple[int, int] | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    columns: Columns | None = None
    ids: Mapping[str, NDArray[Any]] | None = None
    annotations: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    variables: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@runtime_checkable
class Dataset(Protocol):
    """A data set: fields say which, `load` reads it.

    One that can leave its samples where they are may have ``opened() -> Data | None``, asked first
    where the engine reads tables in blocks: as `load`, with a `Table` as ``X``, of which next to
    nothing is read meanwhile. None: `load` is called.

    One that needs a file may have a class method ``examples(folder) -> mapping``: it writes what it
    needs into an empty folder and returns the fields to be built with, for the conformance kit.
    """

    def load(self) -> Data:
        """Return the data; raise `DataError` with one sentence that names the cure."""


def check_data(answer: Any, in_memory: bool = True) -> Data:
    """Return what a data set returned.

    Raises
    ------
    UnfitError
        It is no `Data`, or its parts do not fit together.
    """
    import numpy as np  # a configuration is checked without it

    from dbgsom_core.interfaces.tables import Table
    from dbgsom_core.tables import Columns

    if not isinstance(answer, Data):
        raise UnfitError(f"must return a Data, not {described(answer)}")
    kinds, what = (np.ndarray, "an array") if in_memory else (Table, "a table")
    if not isinstance(answer.X, kinds) or len(answer.X.shape) != 2:
        raise UnfitError(f"returned X as {described(answer.X)}, not as {what} (n, D)")
    n, columns = answer.X.shape
    if answer.y is not None and (not isinstance(answer.y, np.ndarray) or len(answer.y) != n):
        raise UnfitError(f"returned y as {described(answer.y)} for {n} samples")
    names, image = answer.feature_names, answer.image_shape
    if names is not None and len(names) != columns:
        raise UnfitError(f"names {len(names)} features, and there are {columns} columns")
    if image is not None and math.prod(image) != columns:
        raise UnfitError(f"returned image_shape {image} for {columns} columns")
    table = answer.columns
    if table is not None and not isinstance(table, Columns):
        raise UnfitError(f"returned columns as {described(table)}, not as Columns")
    if table is not None and len(table.feature_names) != columns:
        told = f"makes {len(table.feature_names)} features of its columns"
        raise UnfitError(f"{told}, and there are {columns}")
    for kind, columns in (("ids", answer.ids or {}), ("annotations", answer.annotations)):
        for name, cells in columns.items():
            if not isinstance(cells, np.ndarray) or cells.shape != (n,):
                raise UnfitError(f"returned {kind} '{name}' as {described(cells)} for {n} samples")
    return answer
