"""Two archives side by side: every kind of change, and who is right more often, counted by hand."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lpr_core.geometry import Box
from lpr_core.score import PlateTruth
from pipelines import stored_pictures
from pipelines.compare import main
from pipelines.pictures import PictureResult
from pipelines.pseudonyms import Pseudonyms

from .conftest import commit_results
from .test_evaluate import BOX, read_of, result_of, write_truth

FAR = Box(500, 0, 100, 20)


def compared(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main([*map(str, arguments), "--format", "json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def with_sha256(result: PictureResult, sha256: str | None) -> PictureResult:
    return replace(result, facts=replace(result.facts, sha256=sha256))


@pytest.fixture
def outputs(tmp_path: Path) -> tuple[Path, Path]:
    """A picture for each change, and pictures that cannot be compared."""
    near = Box(10, 0, 100, 20)  # IoU with BOX 90 / 110
    a = [
        result_of("/in/same.jpg", read_of("AB1", 0.5)),
        result_of("/in/other.jpg", read_of("AB2", 0.6), read_of("ZZ9", 0.5, FAR)),
        result_of("/in/lost.jpg", read_of("AB3", 0.7)),
        result_of("/in/gained.jpg", read_of(None, 0.2)),
        result_of("/in/dark.jpg", read_of(None, 0.1)),
        result_of("/in/moved.jpg", read_of("AB4", 0.8)),
        result_of("/in/only-a.jpg", read_of("AB5")),
        result_of("/in/rewritten.jpg", read_of("AB6")),
        with_sha256(result_of("/in/unloaded.jpg"), None),
    ]
    b = [
        result_of("/in/same.jpg", read_of("AB1", 0.9)),
        result_of("/in/other.jpg", read_of("ZZ9", 0.5, FAR), read_of("A82", 0.9, near)),
        result_of("/in/lost.jpg", read_of(None, 0.4)),
        result_of("/in/gained.jpg", read_of("AB7", 0.6)),
        result_of("/in/dark.jpg", read_of(None, 0.3)),
        result_of("/in/moved.jpg", read_of("AB4", 0.8, FAR)),
        result_of("/in/only-b.jpg"),
        with_sha256(result_of("/in/rewritten.jpg"), "f" * 64),
        result_of("/in/unloaded.jpg", read_of("AB8")),
    ]
    commit_results(tmp_path / "a", a)
    commit_results(tmp_path / "b", b)
    return tmp_path / "a", tmp_path / "b"


@pytest.mark.parametrize("at_once", [stored_pictures.PICTURES_AT_ONCE, 2])
def test_every_change_is_told(
    outputs: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored_pictures, "PICTURES_AT_ONCE", at_once)
    report = compared(capsys, *outputs)
    assert report["pictures"] == {
        "compared": 6,
        "only in A": 1,
        "only in B": 1,
        "changed content": 1,
        "content unknown": 1,
    }
    changes = {row["change"]: row["plates"] for row in report["plates"]}
    assert changes == {
        "same text": 2,  # same.jpg, and ZZ9 of other.jpg
        "unreadable in both": 1,
        "other text": 1,
        "read, then unreadable": 1,
        "unreadable, then read": 1,
        "only in A": 1,  # moved.jpg, on either side
        "only in B": 1,
    }
    confidence = {row["change"]: row["mean_confidence_change"] for row in report["plates"]}
    assert confidence == {
        "same text": pytest.approx((0.4 + 0) / 2),
        "unreadable in both": pytest.approx(0.2),
        "other text": pytest.approx(0.3),
        "read, then unreadable": pytest.approx(-0.3),
        "unreadable, then read": pytest.approx(0.4),
        "only in A": None,
        "only in B": None,
    }
    columns = ("change", "uri", "text_a", "text_b", "confidence_a", "confidence_b")
    changed = sorted(tuple(row[name] for name in columns) for row in report["changed"])
    assert changed == [
        ("only in A", "/in/moved.jpg", "AB4", None, 0.8, None),
        ("only in B", "/in/moved.jpg", None, "AB4", None, 0.8),
        ("other text", "/in/other.jpg", "AB2", "A82", 0.6, 0.9),
        ("read, then unreadable", "/in/lost.jpg", "AB3", None, 0.7, 0.4),
        ("unreadable, then read", "/in/gained.jpg", None, "AB7", 0.2, 0.6),
    ]
    assert report["truths"] == []


def test_changes_are_listed_by_picture_up_to_a_limit(
    outputs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [str(output) for output in outputs]
    assert main([*pair, "--limit", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["6 pictures compared", "  only in A: 1"]
    assert lines[-2].split("  ")[:2] == ["unreadable, then read", "/in/gained.jpg"]
    assert lines[-1] == "and 4 more"
    assert main([*pair, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["uri"] for row in rows] == sorted(row["uri"] for row in rows)
    assert len(rows) == 5


def test_an_output_is_as_itself(samples_output: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = compared(capsys, samples_output, samples_output)
    assert report["changed"] == []
    assert report["pictures"]["compared"] == sum(report["pictures"].values()) > 20
    assert {row["change"] for row in report["plates"]} <= {"same text", "unreadable in both"}
    (whole,) = (row for row in report["truths"] if row["slice"] == "all")
    assert whole["plates"] == whole["both"] + whole["neither"] > 20
    assert (whole["difference"], whole["p_value"]) == (0, 1)


def judged(right: str, reads: Sequence[str], **known: Any) -> list[PictureResult]:
    """A picture for each letter of `right`: "+" is read as its truth, T0, T1, …, "-" as Q."""
    return [
        result_of(f"/in/{place}.jpg", read_of(f"T{place}" if mark == "+" else "Q"), **known)
        for place, mark in enumerate(right)
    ]


# Both are right 2 times, A alone once, B alone 5 times, neither once: of 6 that differ, 1 for A, so
# p = 2 (1 + 6) / 2⁶ = 0.21875.
RIGHT_A = "+++-----" + "-"
RIGHT_B = "++-+++++" + "-"


def test_who_is_right_more_often_by_a_truth_that_came_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit_results(tmp_path / "a", judged(RIGHT_A, "a"))
    commit_results(tmp_path / "b", judged(RIGHT_B, "b"))
    rows = [f"{place}.jpg,T{place},{'Ulm' if place < 3 else 'Aue'}" for place in range(9)]
    truth = write_truth(tmp_path / "truth.csv", *rows)
    report = compared(capsys, tmp_path / "a", tmp_path / "b", "--truth", truth)
    by_slice = {row.pop("slice"): row for row in report["truths"]}
    assert by_slice["all"] == {
        "plates": 9,
        "both": 2,
        "only_a": 1,
        "only_b": 5,
        "neither": 1,
        "exact_match_a": pytest.approx(3 / 9),
        "exact_match_b": pytest.approx(7 / 9),
        "difference": pytest.approx(4 / 9),
        "p_value": pytest.approx(0.21875),
    }
    # The first three: B is never right alone, A once.
    assert [by_slice["city=Ulm"][side] for side in ("both", "only_a", "only_b")] == [2, 1, 0]
    assert by_slice["city=Aue"]["p_value"] == pytest.approx(2 / 2**5)


def test_truths_of_the_tables_count_and_those_of_b_before_those_of_a(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def pictures(*known: tuple[str, ...] | None) -> list[PictureResult]:
        truths = [known and tuple(PlateTruth(text, BOX) for text in known) for known in known]
        return [
            result_of(f"/in/{place}.jpg", read_of(f"T{place}"), truths=plates, labels=labels)
            for place, plates in enumerate(truths)
            for labels in [(("city", "Ulm"),) if plates else ()]
        ]

    # Of the first B knows another truth than A, of the second A alone knows one, of the third
    # nobody; a plate without a text is neither right nor wrong.
    commit_results(tmp_path / "a", pictures(("T0",), ("T1", ""), None))
    commit_results(tmp_path / "b", pictures(("T9",), None, None))
    report = compared(capsys, tmp_path / "a", tmp_path / "b")
    counts = {
        row["slice"]: (row["plates"], row["both"], row["neither"]) for row in report["truths"]
    }
    assert counts == {"all": (2, 1, 1), "city=Ulm": (2, 1, 1)}


def test_runs_of_one_output_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    commit_results(output, [result_of("/in/a.jpg", read_of("AB1"))], "first")
    later = "2024-05-02T00:00:00+00:00"
    commit_results(output, [result_of("/in/a.jpg", read_of("AB7"))], "second", later)
    report = compared(capsys, output, "--run-a", "first", "--run-b", "second")
    assert [(row["text_a"], row["text_b"]) for row in report["changed"]] == [("AB1", "AB7")]
    report = compared(capsys, output, "--run-a", "first")  # and the latest of all
    assert len(report["changed"]) == 1


def test_tokens_are_compared_among_themselves_and_never_with_a_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "plates.key"
    key.write_text("0123456789abcdef" * 2)
    hide = Pseudonyms.from_file(str(key)).public_row
    known = (PlateTruth("AB1", BOX),)
    for name, text in (("a", "AB1"), ("b", "AB7")):
        results = [
            result_of("/in/x.jpg", read_of(text), truths=known),
            result_of("/in/y.jpg", read_of("CD2")),
        ]
        commit_results(tmp_path / name, results, hide=hide)
    report = compared(capsys, tmp_path / "a", tmp_path / "b")
    assert report["pictures"]["compared"] == 2
    changes = {row["change"]: row["plates"] for row in report["plates"]}
    assert changes == {"same text": 1, "other text": 1}
    assert [row["only_a"] for row in report["truths"]] == [1]
    record_file = tmp_path / "b" / "runs" / "run.json"
    record = json.loads(record_file.read_text())
    record["pseudonyms"] = {"key_id": "1", "restricted": False}
    record_file.write_text(json.dumps(record))
    truth = write_truth(tmp_path / "truth.csv", "x.jpg,AB1,Ulm")
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), "--truth", truth]) == 2
    assert f"name {tmp_path}/b-restricted instead" in capsys.readouterr().err


def test_tokens_are_compared_with_those_of_their_key_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {
        "plain": None,
        "restricted": {"key_id": "1", "restricted": True},
        "public": {"key_id": "1", "restricted": False},
        "same": {"key_id": "1", "restricted": False},
        "other": {"key_id": "2", "restricted": False},
    }
    for name, pseudonyms in kinds.items():
        commit_results(tmp_path / name, [result_of("/in/a.jpg")])
        file = tmp_path / name / "runs" / "run.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "pseudonyms": pseudonyms}))
    for a, b, status in (
        ("public", "same", 0),
        ("plain", "restricted", 0),
        ("public", "other", 2),
        ("public", "restricted", 2),
        ("plain", "public", 2),
    ):
        assert main([str(tmp_path / a), str(tmp_path / b)]) == status
        told = capsys.readouterr().err
        assert told.startswith("platebeam compare: one side has tokens") == (status == 2)
        assert told.count("\n") == (status == 2)


def test_a_limit_is_a_number_from_0_on(
    outputs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, outputs), "--limit", "-1"])
    assert stopped.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith("argument --limit: '-1' is no number from 0 on")


def test_what_cannot_be_compared_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit_results(tmp_path / "a", [result_of("/in/a.jpg")])
    output = str(tmp_path / "a")
    for arguments, told in (
        ([output], "nothing to compare: give OUTPUT_B, or another --run-b than --run-a"),
        ([output, f"{output}-none"], f"no run is committed in {output}-none"),
        ([output, output, "--truth", "none.csv"], "none.csv: No such file or directory"),
    ):
        assert main(arguments) == 2
        assert capsys.readouterr().err == f"platebeam compare: {told}\n"
