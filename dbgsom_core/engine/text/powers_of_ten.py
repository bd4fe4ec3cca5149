"""Powers of ten to 128 bits, by which a float becomes decimal digits."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

LEAST_POWER, LARGEST_POWER = -292, 324  # those that float64 needs
_BITS = 128


@lru_cache(maxsize=1)
def powers_of_ten() -> NDArray[np.uint64]:
    """Return 10**k for each k from ``LEAST_POWER``, rounded up, as uint64 (617, 2).

    They are scaled by a power of two so that the highest of the 128 bits is 1; the high half is
    first.
    """
    powers = range(LEAST_POWER, LARGEST_POWER + 1)
    halves = [divmod(_scaled(power), 1 << 64) for power in powers]
    return np.array(halves, dtype=np.uint64)


def _scaled(power: int) -> int:
    value: int = 10 ** abs(power)
    if power < 0:  # 2**s / value of 128 bits; no power of two is a power of ten
        return (1 << (_BITS - 1 + value.bit_length())) // value + 1
    less = value.bit_length() - _BITS
    return value << -less if less <= 0 else -(-value >> less)


@intrinsic
def product_high(typing_context: Any, a: Any, b: Any) -> Any:
    """Return the high 64 bits of the product of two uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(_BITS)
        a, b = (builder.zext(one, wide) for one in arguments)
        high = builder.lshr(builder.mul(a, b), ir.Constant(wide, 64))
        return builder.trunc(high, ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate
