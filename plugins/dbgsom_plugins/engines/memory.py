"""The memory that this process may take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def memory() -> float:
    """Return how many bytes of memory this process may take; infinity where nothing says so.

    Those of the machine, or fewer where a control group (of a container, say) or a limit of the
    process allows no more.
    """
    try:
        machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        machine = float("inf")
    return min([machine, *_process_limits(), *_group_limits()])


def _process_limits() -> Iterator[float]:
    with suppress(ImportError):  # Windows
        import resource

        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            most = resource.getrlimit(kind)[0]
            if most != resource.RLIM_INFINITY:
                yield float(most)


def _group_limits(
    groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> Iterator[float]:
    """Yield the limits of the control groups of this process and of those above.

    Lines are number:kinds:path. A container may see its own group as the root of all.
    """
    try:
        lines = os.fsdecode(groups.read_bytes()).split("\n")  # names may be of any bytes
    except OSError:
        return
    for _, kinds, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if not kinds or "memory" in kinds.split(","):
            name = "memory.limit_in_bytes" if kinds else "memory.max"
            group = root / kinds / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(root / kinds):
                    with suppress(OSError, ValueError):  # no such file; "max"
                        yield float((folder / name).read_text())
