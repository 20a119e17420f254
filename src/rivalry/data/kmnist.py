"""Kuzushiji-MNIST: cursive Japanese characters in the format of MNIST, the four official IDX files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivalry.data._dataset import Dataset, source
from rivalry.data._idx import read_family

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch

ADDRESSES = ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "md5:bdb82020997e1d708af4cf47b453dcf7",
    "train-labels-idx1-ubyte.gz": "md5:e144d726b3acfaa3e44228e80efcd344",
    "t10k-images-idx3-ubyte.gz": "md5:5c965bf0a639b31b8f53240b1b52f4d7",
    "t10k-labels-idx1-ubyte.gz": "md5:7320c461ea6c1c855c0b718fb2a4b134",
}
CLASSES = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
PROVENANCE = {
    "description": "Center for Open Data in the Humanities: KMNIST, characters of classical Japanese books",
    "license": "https://spdx.org/licenses/CC-BY-SA-4.0.html",
}


@source(
    source="clanuwat2018",
    description="70,000 handwritten Japanese characters, 1x28x28",
    classes=10,
    train_images=60_000,
    test_images=10_000,
    side=28,
    files=(
        "kmnist/train-images-idx3-ubyte.gz",
        "kmnist/train-labels-idx1-ubyte.gz",
        "kmnist/t10k-images-idx3-ubyte.gz",
        "kmnist/t10k-labels-idx1-ubyte.gz",
    ),
    chance=False,
)
def kmnist(fetch: Fetch, seed: int) -> Dataset:
    """The 60,000 training and 10,000 test characters of Kuzushiji-MNIST (1x28x28), in the official order."""
    return read_family(fetch, "kmnist", ADDRESSES, CHECKSUMS, CLASSES, PROVENANCE)
