"""A stopping rule."""

from pydantic import Field

from dbgsom_core.api import StoppingComponent


class SmallEnough(StoppingComponent):
    """The quantization error has come down to a share of what it was at first."""

    share: float = Field(default=0.3, gt=0, lt=1, description="of the first epoch's error")

    def stop(self, state):
        """Return whether the epoch that just ran was the last one."""
        first, last = state.history[0], state.history[-1]
        return last.quantization_error <= self.share * first.quantization_error
