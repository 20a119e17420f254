"""Data sets: what every source delivers, and what is refused."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import re
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from rivalry import artifacts
from rivalry.config import Mistakes, load_config
from rivalry.data import _fetch, _files, _images, _pixels
from rivalry.data._dataset import Dataset
from rivalry.data._fetch import Fetch, Remote
from rivalry.data._glance import Known
from rivalry.data._idx import read_idx
from rivalry.data._sampling import by_content
from rivalry.data._splits import Split, load_split, select_images
from rivalry.data.digits import digits
from rivalry.data.image_folder import image_folder, look
from rivalry.data.shapes import shapes
from rivalry.errors import RivalryError
from rivalry.layout import Place
from rivalry.plan import Plan
from rivalry.stages import prepare
from rivalry.types import UserFile

cifar10, mnist = (import_module(f"rivalry.data.{name}") for name in ("cifar10", "mnist"))
OFFLINE = Fetch("no/such/mirror")


def glance(path: str, size: int | list[int] | None) -> Known:
    """What a configuration learns of a folder or archive before it is read, faults included."""
    try:
        return look(path=path, size=size)
    except RivalryError as error:
        return Known(fault=str(error))


MIRROR = os.environ.get("RIVALRY_DATA_MIRROR")
needs_mirror = pytest.mark.skipif(not MIRROR, reason="RIVALRY_DATA_MIRROR is not set")


def small_shapes(seed: int, **parameters: float) -> Dataset:
    return shapes(OFFLINE, seed, n_train=40, n_test=20, **parameters)


# --- the embedded sources -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "shape", "sizes"),
    [(partial(digits, OFFLINE), (1, 28, 28), (1347, 450)), (small_shapes, (3, 32, 32), (40, 20))],
)
class TestEmbedded:
    def test_is_uint8_nchw_with_ten_classes(self, make, shape, sizes):
        data = make(1)
        for images, labels, n in zip(
            (data.train_images, data.test_images), (data.train_labels, data.test_labels), sizes, strict=True
        ):
            assert images.dtype == np.uint8
            assert images.shape == (n, *shape)
            assert labels.dtype == np.int64
            assert labels.shape == (n,)
            assert set(labels) == set(range(10))
        assert len(set(data.class_names)) == 10

    def test_equal_seeds_give_equal_bytes_and_others_do_not(self, make, shape, sizes):
        assert make(1).train_images.tobytes() == make(1).train_images.tobytes()
        assert make(1).train_images.tobytes() != make(2).train_images.tobytes()

    def test_training_and_test_images_are_distinct(self, make, shape, sizes):
        data = make(1)
        assert not {i.tobytes() for i in data.train_images} & {i.tobytes() for i in data.test_images}


def test_digits_are_split_within_each_class():
    data = digits(OFFLINE, 1, test_fraction=0.2)
    share = np.bincount(data.test_labels) / (np.bincount(data.test_labels) + np.bincount(data.train_labels))
    np.testing.assert_allclose(share, 0.2, atol=0.005)


@pytest.mark.parametrize("test_fraction", [1e-9, 0.005, 0.995, 0.9999])
def test_digits_need_each_class_in_both_splits(test_fraction):
    with pytest.raises(RivalryError, match=rf"^{test_fraction:g} makes"):
        digits(OFFLINE, 1, test_fraction=test_fraction)
    assert set(digits(OFFLINE, 1, test_fraction=0.0056).test_labels) == set(range(10))


def test_digits_use_the_whole_range_of_shades():
    images = digits(OFFLINE, 1).train_images
    assert images.min() == 0
    assert images.max() == 255


def test_digits_keep_the_originals_when_reduced_again():
    from sklearn.datasets import load_digits

    data = digits(OFFLINE, 1)
    images, labels = (
        np.concatenate(p) for p in ((data.train_images, data.test_images), (data.train_labels, data.test_labels))
    )
    original, classes = load_digits(return_X_y=True)
    reduced = np.stack([np.asarray(Image.fromarray(i[0]).resize((8, 8), Image.Resampling.BOX)) for i in images])
    reduced = reduced.reshape(-1, 64) * (16 / 255)
    nearest = [np.abs(original - image).sum(1).argmin() for image in reduced[:100]]
    assert (classes[nearest] == labels[:100]).all()


def test_shapes_are_balanced_and_extensible():
    few, many = small_shapes(3), shapes(OFFLINE, 3, n_train=60, n_test=20)
    assert np.bincount(few.train_labels).tolist() == [4] * 10
    np.testing.assert_array_equal(few.train_images, many.train_images[:40])


def test_every_shape_stands_out_from_its_background():
    data = small_shapes(3, noise=0.0, texture=0.0)
    for image in data.train_images:
        brightness = image.mean(axis=0)
        covered = brightness > (brightness.min() + brightness.max()) / 2
        assert 0.03 < covered.mean() < 0.5
        assert covered[[0, -1]].sum() + covered[:, [0, -1]].sum() < 6  # a tip may touch the border, not more


def test_more_noise_is_noisier():
    calm, noisy = (small_shapes(3, noise=noise).train_images.astype(float) for noise in (0.0, 0.1))
    assert 15 < (noisy - calm).std() < 255 * 0.1  # clipping takes some


# --- what everybody reads -------------------------------------------------------------------------


def test_select_images_is_nested_sorted_and_seeded():
    few, many = select_images(100, 10, seed=5), select_images(100, 30, seed=5)
    assert many.dtype == torch.int64
    assert len(set(many.tolist())) == 30
    assert many.tolist() == sorted(many.tolist())
    assert set(few.tolist()) < set(many.tolist())
    assert many.tolist() != select_images(100, 30, seed=6).tolist()
    assert select_images(100, 100, seed=5).tolist() == list(range(100))


@pytest.mark.parametrize("count", [0, 101])
def test_select_images_refuses_more_than_there_are(count):
    with pytest.raises(RivalryError, match="ask for 1 to 100"):
        select_images(100, count, seed=5)


def test_prepared_data_can_be_loaded_and_verified(tmp_path):
    parameters = {"n_train": 40, "n_test": 20}
    for name in "first", "second":
        prepare.prepare("toys", "shapes", parameters, tmp_path / name, seed=1, mirror=None)
    folder = tmp_path / "first"
    split = load_split(folder, "test")
    assert split.images.dtype == torch.uint8
    assert split.labels.dtype == torch.int64
    facts = artifacts.read_json(folder / "dataset.json")
    assert facts["shape"] == [3, 32, 32]
    assert facts["train_counts"] == [4] * 10
    assert (facts["classes"], facts["n_train"], facts["n_test"]) == (10, 40, 20)
    for name in "train", "test":
        assert facts["sha256"][name] == artifacts.checksum(folder / f"{name}.safetensors")
        assert facts["sha256"][name] == artifacts.checksum(tmp_path / "second" / f"{name}.safetensors")
    manifest = artifacts.read_manifest(Place("prepare", folder).manifest)
    assert manifest["files"].keys() == {"train.safetensors", "test.safetensors", "dataset.json", "croissant.json"}
    assert manifest["about"] == {"dataset": "toys"}
    prepare.prepare("toys", "shapes", parameters, tmp_path / "other", seed=2, mirror=None)
    assert artifacts.read_json(tmp_path / "other/dataset.json")["sha256"] != facts["sha256"]


def test_floats_are_in_the_unit_interval():
    split = Split(torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1), torch.arange(3))
    assert split.floats().flatten().tolist() == pytest.approx([0, 0.2, 1])
    assert split.floats(torch.tensor([2])).flatten().tolist() == [1]
    assert split.floats().dtype == torch.float32
    assert len(split) == 3


SPLIT = np.zeros((4, 1, 5, 5), np.uint8), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("train", "test", "names", "complaint"),
    [
        (SPLIT, SPLIT, ["a"], "at least 2"),
        ((SPLIT[0] / 255, SPLIT[1]), SPLIT, ["a", "b"], "train images are float64"),
        ((SPLIT[0][:, 0], SPLIT[1]), (SPLIT[0][:, 0], SPLIT[1]), ["a", "b"], "train images are uint8"),
        ((SPLIT[0][..., :4], SPLIT[1]), SPLIT, ["a", "b"], "one shape"),
        (SPLIT, (SPLIT[0], SPLIT[1].astype(np.int32)), ["a", "b"], "test labels are int32"),
        (SPLIT, (SPLIT[0], SPLIT[1][:3]), ["a", "b"], "test labels are"),
        (SPLIT, (SPLIT[0], SPLIT[1] + 1), ["a", "b"], "test has a label 2"),
        (SPLIT, (SPLIT[0], SPLIT[1] * 0), ["a", "b"], "class 'b' has no image in test"),
    ],
)
def test_prepare_refuses_what_no_classifier_can_use(monkeypatch, tmp_path, train, test, names, complaint):
    monkeypatch.setattr(
        import_module("rivalry.data.digits"), "digits", lambda fetch, seed: Dataset(*train, *test, names, {})
    )
    with pytest.raises(RivalryError, match=complaint):
        prepare.prepare("mine", "digits", {}, tmp_path, seed=1, mirror=None)
    assert not list(tmp_path.iterdir())


# --- IDX and MNIST --------------------------------------------------------------------------------


def idx(array: np.ndarray, *, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def test_idx_reads_what_was_written(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(PIXELS)))
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz", (2, 3, 4)), PIXELS)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (gzip.compress(idx(PIXELS, kind=9)), r"holds int8 of \(2, 3, 4\), expected uint8"),
        (gzip.compress(idx(PIXELS, kind=10)), "is no IDX file"),
        (gzip.compress(idx(PIXELS, kind=13)), "is no IDX file"),
        (gzip.compress(idx(PIXELS.ravel())), "fewer bytes"),
        (gzip.compress(idx(np.zeros(32, np.uint8))), r"holds uint8 of \(32,\), expected uint8 of \(2, 3, 4\)"),
        (gzip.compress(idx(PIXELS.reshape(4, 3, 2))), r"holds uint8 of \(4, 3, 2\), expected uint8 of \(2, 3, 4\)"),
        (gzip.compress(idx(PIXELS)[:-1]), "fewer bytes"),
        (gzip.compress(idx(PIXELS) + b"\0"), "more bytes"),
        (gzip.compress(b"\xff" * 40), "is no IDX file"),
        (gzip.compress(b""), "fewer bytes"),
        (gzip.compress(idx(PIXELS))[:-9], "not a whole gzip file"),
        (idx(PIXELS), "not a whole gzip file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # a packed file's bytes hold the time
)
def test_idx_refuses_broken_files(tmp_path, content, complaint):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(RivalryError, match=complaint) as caught:
        read_idx(tmp_path / "a.gz", (2, 3, 4))
    assert "\n" not in str(caught.value)
    assert "a.gz" in str(caught.value)


@pytest.fixture
def mnist_mirror(tmp_path, monkeypatch):
    """A mirror of MNIST's shape with its own checksums; label and shade of image i are i modulo 10."""
    folder = tmp_path / "mirror" / "mnist"
    folder.mkdir(parents=True)
    checksums = {}
    for name in mnist.CHECKSUMS:
        labels = (np.arange(60_000 if name.startswith("train") else 10_000) % 10).astype(np.uint8)
        array = np.broadcast_to(labels[:, None, None], (len(labels), 28, 28)) if "images" in name else labels
        content = gzip.compress(idx(array), compresslevel=1)
        (folder / name).write_bytes(content)
        checksums[name] = f"md5:{hashlib.md5(content).hexdigest()}"
    monkeypatch.setattr(mnist, "CHECKSUMS", checksums)
    return folder.parent


