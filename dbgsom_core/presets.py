"""Settings with a name: a published program, and classical squares."""

from __future__ import annotations

from typing import Any

from dbgsom_core.estimators.som import SomVQ


def paper(spreading_factor: float, epochs: int, init: Any = None) -> SomVQ:
    """Return the unfitted map of Vasighi & Amini (2017), as their program trains it.

    Fit it on data that is scaled to 0..1 by column. The kernel is triangular with a width from 2
    to 0.7 hops; the map grows in every epoch but the first and the last, without a cap; exactly
    ``epochs`` epochs run.

    Parameters
    ----------
    spreading_factor : float in (0, 1)
        GT = -D*ln(spreading_factor) for D variables.
    epochs : int
    init : array-like (4, D), optional
        The prototypes of the cells (0,0), (1,0), (0,1), (1,1); None: drawn at random around the
        column means, as the program does.

    Returns
    -------
    SomVQ
        ``weights_`` and ``neurons_`` are in order of birth.
    """
    return SomVQ(
        metric="euclidean",
        kernel="triangular",
        growth={"name": "directed", "reference": True, "spreading_factor": spreading_factor},
        grid="square",
        epochs=epochs,
        tol=0.0,
        init="random" if init is None else init,
    )


def square() -> dict[str, Any]:
    """Return the parameters of a map of squares: `SomVQ(**square())`.

    Squares, or a line for one column, and a Gaussian that goes from a quarter of the map's side to
    0.3 hops where growth has a ``link_pull``, else to 0.5.

    Returns
    -------
    dict
        ``grid`` and ``kernel``.
    """
    return {
        "grid": {"name": "auto"},
        "kernel": {"name": "gaussian", "start": None, "end": None, "decay": "exponential"},
    }
