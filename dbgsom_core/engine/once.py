"""Properties that are found out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

Value = TypeVar("Value")


class once(Generic[Value]):  # noqa: N801 - as decorators are written
    """A property that is found out when it is first asked for, for what several threads ask.

    `functools.cached_property` of Python 3.11 has one lock for all instances of a class: threads
    wait for each other, and in a process that was forked meanwhile for ever. Here two threads that
    ask the same instance at once may both find it out.
    """

    def __init__(self, find: Callable[[Any], Value]) -> None:
        self._find, self.__doc__ = find, find.__doc__

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any]) -> Value: ...

    def __get__(self, instance: object | None, owner: type[Any]) -> Self | Value:
        if instance is None:
            return self
        found = vars(instance)[self._name] = self._find(instance)
        return found
