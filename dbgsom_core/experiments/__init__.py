"""What runs and their parts need beyond a fit: data sets, trackers, callbacks of runs.

Importing this package adds the kinds ``dataset`` and ``tracker`` to the registry.
"""

from __future__ import annotations

from dbgsom_core.experiments.datasets import DatasetComponent
from dbgsom_core.experiments.trackers import TrackerComponent
from dbgsom_core.plugins.registry import BASES

BASES["dataset"] = DatasetComponent
BASES["tracker"] = TrackerComponent
