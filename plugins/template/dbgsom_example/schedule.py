"""A schedule of the kernel's width."""

import math

from pydantic import Field

from dbgsom_core.api import ScheduleComponent


class Steps(ScheduleComponent):
    """The width stays the same for a while, and then falls at once."""

    steps: int = Field(default=4, ge=1, description="how many widths there are")

    def width(self, start, end, remaining):
        """Return the width in hops while a share ``remaining`` of the growing phase is left."""
        level = math.ceil(remaining * self.steps) / self.steps
        return end * (start / end) ** level
