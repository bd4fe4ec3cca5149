"""How long a map waits between births, so that its errors say where neurons are missing."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dbgsom_core.api import GrowthComponent, GrowthState, SomMap

_WAVES = 16
LINK_PULL = (
    "fine-tuning: how much a sample weighs in the linked neighbour of its best-matching unit that "
    "lies nearest to it; more lowers the topographic error and raises the quantization error; "
    "0: the plain batch update"
)


class SettlingGrowth(GrowthComponent):
    """Base of strategies that give the map time between births, and fine-tune it at the end."""

    when: Literal["waves", "settled", "every_epoch"] = Field(
        default="waves",
        description="waves: when a sixteenth of the growing phase has passed since the last birth, "
        "so that the size hardly depends on epochs; settled: also when the map has settled, which "
        "is the more often the longer it trains; or every_epoch",
    )
    settled_at: float = Field(
        default=0.02,
        gt=0,
        description="settled: the prototypes moved less than this share of the data's deviation; "
        "given alone it means when: settled",
    )
    smooth_before_growth: bool = Field(
        default=False,
        description="before neurons are born each prototype becomes the mean of its own and its "
        "linked neighbours', weighted by hits and kernel",
    )
    max_neurons: Annotated[int, Field(le=10**6)] | Literal["auto"] | None = Field(
        default="auto", description="the map never exceeds it; auto: 5*sqrt(samples); null: no cap"
    )
    fine_tuning: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="share of the epochs kept for fine-tuning without growth at the final width",
    )
    link_pull: float = Field(default=0.0, ge=0, le=1, description=LINK_PULL)

    @model_validator(mode="after")
    def _room_for_the_start(self) -> Self:
        if isinstance(self.max_neurons, int) and self.max_neurons < 4:
            raise ValueError(f"max_neurons must be at least 4, not {self.max_neurons}")
        return self

    @model_validator(mode="after")
    def _settled_at_means_settled(self) -> Self:
        given = self.model_fields_set
        if "settled_at" in given and "when" not in given:
            self.__dict__["when"] = "settled"
        return self

    def waits(self, som_map: SomMap, state: GrowthState) -> bool:
        """Say whether nothing is born yet, since the map has not had its time."""
        if self.when == "every_epoch" or state.movement == 0:  # waiting would change nothing
            return False
        if self.when == "settled" and state.movement <= self.settled_at:
            return False
        waited = state.epoch - int(som_map.birth_epochs[-1])  # rows are in order of birth
        return waited < state.epochs // _WAVES
