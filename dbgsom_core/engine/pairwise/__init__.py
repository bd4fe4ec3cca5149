"""Distances of many pairs: expanded squares of Euclidean ones, and metrics written for one pair.

`expanded` fills a matrix of distances, `won_squares` adds squares up without one. `scalar` calls
loops that `scalar_loops` makes around a third party's function and keeps on disk under the name
that `fingerprint` gives; `pairs` lets such a function see many prototypes at once.
"""
