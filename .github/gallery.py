"""Draw the figures of README.md anew, each from its configuration: ``python .github/gallery.py``.

``.github/gallery/CONFIG-FIGURE.png`` is figure FIGURE of ``configs/CONFIG.yaml``, or of one beside
a plugin, which has to be installed and simulates its data.
"""

import re
import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

from PIL import Image

import dbgsom_core

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / ".github" / "gallery"
COLOURS = 256  # of the palette, which keeps files small
WIDEST = 1200  # pixels
SIMULATED = {
    "flow": (f"{ROOT}/plugins/dbgsom-cyto/tests/simulated.py", "files", "--spillover"),
    "weather": (f"{ROOT}/plugins/dbgsom-geo/tests/simulated.py", "slp.nc"),
}


def wanted() -> dict[str, list[str]]:
    """Return the figures that README.md shows, by configuration."""
    found: dict[str, list[str]] = {}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for config, figure in re.findall(r"\(\.github/gallery/([\w-]+)-(\w+)\.png\)", readme):
        found.setdefault(config, []).append(figure)
    return found


def main() -> None:
    """Run the configurations in a temporary folder and keep their figures."""
    for config, figures in wanted().items():
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            only = {"figures": figures, "measures": [], "tracking": []}
            if config in SIMULATED:
                subprocess.run([sys.executable, *SIMULATED[config]], check=True)
                del only["figures"]  # its own say what values are called
            (file,) = [*ROOT.glob(f"configs/{config}.yaml"), *ROOT.glob(f"plugins/*/{config}.yaml")]
            made = dbgsom_core.run(file, overrides=only).figures
            for path in (path for path in made if path.stem in figures):
                with Image.open(path) as page:
                    page.thumbnail((WIDEST, page.height))
                    small = page.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
                to = GALLERY / f"{config}-{path.stem}.png"
                small.save(to, optimize=True)
                print(f"{to.relative_to(ROOT)}: {to.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
