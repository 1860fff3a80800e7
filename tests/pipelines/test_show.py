"""The evidence sheet: what is on it, and what it says where something is gone."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Polygon
from matplotlib.text import Text

from pipelines import read_plates, show
from pipelines.archive import open_archive
from pipelines.evidence_sheet import Evidence, draw_sheet
from pipelines.provenance import SourceState
from pipelines.run_record import write_record
from pipelines.schemas import SCHEMAS
from pipelines.tables import Run, write_table

from .conftest import SAMPLES, draw_scene, plate_corner, plate_width
from .test_verify import edit_record, edit_rows, record_of, table_file


class Sheet:
    """A sheet as it is drawn."""

    def __init__(self, evidence: Evidence) -> None:
        page = Figure((8, 11))
        draw_sheet(page, evidence)
        self.texts = [text.get_text() for text in page.findobj(Text) if text.get_text()]
        self.pictures = [np.asarray(image.get_array()) for image in page.findobj(AxesImage)]
        shapes = page.findobj(Polygon)
        self.outlines = [shape.get_xy()[:4] for shape in shapes if isinstance(shape, Polygon)]


def evidence_of(output: Path | str, name: object, **options: Any) -> list[Evidence]:
    return show.find_evidence(open_archive(str(output)), str(name), **options)


def rows_of(output: Path | str, table: str, run_id: str = "samples") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(table_file(Path(output), table, run_id)).to_pylist()
    return rows


@pytest.fixture
def copy(samples_output: str, tmp_path: Path) -> Path:
    """The samples' output, free to be changed."""
    return Path(shutil.copytree(samples_output, tmp_path / "copy"))


def test_the_sheet_of_a_read_tells_all_of_it(samples_output: str) -> None:
    plate = rows_of(samples_output, "plates")[0]
    (evidence,) = evidence_of(samples_output, plate["read_id"])
    sheet = Sheet(evidence)
    record = record_of(Path(samples_output), "samples")
    (run,) = (text for text in sheet.texts if text.startswith("samples, "))
    assert run == f"samples, {record['started_at']} to {record['finished_at']}"
    hashes = {plate["image_sha256"], plate["crop_sha256"], plate["read_id"]}
    hashes |= {record["bundle"]["sha256"], record["config"]["sha256"]}
    assert hashes <= set(sheet.texts)
    assert {plate["text"], "the file still has this sha256"} <= set(sheet.texts)
    assert "kept in the table; cut again from the file" in sheet.texts
    others = [choice["text"] for choice in plate["alternatives"]]
    assert [text for text in sheet.texts if text in others[1:]] == others[1:]


def test_the_plate_is_outlined_in_the_picture_and_its_characters_in_the_crop(
    samples_output: str,
) -> None:
    plate = rows_of(samples_output, "plates")[0]
    sheet = Sheet(*evidence_of(samples_output, plate["read_id"]))
    quad, *boxes = sheet.outlines
    assert quad.tolist() == [[corner["x"], corner["y"]] for corner in plate["corners"]]
    assert len(boxes) == len(plate["characters"])
    picture, crop = sheet.pictures
    grey = cv2.imread(plate["uri"], cv2.IMREAD_GRAYSCALE)
    assert picture.shape == grey.shape
    assert np.abs(picture.astype(int) - grey).mean() < 1  # two decoders
    height, width = crop.shape
    middles = [box[:, 0].mean() for box in boxes]
    assert middles == sorted(middles)
    for box in boxes:
        assert (box > -2).all() and (box < [width + 2, height + 2]).all()


