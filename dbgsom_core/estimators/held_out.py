"""Which samples train, and which are kept to look at: for calibration, and for stopping rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.tables import picked
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.interfaces.stopping import StoppingAbilities
from dbgsom_core.training.config import Held
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.targets import Target

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class HeldOut:
    """Samples that do not train, as masks (n,); None: none.

    They are drawn by lot without a look at them, the same each time.
    """

    calibration: Mask | None
    validation: Mask | None

    @classmethod
    def of(cls, n: int, share: float | None, rules: Sequence[Any], least: int) -> Self:
        """Draw a ``share`` of n samples for calibration, and what rules want of the others.

        ``least`` samples are left to train.
        """
        calibration = _drawn(n, None, 0.0 if share is None else share, least, 0)
        wanted = max((StoppingAbilities.of(rule).validation for rule in rules), default=0.0)
        return cls(calibration, _drawn(n, calibration, wanted, least, 1))

    @property
    def all(self) -> Mask | None:
        """All of them."""
        if self.calibration is None or self.validation is None:
            return self.calibration if self.validation is None else self.validation
        return self.calibration | self.validation

    def left(
        self, X: Any, weights: NDArray[np.float64] | None
    ) -> tuple[Any, NDArray[np.float64] | None]:
        """Return the samples X (n, D) that train, and their weights."""
        out = self.all
        if out is None:
            return X, weights
        return picked(X, ~out), None if weights is None else weights[~out]


def held_samples(
    parts: Parts,
    metric: MetricAbilities,
    X: Any,
    weights: NDArray[np.float64] | None,
    held: Mask | None,
    target: Target | None = None,
) -> Held | None:
    """Return those of the samples X (n, D) that are held and weigh something; None: none.

    ``target`` is that of these samples, and of others behind them.
    """
    if held is None or (weights is not None and not weights[held].any()):
        return None
    if weights is not None:
        held = held & (weights > 0)
    samples = parts.over(picked(X, held), metric, None if weights is None else weights[held])
    return Held(samples, None if target is None else target.of(np.flatnonzero(held)))


def _drawn(n: int, taken: Mask | None, share: float, least: int, seed: int) -> Mask | None:
    left = n if taken is None else n - int(np.count_nonzero(taken))
    most = min(round(share * left), left - least)
    if most < 1:  # as a rule: numbers of all samples would take more than their training keeps
        return None
    free = np.arange(n) if taken is None else np.flatnonzero(~taken)
    held = np.zeros(n, dtype=bool)
    held[np.random.default_rng(seed).permutation(free)[:most]] = True
    return held