@pytest.fixture
def server(mnist_mirror):
    """The address of a web server for that mirror."""
    handler = partial(SimpleHTTPRequestHandler, directory=mnist_mirror)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def check_like_mirror(data: Dataset) -> None:
    assert data.train_images.shape == (60_000, 1, 28, 28)
    assert data.test_images.shape == (10_000, 1, 28, 28)
    np.testing.assert_array_equal(data.train_images[:, 0, 5, 7], data.train_labels)
    np.testing.assert_array_equal(data.test_images[:, 0, 27, 0], data.test_labels)


def test_mnist_is_read_from_a_folder_mirror(mnist_mirror, tmp_path):
    check_like_mirror(mnist.mnist(Fetch(str(mnist_mirror), tmp_path / "cache"), 1))
    assert not (tmp_path / "cache").exists()


def test_mnist_is_read_from_a_web_mirror_and_cached(server, tmp_path):
    check_like_mirror(mnist.mnist(Fetch(server + "/", tmp_path / "cache"), 1))
    assert sorted(file.name for file in (tmp_path / "cache/mnist").iterdir()) == sorted(mnist.CHECKSUMS)


def test_mirror_may_come_from_the_environment(mnist_mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("RIVALRY_DATA_MIRROR", str(mnist_mirror))
    check_like_mirror(mnist.mnist(Fetch(cache_dir=tmp_path / "cache"), 1))


def test_a_configured_mirror_goes_before_the_environment(mnist_mirror, monkeypatch):
    monkeypatch.setenv("RIVALRY_DATA_MIRROR", "no/such/folder")
    check_like_mirror(mnist.mnist(Fetch(str(mnist_mirror)), 1))


# --- fetching -------------------------------------------------------------------------------------

ONE = Remote("here/one.bin", f"sha256:{hashlib.sha256(b'one').hexdigest()}")


def test_wrong_checksum_names_file_expected_and_found(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / ONE.name).write_bytes(b"two")
    with pytest.raises(RivalryError) as caught:
        Fetch(str(tmp_path))(ONE)
    line = str(caught.value)
    assert str(tmp_path / ONE.name) in line
    assert ONE.hash.removeprefix("sha256:") in line
    assert hashlib.sha256(b"two").hexdigest() in line
    assert "\n" not in line


def test_a_mirror_without_the_file_says_so_and_nothing_is_downloaded(tmp_path, server):
    elsewhere = Remote("mnist/none.gz", "md5:0", (f"{server}/mnist/train-labels-idx1-ubyte.gz",))
    (tmp_path / "empty").mkdir()
    for mirror in str(tmp_path / "empty"), server:
        with pytest.raises(RivalryError, match=r"lacks here/one.bin or mnist/none.gz"):
            Fetch(mirror, tmp_path / "cache")(ONE, elsewhere)
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]


