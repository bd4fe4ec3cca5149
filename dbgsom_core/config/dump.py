"""Writing plain values as YAML that reads back as the same values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from dbgsom_core.config.scalars import read_scalar


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # PyYAML quotes what YAML 1.1 would misread; 1e-3 and 0o10 are text there but numbers in 1.2
    style = None if isinstance(_meaning(value), str) else "'"
    if any(mark in value for mark in "\n\x85\u2028\u2029"):  # the last three break lines in 1.1
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _meaning(text: str) -> Any:
    try:
        return read_scalar(text)
    except ValueError:
        return None


_Dumper.add_representer(str, _text)


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Return YAML text of plain values, in their order, that `load_experiment` reads back."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def dump_inline(value: Any) -> str:
    """Return plain values as YAML on one line that stands after ``key:``."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")
