"""Where a run folder holds models of the map as it was after some epochs."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"epoch-(\d+)\.npz")


def epoch_model(folder: Path, epoch: int) -> Path:
    """Return the place in a run folder of the model of an epoch."""
    return folder / "models" / f"epoch-{epoch}.npz"


def epoch_models(folder: Path) -> dict[int, Path]:
    """Return the models of epochs that a run folder holds, by their epochs."""
    named = ((_NAME.fullmatch(path.name), path) for path in (folder / "models").glob("epoch-*.npz"))
    return dict(sorted((int(match[1]), path) for match, path in named if match))
