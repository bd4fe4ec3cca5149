"""The spreading factor as strategies have it: a number, while estimators know a word besides."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def _no_word(value: Any) -> Any:
    if value == "auto":
        raise ValueError(
            "must be a number: 'auto' is for the estimator's own spreading_factor, beside growth"
        )
    return value


SpreadingFactor = Annotated[float, BeforeValidator(_no_word)]
