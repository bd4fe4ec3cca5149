"""Growth of a map in training: a strategy's requests, and what they make of the map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import Floats, Integers, Search, SearchResult
from dbgsom_core.engine.smoothing import Centre
from dbgsom_core.errors import ComponentError
from dbgsom_core.interfaces.component import who
from dbgsom_core.interfaces.context import Context, GrowthEvent
from dbgsom_core.interfaces.growth import Birth, GrowthState
from dbgsom_core.som_map.som_map import Change, Death, Insert, SomMap, changed_map
from dbgsom_core.training.schedule import Schedule, kernel_weights
from dbgsom_core.training.state import TrainingConfig, TrainingState


class GrowthResult(NamedTuple):
    """What growth made of a map: the changes came first, then the births."""

    som_map: SomMap  # the same object where there are only births
    rows: Integers  # (K,): the former row of each neuron, -1 for new ones
    births: tuple[GrowthEvent, ...] = ()
    changes: tuple[Change, ...] = ()
    is_cut: bool = False  # ``room`` was too small for all births


def is_full(config: TrainingConfig, state: TrainingState) -> bool:
    """Return whether the map can grow no more; a strategy that removes neurons always can."""
    full = state.capped and len(state.som_map) == config.max_neurons
    return full and not config.growth.removes


def grow_map(
    config: TrainingConfig,
    schedule: Schedule,
    state: TrainingState,
    search: Search,
    result: SearchResult,
    movement: float,
) -> tuple[GrowthResult, Search, SearchResult]:
    """Let the strategy grow the map of ``state`` after an epoch with this ``result``.

    Returns also a search and its result for the grown map.
    """
    strategy = config.growth
    som_map = state.som_map
    epoch = state.next_epoch
    room = None
    if config.max_neurons is not None:
        room = max(0, config.max_neurons - len(som_map))

    def request_growth() -> list[Any]:
        growth_state = GrowthState(
            epoch=epoch,
            epochs=schedule.growing_epochs,
            threshold=config.threshold,
            errors=result.errors,
            hits=result.hits,
            class_counts=result.class_counts,
            movement=movement,
            room=room,
            context=Context(config.data, result, config.seed, state.history),
        )
        return list(strategy.grow(som_map, growth_state))

    requests = request_growth()
    if strategy.smooth_before_growth and split_changes(requests)[1]:
        # Newborns extrapolate from smooth prototypes; the strategy is asked again about those.
        width = schedule.width(epoch, som_map)
        weights, index = kernel_weights(som_map, config.kernel, width)
        centre = config.data.metric.centre
        som_map.prototypes = smooth_over_links(som_map, result.hits, weights, index, centre)
        result = search.assign(som_map.prototypes, som_map.positions)
        requests = request_growth()
    known = len(som_map)
    centre = config.data.metric.centre
    try:
        grown = apply_growth(som_map, requests, epoch, room, centre, strategy.may_disconnect)
    except ValueError as error:
        raise ComponentError(f"{who(config.growth)}: {error}") from error
    state.capped = state.capped or grown.is_cut
    if not (grown.births or grown.changes):
        return grown, search, result
    strategy.renumber(grown.rows)
    state.som_map = som_map = grown.som_map
    if any(isinstance(change, Death) for change in grown.changes):
        search = config.data.search()  # its bounds are by the rows of neurons
        result = search.assign(som_map.prototypes, som_map.positions)
    else:  # samples are compared with the new neurons alone
        result = search.assign_new_neurons(result, som_map.prototypes, som_map.positions, known)
    return grown, search, result


def smooth_over_links(
    som_map: SomMap,
    hits: NDArray[Any],
    weights: Floats,
    index: NDArray[np.uint16],
    centre: Centre | None = None,
) -> Floats:
    """Return each prototype averaged with those of its linked neighbours, (K, D).

    m_i = Σ_j n_j h_ij m_j / Σ_j n_j h_ij over the neuron i itself and its linked neighbours j,
    with n_j the ``hits`` of j and h_ij = weights[index[i, j]] the kernel's weights, 0 for negative
    ones. It is the batch update with prototypes instead of the means of samples, cut off after
    one hop (after Kohonen 2001, eq. 3.80). A neuron without hits, also in its neighbours, keeps its
    prototype. ``centre`` makes prototypes of means.
    """
    near = np.maximum(weights[index] * (som_map.hops <= 1), 0.0)
    influence = near * np.asarray(hits, np.float64)
    reached = influence.sum(axis=1)
    alive = reached > 0
    means = (influence @ som_map.prototypes)[alive] / reached[alive, None]
    prototypes = som_map.prototypes.copy()
    prototypes[alive] = means if centre is None else centre(means)
    return prototypes


# --------------------------------------------------------------------------- requests


def split_changes(requests: Sequence[Any]) -> tuple[tuple[Change, ...], list[Birth]]:
    """Return the changes and the births among a strategy's requests."""
    changes: list[Change] = []
    births: list[Birth] = []
    for request in requests:
        if isinstance(request, (Death, Insert)):
            changes.append(request)
        elif isinstance(request, Birth):
            births.append(request)
        else:
            births.append(Birth(*request))
    return tuple(changes), births


def apply_growth(
    som_map: SomMap,
    requests: Sequence[Any],
    epoch: int,
    room: int | None = None,
    centre: Centre | None = None,
    may_disconnect: bool = False,
) -> GrowthResult:
    """Apply requests to a map, with births up to ``room`` more neurons.

    ``centre`` makes valid prototypes of the strategies' sums. Raises ValueError for impossible
    requests, and for those that disconnect the map, which is then unchanged.
    """
    known = len(som_map)
    rows = np.arange(known)
    changes, births = split_changes(requests)
    if changes:
        changed, rows, inserted = changed_map(som_map, changes)
        if room is not None:
            room += known - len(rows)
            if len(inserted) > room:  # a row comes whole or not at all
                return GrowthResult(som_map, np.arange(known), is_cut=True)
        if changed.is_apart and not (may_disconnect or inserted):
            raise ValueError(
                "the deaths disconnect the map; a strategy that may do so has may_disconnect = True"
            )
        new_row = {row: new for new, row in enumerate(rows.tolist())}
        births = [b._replace(parent=new_row.get(int(b.parent), -1)) for b in births]
        births = [*map(Birth._make, inserted), *births]
        som_map = changed
    wanted = len(births)
    births = births[:room]
    if centre is not None:
        for i, birth in enumerate(births):
            prototypes = np.asarray(birth.prototype, float)[None]
            births[i] = birth._replace(prototype=np.asarray(centre(prototypes)[0]))
    som_map.add(births, epoch)
    rows = np.concatenate([rows, np.full(len(births), -1)])
    events = []
    for (x, y), _, parent in births:
        events.append(GrowthEvent(epoch, int(parent), (int(x), int(y))))
    is_cut = len(births) < wanted
    return GrowthResult(som_map, rows, tuple(events), changes, is_cut)
