"""The ``decide`` section of a sweep: what "best" means, held against what its runs measure."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from dbgsom_core.config.check import check
from dbgsom_core.config.experiment import Child, Experiment
from dbgsom_core.config.nodes import Section, Spot, is_null, plain
from dbgsom_core.config.problems import Problems
from dbgsom_core.config.settings import DecideSettings
from dbgsom_core.errors import UnknownNameError
from dbgsom_core.plugins.offers import Offered
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry
from dbgsom_core.training.compatibility import measured_by_default

_SAID = ("measure", "direction")  # by optimize, too


def decide_settings(sweep: Spot, problems: Problems) -> DecideSettings:
    """Return the ``decide`` section of the ``sweep`` section at a spot, all defaults without it.

    What ``optimize`` says of measure and direction holds for it, too.
    """
    if not isinstance(sweep.node, Section):
        return DecideSettings()
    said = _optimized(sweep)
    if is_null(sweep.node.get("decide")):
        return said
    spot = sweep / "decide"
    if not isinstance(spot.node, Section):
        problems.add(spot.node.place, spot.path, "must be a section of 'key: value' lines")
        return said
    decide = check(DecideSettings, spot, problems) or DecideSettings()
    for key in said.model_fields_set & decide.model_fields_set:
        problems.add((spot / key).key_place, f"{spot.path}.{key}", "is said by optimize already")
    return decide.model_copy(update={key: getattr(said, key) for key in said.model_fields_set})


def _optimized(sweep: Spot) -> DecideSettings:
    # Wrong values are told where the section is read.
    section = sweep.node.get("optimize") if isinstance(sweep.node, Section) else None
    if not isinstance(section, Section):
        return DecideSettings()
    said = {key: plain(section.entries[key].node) for key in _SAID if key in section.entries}
    try:
        return DecideSettings.model_validate({k: v for k, v in said.items() if v is not None})
    except ValidationError:
        return DecideSettings()


def check_decide(
    sweep: Spot,
    decide: DecideSettings,
    children: Sequence[Child],
    registry: Registry,
    problems: Problems,
) -> None:
    """Add a problem where a child does not measure what shall decide."""
    if decide.measure is not None:
        optimize = sweep.node.get("optimize") if isinstance(sweep.node, Section) else None
        by_search = isinstance(optimize, Section) and "measure" in optimize.entries
        spot = sweep / ("optimize" if by_search else "decide") / "measure"
        name = decide.measure
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
