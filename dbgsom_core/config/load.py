"""The ways in: a file that is one run, a file that is a sweep, or Python values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dbgsom_core.config.build import build_experiment, reject
from dbgsom_core.config.children import ChildBuilder
from dbgsom_core.config.decide import check_decide, decide_settings
from dbgsom_core.config.experiment import Experiment, Optimization, Sweep
from dbgsom_core.config.files import read_file
from dbgsom_core.config.merge import merge
from dbgsom_core.config.nodes import Entry, Section, Spot, from_python, is_null, plain
from dbgsom_core.config.overrides import overlay
from dbgsom_core.config.problems import Place, Problems
from dbgsom_core.config.reader import read_yaml
from dbgsom_core.config.sweep import unfold
from dbgsom_core.plugins.registry import Registry, get_registry

_PYTHON = "<python>"


def load_experiment(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
) -> Experiment:
    """Return the experiment that a YAML file describes.

    Parameters
    ----------
    path : path
    overrides : sequence of str
        ``key=value`` as after ``--set``: a dotted key and a YAML value, written over the file.
    registry : Registry, optional
        Where components come from; the installed plugins without it.

    Raises
    ------
    ConfigError
        One line for each problem: ``file:line:column: key.path: what is wrong``.
    PluginError
        A plugin that the file uses is broken or ambiguous.
    """
    problems = Problems()
    root = merged(path, overrides, problems)
    told = f"this file describes several runs; use 'dbgsom sweep {os.fspath(path)}'"
    root = reject(root, "sweep", told, problems)
    return _built(root, registry, problems, os.fspath(path), folder_of(path))


def load_sweep(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
) -> Sweep:
    """Return the sweep that a YAML file describes; every child is validated.

    Parameters and errors are those of `load_experiment`; a file without a ``sweep`` section is a
    `ConfigError`.
    """
    problems = Problems()
    root = merged(path, overrides, problems)
    entry = root.entries.get("sweep")
    if entry is None or is_null(entry.node):
        told = f"is required by 'dbgsom sweep'; for a single run use 'dbgsom run {os.fspath(path)}'"
        problems.add(Place(os.fspath(path), 1, 1), "sweep", told)
        raise problems.error()
    return _swept(root, entry, registry, problems, os.fspath(path), folder_of(path))


def is_sweep(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> bool:
    """Say whether a YAML file describes a sweep; raises `ConfigError` if it cannot be read."""
    problems = Problems()
    root = merged(path, overrides, problems)
    return not is_null(root.get("sweep"))


def parse_experiment(
    values: Mapping[str, Any], registry: Registry | None = None, overrides: Sequence[str] = ()
) -> Experiment:
    """Return the experiment that plain Python values describe, keys as in YAML.

    ``registry`` and ``overrides`` are those of `load_experiment`.

    Raises
    ------
    ConfigError
        One line for each problem: ``key.path: what is wrong``.
    PluginError
        A plugin that the values use is broken or ambiguous.
    """
    problems = Problems()
    root = _section_of(values, overrides, problems)
    root = reject(root, "sweep", "this describes several runs; use sweep()", problems)
    return _built(root, registry, problems, _PYTHON, Path.cwd())


def parse_sweep(
    values: Mapping[str, Any], registry: Registry | None = None, overrides: Sequence[str] = ()
) -> Sweep:
    """Return the sweep that plain Python values describe, keys as in YAML.

    Parameters and errors are those of `parse_experiment`; values without a ``sweep`` section are a
    `ConfigError`.
    """
    problems = Problems()
    root = _section_of(values, overrides, problems)
    entry = root.entries.get("sweep")
    if entry is None or is_null(entry.node):
        problems.add(Place(""), "sweep", "is required; for a single run use run()")
        raise problems.error()
    return _swept(root, entry, registry, problems, _PYTHON, Path.cwd())


def read_plain(text: str, source: str) -> Any:
    """Return the plain values of a YAML text, None where it is empty; nothing is filled or merged.

    Raises
    ------
    ConfigError
        It is no YAML, unsafe or too large; ``source`` names it.
    """
    problems = Problems()
    node = read_yaml(text, problems, source, quick=True)
    problems.raise_any()
    return None if node is None else plain(node)


def _section_of(values: Mapping[str, Any], overrides: Sequence[str], problems: Problems) -> Section:
    root = from_python(values, problems)
    if not isinstance(root, Section):
        problems.add(Place(""), "", "a configuration is a mapping of keys to values")
        raise problems.error()
    root = merge(root, overlay(overrides, problems), problems)
    return reject(root, "extends", "can only be written in a file", problems)


def _swept(
    root: Section,
    entry: Entry,
    registry: Registry | None,
    problems: Problems,
    source: str,
    folder: Path,
) -> Sweep:
    spot = Spot("sweep", entry.place, entry.node)
    unfolded, decide = unfold(spot, problems), decide_settings(spot, problems)
    problems.raise_any()
    registry = registry or get_registry()
    builder = ChildBuilder(root.without("sweep"), registry, source, folder, unfolded.seeds)
    children = builder.children(unfolded.variants)
    check_decide(spot, decide, children, registry, problems)
    problems.raise_any()
    space = unfolded.space
    return Sweep(
        experiment=children[0].experiment.experiment,
        children=children,
        resolved=plain(root, masked=True),
        source=source,
        folder=folder,
        decide=decide,
        seeds=unfolded.seeds,
        optimization=None if space is None else Optimization(space, partial(builder.trial, space)),
    )


def _built(
    root: Section, registry: Registry | None, problems: Problems, source: str, folder: Path
) -> Experiment:
    experiment = build_experiment(root, registry or get_registry(), problems, source, folder)
    problems.raise_any()
    assert experiment is not None
    return experiment


def merged(path: str | os.PathLike[str], overrides: Sequence[str], problems: Problems) -> Section:
    """Return the section of a file, those that it extends and overrides; nothing is filled."""
    root = read_file(path, problems)
    return merge(root, overlay(overrides, problems), problems)


def folder_of(path: str | os.PathLike[str]) -> Path:
    """Return the folder in which relative paths of a file start."""
    return Path(path).resolve().parent
