"""CSV tables give back what was written, types too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivalry.errors import RivalryError
from rivalry.statistics.checked import CHECKED
from rivalry.statistics.columns import TABLES
from rivalry.statistics.tables import Kind, Table, records

ALL = TABLES | {"checks": CHECKED}
LINES = st.one_of(
    st.sampled_from(["", "007", "2", "inf", "0", "1e5", "true", "False", "NA", "nan", "None", " ", '"', "a,b"]),
    st.text(st.characters(exclude_categories=("Cc", "Cs"))),
)
ITEMS = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=";"), min_size=1)
CELLS: dict[Kind, st.SearchStrategy[Any]] = {
    "text": LINES,
    "list": st.lists(ITEMS, max_size=3),
    "number": st.none() | st.floats(allow_nan=False),
    "count": st.none() | st.integers(-(2**53), 2**53),
    "flag": st.none() | st.booleans(),
}
TYPES: dict[Kind, type] = {"text": str, "list": list, "number": float, "count": int, "flag": bool}


@pytest.mark.parametrize("table", ALL.values(), ids=ALL)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_what_was_written_is_read_back(
    table: Table, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = data.draw(
        st.lists(st.fixed_dictionaries({name: CELLS[kind] for name, kind in table.kinds.items()}), max_size=3)
    )
    file = tmp_path_factory.getbasetemp() / "table.csv"
    table.write(file, rows)
    read = table.read(file)
    pd.testing.assert_frame_equal(read, table.frame(rows))
    assert records(read) == rows
    for row in records(read):
        assert all(cell is None or type(cell) is TYPES[table.kinds[name]] for name, cell in row.items())


def test_what_a_row_leaves_out_is_missing() -> None:
    table = Table(("text", "name"), ("number", "size"), ("count", "n"), ("flag", "right"))
    assert records(table.frame([{}])) == [{"name": "", "size": None, "n": None, "right": None}]


def test_integers_with_gaps_stay_integers(tmp_path: Path) -> None:
    table = Table(("text", "norm"), ("count", "n"))
    table.write(tmp_path / "t.csv", [{"norm": "2", "n": 12}, {"norm": None, "n": None}])
    assert (tmp_path / "t.csv").read_text() == "norm,n\n2,12\n,\n"


@pytest.mark.parametrize("content", ["", "n,name\n1,a\n", "name,n\na,1.5\n", "name,n\na\n", "name,n\na,b\n"])
def test_a_file_that_is_another_table_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(RivalryError, match=r"t\.csv: cannot be read"):
        Table(("text", "name"), ("count", "n")).read(tmp_path / "t.csv")
