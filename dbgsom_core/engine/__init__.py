"""Passes over the data: best-matching units (BMUs), sums by neuron, threads and numba.

`samples` is the base class of all engines' samples, and the packed search's; `results` are units
and sums by neuron, for any metric. Euclidean maps have an exact search over packed samples
(`packing`): vector code (`tile`, `lanes`) compares blocks of samples with panels of prototypes,
`search_loops` are the compiled passes, `packed_search` keeps distance bounds between passes (after
Yinyang k-means), `fine_tuning` finds the nearest linked neighbours of BMUs, and `search` adds the
sums of parts of the samples: one in memory, blocks read from `tables`, or shards on workers
(`partitioned`). Rounding errors are bounded in tests/engine/accuracy.md. `loops`, `smoothing`,
`moments` and `nnls` (mixtures) serve training and transforms; `metric_calls` is the metric's
interface to the engine, `runtime` and `compile` are threads and numba.
"""
