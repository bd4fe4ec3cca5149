"""Writing the small files of a run folder, each at once or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbgsom_core.config import dump_yaml
from dbgsom_core.files import write_atomically


def plain(value: Any) -> Any:
    """Return ``value`` in JSON's types: numpy scalars unwrapped, numbers not finite as strings."""
    if type(value).__module__ == "numpy":
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)


def json_text(value: Any) -> str:
    """Return a JSON file's text; see `dbgsom_core.runs.folder.store` for numbers not finite."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; see `json_text` for numbers that are not finite."""
    write_text(path, json_text(value))


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Write a YAML file of plain values atomically, keys in their order."""
    write_text(path, dump_yaml(value))
