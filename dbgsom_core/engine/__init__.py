"""How one pass over the data runs.

`results` says what samples, searches and their findings are. `local` holds the data and chooses
the way: `euclidean` for Euclidean maps, the metric's own methods or `pairwise` for all others,
asked anew in each epoch. `sums` adds up what neurons won and `smoothing` spreads it over the map;
`answers` tell of samples by a trained map.
`compile` and `workers` are what all loops and threads share.
"""
