"""`platebeam report`: its figures by hand, its pictures, and the page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import duckdb
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags
from PIL import Image as PillowImage
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pipelines import read_plates, report
from pipelines.archive import connect, open_archive
from pipelines.commit import RunPlan, make_record
from pipelines.gallery import PICTURE_SIDE, SURE, choose
from pipelines.run_record import write_record
from pipelines.schemas import SCHEMAS
from pipelines.tables import Run, TableFile, write_table
from pipelines.uris import open_store

from .conftest import draw_scene, plate_corner, plate_width

Row = dict[str, Any]

STAGES = ("load", "decode", "detect", "segment", "recognise")


# Hand-made output folders.


def image_row(uri: str, status: str, **known: Any) -> Row:
    row = dict.fromkeys(SCHEMAS["images"].names) | {"run_id": "made", "uri": uri, "status": status}
    found = int(status in ("read", "unreadable"))
    row |= {"labels": {}, "plates_found": found, "plates_read": int(status == "read")}
    return row | {"milliseconds": dict.fromkeys(STAGES, 2.0), "sha256": "0" * 64} | known


def plate_row(uri: str, text: str | None, confidence: float, **known: Any) -> Row:
    corners = [
        {"x": x, "y": y} for x, y in ((10.0, 10.0), (90.0, 10.0), (90.0, 40.0), (10.0, 40.0))
    ]
    character = {"character": "A", "probability": 0.9, "seen": "A", "box": None, "alternatives": []}
    row = {"run_id": "made", "read_id": uri, "uri": uri, "image_sha256": "0" * 64, "index": 0}
    row |= {"status": "read" if text else "unreadable", "text": text, "text_raw": text or "A"}
    row |= {"confidence": confidence, "detection_score": 0.8, "corners": corners, "edits": []}
    row |= {"box": {"x": 10.0, "y": 10.0, "width": 80.0, "height": 30.0}, "alternatives": []}
    return row | {"characters": [character], "crop_sha256": "0" * 64, "crop": None} | known


def truth_row(uri: str, text: str, stage: str, **known: Any) -> Row:
    row = {"run_id": "made", "uri": uri, "index": 0, "text": text, "box": None, "iou": None}
    row |= {"read_id": None if stage == "missed" else uri, "furthest_stage": stage}
    return row | {"edit_distance": 0 if stage == "read" else 1} | known


def metric_row(slice_: str, metric: str, hits: float, total: float, is_share: bool) -> Row:
    row = {"run_id": "made", "slice": slice_, "metric": metric, "numerator": hits}
    interval = 0.5 if is_share else None  # the page computes its own
    return row | {"denominator": total, "value": hits / total, "low": interval, "high": interval}


def write_run(output: Path, run_id: str = "made", **tables: list[Row] | pa.Table) -> Path:
    """Commit a run of ten seconds with these tables, the others empty."""
    run = Run(run_id, str(output), "bundle", "config")
    files = []
    for name, schema in SCHEMAS.items():
        rows = tables.get(name, [])
        if isinstance(rows, pa.Table):
            file = TableFile(name, run)
            for batch in rows.select(schema.names).cast(schema).to_batches(1000):
                file.add(batch)
            files.append(file.close())
        else:
            files.append(write_table(name, [row | {"run_id": run_id} for row in rows], run))
    images = tables["images"]
    statuses = images["status"].to_pylist() if isinstance(images, pa.Table) else [
        row["status"] for row in images
    ]  # fmt: skip
    counts: Counter[tuple[str, ...]] = Counter(("images", status) for status in statuses)
    counts["inputs",] = len(statuses)
    bundle, config = {"name": "default", "sha256": "b" * 64}, {"sha256": "c" * 64}
    plan = RunPlan(run, "2026-01-02T03:04:05+00:00", 0, 1.0, bundle, config, {"seed": 1}, "0.1.0")
    record = make_record(plan, counts, [], files)
    write_record(record | {"finished_at": "2026-01-02T03:04:15+00:00"}, str(output))
    return output


def summary(output: Path | str) -> Row:
    archive = open_archive(str(output))
    with connect(archive) as database:
        return report.summarise(archive, database)


def write_page(output: Path | str, folder: Path, *options: str) -> Path:
    page = folder / "report.html"
    assert report.main([str(output), "--output", str(page), *options]) == 0
    return page


def pictures_of(page: Path) -> dict[str, Row]:
    """What the page's script is given, by the name of the picture."""
    found = re.search(r'<script type="application/json" id="data">(.*)</script>', page.read_text())
    assert found
    return {picture["name"]: picture for picture in json.loads(found[1])["pictures"]}


