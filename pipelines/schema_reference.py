"""The reference of the columns in docs/tables.md, as the code describes them.

    python -m pipelines.schema_reference docs/tables.md

writes it anew between the page's marks; `make reference` does that.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from pipelines.commit import FIELDS
from pipelines.schemas import SCHEMAS

MARKS = re.compile(r"(<!-- reference: (\w+) -->\n\n).*?(\n<!-- end -->)", re.DOTALL)


def references() -> Mapping[str, str]:
    """A Markdown table for each table of the output, by its name, and one for the run `record`."""
    columns = {
        table: ["| column | type | |", "|---|---|---|", *(r for c in schema for r in rows(c))]
        for table, schema in SCHEMAS.items()
    }
    fields = (f"| `{name}` | {description} |" for name, description in FIELDS.items())
    lines = {**columns, "record": ["| field | |", "|---|---|", *fields]}
    return {name: "".join(f"{line}\n" for line in lines[name]) for name in lines}


def rows(column: pa.Field, path: str = "") -> Iterator[str]:
    """A column's row, and below it those of the fields inside, each by its path from the column."""
    name = path + column.name
    null = " or null" if column.nullable and not path else ""
    description = column.metadata[b"description"].decode()
    yield f"| `{name}` | {_type(column.type)}{null} | {description} |"
    inner = column.type
    if pa.types.is_list(inner):
        name, inner = f"{name}[]", inner.value_type
    if pa.types.is_struct(inner):
        for field in inner:
            yield from rows(field, f"{name}.")


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if pa.types.is_map(kind):
        return f"map of {kind.key_type} to {kind.item_type}"
    return "struct" if pa.types.is_struct(kind) else str(kind)


def refer(page: str) -> str:
    """A page with what stands between its marks as the code has it.

    A mark is `<!-- reference: NAME -->` for a NAME of `references`, up to `<!-- end -->`.

    Raises:
        KeyError: a mark names nothing.
    """
    known = references()
    return MARKS.sub(lambda mark: mark[1] + known[mark[2]] + mark[3], page)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(refer(page.read_text(encoding="utf-8")), encoding="utf-8")
