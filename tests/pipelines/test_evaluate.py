"""Metrics by a truth that came later: the job's own figures, and figures counted by hand."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpr_core.detect import PlateDetection
from lpr_core.geometry import Box
from lpr_core.plate_reader import PlateRead
from lpr_core.score import PlateTruth
from pipelines import stored_pictures
from pipelines.evaluate import main
from pipelines.failures import Failure, Reason, Stage
from pipelines.inputs import ImageRef
from pipelines.metrics import count_picture, judge
from pipelines.pictures import PictureFacts, PictureResult, PlateEvidence
from pipelines.run_record import read_record, read_table
from pipelines.tables import Row, Run, plate_read, plate_rows

from .conftest import SAMPLES, commit_results

KNOWN = ("--truth", str(SAMPLES / "truth.csv"))
BOX = Box(0, 0, 100, 20)


def job_rows(output: str, table: str) -> list[dict[str, Any]]:
    record = read_record(output, "samples")
    assert record is not None
    rows: list[dict[str, Any]] = read_table(record, output, table).to_pylist()
    return rows


def read_of(text: str | None, confidence: float = 0.9, box: Box = BOX) -> PlateRead:
    return PlateRead(PlateDetection(box.corners, 1.0), text, text or "Q", confidence, (), ())


def result_of(uri: str, *reads: PlateRead, **known: Any) -> PictureResult:
    facts = PictureFacts(ImageRef(uri, **known), sha256=hashlib.sha256(uri.encode()).hexdigest())
    return PictureResult(facts, tuple((read, PlateEvidence("0" * 64, None)) for read in reads))


def write_truth(file: Path, *rows: str) -> str:
    """A truth file; a row is the image, a text on a plate at BOX, and the city."""
    lines = ["image,x,y,w,h,text,city"]
    for row in rows:
        image, text, city = row.split(",")
        lines.append(f"{image},0,0,100,20,{text},{city}" if text else f"{image},,,,,,{city}")
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[tuple, tuple]:
    """(numerator, denominator) by slice and metric, as JSON tells them."""
    assert main([*map(str, arguments), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    return {(row["slice"], row["metric"]): (row["numerator"], row["denominator"]) for row in rows}


@pytest.mark.parametrize("at_once", [stored_pictures.PICTURES_AT_ONCE, 4])
def test_the_samples_come_to_what_the_job_found(
    samples_output: str, tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_pictures, "PICTURES_AT_ONCE", at_once)
    assert main([samples_output, *KNOWN, "--output", str(tmp_path)]) == 0
    for table in ("metrics", "confusions"):
        kept = pq.read_table(tmp_path / f"{table}.parquet")
        assert kept.num_rows > 10
        assert kept.to_pylist() == job_rows(samples_output, table)
    truths = {(row["uri"], row["index"]): row for row in job_rows(samples_output, "truths")}
    kept = pq.read_table(tmp_path / "truths.parquet").to_pylist()
    assert {(row["uri"], row["index"]): row for row in kept} == truths
    assert len(kept) == len(truths) > 20


corners = st.tuples(*[st.tuples(*[st.floats(-9, 99, width=32)] * 2)] * 4)
texts = st.text("AB0O1I", max_size=4)
reads_drawn = st.lists(
    st.builds(
        lambda quad, score, text, raw, confidence: PlateRead(
            PlateDetection(quad, score, 0.5), text or None, text or raw, confidence, (), ()
        ),
        *(corners, st.floats(-5, 5), texts, texts, st.floats(0, 1)),
    ),
    max_size=4,
)
boxes = st.builds(Box, *[st.integers(0, 60)] * 2, *[st.integers(1, 60)] * 2)
truths_drawn = st.lists(st.builds(PlateTruth, texts, st.none() | boxes), max_size=3)


@given(truths_drawn, reads_drawn)
def test_reads_made_of_rows_are_judged_as_those_that_were_written(truths, reads) -> None:
    run = Run("run", "/out", "", "")
    made = [plate_read(row) for row in plate_rows(run, result_of("a.jpg", *reads))]
    assert judge(truths, made) == judge(truths, reads)
    assert count_picture(truths, made) == count_picture(truths, reads)
    assert [(read.status, read.detection.quad) for read in made] == [
        (read.status, read.detection.quad) for read in reads
    ]


def test_the_latest_run_counts_unless_another_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    wrong = [result_of("/in/a.jpg", read_of("AB1")), result_of("/in/b.jpg", read_of("CD2"))]
    commit_results(output, wrong, "z-first", "2024-05-01T10:00:00+00:00")
    right = result_of("/in/a.jpg", read_of("AB7"))
    commit_results(output, [right], "a-second", "2024-05-01T11:00:00+00:00")
    truth = write_truth(tmp_path / "truth.csv", "a.jpg,AB7,Ulm", "b.jpg,CD2,Ulm")
    both = evaluated(capsys, output, "--truth", truth, "--output", tmp_path / "kept")
    assert both["all", "plate_exact_match"] == (2, 2)
    kept = pq.read_table(tmp_path / "kept" / "truths.parquet").to_pylist()
    assert {(row["run_id"], row["uri"]) for row in kept} == {
        ("a-second", "/in/a.jpg"),
        ("z-first", "/in/b.jpg"),
    }
    metrics = pq.read_table(tmp_path / "kept" / "metrics.parquet")
    assert set(metrics["run_id"].to_pylist()) == {"several"}
    first = evaluated(capsys, output, "--truth", truth, "--run", "z-first")
    assert first["all", "plate_exact_match"] == (1, 2)


def test_the_truth_that_came_later_counts_alone_and_its_labels_make_slices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = (PlateTruth("OLD1", BOX),)
    failed = Failure(Stage.LOAD, Reason.NOT_FOUND, "gone")
    results = [
        result_of("s3://b/a.jpg", read_of("AB1"), truths=old, labels=(("lane", "1"),)),
        result_of("s3://b/b.jpg", read_of("CD2"), labels=(("lane", "2"), ("city", "Ulm"))),
        result_of("s3://b/c.jpg", read_of("EF3"), truths=old),
        PictureResult(PictureFacts(ImageRef("s3://b/d.jpg")), failure=failed),
        result_of("s3://b/e.jpg", read_of("GH4")),
    ]
    commit_results(tmp_path / "out", results)
    rows = ("a.jpg,AB1,Ulm", "b/b.jpg,CD9,Aue", "d.jpg,XY8,Ulm", "e.jpg,,Ulm", "f.jpg,ZZ1,Ulm")
    truth = write_truth(tmp_path / "truth.csv", *rows)
    arguments = [str(tmp_path / "out"), "--truth", truth, "--format", "json"]
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert told.err == "4 pictures with a known truth\n1 truth rows match no picture\n"
    found = {
        (row["slice"], row["metric"]): (row["numerator"], row["denominator"])
        for row in json.loads(told.out)
    }
    # AB1 is right, CD2 is not CD9, the failed picture has read nothing; c.jpg counts nowhere.
    assert found["all", "plate_exact_match"] == (1, 3)
    # A plate on the picture that has none.
    assert found["all", "false_plates_per_picture"] == (1, 4)
    assert found["city=Ulm", "plate_exact_match"] == (1, 2)
    assert found["city=Ulm|Aue", "plate_exact_match"] == (0, 1)
    assert found["lane=1", "plate_exact_match"] == (1, 1)
    assert found["lane=2", "plate_exact_match"] == (0, 1)
    slices = {name for name, _ in found}
    assert slices == {"all", "city=Ulm", "city=Ulm|Aue", "lane=1", "lane=2"}
    assert {name for name, _ in evaluated(capsys, *arguments, "--by", "lane")} == {
        "all",
        "lane=1",
        "lane=2",
    }


def test_kept_truths_name_the_reads_as_the_tables_do(tmp_path: Path) -> None:
    def tokens(row: Row) -> Row:
        return {**row, "read_id": f"token of {row['uri']}"} if row.get("read_id") else row

    commit_results(tmp_path / "out", [result_of("/in/a.jpg", read_of("AB1"))], hide=tokens)
    truth = write_truth(tmp_path / "truth.csv", "a.jpg,AB1,Ulm")
    assert main([str(tmp_path / "out"), "--truth", truth, "--output", str(tmp_path / "kept")]) == 0
    (row,) = pq.read_table(tmp_path / "kept" / "truths.parquet").to_pylist()
    assert row["read_id"] == "token of /in/a.jpg"


def test_figures_are_printed_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit_results(tmp_path / "out", [result_of("/in/a.jpg", read_of("AB1"))])
    truth = write_truth(tmp_path / "truth.csv", "a.jpg,AB1,a|b")
    arguments = [str(tmp_path / "out"), "--truth", truth]
    printed = {}
    for style in ("table", "csv", "markdown"):
        assert main([*arguments, "--format", style]) == 0
        printed[style] = capsys.readouterr().out
    # One of one: the interval of Wilson is 1 / (1 + 1.96²) = 0.2065 to 1.
    assert "plate_exact_match            100.0 %  (1 of 1; 95 % 20.7 to 100.0)" in printed["table"]
    assert "city=a|b  100.0 % of 1 (20.7 to 100.0)" in printed["table"]
    (row,) = (
        row
        for row in csv.DictReader(io.StringIO(printed["csv"]))
        if (row["slice"], row["metric"]) == ("city=a|b", "plate_exact_match")
    )
    assert [float(row[name]) for name in ("numerator", "value", "low")] == pytest.approx(
        [1, 1, 0.2065], abs=1e-4
    )
    cells = ["city=a\\|b", "plate_exact_match", "1", "1", "1", "0.2065", "1"]
    lines = [line.split() for line in printed["markdown"].splitlines()]
    assert ["|", *" | ".join(cells).split(), "|"] in lines


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_archive_stays_as_it_is(
    samples_output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(samples_output, tmp_path / "copy"))
    before = content(copy)
    for inside in (copy, copy / "kept"):
        assert main([str(copy), *KNOWN, "--output", str(inside)]) == 2
        assert capsys.readouterr().err == (
            f"platebeam evaluate: --output {inside} is in {copy}: name a folder outside it\n"
        )
    assert main([str(copy), *KNOWN, "--output", f"{copy}-kept"]) == 0
    assert content(copy) == before


def test_what_cannot_be_evaluated_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"

    def told(*arguments: str) -> str:
        assert main([str(output), *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("platebeam evaluate: ")

    truth = write_truth(tmp_path / "truth.csv", "x.jpg,AB1,Ulm")
    assert told("--truth", truth) == f"no run is committed in {output}"
    commit_results(output, [result_of("/in/a.jpg", read_of("AB1"))])
    kept = tmp_path / "kept"
    assert told("--truth", truth, "--output", str(kept)) == (
        f"no row of the truth is about a picture of {output}"
    )
    assert not kept.exists()
    assert told("--truth", "none.csv") == "none.csv: No such file or directory"
    assert told("--truth", truth, "--output", "foo://kept") == (
        "cannot write foo://kept: Protocol not known: foo"
    )
    record = json.loads((output / "runs" / "run.json").read_text())
    record["pseudonyms"] = {"key_id": "1", "restricted": False}
    (output / "runs" / "run.json").write_text(json.dumps(record))
    assert told("--truth", truth) == (
        f"the tables of {output} hold tokens in place of plates and URIs: name "
        f"{output}-restricted instead"
    )


def test_a_table_that_is_lost_fails_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit_results(tmp_path / "out", [result_of("/in/a.jpg", read_of("AB1"))])
    shutil.rmtree(tmp_path / "out" / "plates")
    truth = write_truth(tmp_path / "truth.csv", "a.jpg,AB1,Ulm")
    assert main([str(tmp_path / "out"), "--truth", truth]) == 1
    assert "plates" in capsys.readouterr().err
