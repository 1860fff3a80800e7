"""What INPUT and --truth come to, without running a job."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import apache_beam as beam
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lpr_core.geometry import Box
from lpr_core.score import PlateTruth
from pipelines.failures import Failure, Reason, Stage
from pipelines.gather import BLOCK_SIZE, GatherInputs, unpack
from pipelines.inputs import ImageRef, TruthFiles, find_listings, merge
from pipelines.manifests import InputError
from pipelines.metrics import Counts
from pipelines.resume import Resume
from pipelines.uris import canonical_uri


@dataclass(frozen=True)
class Gathered:
    """What INPUT came to: refs by URI without their versions, the blocks' sizes, and counts."""

    refs: list[ImageRef]
    blocks: list[int]
    counts: Counts

    @property
    def ignored(self) -> int:
        return self.counts["ignored",]


def gathered(inputs: list[str], truth_files: Sequence[str] = ()) -> Gathered:
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/blocks", f"{folder}/counts"]
        with beam.Pipeline(runner="FnApiRunner") as pipeline:
            outputs = (
                pipeline
                | beam.Create(find_listings(inputs))
                | GatherInputs(TruthFiles(truth_files), Resume.VERSION, [])
            )
            for output, file in zip(outputs, files, strict=True):
                name = Path(file).name
                (
                    output
                    | f"List{name}" >> beam.combiners.ToList()
                    | f"Keep{name}"
                    >> beam.Map(
                        lambda items, path: Path(path).write_bytes(pickle.dumps(items)), file
                    )
                )
        blocks, (counts,) = (pickle.loads(Path(file).read_bytes()) for file in files)
    refs = [replace(ref, version=None) for block in blocks for ref in unpack(block)]
    sizes = [len(unpack(block)) for block in blocks]
    return Gathered(sorted(refs, key=lambda ref: ref.uri), sizes, counts)


def problem(uri: str, text: str, reason: Reason = Reason.BAD_ROW) -> ImageRef:
    return ImageRef(uri, problem=Failure(Stage.INPUT, reason, f"{uri}: {text}"))


def messages(refs: list[ImageRef]) -> list[str]:
    return [ref.problem.message if ref.problem else "" for ref in refs]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(refs: list[ImageRef], folder: Path) -> list[str]:
    return [os.path.relpath(ref.uri, folder) for ref in refs]


