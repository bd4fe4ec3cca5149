"""How one pass over the data runs: arrays, numba and threads, and nothing else.

`contract` says what searches are and what they find. `local` has the samples from which an engine
derives its own, and those of the built-in one, which chooses the way: `euclidean` for Euclidean
maps, the metric's own methods (`samples`, with `scalar`) for all others. `partitioned_search` adds
up what parts win: one part that an engine searches, or shards on workers, which `partitioned`
asks as it reads `tables` block by block. `found` adds up what neurons won
sample by sample, `sums` does the adding, `smoothing` spreads it over the map. `moments`,
`principal` and `majorities` are asked before training, `nnls` (mixtures) after it. `metric_calls`
is a metric as the engine sees it. `compile`, `cache_folder`, `compiling` and `workers` are what all
loops and threads share; `llvm` holds instructions that numba does not write.
"""
