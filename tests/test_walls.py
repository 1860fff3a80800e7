"""The rooms' walls: who may import whom, in every file, by reading its imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "lpr_core": {"lpr_core", "numpy", "cv2", "PIL", "ai_edge_litert", "keras", "tensorflow"},
    "pipelines": {
        *("pipelines", "lpr_core", "numpy", "apache_beam", "pyarrow", "fsspec"),
        *("duckdb", "jinja2", "matplotlib", "PIL", "psutil", "tabulate", "tenacity", "tqdm"),
    },
}
FORBIDDEN = {"model_training": {"pipelines", "apache_beam"}}


def imports(room: str) -> Iterator[tuple[str, str]]:
    """(file, top-level module) of every import statement of a room, nested ones too."""
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""] if not node.level else [room]
            else:
                continue
            for module in modules:
                yield str(file.relative_to(ROOT)), module.partition(".")[0]


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = ALLOWED[room] | set(sys.stdlib_module_names)
    assert [found for found in imports(room) if found[1] not in allowed] == []


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_leaves_the_others_alone(room: str) -> None:
    assert [found for found in imports(room) if found[1] in FORBIDDEN[room]] == []
