"""A prepared data set described in Croissant 1.1, the JSON-LD vocabulary that catalogues of data sets read.

See https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. The vocabulary has words for how to take records
out of CSV, JSON and the like, and none for safetensors. So each field names the file and says in words which tensor it
is a row of; what programs can read is what the files are, their checksums, types, shapes, classes and splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The vocabulary's own; documents with another one are called not standard."""
FORMATS = ["application/octet-stream", "https://huggingface.co/docs/safetensors"]
"""safetensors has no registered media type; then the address of its description stands for it."""
SPLITS = {"train": "cr:TrainingSplit", "test": "cr:TestSplit"}


def croissant(facts: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """The Croissant document of a prepared data set.

    Parameters
    ----------
    facts : mapping
        What `dataset.json` holds.
    files : mapping
        Split -> its file, which lies beside the document.
    """
    provenance = facts["provenance"]
    known = {
        "url": next(iter(provenance["urls"]), None),
        "license": provenance.get("license"),
        "citeAs": provenance["description"] if provenance["citation"] else None,
        "rai:dataLimitations": provenance.get("limit"),
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": facts["dataset"],
        "description": _description(facts),
        **{key: value for key, value in known.items() if value is not None},
        "distribution": [_file(file, facts["sha256"][split]) for split, file in files.items()],
        "recordSet": [_splits(), _classes(facts["class_names"]), *(_images(facts, *item) for item in files.items())],
    }


def _description(facts: Mapping[str, Any]) -> str:
    channels, height, width = facts["shape"]
    colours = "gray" if channels == 1 else "RGB"
    return (
        f"{facts['provenance']['description']}. Prepared by rivalry (source {facts['source']}): "
        f"{facts['n_train']} training and {facts['n_test']} test images, {colours}, {height} pixels high and {width} "
        f"wide, of {facts['classes']} classes."
    )


def _file(file: Path, sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.name,
        "contentSize": f"{file.stat().st_size} B",
        "encodingFormat": FORMATS,
        "sha256": sha256,
    }


def _field(record_set: str, name: str, data_type: str, **others: Any) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{record_set}/{name}", "name": name, "dataType": data_type, **others}


def _enumeration(name: str, kind: str, key: str, fields: dict[str, str], rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    """A set of records that stand in the document itself."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "dataType": kind,
        "key": {"@id": f"{name}/{key}"},
        "field": [_field(name, field, data_type) for field, data_type in fields.items()],
        "data": [{f"{name}/{field}": value for field, value in zip(fields, row, strict=True)} for row in rows],
    }


def _splits() -> dict[str, Any]:
    return _enumeration("splits", "cr:Split", "name", {"name": "sc:Text", "url": "sc:URL"}, list(SPLITS.items()))


def _classes(names: list[str]) -> dict[str, Any]:
    fields = {"label": "cr:Int64", "name": "sc:Text"}
    return _enumeration("classes", "sc:Enumeration", "label", fields, list(enumerate(names)))


def _images(facts: Mapping[str, Any], split: str, file: Path) -> dict[str, Any]:
    """The records of a split: an image, its label and the split's name."""
    shape = facts["shape"]
    source = {"fileObject": {"@id": file.name}}
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"The {facts[f'n_{split}']} images of the {split} split, in the order of the file.",
        "field": [
            _field(
                split,
                "image",
                "cr:UInt8",
                description="A row of the file's tensor `images`: channels, height, width; pixels from 0 to 255.",
                isArray=True,
                arrayShape=",".join(map(str, shape)),
                source=source,
            ),
            _field(
                split,
                "label",
                "cr:Int64",
                description="The same row of the file's tensor `labels`.",
                references={"field": {"@id": "classes/label"}},
                source=source,
            ),
            _field(split, "split", "sc:Text", references={"field": {"@id": "splits/name"}}, value=split),
        ],
    }
