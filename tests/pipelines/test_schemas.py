"""The golden schema: a change of columns is a change of SCHEMA_VERSION, made on purpose."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipelines.schemas import SCHEMA_VERSION, SCHEMAS

GOLDEN = Path(__file__).with_name("schemas.golden.txt")


def lines(prefix: str, fields: list[pa.Field]) -> list[str]:
    """One line a column, nested ones below their parent."""
    found = []
    for field in fields:
        kind = field.type
        name = f"{prefix}.{field.name}"
        null = "" if field.nullable else " not null"
        if pa.types.is_struct(kind):
            found += [
                f"{name}: struct{null}",
                *lines(name, [kind.field(i) for i in range(len(kind))]),
            ]
        elif pa.types.is_map(kind):
            found += [f"{name}: map<{kind.key_type}, {kind.item_type}>{null}"]
        elif pa.types.is_list(kind):
            found += [f"{name}: list{null}", *lines(name, [kind.value_field])]
        else:
            found += [f"{name}: {kind}{null}"]
    return found


def test_the_columns_are_the_golden_ones() -> None:
    found = [f"schema_version {SCHEMA_VERSION}"]
    for table, schema in SCHEMAS.items():
        assert schema.metadata[b"table"] == table.encode()
        found += lines(table, list(schema))
    assert found == GOLDEN.read_text().splitlines()
