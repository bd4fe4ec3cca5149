"""Parameters and metrics as MLflow takes them: their names, their lengths, how many at a time.

Importing this module imports MLflow; callers do it inside `mlflow_quiet.quiet`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from dbgsom_core.runs.folder import JournalLine

METRICS_A_BATCH = 1000
_PARAMS_A_BATCH = 100
_LONGEST_PARAM = 6000


def batches(lines: Iterable[JournalLine]) -> Iterator[list[Metric]]:
    """Yield the metrics of epochs, as many of whole epochs at a time as MLflow takes."""
    batch: list[Metric] = []
    for line in lines:
        metrics = [
            Metric(key_of(name), value, line.time, line.epoch)
            for name, value in line.metrics.items()
        ]
        if len(batch) + len(metrics) > METRICS_A_BATCH:
            yield batch
            batch = []
        batch.extend(metrics)
    if batch:
        yield batch


def send_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    """Log parameters, in batches and cut short as MLflow takes them."""
    longest = _LONGEST_PARAM
    left = [(key_of(name), str(value)) for name, value in params.items()]
    while left:
        batch = [Param(name, value[:longest]) for name, value in left[:_PARAMS_A_BATCH]]
        try:
            client.log_batch(run_id, params=batch)
        except MlflowException as error:
            limit = next(map(int, re.findall(r"(?:limit|length) of (\d+)", str(error))), longest)
            if not 0 < limit < longest:
                raise
            longest = limit  # of older servers: 500
        else:
            left = left[_PARAMS_A_BATCH:]


def key_of(name: str) -> str:
    """Return the name with what MLflow refuses in names replaced."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]
