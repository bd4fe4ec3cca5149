"""Explanations of any model: an estimator, a scikit-learn pipeline, a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from dbgsom_core.estimators.display import unwrap
from dbgsom_core.estimators.explanations import Explanation
from dbgsom_core.estimators.model_file import FittedModel


def explain(model: Any, x: Any, names: Sequence[str] | None = None) -> Explanation:
    """Return an explanation of a model's prediction for one raw sample.

    Parameters
    ----------
    model : SomVQ, SomClassifier, SomRegressor, Pipeline, or a run or its model
        Fitted; of a scikit-learn pipeline the last step is the map. Values are raw ones where the
        steps before it can be undone, as those of a StandardScaler.
    x : array-like (D,) or (1, D), or row of a data frame
    names : sequence of D str, optional
        Feature names; default: those of the data frame that the model was fitted to.
    """
    found = getattr(model, "model", model)  # of a run
    if isinstance(found, Pipeline):
        steps = [one for one in found.steps[:-1] if one[1] not in (None, "passthrough")]
        estimator, _ = unwrap(found.steps[-1][1])
        found = FittedModel(steps, estimator)
    else:
        unwrap(found)
    explanation: Explanation = found.explain(x, names)
    return explanation