# Figures.


def test_metrics_of_runs_are_added_up_and_get_an_interval_of_their_own(tmp_path: Path) -> None:
    images = [image_row("/one.jpg", "read")]
    exact, errors = "plate_exact_match", "character_error_rate"
    first = [metric_row("all", exact, 3, 4, True), metric_row("all", errors, 2, 20, False)]
    second = [metric_row("all", exact, 5, 6, True), metric_row("kind=a", exact, 5, 6, True)]
    write_run(tmp_path, "first", images=images, metrics=first)
    write_run(tmp_path, "second", images=images, metrics=second)
    found = summary(tmp_path)
    assert list(found["slices"]) == ["all", "kind=a"]
    both = found["slices"]["all"][exact]
    assert (both.numerator, both.denominator, both.value) == (8, 10, 0.8)
    # Wilson, z = 1.96: (0.8 + 0.19208 ± 1.96 √(0.016 + 0.009604)) / 1.38416
    assert both.low == pytest.approx(0.4902, abs=1e-4)
    assert both.high == pytest.approx(0.9433, abs=1e-4)
    rate = found["slices"]["all"][errors]
    assert (rate.value, rate.low, rate.high) == (0.1, None, None)
    assert found["funnel"]["repeated"] == 1  # /one.jpg was read twice
    assert [run["rate"] for run in found["runs"]] == [0.1, 0.1]  # a picture in ten seconds


def test_pictures_that_resuming_left_out_are_not_counted_again(tmp_path: Path) -> None:
    images = [image_row(f"/p/{number}.jpg", "no_plate") for number in range(3)]
    output = write_run(tmp_path / "tables", images=images)
    path = output / "runs" / "made.json"
    record = json.loads(path.read_text())
    record["counts"] |= {"inputs": 1003, "unchanged": 1000}
    path.write_text(json.dumps(record))
    page = write_page(output, tmp_path).read_text()
    assert "1 run, 3 pictures" in " ".join(page.split())
    assert "1,003 pictures" not in page


def test_a_password_in_the_folders_url_is_not_on_the_page(
    samples_output: str, tmp_path: Path
) -> None:
    folder = "memory://user:s3cret@host/tables"
    fs, path = open_store(folder)
    fs.put(samples_output, path, recursive=True)
    page = write_page(folder, tmp_path, "--no-pictures").read_text()
    assert "s3cret" not in page
    assert "memory://***@host/tables" in page


def test_pictures_are_counted_by_stage_and_failures_by_reason(tmp_path: Path) -> None:
    failed = {"stage": "load", "reason": "not_found"}
    cut = {"stage": "decode", "reason": "truncated"}
    rows = [
        image_row("/read.jpg", "read"),
        image_row("/unreadable.jpg", "unreadable"),
        image_row("/none.jpg", "no_plate"),
        image_row("/gone-1.jpg", "failed", **failed, message="/gone-1.jpg: there is no such file"),
        image_row("/gone-2.jpg", "failed", **failed, message="/gone-2.jpg: there is no such file"),
        image_row("/cut.jpg", "failed", **cut, message="/cut.jpg: truncated"),
        image_row("/slow.jpg", "failed", stage="detect", reason="timeout", message="/slow.jpg: no"),
    ]
    found = summary(write_run(tmp_path, images=rows))
    # Seven; two were not loaded, one more not decoded; of four, two have a plate, one is read.
    assert list(found["funnel"].values()) == [7, 5, 4, 2, 1, 0]
    assert [(row["stage"], row["reason"], row["pictures"]) for row in found["failures"]] == [
        ("load", "not_found", 2),
        ("decode", "truncated", 1),
        ("detect", "timeout", 1),
    ]
    assert found["failures"][0]["example"] == "/gone-1.jpg: there is no such file"