def test_the_second_alternative_serves_when_the_mirror_lacks_the_first(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / ONE.name).write_bytes(b"one")
    assert Fetch(str(tmp_path))(Remote("here/none.bin", "md5:0"), ONE) == tmp_path / ONE.name


def test_downloads_try_each_address_and_are_checked(server, tmp_path, monkeypatch):
    monkeypatch.delenv("RIVALRY_DATA_MIRROR", raising=False)
    monkeypatch.setattr("rivalry.data._fetch.RETRIES", 0)
    name, checksum = next(iter(mnist.CHECKSUMS.items()))
    fetch = Fetch(cache_dir=tmp_path / "cache")
    path = fetch(Remote(name, checksum, (f"{server}/none", f"{server}/mnist/{name}")))
    assert f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}" == checksum
    with pytest.raises(RivalryError, match=r"other.gz: cannot be downloaded .*expected md5:0 but got") as caught:
        fetch(Remote("other.gz", "md5:0", (f"{server}/mnist/{name}",)))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache/other.gz").exists()


def test_a_mirror_that_cannot_be_looked_into_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(RivalryError, match=r"xxx: cannot be read \(File name too long\)"):
        Fetch("x" * 5000, tmp_path / "cache")(ONE)

    def denied(path: Path) -> bool:  # as for root, who may look into everything
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(RivalryError, match=rf"{ONE.name}: cannot be read \(Permission denied\)"):
        Fetch(str(tmp_path), tmp_path / "cache")(ONE)


def test_a_mirror_that_is_nothing_is_refused():
    with pytest.raises(RivalryError, match="neither a folder nor an http"):
        Fetch("no/such/folder")(ONE)


def test_a_web_mirror_that_does_not_answer_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(_fetch, "RETRIES", 0)
    with pytest.raises(RivalryError, match=r"one\.bin: cannot be downloaded from http://127") as caught:
        Fetch("http://127.0.0.1:9", tmp_path)(ONE)
    assert "\n" not in str(caught.value)


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, list[str]]]:
    """A server's address, and the paths that were asked of it by GET; it knows no HEAD."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(405)

        def do_GET(self) -> None:
            asked.append(self.path)
            with suppress(ConnectionError):
                answer(self)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}", asked
        finally:
            httpd.shutdown()
            thread.join()


def send(handler: BaseHTTPRequestHandler, content: bytes, length: int | None = None, **headers: str) -> None:
    handler.send_response(200)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(content)


def drip(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"", 1000)
    for _ in range(200):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(200):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def drip_chunk_size(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(200):
        handler.wfile.write(b"0")
        time.sleep(0.05)


def promise_for_ever(handler: BaseHTTPRequestHandler) -> None:
    for _ in range(200):
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.05)


def hang(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(2)


def flood(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"")
    for _ in range(1000):
        handler.wfile.write(bytes(1 << 20))


NEVER_WHOLE = {
    drip: "too slow",
    drip_headers: "too slow",
    drip_chunk_size: "too slow",
    promise_for_ever: "too slow",
    hang: "timed out",
    flood: "more than the file has",
    lambda handler: send(handler, b"on", 3): "2 bytes read, 1 more expected",
    lambda handler: send(handler, b"<html>log in</html>", Content_Type="text/html; charset=utf-8"): "is a web page",
    lambda handler: send(handler, b"two", 3): "does not match",
    lambda handler: send(handler, b""): "does not match",
    lambda handler: handler.send_error(500): "500",
    lambda handler: handler.wfile.write(b"garbage\r\n\r\n"): "garbage",
}


@pytest.mark.parametrize("answer", NEVER_WHOLE, ids=map(str, range(len(NEVER_WHOLE))))
def test_no_server_holds_a_download_for_ever_or_leaves_half_a_file(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(_fetch, "RETRIES", 0)
    monkeypatch.setattr(_fetch, "TIMEOUT", (1, 0.5))
    monkeypatch.setattr(_fetch, "PATIENCE", 1.5)  # a server that sends nothing has timed out by then
    with serving(answer) as (address, _):
        with pytest.raises(RivalryError, match=rf"here/one\.bin: .*{NEVER_WHOLE[answer]}") as caught:
            Fetch(address, tmp_path / "cache")(ONE)
        assert "\n" not in str(caught.value)
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]


def test_a_long_download_says_how_far_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_fetch, "TELL", 0.0)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b"", 3 << 20)
        for _ in range(3):
            handler.wfile.write(bytes(1 << 20))
            time.sleep(0.3)

    with serving(answer) as (address, _), open(tmp_path / "file", "wb") as file:
        _fetch._receive(4 << 20, f"{address}/file", file.name, None)
    assert (tmp_path / "file").stat().st_size == 3 << 20
    assert "of 3 MiB\n" in capsys.readouterr().out


def test_a_server_without_head_serves_and_a_missing_file_leads_to_the_next(tmp_path):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == f"/{ONE.name}":
            send(handler, b"one", 3, Content_Encoding="gzip")  # as Apache calls .gz files
        else:
            handler.send_error(403)

    with serving(answer) as (address, asked):
        path = Fetch(address, tmp_path / "cache")(Remote("here/none.bin", "md5:0"), ONE)
        assert path.read_bytes() == b"one"
        assert asked == ["/here/none.bin", "/here/one.bin"]
        Fetch(address, tmp_path / "cache")(ONE)
        assert len(asked) == 2  # from the cache
        path.write_bytes(b"on")
        assert Fetch(address, tmp_path / "cache")(ONE).read_bytes() == b"one"


def test_a_broken_connection_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    answers = iter([b"on", b"", b"one"])
    with serving(lambda handler: send(handler, next(answers), 3)) as (address, asked):
        assert Fetch(address, tmp_path / "cache")(ONE).read_bytes() == b"one"
    assert len(asked) == 3


# --- your own images ------------------------------------------------------------------------------


def encode(array: np.ndarray, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format, **options)
    return buffer.getvalue()


def colour(shade: int, height: int = 5, width: int = 6) -> bytes:
    return encode(np.full((height, width, 3), (shade, 0, 255 - shade), np.uint8))


def gray(shade: int) -> bytes:
    return encode(np.full((5, 6), shade, np.uint8))


FILES = {
    f"{split}/{name}/{i}.png": colour(shade + i)
    for split in ("train", "test")
    for name, shade in (("cat", 10), ("dog", 200))
    for i in range(3 if split == "train" else 2)
}


def write(path: Path, files: dict[str, bytes]) -> Path:
    """A folder, zip or tar archive (by the suffix) of these files."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    elif ".tar" in path.suffixes or path.suffix == ".tgz":
        with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    else:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


