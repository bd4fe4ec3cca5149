"""Colours that stay apart for every reader, and text that can be read on them."""

import numpy as np
import pytest

from dbgsom_plugins.figures._style import (
    by_prototype,
    categorical,
    scale_over,
    text_on,
)

# Full colour blindness after Machado, Oliveira & Fernandes (2009), on linear sRGB.
BLINDNESS = {
    "none": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def oklab(linear):
    cones = np.clip(linear, 0, 1) @ np.array(
        [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
         [0.0883024619, 0.2817188376, 0.6299787005]]
    ).T  # fmt: skip
    return np.cbrt(cones) @ np.array(
        [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
         [0.0259040371, 0.7827717662, -0.8086757660]]
    ).T  # fmt: skip


def linear(srgb):
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("n_classes", [2, 6, 10])
def test_class_colours_stay_apart_for_colour_blind_readers(blindness, n_classes):
    seen = oklab(linear(categorical(n_classes)) @ np.array(BLINDNESS[blindness]).T)
    apart = np.linalg.norm(seen[:, None] - seen, axis=2) + 9 * np.eye(n_classes)
    assert apart.min() > 0.07


def test_text_is_readable_on_every_colour():
    colours = np.random.default_rng(0).random((200, 3))
    luminance = linear(colours) @ [0.2126, 0.7152, 0.0722]
    ink = {"#22252b": 0.0187, "#ffffff": 1.0}
    for background, text in zip(luminance, text_on(colours), strict=True):
        light, dark = sorted([background, ink[text]], reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 3


def test_like_prototypes_get_like_colours():
    prototypes = np.random.default_rng(0).normal(size=(50, 6))
    colours = by_prototype(np.vstack([prototypes, prototypes + 1e-4]))
    np.testing.assert_allclose(colours[:50], colours[50:], atol=0.02)


@pytest.mark.parametrize(
    ("values", "ends", "beyond"),
    [
        ([*range(20), 500], (0, 19), "max"),
        ([-90, *range(30), 400], (0, 29), "both"),
        ([*range(20), 40], (0, 40), "neither"),  # far, but the others do not share one colour
        ([0, 0, 0, 0, 0, 0, 0, 0, 9], (0, 9), "neither"),  # all others are alike anyway
        ([0, 1, 2, 500], (0, 500), "neither"),  # few
    ],
)
def test_extreme_values_lie_beyond_a_scale(values, ends, beyond):
    scale = scale_over(np.random.default_rng(0).permutation(np.array(values, dtype=float)))
    assert scale.get_clim() == ends
    assert scale.cmap.colorbar_extend == beyond
