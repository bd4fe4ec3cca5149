"""Where trackers show compared runs beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from dbgsom_core.config import fill_text
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.interfaces.trackers import TrackerAbilities
from dbgsom_core.plugins.registry import Registry, get_registry

if TYPE_CHECKING:
    from dbgsom_core.runs.comparing.compared import Compared
    from dbgsom_core.runs.folder import StoredRun

log = private_logger("dbgsom")

_MOST_NAMED = 8  # an address that names more is longer than a screen is wide


def compare_links(comparison: Compared, registry: Registry | None = None) -> list[str]:
    """Return what each tracker says of how to compare the runs; nothing where it lacks them."""
    registry = registry or get_registry()
    by_id = {run.id: run for run in comparison.runs}
    rows = [row for table in comparison.tables for row in table.ranked]
    seeds = zip_longest(*(row.runs for row in rows))  # one of each variant, then the next
    runs = [by_id[one] for several in seeds for one in several if one is not None]
    trackers: dict[str, list[StoredRun]] = {}
    for run in runs:
        listed = run.config.get("tracking")
        for section in listed if isinstance(listed, list) else [listed]:
            if section:
                key = json.dumps(section, sort_keys=True, default=str)
                trackers.setdefault(key, []).append(run)
    found = []
    for key, several in trackers.items():
        try:
            tracker = registry.build("tracker", _filled(json.loads(key)))
            how = TrackerAbilities.of(tracker).how_to_compare
            told = None if how is None else how(_shown(several))
        except Exception as error:  # runs of long ago, or of another machine
            log.debug("no link: %s", error)
        else:
            found += [told] if told else []
    return list(dict.fromkeys(found))


def _shown(runs: Sequence[StoredRun]) -> list[tuple[str, str]]:
    # Of many the sweep that they all are of, which trackers know as one.
    sweeps = {run.parent for run in runs}
    if len(runs) > _MOST_NAMED and len(sweeps) == 1 and None not in sweeps:
        return [(runs[0].experiment, str(sweeps.pop()))]
    return [(run.experiment, run.id) for run in runs]


def _filled(section: Any) -> Any:
    if isinstance(section, Mapping):
        return {key: _filled(value) for key, value in section.items()}
    return fill_text(section) if isinstance(section, str) else section