KINDS = ["mine", "mine.zip", "mine.tar", "mine.tar.gz", "mine.tgz"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", ["", "./", "some/where/"])
def test_image_folder_reads_folders_and_archives_alike(tmp_path, kind, prefix):
    extra = {
        "README.md": b"hello",
        "train/cat/.hidden": b"",
        "__MACOSX/train/cat/._0.png": b"",
        ".x/a/b/c.png": b"",
    }
    files = {prefix + name: content for name, content in (FILES | extra).items()}
    data = image_folder(OFFLINE, 1, path=str(write(tmp_path / kind, files)))
    assert data.class_names == ["cat", "dog"]
    assert data.train_images.shape == (6, 3, 5, 6)
    assert data.train_images.dtype == np.uint8
    assert sorted(zip(data.train_labels, data.train_images[:, 0, 0, 0], strict=True)) == [
        (0, 10), (0, 11), (0, 12), (1, 200), (1, 201), (1, 202)
    ]  # fmt: skip
    assert sorted(zip(data.test_labels, data.test_images[:, 2, 4, 5], strict=True)) == [
        (0, 244), (0, 245), (1, 54), (1, 55)
    ]  # fmt: skip


def test_image_folder_made_by_tar_itself(tmp_path):
    write(tmp_path / "mine", FILES)
    with tarfile.open(tmp_path / "mine.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "mine", ".")
    assert len(image_folder(OFFLINE, 1, path=str(tmp_path / "mine.tar.gz")).train_labels) == 6


def test_image_folder_order_does_not_depend_on_names_or_order(tmp_path):
    plain = image_folder(OFFLINE, 1, path=str(write(tmp_path / "mine.zip", FILES)))
    renamed = {name.replace("/", "/", 2)[:-5] + f"{9 - int(name[-5])}.png": FILES[name] for name in reversed(FILES)}
    other = image_folder(OFFLINE, 1, path=str(write(tmp_path / "other.tar", renamed)))
    np.testing.assert_array_equal(plain.train_images, other.train_images)
    np.testing.assert_array_equal(plain.train_labels, other.train_labels)


def test_by_content_mixes_classes():
    images = np.random.default_rng(0).integers(0, 256, (1000, 1, 4, 4), dtype=np.uint8)
    _, labels = by_content(images, np.repeat([0, 1], 500))
    assert 400 < (np.diff(labels) != 0).sum() < 600


def test_image_folder_keeps_gray_gray_and_reads_jpeg(tmp_path):
    shades = {"train/a/1.png": 10, "train/b/1.JPG": 200, "test/a/1.jpeg": 20, "test/b/1.png": 90}
    files = {
        name: encode(np.full((8, 8), shade, np.uint8), "PNG" if name.endswith("png") else "JPEG", quality=100)
        for name, shade in shades.items()
    }
    data = image_folder(OFFLINE, 1, path=str(write(tmp_path / "mine", files)))
    assert data.train_images.shape == (2, 1, 8, 8)
    assert {int(image[0, 0, 0]) for image in data.train_images} == {10, 200}


def test_image_folder_resizes_and_converts_when_told(tmp_path):
    files = FILES | {"train/cat/9.png": colour(9, 40, 30), "train/dog/8.png": gray(8)}
    path = str(write(tmp_path / "mine", files))
    assert image_folder(OFFLINE, 1, path=path, size=8, channels=1).train_images.shape == (8, 1, 8, 8)
    assert image_folder(OFFLINE, 1, path=path, size=8, channels=3).train_images.shape == (8, 3, 8, 8)


ANIMATION = encode(
    np.zeros((5, 6, 3), np.uint8), save_all=True, append_images=[Image.new("RGB", (6, 5), "red")], duration=100
)


@pytest.mark.parametrize("kind", ["mine", "mine.zip", "mine.tar.gz"])
@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({n: c for n, c in FILES.items() if n.startswith("train")}, r"has no test split; lay"),
        ({}, "has no images"),
        ({"train/cat/9.png": colour(9, 7, 6)}, r"train/cat/9.png is 3x7x6 but .* is 3x5x6; give size"),
        ({"train/dog/9.png": gray(9)}, r"train/dog/9.png is 1x5x6 but .* is 3x5x6; give channels"),
        ({"train/cat/9.png": encode(np.zeros((5, 6), np.uint16))}, r"train/cat/9.png is 1x5x6 but .*; give channels"),
        ({"train/cat/9.png": b""}, "train/cat/9.png is empty"),
        ({"train/cat/9.png": b"not an image"}, "train/cat/9.png is a broken image"),
        ({"train/cat/9.png": colour(9)[:50]}, "train/cat/9.png is a broken image"),
        ({"train/cat/9.gif": colour(9)}, "train/cat/9.gif does not end in .png, .jpg or"),
        ({"train/cat/9.png": encode(np.zeros((5, 6), np.uint8), "GIF")}, "train/cat/9.png is GIF, not PNG"),
        ({"train/cat/9.jpg": encode(np.zeros((5, 6, 3), np.uint8), "WEBP")}, "train/cat/9.jpg is WebP, not JPEG"),
        ({"train/cat/9.jpg": encode(np.zeros((5, 6, 3), np.uint8), "BMP")}, "train/cat/9.jpg is BMP, not JPEG"),
        ({"train/cat/9.png": encode(np.zeros((5, 6, 3), np.uint8), "TIFF")}, "train/cat/9.png is TIFF, not PNG"),
        ({"train/cat/9.png": b"<!DOCTYPE html><p>Not found"}, "train/cat/9.png is text, not PNG"),
        ({"train/cat/9.png": ANIMATION}, "train/cat/9.png is an animation"),
        ({"train/owl/9.png": colour(9)}, "class 'owl' has images in train but none in test"),
        ({"test/owl/9.png": colour(9)}, "class 'owl' has images in test but none in train"),
        ({"later/cat/9.png": colour(9)}, "later/cat/9.png is not in train"),
        ({"train/cat/deep/9.png": colour(9)}, "train/cat/deep/9.png is not in train"),
        ({"train/9.png": colour(9)}, "train/9.png is not in train"),
        ({"more/train/cat/9.png": colour(9)}, "another data set"),
        ({"train/cat/9.png": encode(np.zeros((4100, 4100), np.uint8))}, "9.png has 4100x4100 pixels"),
    ],
)  # fmt: skip
def test_image_folder_refuses_what_is_not_a_data_set(tmp_path, kind, files, complaint):
    whole = all(name in FILES for name in files)
    path = write(tmp_path / kind, files if whole else FILES | files)
    path.mkdir(exist_ok=True) if kind == "mine" else None
    with pytest.raises(RivalryError, match=complaint) as caught:
        image_folder(OFFLINE, 1, path=str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["mine", "mine.zip", "mine.tar"])
