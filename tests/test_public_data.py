"""Public data sets that nobody has to have: their readers, on small files in exactly their formats."""

from __future__ import annotations

import ast
import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from rivalry import _torchvision, registry
from rivalry.config import Mistakes, load_config
from rivalry.data import _cifar, _idx
from rivalry.data._dataset import Dataset
from rivalry.data._fetch import Fetch, Remote
from rivalry.data._files import mirrored
from rivalry.describe import describe
from rivalry.errors import RivalryError

FAMILY = ("fashion_mnist", "kmnist", "mnist")
SOURCES = (*FAMILY, "cifar100", "svhn")
N_TRAIN, N_TEST = 30, 20
module = {name: import_module(f"rivalry.data.{name}") for name in SOURCES}
Files = dict[str, bytes]


def images(n: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


TRAIN, TEST = (images(n, (3, 32, 32), n) for n in (N_TRAIN, N_TEST))
"""What colour images are made of; gray ones are the top left corner of their red."""


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    content = struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()
    return gzip.compress(content, mtime=0)


def four_files(name: str) -> Files:
    files = {}
    for prefix, pixels in ("train", TRAIN), ("t10k", TEST):
        files[f"{name}/{prefix}-images-idx3-ubyte.gz"] = idx(pixels[:, 0, :28, :28])
        files[f"{name}/{prefix}-labels-idx1-ubyte.gz"] = idx((np.arange(len(pixels)) % 10).astype(np.uint8))
    return files


def tar(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar-100-binary/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def records(pixels: np.ndarray) -> bytes:
    """Coarse label, fine label, then the red, the green and the blue plane."""
    rows = np.arange(len(pixels))
    labels = np.stack([rows % 20, 99 - rows], axis=1).astype(np.uint8)
    return np.concatenate([labels, pixels.reshape(len(pixels), -1)], axis=1).tobytes()


CIFAR: Files = {
    "train.bin": records(TRAIN),
    "test.bin": records(TEST),
    "fine_label_names.txt": "".join(f"fine_{i}\n" for i in range(100)).encode(),
    "coarse_label_names.txt": "".join(f"coarse_{i}\n" for i in range(20)).encode() + b"\n",
}


def matlab(pixels: np.ndarray, **others: Any) -> bytes:
    """Images (32,32,3,N), and labels from 1 to 10."""
    buffer = io.BytesIO()
    labels = (np.arange(len(pixels)) % 10 + 1).astype(np.uint8)[:, None]
    savemat(buffer, {"X": pixels.transpose(2, 3, 1, 0), "y": labels} | others, do_compression=True)
    return buffer.getvalue()


def files_of(name: str) -> Files:
    if name in FAMILY:
        return four_files(name)
    if name == "cifar100":
        return {"cifar100/cifar-100-binary.tar.gz": tar(CIFAR)}
    return {"svhn/train_32x32.mat": matlab(TRAIN), "svhn/test_32x32.mat": matlab(TEST)}


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Dataset]:
    """Reads a source from a mirror of these files, whose checksums and counts are taken for the official ones."""
    monkeypatch.setattr(_idx, "COUNTS", {"train": N_TRAIN, "t10k": N_TEST})
    monkeypatch.setattr(_cifar, "COUNTS", {"train": N_TRAIN, "test": N_TEST})
    monkeypatch.setattr(module["svhn"], "COUNTS", {"train_32x32.mat": N_TRAIN, "test_32x32.mat": N_TEST})

    def from_mirror(name: str, files: Files, **parameters: Any) -> Dataset:
        sums = {file: f"md5:{hashlib.md5(content).hexdigest()}" for file, content in files.items()}
        for file, content in files.items():
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_bytes(content)
        if name == "cifar100":
            monkeypatch.setattr(module[name], "ARCHIVE", replace(module[name].ARCHIVE, hash=sums[next(iter(files))]))
        else:
            monkeypatch.setattr(module[name], "CHECKSUMS", {Path(file).name: found for file, found in sums.items()})
        data: Dataset = getattr(module[name], name)(Fetch(str(tmp_path)), 1, **parameters)
        return data

    return from_mirror


def check(data: Dataset) -> None:
    for pixels, labels in (data.train_images, data.train_labels), (data.test_images, data.test_labels):
        assert pixels.dtype == np.uint8
        assert labels.dtype == np.int64
        assert labels.shape == pixels.shape[:1]
        assert labels.max() < len(data.class_names)


@pytest.mark.parametrize("name", FAMILY)
def test_relatives_of_mnist_keep_pixels_and_order(name, read):
    data = read(name, files_of(name))
    check(data)
    np.testing.assert_array_equal(data.train_images, TRAIN[:, :1, :28, :28])
    np.testing.assert_array_equal(data.test_images, TEST[:, :1, :28, :28])
    assert data.test_labels.tolist() == [i % 10 for i in range(N_TEST)]
    assert len(set(data.class_names)) == 10


@pytest.mark.parametrize(
    ("parameters", "labels", "names"),
    [
        ({}, [99 - i for i in range(N_TEST)], [f"fine_{i}" for i in range(100)]),
        ({"labels": "fine"}, [99 - i for i in range(N_TEST)], [f"fine_{i}" for i in range(100)]),
        ({"labels": "coarse"}, [i % 20 for i in range(N_TEST)], [f"coarse_{i}" for i in range(20)]),
    ],
)
def test_cifar100_has_two_labels_an_image(parameters, labels, names, read):
    data = read("cifar100", files_of("cifar100"), **parameters)
    check(data)
    np.testing.assert_array_equal(data.train_images, TRAIN)
    np.testing.assert_array_equal(data.test_images, TEST)
    assert data.test_labels.tolist() == labels
    assert data.class_names == names


@pytest.mark.parametrize("name", registry.names("sources"))
def test_a_source_says_truly_whether_a_seed_changes_its_data(name):
    body = registry.function(registry.PACKAGE / f"data/{name}.py").body
    used = any(isinstance(node, ast.Name) and node.id == "seed" for part in body for node in ast.walk(part))
    assert registry.method("sources", name).traits.get("chance", True) == used


def test_svhn_calls_a_zero_zero(read):
    data = read("svhn", files_of("svhn"))
    check(data)
    np.testing.assert_array_equal(data.train_images, TRAIN)
    np.testing.assert_array_equal(data.test_images, TEST)
    assert data.train_labels.tolist() == [(i + 1) % 10 for i in range(N_TRAIN)]
    assert data.class_names == list("0123456789")


# --- what torchvision says ------------------------------------------------------------------------


def test_checksums_and_classes_are_those_that_torchvision_has():
    _torchvision.ensure()
    from torchvision.datasets import KMNIST, MNIST, SVHN, FashionMNIST

    for name, theirs in ("mnist", MNIST), ("fashion_mnist", FashionMNIST), ("kmnist", KMNIST):
        assert {file: f"md5:{md5}" for file, md5 in theirs.resources} == module[name].CHECKSUMS
        assert set(module[name].ADDRESSES) & set(theirs.mirrors)
    assert FashionMNIST.classes == module["fashion_mnist"].CLASSES
    assert KMNIST.classes == module["kmnist"].CLASSES
    for split in "train", "test":
        url, file, md5 = SVHN.split_list[split]
        assert module["svhn"].ADDRESS + file == url
        assert module["svhn"].CHECKSUMS[file] == f"md5:{md5}"


def test_svhn_is_read_as_torchvision_reads_it(read, tmp_path, monkeypatch):
    _torchvision.ensure()
    from torchvision.datasets import SVHN

    data = read("svhn", files_of("svhn"))
    monkeypatch.setattr(SVHN, "_check_integrity", lambda self: True)
    theirs = SVHN(str(tmp_path / "svhn"), "train")
    np.testing.assert_array_equal(theirs.data, data.train_images)
    np.testing.assert_array_equal(theirs.labels, data.train_labels)


# --- what is wrong with files ---------------------------------------------------------------------


def changed(name: str, file: str, content: bytes) -> Files:
    return files_of(name) | {f"{name}/{file}": content}


def cifar(**others: bytes | None) -> Files:
    files = CIFAR | {name.replace("__", "."): content for name, content in others.items()}
    return {"cifar100/cifar-100-binary.tar.gz": tar({n: c for n, c in files.items() if c is not None})}


GRAY, SMALL = TRAIN[:, 0, :28, :28], TRAIN[:, :, :28, :28]
LABELS = (np.arange(N_TRAIN) % 10).astype(np.uint8)
FAULTS = [
    *(
        (name, changed(name, file, content), f"{file}: {complaint}")
        for name in FAMILY
        for file, content, complaint in [
            ("train-images-idx3-ubyte.gz", files_of(name)[f"{name}/train-images-idx3-ubyte.gz"][:-9], "is not a whole"),
            ("train-images-idx3-ubyte.gz", idx(GRAY, kind=13), "is no IDX file"),
            ("train-images-idx3-ubyte.gz", idx(GRAY[:-1]), "has fewer bytes"),
            ("train-images-idx3-ubyte.gz", b"<html>Not found</html>", "is not a whole gzip file"),
            ("t10k-labels-idx1-ubyte.gz", idx(LABELS), "has more bytes"),
        ]
    ),
    ("cifar100", {"cifar100/cifar-100-binary.tar.gz": tar(CIFAR)[:-900]}, "is not a whole tar archive"),
    ("cifar100", {"cifar100/cifar-100-binary.tar.gz": b"PK\3\4"}, "is not a whole tar archive"),
    ("cifar100", cifar(test__bin=None), "has no test.bin"),
    ("cifar100", cifar(fine_label_names__txt=None), "has no fine_label_names.txt"),
    ("cifar100", cifar(train__bin=records(TRAIN)[:-1]), "train.bin does not hold records of 3074 bytes"),
    ("cifar100", cifar(test__bin=records(TRAIN)), r"test has shape \(30, 3, 32, 32\), expected \(20, 3, 32, 32\)"),
    ("cifar100", cifar(fine_label_names__txt=b"a\nb\na\n"), "fine_label_names.txt names 2 classes, expected 100"),
    ("svhn", changed("svhn", "train_32x32.mat", matlab(TRAIN)[:-900]), "train_32x32.mat: is not a whole MATLAB"),
    ("svhn", changed("svhn", "train_32x32.mat", b"MATLAB 5.0 MAT-file" + bytes(200)), "is not a whole MATLAB file"),
    ("svhn", changed("svhn", "test_32x32.mat", b""), "test_32x32.mat: is not a whole MATLAB file"),
    ("svhn", changed("svhn", "test_32x32.mat", matlab(TRAIN)), r"X is uint8 of \(32, 32, 3, 30\), expected"),
    ("svhn", changed("svhn", "train_32x32.mat", matlab(SMALL)), r"X is uint8 of \(28, 28, 3, 30\), expected"),
    ("svhn", changed("svhn", "train_32x32.mat", matlab(TRAIN, y=LABELS)), r"y is uint8 of \(1, 30\), expected"),
    ("svhn", changed("svhn", "train_32x32.mat", matlab(TRAIN / 255)), "X is float64"),
]


@pytest.mark.parametrize(
    ("name", "files", "complaint"), FAULTS, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(FAULTS)]
)
def test_a_file_that_is_not_what_it_should_be_is_one_line(name, files, complaint, read):
    with pytest.raises(RivalryError, match=complaint) as caught:
        read(name, files)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", SOURCES)