def test_times_are_summed_up_by_stage_without_what_did_not_happen(tmp_path: Path) -> None:
    spent = [{"load": float(ms), "decode": None} for ms in (1, 2, 3, 4, 10)]
    rows = [
        image_row(f"/{place}.jpg", "no_plate", milliseconds=dict.fromkeys(STAGES) | one)
        for place, one in enumerate(spent)
    ]
    found = summary(write_run(tmp_path, images=rows))["times"]
    assert list(found) == ["load"]
    assert found["load"]["mean"] == pytest.approx(4)  # 20 / 5
    assert found["load"]["seconds"] == pytest.approx(0.02)
    # Of five in order, the quantile q lies at 4 q: 0.2, 1, 2, 3 and 3.8.
    assert found["load"]["quantiles"] == pytest.approx([1.2, 2, 3, 4, 8.8])


def test_confidences_are_binned_with_what_is_right(tmp_path: Path) -> None:
    # Bin 9: 0.9 right, 1.0 wrong. Bin 0: 0.05 wrong. Not counted: unreadable, or without truth.
    sure = {"/a.jpg": (0.9, "read"), "/b.jpg": (1.0, "segmented"), "/c.jpg": (0.05, "detected")}
    plates = [plate_row(uri, "AB1", confidence) for uri, (confidence, _) in sure.items()]
    plates += [plate_row("/d.jpg", None, 0.6), plate_row("/e.jpg", "AB1", 0.7)]
    truths = [truth_row(uri, "AB1", stage) for uri, (_, stage) in sure.items()]
    truths += [truth_row("/d.jpg", "AB1", "detected")]
    images = [
        image_row(plate["uri"], "read" if plate["text"] else "unreadable") for plate in plates
    ]
    found = summary(write_run(tmp_path, images=images, plates=plates, truths=truths))
    # |0 − 0.05| · 1 + |0.5 − 0.95| · 2 over 3 reads
    assert found["calibration_error"] == pytest.approx((0.05 + 0.9) / 3)
    assert "95% sure: 50% right of 2" in found["reliability_chart"]
    assert "5% sure: 0% right of 1" in found["reliability_chart"]
    assert "1 right; 2 wrong; 1 not checked; 1 unreadable" in found["confidence_chart"]


def test_confusions_are_ordered_by_how_often_they_occur(tmp_path: Path) -> None:
    pairs = {("A", "A"): 90, ("O", "0"): 2, ("B", "8"): 3, ("I", None): 1, (None, "1"): 1}
    rows = [{"truth": t, "read": r, "count": n} for (t, r), n in pairs.items()]
    images = [image_row("/a.jpg", "read")]
    found = summary(write_run(tmp_path, images=images, confusions=rows))
    assert found["errors"][:2] == [(3, "B", "8"), (2, "O", "0")]
    assert {error[1:] for error in found["errors"][2:]} == {("I", None), (None, "1")}
    assert "90 of 97 pairs are the same" in found["confusion_chart"]


def test_the_calibration_is_what_the_job_measured(samples_output: str) -> None:
    archive = open_archive(samples_output)
    with connect(archive) as database:
        ((measured,),) = database.sql(
            "SELECT value FROM metrics WHERE slice = 'all' AND metric LIKE '%calibration_error'"
        ).fetchall()
    assert summary(samples_output)["calibration_error"] == pytest.approx(measured)


def test_a_page_is_the_same_each_time(samples_output: str, tmp_path: Path) -> None:
    first = write_page(samples_output, tmp_path).read_bytes()
    assert write_page(samples_output, tmp_path).read_bytes() == first


