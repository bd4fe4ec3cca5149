"""Check an experiment before its data is read, without importing scikit-learn."""

from __future__ import annotations

from typing import Any

from dbgsom_core.config import DEFAULT_NAMES, Experiment, estimator_errors_located
from dbgsom_core.estimators.components import build_parts
from dbgsom_core.training.parts import USUAL_LABELLERS, check_suits


def check_experiment(experiment: Experiment) -> None:
    """Build the estimator's parts and the prepare steps, and throw them away.

    Steps of a class, or with parameters, are imported to be checked.
    """
    kind = experiment.model.estimator
    params: dict[str, Any] = {
        **DEFAULT_NAMES,
        "labeller": USUAL_LABELLERS[kind],
        "schedule": None,
        "stopping": None,
        "spreading_factor": None,
        "max_neurons": None,
        **experiment.model.params,
        "engine": experiment.engine,
    }
    with estimator_errors_located(experiment):
        check_suits(build_parts(params), kind)
    if any(step.params or ":" in step.name for step in experiment.prepare):
        from dbgsom_core.runs.prepare import make_steps

        make_steps(experiment)
