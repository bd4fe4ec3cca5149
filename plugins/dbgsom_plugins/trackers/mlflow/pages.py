"""What MLflow's pages show: addresses, names of runs, descriptions.

The addresses of its pages are the one thing here that MLflow does not document. Nothing here
imports MLflow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.text import as_markdown
from dbgsom_plugins.trackers.mlflow.store import LONGEST_TAG

_MODE = "workflowType=machine_learning"  # what MLflow's pages are about
EXPERIMENTS = f"#/experiments?{_MODE}"
MODEL_VERSIONS = "mlflow.modelVersions"  # of a model: what its page says is registered of it
_MOST_WINNERS = 8  # of data sets, in a description
_WORD = re.compile(r"(?!(?:null|true|false|none|auto|nan|inf)\b)[^\W\d]", re.IGNORECASE)


def run_route(experiment: str, run: str | None) -> str:
    """Return the way to a run, or to the table of its experiment's runs."""
    if run:
        return f"#/experiments/{experiment}/runs/{run}?{_MODE}"
    return f"#/experiments/{experiment}/runs?{_MODE}"


def short_name(stored: StoredRun) -> str:
    """Return what a run is called in narrow columns: ``bubble · cosine · wine``.

    Of a sweep's child that is what it changes, words without their keys, numbers with them; data
    set and seed, which have columns of their own, are last. A name that somebody gave stays.
    """
    parts = [part.partition("=") for part in stored.name.split(", ")]
    if not {key for key, _, _ in parts} <= set(_endings(stored.varies)):
        return stored.name
    parts.sort(key=lambda part: (part[0] == "seed", part[0] == "dataset"))
    ends = [(key.rpartition(".")[2].replace("spreading_factor", "SF"), v) for key, _, v in parts]
    return " · ".join(value if _WORD.match(value) else f"{key} {value}" for key, value in ends)


def _endings(varies: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield what the name of a run may call a key that it changes: its last parts."""
    for key, value in varies.items():
        parts = f"{before}{key}".removesuffix(".name").split(".")
        yield from (".".join(parts[at:]) for at in range(len(parts)))
        if isinstance(value, Mapping):
            yield from _endings(value, f"{'.'.join(parts)}.")


def description(
    stored: StoredRun,
    experiment: str,
    run: str = "",
    *,
    model: str | None = None,
    parent: str | None = None,
    winners: Mapping[str, str] | None = None,
    trained: str = "",
) -> str:
    """Return the description that a run's page opens with, links first.

    ``experiment`` to ``parent`` are ids in MLflow: of the run, its model and its sweep; ``winners``
    are those of the runs that won a sweep, by data set. ``trained`` says how far it came where
    there is no journal.
    """
    own, files = f"#/experiments/{experiment}", stored.files
    routes = {}
    pages = {"Report": files.page, "Explorer": files.figure("explorer", "html")}
    for name, path in pages.items():
        if path.exists():
            where = path.relative_to(files.folder).as_posix()
            routes[name] = f"{own}/runs/{run}/artifacts/{where}?{_MODE}"
    if model is not None:
        routes["Model"] = f"{own}/models/{model}?{_MODE}"
    if parent is not None:
        routes["Sweep"] = f"{own}/runs/{parent}?{_MODE}"
    for data, winner in list((winners or {}).items())[:_MOST_WINNERS]:
        routes[f"Best on {as_markdown(data)}"] = f"{own}/runs/{winner}?{_MODE}"
    facts, epochs = stored.data, stored.epochs()
    blocks = [" · ".join(f"[{name}]({way})" for name, way in routes.items())]
    if {"name", "samples", "features"} <= set(facts):
        size = f"{facts['samples']} samples × {facts['features']} features"
        blocks.append(f"{as_markdown(facts['name'])}: {size}")
    if epochs:
        neurons = epochs[-1].metrics.get("epoch/neurons", 0)
        trained = f"{neurons:.0f} neurons after {epochs[-1].epoch} epochs"
    blocks += [trained, f"Ended early: {as_markdown(stored.error)}" if stored.error else ""]
    for ranking in stored.rankings:
        best, decides = ranking.best, ranking.measures[0]
        value = f"`{decides}` {best.measures.get(decides, float('nan')):.4g}"
        text = f"Best on {as_markdown(ranking.data)}: **{as_markdown(best.name)}**, with {value}."
        blocks.append(f"{text} {as_markdown(ranking.verdict)}".strip())
    return "\n\n".join(filter(None, blocks))[:LONGEST_TAG]
