"""The best map of a sweep and the next best, beside each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from dbgsom_core.api import FigureComponent, Html
from dbgsom_plugins.figures.explorer import Explorer

if TYPE_CHECKING:
    from dbgsom_core.api import SweepView

_MOST = 4  # data sets


class SideBySide(FigureComponent):
    """The maps of the best variant of a sweep and of the next best in one explorer.

    Each variant is shown by its first run, with all samples of the data set, and what is lit on one
    map is lit on the other.
    """

    of_sweeps: ClassVar[bool] = True

    max_samples: int = Field(
        default=100_000, ge=1, description="samples in the page; of more it holds a seeded sample"
    )

    def draw(self, view: SweepView) -> Html | dict[str, Html]:
        """Return the page, of several data sets one each, the first four.

        Raises
        ------
        ValueError
            There are no two variants whose maps have as many features.
        """
        if view.best_two is None:
            raise ValueError("the maps of this sweep are not at hand")
        pages: dict[str, Html] = {}
        for ranking in view.rankings[:_MOST]:
            pair = view.best_two(ranking)
            if pair is not None:
                name = re.sub(r"[^a-z0-9]+", "_", ranking.data.lower()).strip("_") or "data"
                while name in pages:
                    name += "_2"
                pages[name] = Explorer(max_samples=self.max_samples).draw(pair)
        if not pages:
            raise ValueError("side_by_side needs two variants whose maps have as many features")
        return pages if len(view.rankings) > 1 else next(iter(pages.values()))
