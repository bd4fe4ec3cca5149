"""Data sets and their data."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from dbgsom_core.errors import UnfitError, described
from dbgsom_core.interfaces.checks import CHECKS
from dbgsom_core.interfaces.component import Component

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.tables import Columns


@dataclass(frozen=True)
class Data:
    """A loaded data set.

    Attributes
    ----------
    X : float array (n, D), or Table
        A table is what `DatasetComponent.opened` may return.
    y : array (n,) or None
        Class labels of any type, or regression targets.
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
class Table(Protocol):
    """Samples (n, D) of which blocks of rows can be had: a memory map, a dataset of h5py or zarr.

    Engines that read in blocks take what has these three; numbers other than float32 become
    float64, block by block. One that is pickled as the place of its rows may have ``files``, the
    paths of what it reads: workers of a cluster then read them. One that is best read from its
    beginning to its end has ``in_order = True``.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)."""

    @property
    def dtype(self) -> Any:
        """The type of its numbers, one of numpy's."""

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return the rows (m, D) of a slice without a step."""


def check_data(answer: Any, in_memory: bool = True) -> Data:
    """Return what a data set returned; raise UnfitError where its parts do not fit together."""
    import numpy as np  # a configuration is checked without it

    from dbgsom_core.tables import Columns

    def check(fits: bool, what: str) -> None:
        if not fits:
            raise UnfitError(f"returned {what}")

    def is_column(cells: Any) -> bool:
        return isinstance(cells, np.ndarray) and cells.shape[:1] == (n,)

    if not isinstance(answer, Data):
        raise UnfitError(f"must return a Data, not {described(answer)}")
    whole = isinstance(answer.X, np.ndarray if in_memory else Table) and len(answer.X.shape) == 2
    kind = "an array" if in_memory else "a table"
    check(whole, f"X as {described(answer.X)}, not as {kind} (n, D)")
    n, d = answer.X.shape
    check(answer.y is None or is_column(answer.y), f"y as {described(answer.y)} for {n} samples")
    names, image, table = answer.feature_names, answer.image_shape, answer.columns
    check(names is None or len(names) == d, f"{len(names or ())} feature_names for {d} columns")
    check(image is None or math.prod(image) == d, f"image_shape {image} for {d} columns")
    check(table is None or isinstance(table, Columns), f"columns as {described(table)}")
    check(table is None or len(table.feature_names) == d, f"columns of other than {d} features")
    for kind, columns in (("ids", answer.ids or {}), ("annotations", answer.annotations)):
        for name, cells in columns.items():
            fits = is_column(cells) and cells.ndim == 1
            check(fits, f"{kind} '{name}' as {described(cells)} for {n} samples")
    return answer


class DatasetComponent(Component):
    """Base of data sets: fields say which, `load` reads it.

    Attributes
    ----------
    file_fields : tuple of str
        The fields that name files, folders or patterns of them, or hold a tuple of these: what is
        not in the working directory is looked for in the folder of the configuration.
    opened : method ``() -> Data | None``, or None
        Of one that can leave its samples where they are: asked first where the engine reads tables
        in blocks. As `load`, with a `Table` as ``X``.
    examples : class method ``(folder) -> mapping``, or None
        Of one that needs a file: it writes what it needs into an empty folder and returns the
        fields to be built with, for the conformance kit, or raises `unittest.SkipTest` where a
        package of an extra is missing.
    """

    KIND: ClassVar[str] = "dataset"
    file_fields: ClassVar[tuple[str, ...]] = ("path", "target_path")
    opened: ClassVar[Callable[[], Data | None] | None] = None
    examples: ClassVar[Callable[..., Mapping[str, Any]] | None] = None

    @abstractmethod
    def load(self) -> Data:
        """Return the data; raise `DataError` with a sentence that has a hint."""


def dataset_of_file(name: str) -> str:
    """Return a sentence on how to read a file that stands for a data set; empty for no file."""
    from dbgsom_core.tables.formats import FORMATS  # is slow to import

    suffix = PurePath(name).suffix.lower()
    forms = [one.name for one in FORMATS.values() if suffix in one.suffixes]
    form = "npz" if suffix == ".npz" else next(iter(forms), "")
    if not form:
        return ""
    written = f"dataset: {{name: {form}, path: {name}}}"
    return f"'{name}' is a file: write {written}, or begin with 'dbgsom init {name}'"


def _check_loaded(dataset: Any, answer: Any) -> Data:
    return check_data(answer)


def _check_opened(dataset: Any, answer: Any) -> Data | None:
    return None if answer is None else check_data(answer, in_memory=False)


CHECKS["dataset"] = {"load": _check_loaded, "opened": _check_opened}
