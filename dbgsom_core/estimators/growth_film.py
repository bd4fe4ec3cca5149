"""The prototypes of a map in past epochs, recorded while it is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.epochs import EpochRecord

_MOST_VALUES = 4_000_000  # of 4 bytes


class GrowthFilm:
    """Keeps the prototypes of some epochs; give it among the ``callbacks`` of an estimator.

    ``explore`` finds it there, and its growth film then shows how variables, images and likeness
    changed, too. A fit anew begins anew. Of 4 million values at most every second frame is let go,
    so that it takes no more than 16 MB.

    Parameters
    ----------
    frames : int
        How many epochs to keep, spread evenly, and the first one.
    folder : Path, optional
        Where frames lie as well, for a training that is interrupted and goes on.

    Attributes
    ----------
    frames : dict of int to float32 array (k, D)
        By the number of the epoch, in order.

    Raises
    ------
    ValueError
        ``frames`` is less than 1.

    Examples
    --------
    >>> vq = SomVQ(callbacks=[GrowthFilm()]).fit(X)
    >>> vq.explore(X)
    """

    def __init__(self, frames: int = 16, folder: Path | None = None) -> None:
        if frames < 1:
            raise ValueError(f"frames must be at least 1, not {frames}")
        self._count, self._folder, self._last = frames, folder, 0
        self._frames: dict[int, NDArray[np.float32]] = {}

    def __call__(self, epoch: EpochRecord) -> None:
        """Record the prototypes of an epoch, as a callback of the estimator."""
        if epoch.epoch <= self._last:
            self._frames.clear()
        self._last = epoch.epoch
        if epoch.epoch > 1 and epoch.epoch % max(1, -(-epoch.epochs // self._count)):
            return
        frame = epoch.prototypes.astype(np.float32)
        self._frames[epoch.epoch] = frame
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            np.save(self._folder / f"{epoch.epoch}.npy", frame)
        while len(self._frames) > 1 and sum(f.size for f in self._frames.values()) > _MOST_VALUES:
            self._frames = {number: self._frames[number] for number in list(self._frames)[::2]}

    @property
    def frames(self) -> dict[int, NDArray[np.float32]]:
        """The prototypes of each epoch that is kept, also by a process before this one."""
        frames = dict(self._frames)
        first = min(self._frames, default=self._last)
        for path in () if self._folder is None else self._folder.glob("*.npy"):
            if path.stem.isdecimal() and int(path.stem) < first:
                try:
                    frames[int(path.stem)] = np.load(path, allow_pickle=False)
                except (OSError, ValueError, EOFError):
                    continue  # the process died while it was written
        return dict(sorted(frames.items()))


def frames_of(estimator: object) -> dict[int, NDArray[np.float32]]:
    """Return the frames of a film among the callbacks of an estimator, none without one."""
    callbacks = getattr(estimator, "callbacks", None)
    several = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    return next((one.frames for one in several if isinstance(one, GrowthFilm)), {})
