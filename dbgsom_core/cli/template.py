"""The plugin template, written as a distribution of its own."""

from __future__ import annotations

import re
from pathlib import Path

from dbgsom_core.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LEFT_OUT = {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}


def template_folder() -> Path:
    """Return the template: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "_template"
    return inside if inside.is_dir() else package.parent / "plugins" / "template"


def render(name: str, into: Path) -> Path:
    """Write a distribution ``dbgsom-NAME`` into a folder and return where it lies.

    The template is a distribution itself, called ``dbgsom-example``; only names are replaced.
    """
    short = name.lower().replace("_", "-").removeprefix("dbgsom-")
    if not _NAME.fullmatch(short) or short in ("core", "plugins"):
        raise ConfigError(
            f"'{name}' is no name for a plugin: use lower-case letters, digits and -, "
            "such as 'wavelets'"
        )
    target = into / f"dbgsom-{short}"
    if target.exists():
        raise ConfigError(f"{target} exists; choose another name, or --into another folder")
    module, source = short.replace("-", "_"), template_folder()

    def renamed(text: str) -> str:
        text = text.replace("example_", f"{module}_").replace("dbgsom_example", f"dbgsom_{module}")
        return text.replace("dbgsom-example", f"dbgsom-{short}")

    for file in sorted(source.rglob("*")):
        inside = file.relative_to(source)
        if file.is_file() and not _LEFT_OUT & set(inside.parts):
            written = target / renamed(str(inside))
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(renamed(file.read_text(encoding="utf-8")), encoding="utf-8")
    return target