def test_a_folder_is_its_pictures_by_extension_in_all_folders_below(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a.png", "deep/er/c.webp", "notes.txt", "deep/list.csv", "x")
    found = gathered([str(tmp_path)])
    assert sorted(names(found.refs, tmp_path)) == ["a.png", "b.JPG", "deep/er/c.webp"]
    assert found.ignored == 3
    assert all(ref.truths is None and ref.labels == () for ref in found.refs)


def test_a_glob_takes_what_it_matches_but_folders_that_claim_to_be_pictures(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "a1.jpg", "a2", "b1.jpg", "a_folder/z.jpg", "a.jpg/z.jpg")
    found = gathered([str(tmp_path / "a*")])
    assert names(found.refs, tmp_path) == ["a.jpg", "a1.jpg", "a2"]
    assert found.ignored == 1


@pytest.mark.parametrize("pattern", ["", "*"])
def test_folders_and_links_to_them_do_not_vanish(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "in/a.jpg", "in/folder.jpg/b.jpg", "aside/c.jpg")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "aside")
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "aside" / "c.jpg")
    found = gathered([str(tmp_path / "in" / pattern)])
    inside = [] if pattern else ["folder.jpg/b.jpg"]  # a glob does not look into what it matches
    assert names(found.refs, tmp_path / "in") == [
        *("a.jpg", "folder.jpg", *inside, "link", "link.jpg"),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("pattern", ["", "**"])
def test_a_folder_that_may_not_be_listed_does_not_vanish(tmp_path: Path, pattern: str) -> None:
    """Root may list everything, so a process that has become nobody tries."""
    touch(tmp_path, "in/deep/a.jpg", "in/deep/closed/b.jpg")
    (tmp_path / "in" / "deep" / "closed").chmod(0o000)
    for folder in (tmp_path, *tmp_path.parents):
        if folder not in (Path("/"), Path("/tmp")):
            folder.chmod(folder.stat().st_mode | 0o055)
    script = (
        "import os, sys\n"
        "from pipelines.inputs import Kind, Listing, find_listings, look_into\n"
        "from pipelines.manifests import InputError\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: listings = find_listings(sys.argv[1:])\n"
        "except InputError as error: print(error); sys.exit()\n"
        "while listings:\n"
        "    found = look_into(listings.pop())\n"
        "    for ref in found.refs: print(ref.uri, ref.problem)\n"
        "    listings += found.folders\n"
    )
    given = str(tmp_path / "in" / pattern)
    command = [sys.executable, "-c", script, given]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    closed = f"{tmp_path}/in/deep/closed"
    failure = Failure(
        Stage.INPUT,
        Reason.NOT_LISTED,
        f"{closed}: the folder cannot be listed: Permission denied",
    )
    # A glob cannot tell what it would have matched there.
    assert done.stdout.splitlines() == (
        [f"{given}: Permission denied"]
        if pattern
        else [f"{tmp_path}/in/deep/a.jpg None", f"{closed} {failure}"]
    )


def test_a_name_that_is_not_utf_8_is_an_input_with_a_problem(tmp_path: Path) -> None:
    touch(tmp_path, "good\ufffd.jpg", os.fsdecode(b"bad\xff.jpg"))
    bad, good = gathered([str(tmp_path)]).refs
    assert good == ImageRef(f"{tmp_path}/good\ufffd.jpg")
    name = f"{tmp_path}/bad\\udcff.jpg"
    assert bad == problem(name, "its name is not UTF-8")


def test_colons_in_local_names_are_no_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "in/c::d.jpg")
    (tmp_path / "list.txt").write_text("in/c::d.jpg\nzip://e.jpg::a.zip\n")
    (tmp_path / "truth.csv").write_text("image,x,y,w,h,text\nc::d.jpg,1,2,3,4,AB1\n")
    monkeypatch.chdir(tmp_path)
    file = f"{tmp_path}/in/c::d.jpg"
    archived = f"zip://e.jpg::{tmp_path}/a.zip"
    found = gathered(["in", "in/c::d.jpg", "list.txt"], ["truth.csv"])
    assert [ref.uri for ref in found.refs] == [file, archived]
    assert found.refs[0].truths == (PlateTruth("AB1", Box(1, 2, 3, 4)),)


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(tmp_path: Path) -> None:
    touch(tmp_path, "car[1].jpg", "car1.jpg")
    assert names(gathered([str(tmp_path / "car[1].jpg")]).refs, tmp_path) == ["car[1].jpg"]


def test_relative_paths_and_file_uris_become_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.jpg")
    monkeypatch.chdir(tmp_path)
    both = gathered(["a.jpg", f"file://{tmp_path}/a.jpg"])
    assert [ref.uri for ref in both.refs] == [str(tmp_path / "a.jpg")]


def test_other_stores_keep_their_scheme(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/inputs-test/a.jpg": b"x", "/inputs-test/b.txt": b"x"})
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/one.jpg", b"x")
        archive.writestr("two.png", b"x")
    try:
        found = gathered(["memory://inputs-test", f"zip://::{tmp_path}/a.zip"])
    finally:
        memory.rm("/inputs-test", recursive=True)
    assert [ref.uri for ref in found.refs] == [
        "memory:///inputs-test/a.jpg",
        f"zip://in/one.jpg::{tmp_path}/a.zip",
        f"zip://two.png::{tmp_path}/a.zip",
    ]


def test_a_store_has_one_name() -> None:
    for given, known in (("gcs://b/x.jpg", "gs://b/x.jpg"), ("s3a://b/x.jpg", "s3://b/x.jpg")):
        assert canonical_uri(given) == canonical_uri(known) == known
        assert canonical_uri(f"zip://y.jpg::{given}") == f"zip://y.jpg::{known}"


def test_an_archive_that_comes_to_nothing_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("notes.txt"))
    given = f"tar://::{tmp_path}/a.tar"
    with pytest.raises(InputError, match=f"{given}: there is no picture in it"):
        find_listings([given])


def test_a_folder_that_comes_to_nothing_is_told_whatever_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "c::d/notes.txt")
    with pytest.raises(InputError, match="c::d: there is no picture in it"):
        find_listings([str(tmp_path / "c::d")])


