"""An engine whose arrays live on a device.

numpy stands for the device here: import cupy, or another library with the same functions, as
``xp``, and let `_here` bring an array back. What is not Euclidean, weighted or incomplete is
searched as the built-in engine does.
"""

from functools import cached_property

import numpy as np
import numpy as xp

from dbgsom_core.api import Assignment, EngineComponent, Samples

_ROWS = 1 << 14  # samples that are compared at a time
_UNIT = 2.0**-24  # the rounding unit of float32


class DeviceSamples(Samples):
    """Samples (n, D) on the device; units and what neurons won are found there."""

    @cached_property
    def rows(self):
        """The samples (n, D) in the dtype in which they were given."""
        return xp.asarray(self.X)

    @cached_property
    def centred(self):
        """The samples (n, D) about the middle of all, no number above 1, for products."""
        frame = self.quantisation
        return ((self.rows - xp.asarray(frame.centre)) * frame.scale).astype(np.float32)

    def assign(self, prototypes):
        """Find the nearest prototype of every sample, ties to the lowest row."""
        if self.quantisation is None or len(prototypes) == 1:
            return super().assign(prototypes)
        bmu, doubtful = self._nearest(prototypes)
        if len(doubtful):  # what float32 cannot tell apart
            bmu[doubtful] = self.subset(doubtful).assign_plainly(prototypes).bmu
        return Assignment(bmu, self.distances_to(prototypes, bmu))

    def quantised_sums(self, units, n_units):
        """Return the sums (K, D) of rounded numbers, the same bits in whatever order."""
        frame, units = self.quantisation, xp.asarray(units)
        numbers = xp.rint((self.rows - xp.asarray(frame.centre)) * (frame.scale / frame.grid))
        numbers = (numbers * frame.grid).astype(self.rows.dtype)
        sums = xp.zeros((n_units, self.rows.shape[1]))
        xp.add.at(sums, units, numbers)
        return _here(sums)

    def _nearest(self, prototypes):
        # Units (n,), and the samples of which the second prototype may be nearer.
        frame, d = self.quantisation, prototypes.shape[1]
        w = xp.asarray((prototypes - frame.centre) * frame.scale)
        halves = (w * w).sum(axis=1) / 2
        longest = float(xp.sqrt(2 * halves.max()))
        columns, halves = w.T.astype(np.float32), halves.astype(np.float32)
        bmu, doubtful = np.empty(self.n, np.int64), []
        for start in range(0, self.n, _ROWS):
            rows = slice(start, start + _ROWS)
            x = self.centred[rows]
            values = halves - x @ columns  # half of ‖x - w‖², less what all w have in common
            two = xp.partition(values, 1, axis=1)
            lengths = xp.sqrt((x.astype(np.float64) ** 2).sum(axis=1))
            # How wrong two values may be: by rounding in products of D numbers, in any order.
            error = 1.02 * (d + 13) * _UNIT * (longest**2 + 2 * longest * lengths) + 1e-30
            bmu[rows] = _here(values.argmin(axis=1))
            sure = two[:, 1].astype(np.float64) - two[:, 0] > error
            doubtful.append(start + np.flatnonzero(~_here(sure)))
        return bmu, np.concatenate(doubtful)


class Device(EngineComponent):
    """Run passes on a device."""

    def over(self, X, metric, weights=None):
        """Return samples X (n, D) ready for passes."""
        return DeviceSamples.of(X, metric, weights)


def _here(array):
    # An array of the device in this process's memory: `xp.asnumpy(array)` of cupy.
    return np.asarray(array)
