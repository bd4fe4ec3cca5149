"""The components of an estimator: built from parameters, and reached as ``component__field``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, ValidationError

from dbgsom_core.errors import ComponentError, DbgsomError, ParameterError, did_you_mean
from dbgsom_core.interfaces.component import Component, error_line, given_fields, nested_fields
from dbgsom_core.interfaces.metrics import MetricComponent
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.plugins.validation_messages import format_errors
from dbgsom_core.training.parts import KIND_OF, Parts, field_problem

if TYPE_CHECKING:
    from numpy.typing import NDArray


COSTS = ("false_positive", "false_negative")  # of answers, by which a threshold is chosen
AUTO = "auto"  # a spreading factor chosen on held-out samples
_ANY_FACTOR = 0.5  # in place of "auto" while the strategy is checked; it trains nothing
_UNNAMED = {"engine": "local"}  # the component of a mapping without a name, by its kind
_IN_MEMORY = ("numpy", "pandas", "scipy", "builtins")  # packages without an engine of their name


class FunctionMetric(MetricComponent):
    """A function of two samples (D,) that returns their distance; it is called for each pair."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    function: Callable[..., Any] = Field(description="takes two samples, returns their distance")

    def pairwise(self, X: NDArray[Any], prototypes: NDArray[Any]) -> NDArray[Any]:
        import numpy as np  # slow to import

        from dbgsom_core.interfaces.validation import distances

        answers = np.empty((len(X), len(prototypes)))
        try:
            for i, j in np.ndindex(answers.shape):
                answers[i, j] = self.function(X[i], prototypes[j])
            return distances(answers, answers.shape)
        except Exception as error:
            raise ComponentError(f"metric, {self!r}: {error_line(error)}") from error

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return f"the function {self.function.__module__}.{name}"


def check_threshold(threshold: Any) -> None:
    """Raise ParameterError for what decides between two classes in no way."""
    if isinstance(threshold, Real):
        is_right = 0 <= _as_number(threshold) <= 1
    elif isinstance(threshold, Mapping) and [*threshold] == ["recall"]:
        is_right = 0 < _as_number(threshold["recall"]) <= 1
    elif isinstance(threshold, Mapping) and [*threshold] == ["cost"]:
        costs = threshold["cost"]
        is_right = isinstance(costs, Mapping) and costs.keys() == {*COSTS}
        if is_right:
            numbers = [_as_number(cost) for cost in costs.values()]
            is_right = all(0 <= number < math.inf for number in numbers) and any(numbers)
    else:
        is_right = isinstance(threshold, str) and threshold == "balanced"
    if not is_right:
        raise ParameterError(
            f"threshold must be a number from 0 to 1, 'balanced', {{'recall': a number above 0 "
            "and at most 1}, or {'cost': {'false_positive': a number, 'false_negative': a number}} "
            f"with numbers of at least 0, not both 0; not {threshold!r}",
            "threshold",
        )


def _as_number(value: Any) -> float:
    return float(value) if isinstance(value, Real) else math.nan


def build_parts(params: Mapping[str, Any]) -> Parts:
    built = {param: build_param(param, params[param]) for param in KIND_OF if param != "growth"}
    return Parts(growth=build_growth(params), **built)


def build_growth(params: Mapping[str, Any]) -> Any:
    """Build the growth strategy with the estimator's parameters; raises as `build_parts`."""
    growth = build_param("growth", params["growth"])
    for field in ("spreading_factor", "max_neurons"):
        growth = _fill(growth, field, params[field])
    return growth


def build_param(param: str, spec: Any) -> Any:
    """Build the component of a parameter; an array, None and a list are short forms."""
    kind = KIND_OF[param]
    if param == "metric" and callable(spec) and not isinstance(spec, (Component, type)):
        return FunctionMetric(function=spec)
    if param == "init" and (hasattr(spec, "__array__") or isinstance(spec, (list, tuple))):
        return spec
    if param == "schedule" and spec is None:
        return None
    if param == "stopping":
        if spec is None:
            return ()
        rules = spec if isinstance(spec, (list, tuple)) else [spec]
        return tuple(build(kind, rule, param) for rule in rules)
    return build(kind, spec, param)


