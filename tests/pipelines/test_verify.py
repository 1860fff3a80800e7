"""What `platebeam verify` finds changed in runs of drawn pictures, and what it does not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpr_core.plate_reader import ReaderConfig
from pipelines import read_plates, verify
from pipelines.archive import open_archive
from pipelines.schemas import SCHEMAS
from pipelines.tables import Row

DEFAULT_BUNDLE = Path(read_plates.__file__).parents[1] / "lpr_core" / "bundles" / "default"

Findings = list[dict[str, Any]]


class Ground:
    """Pictures, a bundle, and a folder with two runs that read them in two ways."""

    def __init__(self, root: Path, street: Path) -> None:
        self.pictures = Path(shutil.copytree(street, root / "pictures"))
        self.zip = self.pictures / "more.zip"
        self.absent = self.pictures / "absent.jpg"
        self.bundle = Path(shutil.copytree(DEFAULT_BUNDLE, root / "bundle"))
        self.output = root / "out"
        with zipfile.ZipFile(self.zip, "w") as archive:
            archive.write(street / "one.jpg", "zipped.jpg")
        more = root / "more.txt"
        more.write_text(f"{self.absent}\nzip://zipped.jpg::{self.zip}\n")
        to = ["--output", str(self.output), "--workers", "1"]
        plain = [str(self.pictures), str(more), "--keep-crops", "--run-id", "plain"]
        assert read_plates.run([*plain, *to]) is not None
        two = (self.pictures / "two.jpg").stat().st_size  # the largest but three.png
        classical = ["--detector", "contour", "--reader", "characters", "--layouts", "hu"]
        classical += [
            "--bundle",
            str(self.bundle),
            "--max-bytes",
            str(two),
            "--run-id",
            "classical",
        ]
        inputs = [str(self.pictures / "two.jpg"), str(self.pictures / "three.png")]
        assert read_plates.run([*inputs, *classical, *to]) is not None


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, street: Path) -> Ground:
    return Ground(tmp_path_factory.mktemp("verify"), street)


@pytest.fixture
def copy(ground: Ground, tmp_path: Path) -> Path:
    """The output, free to be changed."""
    return Path(shutil.copytree(ground.output, tmp_path / "copy"))


@contextlib.contextmanager
def altered(path: Path, data: bytes | None) -> Iterator[None]:
    """A file with other bytes, or without the file."""
    before = path.read_bytes() if path.exists() else None
    for content in (data, before):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        if content is data:
            yield


def flipped(path: Path, at: float = 0.5) -> bytes:
    """A file's bytes with one bit turned."""
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 1
    return bytes(data)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Findings]:
    """The exit status, and what is not the same."""
    capsys.readouterr()
    status = verify.main([*map(str, arguments), "--format", "json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return status, [finding for finding in findings if finding["answer"] != "same"]


def answers(findings: Findings) -> Counter[tuple[str, str]]:
    return Counter((finding["kind"], finding["answer"]) for finding in findings)


def edit_record(output: Path, run_id: str, **changes: Any) -> None:
    path = output / "runs" / f"{run_id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def record_of(output: Path, run_id: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((output / "runs" / f"{run_id}.json").read_text())
    return record


def table_file(output: Path, table: str, run_id: str) -> Path:
    (entry,) = (file for file in record_of(output, run_id)["files"] if file["table"] == table)
    return output / entry["path"]


def edit_rows(path: Path, *changes: Row) -> None:
    """Rewrite a table, sorted by URI, with other values in its first rows."""
    table = pq.read_table(path).sort_by("uri")
    rows = table.to_pylist()
    for row, changed in zip(rows, changes, strict=False):
        row |= changed
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def test_on_the_same_machine_all_is_the_same(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert verify.main([str(ground.output), "--seed", "3"]) == 0
    shown = capsys.readouterr()
    # Of the first run six pictures, one that is in an archive and one that is not there; of the
    # second two, one of them too large. Five tables a run.
    assert [line.split() for line in shown.out.splitlines()] == [
        ["what", "answer", "count"],
        ["data", "files", "same", "10"],
        ["run", "records", "same", "2"],
        ["bundles", "same", "2"],
        ["pictures", "same", "10"],
        ["the", "sample", "was", "drawn", "with", "--seed", "3"],
    ]
    assert shown.err == ""


def test_sources_that_changed_are_told_apart(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, cut = (ground.pictures / name for name in ("one.jpg", "two.jpg", "cut.jpg"))
    data = two.read_bytes()
    with (
        altered(one, flipped(one)),
        altered(two, None),
        altered(cut, flipped(cut, 0.9)),  # fails as before, and yet is another file
        altered(ground.zip, b"no archive"),
        altered(ground.absent, data),
    ):
        status, findings = run(capsys, ground.output, "--run", "plain")
    assert status == 1
    assert {finding["item"].rpartition("/")[2]: finding["answer"] for finding in findings} == {
        "one.jpg": "changed_source",
        "two.jpg": "missing_source",
        "cut.jpg": "changed_source",
        "more.zip": "unreadable_source",
        "absent.jpg": "changed_source",
    }
    details = {finding["item"].rpartition("/")[2]: finding["details"] for finding in findings}
    assert details["absent.jpg"] == ["load/not_found then, it is there now"]
    assert details["two.jpg"] == ["load/not_found"]
    assert details["cut.jpg"][0].startswith("sha256 was ")
    assert run(capsys, ground.output, "--run", "plain") == (0, [])


def test_a_bundle_that_changed_is_told_from_one_that_is_gone(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, manifest = ground.bundle / "characters.tflite", ground.bundle / "manifest.json"
    unread = {("bundles", "changed_bundle"): 1, ("pictures", "unchecked"): 1}
    # The other picture was too large: that needs no bundle.
    for changed in (weights, manifest):
        data = flipped(weights) if changed is weights else manifest.read_bytes() + b"\n"
        with altered(changed, data):
            status, findings = run(capsys, ground.output)
        assert (status, answers(findings)) == (1, unread)
        assert {finding["run_id"] for finding in findings} == {"classical"}
    other = ground.bundle / "reader.tflite"
    with altered(weights, other.read_bytes()), altered(other, weights.read_bytes()):
        status, findings = run(capsys, ground.output)
    assert (status, answers(findings)) == (1, unread)
    moved = ground.bundle.rename(ground.bundle.with_name("moved"))
    try:
        status, findings = run(capsys, ground.output)
        assert answers(findings)["bundles", "missing_bundle"] == 1
        assert run(capsys, ground.output, "--bundle", moved) == (0, [])
        assert run(capsys, ground.output, "--bundle", ground.pictures, "--bundle", moved)[0] == 0
    finally:
        moved.rename(ground.bundle)


def test_sources_are_checked_without_a_bundle_too(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    two = ground.pictures / "two.jpg"
    with altered(two, flipped(two)), altered(ground.bundle / "manifest.json", None):
        _, findings = run(capsys, ground.output, "--run", "classical")
    assert answers(findings) == {
        ("bundles", "missing_bundle"): 1,
        ("pictures", "changed_source"): 1,
    }


def test_an_edited_row_is_found_twice_and_its_text_only_told_as_a_result(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_rows(table_file(copy, "plates", "plain"), {"text": "ZZ99ZZ"})
    capsys.readouterr()
    assert verify.main([str(copy), "--run", "plain"]) == 1
    shown = capsys.readouterr()
    changed = [line for line in shown.out.splitlines() if line.startswith("changed_")]
    assert [line.split()[0] for line in changed] == ["changed_file", "changed_result"]
    assert "plate 0: text was 'ZZ99ZZ', is '" in changed[1]
    assert shown.err == ""
    # Not drawn, the row is one of a file that is not the one the record lists.
    status, findings = run(capsys, copy, "--run", "plain", "--sample", 0)
    assert (status, answers(findings)) == (1, {("data files", "changed_file"): 1})


def test_every_column_of_a_result_counts(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zeros = "0" * 64
    # The first two pictures are the one that is not there and the one that is cut.
    images: list[Row] = [{}, {"reason": "corrupt"}, {"width": 7}, {"status": "read"}]
    plates: list[Row] = [
        {"confidence": 0.123, "crop": b"P5 1 1 255\n0"},
        {"crop_sha256": zeros, "crop": None},
        {"read_id": zeros[:32]},
        {"corners": [{"x": 1.0, "y": 2.0}] * 4},
        {"corners": []},
        {"alternatives": []},
    ]
    edit_rows(table_file(copy, "images", "plain"), *images)
    edit_rows(table_file(copy, "plates", "plain"), *plates)
    _, findings = run(capsys, copy, "--run", "plain")
    results = [finding for finding in findings if finding["answer"] == "changed_result"]
    details = "; ".join(detail for finding in results for detail in finding["details"])
    for told in (
        "reason was 'corrupt', is 'truncated'",
        "width was 7, is 640",
        "status was 'read', is 'no_plate'",
        "confidence was 0.123, is 0.9",
        "the crop is not the one that its hash names",
        f"crop_sha256 was '{zeros}', is ",
        f"read_id was '{zeros[:32]}', is ",
        "corners[0].x was 1, is ",
        "corners was [], is ",
        "alternatives was 0, is 0.9",
    ):
        assert told in details


def test_a_row_of_another_run_is_missed_in_its_own(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_rows(table_file(copy, "images", "plain"), {"run_id": "another"})
    _, findings = run(capsys, copy, "--run", "plain", "--sample", 1)
    assert answers(findings) == {
        ("data files", "changed_file"): 1,
        ("run records", "changed_record"): 1,
    }
    assert findings[1]["details"] == ["2 failed, the tables hold 1"]  # the one that is not there


def test_files_that_are_no_tables_any_more_leave_the_other_runs_to_be_read(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = table_file(copy, "images", "plain")
    whole = images.read_bytes()
    for data, answer in ((None, "missing_file"), (whole[: len(whole) // 2], "changed_file")):
        with altered(images, data):
            status, findings = run(capsys, copy)
        assert (status, answers(findings)) == (
            1,
            {("data files", answer): 1, ("run records", "unchecked"): 1},
        )
        assert {finding["run_id"] for finding in findings} == {"plain"}
    images.unlink()
    assert len(run(capsys, copy, "--run", "plain")[1]) == 2
    images.mkdir()
    assert answers(run(capsys, copy, "--run", "plain")[1])["data files", "unreadable_file"] == 1


def test_a_byte_of_a_data_file_is_found(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = table_file(copy, "metrics", "plain")
    with altered(metrics, flipped(metrics, 0.2)):
        _, (finding,) = run(capsys, copy, "--run", "plain", "--sample", 0)
    assert (finding["answer"], finding["item"]) == (
        "changed_file",
        metrics.relative_to(copy).as_posix(),
    )
    assert finding["details"][0].startswith("sha256 was ")


def test_an_edited_record_is_found(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(**changes: Any) -> str:
        before = record_of(copy, "plain")
        edit_record(copy, "plain", **changes)
        status, (finding,) = run(capsys, copy, "--run", "plain", "--sample", 0)
        (copy / "runs" / "plain.json").write_text(json.dumps(before))
        assert status == 1
        return f"{finding['answer']}: {'; '.join(finding['details'])}"

    record = record_of(copy, "plain")
    counts, config, files = record["counts"], record["config"], record["files"]
    # Four of the folder's six pictures are read, and the one in the archive.
    assert told(counts={**counts, "read": 6}) == "changed_record: 6 read, the tables hold 5"
    assert told(config={**config, "min_confidence": 0.5}).endswith("one that its hash names")
    assert "no layout 'mars'" in told(config={**config, "layouts": ["mars"]})
    assert "limits" in told(options={})
    more = [{**files[0], "rows": files[0]["rows"] + 1}, *files[1:]]
    assert told(files=more).startswith("changed_file: ")
    # With its hash, an edited configuration reads otherwise, and names its reads otherwise.
    strict = {**config, "min_confidence": 1.0}
    given = {name: value for name, value in strict.items() if name != "sha256"}
    strict["sha256"] = ReaderConfig(**{**given, "layouts": ()}).sha256
    edit_record(copy, "plain", config=strict)
    _, findings = run(capsys, copy, "--run", "plain")
    assert answers(findings) == {("pictures", "changed_result"): 5}


def test_a_run_that_had_nothing_to_read_is_the_same(
    ground: Ground, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = [str(ground.pictures / "one.jpg"), "--output", str(copy), "--keep-crops", "--resume"]
    assert read_plates.main([*again, "--run-id", "resumed", "--workers", "1"]) == 0
    assert run(capsys, copy, "--run", "resumed") == (0, [])


def test_what_was_purged_is_not_missed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two plates are in two.jpg; the first goes."""
    record = record_of(copy, "plain")
    path = table_file(copy, "plates", "plain")
    table = pq.read_table(path)
    rows = table.to_pylist()
    gone = next(row for row in rows if row["uri"].endswith("two.jpg") and row["index"] == 0)
    rows.remove(gone)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    data = path.read_bytes()
    told = {"bytes": len(data), "rows": len(rows), "sha256": hashlib.sha256(data).hexdigest()}
    files = [{**file, **told} if file["table"] == "plates" else file for file in record["files"]]
    counts = record["counts"]
    counts |= {name: counts[name] - 1 for name in ("plates_found", "plates_read")}
    edit_record(copy, "plain", files=files, counts=counts)
    status, findings = run(capsys, copy, "--run", "plain")
    assert (status, answers(findings)) == (1, {("pictures", "changed_result"): 1})
    assert findings[0]["details"][0] == "1 plates are now 2"
    edit_record(copy, "plain", purged=[{"at": "2026-11-22T10:00:00+00:00"}])
    assert run(capsys, copy, "--run", "plain") == (0, [])


def test_a_seed_draws_the_same_rows_again(samples_output: str) -> None:
    archive = open_archive(samples_output)

    def drawn(sample: int, seed: int) -> list[str]:
        return sorted(row["uri"] for row in verify.look_into(archive, [], sample, seed)[0])

    assert drawn(5, 1) == drawn(5, 1)
    assert len(set(drawn(5, 1))) == 5
    assert set(drawn(5, 1)) <= set(drawn(9, 1))
    assert any(drawn(5, 1) != drawn(5, seed) for seed in range(2, 9))
    assert len(drawn(500, 1)) == archive.records[0]["counts"]["inputs"]


def test_tables_of_pseudonyms_are_asked_in_the_restricted_folder(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file, output = tmp_path / "key", tmp_path / "out"
    key_file.write_bytes(bytes(range(32)))
    read = [str(street / "one.jpg"), "--output", str(output), "--pseudonymise", str(key_file)]
    assert read_plates.run([*read, "--run-id", "r", "--workers", "1"]) is not None
    capsys.readouterr()
    assert verify.main([str(output)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f"platebeam verify: the tables of {output} hold tokens in place of plates and URIs: name "
        f"{output}-restricted instead, or give --sample 0 to verify its files alone\n"
    )
    assert run(capsys, f"{output}-restricted") == (0, [])
    assert verify.main([str(output), "--sample", "0"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:3]] == [
        ["data", "files", "same", str(len(SCHEMAS))],
        ["run", "records", "same", "1"],
    ]
    metrics = table_file(output, "metrics", "r")
    metrics.write_bytes(flipped(metrics, 0.2))
    _, (finding,) = run(capsys, output, "--sample", 0)
    assert (finding["item"], finding["answer"]) == (
        metrics.relative_to(output).as_posix(),
        "changed_file",
    )


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--sample", "-1", "'-1' is no number from 0 on"),
        ("--sample", "x", "'x' is no number from 0 on"),
        ("--tolerance", "x", "'x' is no number from 0 on"),
        ("--tolerance", "-0.1", "'-0.1' is no number from 0 on"),
        ("--tolerance", "nan", "'nan' is no number from 0 on"),
        ("--format", "csv", "invalid choice: 'csv'"),
    ],
)
def test_options_that_cannot_be(
    tmp_path: Path, option: str, value: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        verify.main([str(tmp_path), option, value])
    assert stopped.value.code == 2
    assert f"argument {option}: {told}" in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_without_runs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main([str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"platebeam verify: no run is committed in {tmp_path}"


TOLERANCE = 1e-3
shares = st.floats(0, 1)


@given(was=shares, off=st.floats(-0.9, 0.9))
def test_probabilities_may_differ_by_the_tolerance_and_corners_by_half_a_pixel(
    was: float, off: float
) -> None:
    for name, allowed in (("confidence", TOLERANCE), ("corners[0].x", verify.PIXELS)):
        near, far = was + off * allowed, was + (off + 2) * allowed
        assert not list(verify.differences(was, near, TOLERANCE, name))
        assert len(list(verify.differences(was, far, TOLERANCE, name))) == 1


@given(st.dictionaries(st.text("AB01", min_size=1), shares, max_size=6), st.randoms())
def test_the_order_of_alternatives_and_unlikely_ones_do_not_count(
    found: dict[str, float], chance: random.Random
) -> None:
    was = [{"text": text, "probability": probability} for text, probability in found.items()]
    now = [*was, {"text": "Z", "probability": 0.9 * TOLERANCE}]
    chance.shuffle(now)
    assert not list(verify.differences(was, now, TOLERANCE, "alternatives"))
    now.append({"text": "ZZ", "probability": 1.1 * TOLERANCE})
    assert len(list(verify.differences(was, now, TOLERANCE, "alternatives"))) == 1
