"""--pseudonymise: what stands in the public tables, what beside them, that nothing slips out."""

from __future__ import annotations

import json
import logging
import pickle
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import DirectOptions
from hypothesis import given
from hypothesis import strategies as st

from lpr_core.score import normalise_text
from pipelines import commit, read_plates
from pipelines.pseudonyms import (
    PseudonymError,
    Pseudonyms,
    pseudonyms_of,
    public_folder,
    restricted_folder,
)
from pipelines.run_record import read_record, read_records
from pipelines.schemas import SCHEMAS

from .conftest import Bucket, Tables

KEY = b"0123456789abcdef0123456789abcdef"
OTHER_KEY = b"fedcba9876543210fedcba9876543210"
PLATES = ("HK73PL", "WX482", "TE951", "NM64RA", "UP27KE")
"""The truth of the pictures of `street`."""


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("keys") / "plates.key"
    file.write_bytes(KEY + b"\n")
    return str(file)


@pytest.fixture(scope="module")
def gate(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures whose names, like those of many archives, carry the plates; their truth."""
    folder = tmp_path_factory.mktemp("pictures") / "north-gate"
    folder.mkdir()
    names = {"one": "HK73PL.jpg", "two": "WX482_TE951.jpg", "cut": "cut-NM64RA.jpg"}
    for old, new in names.items():
        shutil.copy(street / f"{old}.jpg", folder / new)
    shutil.copy(street / "one.jpg", folder / "again_hk73pl.jpg")
    rows = ["HK73PL.jpg,120,100,244,60,hk 73-PL", "again_hk73pl.jpg,120,100,244,60,HK73PL"]
    rows += ["WX482_TE951.jpg,120,100,208,60,WX482", "WX482_TE951.jpg,120,240,208,60,TE951"]
    rows += ["cut-NM64RA.jpg,120,100,244,60,NM64RA"]
    lines = ["image,x,y,w,h,text,country", *(f"{row},xx" for row in rows)]
    (folder / "truth.csv").write_text("\n".join(lines) + "\n")
    return folder


def pseudonymise(gate: Path, output: Path | str, key_file: str, *more: str) -> list[str]:
    arguments = [str(gate), "--truth", str(gate / "truth.csv"), "--output", str(output)]
    return [*arguments, "--pseudonymise", key_file, "--workers=1", *more]


@pytest.fixture(scope="module")
def pair(gate: Path, key_file: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A run's public and restricted tables."""
    output = tmp_path_factory.mktemp("out") / "tables"
    options = ["--keep-crops", "--run-id=first"]
    assert read_plates.run(pseudonymise(gate, output, key_file, *options)) is not None
    return tables_of(output), tables_of(f"{output}-restricted")


def tables_of(output: Path | str) -> Tables:
    (record,) = read_records(str(output))
    return Tables(Path(output), record)


def all_texts(folder: Path) -> Iterator[str]:
    """Every byte below a folder as text: of names and files, and of Parquet what is compressed."""
    for path in folder.rglob("*"):
        yield str(path.relative_to(folder))
        if path.is_file():
            yield path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            yield str(pq.read_table(path).to_pylist())
            footer = pq.read_metadata(path)
            yield str(footer.metadata)
            yield str([footer.row_group(n).to_dict() for n in range(footer.num_row_groups)])


def found_in(texts: Iterator[str], wanted: list[str]) -> set[str]:
    return {word for text in texts for word in wanted if word.lower() in text.lower()}


def sorted_rows(tables: Tables, table: str) -> list[dict[str, Any]]:
    """Rows by what is the same in both folders."""
    return sorted(
        tables.rows(table),
        key=lambda row: str([row.get(name) for name in ("read_id", "sha256", "milliseconds")]),
    )


def test_tokens_are_those_of_openssl(key_file: str) -> None:
    pseudonyms = Pseudonyms.from_file(key_file)
    # printf 'key_id\0' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef, and so on
    # with 'plate\0HK73PL', 'uri\0s3://b/HK73PL.jpg', 'read\0f00d'.
    assert pseudonyms.key_id == "4e814140"
    assert pseudonyms.plate("HK73PL") == "4e814140-4c228aa0524020f7cdfd7ecbb335a0f5"
    assert pseudonyms.uri("s3://b/HK73PL.jpg") == "4e814140-579669747b93228079d2636bb8f9faf4"
    assert pseudonyms.read("f00d") == "4e814140-9a158abc35e668cbb2197258eb6c4fe8"


@given(st.text(), st.text())
def test_plates_have_one_token_exactly_if_they_are_one_plate(
    key_file: str, one: str, other: str
) -> None:
    pseudonyms = Pseudonyms.from_file(key_file)
    same = normalise_text(one) == normalise_text(other)
    assert (pseudonyms.plate(one) == pseudonyms.plate(other)) == same
    assert (pseudonyms.uri(one) == pseudonyms.uri(other)) == (one == other)
    plate = normalise_text(one)
    assert pseudonyms.plate(f" {plate.lower()}-") == pseudonyms.plate(plate)


@given(value=st.from_regex(r"[A-Z0-9]{1,10}", fullmatch=True))
def test_what_a_token_is_of_and_by_which_key_changes_it(
    key_file: str, tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    other_file = Path(key_file).with_name("other.key")
    other_file.write_bytes(OTHER_KEY)
    one, other = Pseudonyms.from_file(key_file), Pseudonyms.from_file(str(other_file))
    tokens = [make(value) for key in (one, other) for make in (key.plate, key.uri, key.read)]
    assert len({token.partition("-")[2] for token in tokens}) == 6
    for token in tokens[:3]:
        assert re.fullmatch(rf"{one.key_id}-[0-9a-f]{{32}}", token)


def test_a_text_without_a_letter_or_digit_stays_unknown(key_file: str) -> None:
    assert Pseudonyms.from_file(key_file).plate("–·") == ""


def test_a_key_may_lie_in_any_store_and_end_with_a_line(
    street: Path, tmp_path: Path, key_file: str
) -> None:
    memory = fsspec.filesystem("memory")
    ids = set()
    for ending in (b"", b"\n", b"\r\n"):
        memory.pipe("/keys/plates.key", KEY + ending)
        ids.add(Pseudonyms.from_file("memory://keys/plates.key").key_id)
    assert ids == {Pseudonyms.from_file(key_file).key_id}
    options = ["--output", str(tmp_path / "out"), "--pseudonymise", "memory://keys/plates.key"]
    job = read_plates.prepare([str(street / "one.jpg"), *options, "--workers=2"])
    memory.rm("/keys", recursive=True)
    # Other processes could not see it.
    mode = job.pipeline.options.view_as(DirectOptions).direct_running_mode
    assert mode == "multi_threading"


def test_the_key_is_not_pickled(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    pseudonyms = Pseudonyms.from_file(str(tmp_path / "key"))
    token = pseudonyms.plate("HK73PL")  # by now it has the key
    carried = pickle.dumps(pseudonyms)
    assert KEY not in carried and KEY.decode() not in repr(pseudonyms)
    assert pickle.loads(carried).plate("HK73PL") == token
    (tmp_path / "key").write_bytes(OTHER_KEY)
    with pytest.raises(PseudonymError, match="holds another key than 4e814140"):
        pickle.loads(carried).plate("HK73PL")


@pytest.mark.parametrize(
    ("output", "beside"),
    [
        ("/data/tables", "/data/tables-restricted"),
        ("s3://bucket/tables", "s3://bucket/tables-restricted"),
        ("gs://bucket/a/b/", "gs://bucket/a/b-restricted"),
        ("zip://a/tables::s3://bucket/all.zip", "zip://a/tables-restricted::s3://bucket/all.zip"),
        ("simplecache::s3://bucket/tables", "simplecache::s3://bucket/tables-restricted"),
    ],
)
def test_the_restricted_folder_lies_beside_the_public_one(output: str, beside: str) -> None:
    assert restricted_folder(output) == beside
    assert public_folder(beside) == output.rstrip("/")
    assert public_folder(output) is None


@pytest.mark.parametrize("output", ["/", "s3://bucket", "gs://bucket/", "simplecache::s3://bucket"])
def test_beside_a_whole_bucket_lies_somebody_elses(output: str) -> None:
    with pytest.raises(PseudonymError, match="no folder beside it"):
        restricted_folder(output)


def test_no_byte_of_a_plate_or_uri_is_in_the_public_folder(
    gate: Path, key_file: str, pair: tuple[Tables, Tables]
) -> None:
    public, restricted = pair
    wanted = [*PLATES[:4], "north-gate", str(gate), key_file, KEY.decode(), "hk 73-PL"]
    assert found_in(all_texts(public.output), wanted) == set()
    # All the others are told where they belong.
    assert found_in(all_texts(restricted.output), wanted) == set(wanted) - {KEY.decode()}


def test_public_rows_are_the_restricted_ones_but_for_what_is_hidden(
    key_file: str, pair: tuple[Tables, Tables]
) -> None:
    public, restricted = pair
    tokens = Pseudonyms.from_file(key_file)
    for table, columns in {
        "images": {"uri", "source_version", "message"},
        "plates": {"uri", "text", "text_raw", "characters", "alternatives", "crop"},
        "truths": {"uri", "text"},
        "metrics": set(),
    }.items():
        rows = list(zip(sorted_rows(public, table), sorted_rows(restricted, table), strict=True))
        assert rows
        for shown, hidden in rows:
            for name in hidden.keys() - columns:
                assert shown[name] == hidden[name], name
            if "uri" in hidden:
                assert shown["uri"] == tokens.uri(hidden["uri"])
            for name in hidden.keys() & {"text", "text_raw"}:
                assert shown[name] == tokens.plate(hidden[name])
        assert {
            name for shown, hidden in rows for name in hidden if shown[name] != hidden[name]
        } == columns
    for row in public.rows("plates"):
        assert (row["edits"], row["characters"], row["alternatives"]) == ([], [], [])
        assert row["crop"] is None
    (failed,) = [row for row in public.rows("images") if row["message"]]
    assert failed["message"] == f"{failed['uri']}: decode/truncated"
    # Of a few plates the pairs of characters would tell the plates.
    assert public.rows("confusions") == [] != restricted.rows("confusions")


def test_every_text_column_is_hidden_or_known_to_be_harmless() -> None:
    shown = {
        "run_id",
        *("sha256", "format", "labels", "status", "stage", "reason"),
        *("image_sha256", "crop_sha256", "furthest_stage"),
    }
    hidden = {"uri", "read_id", "text", "text_raw", "message", "source_version"}
    hidden |= {"edits", "characters", "alternatives", "crop"}
    for table in ("images", "plates", "truths"):
        kinds = {field.name: field.type for field in SCHEMAS[table]}
        texts = {name for name, kind in kinds.items() if re.search("string|binary", str(kind))}
        assert texts <= shown | hidden


def test_equal_plates_can_be_counted_and_joined(key_file: str, pair: tuple[Tables, Tables]) -> None:
    public, restricted = pair
    tokens = Pseudonyms.from_file(key_file)
    texts = [row["text"] for row in public.rows("plates")]
    assert texts.count(tokens.plate("HK73PL")) == 2
    # One truth is spelt "hk 73-PL".
    assert [row["text"] for row in public.rows("truths")].count(tokens.plate("HK73PL")) == 2
    ids = [row["read_id"] for row in public.rows("plates")]
    assert len(set(ids)) == len(ids) == 4
    assert set(ids) == {row["read_id"] for row in restricted.rows("plates")}
    paired = {row["read_id"] for row in public.rows("truths")} - {None}
    assert paired <= set(ids) and len(paired) == 4


def test_both_records_tell_the_key_and_only_the_restricted_one_places(
    gate: Path, key_file: str, pair: tuple[Tables, Tables]
) -> None:
    public, restricted = (tables.record for tables in pair)
    assert public["pseudonyms"] == {"key_id": "4e814140", "restricted": False}
    assert restricted["pseudonyms"] == {"key_id": "4e814140", "restricted": True}
    assert restricted["options"]["inputs"] == [str(gate)]
    assert restricted["options"]["pseudonymise"] == key_file
    assert public["options"]["max_bytes"] == restricted["options"]["max_bytes"]
    assert not [value for value in public["options"].values() if isinstance(value, (str, list))]
    for name in ("counts", "state", "config", "run_id", "libraries"):
        assert public[name] == restricted[name]
    rows = [
        [(file["table"], file["rows"]) for file in one["files"]] for one in (public, restricted)
    ]
    assert [row for row in rows[0] if row[0] != "confusions"] == [
        row for row in rows[1] if row[0] != "confusions"
    ]


@pytest.fixture
def copies(pair: tuple[Tables, Tables], tmp_path: Path) -> tuple[Path, Path]:
    """Both folders of the run, free to be changed."""
    public, restricted = (
        Path(shutil.copytree(one.output, tmp_path / one.output.name)) for one in pair
    )
    return public, restricted


def test_another_run_adds_what_is_new_and_no_log_tells_a_plate(
    gate: Path,
    key_file: str,
    copies: tuple[Path, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    public, restricted = copies
    shutil.copy(gate / "HK73PL.jpg", tmp_path / "third-hk73pl.jpg")
    caplog.set_level(logging.DEBUG)
    options = pseudonymise(gate, public, key_file, "--keep-crops", "--run-id=second", "--resume")
    assert read_plates.main([str(tmp_path / "third-hk73pl.jpg"), *options]) == 0
    printed = capfd.readouterr()
    assert "5 pictures: 4 unchanged, 1 read" in printed.out
    assert f"pseudonyms of the key 4e814140, what they stand for in {restricted}" in printed.out
    assert any(record.levelno == logging.DEBUG for record in caplog.records)
    told = iter([printed.out, printed.err, caplog.text])
    assert found_in(told, [*PLATES, str(gate), KEY.decode()]) == set()
    assert found_in(all_texts(public), [*PLATES, str(gate), str(tmp_path)]) == set()
    first, second = (read_record(str(public), run_id) for run_id in ("first", "second"))
    assert first is not None and second is not None
    before, (added,) = (Tables(public, one).rows("plates") for one in (first, second))
    assert [row["text"] for row in before].count(added["text"]) == 2
    hidden = read_record(str(restricted), "second")
    assert hidden is not None
    assert [row["text"] for row in Tables(restricted, hidden).rows("plates")] == ["HK73PL"]


def test_a_run_counts_once_its_public_record_is_there(
    gate: Path,
    key_file: str,
    copies: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    public, restricted = copies
    written = []
    original = commit.write_record

    def write_record(record: dict[str, Any], output: str) -> None:
        written.append(output)
        if output == str(public):
            raise OSError("the disk is full")
        original(record, output)

    new = shutil.copy(gate / "HK73PL.jpg", public.parent / "new.jpg")
    monkeypatch.setattr(commit, "write_record", write_record)
    options = [str(new), *pseudonymise(gate, public, key_file, "--keep-crops", "--resume=version")]
    assert read_plates.main([*options, "--run-id=second"]) == 1
    assert "the disk is full" in capfd.readouterr().err
    assert written == [str(restricted), str(public)]
    assert read_record(str(restricted), "second") is not None
    monkeypatch.undo()
    again = read_plates.run([*options, "--run-id=third"])
    assert again is not None
    assert (again["counts"]["unchanged"], again["counts"]["read"]) == (4, 1)


def test_another_key_gives_other_tokens(
    street: Path,
    tmp_path: Path,
    pair: tuple[Tables, Tables],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "other.key").write_bytes(OTHER_KEY)
    arguments = [street / "one.jpg", street / "two.jpg", "--output", tmp_path / "out"]
    arguments += ["--pseudonymise", tmp_path / "other.key", "--workers=2", "--shards=1"]
    assert read_plates.main([*map(str, arguments), "--show-reads=1"]) == 0
    assert re.search(r"^one.jpg +HK73PL \d+ %$", capsys.readouterr().out, re.MULTILINE)
    public, restricted = tables_of(tmp_path / "out"), tables_of(tmp_path / "out-restricted")
    texts = {row["text"] for row in public.rows("plates")}
    assert len(texts) == 3
    assert texts.isdisjoint(row["text"] for row in pair[0].rows("plates"))
    assert {row["text"] for row in restricted.rows("plates")} == {"HK73PL", "WX482", "TE951"}
    for tables in (public, restricted):  # merged, and what was merged is gone
        assert {str(f.relative_to(tables.output)) for f in tables.output.rglob("*.parquet")} == {
            file["path"] for file in tables.record["files"]
        }


def test_an_output_folder_has_one_key_or_none(
    street: Path,
    tmp_path: Path,
    key_file: str,
    pair: tuple[Tables, Tables],
    capsys: pytest.CaptureFixture[str],
) -> None:
    public, restricted = (str(tables.output) for tables in pair)
    plain = tmp_path / "plain"
    (plain / "runs").mkdir(parents=True)
    # As runs were recorded before there were pseudonyms.
    old = {"format": "platebeam-run", "format_version": 2, "run_id": "old"}
    (plain / "runs" / "old.json").write_text(json.dumps(old))
    (tmp_path / "other.key").write_bytes(OTHER_KEY)
    other = ["--pseudonymise", str(tmp_path / "other.key")]
    same = ["--pseudonymise", key_file]
    of_key = "tables of the key 4e814140"
    for output, options, message in (
        (public, [], f"{public} holds public {of_key} and takes no tables without pseudonyms"),
        (public, other, f"{public} holds public {of_key} and takes no public tables of the key "),
        (restricted, [], f"{restricted} holds restricted {of_key} and takes no tables without"),
        (restricted, same, f"{restricted} holds restricted {of_key} and takes no public {of_key}"),
        (str(plain), same, f"{plain} holds tables without pseudonyms and takes no public {of_key}"),
    ):
        for resume in ([], ["--resume"]):
            arguments = [str(street / "one.jpg"), "--output", output, *options, *resume]
            assert read_plates.main(arguments) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith(f"platebeam read: {message}")
            assert line.endswith(": choose another --output")
    assert not Path(f"{restricted}-restricted").exists()


def test_a_restricted_folder_of_another_key_takes_nothing(
    street: Path, tmp_path: Path, pair: tuple[Tables, Tables]
) -> None:
    _, restricted = pair
    shutil.copytree(restricted.output, tmp_path / "out-restricted")
    (tmp_path / "other.key").write_bytes(OTHER_KEY)
    options = ["--output", str(tmp_path / "out"), "--pseudonymise", str(tmp_path / "other.key")]
    with pytest.raises(read_plates.OptionError, match="out-restricted holds restricted tables"):
        read_plates.prepare([str(street / "one.jpg"), *options])


@pytest.mark.parametrize(
    ("key", "output", "message"),
    [
        (None, "out", "cannot read the key file {file}: No such file"),
        (b"secret-sec\n", "out", "{file} holds 10 bytes, a key has at least 32: make one with"),
        (KEY[:31] + b"\n", "out", "{file} holds 31 bytes"),
        (KEY, ".", "{file} is in the public folder: keep the key elsewhere"),
        (KEY, "s3://bucket", "s3://bucket has no folder beside it: choose one inside it"),
    ],
)
def test_keys_and_folders_that_cannot_be_used_end_the_job_before_any_work(
    street: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    key: bytes | None,
    output: str,
    message: str,
) -> None:
    file = tmp_path / "plates.key"
    if key is not None:
        file.write_bytes(key)
    place = output if "://" in output else str(tmp_path / output)
    options = ["--output", place, "--pseudonymise", str(file)]
    assert read_plates.main([str(street / "one.jpg"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"platebeam read: {message.format(file=file)}")
    assert "sec" not in line.partition(": make one")[0].replace(str(tmp_path), "")
    assert [path.name for path in tmp_path.rglob("*") if path != file] == []


def test_a_bucket_has_both_folders_and_no_log_tells_a_plate(
    bucket: Bucket,
    gate: Path,
    key_file: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    uri = bucket.put(gate)
    bucket.fs.pipe_file(f"{bucket.uri}/keys/plates.key", KEY)
    caplog.set_level(logging.DEBUG)
    output = f"{bucket.uri}/tables"
    options = ["--output", output, "--pseudonymise", f"{bucket.uri}/keys/plates.key"]
    arguments = [uri, "--truth", f"{uri}/truth.csv", *options, "--workers=1"]
    assert read_plates.main(arguments) == 0
    printed = capfd.readouterr()
    told = iter([printed.out, printed.err, caplog.text])
    assert found_in(told, [*PLATES, KEY.decode(), *bucket.secrets]) == set()
    for folder, wanted in (("tables", set()), ("tables-restricted", {*PLATES[:4], uri})):
        bucket.fs.get(f"{bucket.uri}/{folder}", str(tmp_path / folder), recursive=True)
        assert found_in(all_texts(tmp_path / folder), [*PLATES, uri]) == wanted


def test_whoever_has_the_key_can_ask_for_a_plate(
    key_file: str, tmp_path: Path, pair: tuple[Tables, Tables]
) -> None:
    public, _ = pair
    token = pseudonyms_of([public.record], key_file).plate("hk73pl")
    assert sum(row["text"] == token for row in public.rows("plates")) == 2
    (tmp_path / "other").write_bytes(OTHER_KEY)
    with pytest.raises(PseudonymError, match="run first is pseudonymised with the key 4e814140"):
        pseudonyms_of([public.record], str(tmp_path / "other"))
    with pytest.raises(PseudonymError, match="run r is not pseudonymised"):
        pseudonyms_of([{"run_id": "r"}], key_file)