def build(kind: str, spec: Any, where: str = "") -> Any:
    """Build one component; messages name it by ``where``; raises as `build_param`."""
    if isinstance(spec, Mapping) and kind in _UNNAMED:
        spec = {"name": _UNNAMED[kind], **spec}
    try:
        return get_registry().build(kind, spec)
    except ValidationError as error:
        raise _in_words(error, component_class(kind, spec), spec, where or kind) from None


def engine_for(engine: Any, X: Any) -> Any:
    """Return the engine for X: instead of the default the one named like X's package (dask)."""
    if engine != _UNNAMED["engine"]:
        return engine
    package = re.split(r"\W|_", type(X).__module__, maxsplit=1)[0]
    named = package not in _IN_MEMORY and package in get_registry().names("engine")
    return package if named else engine


def computed(values: Any) -> Any:
    """Return values, computed if they are a lazy collection."""
    return values.compute() if hasattr(values, "__dask_graph__") else values


def component_spec(kind: str, spec: Any) -> Any:
    """Return a component's name and given fields in plain values, from which it can be built."""
    component = build(kind, spec)
    name = get_registry().identify(kind, component).shortest_name
    left_out = set(component.of_this_machine)
    fields = component.model_dump(mode="json", exclude_unset=True, exclude=left_out)
    return {"name": name, **fields} if fields else name


def component_class(kind: str, spec: Any) -> type[Component] | None:
    """Return the class of a component given as name, mapping or instance, or None."""
    if isinstance(spec, Component):
        return type(spec)
    name = spec.get("name", _UNNAMED.get(kind)) if isinstance(spec, Mapping) else spec
    if not isinstance(name, str):
        return None
    try:
        return get_registry().find(kind, name)
    except DbgsomError:  # `fit` raises it
        return None


def fields_of(kind: str, spec: Any) -> dict[str, Any]:
    """Return the fields of a component, those of nested components as ``field__inner``."""
    cls = component_class(kind, spec)
    if cls is None:
        return {}
    if not isinstance(spec, Component):  # values may be wrong until a fit validates them
        values = spec if isinstance(spec, Mapping) else {}
        spec = cls.model_construct(**values)
    fields = {field: getattr(spec, field, None) for field in cls.model_fields}
    for field, nested_kind in nested_fields(cls).items():
        for name, value in fields_of(nested_kind, fields[field]).items():
            fields[f"{field}__{name}"] = value
    return fields


def with_field(part: str, kind: str, spec: Any, field: str, value: Any) -> Any:
    """Return a component (name, mapping or instance) with a new value of one field."""
    cls = component_class(kind, spec)
    if cls is not None:
        outer, is_nested, inner = field.partition("__")
        nested_kind = nested_fields(cls).get(outer)
        if is_nested and nested_kind is not None:
            nested = fields_of(kind, spec)[outer]
            value = with_field(nested_kind, nested_kind, nested, inner, value)
            field = outer
        if field not in cls.model_fields:
            known = ", ".join(cls.model_fields) or "none"
            hint = did_you_mean(field, cls.model_fields) or f"; known: {known}"
            raise ValueError(f"invalid parameter '{field}' for {part} {cls.__name__}{hint}")
    if isinstance(spec, Component):
        return spec.model_copy(update={field: value})
    given = spec if isinstance(spec, Mapping) else {"name": spec}
    return {**given, field: value}


def _fill(growth: Any, field: str, value: Any) -> Any:
    # The strategy with an estimator's parameter as a field, of its base where it has one.
    if value is None:
        return growth
    misfit = field_problem(growth, field, value)
    if misfit is not None:
        raise ParameterError(misfit, field)
    strategy, values = type(growth), given_fields(growth)
    is_chosen_later = False
    if field in strategy.model_fields:
        is_chosen_later = field == "spreading_factor" and value == AUTO
        values[field] = _ANY_FACTOR if is_chosen_later else value
    else:
        values["base"] = _fill(growth.base, field, value)
    try:
        filled = strategy.model_validate(values)
    except ValidationError as error:
        raise _in_words(error, strategy, values, "growth") from None
    return growth if is_chosen_later else filled


def _in_words(error: ValidationError, cls: Any, spec: Any, where: str) -> ParameterError:
    # Errors of pydantic as sentences that name fields by ``where``.
    given = given_fields(spec) if isinstance(spec, Component) else spec
    return ParameterError("; ".join(format_errors(error, cls, given, where)), where)
