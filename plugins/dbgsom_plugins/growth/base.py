"""How long a map waits between births, and which neurons it loses where growth ends."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, model_validator

from dbgsom_core.api import Birth, Death, GrowthComponent, GrowthState, SomMap

_WAVES = 16
_WAVE = 5  # epochs, at most
_ENDS = 8  # neurons of a line from which on its waves are shorter
LINK_PULL = (
    "fine-tuning: how much a sample weighs in the linked neighbour of its best-matching unit that "
    "lies nearest to it; more lowers the topographic error and raises the quantization error; "
    "0: the plain batch update, as on a line of one column, which is in order"
)


class SettlingGrowth(GrowthComponent):
    """Base of strategies that give the map time between births, prune it, and fine-tune it.

    With ``prune``, neurons that won nothing for so many epochs die where growth ends, those that
    won nothing for longest first. Fritzke (1994) removes the cells of a growing cell structure
    whose share of the samples, for their size, is below a threshold: this is the threshold 0.
    """

    when: Literal["waves", "settled", "every_epoch"] = Field(
        default="waves",
        description="waves: when a sixteenth of the growing phase has passed since the last birth, "
        "which with fine_tuning is 80 epochs at most, so that from 100 epochs on the size does not "
        "depend on epochs, and on a line of K neurons, born at two ends alone, 8/K of that; "
        "settled: also when the map has settled, which is the more often the longer it trains; or "
        "every_epoch",
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
    max_neurons: Annotated[int, Field(ge=4, le=10**6)] | Literal["auto"] | None = Field(
        default="auto",
        description="the map never exceeds it; auto: 5*sqrt(samples), at most 10000; null: no cap",
    )
    fine_tuning: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="share of the epochs kept for fine-tuning without growth at the final width; "
        "with when: waves it takes what is left after 80 epochs, too",
    )
    link_pull: float = Field(default=0.0, ge=0, le=1, description=LINK_PULL)
    prune: int | None = Field(
        default=None,
        ge=1,
        le=10**6,
        description="where growth ends, before fine-tuning, neurons die that won no sample for so "
        "many epochs; null: none",
    )
    may_disconnect: bool = Field(
        default=False,
        description="prune: neurons die, too, without which the map falls apart; parts of it then "
        "show clusters",
    )
    _won: NDArray[np.int64] | None = PrivateAttr(None)  # the epoch in which each neuron last did

    @model_validator(mode="after")
    def _disconnects_by_pruning(self) -> Self:
        if self.may_disconnect and self.prune is None:
            raise ValueError("may_disconnect has no effect without prune; give prune: 5, say")
        return self

    @model_validator(mode="after")
    def _settled_at_means_settled(self) -> Self:
        given = self.model_fields_set
        if "settled_at" in given and "when" not in given:
            self.__dict__["when"] = "settled"
        return self

    @property
    def removes(self) -> bool:
        """Whether it takes neurons away."""
        return self.prune is not None

    @property
    def growing_epochs(self) -> int | None:
        """After how many epochs fine-tuning begins at the latest."""
        return _WAVES * _WAVE if self.when == "waves" else None

    def grow(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth | Death]:
        """Return the deaths where growth ends, or the births of an epoch that does not wait."""
        if self.prune is not None and (deaths := self._deaths(som_map, state)):
            return deaths
        return () if self.waits(som_map, state) else self.births(som_map, state)

    @abstractmethod
    def births(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth]:
        """Return the births of an epoch."""

    def remembered(self) -> Any:
        """Return what `prune` keeps of earlier epochs."""
        return self._won

    def remember(self, value: Any) -> None:
        """Take it back."""
        self._won = value

    def renumber(self, rows: NDArray[np.int64]) -> None:
        """Follow the neurons to their new rows; somebody wins something in every epoch."""
        if self._won is not None:
            self._won = np.where(rows < 0, self._won.max(), self._won[rows])

    def _deaths(self, som_map: SomMap, state: GrowthState) -> list[Death]:
        won = som_map.birth_epochs if self._won is None else self._won
        self._won = won = np.where(np.asarray(state.hits) > 0, state.epoch, won)
        if self.prune is None or state.epoch < state.epochs - 1:
            return []
        kept = np.ones(len(som_map), dtype=bool)
        idle = np.flatnonzero(state.epoch - won >= self.prune)
        idle = idle[np.argsort(won[idle], kind="stable")]
        if self.may_disconnect:
            return [Death(int(neuron)) for neuron in idle]
        apart = int(som_map.parts().max())
        before = -1
        while before != kept.sum():  # without one that went, another may go
            before = int(kept.sum())
            for neuron in idle[kept[idle]].tolist():
                kept[neuron] = False
                kept[neuron] = som_map.parts(kept).max() > apart
        return [Death(int(neuron)) for neuron in np.flatnonzero(~kept)]

    def waits(self, som_map: SomMap, state: GrowthState) -> bool:
        """Say whether nothing is born yet, since the map has not had its time."""
        if self.when == "every_epoch" or state.movement == 0:  # waiting would change nothing
            return False
        if self.when == "settled" and state.movement <= self.settled_at:
            return False
        waited = state.epoch - int(som_map.birth_epochs[-1])  # rows are in order of birth
        wave = state.epochs // _WAVES
        if som_map.grid.is_line:  # whose two ends are the less of it, the longer it is
            wave = min(wave, _ENDS * wave // len(som_map))
        return waited < wave
