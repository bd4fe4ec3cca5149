"""How one pass over the data runs: arrays, numba and threads, and nothing else.

`contract` says what searches are and what they find. `local` has the samples from which an engine
derives its own, and those of the built-in one, which chooses the way: `euclidean` for Euclidean
maps, the metric's own methods (`samples`, with `scalar`) for all others. `partitioned_search` adds
up what parts win: one part that an engine searches, or shards on workers; `partitioned` has samples
in parts, blocks of `tables` among them. `found` adds up what neurons won sample by sample, `sums`
does the adding, `smoothing` spreads it over the map. `moments` and `majorities` serve training,
`nnls` (mixtures) what comes after it. `metric_calls` is a metric as the engine sees it. `compile`,
`compile_clock` and `workers` are what all loops and threads share; `llvm` holds instructions that
numba does not write.
"""
