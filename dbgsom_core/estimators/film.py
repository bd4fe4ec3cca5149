"""The prototypes of a map in past epochs, kept while it is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.epochs import EpochRecord

_MOST = 4_000_000  # values that are kept, of 4 bytes


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
        self._kept: dict[int, NDArray[np.float32]] = {}

    def __call__(self, epoch: EpochRecord) -> None:
        """Hear of an epoch, as a callback of the estimator."""
        if epoch.epoch <= self._last:
            self._kept.clear()
        self._last = epoch.epoch
        if epoch.epoch > 1 and epoch.epoch % max(1, -(-epoch.epochs // self._count)):
            return
        frame = epoch.prototypes.astype(np.float32)
        self._kept[epoch.epoch] = frame
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            np.save(self._folder / f"{epoch.epoch}.npy", frame)
        while len(self._kept) > 1 and sum(one.size for one in self._kept.values()) > _MOST:
            self._kept = {number: self._kept[number] for number in list(self._kept)[::2]}

    @property
    def frames(self) -> dict[int, NDArray[np.float32]]:
        """The prototypes of each epoch that is kept, also by a process before this one."""
        found = dict(self._kept)
        for path in () if self._folder is None else self._folder.glob("*.npy"):
            number = int(path.stem) if path.stem.isdecimal() else self._last
            if number not in found and number < min(self._kept, default=self._last):
                try:
                    found[number] = np.load(path, allow_pickle=False)
                except (OSError, ValueError, EOFError):
                    continue  # it was being written when the process died
        return dict(sorted(found.items()))


def film_of(estimator: object) -> dict[int, NDArray[np.float32]]:
    """Return the frames of a film among the callbacks of an estimator, none without one."""
    callbacks = getattr(estimator, "callbacks", None)
    try:
        films = [one for one in callbacks or () if isinstance(one, GrowthFilm)]
    except TypeError:  # one callable
        films = [callbacks] if isinstance(callbacks, GrowthFilm) else []
    return films[0].frames if films else {}