def test_boxes_stand_in_the_crop_where_they_stand_on_the_plate(tmp_path: Path) -> None:
    x, y = plate_corner(0)
    pixels = draw_scene(["RS905"])[y : y + 60, x : x + plate_width("RS905")]
    assert cv2.imwrite(str(tmp_path / "plate.png"), pixels)
    whole = ["--detector", "whole", "--reader", "characters", "--workers", "1"]
    to = ["--output", str(tmp_path / "out"), "--run-id", "r"]
    assert read_plates.run([str(tmp_path / "plate.png"), *whole, *to]) is not None
    (plate,) = rows_of(tmp_path / "out", "plates", "r")
    sheet = Sheet(*evidence_of(tmp_path / "out", tmp_path / "plate.png"))
    # The picture is the plate, 208 × 60 pixels; its crop is 96 high and 208 * 1.6 = 333 wide.
    scale = [333 / 208, 96 / 60]
    for outline, character in zip(sheet.outlines[1:], plate["characters"], strict=True):
        box = character["box"]
        right, bottom = box["x"] + box["width"], box["y"] + box["height"]
        expected = [[box["x"], box["y"]], [right, box["y"]], [right, bottom], [box["x"], bottom]]
        assert outline == pytest.approx(np.array(expected) * scale, abs=1e-3)


def test_a_picture_is_shown_with_all_its_plates_or_with_why_there_is_none(
    samples_output: str,
) -> None:
    images = {row["uri"]: row for row in rows_of(samples_output, "images")}
    several = next(uri for uri, row in images.items() if row["plates_found"] > 1)
    found = evidence_of(samples_output, several)
    assert [each.plate["index"] for each in found if each.plate] == list(
        range(images[several]["plates_found"])
    )
    (failed,) = (uri for uri, row in images.items() if row["status"] == "failed")
    texts = Sheet(*evidence_of(samples_output, failed)).texts
    assert {"failed", "decode/truncated", "it could not be read"} <= set(texts)
    none = next(uri for uri, row in images.items() if row["status"] == "no_plate")
    sheet = Sheet(*evidence_of(samples_output, none))
    assert "no_plate" in sheet.texts
    assert len(sheet.pictures) == 1


@pytest.mark.parametrize("state", [SourceState.CHANGED, SourceState.MISSING])
def test_without_the_file_that_was_read_the_tables_tell_what_they_know(
    street: Path, tmp_path: Path, state: SourceState
) -> None:
    picture = Path(shutil.copy(street / "one.jpg", tmp_path / "a$b$c 図\n.jpg"))
    read = [str(picture), "--output", str(tmp_path / "out"), "--workers", "1"]
    for run_id, more in (("kept", ["--keep-crops"]), ("bare", [])):
        assert read_plates.run([*read, "--run-id", run_id, *more]) is not None
    assert len(Sheet(*evidence_of(tmp_path / "out", picture)).pictures) == 2
    if state is SourceState.CHANGED:
        picture.write_bytes(picture.read_bytes()[:-1] + b"\0")
    else:
        picture.unlink()
    for run_id, pictures in (("kept", 1), ("bare", 0)):
        archive = open_archive(str(tmp_path / "out"), [run_id])
        (evidence,) = show.find_evidence(archive, str(picture))
        assert (evidence.source, evidence.picture) == (state, None)
        sheet = Sheet(evidence)
        assert len(sheet.pictures) == pictures
        assert rf"{tmp_path}/a$b$c \u56f3\n.jpg" in "".join(sheet.texts)
        assert sheet.texts.count(evidence.source_told) == 2  # in place of the picture, and below
        assert ("neither kept in the table nor to be cut again" in sheet.texts) == (not pictures)
        # The crop's characters are outlined as if it had been cut from the picture.
        assert len(sheet.outlines) == len("HK73PL") * pictures


