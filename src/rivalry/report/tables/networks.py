"""What the victims' networks are made of."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby, takewhile
from typing import Any

from rivalry.formatting import count
from rivalry.report.tables._table import Column, Row, Table

FEW, MOST, ALL = 6, 24, 48
"""A network of more rows than `MOST` is folded; but not to fewer than `FEW`, where `ALL` are enough to prevent it."""


def networks(report: Row) -> list[Table]:
    """A table for each network that victims of the report have; none for what is not made of layers."""
    same: dict[str, list[Row]] = {}
    for fact in report["victims"]:
        same.setdefault(json.dumps([_called(fact), fact["shape"], fact["layers"]]), []).append(fact)
    tables: list[Table] = []
    for facts in same.values():
        rows = layer_rows(facts[0]["layers"])
        if len(rows) > 1:
            tables.append(_table(f"network-{len(tables) + 1}", facts, rows))
    return tables


def _called(fact: Row) -> str:
    """What a victim's network is called: an architecture, or the user's own model."""
    return str(fact["architecture"] or fact["parameters"]["model"])


def _table(name: str, facts: list[Row], rows: list[Row]) -> Table:
    owners = [
        f"{', '.join(fact['victim'] for fact in group)} on {dataset}"
        for dataset, group in groupby(facts, key=lambda fact: str(fact["dataset"]))
    ]
    return Table(
        name,
        f"{_called(facts[0])} for images of {'×'.join(map(str, facts[0]['shape']))}",
        f"The network of {'; '.join(owners)}: {count(facts[0]['parameters_count'])} parameters in all. Output is that "
        "of one image, channels first.",
        [
            Column("layer", "layer", "code", width=0.27),
            Column("kind", "kind", "code", width=0.22),
            Column("kernel", "kernel or contents", width=0.22),
            Column("output", "output"),
            Column("parameters", "parameters", "count"),
        ],
        rows,
        folded=True,
    )


def layer_rows(layers: list[dict[str, Any]]) -> list[Row]:
    """Rows for a network's layers: as deep inside it as there is room for, and at least its parts.

    Every parameter is in exactly one row. Parts of equal kind, content and size in a row are one row.
    """
    deepest = max((_depth(layer) for layer in layers), default=0)
    shown = _folded(layers, 1)
    for depth in range(2, deepest + 1):
        deeper = _folded(layers, depth)
        if len(deeper) > (MOST if len(shown) >= FEW else ALL):
            break
        shown = deeper
    return shown


def _depth(layer: dict[str, Any]) -> int:
    """How many modules a layer is in."""
    return len(layer["layer"].split(".")) if layer["layer"] else 0


def _folded(layers: list[dict[str, Any]], depth: int) -> list[Row]:
    """Layers at `depth` with all that is inside, and those above it that have no parts."""
    rows: list[Row] = []
    outermost = {layer["layer"].partition(".")[0] for layer in layers if layer["layer"]}
    within = f"{outermost.pop()}." if len(outermost) == 1 else ""
    place = 0
    while place < len(layers):
        layer = layers[place]
        inside = list(takewhile(lambda other: _depth(other) > _depth(layer), layers[place + 1 :]))  # noqa: B023
        place += 1
        parts = [other for other in inside if _depth(other) == _depth(layer) + 1]
        # A module around one other says more than the one that is in it.
        wrapper = _depth(layer) == depth - 1 and len(parts) == 1 < len(inside)
        if _depth(layer) == depth or wrapper or not inside:
            rows.append(_row(layer, inside, within))
            place += len(inside)
    return [_merged(list(group)) for _, group in groupby(rows, key=_sameness)]


def _sameness(row: Row) -> list[object]:
    """What neighbours share that are shown as one row: where they are, and all that is shown of them."""
    return [row["layer"].rpartition(".")[0], *(value for key, value in row.items() if key != "layer")]


def _row(layer: dict[str, Any], inside: list[dict[str, Any]], within: str) -> Row:
    """A layer with all that is inside; its name without the module that the whole network is in."""
    kinds = Counter(part["kind"] for part in inside if part["parameters"] and part["kind"] != "Parameter")
    outputs = [part["output"] for part in (*inside, layer) if part["output"]]
    return {
        "layer": layer["layer"].removeprefix(within),
        "kind": layer["kind"],
        "kernel": layer["kernel"] or ", ".join(f"{number} {kind}" for kind, number in kinds.items()),
        # A list of modules answers nothing itself.
        "output": "×".join(map(str, outputs[-1])) if outputs else None,
        "parameters": layer["parameters"] + sum(part["parameters"] for part in inside),
    }


def _merged(rows: list[Row]) -> Row:
    """Equal rows as one."""
    if len(rows) == 1:
        return rows[0]
    return rows[0] | {
        "layer": f"{rows[0]['layer']} to {rows[-1]['layer']}",
        "kind": f"{len(rows)} × {rows[0]['kind']}",
        "parameters": sum(row["parameters"] for row in rows),
    }