def test_official_files_are_told_from_others_by_their_checksums(name, tmp_path):
    for file, content in files_of(name).items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(content)
    with pytest.raises(RivalryError, match=rf"{name}/.*: expected md5 \w+, got \w+; replace the file"):
        getattr(module[name], name)(Fetch(str(tmp_path)), 1)


# --- what is known beforehand ---------------------------------------------------------------------


class Asked(Exception):
    pass


@pytest.mark.parametrize("name", [*SOURCES, "cifar10"])
def test_a_source_says_truly_which_files_a_mirror_must_hold(name, tmp_path):
    asked = []

    def fetch(*alternatives: Remote) -> Path:
        asked.append(tuple(remote.name for remote in alternatives))
        raise Asked

    method = registry.method("sources", name)
    with pytest.raises(Asked):
        method.load()(fetch, 1)
    wanted = mirrored(method.traits)
    assert asked[0] in wanted
    for file in {file for alternatives in wanted for file in alternatives} - {*asked[0]}:
        assert Path(file).name in module[name].CHECKSUMS
    assert len(wanted) == len(getattr(module.get(name), "CHECKSUMS", [name]))
    for alternatives in wanted:
        assert f"  {' or '.join(alternatives)}\n" in describe(method)


def configured(source: str, **keys: Any) -> dict[str, Any]:
    return {
        "datasets": {"mine": {"source": source} | keys},
        "victims": {"plain": {"method": "plain", "architecture": "mlp512"}},
        "attacks": {"fgsm": {"method": "fgsm", "eps": 0.1}},
        "matches": [{"datasets": ["mine"], "victims": ["plain"], "attacks": ["fgsm"]}],
    }


