"""Data sets."""

import os
import sys
from pathlib import Path

import numpy as np
from pydantic import Field

from dbgsom_core.api import Columns, Component, Data


def _table():
    return np.random.default_rng(0).normal(size=(60, 3))


class Fine(Component):
    """Nothing is wrong, and it needs a file."""

    path: str = Field(description="where the samples are")

    @classmethod
    def examples(cls, folder):
        np.save(Path(folder) / "samples.npy", _table())
        return {"path": str(Path(folder) / "samples.npy")}

    def load(self):
        return Data(np.load(self.path), np.arange(60) % 2)


class Bare(Component):
    """An array instead of a Data."""

    def load(self):
        return _table()


class Listed(Component):
    """Lists."""

    def load(self):
        return Data(_table().tolist())


class Flat(Component):
    """One dimension."""

    def load(self):
        return Data(_table()[:, 0])


class Words(Component):
    """Words."""

    def load(self):
        return Data(_table().astype(str))


class Objects(Component):
    """Objects."""

    def load(self):
        return Data(_table().astype(object))


class Uneven(Component):
    """Too few targets."""

    def load(self):
        return Data(_table(), np.arange(59))


class Misnamed(Component):
    """Too few names."""

    def load(self):
        return Data(_table(), feature_names=("a", "b"))


class Image(Component):
    """Images of another size."""

    def load(self):
        return Data(_table(), image_shape=(2, 2))


class OtherColumns(Component):
    """Columns that make other features."""

    def load(self):
        return Data(_table(), columns=Columns(("a", "b")))


class TooFewIds(Component):
    """An identifier for some samples only."""

    def load(self):
        return Data(_table(), ids={"nr": np.arange(59)})


class Infinite(Component):
    """Infinite values."""

    def load(self):
        X = _table()
        X[3, 1] = np.inf
        return Data(X)


class Chance(Component):
    """Other data each time."""

    def load(self):
        return Data(np.random.default_rng().normal(size=(60, 3)))


_KEPT = _table()


class Shared(Component):
    """Hands out the same array each time."""

    def load(self):
        return Data(_KEPT)


class Nothing(Component):
    """Returns nothing."""

    def load(self):
        pass


class Raising(Component):
    """Raises something that is no DataError."""

    def load(self):
        raise LookupError("no data today")


class Missing(Component):
    """Reads a file that is not there."""

    def load(self):
        return Data(np.load("/nowhere/at/all.npy"))


class Exiting(Component):
    """Calls sys.exit with success."""

    def load(self):
        sys.exit(0)


class Ending(Component):
    """Ends the process with success."""

    def load(self):
        os._exit(0)


class Wandering(Component):
    """Changes the working directory."""

    def load(self):
        os.chdir("/")
        return Data(_table())
