"""How many multiplications a core can do at all: a loop that touches registers alone."""

from __future__ import annotations

import time

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from dbgsom_core.engine.llvm.tile import PANEL_ROWS

CHAINS = 10  # sums that do not wait for each other: more than a multiplication takes cycles
LANES = 16 if PANEL_ROWS == 8 else 8  # of float32 in the widest register that the compiler uses
STEPS = 1 << 16
_COUNT = ir.IntType(64)


@intrinsic
def _multiply(typing_context, start, steps):
    """Return a sum of CHAINS vectors, to each of which a product was added ``steps`` times."""

    def generate(context, builder, signature, arguments):
        start, steps = arguments
        vector = ir.VectorType(ir.FloatType(), LANES)
        name = f"llvm.fma.v{LANES}f32"
        fma = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(vector, [vector] * 3), name
        )
        factor = ir.Constant(vector, ir.Undefined)
        for lane in range(LANES):
            factor = builder.insert_element(factor, start, ir.Constant(ir.IntType(32), lane))
        before, body = builder.block, builder.append_basic_block("body")
        builder.branch(body)
        end = builder.append_basic_block("end")
        builder.position_at_end(body)
        step, sums = builder.phi(_COUNT), [builder.phi(vector) for _ in range(CHAINS)]
        later = [builder.call(fma, [factor, factor, total]) for total in sums]
        following = builder.add(step, ir.Constant(_COUNT, 1))
        step.add_incoming(ir.Constant(_COUNT, 0), before)
        step.add_incoming(following, body)
        for chain, (total, after) in enumerate(zip(sums, later, strict=True)):
            # Other starts, or all chains would be one.
            total.add_incoming(ir.Constant(vector, [float(chain)] * LANES), before)
            total.add_incoming(after, body)
        builder.cbranch(builder.icmp_unsigned("<", following, steps), body, end)
        builder.position_at_end(end)
        total = later[0]
        for other in later[1:]:
            total = builder.fadd(total, other)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(types.float32, types.int64), generate


@njit
def _loop(start, steps):
    return _multiply(start, steps)


def peak(rounds=30):
    """Return the GFLOP/s in float32 that one thread reaches, a product and a sum counted as two."""
    import numpy as np

    start = np.float32(1e-3)
    _loop(start, STEPS)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        _loop(start, STEPS)
        times.append(time.perf_counter() - began)
    return 2e-9 * STEPS * CHAINS * LANES / min(times)


if __name__ == "__main__":
    print(f"{peak():.0f} GFLOP/s")
