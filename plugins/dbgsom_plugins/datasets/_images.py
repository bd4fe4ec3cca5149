"""Samples that are images, which figures and pages then draw."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from dbgsom_core.api import Data, DataError

# Rows and columns, as a list of two in YAML.
ImageShape = Annotated[
    tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None, Field(strict=False)
]
IMAGE_SHAPE = "[rows, columns] of samples that are images, which figures then draw; null: none"


def as_images(data: Data, shape: tuple[int, int] | None, where: str) -> Data:
    """Return the data as images of ``shape``, row after row of each, or as they are for None.

    Raises
    ------
    DataError
        Their features are more or fewer than the shape has places.
    """
    if shape is None:
        return data
    given: Any = data.X.shape[1]
    if math.prod(shape) != given:
        raise DataError(
            f"{where}: image_shape {list(shape)} is of {math.prod(shape)} values, and samples have "
            f"{given}: set [rows, columns] of one image"
        )
    return replace(data, image_shape=shape)
