"""Every prepared data set describes itself in Croissant, as its own reference implementation reads it."""

from __future__ import annotations

import json
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pytest

from rivalry.artifacts import checksum, read_manifest
from rivalry.data import _croissant
from rivalry.data._dataset import Dataset
from rivalry.layout import Layout
from rivalry.stages.prepare import prepare

CLASSES = ["a cat", 'Ωmega "quoted"', "<b>猫</b>"]
RECOMMENDED = ("datePublished", "version", "license", "citeAs")
"""What nobody knows of every data set; their absence is a warning."""


def toy(shape: tuple[int, ...], **provenance: Any) -> Dataset:
    splits = [(np.full((n, *shape), n, np.uint8), np.arange(n, dtype=np.int64) % len(CLASSES)) for n in (12, 6)]
    about = {"description": "somebody's pictures", "urls": [], "files": {}} | provenance
    return Dataset(*splits[0], *splits[1], CLASSES, about)


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Prepares a data set in the place of shapes, and reads what describes it."""

    def make(data: Dataset, folder: str = "data") -> tuple[Path, Any]:
        monkeypatch.setattr(import_module("rivalry.data.shapes"), "shapes", lambda fetch, seed: data)
        prepare("my-pictures_2", "shapes", {}, tmp_path / folder, seed=1, mirror=None)
        return tmp_path / folder, mlcroissant.Dataset(str(tmp_path / folder / "croissant.json")).metadata

    return make


@pytest.mark.parametrize("shape", [(1, 5, 8), (3, 7, 4)])
def test_fields_say_what_the_tensors_are(shape, prepared):
    folder, found = prepared(toy(shape))
    assert not found.ctx.issues.errors
    assert all(any(name in warning for name in RECOMMENDED) for warning in found.ctx.issues.warnings)
    assert found.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"
    assert found.name == "my-pictures_2"
    assert "12 training and 6 test images" in found.description
    assert f"{shape[1]} pixels high and {shape[2]} wide" in found.description
    assert {one.id for one in found.record_sets} == {"splits", "classes", "train", "test"}
    for split, count in ("train", 12), ("test", 6):
        (records,) = [one for one in found.record_sets if one.id == split]
        image, label, _ = records.fields
        assert image.array_shape_tuple == shape
        assert image.data_type is np.uint8
        assert label.data_type is np.int64
        assert image.source.uuid == label.source.uuid == f"{split}.safetensors"
        assert str(count) in records.description
    for file in found.distribution:
        assert file.sha256 == checksum(folder / file.content_url)
        assert file.content_size == f"{(folder / file.content_url).stat().st_size} B"


def test_classes_and_splits_are_records(prepared):
    folder, _ = prepared(toy((3, 4, 4)))
    data = mlcroissant.Dataset(str(folder / "croissant.json"))
    assert [(row["classes/label"], row["classes/name"]) for row in data.records("classes")] == list(enumerate(CLASSES))
    assert {row["splits/name"]: row["splits/url"] for row in data.records("splits")} == {
        "train": "cr:TrainingSplit",
        "test": "cr:TestSplit",
    }


def test_what_is_known_of_a_data_set_is_said_and_nothing_else(prepared):
    _, bare = prepared(toy((1, 4, 4)))
    assert (bare.url, bare.license, bare.cite_as, bare.data_limitations) == (None, None, None, None)
    known = {"urls": ["https://example.org/a", "https://example.org/b"], "limit": "small", "license": "https://l.org"}
    folder, rich = prepared(toy((1, 4, 4), **known), "rich")
    assert rich.url == "https://example.org/a"
    assert rich.license == ["https://l.org"]
    assert rich.data_limitations == ["small"]
    assert read_manifest(folder / ".prepare.manifest.json")["files"]["croissant.json"] == checksum(
        folder / "croissant.json"
    )


def test_a_work_that_describes_the_data_set_is_cited(tmp_path):
    prepare("digits", "digits", {}, tmp_path, seed=1, mirror=None)
    found = mlcroissant.Dataset(str(tmp_path / "croissant.json")).metadata
    assert "Optical Recognition of Handwritten Digits" in found.cite_as
    assert found.license == ["https://spdx.org/licenses/CC-BY-4.0.html"]


def test_equal_data_have_equal_documents(prepared):
    first, second = (prepared(toy((3, 4, 4)), name)[0] / "croissant.json" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert str(first.parent) not in first.read_text(encoding="utf-8")


def test_the_vocabulary_is_the_standard_one(prepared, caplog):
    assert mlcroissant.Metadata(name="any").to_json()["@context"].items() <= _croissant.CONTEXT.items()
    with caplog.at_level(logging.WARNING):
        prepared(toy((1, 4, 4)))
    assert "not standard" not in caplog.text


def test_a_changed_file_is_no_longer_what_the_document_describes(prepared):
    folder, _ = prepared(toy((3, 4, 4)))
    with open(folder / "test.safetensors", "ab") as file:
        file.write(b"\0")
    described = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))["distribution"]
    sums = {file["contentUrl"]: file["sha256"] for file in described}
    assert sums["train.safetensors"] == checksum(folder / "train.safetensors")
    assert sums["test.safetensors"] != checksum(folder / "test.safetensors")


def test_the_layout_knows_the_document():
    assert Layout().data("digits")["croissant"] in Layout().data("digits").files
