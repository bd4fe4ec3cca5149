"""Trees of joins of neurons, into which groups are cut and along which they are divided."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


def ward_tree(points: Array, weights: Array) -> tuple[Numbers, Array]:
    """Return which clusters are joined (n - 1, 2), and how far apart they were (n - 1,).

    Join i makes cluster n + i of two earlier ones, points (n, D) being the first n; joins ascend.
    Two clusters of weights a and b lie √(2ab / (a + b)) times the distance of their means apart
    (Ward 1963), and the next join is always of two that are nearest to each other, so that each
    chain of nearest neighbours can be followed to its end (Murtagh 1983).
    """
    from scipy.spatial.distance import cdist

    n = len(points)
    if n < 2:
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    size = weights.astype(np.float64)
    squares = cdist(points, points, "sqeuclidean")
    squares *= 2 * np.outer(size, size) / np.add.outer(size, size)
    np.fill_diagonal(squares, np.inf)
    is_left = np.ones(n, dtype=bool)
    pairs, heights = np.empty((n - 1, 2), dtype=np.int64), np.empty(n - 1)
    chain: list[int] = []
    for join in range(n - 1):
        if not chain:
            chain.append(int(is_left.argmax()))
        while True:
            last = chain[-1]
            nearest = int(squares[last].argmin())
            # Of equals the one before in the chain, so that it ends.
            if len(chain) > 1 and squares[last, chain[-2]] <= squares[last, nearest]:
                nearest = chain[-2]
                break
            chain.append(nearest)
        del chain[-2:]
        kept, gone = min(last, nearest), max(last, nearest)
        pairs[join], heights[join] = (kept, gone), squares[kept, gone]
        # What the joined cluster is apart from all others (Lance & Williams 1967).
        both = (size + size[kept]) * squares[kept] + (size + size[gone]) * squares[gone]
        joined = (both - size * squares[kept, gone]) / (size + size[kept] + size[gone])
        is_left[gone] = False
        size[kept] += size[gone]
        joined[~is_left] = np.inf
        joined[kept] = np.inf
        squares[kept], squares[:, kept] = joined, joined
        squares[gone], squares[:, gone] = np.inf, np.inf
    order = np.argsort(heights, kind="stable")
    return _numbered(pairs[order], n), np.sqrt(heights[order])


def _numbered(pairs: Numbers, n: int) -> Numbers:
    """Return joins of clusters by their numbers; ``pairs`` names each by one of its points."""
    name = np.arange(n + len(pairs))
    joins = np.empty_like(pairs)
    for join, pair in enumerate(pairs):
        for side, point in enumerate(pair):
            node = int(point)
            while name[node] != node:
                name[node] = name[name[node]]
                node = int(name[node])
            joins[join, side] = node
        name[joins[join]] = n + join
    return joins


def tree_of_groups(points: Array, weights: Array, groups: Numbers) -> tuple[Numbers, Array]:
    """Return joins and heights as `ward_tree` does, such that the groups (n,) are a cut of it.

    First the points of each group are joined, then the means of the groups. Heights ascend within
    either; a group may be higher than the groups are apart.
    """
    n = len(points)
    if n < 2:
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    trees = [ward_tree(points[rows], weights[rows]) for rows in members]
    of_group = np.repeat(np.arange(len(trees)), [len(tree[1]) for tree in trees])
    within = np.concatenate([heights for _, heights in trees])
    order = np.argsort(within, kind="stable")
    joins = np.empty((max(n - 1, 0), 2), dtype=np.int64)
    nodes = [list(rows) for rows in members]  # of each group's tree: points, then joins
    for join, group in enumerate(of_group[order]):
        local = trees[group][0][len(nodes[group]) - len(members[group])]
        joins[join] = nodes[group][local[0]], nodes[group][local[1]]
        nodes[group].append(n + join)
    means = [np.average(points[rows], axis=0, weights=weights[rows]) for rows in members]
    sizes = np.array([weights[rows].sum() for rows in members])
    pairs, apart = ward_tree(np.array(means), sizes)
    tops = [tree[-1] for tree in nodes] + [n + len(within) + join for join in range(len(pairs))]
    if len(pairs):
        joins[len(within) :] = np.array(tops)[pairs]
    return joins, np.concatenate([within[order], apart])


def cut(joins: Numbers, n: int, k: int) -> Numbers:
    """Return the cluster of each of n points when k clusters are left."""
    cluster = np.arange(n + len(joins))
    for join in reversed(range(n - k)):
        cluster[joins[join]] = cluster[n + join]
    return cluster[:n]
