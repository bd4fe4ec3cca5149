"""System metrics of a run: processor and memory, with MLflow's names."""

from __future__ import annotations

import time
from collections.abc import Mapping

from dbgsom_core.api import DataError

_SECONDS = 1.0  # at least, between two looks
_MEGABYTE = 1e6


class SystemMetrics:
    """Looks at processor and memory, once a second at most.

    Raises
    ------
    DataError
        psutil is not installed.
    """

    def __init__(self) -> None:
        try:
            import psutil
        except ImportError as error:
            raise DataError("system_metrics needs psutil: pip install '.[system]'") from error
        self._psutil, self._process = psutil, psutil.Process()
        self._next = 0.0
        psutil.cpu_percent()  # the first is 0: it says what was since the last
        self._process.cpu_percent()

    def now(self) -> Mapping[str, float]:
        """Return the metrics; empty within a second of the last call."""
        if time.monotonic() < self._next:
            return {}
        self._next = time.monotonic() + _SECONDS
        memory = self._psutil.virtual_memory()
        own = self._process.memory_info().rss
        return {
            "system/cpu_utilization_percentage": float(self._psutil.cpu_percent()),
            "system/system_memory_usage_megabytes": (memory.total - memory.available) / _MEGABYTE,
            "system/system_memory_usage_percentage": float(memory.percent),
            "system/process_cpu_percentage": float(self._process.cpu_percent()),
            "system/process_memory_megabytes": own / _MEGABYTE,
        }
