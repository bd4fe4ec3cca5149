"""What a model file may hold of the columns that a model knows."""

from __future__ import annotations

from typing import Any

from dbgsom_core.interfaces.cells import GROUP_MARKS, is_unit
from dbgsom_core.interfaces.columns import PARTS
from dbgsom_core.interfaces.stored_types import StoredType


def _fits(one: Any) -> bool:
    names = set(one.names)
    units = one.units or {}
    parts = {("ordinal",), PARTS, PARTS[:-1]}
    return (
        0 < len(names) == len(one.names)
        and one.thousands in ("", *GROUP_MARKS)
        and one.thousands != one.decimal
        and one.categories.keys() | one.dates.keys() <= names
        and not one.categories.keys() & one.dates.keys()
        and all(0 < len(set(values)) == len(values) for values in one.categories.values())
        and all(map(is_unit, units.values()))
        and not units.keys() & {*one.categories, *one.dates}
        and all(len(date) > 1 and date[1:] in parts for date in one.dates.values())
    )


STORED = StoredType(
    "dbgsom_core.interfaces.columns:Columns",
    {
        "names ids dropped na_values": "tuple of text",
        "categories dates": "mapping of tuple of text",
        "target": "text | none",
        "decimal": "'.' | ','",
        "dtype": "'float64' | 'float32'",
        "thousands?": "text",
        "units?": "mapping of text | none",
    },
    fits=_fits,
)
