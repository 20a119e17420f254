"""Sources of data sets.

A source is one function in one file, `name(fetch, seed, *, <configuration>) -> Dataset`. `stages.prepare`
writes what it returns as safetensors; everything else reads these with `load_split`.
"""

from typing import TYPE_CHECKING

from rivalry.registry import open_room

if TYPE_CHECKING:  # what editors read
    from rivalry.data._splits import load_split as load_split
    from rivalry.data.cifar10 import cifar10 as cifar10
    from rivalry.data.digits import digits as digits
    from rivalry.data.image_folder import image_folder as image_folder
    from rivalry.data.mnist import mnist as mnist
    from rivalry.data.shapes import shapes as shapes

open_room(__name__, load_split="_splits")
