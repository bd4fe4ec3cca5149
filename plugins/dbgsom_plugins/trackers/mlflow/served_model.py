"""The model as MLflow loads it: this file is stored with the model and run by MLflow.

It is a script for MLflow's models-from-code, not a module to import. The map itself is the
artifact ``model.npz``, so nothing is ever unpickled.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class SavedMap(PythonModel):  # type: ignore[misc]
    """A saved dbgsom pipeline behind MLflow's ``predict``."""

    def load_context(self, context: Any) -> None:
        """Load the map from the stored file."""
        from dbgsom_core.persistence import load

        self.fitted = load(Path(context.artifacts["model"]))

    # MLflow reads the annotation of the rows: the bare array type is the one it does not object to.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:
        """Return labels (m,), or a table of what ``params["columns"]`` names, of m raw samples."""
        from dbgsom_core.persistence import answer_table

        wanted = list((params or {}).get("columns") or ["label"])
        answers = answer_table(self.fitted, model_input, wanted)
        return answers["label"] if list(answers) == ["label"] else pd.DataFrame(answers)


set_model(SavedMap())
