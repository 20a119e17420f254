"""Tables of repairs say what the facts beside them say, at the corners too."""

from __future__ import annotations

from typing import Any

import pytest

from rivalry.report.tables.poisoning import cleansed, pruned

Row = dict[str, Any]


def looked(planted: int | None, flagged: list[int], index: list[float | None], masks: list[float], **own: Any) -> Row:
    facts = {"anomaly_index": index, "mask_l1": masks, "flagged": flagged}
    about = {"dataset": "digits", "victim": "plain", "defense": "cleanse", "backdoor_target": planted}
    return about | {"innocent_flagged": [k for k in flagged if k != planted], "facts": facts} | own


def of(*facts: Row, trainings: tuple[Row, ...] = ()) -> Row:
    return {"defenses": list(facts), "trainings": {"defenses": list(trainings)}}


@pytest.mark.parametrize(
    ("fact", "row", "told"),
    [
        # The index of class 1 is the largest, but its mask is large.
        (looked(None, [], [0.9, 3.2, 1.3, 0.6], [50, 122, 40, 61]), (None, 1.3, "none", "none"), "0 of 1 clean victim"),
        (looked(0, [0], [2.6, 1.5, 0.4, 0.6], [24, 104, 66, 63]), (2.6, 2.6, "0", "none"), "No clean victim"),
        (looked(0, [2], [0.5, 1.5, 2.4, 0.6], [70, 104, 6, 63]), (0.5, 2.4, "2", "2"), "No clean victim"),
        (looked(None, [3], [0.5, 0.1, 0.2, 2.6], [70, 64, 66, 3]), (None, 2.6, "3", "3"), "1 of 1 clean victim"),
        # Masks that are all the same: nothing stands out.
        (looked(0, [], [None] * 4, [50] * 4), (None, None, "none", "none"), "No clean victim"),
    ],
)
def test_only_small_masks_are_suspected(fact: Row, row: tuple[Any, ...], told: str) -> None:
    table = cleansed(of(fact), "digits")
    (found,) = table.rows
    assert tuple(found[key] for key in ("index", "largest", "flagged", "innocent")) == row
    assert told in table.note
    assert not cleansed(of(fact), "shapes").rows


def test_every_training_is_listed() -> None:
    facts = [looked(None, [0] if training == 2 else [], [2.5, 0.5, 0.3], [3, 50, 60]) for training in (1, 2, 3)]
    later = tuple(fact | {"training": number} for number, fact in enumerate(facts[1:], 2))
    table = cleansed(of(facts[0], trainings=later), "digits")
    assert [row["training"] for row in table.rows] == [1, 2, 3]
    assert "False alarms: 1 of 3 clean victims." in table.note


@pytest.mark.parametrize(
    ("facts", "row"),
    [
        (
            {"units": 32, "pruned": 8, "curve": [{"pruned": 0, "accuracy": 0.9}, {"pruned": 8, "accuracy": 0.88}]},
            (32, 8, 0.25, 0.9, 0.88),
        ),
        (
            {"units": 4, "pruned": 0, "curve": [{"pruned": 0, "accuracy": 0.9}, {"pruned": 1, "accuracy": 0.2}]},
            (4, 0, 0.0, 0.9, 0.9),
        ),
        ({"units": 84, "pruned": 21}, (84, 21, 0.25, None, None)),  # looks at the trigger, not at accuracy
        ({"flagged": []}, None),
    ],
)
def test_units_that_were_taken_out_are_counted(facts: Row, row: tuple[Any, ...] | None) -> None:
    fact = {"dataset": "digits", "victim": "plain", "defense": "pruned", "facts": facts}
    found = pruned(of(fact), "digits").rows
    assert [tuple(one[key] for key in ("units", "pruned", "share", "before", "after")) for one in found] == (
        [row] if row else []
    )
