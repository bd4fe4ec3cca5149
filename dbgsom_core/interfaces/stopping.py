"""Stopping rules, and the state of a training that they get."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from dbgsom_core.interfaces.component import Component, default, guarded, nested_fields

if TYPE_CHECKING:
    from dbgsom_core.interfaces.context import EpochRecord
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


class StoppingComponent(Component):
    """Base of stopping rules: they say after each epoch whether the training of the map ends.

    Attributes
    ----------
    needs_target : bool
        Whether it looks at targets or predictions; a rule with a `Nested` measure that needs them
        gets them without. Child maps without classes leave it out.
    watch : method ``(state) -> float``, or None
        A number that stands in ``state.watched`` after each epoch, before `stop` is asked: what a
        rule remembers, in checkpoints, too.
    is_best : method ``(state) -> bool``, or None
        Whether the map of this epoch is the one to keep so far, asked after ``watch``: the last one
        of which a rule says so is what training leaves.
    """

    KIND: ClassVar[str] = "stopping"
    needs_target: ClassVar[bool] = False
    watch: ClassVar[Callable[..., float] | None] = None
    is_best: ClassVar[Callable[..., bool] | None] = None

    @default
    def validation(self) -> float:
        """The share of the samples, in [0, 1), that training does not see; may be a field."""
        return 0.0

    @abstractmethod
    def stop(self, state: StopState) -> bool:
        """Return whether this epoch was the last one."""


def measures_of(rule: Any) -> list[Any]:
    """Return the measures in the fields of a component."""
    fields = nested_fields(rule.__class__)
    return [getattr(rule, name) for name, kind in fields.items() if kind == "measure"]


def judges_targets(rule: Any) -> bool:
    """Return whether a stopping rule, or a measure in one of its fields, needs targets."""
    needs_target: bool = guarded(rule).needs_target
    return needs_target or any(guarded(measure).needs_target for measure in measures_of(rule))
