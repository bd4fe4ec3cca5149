"""Building the runs of a sweep, each with every problem that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dbgsom_core.config.build import build_experiment
from dbgsom_core.config.experiment import Child, Experiment
from dbgsom_core.config.names import Varied, variant_name, variant_names
from dbgsom_core.config.nodes import Entry, Scalar, Section, plain
from dbgsom_core.config.optimize import Space
from dbgsom_core.config.problems import Problem, Problems
from dbgsom_core.config.sweep import apply
from dbgsom_core.plugins.registry import Registry


@dataclass
class ChildBuilder:
    """Builds children from a configuration without its ``sweep`` section.

    Parameters
    ----------
    base : Section
    registry : Registry
    source : str
    folder : Path
    seeds : int
        How many children each variant has.
    """

    base: Section
    registry: Registry
    source: str
    folder: Path
    seeds: int = 1
    _told: dict[Problem, list[str]] = field(default_factory=dict)

    def children(self, variants: Sequence[tuple[str, Varied]]) -> tuple[Child, ...]:
        """Return the children of all variants.

        Raises
        ------
        ConfigError
            Any of them cannot be; what several have in common is told once.
        """
        self._told.clear()
        folded = variant_names(variants)
        found = [
            child
            for (name, varied), variant in zip(variants, folded, strict=True)
            for child in self._variant(name, varied, variant)
        ]
        self._raise(len(variants))
        return tuple(found)

    def trial(
        self, space: Space, number: int, chosen: Mapping[str, int | float]
    ) -> tuple[Child, ...]:
        """Return the children of a search's trial, as `Optimization` has it."""
        varied = space.varied(chosen)
        return self.children([(f"{number}: {variant_name(varied)}", varied)])

    def _variant(self, name: str, varied: Varied, variant: str) -> list[Child]:
        first = self._experiment(name, varied)
        if first is None:
            return []
        if self.seeds == 1:
            return [Child(name, _shown(varied), first, variant)]
        place, children = self.base.place, []
        for seed in range(first.seed, first.seed + self.seeds):
            seeded = {**varied, "seed": Entry(place, Scalar(seed, place))}
            called = f"{name}, seed={seed}" if name else f"seed={seed}"
            experiment = self._experiment(called, seeded)
            if experiment is None:
                return []
            children.append(Child(called, _shown(seeded), experiment, variant))
        return children

    def _experiment(self, name: str, varied: Varied) -> Experiment | None:
        problems = Problems()
        root = apply(self.base, varied, problems)
        seed = root.get("seed")
        if self.seeds > 1 and isinstance(seed, Scalar) and "${env:" in str(seed.value):
            told = "must stand in the file, so that repeats can count on from it"
            problems.add(root.entries["seed"].place, "seed", told)
        experiment = build_experiment(root, self.registry, problems, self.source, self.folder)
        for problem in problems:
            self._told.setdefault(problem, []).append(name)
        return experiment

    def _raise(self, variants: int) -> None:
        problems = Problems()
        for problem, names in self._told.items():
            message = problem.message
            if len(names) < variants or variants == 1:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                message = f"{message} (in the run '{names[0]}'{more})"
            problems.add(problem.place, problem.path, message)
        problems.raise_any()


def _shown(varied: Varied) -> dict[str, object]:
    return {key: plain(entry.node) for key, entry in varied.items()}
