"""How one pass over the data runs: arrays, numba and threads, and nothing else.

`samples` has what any engine's samples answer, and those that are searched fast; `results` what a
pass finds, added up sample by sample for any metric. Euclidean maps have an exact search of packed
samples (`packing`): vector code (`tile`, `lanes`) compares blocks of samples with panels of
prototypes, `search_loops` are the compiled passes, `packed_search` keeps bounds from pass to pass,
`fine_tuning` is what samples train besides their units, and `search` adds up what parts of the
samples win: one part in memory, blocks of `tables` that are read, shards on workers
(`partitioned`). How wrong values may be is derived in tests/engine/accuracy.md. `loops`,
`smoothing`, `moments` and `nnls` (mixtures) are what training and answers need besides;
`metric_calls` is a metric as the engine sees it, `runtime` and `compile` are threads and numba.
"""
