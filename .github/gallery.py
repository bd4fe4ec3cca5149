"""Draw the figures of README.md anew, each from its configuration: ``python .github/gallery.py``.

``.github/gallery/CONFIG-FIGURE.png`` is figure FIGURE of ``configs/CONFIG.yaml``.
"""

import re
import tempfile
from contextlib import chdir
from pathlib import Path

from PIL import Image

import dbgsom_core

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / ".github" / "gallery"
COLOURS = 256  # of the palette, which keeps files small


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
            made = dbgsom_core.run(ROOT / "configs" / f"{config}.yaml", overrides=only).figures
            for path in made:
                with Image.open(path) as page:
                    small = page.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
                to = GALLERY / f"{config}-{path.stem}.png"
                small.save(to, optimize=True)
                print(f"{to.relative_to(ROOT)}: {to.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
