"""Components: frozen models with methods, nested components, and the guard of third parties'.

The core calls built-ins as they are: the conformance kit has checked them, and a fit of 14 ms has
no time for more. A third party's component is wrapped once by `guarded`: its methods then get
read-only arguments, what they return is checked, and errors name the component. A component is
built in by the package of its class, so a subclass of a built-in is not.
"""

from __future__ import annotations

import inspect
import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from dbgsom_core.errors import ComponentError, DbgsomError, UnfitError

Model = TypeVar("Model", bound=BaseModel)

_OWN = ("dbgsom_core", "dbgsom_plugins")
# The registry by which components are built and named, a `dbgsom_core.plugins.registry.Registry`,
# where `use_registry` has set one; else that of the process. It stands above the interfaces, which
# know it by this name alone.
_registry: ContextVar[Any] = ContextVar("registry", default=None)
_DEFAULT_REGISTRY = "dbgsom_core.plugins.registry:get_registry"
# What a component may raise; a KeyboardInterrupt is a person's.
RAISED = (Exception, SystemExit, GeneratorExit)
# Called without a check: numba compiles the one, checkpoints read the others.
_AS_IS = ("scalar", "remembered", "remember")

if TYPE_CHECKING:
    from numpy.typing import NDArray

    default = property
else:

    class default:  # noqa: N801 # it is used as property is
        """A default of an attribute, returned by a method, that a subclass may make a field.

        pydantic warns of a field that hides a class attribute or property. The class itself has no
        such attribute here, so it is silent; and an instance's field goes before it.
        """

        def __init__(self, function: Callable[[Any], Any]) -> None:
            self._function = function
            self.__doc__ = function.__doc__

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            if instance is None:
                raise AttributeError(self._function.__name__)
            return self._function(instance)


@contextmanager
def use_registry(registry: Any) -> Iterator[None]:
    """Use ``registry`` for nested components in the ``with`` block."""
    token = _registry.set(registry)
    try:
        yield
    finally:
        _registry.reset(token)


def active_registry() -> Any:
    return _registry.get() or resolve_name(_DEFAULT_REGISTRY)()


class Component(BaseModel):
    """Base of the bases of all kinds: a frozen pydantic model that forbids unknown fields.

    A component derives from the base of its kind, `MetricComponent` say. Abstract methods are those
    that it must have; whatever else the base has is a default.

    Values are taken strictly (``"10"`` is no int), but numpy scalars count as Python numbers. A
    field that may be infinite or nan says so, ``Field(allow_inf_nan=True)``.

    Attributes
    ----------
    KIND : str
        The kind, ``"metric"`` say; set by its base.
    of_this_machine : tuple of str
        Fields that model files neither hold nor fill: addresses, folders, credentials.
    """

    KIND: ClassVar[str]
    of_this_machine: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        # What is not annotated is no field, but a class attribute.
        ignored_types=(default, bool, int, float, str, tuple, type(None)),
    )

    @classmethod
    def lacks(cls) -> str:
        """Return which methods the class lacks to be of its kind, as words; empty for none."""
        return " and ".join(sorted(cls.__abstractmethods__))

    @model_validator(mode="before")
    @classmethod
    def _numpy_scalars_are_numbers(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        tuples, plain = _tuples_of(cls), dict(values)
        for key, value in values.items():
            if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
                plain[key] = value.item()
            elif key in tuples and isinstance(value, list):
                plain[key] = _as_tuples(value)
        return plain


@lru_cache(maxsize=256)
def _tuples_of(cls: type[BaseModel]) -> frozenset[str]:
    # Fields of tuples, for which a list is as good as in YAML.
    def origins(annotation: Any) -> set[Any]:
        types = {get_origin(annotation)}
        for part in get_args(annotation):
            types |= origins(part)
        return types

    names = []
    for name, field in cls.model_fields.items():
        types = origins(field.annotation)
        if tuple in types and list not in types:
            names.append(name)
    return frozenset(names)


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Nested:
    """Annotation of a field with a component, ``Annotated[Any, Nested("growth")]``.

    The field takes a name, a mapping with ``name``, or an instance. Give it a name as its default,
    with ``validate_default=True``.

    Attributes
    ----------
    kind : str
        The kind of component, ``"growth"`` say.
    """

    kind: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._build,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self._write, info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        name = {"type": "string"}
        section = {"type": "object", "properties": {"name": name}, "required": ["name"]}
        return {"anyOf": [name, section], "component": self.kind}

    def _build(self, spec: Any) -> Any:
        has_name = isinstance(spec, Mapping) and isinstance(spec.get("name"), str)
        if not (has_name or isinstance(spec, (str, BaseModel))):
            raise ValueError(
                f"must be a name, a mapping with a 'name', or a component instance; got {spec!r}"
            )
        return active_registry().build(self.kind, spec)

    def _write(self, component: Any, info: Any) -> dict[str, Any]:
        if not isinstance(component, BaseModel):  # a default that is not validated yet
            return {"name": str(component)}
        fields = component.model_dump(mode=info.mode, exclude_unset=info.exclude_unset)
        return {"name": active_registry().name_of(self.kind, component), **fields}


def nested_fields(cls: type[Any]) -> dict[str, str]:
    """Return the fields of a component's class that hold components, with their kinds."""
    kinds = {}
    for name, field in cls.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Nested):
                kinds[name] = mark.kind
    return kinds


