"""Stopping rules, and the state of a training that they get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from dbgsom_core.interfaces.component import Abilities, Component, is_flag, is_number, nested_fields
from dbgsom_core.interfaces.measures import MeasureAbilities

if TYPE_CHECKING:
    from dbgsom_core.interfaces.epochs import EpochRecord
    from dbgsom_core.interfaces.measures import Evaluation


class Stop(Enum):
    """What a callback returns to end the training: ``STOP``."""

    STOP = "stop"


STOP = Stop.STOP


@dataclass(frozen=True)
class StopState:
    """What a stopping rule sees after an epoch.

    Attributes
    ----------
    history : sequence of EpochRecord
        Those that ran, the last one just now.
    growing_epochs : int
        How many of the epochs the growing phase has; the others are the fine-tuning phase.
    is_final : bool
        Whether the kernel's width has reached its end.
    train : Evaluation
        The map beside the training samples, without targets unless the rule needs them.
    validation : Evaluation
        The map beside the samples that are held out for the rule's ``validation``, or ``train``.
        ``predictions`` are what the estimator would answer if the training ended now.
    watched : sequence of float
        What `watch` returned, an entry for each epoch; empty without it.
    """

    history: Sequence[EpochRecord]
    growing_epochs: int
    is_final: bool
    train: Evaluation
    validation: Evaluation
    watched: Sequence[float] = ()


@runtime_checkable
class StoppingRule(Protocol):
    """A stopping rule: says after each epoch whether the training of the map ends."""

    def stop(self, state: StopState) -> bool:
        """Return whether this epoch was the last one."""


class StoppingComponent(Component):
    """Base of stopping rules: the defaults of all but `stop`.

    Optional capabilities
        ``watch(state) -> float``: a number that stands in ``state.watched`` after each epoch,
        before `stop` is asked: what a rule remembers, in checkpoints, too.
        ``is_best(state) -> bool``: whether the map of this epoch is the one to keep so far, asked
        after `watch`: the last one of which a rule says so is what training leaves.
        ``validation`` (field): the share of the samples, in [0, 1), that training does not see.
        ``needs_target`` (attribute): whether it looks at targets or predictions; a rule with a
        `Nested` measure that needs them gets them without. Child maps without classes leave it out.
    """

    needs_target: ClassVar[bool] = False


@dataclass(frozen=True)
class StoppingAbilities(Abilities):
    """Capabilities of a stopping rule; see `StoppingComponent`."""

    kind: ClassVar[str] = "stopping"
    defaults: ClassVar[Component] = StoppingComponent()

    stop: Callable[[StopState], bool] | None = None
    watch: Callable[[StopState], float] | None = None
    is_best: Callable[[StopState], bool] | None = None
    needs_target: bool = False
    validation: float = 0.0

    def check(self) -> None:
        self.require("needs_target", "True or False", is_flag)
        self.require("validation", "a share in [0, 1)", lambda share: is_number(share, 0, 1))


def measures_of(rule: Any) -> list[Any]:
    """Return the measures in the fields of a component."""
    fields = nested_fields(type(rule)) if hasattr(type(rule), "model_fields") else {}
    return [getattr(rule, name) for name, kind in fields.items() if kind == "measure"]


def judges_targets(rule: Any) -> bool:
    """Return whether a stopping rule, or a measure in one of its fields, needs targets."""
    return StoppingAbilities.of(rule).needs_target or any(
        MeasureAbilities.of(measure).needs_target for measure in measures_of(rule)
    )
