"""The neurons of a model as a table, JSON or arrays, for programs that know nothing of it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import DataError
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.assignments import without_noise
from dbgsom_core.runs.folder import plain

FORMATS = ("csv", "json", "npz")


def exported(model: FittedModel, form: str, names: Sequence[str] | None = None) -> bytes:
    """Return the neurons of a model, those of its child maps included, as the bytes of a file.

    CSV has a row a neuron: ``map`` (empty for the first map, for others the rows of the neurons
    above, ``6`` or ``6/2``), ``neuron`` (its row there), ``x``, ``y``, ``hits``, ``label`` and a
    column for each feature of its prototype. JSON has the same as objects, and the links. npz has
    the arrays ``positions`` (K, 2), ``hits`` (K,), ``labels`` (K,), ``prototypes`` (K, D),
    ``features`` (D,) and ``links`` (L, 2) of the first map; of a child map they are called
    ``6/positions`` and so on. Prototypes are in the units of the raw data where the prepare steps
    can be undone. ``names`` are those of the raw features, where the model does not know them.
    """
    if form not in FORMATS:
        raise DataError(f"models are exported as {', '.join(FORMATS)}, not as '{form}'")
    features = _features(model, names)
    maps = list(_maps(model))
    if form == "npz":
        arrays: dict[str, NDArray[Any]] = {}
        for path, one in maps:
            named = {**one, "features": np.array(features, dtype=str)}
            arrays |= {f"{path}/{name}" if path else name: a for name, a in named.items()}
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()
    if model.undone is not None and model.steps:
        for _, one in maps:
            one["prototypes"] = without_noise(one["prototypes"])
    if form == "json":
        return (json.dumps(plain(_described(model, features, maps)), indent=1) + "\n").encode()
    return _csv(features, maps)


def _maps(model: FittedModel) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
    estimator, undo = model.estimator, model.undone
    tree = estimator._tree
    paths = {0: ""}
    for number, som_map in enumerate(tree.maps):
        for neuron, child in enumerate(tree.child_of[number].tolist()):
            if child >= 0:
                paths[child] = f"{paths[number]}/{neuron}".lstrip("/")
        leaves = tree.leaf_of[number]
        if number == 0:
            hits, labels = estimator.hit_counts_, estimator.neuron_labels_
        else:
            # A neuron with a child map answers through it, and won what its leaves won.
            hits = _hits_below(estimator, paths[number], len(som_map))
            labels = np.where(leaves >= 0, estimator.leaf_labels_[leaves], "")
        prototypes = som_map.prototypes
        yield (
            paths[number],
            {
                "positions": som_map.positions,
                "hits": np.asarray(hits),
                "labels": np.asarray(labels),
                "prototypes": prototypes if undo is None else undo(prototypes),
                "links": som_map.edges(),
            },
        )


def _hits_below(estimator: Any, path: str, neurons: int) -> NDArray[Any]:
    above = np.array([int(step) for step in path.split("/")])
    paths, hits = estimator._tree.paths, estimator.leaf_hit_counts_
    inside = (paths[:, : len(above)] == above).all(axis=1)
    counted = np.bincount(paths[inside, len(above)], hits[inside], neurons)
    return np.asarray(counted).astype(hits.dtype)


def _features(model: FittedModel, raw: Sequence[str] | None) -> list[str]:
    columns = model.estimator.som_map_.prototypes.shape[1]
    names = model.names_prepared(raw) or getattr(model.estimator, "feature_names_in_", None)
    if names is None or len(names) != columns:
        return [f"feature {i}" for i in range(columns)]
    return list(map(str, names))


def _described(model: FittedModel, features: list[str], maps: list[Any]) -> dict[str, Any]:
    estimator = model.estimator
    metric = get_registry().name_of("metric", estimator._parts.metric)
    return {
        "dbgsom-core": __version__,
        "estimator": type(estimator).__name__,
        "metric": metric,
        "raw_units": model.undone is not None,
        "features": features,
        "classes": estimator.classes_ if hasattr(estimator, "classes_") else None,
        "maps": [
            {
                "map": path,
                "neurons": [
                    {"neuron": i, "x": x, "y": y, "hits": hits, "label": label, "prototype": w}
                    for i, ((x, y), hits, label, w) in enumerate(
                        zip(
                            one["positions"].tolist(),
                            one["hits"].tolist(),
                            one["labels"].tolist(),
                            one["prototypes"].tolist(),
                            strict=True,
                        )
                    )
                ],
                "links": one["links"],
            }
            for path, one in maps
        ],
    }


def _csv(features: list[str], maps: list[Any]) -> bytes:
    import csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["map", "neuron", "x", "y", "hits", "label", *features])
    for path, one in maps:
        columns = (one[name].tolist() for name in ("positions", "hits", "labels", "prototypes"))
        for i, ((x, y), hits, label, prototype) in enumerate(zip(*columns, strict=True)):
            writer.writerow([path, i, x, y, hits, label, *map(repr, prototype)])
    return text.getvalue().encode()
