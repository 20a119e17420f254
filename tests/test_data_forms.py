"""The forms in which users bring their own images: one data set whatever the form, and one line for each mistake."""

from __future__ import annotations

import csv as csv_file
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rivalry import registry
from rivalry.artifacts import read_json
from rivalry.config import Mistakes, load_config
from rivalry.data import load_split
from rivalry.data._dataset import Dataset
from rivalry.data._fetch import Fetch
from rivalry.data._glance import Known
from rivalry.data._sampling import divided, sample
from rivalry.errors import RivalryError
from rivalry.plan import Plan
from rivalry.stages.prepare import prepare

parquet = import_module("rivalry.data.parquet")
CLASSES = ["ant", "bee", "cow"]
N = 30
"""Pictures: 10 of each class, the last 9 of all are for testing."""
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 6, 8, 3), dtype=np.uint8)
LABELS = np.arange(N) % len(CLASSES)
SPLITS = ["train" if i < N - 9 else "test" for i in range(N)]
NAMES = np.array([CLASSES[label] for label in LABELS])


def png(pixels: np.ndarray, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def png_at(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png(pixels))


def rows_of(*splits: str) -> list[int]:
    return [i for i in range(N) if SPLITS[i] in splits]


# --- one data set, in every form ------------------------------------------------------------------


def as_folder(at: Path, name: Callable[[int], str] = "{}.png".format, splits: list[str] = SPLITS) -> dict[str, Any]:
    for i in range(N):
        png_at(at / splits[i] / CLASSES[LABELS[i]] / name(i), PIXELS[i])
    return {"source": "image_folder", "path": str(at)}


def as_class_folders(at: Path) -> dict[str, Any]:
    return as_folder(at, splits=[""] * N)


def as_archive(at: Path, kind: str) -> dict[str, Any]:
    as_folder(at)
    return {"source": "image_folder", "path": shutil.make_archive(str(at), kind, at)}


def as_npz(at: Path, labels: np.ndarray = NAMES, **changed: np.ndarray | None) -> dict[str, Any]:
    train, test = rows_of("train"), rows_of("test")
    arrays = {"x_train": PIXELS[train], "y_train": labels[train], "x_test": PIXELS[test], "y_test": labels[test]}
    at.mkdir(parents=True, exist_ok=True)
    np.savez(at / "my.npz", allow_pickle=True, **{k: v for k, v in (arrays | changed).items() if v is not None})
    return {"source": "npz", "path": str(at / "my.npz")}


def table(
    rows: list[int], *, image: str = "image", label: str = "label", names: list[str] | None = CLASSES
) -> pa.Table:
    """As a hub writes it: images as bytes and a path, labels as numbers, the classes' names beside the schema."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": png(PIXELS[i]), "path": f"{i}.png"} for i in rows], kind)
    features = {image: {"_type": "Image"}, label: {"_type": "ClassLabel", "names": names}}
    columns = pa.table({image: images, label: pa.array([int(LABELS[i]) for i in rows], pa.int64())})
    return columns.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})} if names else {}
    )


def write_tables(at: Path, **tables: pa.Table) -> dict[str, Any]:
    for name, content in tables.items():
        file = at / f"{name.replace('__', '/').replace('_', '-')}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(content, file)
    return {"source": "parquet", "path": str(at)}


def as_parquet(at: Path, **keys: Any) -> dict[str, Any]:
    train = rows_of("train")
    return write_tables(
        at / "data",
        train_00000_of_00002=table(train[:10], **keys),
        train_00001_of_00002=table(train[10:], **keys),
        test_00000_of_00001=table(rows_of("test"), **keys),
    ) | {"path": str(at)}


def as_csv(
    at: Path, separator: str = ",", encoding: str = "utf-8", split: bool = True, rows: Any = None
) -> dict[str, Any]:
    for i in range(N):
        png_at(at / "images" / f"{i}.png", PIXELS[i])
    if rows is None:
        rows = [["path", "label", "split"][: 2 + split]]
        rows += [[f"images/{i}.png", NAMES[i], SPLITS[i]][: 2 + split] for i in range(N)]
    with (at / "my.csv").open("w", newline="", encoding=encoding) as file:
        csv_file.writer(file, delimiter=separator).writerows(rows)
    return {"source": "csv", "path": str(at / "my.csv")}


FORMS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "folder": as_folder,
    "folder, other names and splits in capitals": lambda at: as_folder(
        at, lambda i: f"x{N - i}.png", [f"{split[0].upper()}{split[1:]}ing" for split in SPLITS]
    ),
    "zip": lambda at: as_archive(at, "zip"),
    "tar": lambda at: as_archive(at, "gztar"),
    "npz": as_npz,
    "npz, channels first": lambda at: as_npz(
        at, x_train=PIXELS[rows_of("train")].transpose(0, 3, 1, 2), x_test=PIXELS[rows_of("test")].transpose(0, 3, 1, 2)
    ),
    "npz of floats in [0,1]": lambda at: as_npz(
        at, x_train=PIXELS[rows_of("train")] / np.float32(255), x_test=PIXELS[rows_of("test")] / 255
    ),
    "npz of floats in [0,255]": lambda at: as_npz(
        at, x_train=PIXELS[rows_of("train")].astype(np.float16), x_test=PIXELS[rows_of("test")].astype(float)
    ),
    "npz of large whole numbers": lambda at: as_npz(
        at, x_train=PIXELS[rows_of("train")].astype(np.int64), x_test=PIXELS[rows_of("test")]
    ),
    "npz, labels as bytes": lambda at: as_npz(at, NAMES.astype("S")),
    "npz, labels in a column": lambda at: as_npz(at, NAMES[:, None]),
    "npz, other names": lambda at: as_npz(
        at,
        **dict.fromkeys(("x_train", "y_train", "x_test", "y_test")),
        train_images=PIXELS[rows_of("train")],
        train_labels=NAMES[rows_of("train")],
        Test_Images=PIXELS[rows_of("test")],
        Test_Labels=NAMES[rows_of("test")],
    ),
    "parquet": as_parquet,
    "parquet, other columns": lambda at: as_parquet(at, image="img", label="fine_label"),
    "parquet, a folder for each split": lambda at: write_tables(
        at, default__train__0000=table(rows_of("train")), default__test__0000=table(rows_of("test"))
    ),
    "parquet of bytes and text": lambda at: write_tables(
        at,
        **{
            split: pa.table({"png": [png(PIXELS[i]) for i in rows_of(split)], "label": NAMES[rows_of(split)]})
            for split in ("train", "test")
        },
    ),
    "parquet of categories": lambda at: write_tables(
        at,
        **{
            split: pa.table(
                {
                    "png": [png(PIXELS[i]) for i in rows_of(split)],
                    "label": pa.array(NAMES[rows_of(split)].tolist()).dictionary_encode(),
                }
            )
            for split in ("train", "test")
        },
    ),
    "csv": as_csv,
    "csv with empty lines": lambda at: damaged(
        as_csv(at), "", lambda content: b"\n \r\n" + content.replace(b"\n", b"\n\n")
    ),
    "csv of a spreadsheet": lambda at: as_csv(at, ";", "utf-8-sig"),
    "csv with tabs": lambda at: as_csv(at, "\t"),
    "csv for each split": lambda at: as_csvs(at),
}


def as_csvs(at: Path) -> dict[str, Any]:
    as_csv(at)
    for split in ("train", "test"):
        lines = ["path,label", *(f"images/{i}.png,{NAMES[i]}" for i in rows_of(split))]
        (at / f"{split}.csv").write_text("\n".join(lines))
    (at / "my.csv").unlink()
    return {"source": "csv", "path": str(at)}


def read(source: str, **keys: Any) -> Dataset:
    method = registry.method("sources", source)
    data: Dataset = method.load()(Fetch("no/such/mirror"), 1, **keys)
    return data


def known(source: str, **keys: Any) -> Known:
    method = registry.method("sources", source)
    about: Known = method.load(method.traits["glance"])(**(method.defaults | keys))
    return about


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return read(**as_folder(tmp_path_factory.mktemp("reference")))


def same(one: Dataset, other: Dataset) -> bool:
    return one.class_names == other.class_names and all(
        np.array_equal(getattr(one, f"{split}_{what}"), getattr(other, f"{split}_{what}"))
        for split in ("train", "test")
        for what in ("images", "labels")
    )


@pytest.mark.parametrize("form", FORMS)
def test_one_data_set_is_the_same_in_every_form(form: str, tmp_path: Path, reference: Dataset) -> None:
    entry = FORMS[form](tmp_path / "mine")
    data, about = read(**entry), known(**entry)
    assert data.train_images.shape == (21, 3, 6, 8)
    assert data.class_names == CLASSES
    assert same(data, reference)
    assert data.provenance["description"] == "the user's own images"
    assert about.classes in (3, None)  # a Parquet file of text, and a tar, would have to be read
    assert (about.train_images, about.test_images, about.side) in ((21, 9, 6), (None, None, None))
    assert about.classes == 3 or form in ("tar", "parquet of bytes and text", "parquet of categories")


@pytest.mark.parametrize("form", ["class folders", "npz", "parquet", "csv"])
def test_a_fraction_divides_every_form_alike(form: str, tmp_path: Path) -> None:
    whole = {"x_train": None, "y_train": None, "x_test": None, "y_test": None}
    made = {
        "class folders": as_class_folders,
        "npz": lambda at: as_npz(at, **whole, x=PIXELS, y=NAMES),
        "parquet": lambda at: write_tables(at, all=table(list(range(N)))),
        "csv": lambda at: as_csv(at, split=False),
    }[form](tmp_path / "mine")
    again = read(**as_class_folders(tmp_path / "again"), test_fraction=0.3)
    data, about = read(**made, test_fraction=0.3), known(**made, test_fraction=0.3)
    assert same(data, again)
    assert np.bincount(data.test_labels).tolist() == [3, 3, 3]
    assert (about.train_images, about.test_images, about.side) == (21, 9, 6)
    assert data.provenance["description"].endswith("; the test split is 30 % of each class, chosen by pixels")
    with pytest.raises(RivalryError, match=r"(has no test split|is not in train/<class>/).* give test_fraction"):
        read(**made)


def test_one_picture_and_its_copies_are_on_one_side() -> None:
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (200, 1, 2, 2), dtype=np.uint8)
    images[100:] = images[random.integers(0, 100, 100)]
    labels = random.integers(0, 4, 200)
    for fraction in 0.1, 0.25, 0.5:
        test = divided(images, labels, 4, fraction)
        contents = [{image.tobytes() for image in images[side]} for side in (test, ~test)]
        assert not contents[0] & contents[1]
        assert 0 <= test.sum() - 200 * fraction <= 10
        share = np.bincount(labels[test], minlength=4) / np.bincount(labels, minlength=4)
        np.testing.assert_allclose(share, fraction, atol=0.1)


def test_a_class_of_copies_cannot_be_divided(tmp_path: Path) -> None:
    entry = as_class_folders(tmp_path)
    for file in (tmp_path / "cow").iterdir():
        file.write_bytes(png(PIXELS[0] // 2))
    with pytest.raises(RivalryError, match="all images of class 'cow' are copies of one"):
        read(**entry, test_fraction=0.3)


def test_a_sample_keeps_the_shares_of_classes_and_grows() -> None:
    images = np.random.default_rng(2).integers(0, 256, (1000, 1, 2, 2), dtype=np.uint8)
    labels = np.repeat([0, 1, 2], [700, 290, 10])
    before: set[int] = set()
    for count in 3, 10, 100, 500, 1000, 2000:
        rows = sample(images, labels, count)
        assert (np.diff(rows) > 0).all()
        assert len(rows) == min(count, 1000)
        assert before <= (before := set(rows.tolist()))
        np.testing.assert_allclose(
            np.bincount(labels[rows], minlength=3) / len(rows), [0.7, 0.29, 0.01], atol=2 / count
        )
        assert set(labels[rows]) == {0, 1, 2}


@pytest.mark.parametrize("form", ["folder", "npz", "parquet", "csv"])
def test_images_for_validation_are_trained_on_or_are_the_test_split(form: str, tmp_path: Path) -> None:
    splits = ["val" if i % 5 == 0 and split == "train" else split for i, split in enumerate(SPLITS)]
    validation = [i for i in range(N) if splits[i] == "val"]
    train = [i for i in range(N) if splits[i] == "train"]

    def make(at: Path, *, test: bool) -> dict[str, Any]:
        if form == "folder":
            entry = as_folder(at, splits=splits)
            _ = test or shutil.rmtree(at / "test")
            return entry
        if form == "npz":
            parts = {"x_val": PIXELS[validation], "y_val": NAMES[validation], "x_train": PIXELS[train]}
            return as_npz(at, **parts, y_train=NAMES[train], **({} if test else {"x_test": None, "y_test": None}))
        if form == "parquet":
            tables = {"train": table(train), "validation": table(validation)}
            return write_tables(at, **tables, **({"test": table(rows_of("test"))} if test else {}))
        rows = [[f"images/{i}.png", NAMES[i], splits[i]] for i in range(N) if test or splits[i] != "test"]
        return as_csv(at, rows=[["path", "label", "split"], *rows])

    joined, apart = (read(**make(tmp_path / str(test), test=test)) for test in (True, False))
    assert (len(joined.train_labels), len(joined.test_labels)) == (21, 9)
    assert joined.provenance["description"].endswith("those for validation are among the training images")
    assert (len(apart.train_labels), len(apart.test_labels)) == (len(train), len(validation))
    assert apart.provenance["description"].endswith("are the test split, since there is no other")
    assert known(**make(tmp_path / "known", test=False)).test_images == len(validation)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (LABELS, ["0", "1", "2"]),
        (LABELS + 9, ["9", "10", "11"]),
        (LABELS.astype(np.float32), ["0", "1", "2"]),
        (np.eye(3)[LABELS], ["0", "1", "2"]),
        (np.eye(3, dtype=bool)[LABELS], ["0", "1", "2"]),
        (2 * (LABELS % 2) - 1, ["-1", "1"]),
        (LABELS == 1, ["0", "1"]),
        (np.array(["b", "a", "ü"])[LABELS], ["a", "b", "ü"]),
    ],
)
def test_labels_of_arrays_are_classes(labels: np.ndarray, names: list[str], tmp_path: Path) -> None:
    data = read(**as_npz(tmp_path, labels))
    assert data.class_names == names
    ours = {image.tobytes(): names[label] for image, label in zip(data.train_images, data.train_labels, strict=True)}
    plain = labels.argmax(1) if labels.ndim == 2 else labels.astype(int) if labels.dtype.kind in "bf" else labels
    theirs = {PIXELS[i].transpose(2, 0, 1).tobytes(): str(plain[i]) for i in rows_of("train")}
    assert ours == theirs


def test_labels_of_a_csv_are_kept_as_they_are_written(tmp_path: Path) -> None:
    written = ["007", "7", "10"]
    rows = [["path", "label", "split"], *([f"images/{i}.png", written[LABELS[i]], SPLITS[i]] for i in range(N))]
    assert read(**as_csv(tmp_path, rows=rows)).class_names == ["007", "7", "10"]


def test_grey_arrays_need_no_channels(tmp_path: Path) -> None:
    grey = PIXELS[..., 0]
    data = read(**as_npz(tmp_path, x_train=grey[rows_of("train")], x_test=grey[rows_of("test")]))
    assert data.train_images.shape == (21, 1, 6, 8)
    white = read(**as_npz(tmp_path, x_train=grey[rows_of("train")] > 127, x_test=grey[rows_of("test")] > 127))
    assert set(np.unique(white.train_images)) == {0, 255}


def test_a_size_may_be_any_rectangle(tmp_path: Path) -> None:
    for make in as_folder, as_parquet, as_csv:
        entry = make(tmp_path / make.__name__) | {"size": [4, 10]}
        data = read(**entry)
        assert data.train_images.shape == (21, 3, 4, 10)
        assert known(**entry).side == 4
        expected = Image.fromarray(PIXELS[0]).resize((10, 4), Image.Resampling.BICUBIC)
        assert np.asarray(expected).transpose(2, 0, 1).tobytes() in {image.tobytes() for image in data.train_images}


def test_test_images_that_are_trained_on_are_told(tmp_path: Path) -> None:
    entry = as_folder(tmp_path)
    png_at(tmp_path / "train" / "ant" / "leaked.png", PIXELS[rows_of("test")[0]])
    assert read(**entry).provenance["limit"] == "1 of 9 test images are also training images, pixel by pixel"


@pytest.mark.parametrize("make", [as_folder, as_npz, as_parquet, as_csv])
def test_a_look_imports_nothing_heavy(make: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    content = json.dumps(configured(make(tmp_path)))
    program = (
        "import json, sys; from rivalry.config import load_config; from rivalry.plan import Plan; "
        "Plan(load_config(json.loads(sys.argv[1]))).files_state('datasets', 'mine', 'mine'); "
        "print(sorted({'torch', 'pandas', 'scipy', 'sklearn', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, content], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_description_names_no_path(reference: Dataset) -> None:
    assert list(reference.provenance["files"]) == [next(iter(reference.provenance["files"]))]
    assert "/" not in next(iter(reference.provenance["files"]))


# --- in a configuration ---------------------------------------------------------------------------


def configured(entry: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {
        "title": "Mine",
        "seed": 1,
        "datasets": {"mine": entry | keys},
        "victims": {"plain": {"method": "plain", "architecture": "mlp512", "epochs": 1}},
        "attacks": {"noise": {"method": "random_noise", "eps": [0.1]}},
        "matches": [{"datasets": ["mine"], "victims": ["plain"], "attacks": ["noise"]}],
    }


def test_a_part_of_the_training_images_is_kept_for_trials(tmp_path: Path) -> None:
    entry = as_npz(tmp_path)
    plan = Plan(load_config(configured(entry, train_images=6)))
    assert "--train-images 6" in plan.prepare_options("mine")
    parameters = {"path": entry["path"], "test_fraction": None}
    prepare("mine", "npz", parameters, tmp_path / "all")
    prepare("mine", "npz", parameters, tmp_path / "some", train_images=6)
    every, some = (load_split(tmp_path / name, "train") for name in ("all", "some"))
    assert np.bincount(some.labels).tolist() == [2, 2, 2]
    assert {image.numpy().tobytes() for image in some.images} < {image.numpy().tobytes() for image in every.images}
    assert (tmp_path / "some/test.safetensors").read_bytes() == (tmp_path / "all/test.safetensors").read_bytes()
    facts = read_json(tmp_path / "some/dataset.json")
    assert (facts["n_train"], facts["n_train_available"], facts["train_counts"]) == (6, 21, [2, 2, 2])
    with pytest.raises(
        RivalryError, match=r"datasets\.mine\.train_images: 2 is less than one of each of its 3 classes"
    ):
        prepare("mine", "npz", parameters, tmp_path / "few", train_images=2)


def test_a_changed_picture_that_a_csv_lists_is_noticed(tmp_path: Path) -> None:
    entry = as_csv(tmp_path)

    def state() -> str:
        return Plan(load_config(configured(entry))).files_state("datasets", "mine", "mine")

    before = state()
    (tmp_path / "images" / "unlisted.png").write_bytes(b"")
    assert state() == before
    png_at(tmp_path / "images" / "7.png", np.zeros((6, 8, 3), np.uint8))
    assert state() != before


# --- mistakes -------------------------------------------------------------------------------------


class Mistake(NamedTuple):
    """What a user did, how, and the line: `{data}` is the path in it."""

    what: str
    make: Callable[[Path], dict[str, Any]]
    line: str
    beforehand: bool = True


def damaged(entry: dict[str, Any], file: str, change: Callable[[bytes], bytes]) -> dict[str, Any]:
    path = Path(entry["path"])
    path = path / file if file else path
    path.write_bytes(change(path.read_bytes()))
    return entry


def without(entry: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        path = Path(entry["path"]) / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return entry


def listed(at: Path, change: Callable[[list[list[str]]], Any], **keys: Any) -> dict[str, Any]:
    """A CSV with a mistake in its rows; the first one is the header."""
    rows = [["path", "label", "split"], *([f"images/{i}.png", NAMES[i], SPLITS[i]] for i in range(N))]
    return as_csv(at, rows=change(rows) or rows) | keys


def flat(at: Path) -> dict[str, Any]:
    for split in "train", "test":
        png_at(at / split / "1.png", PIXELS[0])
    return {"source": "image_folder", "path": str(at)}


def with_column(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, values).replace_schema_metadata(
        rows.schema.metadata
    )


def twice_labelled(rows: list[int]) -> pa.Table:
    both = table(rows, label="fine").append_column("coarse", pa.array([0] * len(rows)))
    features = {name: {"_type": "ClassLabel", "names": CLASSES} for name in ("fine", "coarse")}
    return both.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


TRAIN = "x_train", "y_train"
HALVES = (np.arange(21) / 2, np.arange(9) / 2)

MISTAKES = [
    Mistake(
        "no folder of that name",
        lambda at: {"source": "image_folder", "path": str(at / "phots")},
        "datasets.mine.path: '{data}/phots' does not exist",
    ),
    Mistake(
        "class folders without train/ and test/",
        as_class_folders,
        "datasets.mine.path: {data}: ant/0.png is not in train/<class>/ or test/<class>/; move it there, or give "
        "test_fraction, such as 0.2, to divide the images of <class>/",
    ),
    Mistake(
        "train/ only",
        lambda at: without(as_folder(at), "test"),
        "datasets.mine.path: {data}: has no test split; lay images out as train/<class>/<image> and "
        "test/<class>/<image>, or give test_fraction, such as 0.2",
    ),
    Mistake(
        "`test_fraction` where there is a test/",
        lambda at: as_folder(at) | {"test_fraction": 0.2},
        "datasets.mine.test_fraction: {data} has a test split (test); leave test_fraction out",
    ),
    Mistake(
        "images in no class folder",
        lambda at: flat(at) | {"test_fraction": 0.2},
        "datasets.mine.path: {data}: has images in test/ that are in the folder of no class; lay images out as "
        "train/<class>/<image> and test/<class>/<image>",
    ),
    Mistake(
        "a class that only one split has",
        lambda at: without(as_folder(at), "test/bee"),
        "datasets.mine.path: {data}: class 'bee' has images in train but none in test",
    ),
    Mistake(
        "a fraction that leaves a split without some class",
        lambda at: as_class_folders(at) | {"test_fraction": 0.05},
        "datasets.mine.test_fraction: 0.05 makes 2 of 30 images test images; each split needs at least one of each of "
        "the 3 classes, so give 0.1000 to 0.9000",
    ),
    Mistake(
        "a class of one image, to be divided",
        lambda at: without(as_class_folders(at), *(f"cow/{i}.png" for i in range(5, N, 3))) | {"test_fraction": 0.3},
        "datasets.mine.test_fraction: {data}: class 'cow' has one image; each split needs one of its own",
        beforehand=False,
    ),
    Mistake(
        "results among the images",
        lambda at: as_folder(at) | {"path": "."},
        "results: 'results' lies in the folder of datasets.mine.path, '.'; name a folder outside of it, or give the "
        "images a folder of their own",
    ),
    Mistake(
        "images of several sizes, and no `size`",
        lambda at: png_at(at / "train/cow/new.png", PIXELS[0][:5]) or as_folder(at),
        "{data}: train/cow/new.png is 3x5x8 but test/ant/21.png is 3x6x8; give size to make them equal",
        beforehand=False,
    ),
    Mistake(
        "an image that was cut short",
        lambda at: damaged(as_folder(at), "train/bee/1.png", lambda content: content[:60]),
        "{data}: train/bee/1.png is a broken image; replace or remove it",
        beforehand=False,
    ),
    Mistake(
        "more `images` than the test split has",
        lambda at: as_folder(at) | {"images": 100},
        "datasets.mine.images: 100 is more than its 9 test images",
    ),
    Mistake(
        "more `train_images` than there are",
        lambda at: as_npz(at) | {"train_images": 100},
        "datasets.mine.train_images: 100 is more than its 21 training images",
    ),
    Mistake(
        "a .npy file",
        lambda at: np.save(at / "x.npy", PIXELS) or {"source": "npz", "path": str(at / "x.npy")},
        "datasets.mine.path: {data}/x.npy: holds one array; save all in one file: numpy.savez('data.npz', x_train=..., "
        "y_train=..., x_test=..., y_test=...)",
    ),
    Mistake(
        "arrays of other names",
        lambda at: as_npz(at, **dict.fromkeys((*TRAIN, "x_test", "y_test")), data=PIXELS, target=LABELS),
        "datasets.mine.path: {data}/my.npz: holds data, target; its arrays must be called x_train, y_train, x_test and "
        "y_test",
    ),
    Mistake(
        "no test arrays",
        lambda at: as_npz(at, x_test=None, y_test=None),
        "datasets.mine.path: {data}/my.npz: has no test split; add x_test and y_test, or give test_fraction, such as "
        "0.2",
    ),
    Mistake(
        "more labels than images",
        lambda at: as_npz(at, y_train=NAMES),
        "datasets.mine.path: {data}/my.npz: x_train and y_train do not fit: 21 images but 30 labels",
    ),
    Mistake(
        "labels as Python objects",
        lambda at: as_npz(at, NAMES.astype(object)),
        "datasets.mine.path: {data}/my.npz: y_train holds Python objects, which are not read, because reading them can "
        "run code; save numbers or text: y_train.astype(int) or y_train.astype(str)",
    ),
    Mistake(
        "images as Python objects",
        lambda at: as_npz(at, x_train=np.array([*PIXELS[:20], None], dtype=object)),
        "datasets.mine.path: {data}/my.npz: x_train holds Python objects, which are not read, because reading them can "
        "run code; save numpy.stack(x_train), of images of one size",
    ),
    Mistake(
        "images without pixels",
        lambda at: as_npz(at, x_train=PIXELS[:21, :0]),
        "datasets.mine.path: {data}/my.npz: x_train is empty: (21, 0, 8, 3)",
    ),
    Mistake(
        "labels too large to be whole numbers",
        lambda at: as_npz(at, LABELS * 1e300),
        "datasets.mine.path: {data}/my.npz: y_train has 1e+300; labels of floats are whole numbers below 2**53",
    ),
    Mistake(
        "probabilities as labels",
        lambda at: as_npz(at, np.full((N, 3), 1 / 3)),
        "datasets.mine.path: {data}/my.npz: y_train is (21, 3) and not one-hot; each image has one class: save "
        "y_train.argmax(axis=1)",
    ),
    Mistake(
        "labels that are no classes",
        lambda at: as_npz(at, np.arange(N)),
        "datasets.mine.path: {data}/my.npz: y_train has 30 different values for 30 images; each class needs an image "
        "in both splits: are these the labels?",
    ),
    Mistake(
        "labels between whole numbers",
        lambda at: as_npz(at, y_train=HALVES[0], y_test=HALVES[1]),
        "datasets.mine.path: {data}/my.npz: y_train has 0.5, which is no whole number; labels number the classes",
    ),
    Mistake(
        "images as rows of pixels",
        lambda at: as_npz(at, x_train=np.zeros((21, 784)), x_test=np.zeros((9, 784))),
        "datasets.mine.path: {data}/my.npz: x_train is (21, 784), pixels in a row; reshape it: "
        "x_train.reshape(-1, 28, 28)",
    ),
    Mistake(
        "images with transparency",
        lambda at: as_npz(at, x_train=np.zeros((21, 6, 8, 4), np.uint8)),
        "datasets.mine.path: {data}/my.npz: x_train is (21, 6, 8, 4), with a fourth channel; leave it out: "
        "x_train[..., :3]",
    ),
    Mistake(
        "normalised pixels",
        lambda at: as_npz(at, x_train=PIXELS[:21] / 127.5 - 1),
        "{data}/my.npz: x_train has values from -1 to 1; pixels lie in [0,1] or [0,255], so they were normalised: save "
        "the pixels as they were before",
        beforehand=False,
    ),
    Mistake(
        "pixels a little outside [0,1]",
        lambda at: as_npz(at, x_train=PIXELS[:21] / 250),
        "{data}/my.npz: x_train has values from 0 to 1.02; pixels lie in [0,1] or [0,255], so clip them to [0,1]",
        beforehand=False,
    ),
    Mistake(
        "one split scaled, the other not",
        lambda at: as_npz(at, x_train=PIXELS[:21] / 255),
        "{data}/my.npz: x_train lies in [0,1] and x_test in [0,255]; scale both alike",
        beforehand=False,
    ),
    Mistake(
        "black and white as 0 and 1",
        lambda at: as_npz(at, x_train=PIXELS[:21] // 128, x_test=PIXELS[21:] // 128),
        "{data}/my.npz: x_train has values from 0 to 1, whole numbers, of which 255 is white; save x_train * 255",
        beforehand=False,
    ),
    Mistake(
        "a .npz that was cut short",
        lambda at: damaged(as_npz(at), "", lambda content: content[: len(content) // 2]),
        "datasets.mine.path: {data}/my.npz: is not a whole .npz file (File is not a zip file)",
    ),
    Mistake(
        "a part of a split is missing",
        lambda at: without(as_parquet(at), "data/train-00001-of-00002.parquet"),
        "datasets.mine.path: {data}: has train-00000-of-00002.parquet but not train-00001-of-00002.parquet; add "
        "what is missing",
    ),
    Mistake(
        "two columns of labels",
        lambda at: write_tables(at, train=twice_labelled(rows_of("train")), test=twice_labelled(rows_of("test"))),
        "datasets.mine.label: {data}/test.parquet: columns fine and coarse could be the label; give label: fine, for "
        "example",
    ),
    Mistake(
        "two columns of one name",
        lambda at: write_tables(
            at, train=table(rows_of("train")), test=table(rows_of("test")).rename_columns(["label", "label"])
        ),
        "datasets.mine.path: {data}/test.parquet: has two columns 'label'; rename one",
    ),
    Mistake(
        "images as lists of pixels",
        lambda at: write_tables(
            at,
            train=table(rows_of("train")),
            test=pa.table({"image": [PIXELS[i].tolist() for i in rows_of("test")], "label": NAMES[rows_of("test")]}),
        ),
        "datasets.mine.image: {data}/test.parquet: no column holds image bytes; its columns are image, label; for "
        "pixels use a .npz file and source: npz, for paths a CSV and source: csv",
    ),
    Mistake(
        "a column of another name",
        lambda at: as_parquet(at) | {"label": "lable"},
        "datasets.mine.label: {data}/data/test-00000-of-00001.parquet: has no column 'lable'; did you mean 'label'?",
    ),
    Mistake(
        "paths of images and not their bytes",
        lambda at: write_tables(
            at,
            train=with_column(
                table(rows_of("train")),
                "image",
                pa.array(
                    [{"bytes": None, "path": "0.png"}] * 21,
                    pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
                ),
            ),
            test=table(rows_of("test")),
        ),
        "datasets.mine.path: {data}/train.parquet: row 0: has the path of an image and not its bytes; save the images "
        "in the file, or give a CSV of paths",
    ),
    Mistake(
        "a test split whose labels are kept secret",
        lambda at: write_tables(
            at,
            train=table(rows_of("train")),
            test=with_column(table(rows_of("test")), "label", pa.array([0] * 8 + [-1])),
        ),
        "datasets.mine.label: {data}/test.parquet: row 8: has label -1, which means unknown; leave this split out",
        beforehand=False,
    ),
    Mistake(
        "a Parquet file that was cut short",
        lambda at: damaged(as_parquet(at), "data/test-00000-of-00001.parquet", lambda content: content[:-9]),
        "datasets.mine.path: {data}/data/test-00000-of-00001.parquet: is not a whole Parquet file (Parquet magic bytes "
        "not found in footer. Either the file is corrupted or this is not a parquet file.)",
    ),
    Mistake(
        "a CSV whose first line names no columns",
        lambda at: listed(at, lambda rows: rows[1:]),
        "datasets.mine.image: {data}/my.csv: has no column 'path'; its first line is images/0.png, ant, train; did "
        "you mean 'ant'?",
    ),
    Mistake(
        "a CSV whose columns have other names",
        lambda at: listed(at, lambda rows: rows.__setitem__(0, ["filename", "class", "set"])),
        "datasets.mine.image: {data}/my.csv: has no column 'path'; its first line is filename, class, set; give image: "
        "one of them",
    ),
    Mistake(
        "an empty CSV",
        lambda at: damaged(as_csv(at), "", lambda content: b"\n"),
        "datasets.mine.path: {data}/my.csv: is empty; its first line names the columns, such as path,label",
    ),
    Mistake(
        "a CSV of pixels",
        lambda at: as_csv(at, rows=[["label", *(f"pixel{i}" for i in range(784))]]),
        "datasets.mine.path: {data}/my.csv: has 784 columns of pixels, not paths of images; save the pixels as arrays "
        "in a .npz file and use source: npz",
    ),
    Mistake(
        "a path that leads nowhere",
        lambda at: listed(at, lambda rows: rows[4].__setitem__(0, "images/x.png")),
        "datasets.mine.path: {data}/my.csv: line 5: there is no images/x.png beside my.csv",
    ),
    Mistake(
        "paths as Windows writes them",
        lambda at: listed(at, lambda rows: rows[4].__setitem__(0, "images\\3.png")),
        "datasets.mine.path: {data}/my.csv: line 5: there is no images\\3.png; write / for \\",
    ),
    Mistake(
        "addresses in the place of paths",
        lambda at: listed(at, lambda rows: rows[1].__setitem__(0, "https://example.org/0.png")),
        "datasets.mine.path: {data}/my.csv: line 2: https://example.org/0.png is an address; only files are read, so "
        "download it first",
    ),
    Mistake(
        "one image in two splits",
        lambda at: listed(at, lambda rows: rows.append(["images/0.png", "ant", "test"])),
        "datasets.mine.path: {data}/my.csv: line 32: images/0.png is listed already ({data}/my.csv: line 2); list it "
        "once",
    ),
    Mistake(
        "a split of another name",
        lambda at: listed(at, lambda rows: rows[3].__setitem__(2, "holdout")),
        "datasets.mine.split: {data}/my.csv: line 4: 'holdout' is no split; write train, test or val",
    ),
    Mistake(
        "a row without a label",
        lambda at: listed(at, lambda rows: rows[3].__setitem__(1, "")),
        "datasets.mine.path: {data}/my.csv: line 4: has no label",
    ),
    Mistake(
        "a separator inside a field",
        lambda at: damaged(as_csv(at), "", lambda content: content.replace(b"1.png,bee", b"1.png,bee, honey", 1)),
        "datasets.mine.path: {data}/my.csv: line 3: has 4 fields, the first line has 3; quote fields that contain the "
        "separator",
    ),
    Mistake(
        "a CSV that is not UTF-8",
        lambda at: as_csv(at, encoding="utf-16"),
        "datasets.mine.path: {data}/my.csv: is not UTF-8; save it as 'CSV UTF-8'",
    ),
    Mistake(
        "the wrong source",
        lambda at: as_csv(at) | {"source": "image_folder"},
        "datasets.mine.path: {data}/my.csv: is neither a folder nor a .zip, .tar, .tar.gz or .tgz archive",
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_gets_one_line(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    content = configured(mistake.make(Path("mine")))
    expected = mistake.line.replace("{data}", "mine")
    if mistake.beforehand:
        with pytest.raises(Mistakes) as caught:
            load_config(content)
        assert caught.value.lines == [f"config.yaml: {expected}"]
    else:
        config = load_config(content)
        source, parameters = config.parameters("datasets", "mine", "mine")
        with pytest.raises(RivalryError) as refused:
            prepare("mine", source, parameters, tmp_path / "out")
        assert str(refused.value) == expected


PAGE = Path(__file__).parents[1] / "docs" / "your-data.md"


def rows_of_mistakes() -> list[str]:
    """The table of the documentation, as it should be."""
    cells = ((mistake.what, mistake.line.replace("{data}", "DATA")) for mistake in MISTAKES)
    return [f"| {what} | {line.replace('|', chr(92) + '|').replace('<', '&lt;')} |" for what, line in cells]


def test_the_documentation_shows_every_mistake_and_its_line() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("| ")][-len(MISTAKES) :] == rows_of_mistakes()


# --- hostile and damaged files --------------------------------------------------------------------


class Bomb:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("it-ran"),)


def test_no_pickle_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = np.array([Bomb()] * 21, dtype=object)
    for name in "x_train", "y_train":
        entry = as_npz(tmp_path, **{name: hostile})
        with pytest.raises(RivalryError, match=f"{name} holds Python objects"):
            read(**entry)
    assert not Path("it-ran").exists()


def test_names_in_a_file_cannot_write_lines_of_their_own(tmp_path: Path) -> None:
    for array in np.array([None]), np.zeros(3):
        entry = as_npz(tmp_path, x_train=None, **{"a\nconfig.yaml: all is well": array})
        with pytest.raises(RivalryError) as caught:
            read(**entry)
        assert "\n" not in str(caught.value)
    odd = pa.table({"image\nx": [png(PIXELS[0])], "label\ny": pa.array([{"a\nb": 1}])})
    for keys in {}, {"image": "image\nx"}, {"label": "label\ny"}:
        with pytest.raises(RivalryError) as caught:
            read(**write_tables(tmp_path / "odd", train=odd, test=odd), **keys)
        assert "\n" not in str(caught.value)


def npz_that_claims(shape: tuple[int, ...], at: Path) -> dict[str, Any]:
    entry = as_npz(at)
    with zipfile.ZipFile(entry["path"], "a") as archive:
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
        archive.writestr("more.npy", buffer.getvalue())
    return entry


def test_arrays_that_would_not_fit_are_refused_by_their_headers(tmp_path: Path) -> None:
    entry = npz_that_claims((1 << 20, 1 << 20, 1 << 20), tmp_path)
    with pytest.raises(RivalryError, match="more is too much; at most 4 GiB"):
        read(**entry)


def test_a_value_that_many_rows_share_is_not_unpacked_for_all_at_once(tmp_path: Path) -> None:
    """A few kilobytes of Parquet can stand for gigabytes: one large value, named by each of many rows."""
    large = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array([bytes(8 << 20)]))
    bomb = pa.table({"image": large, "label": ["a"] * 2000})
    pq.write_table(bomb, tmp_path / "train.parquet", dictionary_pagesize_limit=64 << 20, store_schema=False)
    assert (tmp_path / "train.parquet").stat().st_size < 1 << 20
    before = pa.total_allocated_bytes()
    with pytest.raises(RivalryError, match="has no test split"):
        read("parquet", path=str(tmp_path))
    with pq.ParquetFile(tmp_path / "train.parquet") as file:
        columns = parquet._Columns("image", "label", None)
        next(parquet._rows(tmp_path, file, columns))
        assert pa.total_allocated_bytes() - before < 600 << 20


@pytest.mark.parametrize(
    ("make", "file"), [(as_npz, "my.npz"), (as_parquet, "data/test-00000-of-00001.parquet"), (as_csv, "my.csv")]
)
def test_damaged_files_never_surprise(make: Callable[[Path], dict[str, Any]], file: str, tmp_path: Path) -> None:
    """Flipping bytes anywhere gives a data set or one line that names the file, nothing else."""
    entry = make(tmp_path)
    whole = (tmp_path / file).read_bytes()
    random = np.random.default_rng(0)
    lines = []
    for _ in range(150):
        content = bytearray(whole)
        for position in random.integers(0, len(whole), 3):
            content[position] = random.integers(256)
        (tmp_path / file).write_bytes(content)
        for attempt in known, read:
            try:
                attempt(**entry)
            except RivalryError as error:
                lines.append(str(error))
    assert len(lines) > 50
    assert not [line for line in lines if "\n" in line or str(tmp_path) not in line]


def test_a_source_of_a_users_file_tells_what_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "from rivalry.plugins import Count, Dataset, Fetch, Known, source\n\n\n"
        '@source(source="", description="anything", glance="look")\n'
        "def anything(fetch: Fetch, seed: int, *, n: Count = 3) -> Dataset:\n"
        '    """Anything.\n\n    Parameters\n    ----------\n    n : int\n        How many classes.\n    """\n'
        "    raise NotImplementedError\n\n\ndef look(*, n: int) -> Known:\n    return Known(classes=n, test_images=7)\n"
    )
    content = configured({"source": "anything", "n": 4, "images": 9}) | {"plugins": ["mine.py"]}
    with pytest.raises(Mistakes, match=r"datasets\.mine\.images: 9 is more than its 7 test images"):
        load_config(content)
