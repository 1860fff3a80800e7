"""docs/tables.md says what the code says of the columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.schema_reference import refer, references, rows
from pipelines.schemas import SCHEMAS

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"


def test_the_committed_page_is_what_the_code_generates() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert refer(page) == page, "docs/tables.md is out of date: `make reference` writes it anew"


def test_every_table_and_the_record_have_a_place_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert references().keys() == SCHEMAS.keys() | {"record"}
    assert [name for name, table in references().items() if table not in page] == []


def test_what_is_inside_a_column_stands_below_it_by_its_path() -> None:
    def said(name: str, kind: pa.DataType, description: str, nullable: bool = True) -> pa.Field:
        return pa.field(name, kind, nullable, {"description": description})

    point = pa.struct([said("x", pa.float64(), "across")])
    line = pa.struct([said("ends", pa.list_(point), "two"), said("name", pa.string(), "its name")])
    column = said("lines", pa.list_(line), "seen", nullable=False)
    assert list(rows(column)) == [
        "| `lines` | list of struct | seen |",
        "| `lines[].ends` | list of struct | two |",
        "| `lines[].ends[].x` | double | across |",
        "| `lines[].name` | string | its name |",
    ]
    (labels,) = rows(said("labels", pa.map_(pa.string(), pa.string()), "any"))
    assert labels == "| `labels` | map of string to string or null | any |"


def test_only_what_stands_between_marks_is_written() -> None:
    page = "before\n<!-- reference: confusions -->\n\nold\n\n<!-- end -->\nafter <!-- end -->\n"
    written = refer(page)
    head, table, tail = written.partition(references()["confusions"])
    assert table
    assert head == "before\n<!-- reference: confusions -->\n\n"
    assert tail == "\n<!-- end -->\nafter <!-- end -->\n"
    assert refer(written) == written


def test_a_mark_that_names_nothing_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        refer("<!-- reference: nothing -->\n\n\n<!-- end -->\n")