@pytest.mark.parametrize(
    "name",
    [
        "Screenshot 2026-11-25 at 3.04.05\u202fPM.png",  # as macOS writes it
        "a\u00a0copy.png",
        "می\u200cخواهم.png",
        "👩\u200d🔬.png",
        "猫\u3000咪.png",
        "saved from Chrome.jfif",
        "OLD.JPE",
    ],
)
def test_names_that_people_have_are_read(tmp_path, kind, name):
    path = write(tmp_path / kind, FILES | {f"{split}/{name}/{name}": colour(90) for split in ("train", "test")})
    assert sorted(image_folder(OFFLINE, 1, path=str(path)).class_names) == sorted(["cat", "dog", name])
    assert glance(str(path), 9).fault is None


@pytest.mark.parametrize("name", ["missing", "missing.zip", "mine.rar", "pipe", "pipe.zip", "nul\0", "x" * 5000])
def test_image_folder_refuses_other_paths(tmp_path, name):
    (tmp_path / "mine.rar").write_bytes(b"")
    if name.startswith("pipe"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(RivalryError, match=name) as caught:
        image_folder(OFFLINE, 1, path=str(tmp_path / name))
    assert glance(str(tmp_path / name), None).fault == str(caught.value)


# --- pixels as a viewer shows them ----------------------------------------------------------------


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


SCENE = np.zeros((4, 6, 3), np.uint8)
SCENE[:2, :, 0], SCENE[2:, :, 2], SCENE[0, 0] = 255, 255, (0, 255, 0)
"""Red over blue, one corner green."""

AS_STORED = {
    1: SCENE,
    2: SCENE[:, ::-1],
    3: SCENE[::-1, ::-1],
    4: SCENE[::-1],
    5: SCENE.transpose(1, 0, 2),
    6: np.rot90(SCENE),
    7: np.rot90(SCENE, 2).transpose(1, 0, 2),
    8: np.rot90(SCENE, -1),
}
"""The scene as a camera stores it under each EXIF orientation."""


@pytest.mark.parametrize("orientation", AS_STORED)
def test_photographs_are_turned_as_their_exif_says(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(np.ascontiguousarray(AS_STORED[orientation])), exif=exif)
    np.testing.assert_array_equal(_pixels.decode("a.png", content, None, None).transpose(1, 2, 0), SCENE)


def test_a_photograph_on_its_side_shows_its_top_on_top():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (16, 16), (220, 20, 20))
    picture.paste((20, 20, 220), (8, 0, 16, 16))  # stored: left red, right blue; shown: top red
    top, bottom = np.split(
        _pixels.decode("a.jpg", saved(picture, "JPEG", exif=exif, quality=100), None, None), 2, axis=1
    )
    assert top[0].min() > 150 > bottom[0].max()


def test_damaged_exif_leaves_the_image_as_it_is():
    content = saved(Image.fromarray(SCENE), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0\1")
    np.testing.assert_array_equal(_pixels.decode("a.png", content, None, None).transpose(1, 2, 0), SCENE)


def hidden_noise(mode: str) -> Image.Image:
    """An image whose upper half is transparent and full of noise."""
    bands = len(mode)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, bands), dtype=np.uint8)
    pixels[4:, :, :-1], pixels[:4, :, -1], pixels[4:, :, -1] = 90, 0, 255
    return Image.fromarray(pixels, mode)


def palette(*, transparent: bool = False) -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 10, 0, 7, 90])
    image.putdata([0, 1])
    return saved(image, **({"transparency": 0} if transparent else {}))


ONE_BIT = np.array([[0, 255], [255, 0]], np.uint8)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (saved(hidden_noise("RGBA")), np.repeat([255, 90], 32).reshape(1, 8, 8).repeat(3, axis=0)),
        (saved(hidden_noise("LA")), np.repeat([255, 90], 32).reshape(1, 8, 8)),
        (saved(Image.new("RGBA", (1, 1), (0, 0, 0, 51))), np.full((3, 1, 1), 204)),
        (palette(), np.array([[[200, 0]], [[0, 7]], [[10, 90]]])),
        (palette(transparent=True), np.array([[[255, 0]], [[255, 7]], [[255, 90]]])),
        (saved(Image.fromarray(SCENE), transparency=(255, 0, 0)),
         np.where((SCENE == [255, 0, 0]).all(2, keepdims=True), 255, SCENE).transpose(2, 0, 1)),
        (saved(Image.fromarray(np.array([[3, 90]], np.uint8)), transparency=3), np.array([[[255, 90]]])),
        (encode(np.array([[0, 257, 257 * 100 + 128, 65535]], np.uint16)), np.array([[[0, 1, 100, 255]]])),
        (saved(Image.fromarray(np.array([[300, 0]], np.uint16)), transparency=300), np.array([[[255, 0]]])),
        (saved(Image.fromarray(ONE_BIT).convert("1")), ONE_BIT[None]),
    ],
    ids=["rgba", "la", "glass", "palette", "clear palette", "colour key", "gray key", "16 bit", "16-bit key", "1 bit"],
)  # fmt: skip
def test_pixels_are_what_a_viewer_shows(content, expected):
    pixels = _pixels.decode("a.png", content, None, None)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, expected)


def png(depth: int, colour: int, row: bytes, clear: bytes) -> bytes:
    """A PNG of one row of pixels, four gray ones or one colour, and its transparent shade or colour."""
    header = struct.pack(">IIBBBBB", 4 if colour == 0 else 1, 1, depth, colour, 0, 0, 0)
    parts = (b"IHDR", header), (b"tRNS", clear), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")
    return _pixels.PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(1, 0, b"\x60", b"\0\1"), [0, 255, 255, 0]),
        (png(1, 0, b"\x60", b"\0\0"), [255, 255, 255, 255]),
        (png(2, 0, b"\x1b", b"\0\1"), [0, 255, 170, 255]),
        (png(4, 0, b"\x12\x34", b"\0\2"), [17, 255, 51, 68]),
        (png(16, 2, b"\1\2\3\4\5\6", b"\1\2\3\4\5\6"), [255, 255, 255]),
        (png(16, 2, b"\1\2\3\4\5\6", b"\2\2\3\4\5\6"), [1, 3, 5]),
    ],
)
def test_transparent_shades_are_told_in_the_bits_of_the_file(content, expected):
    assert _pixels.decode("a.png", content, None, None).ravel().tolist() == expected


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_damaged_images_never_surprise(format):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = saved(Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)), format, exif=exif)
    random = np.random.default_rng(0)
    lines = []
    for _ in range(300):
        damaged = bytearray(whole)
        for position in random.integers(8, len(whole), 2):
            damaged[position] = random.integers(256)
        try:
            pixels = _pixels.decode("a.png", bytes(damaged), 8, 3)
        except RivalryError as error:
            lines.append(str(error))
        else:
            assert pixels.shape == (3, 8, 8)
    assert lines
    assert all(line.startswith("a.png ") and "\n" not in line for line in lines)


