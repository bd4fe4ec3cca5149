"""``mlflow.models.evaluate`` for maps; MLflow finds the evaluator by its entry point ``dbgsom``."""

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.models.evaluation.artifacts import ImageEvaluationArtifact, TextEvaluationArtifact
from mlflow.models.evaluation.base import EvaluationResult, ModelEvaluator

_MEASURES = ("quantization_error", "topographic_error")
_FIGURES = ("label_map", "hit_map", "u_matrix")


class DbgsomEvaluator(ModelEvaluator):  # type: ignore[misc]
    """Measures and figures of a map on data; models that are none of dbgsom are left to others.

    ``evaluator_config`` may hold ``measures`` (names, or ``"default"`` for all that suit),
    ``figures`` (names) and ``metric_prefix``.
    """

    @classmethod
    def can_evaluate(cls, **options: Any) -> bool:
        return True

    def evaluate(
        self,
        *,
        dataset: Any,
        run_id: str,
        evaluator_config: Mapping[str, Any],
        model: Any = None,
        model_id: str | None = None,
        **options: Any,
    ) -> EvaluationResult | None:
        if "dbgsom" not in getattr(getattr(model, "metadata", None), "flavors", ()):
            return None
        from dbgsom_core.runs.results import evaluate_model
        from dbgsom_plugins.trackers.mlflow.store import key_of
        from dbgsom_plugins.trackers.mlflow.upload import log_figures

        prefix = str(evaluator_config.get("metric_prefix", ""))
        rows, schema = dataset.features_data, model.metadata.get_input_schema()
        if schema is None:  # MLflow names what has no names
            rows = np.asarray(rows)
        elif hasattr(rows, "columns"):
            rows = rows[schema.input_names()]  # in the order of the training, as for predict
        found, figures = evaluate_model(
            model.unwrap_python_model().fitted,
            rows,
            dataset.labels_data if dataset.has_targets else None,
            evaluator_config.get("measures", _MEASURES),
            evaluator_config.get("figures", _FIGURES),
        )
        values = {key_of(f"{prefix}{name}"): value for name, value in found.items()}
        client, now = MlflowClient(), int(time.time() * 1000)
        own = {"model_id": model_id, "run_id": run_id}
        own |= {"dataset_name": dataset.name, "dataset_digest": dataset.digest}
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        metrics = [Metric(name, value, now, 0, **own) for name, value in finite.items()]
        client.log_batch(run_id, metrics=metrics)
        paths = log_figures(client, run_id, {f"{prefix}{k}": v for k, v in figures.items()})
        root = client.get_run(run_id).info.artifact_uri
        artifacts = {
            name: (ImageEvaluationArtifact if path.endswith("png") else TextEvaluationArtifact)(
                uri=f"{root}/{path}"
            )
            for name, path in paths.items()
        }
        return EvaluationResult(metrics=values, artifacts=artifacts)
