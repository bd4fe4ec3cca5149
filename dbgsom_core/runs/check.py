"""Check an experiment before its data is read, without importing scikit-learn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dbgsom_core.config import DEFAULT_NAMES, Experiment
from dbgsom_core.errors import ConfigError, DbgsomError
from dbgsom_core.estimators.part_params import build_parts
from dbgsom_core.training.compatibility import USUAL_LABELLERS, check_suits


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


@contextmanager
def estimator_errors_located(experiment: Experiment) -> Iterator[None]:
    """Turn an estimator's error about its parameters into one about the configuration.

    Its place is that of the parameter with which its sentence begins.
    """
    try:
        yield
    except DbgsomError:
        raise
    except ValueError as error:
        parameter = re.match(r"\w+", str(error))
        place = experiment.model.places.get(parameter[0]) if parameter else None
        if place is None:
            raise ConfigError(f"{experiment.source}: model: {error}") from error
        assert parameter is not None
        raise ConfigError(f"{place}: model.{parameter[0]}: {error}") from error
