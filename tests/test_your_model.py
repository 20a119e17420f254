"""The page about bringing a model says what the program says."""

from __future__ import annotations

import re
from pathlib import Path

import test_external_estimators as estimators
import test_external_published as published
import test_external_weights as weights
import test_preflight as preflight
from rivalry import registry

PAGE = (Path(__file__).parents[1] / "docs" / "your-model.md").read_text(encoding="utf-8")

LINES = {
    *(f"w.pth: {line}" for _, line in (*weights.REFUSED.values(), *weights.UNFIT.values())),
    *(line for *_, line in preflight.FAULTS.values()),
    *(line for _, _, *lines in preflight.WARNINGS.values() for line in lines),
    *(line for _, line in published.REFUSED.values()),
    *(f"model.{kind}: {line}" for kind, _, line in estimators.REFUSED.values()),
}
"""What the tests of each fault expect, which run the faults."""


def test_every_line_on_the_page_is_one_that_a_test_has_seen() -> None:
    said = {line.replace(weights.__name__, "my_model").replace(estimators.__name__, "my_model") for line in LINES}
    shown = [row[1] for row in re.finditer(r"^\|.*\| `([^`]*)` \|$", PAGE, re.MULTILINE)]
    assert len(shown) > 30
    assert [line for line in shown if line not in said] == []


def test_the_page_explains_every_key() -> None:
    keys = [*registry.method("training", "external").parameters]
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == keys


def test_every_form_of_a_model_is_on_the_page() -> None:
    from rivalry.external.spec import LIBRARIES, STORED, parse

    forms = re.findall(r"^\| `(\S+[.:]\S+)` \|", PAGE, re.MULTILINE)
    assert {parse(form).kind for form in forms} == {"code", *LIBRARIES, *STORED.values()}
