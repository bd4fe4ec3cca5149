"""The model as MLflow loads it: this file is stored with the model and run by MLflow.

It is a script for MLflow's models-from-code, not a module to import. The map itself is the
artifact ``model.npz``, so nothing is ever unpickled.
"""

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class SavedMap(PythonModel):  # type: ignore[misc]
    """A saved dbgsom pipeline behind MLflow's ``predict``."""

    def load_context(self, context: Any) -> None:
        """Load the map from the stored file."""
        from dbgsom_core.persistence import load

        self._model = load(Path(context.artifacts["model"]))

    # MLflow reads the annotation of the rows: the bare array type is the one it does not object to.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:
        """Return the pipeline's answers (m,) to raw rows, an array or a frame (m, D)."""
        return self._model.predict(np.asarray(model_input, dtype=np.float64))


set_model(SavedMap())