@pytest.mark.parametrize("name", SOURCES)
def test_a_mirror_that_lacks_a_file_is_refused_beforehand(name, tmp_path):
    content = configured(name) | {"data_mirror": str(tmp_path)}
    with pytest.raises(Mistakes) as caught:
        load_config(content, "c.yaml")
    wanted = [file for alternatives in mirrored(registry.method("sources", name).traits) for file in alternatives]
    for line, file in zip(caught.value.lines, wanted, strict=True):
        assert line.startswith("c.yaml: datasets.mine.source: data_mirror '")
        assert line.endswith(f" lacks {file}; add it, or leave data_mirror out to download")
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    load_config(content)
    load_config(content | {"data_mirror": "https://example.org/none"})


def test_one_of_two_archives_will_do(tmp_path):
    content = configured("cifar10") | {"data_mirror": str(tmp_path)}
    with pytest.raises(Mistakes, match=r"lacks cifar10/cifar10-png.zip or cifar10/cifar-10-binary.tar.gz"):
        load_config(content)
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10/cifar-10-binary.tar.gz").touch()
    load_config(content)


@pytest.mark.parametrize(("labels", "classes"), [("fine", 100), ("coarse", 20)])
def test_a_target_must_be_one_of_the_labels_that_were_chosen(labels, classes):
    assert load_config(configured("cifar100", labels=labels)).about("mine").classes == classes
    content = configured("cifar100", labels=labels)
    content["attacks"]["fgsm"]["target"] = classes - 1
    load_config(content)
    content["attacks"]["fgsm"]["target"] = classes
    with pytest.raises(Mistakes, match=rf"{classes} is no class of mine \(cifar100\); its classes are 0 to"):
        load_config(content)


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_known_beforehand_is_what_the_reader_demands(name):
    about = load_config(configured(name)).about("mine")
    counts = {"cifar100": (_cifar.COUNTS, "test"), "svhn": (module["svhn"].COUNTS, "test_32x32.mat")}
    found, test = counts.get(name, (_idx.COUNTS, "t10k"))
    assert (about.train_images, about.test_images) == (max(found.values()), found[test])
    assert about.side == (_idx.SIDE if name in FAMILY else _cifar.SHAPE[1])
    with pytest.raises(Mistakes, match=rf"train_images: 100000 is more than its {about.train_images} training images"):
        load_config(configured(name, train_images=100_000))
