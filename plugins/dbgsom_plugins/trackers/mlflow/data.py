"""Where the data of runs is from, for MLflow, which finds it by an entry point.

``mlflow.data.get_source(…).load()`` reads the data of a run again. MLflow imports this module while
it is imported itself.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlflow.data.dataset_source import DatasetSource

if TYPE_CHECKING:
    import pandas as pd

SOURCE_TYPE = "dbgsom"
TARGET = "target"


class DbgsomSource(DatasetSource):  # type: ignore[misc]
    """Where the data of a run is from: the section ``dataset`` of its configuration.

    Relative paths in it start at ``folder``, or the working directory.
    """

    def __init__(self, dataset: Mapping[str, Any] | str, folder: str | None = None) -> None:
        self.dataset, self.folder = dataset, folder

    @staticmethod
    def _get_source_type() -> str:
        return SOURCE_TYPE

    def load(self) -> "pd.DataFrame":
        import numpy as np
        import pandas as pd

        from dbgsom_core.runs.data import load_section

        data = load_section(self.dataset, self.folder)
        names = data.columns.feature_names if data.columns is not None else data.feature_names
        columns = range(data.X.shape[1]) if names is None else names
        frame = pd.DataFrame(np.asarray(data.X), columns=list(map(str, columns)))
        return frame if data.y is None else frame.assign(**{TARGET: data.y})

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return isinstance(raw_source, Mapping) and "dataset" in raw_source

    @classmethod
    def _resolve(cls, raw_source: Any) -> "DbgsomSource":
        return cls.from_dict(raw_source)

    def to_dict(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "folder": self.folder}

    @classmethod
    def from_dict(cls, source_dict: Mapping[str, Any]) -> "DbgsomSource":
        return cls(source_dict["dataset"], source_dict.get("folder"))
