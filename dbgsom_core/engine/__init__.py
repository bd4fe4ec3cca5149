"""How one pass over the data runs: arrays, numba and threads, and nothing else.

`contract` says what samples, searches and what they find are, which is all that training knows.
`local` holds samples in memory and chooses the way: `euclidean` for Euclidean maps, the metric's
own methods (`samples`, with `scalar`) for all others. `partitioned` reads `tables` block by block,
or asks shards on workers, where `partitioned_search` finds units. `found` adds up what neurons won
sample by sample, `sums` does the adding, `smoothing` spreads it over the map. `moments`,
`principal` and `majorities` are asked before training, `nnls` (mixtures) after it. `metric_calls`
is a metric as the engine sees it. `compile`, `cache_folder`, `compiling` and `workers` are what all
loops and threads share; `llvm` holds instructions that numba does not write.
"""
