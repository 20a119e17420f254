"""MNIST: handwritten digits, the four official IDX files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivalry.data._dataset import Dataset, source
from rivalry.data._idx import read_family

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch

ADDRESSES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
}
CLASSES = [str(digit) for digit in range(10)]
PROVENANCE = {
    "description": "Y. LeCun, C. Cortes, C. Burges: the MNIST database of handwritten digits",
}


@source(
    source="lecun1998",
    description="70,000 handwritten digits, 1x28x28",
    classes=10,
    train_images=60_000,
    test_images=10_000,
    side=28,
    files=(
        "mnist/train-images-idx3-ubyte.gz",
        "mnist/train-labels-idx1-ubyte.gz",
        "mnist/t10k-images-idx3-ubyte.gz",
        "mnist/t10k-labels-idx1-ubyte.gz",
    ),
    chance=False,
)
def mnist(fetch: Fetch, seed: int) -> Dataset:
    """The 60,000 training and 10,000 test digits of MNIST (1x28x28), in the official order."""
    return read_family(fetch, "mnist", ADDRESSES, CHECKSUMS, CLASSES, PROVENANCE)
