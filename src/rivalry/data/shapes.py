"""Procedural colour images of ten shapes: a stand-in for CIFAR-10 that needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from rivalry.data._dataset import Dataset, source
from rivalry.types import ImageCount, NonNegative

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch

SIDE = 32
SUPERSAMPLING = 4


def _ring_of_points(radii: list[float], turn: float = 0.25) -> np.ndarray:
    """Corners (N,2) at equal angles and the given distances from the centre, the first one on top."""
    angles = 2 * np.pi * (np.arange(len(radii)) / len(radii) - turn)
    corners: np.ndarray = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.asarray(radii)[:, None]
    return corners


DISC = _ring_of_points([0.95] * 40)
OUTLINES: dict[str, list[np.ndarray]] = {
    "circle": [DISC],
    "square": [_ring_of_points([1.15] * 4, turn=0.125)],
    "triangle": [_ring_of_points([1.15] * 3)],
    "diamond": [_ring_of_points([1.25, 0.65] * 2)],
    "pentagon": [_ring_of_points([1.05] * 5)],
    "star": [_ring_of_points([1.25, 0.5] * 5)],
    "cross": [
        np.array(
            [
                (-3, -9),
                (3, -9),
                (3, -3),
                (9, -3),
                (9, 3),
                (3, 3),
                (3, 9),
                (-3, 9),
                (-3, 3),
                (-9, 3),
                (-9, -3),
                (-3, -3),
            ]
        )
        / 8.5
    ],
    "ring": [DISC, DISC * 0.5],
    "half-moon": [DISC, DISC * 0.8 + [0.5, 0.0]],
    "arrow": [np.array([(0, -10), (8, -1), (3, -1), (3, 10), (-3, 10), (-3, -1), (-8, -1)]) / 9],
}
"""Each shape as an outline in a square of about [-1,1] x [-1,1], and possibly one that is cut out of it."""


@source(source="", description="procedural colour images of ten shapes on textured backgrounds", classes=10, side=32)
def shapes(
    fetch: Fetch,
    seed: int,
    *,
    n_train: ImageCount = 4000,
    n_test: ImageCount = 1000,
    noise: NonNegative = 0.12,
    texture: NonNegative = 0.15,
    rotation: NonNegative = 20.0,
) -> Dataset:
    """Ten shapes of varied position, size, rotation and colour on textured backgrounds (3x32x32).

    Image i of a split depends on the seed, the split and i alone; its class is i modulo 10, so that classes
    are balanced.

    Parameters
    ----------
    n_train
        Number of training images.
    n_test
        Number of test images.
    noise
        Standard deviation of the Gaussian noise on every pixel (pixels in [0,1]).
    texture
        Amplitude of the background's texture (pixels in [0,1]); the shape's own is half as strong.
    rotation
        Largest rotation to either side, in degrees.
    """

    def draw(split: int, n: int) -> np.ndarray:
        generators = [np.random.default_rng([seed, split, i]) for i in range(n)]
        return np.stack([_draw(g, i % len(OUTLINES), noise, texture, rotation) for i, g in enumerate(generators)])

    return Dataset(
        train_images=draw(0, n_train),
        train_labels=np.arange(n_train) % len(OUTLINES),
        test_images=draw(1, n_test),
        test_labels=np.arange(n_test) % len(OUTLINES),
        class_names=list(OUTLINES),
        provenance={
            "description": "drawn by rivalry from the seed",
            "limit": "drawn by a program: no photograph is among them",
            "urls": [],
            "files": {},
        },
    )


def _draw(generator: np.random.Generator, label: int, noise: float, texture: float, rotation: float) -> np.ndarray:
    """One image, uint8 (3,32,32)."""
    mask = _mask(generator, list(OUTLINES.values())[label], rotation)
    background = _texture(generator, generator.uniform(0.0, 0.5, 3), texture)
    shape = _texture(generator, generator.uniform(0.5, 1.0, 3), texture / 2)
    image = mask * shape + (1 - mask) * background
    image += noise * generator.standard_normal(image.shape)
    pixels: np.ndarray = np.rint(255 * image.clip(0, 1)).astype(np.uint8)
    return pixels


def _mask(generator: np.random.Generator, outlines: list[np.ndarray], rotation: float) -> np.ndarray:
    """Share of each pixel that the shape covers, (32,32) in [0,1]: drawn larger, then averaged."""
    radius = generator.uniform(7, 12)
    centre = SIDE / 2 + generator.uniform(-1, 1, 2) * (SIDE / 2 - radius - 1)
    angle = np.deg2rad(generator.uniform(-rotation, rotation))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    canvas = Image.new("L", (SIDE * SUPERSAMPLING,) * 2)
    pen = ImageDraw.Draw(canvas)
    for outline, fill in zip(outlines, [255, 0], strict=False):
        pen.polygon([tuple(p) for p in (centre + radius * outline @ turn) * SUPERSAMPLING], fill=fill)
    return np.asarray(canvas.reduce(SUPERSAMPLING), dtype=float) / 255


def _texture(generator: np.random.Generator, colour: np.ndarray, strength: float) -> np.ndarray:
    """A colour with three plane waves of random direction, wavelength and tint on it, (3,32,32)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    frequency = generator.uniform(-0.8, 0.8, (3, 2))
    waves = np.sin(frequency[:, :1, None] * x + frequency[:, 1:, None] * y + generator.uniform(0, 2 * np.pi, (3, 1, 1)))
    tints = generator.uniform(-1, 1, (3, 3))
    textured: np.ndarray = colour[:, None, None] + strength * np.einsum("cw,wyx->cyx", tints, waves)
    return textured
