"""scikit-learn's bundled handwritten digits, enlarged to MNIST's size: real data that needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from rivalry.data._dataset import Dataset, source
from rivalry.data._roles import held_out
from rivalry.types import OpenFraction

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch

SIDE = 28


@source(
    source="alpaydin1998",
    description="1,797 handwritten digits, resampled to 1x28x28",
    classes=10,
    images=1797,
    side=28,
)
def digits(fetch: Fetch, seed: int, *, test_fraction: OpenFraction = 0.25) -> Dataset:
    """The 1,797 digits (8x8, 17 shades) of scikit-learn, resampled bicubically to 1x28x28.

    Parameters
    ----------
    test_fraction
        Share of the images that becomes the test split, drawn within each class.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    small, labels = load_digits(return_X_y=True)
    shades = (small * (255 / 16)).astype(np.float32).reshape(-1, 8, 8)
    pictures = [Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for image in shades]
    large = np.stack([np.asarray(picture) for picture in pictures])
    images = np.rint(large.clip(0, 255)).astype(np.uint8)[:, None]
    held_out(len(labels), 10, test_fraction)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images,
        labels.astype(np.int64),
        test_size=test_fraction,
        stratify=labels,
        random_state=np.random.RandomState(np.random.MT19937(seed)),
    )
    return Dataset(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=[str(digit) for digit in range(10)],
        provenance={
            "description": "bundled with scikit-learn, from UCI's Optical Recognition of Handwritten Digits",
            "limit": "images of 8x8 pixels enlarged to 28x28, so budgets mean less than on real 28x28 images",
            "license": "https://spdx.org/licenses/CC-BY-4.0.html",
            "urls": ["https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits"],
            "files": {},
        },
    )