# The gallery.


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["right", "wrong", "failed"]), st.sampled_from([None, 0.2, 0.95])
        ),
        max_size=40,
    ),
    st.integers(0, 40),
)
def test_a_sample_has_as_many_of_each_kind_as_there_are_to_share(
    pictures: list[tuple[str, float | None]], size: int
) -> None:
    outcomes = [
        {"run_id": "r", "uri": str(place), "outcome": outcome, "reason": None, "confidence": sure}
        for place, (outcome, sure) in enumerate(pictures)
    ]
    columns = {"run_id": pa.string(), "uri": pa.string(), "outcome": pa.string()}
    columns |= {"reason": pa.string(), "confidence": pa.float64()}
    with duckdb.connect() as database:
        database.register("outcomes", pa.Table.from_pylist(outcomes, pa.schema(columns)))
        shares = choose(database, size)
        drawn = database.sql("SELECT outcome, confidence FROM sample").fetchall()
    assert sum(share["shown"] for share in shares) == len(drawn) == min(size, len(pictures))
    assert {s["outcome"]: s["pictures"] for s in shares} == Counter(o for o, _ in pictures)

    def kind(outcome: str, sure: float | None) -> tuple[str, bool | None]:
        return outcome, None if sure is None else sure < SURE

    there, shown = (Counter(kind(*one) for one in these) for these in (pictures, drawn))
    for one in there:
        # What is not shown whole has no fewer than any other, but for the last turn.
        assert shown[one] == there[one] or shown[one] + 1 >= max(shown.values(), default=0)


