"""Compare with the peers that are installed and see how time grows: one command.

    python tests/benchmarks/run.py [--rounds 3] [--slow] [--out DIR] [fits] [passes] [growth]

Contestants take turns within a round, so that what else runs on the machine hits them alike;
medians are over rounds, ratios are medians of the ratios within a round. Writes results.md and
growth.png. Unset OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE: they slow the matrix products of peers.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from contestants import installed, ours
from workloads import FITS, clusters

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
NEURONS = ((10, 10), (20, 10), (20, 20), (40, 25), (50, 40))
SHAPES = [(d, k) for d in (16, 64, 784) for k in (100, 400, 2000)]


def seconds(function, *arguments):
    """Return how long one call takes."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def paired(functions, rounds):
    """Time functions in turns; return {name: array (rounds,)}."""
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return {name: np.array(values) for name, values in times.items()}


def table(title, header, rows):
    """Return a Markdown table."""
    lines = [f"## {title}", "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""])


def fits(rounds, slow):
    """Whole fits of equal size against peers."""
    rows = []
    for name, (make, *shape) in FITS.items():
        X = make()
        functions = {
            peer: lambda fit=fit, X=X, shape=shape: fit(X, *shape)
            for peer, fit in installed(slow).items()
        }
        times = paired(functions, rounds)
        base = times["dbgsom-core"]
        for peer, values in times.items():
            ratio = np.median(base / values)
            rows.append((name, peer, f"{np.median(values):.3f}", f"{ratio:.2f}"))
    return table("Whole fits, 50 epochs", ("data", "who", "seconds", "ours / theirs"), rows)


def passes(rounds):
    """One search without any memory of earlier ones, against a matrix product and faiss."""
    from dbgsom_core.engine.local import LocalEngine
    from dbgsom_core.plugins import get_registry

    metric = get_registry().build("metric", "euclidean")
    rows = []
    for dtype in (np.float32, np.float64):
        for d, k in SHAPES:
            n = 25_000 if d == 784 else 100_000
            rng = np.random.default_rng(0)
            X = rng.normal(size=(n, d)).astype(dtype)
            prototypes = rng.normal(size=(k, d))
            search = LocalEngine().over(X, metric).search()
            search.prunes = False
            cells = np.column_stack(np.divmod(np.arange(k), 10))
            square = rng.normal(size=(3000, 3000)).astype(dtype)
            functions = {
                "ours": lambda s=search, w=prototypes, c=cells: s.assign(w, c),
                "product": lambda a=square: a @ a,
            }
            if dtype is np.float32:
                index = faiss_index(prototypes.astype(dtype))
                if index is not None:
                    functions["faiss"] = lambda i=index, X=X: i.search(X, 1)
            times = paired(functions, rounds)
            flops = {"product": 2 * 3000**3}
            speed = {
                who: np.median(flops.get(who, 2 * n * d * k) / values) / 1e9
                for who, values in times.items()
            }
            rows.append(
                (
                    np.dtype(dtype).name,
                    d,
                    k,
                    f"{speed['ours']:.0f}",
                    f"{speed['product']:.0f}",
                    f"{speed['ours'] / speed['product']:.2f}",
                    f"{np.median(times['faiss'] / times['ours']):.2f}" if "faiss" in times else "",
                )
            )
    header = ("dtype", "D", "K", "ours GFLOP/s", "product GFLOP/s", "share", "times faiss")
    return table("One pass over all pairs, sums included", header, rows)


def faiss_index(prototypes):
    """Return faiss' exact index of prototypes, or None where it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    index = faiss.IndexFlatL2(prototypes.shape[1])
    index.add(prototypes)
    return index


def growth(rounds, out):
    """How the time of a fit grows with n and K; the exponents are those of a straight line."""
    from matplotlib.figure import Figure

    X = clusters(max(SIZES), 16)
    by_n = [np.median([seconds(ours, X[:n], 10, 10, 20) for _ in range(rounds)]) for n in SIZES]
    X = clusters(100_000, 64)
    by_k = [np.median([seconds(ours, X, *shape, 20) for _ in range(rounds)]) for shape in NEURONS]
    sizes = [rows * columns for rows, columns in NEURONS]
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    rows = []
    for axes, name, x, y in zip(
        figure.subplots(1, 2), ("samples", "neurons"), (SIZES, sizes), (by_n, by_k), strict=True
    ):
        exponent = np.polyfit(np.log(x), np.log(y), 1)[0]
        axes.loglog(x, y, "o-")
        axes.set(xlabel=name, ylabel="seconds", title=f"time ~ {name}^{exponent:.2f}")
        rows += [(name, size, f"{value:.3f}", "") for size, value in zip(x, y, strict=True)]
        rows.append((name, "exponent", "", f"{exponent:.2f}"))
    figure.savefig(out / "growth.png", dpi=120)
    return table("Growth of a fit of 20 epochs", ("with", "size", "seconds", "exponent"), rows)


def main():
    """Run the sections that were asked for and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", help="fits, passes, growth; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow", action="store_true", help="with peers that take minutes")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    run = {
        "fits": lambda: fits(options.rounds, options.slow),
        "passes": lambda: passes(options.rounds),
        "growth": lambda: growth(options.rounds, options.out),
    }
    text = []
    for section in options.sections or run:
        text.append(run[section]())
        print(text[-1], flush=True)
    (options.out / "results.md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
