"""Prototypes of past epochs: kept while a map is trained, small in the page, drawn in colour."""

import json
import re
import zlib
from base64 import b64decode
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

from dbgsom_core import GrowthFilm, SomVQ
from dbgsom_core.api import Death, EpochRecord
from dbgsom_core.estimators import archive, growth_film
from dbgsom_core.estimators.display import view_of
from dbgsom_core.runs import film as stored
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


def test_a_page_of_400_images_with_its_film_has_half_a_megabyte():
    data, _ = load_digits(return_X_y=True)
    fixed = {"name": "fixed", "rows": 20, "columns": 20}
    vq = SomVQ(growth=fixed, epochs=12, tol=0, callbacks=[GrowthFilm(12)]).fit(data)
    page = vq.explore(data, image_shape=(8, 8))
    assert len(page.text.encode()) <= 500_000
    assert len(parsed(page)["film"]["epochs"]) >= 5


def test_the_film_is_the_first_that_a_large_page_goes_without(grown, monkeypatch):
    vq, _ = grown
    monkeypatch.setattr("dbgsom_plugins.figures.explorer._LARGEST", 1000)
    page = parsed(vq.explore(X, other=vq))
    assert page["film"] is page["other"]["film"] is None
    assert page["samples"]["n"] == 150


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


def test_colours_by_a_variable_are_those_of_the_epoch(chromium, tmp_path):
    line = {"name": "fixed", "rows": 1, "columns": 3}
    vq = SomVQ(growth=line, epochs=8, tol=0, callbacks=[GrowthFilm(8)]).fit(X)
    page = vq.explore(X, path=tmp_path / "film.html")
    film = parsed(page)["film"]
    chromium.errors.clear()
    chromium.open(tmp_path / "film.html")
    chromium.js(
        "(() => { const one = document.querySelector('.panel select'); one.value = 'feature 2';"
        "one.dispatchEvent(new Event('change'));"
        "document.querySelector('#growth').open = true; })()"
    )
    chromium.until("document.querySelector('#growth-hint').textContent.includes('7 epochs')")

    def colours(epoch):
        chromium.js(
            f"(() => {{ const one = document.querySelector('#epoch'); one.value = {epoch};"
            "one.dispatchEvent(new Event('input')); })()"
        )
        chromium.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return np.array(
            chromium.js(
                "(() => { const one = document.querySelector('.stage canvas');"
                "const pen = one.getContext('2d'); return [-1, 0, 1].map((step) => [..."
                "pen.getImageData(one.width / 2 + 109 * step, one.height / 2, 1, 1).data]"
                ".slice(0, 3)); })()"
            )
        )

    ramp = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]])
    final = vq.weights_[:, 2]

    def wanted(values):
        place = np.clip((values - final.min()) / np.ptp(final), 0, 1) * 4
        return np.array([[np.interp(one, range(5), ramp[:, i]) for i in range(3)] for one in place])

    order = np.argsort([x for x, _ in vq.neurons_])
    frames = dict(zip(film["epochs"], unpacked(film), strict=True))
    for epoch in (1, 4):
        assert np.abs(colours(epoch) - wanted(frames[epoch][order, 2])).max() <= 3
    assert np.abs(colours(8) - wanted(final[order])).max() <= 3
    assert np.abs(colours(1) - colours(8)).max() > 20
    assert [one for one in chromium.errors if "getImageData" not in str(one)] == []
