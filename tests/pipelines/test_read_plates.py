"""The job end to end: pictures in, tables out."""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import apache_beam as beam
import fsspec
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.runner import PipelineResult, PipelineRunner

from lpr_core.decode import decode
from lpr_core.plate_reader import PlateReader
from pipelines import read_plates

from .conftest import Tables, draw_scene, plate_corner
from .test_metrics import score_reads

Read = Callable[..., Tables]


def statuses(tables: Tables) -> dict[str, str]:
    return {name: row["status"] for name, row in tables.images().items()}


def test_every_input_has_its_row_and_every_plate_its_read(street: Path, read: Read) -> None:
    tables = read(street, "--truth", street / "truth.csv")
    assert statuses(tables) == {
        "one.jpg": "read",
        "two.jpg": "read",
        "three.png": "read",
        "four.jpg": "read",
        "none.jpg": "no_plate",
        "cut.jpg": "failed",
    }
    texts: dict[str, list[str]] = {}
    for row in sorted(tables.rows("plates"), key=lambda row: row["box"]["y"]):
        texts.setdefault(row["uri"].rpartition("/")[2], []).append(row["text"])
    assert texts == {
        "one.jpg": ["HK73PL"],
        "two.jpg": ["WX482", "TE951"],
        "three.png": ["NM64RA"],
        "four.jpg": ["UP27KE"],
    }


@pytest.mark.parametrize("shards", [1, 2])
def test_shards_bound_the_files_and_change_no_row(street: Path, read: Read, shards: int) -> None:
    parts = read(street, "--truth", street / "truth.csv", workers=2, name="parts")
    tables = read(street, "--truth", street / "truth.csv", "--shards", shards, workers=2)
    folders = [folder for folder in tables.output.iterdir() if folder.name != "runs"]
    for folder in folders:
        # What was merged is gone, and every file that is left is listed.
        names = {f"{folder.name}/{file.name}" for file in folder.iterdir()}
        assert 1 <= len(names) <= shards
        assert names == {f["path"] for f in tables.record["files"] if f["table"] == folder.name}
    for table, key in (("images", "uri"), ("plates", "read_id"), ("truths", "uri")):
        same, rows = (
            sorted(
                ({**row, "run_id": "", "milliseconds": None} for row in one.rows(table)),
                key=lambda row: (row[key], row.get("index")),
            )
            for one in (parts, tables)
        )
        assert rows == same and rows


def test_the_job_reads_what_the_library_reads(street: Path, read: Read) -> None:
    tables = read(street)
    reader = PlateReader.from_bundle()
    rows: dict[str, list[dict[str, object]]] = {}
    for row in sorted(tables.rows("plates"), key=lambda row: row["index"]):
        rows.setdefault(row["uri"], []).append(row)
    assert rows
    for uri, found in rows.items():
        expected = reader.read(decode(Path(uri).read_bytes()).pixels)
        assert [row["text_raw"] for row in found] == [plate.text_raw for plate in expected]
        assert [row["confidence"] for row in found] == [plate.confidence for plate in expected]
        for row, plate in zip(found, expected, strict=True):
            corners = [(corner["x"], corner["y"]) for corner in row["corners"]]
            assert corners == list(plate.detection.quad)
            shapes = [character["seen"] for character in row["characters"]]
            assert shapes == [character.seen for character in plate.characters]
            read_as = "".join(character["character"] for character in row["characters"])
            assert row["text"] == plate.text == read_as


