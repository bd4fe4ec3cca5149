"""The replaceable parts of an estimator: parameters that reach inside, and building them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Self

from pydantic import ValidationError

from dbgsom_core.errors import DbgsomError, did_you_mean
from dbgsom_core.interfaces.component import Component, given_fields, nested_fields
from dbgsom_core.interfaces.engine import Engine
from dbgsom_core.interfaces.metrics import Metric
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.plugins.validation_messages import sentences
from dbgsom_core.training.compatibility import why_not_filled
from dbgsom_core.training.parts import KIND_OF, Absent, Parts

AUTO = "auto"  # a spreading factor that is chosen by samples that are held out
_ANY_FACTOR = 0.5  # to see whether the strategy reads one
NOTHING: Mapping[str, Any] = MappingProxyType({})
_UNNAMED = {"engine": "local"}  # what a mapping without a name means


class PartParams:
    """scikit-learn's ``part__field`` access for parts given as name, mapping or instance.

    A part is replaced as a value, never changed; its fields are validated in ``fit``.
    """

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        # scikit-learn reads the constructor's signature anew each time, which takes 0.1 ms.
        names: list[str] = super()._get_param_names()  # type: ignore[misc]
        return names

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with ``deep`` also ``part__field`` for every part."""
        params: dict[str, Any] = super().get_params(deep=False)  # type: ignore[misc]
        if deep:
            for part, kind in KIND_OF.items():
                for field, value in _fields_of(kind, params[part]).items():
                    params[f"{part}__{field}"] = value
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, ``part__field`` among them, and return the estimator.

        Raises
        ------
        ValueError
            There is no such parameter, or the part has no such field.
        """
        inner = {key: params.pop(key) for key in list(params) if _is_inner(key)}
        super().set_params(**params)  # type: ignore[misc]
        for key, value in sorted(inner.items(), key=lambda item: item[0].count("__")):
            part, _, field = key.partition("__")
            spec = getattr(self, part)
            setattr(self, part, _with_field(part, KIND_OF[part], spec, field, value))
        return self


def build_parts(params: Mapping[str, Any], absent: Mapping[str, Absent] = NOTHING) -> Parts:
    """Build the parts that the parameters of an estimator name, but for those that are ``absent``.

    Raises
    ------
    ValueError
        A part does not exist, one of its fields is wrong, or ``spreading_factor`` or
        ``max_neurons`` contradicts the growth strategy.
    """
    built: dict[str, Any] = dict(absent)
    for param in KIND_OF:
        if param not in absent and param != "growth":
            built[param] = built_param(param, params[param])
    if "growth" not in absent:
        built["growth"] = build_growth(params)
    return Parts(**built)


def build_growth(params: Mapping[str, Any]) -> Any:
    """Build the growth strategy, with what the estimator fills in; raises as `build_parts`."""
    growth = built_param("growth", params["growth"])
    for field in ("spreading_factor", "max_neurons"):
        growth = _fill(growth, field, params[field])
    return growth


def built_param(param: str, spec: Any) -> Any:
    """Return the part that a parameter means; an array, none and a list are short forms.

    Raises
    ------
    PluginError, ValueError
        It cannot be had, or one of its fields is wrong.
    """
    kind = KIND_OF[param]
    if param == "metric" and callable(spec) and not isinstance(spec, (Component, type)):
        from dbgsom_core.estimators.function_metric import FunctionMetric  # numpy is slow to import

        return FunctionMetric(function=spec)
    if param == "stopping":
        rules = [] if spec is None else spec if isinstance(spec, (list, tuple)) else [spec]
        return tuple(_build(kind, one, param) for one in rules)
    array = param == "init" and (hasattr(spec, "__array__") or isinstance(spec, (list, tuple)))
    absent = param == "schedule" and spec is None
    return spec if array or absent else _build(kind, spec, param)


def written_spec(kind: str, spec: Any) -> Any:
    """Return what builds a part again, in plain values: its name, with the fields that were given.

    Raises
    ------
    PluginError
        No plugin offers its class.
    """
    component = _build(kind, spec)
    get_registry().identify(kind, component)
    name, local = get_registry().name_of(kind, component), set(component.of_this_machine)
    fields = component.model_dump(mode="json", exclude_unset=True, exclude=local)
    return {"name": name, **fields} if fields else name


def engine_for(engine: Any, X: Any) -> Any:
    """Return the engine for data X: one named as the package of X, where ``engine`` is the default.

    So dask arrays and data frames choose the engine ``dask``.
    """
    package = re.split(r"\W|_", type(X).__module__, maxsplit=1)[0]
    named = engine == _UNNAMED["engine"] and package not in ("numpy", "pandas", "scipy", "builtins")
    return package if named and package in get_registry().names("engine") else engine


def build_engine(engine: Any) -> Engine:
    """Build the engine alone; raises as `build_parts`."""
    built: Engine = _build("engine", engine)
    return built


def build_part(kind: str, name: str, fields: Mapping[str, Any]) -> Any:
    """Build a component that has nothing to do with other parts; raises as `build_parts`."""
    return _build(kind, {**fields, "name": name}, name)


def build_metric(params: Mapping[str, Any]) -> Metric:
    """Build the metric alone; raises as `build_parts`."""
    metric: Metric = built_param("metric", params["metric"])
    return metric


def _build(kind: str, spec: Any, where: str = "") -> Any:
    if isinstance(spec, Mapping) and kind in _UNNAMED:
        spec = {"name": _UNNAMED[kind], **spec}
    try:
        return get_registry().build(kind, spec)
    except ValidationError as error:
        cls = _class_of(kind, spec)
        given = given_fields(spec) if isinstance(spec, Component) else spec
        assert cls is not None  # or there was nothing to validate
        raise ValueError("; ".join(sentences(error, cls, given, where or kind))) from None


def _validated(where: str, component: type[Any], values: Any) -> Any:
    try:
        return component.model_validate(values)
    except ValidationError as error:
        raise ValueError("; ".join(sentences(error, component, values, where))) from None


def _fill(growth: Any, field: str, value: Any) -> Any:
    if value is None:
        return growth
    misfit = why_not_filled(growth, field, value)
    if misfit is not None:
        raise ValueError(misfit)
    given = given_fields(growth)
    if field not in type(growth).model_fields:  # it is the base's
        filled = {**given, "base": _fill(growth.base, field, value)}
        return _validated("growth", type(growth), filled)
    chosen_later = field == "spreading_factor" and isinstance(value, str) and value == AUTO
    filled = _validated(
        "growth", type(growth), {**given, field: _ANY_FACTOR if chosen_later else value}
    )
    return growth if chosen_later else filled


def _is_inner(key: str) -> bool:
    part, found, _ = key.partition("__")
    return bool(found) and part in KIND_OF


def _class_of(kind: str, spec: Any) -> type[Component] | None:
    if isinstance(spec, Component):
        return type(spec)
    name = spec.get("name", _UNNAMED.get(kind)) if isinstance(spec, Mapping) else spec
    if not isinstance(name, str):
        return None
    try:
        return get_registry().find(kind, name)
    except DbgsomError:  # fit tells
        return None


def _fields_of(kind: str, spec: Any) -> dict[str, Any]:
    component = _class_of(kind, spec)
    if component is None:
        return {}
    given: Mapping[str, Any] = spec if isinstance(spec, Mapping) else {}
    found = {
        field: getattr(spec, field)
        if isinstance(spec, Component)
        else given.get(field, info.get_default(call_default_factory=True))
        for field, info in component.model_fields.items()
    }
    for field, inside in nested_fields(component).items():
        inner = _fields_of(inside, found[field])
        found |= {f"{field}__{name}": value for name, value in inner.items()}
    return found


def _with_field(part: str, kind: str, spec: Any, field: str, value: Any) -> Any:
    component = _class_of(kind, spec)
    head, inner, rest = field.partition("__")
    if component is not None and inner and head in nested_fields(component):
        inside, nested = nested_fields(component)[head], _fields_of(kind, spec)[head]
        field, value = head, _with_field(inside, inside, nested, rest, value)
    if component is not None and field not in component.model_fields:
        known = ", ".join(component.model_fields) or "none"
        hint = did_you_mean(field, component.model_fields) or f"; known: {known}"
        raise ValueError(f"invalid parameter '{field}' for {part} {component.__name__}{hint}")
    if isinstance(spec, Component):
        return spec.model_copy(update={field: value})
    if isinstance(spec, Mapping):
        return {**spec, field: value}
    return {"name": spec, field: value}