ROWS = [
    {"uri": "a.jpg", "text": "AB1", "x": 1, "y": 2, "w": 3.5, "h": 4, "lane": "left"},
    {"uri": "b.jpg", "text": None, "x": None, "y": None, "w": None, "h": None, "lane": "left"},
    {"uri": "a.jpg", "text": "CD2", "x": 9, "y": 2, "w": 3, "h": 4, "lane": "right"},
]


def write_rows(path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        lines = [",".join(ROWS[0])]
        lines += [",".join("" if v is None else str(v) for v in row.values()) for row in ROWS]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_rows_of_one_uri_are_one_input_with_several_truths(tmp_path: Path, kind: str) -> None:
    write_rows(tmp_path / f"list.{kind}")
    a, b = gathered([str(tmp_path / f"list.{kind}")]).refs
    assert a == ImageRef(
        str(tmp_path / "a.jpg"),
        (PlateTruth("AB1", Box(1, 2, 3.5, 4)), PlateTruth("CD2", Box(9, 2, 3, 4))),
        (("lane", "left|right"),),
    )
    # A row of blanks under box columns is a picture known to have no plate.
    assert b == ImageRef(str(tmp_path / "b.jpg"), (), (("lane", "left"),))


def test_equal_rows_of_manifests_are_one_truth(tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    row = "a.jpg,AB1,1,2,3,4\n"
    manifest.write_text("uri,text,x,y,w,h\n" + 2 * row + "a.jpg,CD2,9,2,3,4\n")
    (a,) = gathered([str(manifest), str(manifest)]).refs
    assert a.truths == (PlateTruth("AB1", Box(1, 2, 3, 4)), PlateTruth("CD2", Box(9, 2, 3, 4)))


def test_a_label_that_is_known_already_stays_as_it_is() -> None:
    ref = ImageRef("a.jpg", labels=(("lane", "left|right"),))
    assert merge(ref, ImageRef("a.jpg", labels=(("lane", "right|left"),))) == ref
    more = merge(ref, ImageRef("a.jpg", labels=(("lane", "right|bus"), ("city", "Ulm"))))
    assert more.labels == (("lane", "left|right|bus"), ("city", "Ulm"))


def test_a_text_list_is_a_uri_a_line_relative_to_itself(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.jpg\n\n  /b/c.jpg \ns3://bucket/d.jpg\n")
    assert gathered([str(tmp_path / "list.txt")]).refs == [
        ImageRef("/b/c.jpg"),
        ImageRef(str(tmp_path / "a.jpg")),
        ImageRef("s3://bucket/d.jpg"),
    ]


def test_blank_texts_without_box_columns_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("uri,text\na.jpg,\nb.jpg,XY1\n")
    assert [ref.truths for ref in gathered([str(tmp_path / "list.csv")]).refs] == [
        None,
        (PlateTruth("XY1", None),),
    ]


def test_times_with_an_offset_become_utc(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        "uri,captured_at\na.jpg,2026-05-04T10:00:00+02:00\nb.jpg,2026-05-04 10:00\n"
        "c.jpg,2026-05-04T10:00:00Z\n"
    )
    assert [ref.captured_at for ref in gathered([str(tmp_path / "list.csv")]).refs] == [
        datetime(2026, 5, 4, 8),
        datetime(2026, 5, 4, 10),
        datetime(2026, 5, 4, 10),
    ]
    taken = datetime(2026, 5, 4, 8, tzinfo=timezone.utc)
    pq.write_table(pa.table({"uri": ["a.jpg"], "captured_at": [taken]}), tmp_path / "list.parquet")
    (ref,) = gathered([str(tmp_path / "list.parquet")]).refs
    assert ref.captured_at == datetime(2026, 5, 4, 8)


BAD_ROWS = {
    "b.jpg,AB1,one,2,3,4,": "column x is not a number",
    "b.jpg,AB1,1,2,3,,": "column h is not a number",
    "b.jpg,AB1,1,2,0,4,": "the box has no area",
    "b.jpg,AB1,1,2,nan,4,": "column w is not finite",
    ",AB1,1,2,3,4,": "column uri is blank",
    "b.jpg,AB1,1,2,3,4,1712101412345": "column captured_at is not an ISO 8601 time",
    "b.jpg,AB1,1,2,3,4,soon": "column captured_at is not an ISO 8601 time",
    "b.jpg,AB1,1,2,3,4": "6 cells in 7 columns",
    "b.jpg,AB1,1,2,3,4,,,": "9 cells in 7 columns",
    'b.jpg,"AB1,1,2,3,4,': "the row has an odd number of double quotes",
    'b.jpg,"AB1" ,1,2,3,4,': """the row is not CSV (',' expected after '"')""",
    "b.jpg,AB1,1,2,3,4,0001-01-01T00:00:00+14:00": "column captured_at is not an ISO 8601 time",
    "b.jpg,AB\udcff1,1,2,3,4,": "the row is not UTF-8",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_bad_row_is_an_input_with_a_problem_and_costs_no_other(tmp_path: Path, row: str) -> None:
    manifest = tmp_path / "list.csv"
    text = f"uri,text,x,y,w,h,captured_at\na.jpg,AA1,1,2,3,4,\n{row}\nc.jpg,CC1,1,2,3,4,\n"
    manifest.write_bytes(text.encode("utf-8", "surrogateescape"))
    a, c, bad = gathered([str(manifest)]).refs
    assert [a.uri, c.uri] == [str(tmp_path / "a.jpg"), str(tmp_path / "c.jpg")]
    assert bad == problem(f"{manifest}:3", BAD_ROWS[row])
    assert "AB1" not in str(bad)


def test_bad_lines_of_json_are_inputs_with_a_problem(tmp_path: Path) -> None:
    manifest = tmp_path / "list.jsonl"
    manifest.write_text('{"uri": "a.jpg"}\n{"uri": \n[1]\n{"uri": "b.jpg", "text": 1.5}\n')
    a, *bad = gathered([str(manifest)]).refs
    assert a.uri == str(tmp_path / "a.jpg")
    assert messages(bad) == [
        f"{manifest}:2: the row is not JSON",
        f"{manifest}:3: the row is no JSON object",
        f"{manifest}:4: column text is not a text",
    ]


def test_a_line_break_in_a_cell_invents_no_input(tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text('uri,note\na.jpg,"two\nlines"\nb.jpg,one\n')
    b, *bad = gathered([str(manifest)]).refs
    assert b.uri == str(tmp_path / "b.jpg")
    assert [ref.uri for ref in bad] == [f"{manifest}:2", f"{manifest}:3"]


def test_odd_values_of_json_cost_their_own_row_alone(tmp_path: Path) -> None:
    manifest = tmp_path / "list.jsonl"
    lines = ["[" * 100_000, '{"uri": "a\\ud800.jpg"}', '{"uri": "a.jpg", "lane": "\\ud800"}']
    lines += ['{"uri": "a.jpg", "x": 1%s, "y": 1, "w": 1, "h": 1}' % ("0" * 400)]
    lines += ['{"uri": "b\\ufffd.jpg"}']
    manifest.write_text("\n".join(lines))
    b, *bad = gathered([str(manifest)]).refs
    assert b == ImageRef(f"{tmp_path}/b\ufffd.jpg")
    assert messages(bad) == [
        f"{manifest}:1: the row is not JSON",
        f"{manifest}:2: the row is not UTF-8",
        f"{manifest}:3: the row is not UTF-8",
        f"{manifest}:4: column x is not a number",
    ]


def test_odd_values_of_parquet_cost_their_own_row_alone(tmp_path: Path) -> None:
    manifest = tmp_path / "list.parquet"
    text = pa.array([b"AB1", b"A\xff", "\ufffd".encode(), b"CD1"])
    columns = {
        "uri": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
        "text": pa.Array.from_buffers(pa.string(), 4, text.buffers()),  # unchecked
        # A nanosecond after 1970, and (in microseconds) a time beyond year 9999.
        "captured_at": pa.array([1, 1, 1, None], pa.timestamp("ns")),
        "end": pa.array([0, 0, 0, 2**60], pa.timestamp("us")),
    }
    pq.write_table(pa.table(columns), manifest)
    a, c, *bad = gathered([str(manifest)]).refs
    assert (a.uri, a.captured_at) == (f"{tmp_path}/a.jpg", datetime(1970, 1, 1))
    assert c.truths == (PlateTruth("\ufffd", None),)
    assert messages(bad) == [
        f"{manifest}:2: the row is not UTF-8",
        f"{manifest}:4: the row has a value beyond what Python can hold",
    ]
    pq.write_table(pa.table({"uri": [b"a.jpg"]}), manifest)
    (bad_row,) = gathered([str(manifest)]).refs
    assert bad_row == problem(f"{manifest}:1", "column uri is not a text")


def test_truth_rows_are_matched_as_names_are_meant_and_counted(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9.jpg", "cafe\u0301.jpg"
    touch(tmp_path, "us/a.jpg", f"us/{decomposed}")
    truth = tmp_path / "truth.csv"
    lines = [f"./us/a.jpg,1,1,9,9,US1\n{composed},2,2,9,9,FR1\n", "absent.jpg,3,3,9,9,NO1\n" * 2]
    truth.write_text("image,x,y,w,h,text\n" + "".join(lines), encoding="utf-8")
    found = gathered([str(tmp_path / "us")], [str(truth), str(truth)])
    # Two rows of one plate are one row, whether of one file or of the same file given twice.
    assert [ref.truths for ref in found.refs] == [
        (PlateTruth("US1", Box(1, 1, 9, 9)),),
        (PlateTruth("FR1", Box(2, 2, 9, 9)),),
    ]
    # The two equal rows of both files are one, and no input is absent.jpg.
    matched = {key[1:] for key in found.counts if key[0] == "truth"}
    assert matched == {("us/a.jpg", "1"), (composed, "1")}


def test_truth_is_joined_by_the_longest_matching_end_of_the_path(tmp_path: Path) -> None:
    touch(tmp_path, "us/car.jpg", "eu/car.jpg", "eu/van.jpg", "eu/bus.jpg")
    (tmp_path / "truth.csv").write_text(
        "image,x,y,w,h,text,country\n"
        "car.jpg,1,1,9,9,ANY1,xx\n"
        "us/car.jpg,2,2,9,9,US1,us\n"
        "van.jpg,,,,,,eu\n"
        "absent.jpg,3,3,9,9,NO1,eu\n"
    )
    found = gathered([str(tmp_path / "us"), str(tmp_path / "eu")], [str(tmp_path / "truth.csv")])
    known = {os.path.relpath(ref.uri, tmp_path): (ref.truths, ref.labels) for ref in found.refs}
    assert known == {
        "us/car.jpg": ((PlateTruth("US1", Box(2, 2, 9, 9)),), (("country", "us"),)),
        "eu/car.jpg": ((PlateTruth("ANY1", Box(1, 1, 9, 9)),), (("country", "xx"),)),
        "eu/van.jpg": ((), (("country", "eu"),)),
        "eu/bus.jpg": (None, ()),
    }


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("list.csv", "image,text\na.jpg,AB1\n", "no column uri"),
        ("list.csv", "", "no column uri"),
        ("list.csv", "uri,lane,lane\na.jpg,1,2\n", "two columns of one name"),
        ("list.txt", "\n\n", "no row in it"),
        ("list.parquet", "not Parquet at all", "not a Parquet file"),
    ],
)
def test_a_manifest_of_no_use_is_refused(
    tmp_path: Path, file: str, content: str, message: str
) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(InputError, match=message) as error:
        gathered([str(tmp_path / file)])
    assert str(tmp_path / file) in str(error.value)


def test_missing_and_empty_inputs_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "pictures/a.jpg", "empty/readme.md")
    for given, message in [
        (tmp_path / "absent", "no such file or folder"),
        (tmp_path / "pictures" / "*.png", "nothing matches"),
        (tmp_path / "empty", "no picture in it"),
        ("nonsense://a/b.jpg", "nonsense"),
    ]:
        with pytest.raises(InputError, match=message):
            gathered([str(tmp_path / "pictures"), str(given)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,text\na.jpg,AB1\n", "no column x, y, w, h"),
        ("image,x,y,w,h,text\na.jpg,1,2,three,4,AB1\n", ":2: column w is not a number"),
    ],
)
def test_a_truth_file_with_faults_is_refused(tmp_path: Path, content: str, message: str) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "truth.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        gathered([str(tmp_path / "a.jpg")], [str(tmp_path / "truth.csv")])
    with pytest.raises(InputError, match="No such file"):
        gathered([str(tmp_path / "a.jpg")], [str(tmp_path / "absent.csv")])


@pytest.mark.parametrize("count", [1, 1000])
def test_blocks_lose_nothing_and_are_enough_to_share(tmp_path: Path, count: int) -> None:
    manifest = tmp_path / "list.txt"
    uris = sorted(f"/{number}.jpg" for number in range(count))
    manifest.write_text("\n".join(uris))
    found = gathered([str(manifest)])
    assert [ref.uri for ref in found.refs] == uris
    assert found.counts["inputs",] == count
    assert max(found.blocks) <= BLOCK_SIZE
    assert len(found.blocks) >= min(count, 500)


def test_the_parts_of_a_parquet_manifest_are_read_one_by_one(tmp_path: Path) -> None:
    manifest = tmp_path / "list.parquet"
    uris = ["a.jpg", "b.jpg", "", "c.jpg", None]
    pq.write_table(pa.table({"uri": uris}), manifest, row_group_size=2)
    assert [listing.row_group for listing in find_listings([str(manifest)])] == [0, 1, 2]
    *good, third, fifth = gathered([str(manifest)]).refs
    assert names(good, tmp_path) == ["a.jpg", "b.jpg", "c.jpg"]
    # Rows are counted from the beginning of the file, and come in its order.
    assert third == problem(f"{manifest}:3", "column uri is blank")
    assert fifth == problem(f"{manifest}:5", "column uri is blank")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_no_member_of_an_archive_vanishes(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / f"all.{kind}"
    members = ["/data/a.jpg", "in/b.jpg", "in//c.jpg", "../d.jpg", "./e.jpg", "/data/notes.txt"]
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for name in members:
                packed.writestr(name, b"x")
    else:
        with tarfile.open(archive, "w") as packed:
            for name in members:
                packed.addfile(tarfile.TarInfo(name))
    refs = gathered([f"{kind}://::{archive}"]).refs
    found = {ref.uri.partition("::")[0]: ref.problem for ref in refs}
    assert sorted(name.rpartition("/")[2] for name in found) == [f"{c}.jpg" for c in "abcde"]
    lost = {name.rpartition("/")[2] for name, problem in found.items() if problem}
    assert lost == ({"a.jpg", "c.jpg"} if kind == "zip" else {"a.jpg"})
    assert {problem.reason for problem in found.values() if problem} == {Reason.NOT_LISTED}


def test_a_plate_that_is_spelled_twice_is_one(tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("uri,text\na.jpg,AAA 111\na.jpg,aaa-111\na.jpg,BBB222\n")
    (ref,) = gathered([str(manifest)]).refs
    assert ref.truths == (PlateTruth("AAA 111", None), PlateTruth("BBB222", None))


def test_spaces_in_a_head_are_no_part_of_the_names(tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("uri, text, camera\na.jpg, AB12, north\n")
    (ref,) = gathered([str(manifest)]).refs
    assert ref.truths == (PlateTruth("AB12", None),)
    assert ref.labels == (("camera", "north"),)


@pytest.mark.parametrize("column", ["Text", "TEXT", "Captured_At", "URI "])
def test_a_column_that_is_misspelt_is_no_label(tmp_path: Path, column: str) -> None:
    meant = column.strip().lower()
    manifest = tmp_path / "list.parquet"
    pq.write_table(pa.table({"uri": ["a.jpg"], column: ["AB12"]}), manifest)
    with pytest.raises(InputError, match=rf"column '{column}' is to be spelled '{meant}'"):
        gathered([str(manifest)])
    rows = tmp_path / "list.jsonl"
    rows.write_text(json.dumps({"uri": "a.jpg", column: "AB12"}))
    (ref,) = gathered([str(rows)]).refs
    assert ref.problem is not None and "is to be spelled" in ref.problem.message


def test_rows_of_a_picture_keep_their_order_across_the_parts_of_a_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "list.parquet"
    rows = [("a.jpg", "AA1"), ("b.jpg", "BB1"), ("b.jpg", "BB2"), ("a.jpg", "AA2")]
    columns = dict(zip(("uri", "text"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), manifest, row_group_size=2)
    a, b = gathered([str(manifest)]).refs
    assert a.truths == (PlateTruth("AA1", None), PlateTruth("AA2", None))
    assert b.truths == (PlateTruth("BB1", None), PlateTruth("BB2", None))
