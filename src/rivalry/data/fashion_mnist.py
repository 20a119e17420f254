"""Fashion-MNIST: articles of clothing in the format of MNIST, the four official IDX files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivalry.data._dataset import Dataset, source
from rivalry.data._idx import read_family

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch

ADDRESSES = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
}
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
PROVENANCE = {
    "description": "Zalando Research: Fashion-MNIST, photographs of articles from its shop",
    "license": "https://spdx.org/licenses/MIT.html",
}


@source(
    source="xiao2017",
    description="70,000 articles of clothing, 1x28x28",
    classes=10,
    train_images=60_000,
    test_images=10_000,
    side=28,
    files=(
        "fashion_mnist/train-images-idx3-ubyte.gz",
        "fashion_mnist/train-labels-idx1-ubyte.gz",
        "fashion_mnist/t10k-images-idx3-ubyte.gz",
        "fashion_mnist/t10k-labels-idx1-ubyte.gz",
    ),
    chance=False,
)
def fashion_mnist(fetch: Fetch, seed: int) -> Dataset:
    """The 60,000 training and 10,000 test images of Fashion-MNIST (1x28x28), in the official order."""
    return read_family(fetch, "fashion_mnist", ADDRESSES, CHECKSUMS, CLASSES, PROVENANCE)