def test_the_latest_run_is_shown_unless_told_otherwise(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = street / "one.jpg"
    for number in (1, 2):
        to = ["--output", str(tmp_path / "out"), "--workers", "1", "--run-id", f"run{3 - number}"]
        assert read_plates.run([str(one), *to]) is not None
        began = f"2026-01-0{number}T00:00:00+00:00"
        edit_record(tmp_path / "out", f"run{3 - number}", started_at=began)
    (plate,) = rows_of(tmp_path / "out", "plates", "run1")
    command = [str(tmp_path / "out"), plate["read_id"], "--output", str(tmp_path / "x.png")]
    assert show.main(command) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "2 runs have it: this is the latest, run1",
        f"{tmp_path}/x.png: 1 page; the file still has this sha256",
    ]
    assert show.main([*command, "--run", "run2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    (evidence,) = show.find_evidence(open_archive(str(tmp_path / "out"), ["run2"]), str(one))
    assert evidence.record["run_id"] == "run2"


def test_a_read_that_is_not_the_same_in_all_runs_is_not_guessed_at(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plates = rows_of(copy, "plates")
    swapped = {plates[i]["read_id"]: plates[1 - i]["read_id"] for i in (0, 1)}
    run = Run("later", str(copy), "b" * 64, "c" * 64)
    record = json.loads((copy / "runs" / "samples.json").read_text())
    tables = {name: [row | {"run_id": "later"} for row in rows_of(copy, name)] for name in SCHEMAS}
    for row in tables["plates"]:
        row["read_id"] = swapped.get(row["read_id"], row["read_id"])
    files = [asdict(write_table(name, rows, run)) for name, rows in tables.items()]
    write_record({**record, "run_id": "later", "files": files}, str(copy))
    command = [str(copy), plates[0]["read_id"], "--output", str(tmp_path / "x.png")]
    assert show.main(command) == 2
    assert "choose one by --run, of later samples" in capsys.readouterr().err
    assert show.main([*command, "--run", "samples"]) == 0


def test_a_crop_that_is_not_the_one_its_hash_names_is_told(copy: Path) -> None:
    edit_rows(table_file(copy, "plates", "samples"), {"crop": b"P5 2 1 255\n01"})
    plate = rows_of(copy, "plates")[0]
    told = "kept in the table WITH ANOTHER sha256; cut again from the file"
    assert told in Sheet(*evidence_of(copy, plate["read_id"])).texts


def test_without_its_bundle_a_crop_cannot_be_cut_again(copy: Path, tmp_path: Path) -> None:
    record = record_of(copy, "samples")
    lost = {**record["bundle"], "location": str(tmp_path / "lost"), "sha256": "0" * 64}
    edit_record(copy, "samples", bundle=lost)
    plate = rows_of(copy, "plates")[0]
    sheet = Sheet(*evidence_of(copy, plate["read_id"]))
    assert "kept in the table" in sheet.texts
    assert len(sheet.outlines) == 1


def test_files_have_a_page_a_plate(
    samples_output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = rows_of(samples_output, "images")
    uri = next(row["uri"] for row in images if row["plates_found"] == 2)
    name = f"samples/{uri.rpartition('/')[2]}"
    monkeypatch.chdir(SAMPLES.parent)
    for suffix in ("png", "pdf", "svg"):
        file = str(tmp_path / "deep" / f"x.{suffix}")
        assert show.main([samples_output, name, "--output", file]) == 0
    png = cv2.imread(str(tmp_path / "deep" / "x.png"))
    assert png.shape[:2] == (3507, 1240)  # twice 11.69 inches of 150 dots, and 8.27
    assert (tmp_path / "deep" / "x.pdf").read_bytes().count(b"/Type /Page ") == 2
    assert b"<svg" in (tmp_path / "deep" / "x.svg").read_bytes()


def test_a_sheet_goes_where_fsspec_goes(samples_output: str) -> None:
    plate = rows_of(samples_output, "plates")[0]
    memory = fsspec.filesystem("memory")
    try:
        sheet = "memory://sheets/x.png"
        assert show.main([samples_output, plate["read_id"], "--output", sheet]) == 0
        assert memory.cat_file("/sheets/x.png").startswith(b"\x89PNG")
    finally:
        memory.rm("/sheets", recursive=True)


def test_what_cannot_be_shown_is_told_in_a_line(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = ["--output", str(tmp_path / "x.png")]
    assert show.main([str(copy), "0" * 32, *sheet]) == 2
    told = f"platebeam show: {copy} has neither a read nor a picture {'0' * 32}\n"
    assert capsys.readouterr().err == told
    with pytest.raises(SystemExit) as stopped:
        show.main([str(copy), "x", "--output", "x.jpg"])
    assert stopped.value.code == 2
    edit_record(copy, "samples", pseudonyms={"key_id": "0123abcd", "restricted": False})
    assert show.main([str(copy), "x", *sheet]) == 2
    assert f"name {copy}-restricted instead" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