def test_failures_of_each_reason_are_in_the_sample(tmp_path: Path) -> None:
    gone = {"stage": "load", "reason": "not_found", "message": "gone"}
    rows = [image_row(f"/{place}.jpg", "failed", **gone) for place in range(50)]
    rows.append(image_row("/cut.jpg", "failed", stage="decode", reason="truncated", message="cut"))
    shown = pictures_of(
        write_page(write_run(tmp_path / "out", images=rows), tmp_path, "--gallery", "3")
    )
    assert len(shown) == 3
    assert "cut.jpg" in shown


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A picture of a plate, which lies on its side and says so, and the tables of its run, without
    truth and crop."""
    folder = tmp_path_factory.mktemp("drawn")
    picture, output = folder / "one.jpg", folder / "tables"
    image = PillowImage.fromarray(cv2.cvtColor(draw_scene(["HK73PL"]), cv2.COLOR_BGR2RGB))
    exif = PillowImage.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image.transpose(PillowImage.Transpose.ROTATE_90).save(picture, quality=95, exif=exif)
    assert read_plates.run([str(picture), "--output", str(output), "--workers", "1"])
    return picture, output


def pixels(uri: str) -> np.ndarray:
    with fsspec.open(uri) as file:
        return cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)


def test_pictures_and_crops_come_from_the_source(drawn: tuple[Path, Path], tmp_path: Path) -> None:
    (picture,) = pictures_of(write_page(drawn[1], tmp_path)).values()
    shown = pixels(picture["picture"])
    scene = cv2.resize(draw_scene(["HK73PL"]), shown.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert shown.shape[1] == PICTURE_SIDE  # the longer side
    assert np.abs(shown.astype(float) - scene).mean() < 5
    (plate,) = picture["plates"]
    assert plate["text"] == "HK73PL"
    crop = cv2.cvtColor(pixels(plate["crop"]), cv2.COLOR_BGR2GRAY)
    assert crop.shape[0] == 96
    assert (crop > 200).mean() > 0.4  # the white of the plate
    assert plate["facts"]["Crop"] == "cut again for this page, with another margin"
    assert "the sha256 is the same" in picture["facts"]["Source now"]
    (x, y), (right, _), *_ = plate["corners"]
    assert (x, y) == pytest.approx(plate_corner(0), abs=12)
    assert right - x == pytest.approx(plate_width("HK73PL"), abs=16)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda file: file.unlink(), "It is no longer where it was read."),
        (lambda file: file.write_bytes(file.read_bytes()[:-1] + b"x"), "sha256 is another"),
        (lambda file: file.write_bytes(file.read_bytes() + b"x"), "sha256 is another"),
        (lambda file: (file.unlink(), file.mkdir()), "It has changed since it was read"),
    ],
    ids=["gone", "changed", "longer", "folder"],
)
def test_sources_that_are_no_longer_what_was_read_are_not_shown(
    drawn: tuple[Path, Path], tmp_path: Path, change: Any, told: str
) -> None:
    file, output = drawn
    data = file.read_bytes()
    try:
        change(file)
        page = write_page(output, tmp_path)
    finally:
        shutil.rmtree(file, ignore_errors=True)
        file.write_bytes(data)
    (picture,) = pictures_of(page).values()
    assert told in picture["source"]
    assert told in picture["facts"]["Source now"]
    assert picture["picture"] is None
    assert [plate["text"] for plate in picture["plates"]] == ["HK73PL"]
    assert picture["plates"][0]["crop"] is None
    assert picture["plates"][0]["facts"]["Crop"] is None


def test_a_store_that_cannot_be_asked_is_told(tmp_path: Path) -> None:
    row = image_row("no-such-store://a.jpg", "no_plate", format="JPEG", bytes=9)
    (picture,) = pictures_of(
        write_page(write_run(tmp_path / "out", images=[row]), tmp_path)
    ).values()
    assert (picture["source"], picture["picture"]) == ("It cannot be fetched.", None)


def test_kept_crops_are_shown_though_the_source_is_gone(
    samples_output: str, tmp_path: Path
) -> None:
    archive = open_archive(samples_output)
    moved = "SELECT * REPLACE ('/gone/' || uri AS uri) FROM"
    with connect(archive) as database:
        tables = {
            name: database.sql(f"{moved} {name}").to_arrow_table() for name in ("images", "plates")
        }
    output = write_run(tmp_path / "tables", "samples", **tables)
    shown = pictures_of(write_page(output, tmp_path))["street-01.jpg"]
    assert shown["picture"] is None
    assert pixels(shown["plates"][0]["crop"]).shape[0] == 96
    assert shown["plates"][0]["facts"]["Crop"] == "kept by the run"


def test_a_kept_crop_that_is_no_picture_is_missing_and_nothing_else_is(tmp_path: Path) -> None:
    image = image_row("/gone.jpg", "read", format="JPEG", bytes=9)
    plates = [plate_row("/gone.jpg", "AB1", 0.9, crop=b"none"), plate_row("/gone.jpg", "B", 0.8)]
    plates[1] |= {"read_id": "other", "index": 1}
    output = write_run(tmp_path / "tables", images=[image], plates=plates)
    (picture,) = pictures_of(write_page(output, tmp_path)).values()
    shown = [(plate["text"], plate["crop"], plate["facts"]["Crop"]) for plate in picture["plates"]]
    told = "the one that the run kept cannot be opened: UnidentifiedImageError"
    assert shown == [("AB1", None, told), ("B", None, None)]


def test_pictures_can_be_left_out(samples_output: str, tmp_path: Path) -> None:
    page = write_page(samples_output, tmp_path, "--no-pictures")
    assert "data:image" not in page.read_text()
    pictures = pictures_of(page).values()
    assert all(picture["picture"] is None for picture in pictures)
    assert {plate["facts"]["Crop"] for one in pictures for plate in one["plates"]} == {None}


def test_a_page_of_pseudonyms_says_what_it_cannot_show(
    drawn: tuple[Path, Path], tmp_path: Path
) -> None:
    key = tmp_path / "plates.key"
    key.write_bytes(b"k" * 40)
    known = ["--pseudonymise", str(key), "--workers", "1"]
    assert read_plates.run([str(drawn[0]), "--output", str(tmp_path / "tables"), *known])
    page = write_page(tmp_path / "tables", tmp_path)
    (picture,) = pictures_of(page).values()
    assert (
        picture["source"] == "Its URI is a pseudonym; a report of the restricted folder shows it."
    )
    assert picture["picture"] is None
    (plate,) = picture["plates"]
    assert (len(plate["text"]), plate["characters"], plate["crop"]) == (8 + 1 + 32, [], None)
    assert "HK73PL" not in page.read_text()
    assert "one.jpg" not in page.read_text()
    (picture,) = pictures_of(write_page(tmp_path / "tables-restricted", tmp_path)).values()
    assert picture["picture"] is not None
    assert picture["plates"][0]["text"] == "HK73PL"


def test_a_hundred_thousand_pictures_make_a_page_of_bounded_size(tmp_path: Path) -> None:
    number = 100_000
    uris = pa.array([f"/archive/{place:06}.jpg" for place in range(number)])
    statuses = ["read", "unreadable", "no_plate", "failed"]
    samples = {
        "images": [
            image_row("", status, stage="load", reason="not_found", message="gone", format=None)
            if status == "failed"
            else image_row("", status, format="JPEG", width=640, height=480, bytes=100)
            for status in ["read"] * 97 + statuses[1:]
        ],
        "plates": [plate_row("", "AB123CD", place / 100) for place in range(100)],
        "truths": [
            truth_row("", "AB123CD", "read" if place else "segmented") for place in range(100)
        ],
    }
    tables = {}
    for name, rows in samples.items():
        few = pa.Table.from_pylist(rows, SCHEMAS[name])
        table = few.take(pa.array(np.arange(number) % 100))
        for column in {"uri", "read_id"} & set(table.column_names):
            table = table.set_column(table.column_names.index(column), column, uris)
        tables[name] = table
    shown = pc.is_in(tables["images"]["status"], pa.array(["read", "unreadable"]))
    tables["plates"] = tables["plates"].filter(shown)
    output = write_run(tmp_path / "tables", **tables)
    page = tmp_path / "report.html"
    # What the system tells of a child's memory includes that of its parent before it began.
    script = """
