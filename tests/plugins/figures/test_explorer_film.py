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
from dbgsom_core.estimators import archive, growth_film
from dbgsom_core.estimators.display import view_of
from dbgsom_core.runs import results as stored
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


def test_a_film_is_stored_small_and_read_to_half_a_step(tmp_path, rng):
    frames = {
        epoch: rng.normal(size=(k, 40)) * 10.0 ** rng.integers(-3, 9, 40)
        for epoch, k in ((1, 4), (5, 9), (10, 200))
    }
    frames[10][3, 2], frames[10][5, 2] = np.nan, np.inf
    for one in frames.values():
        one[:, 7], one[:, 8] = np.nan, 3.5
    stored.save_film(tmp_path / "film.npz", frames)
    found = stored.load_film(tmp_path / "film.npz")
    assert list(found) == [1, 5, 10]
    values = np.concatenate(list(frames.values()))
    finite = np.where(np.isfinite(values), values, np.nan)
    kept = np.delete(np.arange(40), 7)
    half = np.zeros(40)
    half[kept] = np.nanmax(finite[:, kept], axis=0) - np.nanmin(finite[:, kept], axis=0)
    half = half / 496 * 1.001 + 1e-6 * np.nan_to_num(np.abs(finite)).max(axis=0)
    for epoch, frame in frames.items():
        np.testing.assert_array_equal(np.isnan(found[epoch]), ~np.isfinite(frame))
        known = np.isfinite(frame)
        assert (np.abs(found[epoch] - frame)[known] <= np.tile(half, (len(frame), 1))[known]).all()
    assert (tmp_path / "film.npz").stat().st_size < values.size + 4000
    assert stored.load_film(tmp_path / "none.npz") == {}


@pytest.mark.parametrize(
    ("header", "changed"),
    [
        ({}, {}),
        ({"epochs": [1], "rows": [3]}, {}),
        ({"epochs": ["1"], "rows": [2]}, {}),
        ({"epochs": [1, 2], "rows": [3, -1]}, {}),
        ({"epochs": [], "rows": []}, {"codes": np.ones((0, 3), np.uint8)}),
        ({"epochs": [1], "rows": [2]}, {"low": np.array(["a", "b", "c"])}),
    ],
)
def test_what_is_no_film_is_refused(header, changed, tmp_path):
    arrays = {"codes": np.ones((2, 3), np.uint8), "low": np.zeros(3), "step": np.ones(3)} | changed
    archive.write_archive(tmp_path / "film.npz", header, arrays)
    with pytest.raises(archive.ArchiveError, match="no frames that fit together"):
        stored.load_film(tmp_path / "film.npz")
