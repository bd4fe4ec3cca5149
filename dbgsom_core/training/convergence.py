"""Whether a training has come to rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.training.schedule import Schedule

_HALF = 2  # epochs: some maps swing between two states
_DRIFT = 0.02


def is_stationary(history: Sequence[EpochRecord], schedule: Schedule) -> bool:
    """Say whether the quantization error no longer goes anywhere at the final width.

    Of the last four epochs at the final width the mean quantization errors of the first and of the
    last two differ by less than a fiftieth. Single steps say less: a map may swing for ever between
    states that are equally good.
    """
    errors = np.array(
        [r.quantization_error for r in history if schedule.is_final(r.epoch)], dtype=np.float64
    )
    if schedule.fine_epochs == 0 or len(errors) < 2 * _HALF:
        return False
    before, after = errors[-2 * _HALF : -_HALF].mean(), errors[-_HALF:].mean()
    return bool(abs(after - before) <= _DRIFT * before)