def given_fields(component: BaseModel) -> dict[str, Any]:
    return {field: getattr(component, field) for field in component.model_fields_set}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping with dotted keys such as ``base.rows``."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[prefix + key] = value
    return result


def parse(cls: type[Model], values: Mapping[str, Any]) -> Model:
    """Return an instance from plain YAML values; raises pydantic's ValidationError."""
    text = json.dumps(values)
    try:
        return cls.model_validate_json(text, strict=True)
    except ValidationError:
        if not issubclass(cls, Component):
            raise
    parsed = _json_twin(cls).model_validate_json(text, strict=True)
    return cls.model_validate(given_fields(parsed))


@lru_cache(maxsize=256)
def _json_twin(cls: type[Model]) -> type[Model]:
    # A validator in mode "before" makes pydantic take JSON for Python values, where strictness
    # wants a tuple and not a list. A twin without it parses; the class itself then takes over.
    harmless = model_validator(mode="after")(lambda self: self)
    body = {"__module__": cls.__module__, "_numpy_scalars_are_numbers": harmless}
    return type(cls.__name__, (cls,), body)


# ------------------------------------------------------------------------ the wrapper


class Wrapper:
    """An object that passes for a component, of which a subclass replaces some attributes."""

    def __init__(self, component: Any) -> None:
        self._component = component

    @property  # type: ignore[misc] # it cannot be set
    def __class__(self) -> Any:  # so that isinstance sees the component
        return self._component.__class__

    def __getattr__(self, name: str) -> Any:
        # Called for what the wrapper itself has not: the first time, as answers are kept.
        if name.startswith("__pydantic_"):  # by which isinstance of pydantic 2.10 knows a model
            return getattr(self._component, name)
        if name.startswith("__") or name == "_component":
            raise AttributeError(name)
        value = vars(self)[name] = self._attribute(name)
        return value

    def _attribute(self, name: str) -> Any:
        return getattr(self._component, name)

    def __reduce__(self) -> Any:
        return type(self), (self._component,)


