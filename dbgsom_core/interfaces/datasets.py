"""What a data set is, and what it loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.interfaces.arrays import FloatArray
    from dbgsom_core.interfaces.columns import Columns


@dataclass(frozen=True)
class Data:
    """A loaded data set.

    Attributes
    ----------
    X : float array (n, D)
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
    variables : mapping of str to float array (n,)
        Numbers of each sample beside the features, for figures; nan for none.
    """

    X: FloatArray
    y: NDArray[Any] | None = None
    feature_names: Sequence[str] | None = None
    target_names: Sequence[str] | None = None
    image_shape: tuple[int, int] | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    columns: Columns | None = None
    ids: Mapping[str, NDArray[Any]] | None = None
    variables: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@runtime_checkable
class Dataset(Protocol):
    """A data set: fields say which, `load` reads it.

    One that needs a file may have a class method ``examples(folder) -> mapping``: it writes what it
    needs into an empty folder and returns the fields to be built with, for the conformance kit.
    """

    def load(self) -> Data:
        """Return the data; raise `DataError` with one sentence that names the cure."""
