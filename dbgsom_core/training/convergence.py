"""Whether a training has come to rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.training.schedule import Schedule

_HALF = 4  # epochs, an even number: some maps swing between two states
_LEAST = 2
_DRIFT = 0.02


def is_stationary(history: Sequence[EpochRecord], schedule: Schedule) -> bool:
    """Say whether the quantization error no longer goes anywhere at the final width.

    Of the last eight epochs at the final width, or four where there are less, the mean quantization
    errors of the earlier and of the later half differ by less than a fiftieth. Single steps say
    less: with ``class_tuning`` a map may swing for ever between states that are equally good.
    """
    errors = np.array(
        [r.quantization_error for r in history if schedule.is_final(r.epoch)], dtype=np.float64
    )
    half = _HALF if len(errors) >= 2 * _HALF else _LEAST
    if schedule.fine_epochs == 0 or len(errors) < 2 * half:
        return False
    before, after = errors[-2 * half : -half].mean(), errors[-half:].mean()
    return bool(abs(after - before) <= _DRIFT * before)
