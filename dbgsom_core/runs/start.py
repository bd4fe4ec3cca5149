"""What a run is before it begins, and its folder."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from dbgsom_core.config import Experiment
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.privacy import masked, masked_name, private_logger
from dbgsom_core.interfaces.trackers import Run
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.components import describe_components, given_fields_of
from dbgsom_core.runs.data.loading import facts_of
from dbgsom_core.runs.environment import describe_environment
from dbgsom_core.runs.folder.dead import close_dead_runs
from dbgsom_core.runs.folder.store import StoredRun
from dbgsom_core.runs.params import default_name, flat_params, with_varied
from dbgsom_core.runs.resume import check_same, claim
from dbgsom_core.runs.tracking import run_folder_of

log = private_logger("dbgsom")


def start_run(
    experiment: Any,
    registry: Registry,
    *,
    data: Data | None = None,
    test: Data | None = None,
    estimator: Any = None,
    parent: Run | None = None,
    name: str | None = None,
    root: Path | None = None,
    params: Mapping[str, Any] | None = None,
    varies: Mapping[str, Any] | None = None,
    stored: StoredRun | None = None,
    baseline: Mapping[str, float] | None = None,
) -> Run:
    """Say what a run is (a sweep without ``data``), and create its folder.

    ``baseline`` is what an answer that learns nothing would measure, for those who compare.
    A ``stored`` run keeps its folder, must be the same in all that its result depends on, and goes
    on in this process alone. Runs
    of the same experiment whose process died without a word are closed as killed.
    """
    group = masked_name(experiment.experiment)
    runs = runs_folder(experiment, registry) if root is None else root
    for dead in close_dead_runs(runs, group):
        log.warning("closed as killed: %s: %s", dead.files.folder, dead.error)
    facts = {} if data is None else facts_of(experiment, data, test)
    if baseline:
        facts["baseline"] = dict(baseline)
    environment = describe_environment(registry, experiment.folder)
    if estimator is not None:
        environment["components"] = describe_components(experiment, estimator.parts(), registry)
        environment["given"] = given_fields_of(experiment)
    if stored is not None and "directory" in stored.environment:
        environment["directory"] = stored.environment["directory"]  # its relative paths start there
    if stored is not None and stored.params:
        params = stored.params  # those that were given, while the folder's configuration gives all
    elif params is None:
        params = with_varied(flat_params(experiment, estimator), varies or {})
    named = getattr(experiment, "name", None) and experiment.resolved["name"]
    given = name or named or default_name(experiment, estimator, params)
    folder = _new_folder(runs / group) if stored is None else stored.files.folder
    run = Run(
        id=folder.name,
        name=masked(given),
        experiment=group,
        kind="sweep" if data is None else "run",
        folder=folder,
        config=masked(experiment.resolved),
        params=masked(params),
        environment=masked(environment),
        data=masked(facts),
        parent=parent,
        total_epochs=0 if estimator is None else int(estimator.epochs),
        varies=masked(varies or {}),
        tags=masked(experiment.resolved.get("tags") or {}),
    )
    if stored is not None:
        check_same(stored, run)
        claim(stored)
    return run


def runs_folder(experiment: Experiment, registry: Registry) -> Path:
    """Return the folder under which the runs of this experiment are kept."""
    return Path(run_folder_of(experiment.tracking, registry).path)


def _new_folder(group: Path) -> Path:
    for _ in range(100):
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        folder = group.absolute() / f"{stamp}-{secrets.token_hex(3)}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise DbgsomError(f"the run folder cannot be created: {error}") from error
        return folder
    raise DbgsomError(f"no free name for a run folder in {group}")