def test_cmyk_becomes_rgb():
    red = _pixels.decode("a.jpg", saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100), None, None)
    assert red.shape == (3, 8, 8)
    assert red[0].min() > 200
    assert red[1:].max() < 60


def test_a_photograph_with_a_second_picture_is_its_first():
    second = [Image.new("RGB", (8, 8), "blue")]
    content = saved(Image.new("RGB", (8, 8), "red"), "MPO", save_all=True, append_images=second)
    assert _pixels.decode("a.jpg", content, None, None)[0].min() > 200


@pytest.mark.parametrize("kind", ["tEXt", "zTXt"])
def test_long_texts_in_a_png_do_no_harm(kind):
    texts = PngImagePlugin.PngInfo()
    for number in range(3):
        texts.add_text(f"parameters{number}", "a" * 3_000_000, zip=kind == "zTXt")
    content = saved(Image.fromarray(SCENE), pnginfo=texts)
    np.testing.assert_array_equal(_pixels.decode("a.png", content, None, None).transpose(1, 2, 0), SCENE)


def without_pixels(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds hardly anything."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")
    return _pixels.PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


@pytest.mark.parametrize("side", [5000, 12_000, 60_000])
def test_bombs_are_refused_by_their_header(side):
    with pytest.raises(RivalryError, match=r"a\.png has .*pixels; at most"):
        _pixels.decode("a.png", without_pixels(side, side), None, None)


def test_a_size_beyond_reason_is_refused_before_anything_is_read(tmp_path):
    path = str(write(tmp_path / "mine", FILES))
    with pytest.raises(RivalryError, match="size 100000"):
        image_folder(OFFLINE, 1, path=path, size=100_000)
    names = [f"{split}/{label}/{i}.png" for split in ("train", "test") for label in "ab" for i in range(100)]
    path = str(write(tmp_path / "more", dict.fromkeys(names, b"")))
    assert "400 images of 4096x4096 pixels take over 4 GiB" in str(glance(path, 4096).fault)


# --- what lies beside images ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mine", "mine.zip", "mine.tar"])
@pytest.mark.parametrize("name", ["desktop.ini", "Thumbs.db", ".DS_Store", "._0.png", "__MACOSX/train/cat/0.png"])
def test_files_of_systems_are_skipped(tmp_path, kind, name):
    path = str(write(tmp_path / kind, FILES | {f"train/cat/{name}": b"[.ShellClassInfo]"}))
    assert len(image_folder(OFFLINE, 1, path=path).train_labels) == 6
    assert glance(path, None).fault is None


def a_dangling_link(folder: Path) -> None:
    (folder / "odd.png").symlink_to("nothing.png")


def a_circle(folder: Path) -> None:
    (folder / "odd.png").symlink_to(folder.parent)


def a_link_to_itself(folder: Path) -> None:
    (folder / "odd.png").symlink_to("odd.png")


def a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "odd.png")


def a_name_in_latin_1(folder: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/odd\xe9.png")).write_bytes(colour(1))
    except OSError:
        pytest.skip("this file system takes no such names")


def a_name_of_two_lines(folder: Path) -> None:
    (folder / "od\nd.png").write_bytes(colour(1))


def a_deep_folder(folder: Path) -> None:
    (folder / "odd.png" / "/".join("x" * 100)).mkdir(parents=True)


def a_locked_file(folder: Path) -> None:
    (folder / "odd.png").write_bytes(colour(1))
    (folder / "odd.png").chmod(0)


def a_locked_folder(folder: Path) -> None:
    (folder / "odd.png").mkdir(mode=0)


ODD = {
    a_dangling_link: "link that leads nowhere",
    a_circle: "link to a folder around it",
    a_link_to_itself: "link that leads nowhere",
    a_deep_folder: "folders deep",
    a_pipe: "pipe, socket or device",
    a_name_in_latin_1: r"\\xe9\.png: has a name that is not UTF-8",
    a_name_of_two_lines: r"/od\\nd\.png: has a name that is not UTF-8, or has control",
    a_locked_file: "no permission",
    a_locked_folder: "no permission",
}


def state(path: str) -> str:
    """What the planner notes of the files of a data set."""
    config = SimpleNamespace(
        reached=lambda entries: entries,
        user_files=lambda *names: [("path", UserFile(), path)],
        about=lambda name: Known(),
    )
    return Plan.files_state(SimpleNamespace(config=config), "datasets", "mine", "mine")


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
def test_odd_files_are_named_by_checker_planner_and_reader(tmp_path, monkeypatch, make):
    path = write(tmp_path / "mine", FILES)
    make(path / "train" / "cat")
    if os.geteuid() == 0:  # root may read everything: say what others are told

        def access(file: Path, mode: int) -> bool:
            return bool(os.stat(file).st_mode & 0o400)

        monkeypatch.setattr("rivalry.data._files.os.access", access)
    fault = glance(str(path), None).fault
    with pytest.raises(RivalryError) as planned:
        state(str(path))
    with pytest.raises(RivalryError, match=ODD[make]) as read:
        image_folder(OFFLINE, 1, path=str(path))
    assert str(read.value) == str(planned.value) == fault
    assert f"{path}/train/cat/od" in str(read.value)
    assert "\n" not in str(read.value)
    str(read.value).encode()


def test_a_home_is_found_and_a_linked_folder_watched(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "elsewhere", {name.removeprefix("train/"): FILES[name] for name in FILES if "train" in name})
    write(tmp_path / "photos", {name: FILES[name] for name in FILES if "test" in name})
    (tmp_path / "photos/train").symlink_to(tmp_path / "elsewhere")
    before = state("~/photos")
    assert len(image_folder(OFFLINE, 1, path="~/photos").train_labels) == 6
    assert glance("~/photos", None).test_images == 4
    assert before == state("~/photos")
    (tmp_path / "elsewhere/cat/new.png").write_bytes(colour(77))
    assert before != state("~/photos")
    assert len(image_folder(OFFLINE, 1, path="~/photos").train_labels) == 7
    with pytest.raises(RivalryError, match="no such home"):
        image_folder(OFFLINE, 1, path="~nobody-of-that-name/photos")
    assert "no such home" in str(glance("~nobody-of-that-name/photos", None).fault)


def configured(path: str, **keys: object) -> dict[str, object]:
    return {
        "title": "Mine",
        "seed": 1,
        "datasets": {"mine": {"source": "image_folder", "path": path, "images": 4} | keys},
        "victims": {"plain": {"method": "plain", "architecture": "mlp512", "epochs": 1}},
        "attacks": {"noise": {"method": "random_noise", "eps": [0.1]}},
        "matches": [{"datasets": ["mine"], "victims": ["plain"], "attacks": ["noise"]}],
    }


def test_a_configuration_hears_of_it_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "photos", FILES)
    assert load_config(configured("~/photos") | {"data_mirror": "~/photos"}).about("mine").test_images == 4
    with pytest.raises(Mistakes, match=r"datasets\.mine\.size: 100000 is wrong"):
        load_config(configured("~/photos", size=100_000))
    for source, wrong in (
        ({"source": "digits", "test_fraction": 0.001}, "has 2 test images of 10 classes"),
        ({"source": "shapes", "n_test": 9}, "has 9 test images of 10 classes"),
        ({"source": "shapes", "n_train": 10_000_000}, "n_train: 10000000 is wrong"),
    ):
        with pytest.raises(Mistakes, match=wrong):
            load_config(configured("") | {"datasets": {"mine": source}})
    write(tmp_path / "photos", {"later/cat/0.png": colour(1)})
    with pytest.raises(Mistakes, match=r"datasets\.mine\.path: .*later/cat/0\.png is not in train"):
        load_config(configured("~/photos"))


