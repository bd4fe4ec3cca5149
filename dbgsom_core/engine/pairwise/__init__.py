"""Distances of many pairs: expanded squares of Euclidean ones, and metrics written for one pair.

`expanded` fills a matrix of distances, `won_squares` adds squares up without one. `scalar` puts a
loop around a third party's function for one pair.
"""
