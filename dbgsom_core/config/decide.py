"""The ``decide`` section of a sweep: what "best" means, held against what its runs measure."""

from __future__ import annotations

from collections.abc import Sequence

from dbgsom_core.config.check import check
from dbgsom_core.config.experiment import Child, Experiment
from dbgsom_core.config.nodes import Section, Spot, is_null
from dbgsom_core.config.problems import Problems
from dbgsom_core.config.settings import DecideSettings
from dbgsom_core.errors import UnknownNameError
from dbgsom_core.plugins.offers import Offered
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry
from dbgsom_core.training.compatibility import measured_by_default


def decide_settings(sweep: Spot, problems: Problems) -> DecideSettings:
    """Return the ``decide`` section of the ``sweep`` section at a spot, all defaults without it."""
    if not isinstance(sweep.node, Section) or is_null(sweep.node.get("decide")):
        return DecideSettings()
    spot = sweep / "decide"
    if not isinstance(spot.node, Section):
        problems.add(spot.node.place, spot.path, "must be a section of 'key: value' lines")
        return DecideSettings()
    return check(DecideSettings, spot, problems) or DecideSettings()


def check_decide(
    sweep: Spot,
    decide: DecideSettings,
    children: Sequence[Child],
    registry: Registry,
    problems: Problems,
) -> None:
    """Add a problem where a child does not measure what shall decide."""
    if decide.measure is not None:
        spot, name = sweep / "decide" / "measure", decide.measure
        part, _, bare = name.rpartition("/")
        if part:
            told = f"is a measure without its part: write '{bare}', and '{part}' as 'split'"
            problems.add(spot.node.place, spot.path, told)
            return
        try:
            offered = registry.lookup("measure", name)
        except UnknownNameError as error:
            problems.add(spot.node.place, spot.path, str(error))
            return
        lacking = [one.name for one in children if not _measures(one.experiment, name, offered)]
        if lacking:
            told = f"'{name}' is not measured: add it to 'measures', where it suits the estimator"
            problems.add(spot.node.place, spot.path, told + _where(lacking, children))
    if decide.split == "test":
        spot = sweep / "decide" / "split"
        lacking = [one.name for one in children if one.experiment.split is None]
        if lacking:
            told = "there is no test part; divide the data by 'split'"
            problems.add(spot.node.place, spot.path, told + _where(lacking, children))


def _measures(experiment: Experiment, name: str, offered: Offered) -> bool:
    if experiment.measures is not None:
        return name in [one for one, _ in experiment.measures]
    own = offered.distribution == OWN_DISTRIBUTION
    return own and measured_by_default(offered.load(), experiment.model.estimator)


def _where(lacking: Sequence[str], children: Sequence[Child]) -> str:
    if len(lacking) == len(children):
        return ""
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f" (in the run '{lacking[0]}'{more})"