def test_a_folder_of_too_many_files_is_refused(tmp_path, monkeypatch):
    path = str(write(tmp_path / "mine", FILES))
    monkeypatch.setattr(_files, "MAX_FILES", 5)
    with pytest.raises(RivalryError, match="holds over 5 files"):
        image_folder(OFFLINE, 1, path=path)
    assert "holds over 5 files" in str(glance(path, None).fault)


def zip_in_code_page(encoding: str, label: str) -> bytes:
    """A zip whose packer wrote names in `encoding` and no flag for UTF-8."""
    stand_in = "x" * len(label.encode(encoding))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name.replace("cat", stand_in), content)
    return buffer.getvalue().replace(f"/{stand_in}/".encode(), b"/" + label.encode(encoding) + b"/")


def test_names_of_a_zip_are_utf_8_or_refused(tmp_path):
    path = tmp_path / "mine.zip"
    path.write_bytes(zip_in_code_page("utf-8", "猫咪"))
    assert image_folder(OFFLINE, 1, path=str(path)).class_names == ["dog", "猫咪"]
    path.write_bytes(zip_in_code_page("gbk", "猫咪"))
    with pytest.raises(RivalryError, match="old code page") as caught:
        image_folder(OFFLINE, 1, path=str(path))
    assert "\n" not in str(caught.value)
    assert "old code page" in str(glance(str(path), None).fault)


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_tar_cut_between_members_is_refused(tmp_path, packed, damage):
    whole = write(tmp_path / "whole.tar", FILES).read_bytes()
    member = 2 * tarfile.BLOCKSIZE  # a header and a small image
    rest = b"" if damage == "cut" else b"x" * 20 * tarfile.BLOCKSIZE
    path = tmp_path / ("mine.tar" if packed is bytes else "mine.tar.gz")
    for members in 5, 9:
        path.write_bytes(packed(whole[: members * member] + rest))
        with pytest.raises(RivalryError, match="cut short or damaged between members"):
            image_folder(OFFLINE, 1, path=str(path))
    path.write_bytes(packed(whole))
    assert len(image_folder(OFFLINE, 1, path=str(path)).train_labels) == 6


# --- hostile archives -----------------------------------------------------------------------------


