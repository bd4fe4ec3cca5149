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
    texts : sequence of str
        Those of the annotations that are free text, whose words describe clusters.
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
    texts: Sequence[str] = ()
    variables: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@runtime_checkable
class Table(Protocol):
    """Samples (n, D) that are read in blocks of rows: a memory map, a dataset of h5py or zarr.

    Its engine converts each block to float64 unless it is float32.

    A table may also have these attributes:

    * ``files``, the paths that it reads, where its pickle holds no rows: workers of a cluster then
      read them on their own;
    * ``in_order = True``, where it is best read from its beginning to its end.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)."""

    @property
    def dtype(self) -> Any:
        """The type of its numbers, one of numpy's."""

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return the rows (m, D) of a slice without a step."""


def check_data(dataset: Any, answer: Any, in_memory: bool = True) -> Data:
    """Return what a data set returned; raise UnfitError where its parts do not fit together."""
    import numpy as np  # a configuration is checked without it

    if not isinstance(answer, Data):
        raise UnfitError(f"must return a Data, not {described(answer)}")
    cls, kind = (np.ndarray, "an array") if in_memory else (Table, "a table")
    if not isinstance(answer.X, cls) or len(answer.X.shape) != 2:
        raise UnfitError(f"returned X as {described(answer.X)}, not as {kind} (n, D)")
    n, d = answer.X.shape
    lacking = [name for name in answer.texts if name not in answer.annotations]
    if lacking:
        raise UnfitError(f"returned texts '{lacking[0]}' that are none of its annotations")
    names, image = answer.feature_names, answer.image_shape
    if names is not None and len(names) != d:
        raise UnfitError(f"returned {len(names)} feature_names for {d} columns")
    if image is not None and math.prod(image) != d:
        raise UnfitError(f"returned image_shape {image} for {d} columns")
    columns = {**(answer.ids or {}), **answer.annotations}
    if answer.y is not None:
        columns["y"] = answer.y
    for name, cells in columns.items():
        if not isinstance(cells, np.ndarray) or cells.shape != (n,):
            raise UnfitError(f"returned {name} as {described(cells)} for {n} samples")
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
    for_new : method ``(path: str) -> DatasetComponent | None``, or None
        Of one whose files are no tables: the data set that reads others as this one reads its own,
        for rows to predict; None where they are a table.
    examples : class method ``(folder) -> mapping``, or None
        Of one that needs a file: it writes what it needs into an empty folder and returns the
        fields to be built with, for the conformance kit, or raises `unittest.SkipTest` where a
        package of an extra is missing.
    """

    KIND: ClassVar[str] = "dataset"
    file_fields: ClassVar[tuple[str, ...]] = ("path", "target_path")
    opened: ClassVar[Callable[[], Data | None] | None] = None
    for_new: ClassVar[Callable[..., DatasetComponent | None] | None] = None
    examples: ClassVar[Callable[..., Mapping[str, Any]] | None] = None

    @abstractmethod
    def load(self) -> Data:
        """Return the data; raise `DataError` with a sentence that has a hint."""


def dataset_of_file(name: str) -> str:
    """Return a sentence on how to read a file that stands for a data set; empty for no file."""
    from dbgsom_core.tables.formats import FORMATS  # is slow to import

    suffix = PurePath(name).suffix.lower()
    names = {".npz": "npz"}
    for form in FORMATS.values():
        names.update(dict.fromkeys(form.suffixes, form.name))
    if suffix not in names:
        return ""
    section = f"dataset: {{name: {names[suffix]}, path: {name}}}"
    return f"'{name}' is a file: write {section}, or begin with 'dbgsom init {name}'"


def _check_opened(dataset: Any, answer: Any) -> Data | None:
    return None if answer is None else check_data(dataset, answer, in_memory=False)


CHECKS["dataset"] = {"load": check_data, "opened": _check_opened}
