"""Compare with the peers that are installed: one command.

    python tests/benchmarks/run.py [--rounds 3] [--slow] [--out DIR] [SECTION ...]

Sections: fits, growing, passes, growth, pruning, outside, memory, startup, measures; all by
default. Contestants take turns within a round, so that what else runs on the machine hits them
alike; medians are over rounds, ratios are medians of the ratios within a round. Writes results.md
and growth.png. Unset OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE: they slow the matrix products of
peers. With ``NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx2,+fma,+bmi OPENBLAS_CORETYPE=Haswell``
they show a machine with AVX2 alone; without the features numba keeps those of the host.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from costs import measures, memory, outside, pruning, startup
from fits import fits
from growing import growing
from growth import growth
from passes import passes

SECTIONS = (fits, growing, passes, growth, pruning, outside, memory, startup, measures)


def main():
    """Run the sections that were asked for and write what they found."""
    sections = {section.__name__: section for section in SECTIONS}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(sections))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of the passes; default: all")
    parser.add_argument("--slow", action="store_true", help="with peers that take minutes")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"))
    options = parser.parse_args()
    unknown = set(options.sections) - set(sections)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    options.out.mkdir(parents=True, exist_ok=True)
    text = []
    for name in options.sections or sections:
        text.append(sections[name](options))
        print(text[-1], flush=True)
    (options.out / "results.md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
