"""The cookbook's questions, asked of the samples: the answers are those that it prints."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from pipelines import query

TEXT = (Path(__file__).parents[2] / "docs" / "cookbook.md").read_text(encoding="utf-8")
BLOCK = r"```{}\n(.*?)```\n"
QUESTIONS = re.findall(BLOCK.format("sql") + r"\n" + BLOCK.format("text"), TEXT, re.DOTALL)


def test_there_are_ten_questions() -> None:
    assert len(QUESTIONS) == TEXT.count("```sql") == 10


@pytest.mark.parametrize(("sql", "answer"), QUESTIONS)
def test_a_question_has_its_answer(
    samples_output: str, capsys: pytest.CaptureFixture[str], sql: str, answer: str
) -> None:
    assert query.main([samples_output, "--sql", sql]) == 0
    assert capsys.readouterr().out == answer


def test_snippets_of_other_tools_print_what_they_promise(
    samples_output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    (tmp_path / "demo-output").symlink_to(samples_output)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"```(python|text)\n(.*?)```\n", TEXT.partition("## In other")[2], re.DOTALL
    )
    names: dict[str, Any] = {}
    printed, promised = io.StringIO(), ""
    for kind, block in blocks:
        if kind == "text":
            promised += block
        elif "pyspark" not in block:
            with contextlib.redirect_stdout(printed):
                exec(block, names)
    assert printed.getvalue() == promised
    assert promised.count("\n") == 3
