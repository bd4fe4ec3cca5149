"""A third party's early stopping on a validation measure, and its schedule."""

from typing import Annotated, Any

from pydantic import Field

from dbgsom_core.api import Component, Nested, StoppingComponent, hookimpl, measured

DBGSOM_API_VERSION = 1


class Worse(StoppingComponent):
    """A measure of held out samples is worse than in the epoch before."""

    measure: Annotated[Any, Nested("measure")] = Field(
        default="topographic_error", validate_default=True, description="what is measured"
    )
    validation: float = Field(default=0.2, ge=0, lt=1, description="share that is held out")

    def watch(self, state):
        """Return the measure."""
        return measured(self.measure, state.validation)

    def stop(self, state):
        """Return whether it got worse."""
        return len(state.watched) > 1 and state.watched[-1] > state.watched[-2]


class Sqrt(Component):
    """The width falls faster and faster."""

    def width(self, start, end, remaining):
        """Return the width in hops."""
        return end + (start - end) * remaining**0.5


@hookimpl
def dbgsom_stopping_rules():
    """Offer the rule."""
    return {"worse": Worse}


@hookimpl
def dbgsom_schedules():
    """Offer the schedule."""
    return {"sqrt": Sqrt}