def test_an_images_row_tells_where_the_picture_came_from(street: Path, read: Read) -> None:
    tables = read(street, "--truth", street / "truth.csv")
    row = tables.images()["one.jpg"]
    data = (street / "one.jpg").read_bytes()
    stat = (street / "one.jpg").stat()
    assert row["uri"] == str(street / "one.jpg")
    assert row["bytes"] == len(data)
    assert row["source_version"] == f"size:{len(data)},mtime:{stat.st_mtime}"
    assert (row["width"], row["height"], row["format"], row["orientation"]) == (640, 300, "JPEG", 1)
    assert row["labels"] == [("country", "xx")]
    assert row["plates_found"] == row["plates_read"] == 1
    assert all(row["milliseconds"][stage] > 0 for stage in row["milliseconds"])
    assert (row["stage"], row["reason"], row["message"]) == (None, None, None)
    (plate,) = [p for p in tables.rows("plates") if p["uri"] == row["uri"]]
    x, y = plate_corner(0)
    # The plate stands at (120, 100), 244 × 60: the box found must be about there.
    assert abs(plate["box"]["x"] - x) < 40
    assert abs(plate["box"]["y"] - y) < 30
    assert plate["image_sha256"] == row["sha256"]


def test_truths_tell_how_far_each_plate_came(street: Path, read: Read) -> None:
    tables = read(street, "--truth", street / "truth.csv")
    plates = {row["read_id"]: row for row in tables.rows("plates")}
    truths = {row["text"] + row["uri"][-7:]: row for row in tables.rows("truths")}
    assert len(truths) == 6
    missed = truths["HK73PLcut.jpg"]
    assert (missed["read_id"], missed["iou"], missed["furthest_stage"]) == (None, None, "missed")
    assert missed["edit_distance"] == 6
    right = truths["WX482two.jpg"]
    assert plates[right["read_id"]]["text"] == "WX482"
    assert right["iou"] > 0.5
    assert (right["furthest_stage"], right["edit_distance"]) == ("read", 0)


def test_metrics_by_slice(street: Path, read: Read) -> None:
    tables = read(street, "--truth", street / "truth.csv")
    found = {(row["slice"], row["metric"]): row for row in tables.rows("metrics")}
    exact = found["all", "plate_exact_match"]
    # Six plates; the one in cut.jpg cannot be read.
    assert (exact["numerator"], exact["denominator"]) == (5, 6)
    assert exact["value"] == pytest.approx(5 / 6)
    assert exact["low"] < 5 / 6 < exact["high"]
    assert found["country=xx", "plate_exact_match"]["value"] == 1
    assert found["country=yy", "plate_exact_match"]["value"] == pytest.approx(2 / 3)
    assert {key[0] for key in found} == {"all", "country=xx", "country=yy"}


def plain_rows(tables: Tables) -> dict[str, list[dict[str, object]]]:
    """All rows without run ids and timings, in an order of their own."""
    return {
        name: sorted(
            ({k: v for k, v in row.items() if k not in ("run_id", "milliseconds")} for row in rows),
            key=repr,
        )
        for name in ("images", "plates", "truths", "metrics", "confusions")
        if (rows := tables.rows(name)) is not None
    }


def test_the_number_of_workers_changes_no_row(street: Path, read: Read) -> None:
    one = read(street, "--truth", street / "truth.csv", workers=1, name="one")
    two = read(street, "--truth", street / "truth.csv", workers=2, name="two")
    mode = "--direct_running_mode=multi_threading"
    threads = read(street, "--truth", street / "truth.csv", mode, workers=2, name="threads")
    assert plain_rows(one) == plain_rows(two) == plain_rows(threads)
    assert len(plain_rows(one)["images"]) == 6


def test_pictures_without_known_plates_stay_out_of_the_metrics(street: Path, read: Read) -> None:
    tables = read(street)
    for name in ("truths", "metrics", "confusions"):
        assert tables.table(name).num_rows == 0
        assert tables.table(name).schema.names  # an empty table still has its columns


def test_the_whole_picture_can_be_the_plate(tmp_path: Path, read: Read) -> None:
    import cv2

    x, y = plate_corner(0)
    crop = draw_scene(["RS905"])[y : y + 60, x : x + 208]
    cv2.imwrite(str(tmp_path / "crop.png"), crop)
    (tmp_path / "list.csv").write_text("uri,text\ncrop.png,RS905\n")
    tables = read(tmp_path / "list.csv", "--detector", "whole")
    (plate,) = tables.rows("plates")
    assert (plate["text"], plate["box"]) == (
        "RS905",
        {"x": 0, "y": 0, "width": 208, "height": 60},
    )
    # A truth without a box is judged by its text alone.
    metrics = {row["metric"]: row for row in tables.rows("metrics")}
    assert metrics["plate_exact_match"]["value"] == 1
    assert metrics["detection_recall_iou_50"]["value"] is None


