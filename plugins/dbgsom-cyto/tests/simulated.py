"""Simulated flow cytometry with known populations; ``python simulated.py FOLDER`` writes FCS.

Sizes, shares and the number of markers and populations follow the data sets of Weber & Robinson
(2016): bone marrow with 32 markers and 14 populations (Levine et al. 2015), with 39 markers and 24
populations (Samusik et al. 2016). Levels of markers in blood are those of textbooks. Nothing is
fitted to a data set or to a method.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MARKERS = "CD45 CD3 CD4 CD8 CD19 CD20 CD56 CD16 CD14 CD11c HLA-DR CD123 CD34 CD38 CD27 CD45RA CCR7"
MARKERS += " CD25 CD127 TCRgd"
# Percentage, and a digit for each marker: 0 negative, 1 dim, 2 positive, 3 bright, 4 spread out.
BLOOD = """CD4 T naive, 14, 32200000000001222020; CD4 T central memory, 11, 32200000000000202120;
CD4 T effector, 7, 32200000004000400010; CD4 T regulatory, 2.5, 32200000004001242300;
CD8 T naive, 8, 32030000000001232020; CD8 T memory, 6, 32030000004000400010;
CD8 T TEMRA, 4, 32030040010000030000; gamma delta T, 2.5, 33040040004000440012;
NKT-like, 1.5, 32020024000000440010; NK CD16+, 8, 30040013010002020000;
NK CD56 bright, 0.5, 30000030010002210110; B naive, 6, 30002300002001022000;
B memory, 3, 30002300002000222400; plasmablast, 0.5, 20002000002003340000;
monocyte classical, 14, 20100000332102000000; monocyte intermediate, 2, 20100002233101040000;
monocyte CD16+, 2.5, 20100003132001000000; dendritic myeloid, 1.5, 20100000033101000000;
dendritic plasmacytoid, 0.8, 20100000002301020000; basophil, 1, 10000000000302000010;
progenitor CD34+, 0.5, 10000000002122010000"""
MEDIANS = np.array([40.0, 600.0, 4000.0, 25000.0, 900.0])  # intensity at each digit
DEVIATIONS = np.array([0.6, 0.45, 0.45, 0.4, 1.2])  # of its natural logarithm among alike cells


class Simulation(NamedTuple):
    """Cells of which the population is known."""

    intensities: np.ndarray  # float32 (n, D), as a cytometer reports them, some below 0
    population: np.ndarray  # int64 (n,), -1 for doublets of two cells
    file: np.ndarray  # int64 (n,)
    markers: list[str]  # D
    names: list[str]  # of the P populations
    rare: np.ndarray  # bool (P,), those of half a per cent
    spillover: np.ndarray  # float64 (D, D), row i: the share of marker i in each channel


def _hierarchy(rng: np.random.Generator, populations: int, markers: int) -> tuple[Any, Any]:
    """Split populations in two, by one to three markers at a time; the last three are rare."""
    levels, shares = [np.where(rng.random(markers) < 0.1, 4, 0)], [100.0]
    while len(levels) < populations:
        rare = len(levels) >= populations - 3
        weights = np.array(shares) / sum(shares)
        parent = int(weights.argmax() if rare else rng.choice(len(levels), p=weights))
        child = levels[parent].copy()
        changed = rng.choice(np.flatnonzero(child < 4), size=rng.integers(1, 4), replace=False)
        child[changed] = np.where(child[changed] == 0, rng.integers(1, 5, len(changed)), 0)
        child[changed[0]] = 2 if levels[parent][changed[0]] < 2 else 0
        if not any((child == other).all() for other in levels):
            share = 0.5 if rare else max(0.6, shares[parent] * rng.uniform(0.1, 0.5))
            shares[parent] -= share
            levels.append(child)
            shares.append(share)
    return levels, shares


def simulate(
    cells: int = 20_000,
    markers: int = 20,
    populations: int | None = None,
    seed: int = 0,
    files: int = 4,
    batch_shift: float = 0.1,
    spillover: bool = False,
) -> Simulation:
    """Draw cells of a hierarchy of populations.

    Parameters
    ----------
    cells : int
        Of each file.
    markers : int
        Of blood at least 20; those beyond are negative, or spread out in some populations.
    populations : int or None
        None: 21 of human blood. A number, from 5 on: a hierarchy that is drawn, from 8 markers on.
    seed, files : int
        Every second file is of a condition in which a fifth of the populations has twice the size.
    batch_shift : float
        Deviation of the logarithm of a factor for each marker and file.
    spillover : bool
        Let a share of each signal show in the three channels to either side.
    """
    rng = np.random.default_rng(seed)
    blood = [entry.strip().rsplit(", ", 2) for entry in BLOOD.split(";")]
    names, channels = [name for name, _, _ in blood], MARKERS.split()
    shares = np.array([float(share) for _, share, _ in blood])
    levels = np.array([[int(digit) for digit in digits] for _, _, digits in blood])
    if populations is not None:
        names, channels = [f"population {i}" for i in range(populations)], []
        levels, shares = map(np.array, _hierarchy(rng, populations, markers))
    channels += [f"M{i}" for i in range(len(channels), markers)]
    shape = (len(names), len(channels))
    levels = np.hstack([levels, np.where(rng.random(shape) < 0.1, 4, 0)[:, levels.shape[1] :]])
    centres = np.log(MEDIANS)[levels] + rng.normal(0, 0.2, shape) + rng.normal(0, 0.3, shape[1])
    beside = np.abs(np.subtract.outer(np.arange(shape[1]), np.arange(shape[1])))
    mixing = np.where(beside < 4, 0.4 * rng.beta(1, 8, beside.shape) * spillover, 0.0)
    np.fill_diagonal(mixing, 1.0)
    twice = np.where((rng.random(len(names)) < 0.2) & (shares > 0.5), 2.0, 1.0)
    parts, truths = [], []
    for file in range(files):
        mix = shares * twice ** (file % 2) * np.exp(rng.normal(0, 0.2, len(names)))
        truth = rng.choice(len(names), size=cells, p=mix / mix.sum())
        noise = rng.normal(size=(cells, shape[1])) * DEVIATIONS[levels[truth]]
        signal = np.exp(centres[truth] + noise + rng.normal(0, 0.15, (cells, 1)))  # cells' sizes
        doublets = np.flatnonzero(rng.random(cells) < 0.02)
        signal[doublets] += signal[rng.integers(cells, size=len(doublets))]
        truth[doublets] = -1
        signal = signal * np.exp(rng.normal(0, batch_shift, shape[1])) @ mixing
        signal += rng.normal(size=signal.shape) * np.sqrt(60.0**2 + 4 * signal)  # and photons
        parts.append((signal - MEDIANS[0]).astype(np.float32))
        truths.append(truth)
    data, truth, file_of = np.vstack(parts), np.concatenate(truths), np.arange(files).repeat(cells)
    return Simulation(data, truth, file_of, channels, names, shares == 0.5, mixing)


def main() -> None:
    """Write FCS 3.1 files of blood, and populations.csv with the names of the populations."""
    from flowio import create_fcs

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    for option, default in {"files": 4, "cells": 20_000, "markers": 20, "seed": 0}.items():
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--spillover", action="store_true", help="mix the channels, and say how")
    args = vars(parser.parse_args())
    folder = args.pop("folder")
    data, rng = simulate(**args), np.random.default_rng(args["seed"])
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{i},{name}\n" for i, name in [*enumerate(data.names), (-1, "doublet")]]
    (folder / "populations.csv").write_text("population,name\n" + "".join(lines))
    dyes = [f"FL{i + 1}-A" for i in range(len(data.markers))]
    channels = ["FSC-A", "SSC-A", *dyes, "Time", "population"]
    labels = ["", "", *data.markers, "", ""]
    matrix = ",".join([str(len(dyes)), *dyes, *data.spillover.round(5).ravel().astype(str)])
    text = {"SPILLOVER": matrix} if args["spillover"] else {}
    sizes = rng.uniform(3e4, 1.5e5, (len(data.names) + 1, 2))  # the last one of doublets
    for file in range(args["files"]):
        mine = data.file == file
        truth, time = data.population[mine], np.linspace(0, 6e4, mine.sum())
        scatter = sizes[truth] * np.exp(rng.normal(0, 0.15, (len(truth), 2)))
        events = np.column_stack([scatter, data.intensities[mine], time, truth])
        name = f"{('control', 'treated')[file % 2]}_{file // 2 + 1}.fcs"
        with (folder / name).open("wb") as stream:
            create_fcs(stream, events.ravel(), channels, labels, text)


if __name__ == "__main__":
    main()