def zip_with(name: str, content: bytes = b"", *, mode: int = 0o100644, deflated: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        info = zipfile.ZipInfo("placeholder")
        info.filename, info.external_attr, info.compress_type = name, mode << 16, archive.compression
        archive.writestr(info, content)
    return buffer.getvalue()


def zip_twice(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, colour(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(name, colour(2))
    return buffer.getvalue()


def zip_encrypted(name: str) -> bytes:
    content = bytearray(zip_with(name, b"secret"))
    for signature, offset in (b"PK\x03\x04", 6), (b"PK\x01\x02", 8):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


def zip_that_lies(name: str) -> bytes:
    """It says that it holds ten bytes, and would unpack to two million."""
    content = zip_with(name, bytes(2_000_000), deflated=True)
    return content.replace(struct.pack("<I", 2_000_000), struct.pack("<I", 10))


def tar_with(
    name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = "", gz: bool = False
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if gz else "w") as archive:
        info = tarfile.TarInfo(name)
        info.size, info.type, info.linkname = len(content), kind, link
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tar_header_bomb() -> bytes:
    """A compressed tar archive whose extended header is 100 MB of zeros, which tarfile would read whole."""
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 100_000_000
    return gzip.compress(info.tobuf() + bytes(info.size), compresslevel=1)


IN = "train/cat/1.png"
HOSTILE = {
    "absolute.zip": (zip_with("/etc/passwd"), r"'/etc/passwd' is not a plain"),
    "parent.zip": (zip_with("train/cat/../../../1.png"), r"'train/cat/../../../1.png' is not a plain"),
    "backslash.zip": (zip_with("..\\1.png"), r"is not a plain"),
    "drive.zip": (zip_with("C:/windows/1.png"), r"'C:/windows/1.png' is not a plain"),
    "nul.zip": (zip_with("train/cat/1.png\0.exe"), "is not a plain"),
    "symlink.zip": (zip_with(IN, b"/etc/passwd", mode=0o120777), f"{IN} is a link or device"),
    "device.zip": (zip_with(IN, mode=0o020666), f"{IN} is a link or device"),
    "encrypted.zip": (zip_encrypted(IN), f"{IN} is encrypted"),
    "twice.zip": (lambda: zip_twice(IN), f"{IN} is in it twice"),
    "bomb.zip": (zip_with(IN, bytes(5_000_000), deflated=True), f"{IN} unpacks to too much"),
    "liar.zip": (zip_that_lies(IN), f"not a whole zip archive .*{IN}"),
    "cut.zip": (zip_with(IN, bytes(1000))[:-30], "not a whole zip archive"),
    "encoding.zip": (zip_with("a/b/é.png").replace("é".encode(), b"\xff\xff"), "not a whole zip archive"),
    "garbage.zip": (b"PK garbage", "not a whole zip archive"),
    "nameless.tar": (tar_with("", colour(1)), r"'' is not a plain"),
    "absolute.tar": (tar_with("/etc/passwd"), r"'/etc/passwd' is not a plain"),
    "parent.tar": (tar_with("../1.png"), r"'../1.png' is not a plain"),
    "symlink.tar": (tar_with(IN, kind=tarfile.SYMTYPE, link="/etc/passwd"), f"{IN} is a link or device"),
    "hardlink.tar": (tar_with(IN, kind=tarfile.LNKTYPE, link="/etc/passwd"), f"{IN} is a link or device"),
    "device.tar": (tar_with(IN, kind=tarfile.CHRTYPE), f"{IN} is a link or device"),
    "fifo.tar": (tar_with(IN, kind=tarfile.FIFOTYPE), f"{IN} is a link or device"),
    "bomb.tar.gz": (tar_with(IN, bytes(5_000_000), gz=True), f"{IN} unpacks to too much"),
    "header.tar.gz": (tar_header_bomb, "unpacks to too much"),
    "cut.tar.gz": (tar_with(IN, os.urandom(5000), gz=True)[:-1000], "not a whole tar archive"),
    "cut.tar": (tar_with(IN, os.urandom(5000))[:3000], "not a whole tar archive"),
    "garbage.tar": (os.urandom(2000), "not a whole tar archive"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_in_one_line(tmp_path, name):
    content, complaint = HOSTILE[name]
    (tmp_path / name).write_bytes(content() if callable(content) else content)
    with pytest.raises(RivalryError, match=complaint) as caught:
        image_folder(OFFLINE, 1, path=str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", [name for name in HOSTILE if ".tar" in name])
def test_a_hostile_tar_is_told_beforehand_in_its_reader_s_words(tmp_path, name):
    content, complaint = HOSTILE[name]
    (tmp_path / name).write_bytes(content() if callable(content) else content)
    assert re.search(complaint, glance(str(tmp_path / name), None).fault)


@pytest.mark.parametrize("kind", ["mine.tar", "mine.tgz"])
@pytest.mark.parametrize("limit", ["MOST_MEMBERS", "MOST_UNPACKED"])
def test_a_large_tar_is_left_to_its_reader(tmp_path, monkeypatch, kind, limit):
    path = str(write(tmp_path / kind, FILES))
    assert glance(path, None) == Known(classes=2, train_images=6, test_images=4, side=5)
    monkeypatch.setattr(import_module("rivalry.data.image_folder"), limit, 5)
    assert glance(path, None) == Known()
    assert glance(path, 9) == Known(side=9)


@pytest.mark.parametrize("kind", ["mine.zip", "mine.tar"])
def test_archives_of_too_many_members_are_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(_images, "MAX_FILES", 5)
    with pytest.raises(RivalryError, match="one too many"):
        image_folder(OFFLINE, 1, path=str(write(tmp_path / kind, FILES)))


@pytest.mark.parametrize("kind", ["mine.zip", "mine.tar.gz"])
def test_damaged_archives_never_surprise(tmp_path, kind):
    """Flipping bytes anywhere in an archive gives the same data set or one line, nothing else."""
    whole = write(tmp_path / kind, FILES).read_bytes()
    random = np.random.default_rng(0)
    lines = []
    for _ in range(300):
        damaged = bytearray(whole)
        for position in random.integers(0, len(whole), 3):
            damaged[position] = random.integers(256)
        (tmp_path / kind).write_bytes(damaged)
        try:
            image_folder(OFFLINE, 1, path=str(tmp_path / kind))
        except RivalryError as error:
            lines.append(str(error))
    assert len(lines) > 100
    assert not [line for line in lines if "\n" in line]


# --- CIFAR-10 -------------------------------------------------------------------------------------


def test_cifar10_binary_records_are_a_label_and_three_planes(tmp_path):
    record = bytes([7]) + b"".join(bytes([plane]) * 1024 for plane in (1, 2, 3))
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    files = {f"cifar-10-batches-bin/{name}": record * 2 for name in names}
    splits = cifar10._read_binary(write(tmp_path / "cifar-10-binary.tar.gz", files))
    assert splits["train"][0].shape == (10, 3, 32, 32)
    assert splits["test"][1].tolist() == [7, 7]
    assert splits["test"][0][0, :, 5, 9].tolist() == [1, 2, 3]
    del files["cifar-10-batches-bin/data_batch_3.bin"]
    with pytest.raises(RivalryError, match=r"has no data_batch_3\.bin"):
        cifar10._read_binary(write(tmp_path / "cifar-10-binary.tar.gz", files))


def test_cifar10_pngs_must_be_of_the_ten_classes(tmp_path):
    with pytest.raises(RivalryError, match=r"classes are cat, dog, expected airplane"):
        cifar10._read_pngs(write(tmp_path / "cifar10-png.zip", FILES))


@pytest.mark.slow
@needs_mirror
def test_real_mnist():
    data = mnist.mnist(Fetch(MIRROR), 1)
    assert data.train_images.shape == (60_000, 1, 28, 28)
    assert data.test_images.shape == (10_000, 1, 28, 28)
    assert data.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert data.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


@pytest.mark.slow
@needs_mirror
def test_real_cifar10_from_either_archive(tmp_path, monkeypatch):
    data = cifar10.cifar10(Fetch(MIRROR), 1)
    assert data.train_images.shape == (50_000, 3, 32, 32)
    assert np.bincount(data.train_labels).tolist() == [5000] * 10
    assert np.bincount(data.test_labels).tolist() == [1000] * 10
    means = data.train_images.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=5e-5)

    def records(images: np.ndarray, labels: np.ndarray) -> bytes:
        return np.column_stack([labels.astype(np.uint8), images.reshape(len(images), -1)]).tobytes()

    order = np.random.default_rng(0).permutation(50_000).reshape(5, -1)
    files = {
        f"b/data_batch_{i}.bin": records(data.train_images[o], data.train_labels[o]) for i, o in enumerate(order, 1)
    }
    files["b/test_batch.bin"] = records(data.test_images, data.test_labels)
    (tmp_path / "cifar10").mkdir()
    archive = write(tmp_path / "plain.tar", files).rename(tmp_path / cifar10.BINARY_ARCHIVE.name)
    remote = Remote(cifar10.BINARY_ARCHIVE.name, f"sha256:{artifacts.checksum(archive)}")
    monkeypatch.setattr(cifar10, "BINARY_ARCHIVE", remote)
    other = cifar10.cifar10(Fetch(str(tmp_path)), 1)
    np.testing.assert_array_equal(data.train_images, other.train_images)
    np.testing.assert_array_equal(data.train_labels, other.train_labels)


# --- torchvision ----------------------------------------------------------------------------------


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_torchvision_and_lightning_import_after_ensure():
    done = run(
        "from rivalry._torchvision import ensure; ensure(); ensure();"
        "import torchvision, torchmetrics, lightning;"
        "from torchvision.models import mobilenet_v3_small; print(type(mobilenet_v3_small()).__name__)"
    )
    assert done.stdout.strip() == "MobileNetV3", done.stderr


def test_ensure_defines_operators_only_where_the_extension_is_broken():
    works_alone = run("import torchvision").returncode == 0
    done = run("from rivalry._torchvision import ensure; print(ensure() is None)")
    assert done.stdout.strip() == str(works_alone), done.stderr


def test_sources_do_not_import_torch():
    sources = "import sys, rivalry.data.shapes, rivalry.data.mnist, rivalry.data.digits;"
    done = run(f"{sources} print('torch' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr
