"""How one pass over the data runs.

`local` holds the data and chooses the way: `fast` for Euclidean maps, the metric's own methods or
`pairwise` for all others, which `plain_search` asks anew in each epoch. `found` says what a search
is; `sums` adds up what neurons won and `smoothing` spreads it over the map by its `hops`; `answers`
and `mixture` tell of samples by a trained map.
`compile` and `workers` are what all loops and threads share.
"""