def test_pictures_from_memory_and_from_an_archive(street: Path, tmp_path: Path, read: Read) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(street / "two.jpg", "deep/two.jpg")
    memory = fsspec.filesystem("memory")
    memory.pipe("/read-test/one.jpg", (street / "one.jpg").read_bytes())
    try:
        tables = read("memory://read-test", f"zip://::{tmp_path}/a.zip", workers=2)
    finally:
        memory.rm("/read-test", recursive=True)
    images = {row["uri"]: row["status"] for row in tables.rows("images")}
    assert images == {
        "memory:///read-test/one.jpg": "read",
        f"zip://deep/two.jpg::{tmp_path}/a.zip": "read",
    }
    assert sorted(row["text"] for row in tables.rows("plates")) == ["HK73PL", "TE951", "WX482"]
    assert all(row["source_version"] for row in tables.rows("images"))


def test_tables_go_where_fsspec_goes(street: Path) -> None:
    memory = fsspec.filesystem("memory")
    try:
        arguments = [str(street / "one.jpg"), "--output=memory://tables-test", "--workers=1"]
        record = read_plates.run(arguments)
        assert record is not None
        for file in record["files"]:
            assert memory.info(f"/tables-test/{file['path']}")["size"] == file["bytes"]
        assert len(memory.ls("/tables-test/runs")) == 1
    finally:
        memory.rm("/tables-test", recursive=True)


def test_a_manifest_gives_times_and_labels(street: Path, tmp_path: Path, read: Read) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text(
        f"uri,captured_at,lane\n{street}/one.jpg,2026-03-04T05:06:07,left\n{street}/none.jpg,,\n"
    )
    images = read(manifest).images()
    assert images["one.jpg"]["captured_at"] == datetime(2026, 3, 4, 5, 6, 7)
    assert images["one.jpg"]["labels"] == [("lane", "left")]
    assert images["none.jpg"]["captured_at"] is None
    assert images["none.jpg"]["labels"] == []


def test_crops_are_kept_only_if_asked_for(street: Path, read: Read) -> None:
    import hashlib

    (kept,) = read(street / "one.jpg", "--keep-crops", name="kept").rows("plates")
    (bare,) = read(street / "one.jpg", name="bare").rows("plates")
    assert bare["crop"] is None
    assert bare["crop_sha256"] == kept["crop_sha256"]
    assert hashlib.sha256(kept["crop"]).hexdigest() == kept["crop_sha256"]
    crop = decode(kept["crop"])
    assert crop.format == "PPM"
    assert crop.width > crop.height
    assert np.ptp(crop.pixels) > 100  # dark writing on light paper


def test_read_ids_name_the_plate_the_bundle_and_the_options(street: Path, read: Read) -> None:
    def ids(*more: str, name: str) -> set[str]:
        return {row["read_id"] for row in read(street / "two.jpg", *more, name=name).rows("plates")}

    first = ids(name="first")
    assert len(first) == 2
    assert ids(name="again") == first
    assert ids("--min-confidence=0.01", name="other").isdisjoint(first)


def test_less_sure_plates_are_found_but_unreadable(street: Path, read: Read) -> None:
    tables = read(street / "one.jpg", "--min-confidence=1")
    assert statuses(tables) == {"one.jpg": "unreadable"}
    (plate,) = tables.rows("plates")
    assert (plate["status"], plate["text"]) == ("unreadable", None)
    assert plate["text_raw"] != ""
    assert tables.record["counts"]["unreadable"] == 1