class Guarded(Wrapper):
    """A third party's component as the core calls it.

    Raises `ComponentError` at once where an attribute raises, or is not what it may be.
    """

    def __init__(self, component: Any) -> None:
        from dbgsom_core.interfaces.validation import check_attributes  # numpy is slow to import

        super().__init__(component)
        with error_names(component):
            check_attributes(self)

    def _attribute(self, name: str) -> Any:
        component = self._component
        default = vars(base_of(component)).get(name)
        if inspect.isfunction(default) and getattr(type(component), name) is default:
            return default.__get__(self)  # what the base does with its methods is guarded, too
        if isinstance(getattr(type(component), name, None), property):
            with error_names(component, name):  # an AttributeError within it is no lack
                value = getattr(component, name)
        else:
            value = getattr(component, name)
        if callable(value) and name not in _AS_IS:
            return lambda *given: self._call(name, value, given)
        return value

    def _call(self, name: str, method: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        from dbgsom_core.interfaces.validation import call

        with error_names(self._component, name):
            return call(self._component, name, method, given)

    def _call_loop(self, loop: Callable[..., Any], *given: Any) -> Any:
        from dbgsom_core.interfaces.validation import distances

        with error_names(self._component, "scalar"):
            answer = loop(*given)
            return distances(answer, answer.shape)


class MetricWithState(Wrapper):
    """A metric whose methods have got what its ``fit`` returned; all else is the metric's."""

    def __init__(self, metric: Any, state: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(metric)
        self._state = state
        for name in ("prepare", "assign", "pairwise") if metric.uses_state else ("prepare",):
            setattr(self, name, self._bound(getattr(metric, name)))

    def _bound(self, method: Callable[..., Any] | None) -> Callable[..., Any] | None:
        return None if method is None else lambda *given: method(*given, self._state)

    def prepared(self, X: Any) -> Any:
        return X if self.prepare is None else self.prepare(X)

    def __reduce__(self) -> Any:
        return type(self), (self._component, self._state)


def guarded(component: Any) -> Any:
    """Return a component as the core calls it: a built-in itself, a third party's `Guarded`."""
    return component if is_own(component) else Guarded(component)


def is_own(component: Any) -> bool:
    return _package(component) in _OWN


def base_of(component: Any) -> type[Any]:
    """Return the base of the component's kind: `KernelComponent` of a kernel."""
    bases: list[type[Any]] = [cls for cls in component.__class__.__mro__ if "KIND" in vars(cls)]
    return bases[0]


def check_promises(metric: Any, X: NDArray[Any]) -> None:
    """Raise ComponentError where distances of prepared samples (n, D) are not what it claims.

    Built-ins are not asked.
    """
    wrapped = metric._component if type(metric) is MetricWithState else metric
    if type(wrapped) is Guarded:
        from dbgsom_core.interfaces import validation  # numpy is slow to import

        with error_names(wrapped._component):
            validation.check_promises(metric, X)


# ------------------------------------------------------------------------ errors


@contextmanager
def error_names(component: Any, method: str = "") -> Iterator[None]:
    """Turn what a component raises into a `ComponentError` that names it.

    What it raises on purpose (`DbgsomError`) passes.
    """
    try:
        yield
    except DbgsomError:
        raise
    except RAISED as error:
        # The line that raised, or that on which the method begins.
        lines = []
        function = inspect.unwrap(getattr(type(component), method, object))
        code = getattr(function, "__code__", None)
        if code is not None:
            lines = [(code.co_filename, code.co_firstlineno)]
        if not isinstance(error, UnfitError):
            lines += _lines(component, error)
        place = ""
        if lines:
            file, line = lines[-1]
            place = f" ({Path(file).name}:{line})"
        raise ComponentError(f"{who(component)}{place}: {error_line(error, method)}") from error


@contextmanager
def own_error_names(component: Any) -> Iterator[None]:
    """Do so only for errors raised in the component's package: its samples may raise others."""
    try:
        yield
    except DbgsomError:
        raise
    except RAISED as error:
        if is_own(component) or not _lines(component, error):
            raise
        with error_names(component):
            raise


def error_line(error: BaseException, method: str = "") -> str:
    text = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, UnfitError):
        return f"{method} {text}".strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def who(component: Any) -> str:
    """Return the name of a component in errors: its plugin's name, or its class."""
    cls = component.__class__
    entry = active_registry().offer_of(cls.KIND, cls)
    if entry is None:
        return f"{cls.KIND} {cls.__name__}"
    return f"{cls.KIND} '{entry.name}' of {entry.distribution} {entry.version}"


def _package(component: Any) -> str:
    return type(component).__module__.partition(".")[0]


def _lines(component: Any, error: BaseException) -> list[tuple[str, int]]:
    # Lines of the component's package, the last called at the end.
    lines = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package == _package(component):
            lines.append((frame.f_code.co_filename, line))
    return lines