import sys
from pipelines import report
status = report.main(sys.argv[1:])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(status)
"""
    command = [sys.executable, "-c", script, str(output), "--output", str(page)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(told.split()[-2]) < 2**20  # KiB: a gigabyte
    assert page.stat().st_size < 2e6  # none of the pictures is there
    text = page.read_text()
    assert "100,000" in text
    outcomes = Counter(picture["outcome"] for picture in pictures_of(page).values())
    assert sum(outcomes.values()) == report.GALLERY
    assert min(outcomes.values()) >= report.GALLERY // 8
    assert "A sample: 240 of 100,000 pictures" in " ".join(text.split())


# The command.


def test_without_a_run_there_is_nothing_to_report_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([str(tmp_path / "none"), "--output", str(tmp_path / "page.html")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "no run is committed" in told
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("size", ["-1", "many"])
def test_a_gallery_has_a_size(
    size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        report.main([str(tmp_path), "--output", "page.html", "--gallery", size])
    assert ended.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith(f"argument --gallery: {size!r} is no number from 0 on")


def test_a_page_can_go_to_a_store(samples_output: str) -> None:
    uri = "memory://pages/report.html"
    assert report.main([samples_output, "--output", uri, "--gallery", "0"]) == 0
    fs = fsspec.filesystem("memory")
    assert b"<!doctype html>" in fs.cat_file("/pages/report.html")
    fs.rm("/pages", recursive=True)


# The page in a browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium: `apt-get install chromium`")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program)
        yield started
        started.close()


@pytest.fixture(scope="module")
def samples_page(samples_output: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(samples_output, tmp_path_factory.mktemp("page"))


class Visit:
    """A page that was opened, what it asked for, and what it complained of."""

    def __init__(self, browser: Browser, file: Path, **context: Any) -> None:
        self.page: Page = browser.new_page(**context)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())

    def names(self) -> list[str]:
        """The shown pictures, in their order."""
        return self.page.locator(".gallery .name").all_text_contents()


@pytest.fixture
def visit(browser: Browser, samples_page: Path) -> Iterator[Visit]:
    visited = Visit(browser, samples_page)
    yield visited
    visited.page.close()
    assert visited.complaints == []
    asked = {url.partition(":")[0] for url in visited.requests}
    assert asked <= {"file", "data"}
    assert sum(url.startswith("file:") for url in visited.requests) == 1


def test_the_page_shows_the_tables_figures(visit: Visit, samples_output: str) -> None:
    found = summary(samples_output)
    exact = found["slices"]["all"]["plate_exact_match"]
    tiles = dict(
        zip(
            visit.page.locator(".tile dt").all_text_contents(),
            visit.page.locator(".tile strong").all_text_contents(),
            strict=True,
        )
    )
    assert tiles["Pictures"] == "27"
    assert tiles["Read exactly"] == f"{100 * exact.value:.1f} %"
    expect(visit.page.locator("#accuracy")).to_contain_text(
        f"{100 * exact.low:.1f}–{100 * exact.high:.1f} %"
    )
    assert visit.page.locator("#accuracy tbody").first.locator("tr").count() == len(found["slices"])
    titles = visit.page.locator("svg[role=img] > title").all_text_contents()
    assert len(titles) == 4
    assert visit.page.locator("svg.chart").count() == 4


def test_outcomes_filter_the_pictures(visit: Visit) -> None:
    assert len(visit.names()) == 27
    failed = visit.page.get_by_role("button", name=re.compile("^Failed 1"))
    failed.first.click()
    assert visit.names() == ["street-27.jpg"]  # the one that was cut short
    expect(visit.page.get_by_role("status")).to_have_text("1 of 27 pictures")
    visit.page.locator(".chip.no_plate").click()
    assert set(visit.names()) > {"street-27.jpg"}
    assert len(visit.names()) == 1 + int(visit.page.locator(".chip.no_plate small").inner_text())
    visit.page.get_by_role("button", name="Clear").click()
    expect(visit.page.get_by_role("status")).to_have_text("27 of 27 pictures")


def test_a_search_finds_plates_and_files(visit: Visit, samples_page: Path) -> None:
    known = pictures_of(samples_page)
    text = (
        known["street-01.jpg"]["plates"][0]["truth"] or known["street-01.jpg"]["plates"][1]["truth"]
    )
    field = visit.page.get_by_label("Plate or file")
    for search in (text, text.lower(), f"?{text[1:-2]}*", "street-01"):
        field.fill(search)
        assert visit.names() == ["street-01.jpg"], search
    field.fill(f"?{text}")
    assert visit.names() == []
    expect(visit.page.get_by_role("status")).to_have_text("No picture is like that")
    field.fill("[(")  # no pattern of its own
    assert visit.names() == []


def test_confidence_filters_and_orders(visit: Visit, samples_page: Path) -> None:
    visit.page.get_by_label("Confidence from").fill("5")
    visit.page.locator("input[name=to]").fill("50")
    unsure = {
        name
        for name, picture in pictures_of(samples_page).items()
        if any(0.05 <= plate["confidence"] <= 0.5 for plate in picture["plates"])
    }
    assert unsure
    assert set(visit.names()) == unsure
    visit.page.get_by_label("Order").select_option("Name")
    assert visit.names() == sorted(unsure)


def test_a_click_tells_all_of_a_picture(visit: Visit, samples_page: Path) -> None:
    picture = pictures_of(samples_page)["street-02.jpg"]
    plate = picture["plates"][0]
    visit.page.locator(".gallery button", has_text="street-02.jpg").click()
    dialog = visit.page.get_by_role("dialog", name="street-02.jpg")
    expect(dialog).to_be_visible()
    panel = dialog.get_by_role("region", name="Plate 1")
    assert "".join(panel.locator(".characters b").all_text_contents()) == plate["raw"]
    shown = panel.locator(".characters small:not(.others)").all_text_contents()
    for text, one in zip(shown, plate["characters"], strict=True):
        assert text in (f"{100 * one['probability']:.1f} %", ">99.9 %")
    others = [
        other for one in plate["characters"] for other, _ in one["alternatives"]
        if other != one["character"]
    ]  # fmt: skip
    told = [text.split()[0] for text in panel.locator(".others").all_text_contents()]
    assert told == others
    size = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    assert panel.get_by_role("img").evaluate(size)[1] == 96
    assert (
        max(dialog.get_by_role("img", name="Picture street-02.jpg").evaluate(size)) == PICTURE_SIDE
    )
    facts = dialog.get_by_role("region", name="Provenance")
    expect(facts).to_contain_text(picture["facts"]["SHA-256"])
    expect(facts).to_contain_text("the sha256 is the same")
    assert dialog.locator(".picture polygon").count() == len(picture["plates"])


def test_everything_can_be_done_with_keys(visit: Visit) -> None:
    page, names = visit.page, visit.names()
    focused = "document.activeElement.querySelector('.name')?.textContent"
    page.get_by_role("button", name="Clear").focus()
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == names[0]
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == names[1]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == names[1]
    page.keyboard.press("Enter")
    heading = page.locator("#detail-title")
    expect(heading).to_have_text(names[1])
    page.keyboard.press("ArrowRight")
    expect(heading).to_have_text(names[2])
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(heading).to_have_text(names[-1])  # round again
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    assert page.evaluate(focused) == names[-1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_is_accessible(
    browser: Browser, samples_page: Path, scheme: str, width: int
) -> None:
    """By axe-core, WCAG 2.2 AA and its best practices: contrast, names, order, landmarks."""
    size = {"width": width, "height": 800}
    visited = Visit(browser, samples_page, color_scheme=scheme, viewport=size)
    page = visited.page
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= width
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    for prepare in (lambda: None, page.locator(".gallery button").nth(5).click):
        prepare()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    assert page.evaluate(wide) <= width
    page.close()
    assert visited.complaints == []


def test_what_the_tables_hold_stays_text(browser: Browser, tmp_path: Path) -> None:
    evil = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
    uri = f"/{evil}.jpg"
    image = image_row(uri, "read", labels={evil: evil}, message=evil, width=100, height=50)
    failed = image_row("/f.jpg", "failed", stage="load", reason="not_found", message=evil)
    metric = metric_row(f"{evil}={evil}", "plate_exact_match", 1, 2, True)
    confusion = [{"truth": "<i>", "read": "&", "count": 1}]
    tables = {"images": [image, failed], "plates": [plate_row(uri, evil, 0.8)]}
    tables |= {"truths": [truth_row(uri, evil + "x", "segmented")]}
    output = write_run(tmp_path / "tables", **tables, metrics=[metric], confusions=confusion)
    visited = Visit(browser, write_page(output, tmp_path))
    page = visited.page
    page.locator(".gallery button", has_text="Wrong").click()
    expect(page.locator(".said .plate")).to_have_text(evil)
    expect(page.locator(".detail .facts").first).to_contain_text(f"{evil}={evil}")
    page.keyboard.press("Escape")
    expect(page.locator("#failures")).to_contain_text(evil)
    expect(page.locator("#accuracy tbody").first).to_contain_text(evil)
    assert page.title().startswith("platebeam report")
    assert page.locator("img[src=x], script:not([id])").count() == 1  # the page's own
    assert visited.complaints == []
    page.close()


def test_without_a_truth_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    rows = [image_row("/a.jpg", "read"), image_row("/b.jpg", "no_plate")]
    output = write_run(tmp_path / "tables", images=rows, plates=[plate_row("/a.jpg", "AB1", 0.8)])
    visited = Visit(browser, write_page(output, tmp_path))
    for section, told in {
        "accuracy": "No truth was given",
        "confusions": "there are no characters to compare",
        "funnel": "there is no funnel of known plates",
        "failures": "No picture failed.",
    }.items():
        expect(visited.page.locator(f"#{section} .none")).to_contain_text(told)
    titles = visited.page.locator("svg.chart > title").all_text_contents()
    assert titles == ["Plates by confidence", "Time of each stage"]
    assert visited.page.locator(".chip").all_inner_texts() == ["No plate\n1", "Not checked\n1"]
    assert visited.complaints == []
    visited.page.close()
