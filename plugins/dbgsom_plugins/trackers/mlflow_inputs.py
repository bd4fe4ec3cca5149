"""The data of a run as inputs of its MLflow run, each with its context.

Importing this module imports MLflow; callers do it inside `mlflow_quiet.quiet`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag

from dbgsom_core.api import masked
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.manifest import data_title
from dbgsom_plugins.trackers.mlflow_data import SOURCE_TYPE

_NOT_IN_PROFILE = ("name", "digest", "feature_names", "test")
_CONTEXTS = {"train": "training", "test": "testing", "fold": "validation"}


def datasets_of(stored: StoredRun) -> dict[str, DatasetInput]:
    """Return the data that a run used: ``train``, and ``test`` or ``fold`` where it kept some."""
    data = stored.data
    if not data.get("digest"):
        return {}
    sections = {"train": stored.config.get("dataset", data.get("name"))}
    name = data_title(sections["train"], str(data.get("name")))
    facts: dict[str, Mapping[str, Any]] = {"train": {**data, "name": name}}
    split = stored.config.get("split")
    split = split if isinstance(split, Mapping) else {}
    own = data.get("test")
    if isinstance(own, Mapping) and own.get("digest"):
        sections["test"] = split.get("test", sections["train"])
        facts["test"] = {**data, **own, "name": f"{name} (test)"}
    elif split:
        # A part of the data: the whole of it, and how it was divided, say which.
        part = "fold" if split.get("folds") else "test"
        told = json.dumps([data["digest"], split, stored.config.get("seed")], sort_keys=True)
        digest = hashlib.sha256(told.encode()).hexdigest()
        sections[part] = sections["train"]
        whole = {"of": str(data["digest"])[:12], "samples": None}
        facts[part] = {**data, "name": name, "digest": digest, "split": split, **whole}
    folder = stored.environment.get("folder")
    return {
        part: dataset_input(
            facts[part],
            SOURCE_TYPE,
            {"dataset": masked(sections[part]), "folder": folder},
            _CONTEXTS[part],
        )
        for part in facts
    }


def dataset_input(
    facts: Mapping[str, Any], source_type: str, source: Mapping[str, Any], context: str
) -> DatasetInput:
    """Return what a run says of its data as an input of an MLflow run."""
    shape = [facts.get("samples"), facts.get("features")]
    tensor = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, shape[1]]}}
    schema = {"mlflow_tensorspec": {"features": json.dumps([tensor]), "targets": None}}
    profile = {key: value for key, value in facts.items() if key not in _NOT_IN_PROFILE}
    return DatasetInput(
        Dataset(
            name=str(facts.get("name", "data"))[:500],
            digest=str(facts["digest"])[:12],
            source_type=source_type,
            source=json.dumps(source),
            schema=json.dumps(schema),
            profile=json.dumps({"features_shape": shape, **profile}),
        ),
        [InputTag("mlflow.data.context", context)],
    )
