"""Groups of neurons that a person has joined, split and named in the explorer: ``groups.json``."""

from __future__ import annotations

import json
from collections import Counter
from os import PathLike
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from dbgsom_core.errors import DataError, as_text
from dbgsom_core.files import read_at_most, reading
from dbgsom_core.plugins.validation_messages import explain_errors

_LARGEST = 32 << 20  # bytes of a file: the explorer writes at most about 8 MB
_MOST_NEURONS = 1 << 16  # of a map
_LONGEST = 100  # characters of a name
_DISTANCES = 1 << 22  # in memory at once


def _check_name(name: str) -> str:
    if not name.strip():
        raise ValueError("must be a name, not an empty one")
    if as_text(name) != name or " ".join(name.split()) != name:
        raise ValueError("must be on one line, with single spaces and no control characters")
    return name


Name = Annotated[str, Field(max_length=_LONGEST), AfterValidator(_check_name)]
Place = Annotated[int, Field(ge=0)]


class NamedGroups(BaseModel):
    """Named groups of the neurons of a map, which name those of another map, too.

    A neuron belongs to the group of the nearest prototype in the file, by the Euclidean distance in
    the space of the metric, after the prepare steps.

    Attributes
    ----------
    title : str
        Names the run of the map.
    groups : list of str
        Names of the groups, each on one line of at most 100 characters, as figures show them.
    neurons : list of int
        The group of each of K neurons that won a sample, a place in ``groups``.
    prototypes : list of K lists of D floats
        Their prototypes, in the space of the metric.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal["dbgsom groups"]
    version: Literal[1]
    title: Annotated[str, Field(max_length=1000)] = ""
    groups: Annotated[list[Name], Field(min_length=1, max_length=_MOST_NEURONS)]
    neurons: Annotated[list[Place], Field(min_length=1, max_length=_MOST_NEURONS)]
    prototypes: list[list[float]]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        ((name, times),) = Counter(self.groups).most_common(1)
        if times > 1:
            raise ValueError(f"has {times} groups called '{name}': each needs a name of its own")
        last = len(self.groups) - 1
        if max(self.neurons) > last:
            raise ValueError(
                f"has a neuron of group {max(self.neurons)}, and groups are counted 0 to {last}"
            )
        if len(self.prototypes) != len(self.neurons):
            counts = f"{len(self.prototypes)} prototypes for {len(self.neurons)} neurons"
            raise ValueError(f"has {counts}")
        if len(set(map(len, self.prototypes))) > 1 or not self.prototypes[0]:
            raise ValueError("has prototypes of different lengths, or without a value")
        return self

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """Return the groups in a file.

        Raises
        ------
        DataError
            It cannot be read, or is none that the explorer writes; the sentence names the place.
        """
        with reading(str(path), "file of groups"):
            content = read_at_most(Path(path), _LARGEST)
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["type"] == "json_invalid":
                raise DataError(f"{path} is no JSON: {first['ctx']['error']}") from None
            _, steps, words = next(explain_errors(error, cls, json.loads(content)))
            where = f": {'.'.join(map(str, steps))}" if steps else ""
            raise DataError(f"{path}{where} {words}") from None

    def labels_of(self, prototypes: NDArray[np.floating]) -> NDArray[np.str_]:
        """Return the name of the group of each prototype (K, D), text (K,).

        Raises
        ------
        DataError
            The file's prototypes have another number of features.
        """
        from scipy.spatial.distance import cdist  # slow to import

        known = np.array(self.prototypes)
        width = prototypes.shape[1]
        if known.shape[1] != width:
            raise DataError(
                f"the groups are of a map with {known.shape[1]} features, and this one has {width}:"
                " take the groups of a map of the same columns and prepare steps"
            )
        nearest = np.empty(len(prototypes), dtype=np.int64)
        step = max(1, _DISTANCES // len(known))
        for start in range(0, len(prototypes), step):
            rows = slice(start, start + step)
            nearest[rows] = cdist(prototypes[rows], known).argmin(axis=1)
        groups = np.array(self.neurons)[nearest]
        return np.asarray(np.array(self.groups)[groups])
