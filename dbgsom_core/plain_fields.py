"""Fields as plain values, from YAML or from a saved model, become a component."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, model_validator

from dbgsom_core.api import Component

Model = TypeVar("Model", bound=BaseModel)


def parse(cls: type[Model], values: Mapping[str, Any]) -> Model:
    """Return an instance from plain YAML values; raises pydantic's ValidationError."""
    text = json.dumps(values)
    try:
        return cls.model_validate_json(text, strict=True)
    except ValidationError:
        if not issubclass(cls, Component):
            raise
    parsed = _json_twin(cls).model_validate_json(text, strict=True)
    return cls.model_validate({key: getattr(parsed, key) for key in parsed.model_fields_set})


@lru_cache(maxsize=256)
def _json_twin(cls: type[Model]) -> type[Model]:
    # A validator in mode "before" makes pydantic take JSON for Python values, where strictness
    # wants a tuple and not a list. A twin without it parses; the class itself then takes over.
    harmless = model_validator(mode="after")(lambda self: self)
    body = {"__module__": cls.__module__, "_numpy_scalars_are_numbers": harmless}
    return type(cls.__name__, (cls,), body)
