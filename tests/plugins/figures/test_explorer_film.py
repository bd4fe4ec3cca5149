"""Prototypes of past epochs: kept while a map is trained, small in the page, drawn in colour."""

import json
import re
import zlib
from base64 import b64decode
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_iris

from dbgsom_core import GrowthFilm, SomVQ
from dbgsom_core.api import Death, EpochRecord
from dbgsom_core.estimators import growth_film
from dbgsom_core.estimators.display import view_of
from dbgsom_plugins.figures.explorer import Explorer

X = load_iris().data


def parsed(page):
    (data,) = re.findall(r'id="data">(.*?)</script>', page.text)
    return json.loads(data)


def unpacked(film):
    """Return the frames (k, F + 3) of a film."""
    codes = np.frombuffer(zlib.decompress(b64decode(film["data"])), np.uint8)
    low, step = np.array(film["low"]), np.array(film["step"])
    found, after = [], None
    for rows in reversed(film["rows"]):
        own, codes = codes[: rows * len(low)].reshape(len(low), rows).T, codes[rows * len(low) :]
        after = own if after is None else (own + after[:rows]) % 64
        found.insert(0, np.where(after == 0, np.nan, low + (after - 1.0) * step))
    assert not len(codes)
    return found


@pytest.fixture(scope="module")
def grown():
    every = {}
    watch = [GrowthFilm(8), lambda record: every.update({record.epoch: record.prototypes})]
    vq = SomVQ(max_neurons=25, epochs=24, tol=0, callbacks=watch).fit(X)
    return vq, every


def test_frames_are_the_prototypes_of_their_epochs(grown):
    vq, every = grown
    film = parsed(vq.explore(X))["film"]
    assert film["epochs"] == [1, 3, 6, 9, 12, 15, 18, 21]  # 24 is the finished map
    assert film["rows"] == [len(every[epoch]) for epoch in film["epochs"]]
    assert film["rows"][0] < film["rows"][-1] <= len(vq.neurons_)
    step = np.array(film["step"])
    every_value = np.concatenate([every[epoch] for epoch in film["epochs"]])
    np.testing.assert_allclose(step[:4], np.ptp(every_value, axis=0) / 62, rtol=1e-6)
    for epoch, frame in zip(film["epochs"], unpacked(film), strict=True):
        assert (np.abs(frame[:, :4] - every[epoch]) <= 0.501 * step[:4]).all()
    # The colour of a past neuron is that of the finished one that is most like it.
    rgb = np.array(list(b64decode(parsed(vq.explore(X))["maps"][0]["rgb"]["data"]))).reshape(-1, 3)
    apart = np.linalg.norm(every[12][:, None] - vq.weights_, axis=2)
    wanted = rgb[apart.argmin(axis=1)] / 255
    assert np.abs(unpacked(film)[4][:, 4:] - wanted).max() <= 0.501 * (step[4:].max() + 1 / 255)


def test_a_map_without_a_film_has_none(grown):
    vq, _ = grown
    assert parsed(SomVQ(max_neurons=9, epochs=3, tol=0).fit(X).explore(X))["film"] is None
    view = view_of(vq, vq.evaluate(X))
    assert parsed(Explorer().draw(view))["film"] is None
    frames = dict(vq.callbacks[0].frames)
    # Where a neuron died, rows of before are other neurons; and what does not fit the map is left.
    died = [replace(one, changes=(Death(0),)) if one.epoch == 10 else one for one in vq.history_]
    odd = {13: np.zeros((3, 4)), 14: np.zeros((len(frames[15]), 2)), 99: frames[21]}
    told = parsed(Explorer().draw(replace(view, history=died, film=frames | odd)))["film"]
    assert told["epochs"] == [12, 15, 18, 21]


def told(epoch, epochs, prototypes):
    record = EpochRecord(epoch, epochs, "growing", 1.0, len(prototypes), (), 1.0, 1.0, 1.0)
    record.show(SimpleNamespace(prototypes=prototypes))
    return record


def test_what_is_kept_is_bounded_and_begins_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(growth_film, "_MOST_VALUES", 40)
    film = GrowthFilm(100)
    for epoch in range(1, 101):
        film(told(epoch, 100, np.full((2, 3), float(epoch))))
        assert sum(one.size for one in film.frames.values()) <= 40
    assert len(film.frames) >= 4
    assert next(iter(film.frames)) == 1
    assert all((one == epoch).all() for epoch, one in film.frames.items())
    film(told(1, 100, np.zeros((2, 3))))
    assert list(film.frames) == [1]
    with pytest.raises(ValueError, match="frames must be at least 1, not 0"):
        GrowthFilm(0)


@pytest.mark.parametrize("left", [b"half", b""])
def test_a_training_that_goes_on_has_the_frames_of_before(left, tmp_path):
    whole, first = GrowthFilm(5), GrowthFilm(5, tmp_path / "film")
    frames = [told(epoch, 10, np.full((2, 3), float(epoch))) for epoch in range(1, 11)]
    for one in frames:
        whole(one)
    for one in frames[:7]:  # killed in epoch 8; the last checkpoint is of epoch 5
        first(one)
    (tmp_path / "film" / "4.npy").write_bytes(left)
    second = GrowthFilm(5, tmp_path / "film")
    for one in frames[5:]:
        second(one)
    assert list(whole.frames) == [1, 2, 4, 6, 8, 10]
    assert list(second.frames) == [1, 2, 6, 8, 10]
    assert all((second.frames[epoch] == whole.frames[epoch]).all() for epoch in second.frames)