def test_layouts_may_tell_o_from_0_and_the_edit_is_told(tmp_path: Path, read: Read) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "hu.png"), draw_scene(["ABO120"]))
    classical = ("--detector=contour", "--reader=characters")
    (plate,) = read(tmp_path / "hu.png", *classical, name="plain").rows("plates")
    assert (plate["text"], plate["text_raw"], plate["edits"]) == ("AB0120", "AB0120", [])
    tables = read(tmp_path / "hu.png", *classical, "--layouts=br,hu", workers=2)
    (plate,) = tables.rows("plates")
    assert (plate["text"], plate["text_raw"]) == ("ABO120", "AB0120")
    assert plate["edits"] == [{"index": 2, "from": "0", "to": "O", "layout": "hu"}]
    assert tables.record["config"]["layouts"] == ["br", "hu"]


def test_the_summary_tells_counts_accuracy_and_place(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [street, "--truth", street / "truth.csv", "--output", tmp_path, "--workers=1"]
    assert read_plates.main([*map(str, arguments), "--show-reads=3"]) == 0
    out = capsys.readouterr().out
    assert "6 pictures: 4 read, 1 no_plate, 0 unreadable, 1 failed" in out
    assert "2 other files ignored" in out
    assert "failed decode/truncated: 1" in out
    assert "(5 of 6; 95 %" in out
    assert str(tmp_path) in out
    lines = out.splitlines()
    assert lines[0].split() == ["picture", "read", "truth"]
    assert lines[1].startswith("cut.jpg") and "decode/truncated" in lines[1]
    assert lines[4] == "and 3 more"


def test_a_summary_that_cannot_be_printed_fails_no_job(
    street: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(read_plates, "print_summary", broken)
    arguments = [str(street / "one.jpg"), "--output", str(tmp_path), "--workers=1", "--run-id=r"]
    assert read_plates.main(arguments) == 0
    assert f"run r is committed in {tmp_path}" in capsys.readouterr().err.splitlines()[-1]
    assert read_plates.read_record(str(tmp_path), "r") is not None


@pytest.mark.parametrize(("state", "status"), [("CANCELLED", 1), ("DONE", 1)])
def test_an_engine_that_left_no_record(
    street: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    status: int,
) -> None:
    class Idle(PipelineRunner):
        def run_pipeline(self, pipeline: object, options: object) -> PipelineResult:
            result = PipelineResult(state)
            result.wait_until_finish = lambda duration=None: state
            return result

    monkeypatch.setattr(read_plates, "Idle", Idle, raising=False)
    runner = "--runner=pipelines.read_plates.Idle"
    arguments = [str(street / "one.jpg"), "--output", str(tmp_path), runner]
    assert read_plates.main(arguments) == status


def test_labels_of_too_many_values_make_no_slices(
    tmp_path: Path, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "list.csv"
    # 101 and 100 different values of two labels; no picture is there, which costs no time.
    lines = [f"{number}.jpg,AB1,{number},{number % 100}" for number in range(101)]
    manifest.write_text("uri,text,serial,lane\n" + "\n".join(lines) + "\n")
    assert read_plates.main([str(manifest), f"--output={tmp_path}", "--run-id=r"]) == 0
    assert "no metrics by serial: more than 100 values" in capsys.readouterr().out
    record = read_plates.read_record(str(tmp_path), "r")
    assert record is not None
    tables = Tables(tmp_path, record)
    assert record["labels_not_sliced"] == ["serial"]
    slices = {row["slice"] for row in tables.rows("metrics")}
    assert slices == {"all", *(f"lane={number}" for number in range(100))}
    assert dict(tables.images()["7.jpg"]["labels"]) == {"serial": "7", "lane": "7"}


def test_truth_rows_of_no_input_are_counted(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [street / "one.jpg", "--truth", street / "truth.csv", "--output", tmp_path]
    assert read_plates.main([*map(str, arguments), "--workers=1", "--run-id=r"]) == 0
    # Of seven rows (none, cut, one, two twice, three, four) one is of one.jpg.
    assert "6 truth rows match no input" in capsys.readouterr().out
    record = read_plates.read_record(str(tmp_path), "r")
    assert record is not None
    assert record["counts"]["truth_rows_unmatched"] == 6


def test_names_with_colons_and_names_that_are_not_utf_8(
    street: Path, tmp_path: Path, read: Read
) -> None:
    folder = tmp_path / "in::2"
    folder.mkdir()
    for name in (b"c::d.jpg", b"bad\xff.jpg"):
        (folder / os.fsdecode(name)).write_bytes((street / "one.jpg").read_bytes())
    tables = read(folder, "--show-reads=2", name="out::5")
    assert statuses(tables) == {"c::d.jpg": "read", "bad\\udcff.jpg": "failed"}
    assert tables.record["counts"]["failures"] == {"input/bad_row": 1}
    assert (tmp_path / "out::5" / "runs").is_dir()


def test_too_many_failures_end_with_status_3_after_the_tables(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(street), "--output", str(tmp_path), "--workers=1", "--run-id=r"]
    assert read_plates.main([*arguments, "--max-failure-rate=0.1"]) == 3  # 1 of 6
    assert "failed" in capsys.readouterr().err
    record = read_plates.read_record(str(tmp_path), "r")
    assert record is not None
    assert record["state"] == "over_failure_limit"
    assert sum(f["rows"] for f in record["files"] if f["table"] == "images") == 6


def test_a_pipeline_can_be_handed_in(street: Path, tmp_path: Path) -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        options = [str(street / "one.jpg"), "--output", str(tmp_path), "--workers=1"]
        record = read_plates.run(options, pipeline)
    assert record is not None
    assert record["counts"]["inputs"] == 1


def test_one_reader_is_loaded_a_process(
    street: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines import shared_reader

    loaded = []
    original = shared_reader.load_bundle

    def counted(folder: str | None = None) -> object:
        loaded.append(folder)
        return original(folder)

    # The launcher's own check goes through read_plates's name and is not counted here.
    monkeypatch.setattr(shared_reader, "load_bundle", counted)
    read(street, "--direct_running_mode=multi_threading", workers=2)
    assert len(loaded) == 1


@pytest.mark.shared
@pytest.mark.parametrize("country", ["eu"])
def test_metrics_equal_the_independent_scorer_on_real_pictures(
    shared_data: Path, tmp_path: Path, read: Read, country: str
) -> None:
    scenes = shared_data / "scenes" / country
    tables = read(scenes, "--truth", scenes / "truth.csv")
    reads = tmp_path / "reads.csv"
    with open(reads, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["image", "text", "confidence", "x", "y", "w", "h"])
        for row in tables.rows("plates"):
            box = [row["box"][side] for side in ("x", "y", "width", "height")]
            out.writerow([row["uri"], row["text"] or "", row["confidence"], *box])
    (tmp_path / "truth.csv").write_bytes((scenes / "truth.csv").read_bytes())
    expected = score_reads(shared_data, reads, tmp_path)
    found = {row["metric"]: row["value"] for row in tables.rows("metrics") if row["slice"] == "all"}
    assert expected["images"] == tables.record["counts"]["inputs"] > 20
    assert found["plate_exact_match"] == pytest.approx(expected["exact"])
    assert found["detection_recall_iou_50"] == pytest.approx(expected["recall_50"])
    assert found["detection_recall_iou_30"] == pytest.approx(expected["recall_30"])
    assert found["false_plates_per_picture"] == pytest.approx(expected["fp_image"])
    assert found["character_error_rate"] == pytest.approx(expected["cer"])


def test_tables_keep_their_schema_in_the_file(street: Path, read: Read) -> None:
    from pipelines.schemas import SCHEMAS

    tables = read(street / "one.jpg")
    for name, schema in SCHEMAS.items():
        table: pa.Table = tables.table(name)
        assert table.schema.equals(schema)
        assert table.schema.metadata == schema.metadata
        assert not any(column.metadata for column in table.schema)  # descriptions are for the docs
