"""Small data, maps and models that the checks share."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.component import Guarded, MetricWithState
from dbgsom_core.interfaces.figures import MapChange
from dbgsom_core.training import parts

SAMPLES = 40
FEATURES = 4


def generator() -> np.random.Generator:
    return np.random.default_rng(19820101)


def samples_for(metric: Any) -> NDArray[np.float64]:
    """Return raw samples that a metric accepts: its ``examples``, or normal ones."""
    if metric.examples is None:
        return generator().standard_normal((SAMPLES, FEATURES))
    samples = np.asarray(metric.examples(generator(), SAMPLES), dtype=np.float64)
    fits = samples.ndim == 2 and len(samples) == SAMPLES
    assert fits, f"examples({SAMPLES}) must have shape ({SAMPLES}, D)"
    return samples


def fitted(metric: Any) -> Any:
    """Return a metric as engines call it, fitted to `samples_for`, if it fits.

    Its answers are checked, those of a built-in, too.
    """
    state = parts.fit_metric(metric, samples_for(metric)).state
    checked = Guarded(metric)
    return checked if state is None else MetricWithState(checked, state)


def classes() -> NDArray[np.str_]:
    return np.array(["ash", "beech", "cedar"])[np.arange(SAMPLES) % 3]


def data() -> NDArray[np.float64]:
    """Return samples (SAMPLES, FEATURES) in three clusters, by `classes`."""
    centres = 4.0 * generator().standard_normal((3, FEATURES))
    return centres[np.arange(SAMPLES) % 3] + generator().standard_normal((SAMPLES, FEATURES))


def trained() -> Any:
    """Return a copy of a classifier that was trained on `data`."""
    return deepcopy(_trained())


@lru_cache(maxsize=1)
def _trained() -> Any:
    from dbgsom_core.estimators.som import SomClassifier

    fixed = {"name": "fixed", "rows": 3, "columns": 3}
    return SomClassifier(growth=fixed, epochs=5, random_state=0).fit(data(), classes())


@lru_cache(maxsize=1)
def stability() -> Any:
    return _trained().stability(data(), classes(), n=2)


@lru_cache(maxsize=1)
def cluster_stability() -> Any:
    from dbgsom_core.estimators.som import SomVQ

    fixed = {"name": "fixed", "rows": 3, "columns": 3}
    return SomVQ(growth=fixed, epochs=5).fit(data()).cluster_stability(data(), halves=2)


@lru_cache(maxsize=1)
def change() -> MapChange:
    import pandas as pd

    from dbgsom_core.estimators.new_rows import ControlLimits

    pvalues = generator().random(SAMPLES)
    limits = ControlLimits(1.0, 1.0, 0.5, 4.0, 370.0)
    charts, alarms = limits.charts(pvalues)
    columns = {"time": np.arange(SAMPLES), "unit": np.arange(SAMPLES) % 9, **charts._asdict()}
    shares, groups = np.linspace(-0.1, 0.1, 9), (np.arange(9) == 4).astype(np.int64)
    return MapChange(shares, groups, limits, pd.DataFrame({**columns, "alarm": alarms}))


def only_regresses(component: Any) -> bool:
    return tuple(getattr(component, "estimators", None) or ()) == ("regressor",)
