"""What `platebeam query` answers, in which form, and what it cannot be brought to do."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import query
from pipelines.cli import READER_GONE
from pipelines.commit import RunPlan, make_record, utc_now
from pipelines.plate_search import plate_distance
from pipelines.pseudonyms import Pseudonyms
from pipelines.run_record import write_record
from pipelines.schemas import SCHEMAS
from pipelines.tables import Run, write_table

from .conftest import Bucket

Row = dict[str, Any]
Ask = Callable[..., list[Row]]

NO_BOX = {"x": 0.0, "y": 0.0, "width": 0.0, "height": 0.0}

# Pictures by their name: day of capture, label, status, and plates as
# (text read, text seen, confidence, alternatives).
PICTURES: dict[str, tuple[str | None, dict[str, str], str, list[tuple[Any, ...]]]] = {
    "a.jpg": ("2025-01-30T08:00", {"gate": "north"}, "read", [("AB123CD", "AB123CD", 0.9, [])]),
    "b.jpg": (
        "2025-01-31T23:59",
        {"gate": "south"},
        "read",
        [
            # One confusion away; the reader thought of AB123CD too.
            ("A8123CD", "A8123CD", 0.7, [("A8123CD", 0.7), ("AB123CD", 0.25)]),
            ("XY987", "XY987", 0.99, []),
        ],
    ),
    "c.jpg": (
        "2025-02-01T00:00",
        {"gate": "south", "it's": "50 %"},
        "read",
        # One character too many, and it never thought of AB123CD.
        [("AB1123CD", "AB1123CD", 0.6, [("AB1123CD", 0.6)])],
    ),
    # Nothing was read, but AB123C seen, which is one character short.
    "d.jpg": (None, {}, "unreadable", [(None, "AB123C", 0.1, [("AB123CD", 0.05)])]),
    "e.jpg": (None, {}, "failed", []),
}


def commit(folder: str, pseudonyms: Pseudonyms | None = None) -> str:
    """Commit PICTURES as the run "hand"; with pseudonyms their public tables."""
    run = Run("hand", folder, "b", "c")
    images: list[Row] = []
    plates: list[Row] = []
    for name, (captured_at, labels, status, found) in PICTURES.items():
        failed = status == "failed"
        row = dict.fromkeys(SCHEMAS["images"].names)
        row |= {"run_id": "hand", "uri": name, "labels": labels, "status": status}
        row |= {"plates_found": len(found), "plates_read": sum(one[0] is not None for one in found)}
        row |= {"milliseconds": {}, "captured_at": captured_at and query._since(captured_at)}
        row |= {"stage": "load" if failed else None, "reason": "not_found" if failed else None}
        images.append(row | {"message": "e.jpg: no such file" if failed else None})
        for index, (text, seen, confidence, alternatives) in enumerate(found):
            plate = dict.fromkeys(SCHEMAS["plates"].names)
            plate |= {"run_id": "hand", "read_id": f"{name}-{index}", "uri": name, "index": index}
            plate |= {"image_sha256": "", "status": "read" if text else "unreadable"}
            plate |= {"text": text, "text_raw": seen, "edits": [], "confidence": confidence}
            plate |= {"detection_score": 1.0, "corners": [], "box": NO_BOX, "characters": []}
            likely = [{"text": other, "probability": share} for other, share in alternatives]
            plates.append(plate | {"alternatives": likely, "crop_sha256": "", "crop": b"P5"})
    rows = {"images": images, "plates": plates}
    if pseudonyms is not None:
        rows = {table: list(map(pseudonyms.public_row, some)) for table, some in rows.items()}
    files = [write_table(table, rows.get(table, []), run) for table in SCHEMAS]
    plan = RunPlan(run, utc_now(), 0, 1.0, {"name": "b", "sha256": ""}, {"sha256": ""}, {}, "0")
    plan = plan if pseudonyms is None else pseudonyms.public_plan(plan)
    write_record(make_record(plan, Counter(), [], files), folder)
    return folder


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The output folder of PICTURES."""
    return commit(str(tmp_path_factory.mktemp("hand")))


@pytest.fixture
def ask(hand: str, capfdbinary: pytest.CaptureFixture[bytes]) -> Ask:
    """Ask the command, and get the rows of its answer."""

    def rows(*question: str) -> list[Row]:
        capfdbinary.readouterr()
        assert query.main([hand, *question, "--format=json"]) == 0
        printed = capfdbinary.readouterr()
        assert not printed.err
        answer: list[Row] = json.loads(printed.out)
        return answer

    return rows


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that says why a question is not asked."""
    try:
        status = query.main(list(arguments))
    except SystemExit as stop:
        status = int(str(stop.code))
    printed = capsys.readouterr()
    assert status == 2
    assert not printed.out
    *usage, line = printed.err.splitlines()
    assert all(before.startswith(("usage:", " ")) for before in usage)
    return line.removeprefix("platebeam query: ").removeprefix("error: ")


@pytest.mark.parametrize(
    ("question", "pictures"),
    [
        (["--plate", "AB123CD"], "a"),
        (["--plate", "ab-123 cd"], "a"),  # as plates are written
        (["--plate", "AB?23CD"], "a"),
        (["--plate", "A?1*"], "abc"),
        (["--plate", "*7"], "b"),
        (["--plate", "AB123"], ""),
        (["--plate", "A[B8]123CD"], ""),  # brackets are no letters: AB8123CD
        (["--plate", "*", "--min-confidence", "0.7"], "abb"),
        (["--min-confidence", "0.9"], "ab"),
        (["--since", "2025-01-31"], "bbc"),
        (["--until", "2025-01-31"], "abb"),
        (["--until", "20250131"], "abb"),
        (["--until", "2025-01-31T23:59"], "a"),
        (["--since", "2025-01-31T23:59", "--until", "2025-02-01T00:00"], "bb"),
        (["--since", "2025-02-01T02:00+02:00"], "c"),  # midnight UTC
        (["--since", "2025-02-01T00:00Z"], "c"),
        (["--slice", "gate=south"], "bbc"),
        (["--slice", "gate=south", "--slice", "it's=50 %"], "c"),
        (["--slice", "gate=south", "--plate", "X*"], "b"),
        (["--slice", "all", "--plate", "X*"], "b"),
        (["--slice", "gate="], ""),
        (["--status", "unreadable", "--min-confidence", "0"], "d"),
        (["--run", "hand", "--plate", "X*"], "b"),
    ],
)
def test_ready_questions_combine(ask: Ask, question: list[str], pictures: str) -> None:
    assert "".join(sorted(row["uri"][0] for row in ask(*question))) == pictures


def test_a_plate_is_told_with_its_picture(ask: Ask) -> None:
    assert ask("--plate", "XY987") == [
        {
            "text": "XY987",
            "confidence": 0.99,
            "status": "read",
            "captured_at": "2025-01-31 23:59:00",
            "uri": "b.jpg",
            "read_id": "b.jpg-1",
            "run_id": "hand",
        }
    ]


def test_pictures_are_asked_by_status(ask: Ask) -> None:
    assert ask("--status", "failed") == [
        {
            "uri": "e.jpg",
            "stage": "load",
            "reason": "not_found",
            "message": "e.jpg: no such file",
            "captured_at": None,
            "run_id": "hand",
        }
    ]
    found = ask("--status", "read", "--slice", "gate=south")
    assert [(row["uri"], row["plates_found"]) for row in found] == [("b.jpg", 2), ("c.jpg", 1)]


def test_similar_plates_come_the_most_probable_first(ask: Ask) -> None:
    found = ask("--like", "AB 123 CD", "--distance", "1")
    told = [(row["uri"], row["probability"], row["distance"]) for row in found]
    assert told == [
        ("a.jpg", 0.9, 0.0),  # read as that: its confidence
        ("b.jpg", 0.25, 0.5),  # an alternative of that probability
        ("d.jpg", 0.05, 1.0),
        ("c.jpg", None, 1.0),  # no alternative: less than any that is kept
    ]
    assert [row["uri"] for row in ask("--like", "AB123CD", "--distance", "0.5")] == [
        "a.jpg",
        "b.jpg",
    ]
    assert [row["uri"] for row in ask("--like", "AB123CD", "--distance", "0")] == ["a.jpg"]
    assert [row["uri"] for row in ask("--like", "AB123CD", "--min-confidence", "0.7")] == [
        "a.jpg",
        "b.jpg",
    ]


PLATES = st.text("0O8BA1", min_size=1, max_size=7)


@settings(max_examples=30)
@given(st.lists(PLATES, min_size=1, max_size=40), PLATES, st.sampled_from([0, 0.5, 1, 2]))
def test_the_search_finds_what_comparing_with_every_plate_finds(
    texts: list[str], asked: str, within: float
) -> None:
    import duckdb

    database = duckdb.connect()
    table = pa.table({"text": pa.array([None, *texts[1:]], pa.string()), "text_raw": texts})
    database.register("plates", table)
    found = query.near_texts(database, asked, within).to_pylist()
    assert {row["near_text"]: row["distance"] for row in found} == {
        text: plate_distance(asked, text) for text in texts if plate_distance(asked, text) <= within
    }
    database.close()


def test_sql_is_answered(ask: Ask) -> None:
    sql = "WITH a AS (FROM plates) SELECT count(*) AS n, sum(plates_read) AS s FROM a, images"
    assert ask("--sql", f"{sql};") == [{"n": 25, "s": 20}]  # 5 plates, 5 pictures with 4 read ones
    nested = (
        "SELECT labels, alternatives, crop FROM plates JOIN images USING (uri) WHERE uri[1]='c'"
    )
    assert ask("--sql", nested) == [
        {
            "labels": {"gate": "south", "it's": "50 %"},
            "alternatives": [{"text": "AB1123CD", "probability": 0.6}],
            "crop": "UDU=",  # base64 of P5
        }
    ]


@pytest.mark.parametrize("form", ["table", "markdown", "csv", "json"])
def test_every_form_tells_the_text_of_an_enum(
    hand: str, capfdbinary: pytest.CaptureFixture[bytes], form: str
) -> None:
    sql = "SELECT 'blurred'::ENUM('sharp', 'blurred') AS x"
    assert query.main([hand, "--format", form, "--sql", sql]) == 0
    assert b"blurred" in capfdbinary.readouterr().out


def test_without_a_question_the_views_are_told(ask: Ask) -> None:
    views = {row["view"]: row["columns"] for row in ask()}
    assert list(views) == list(query.VIEWS)
    assert views["truths"].startswith("run_id, uri, index, text, box")


@pytest.mark.parametrize(
    "sql",
    [
        "COPY plates TO '{0}/stolen.csv'",
        "ATTACH '{0}/stolen.db'",
        "CREATE TABLE t AS FROM plates",
        "INSERT INTO runs SELECT * FROM runs",
        "DELETE FROM plates",
        "SET memory_limit = '1TB'",
        "PRAGMA version",
        "INSTALL httpfs",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT 1; COPY plates TO '{0}/stolen.csv'",
        "SELECT 1; DROP VIEW plates",
        "PIVOT plates ON status USING count(*)",
        "",
        "-- nothing",
    ],
)
def test_only_one_select_is_run(
    hand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str
) -> None:
    line = refused(capsys, hand, "--sql", sql.format(tmp_path))
    assert line == "--sql takes one SELECT statement and nothing else"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"'),
        ("FROM plate", "Catalog Error: Table with name plate does not exist!"),
        ("SELECT texts FROM plates", 'Binder Error: Referenced column "texts" not found in FROM'),
        ("FROM '/etc/passwd'", "Catalog Error: "),
        ("FROM read_text('/etc/passwd')", "Permission Error: Cannot access file"),
        ("SELECT $1 FROM plates", "Invalid Input Error at a value that is not shown"),
        # DuckDB's own messages quote the plate.
        ("SELECT text::INT FROM plates", "Conversion Error at a value that is not shown"),
        ("SELECT error(text) FROM plates", "Invalid Input Error at a value that is not shown"),
        (  # when some batches have been read already
            "SELECT if(i > 3000000, error('AB123CD'), i) FROM range(4000000) t(i)",
            "Invalid Input Error at a value that is not shown",
        ),
    ],
)
def test_what_duckdb_says_is_a_line_without_a_plate(
    hand: str, capsys: pytest.CaptureFixture[str], sql: str, line: str
) -> None:
    told = refused(capsys, hand, "--format", "csv", "--output", os.devnull, "--sql", sql)
    assert told.startswith(line)
    assert "AB123CD" not in told


@pytest.mark.parametrize("damage", [None, b"", b"PAR1 and no more"])
def test_a_lost_or_damaged_file_is_named(
    hand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: bytes | None
) -> None:
    copy = Path(shutil.copytree(hand, tmp_path / "copy"))
    (first,) = copy.glob("plates/*.parquet")
    record = json.loads((copy / "runs" / "hand.json").read_text())
    (entry,) = (file for file in record["files"] if file["table"] == "plates")
    second = first.with_name("second.parquet")
    record["files"].append({**entry, "path": "plates/second.parquet"})
    (copy / "runs" / "hand.json").write_text(json.dumps(record))
    for damaged, other in ((first, second), (second, first)):  # DuckDB opens the second later
        shutil.copy(next(Path(hand).glob("plates/*.parquet")), other)
        damaged.unlink(missing_ok=True)
        if damage is not None:
            damaged.write_bytes(damage)
        assert str(damaged) in refused(capsys, str(copy), "--plate", "AB123CD")


def test_a_file_of_another_table_is_told(
    hand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(hand, tmp_path / "copy"))
    (plates,), (images,) = copy.glob("plates/*.parquet"), copy.glob("images/*.parquet")
    shutil.copy(images, plates)
    assert refused(capsys, str(copy), "--plate", "AB123CD").startswith("table plates: ")


INJECTIONS = [
    "' OR '1'='1",
    "x' UNION SELECT 1 --",
    "'; DROP VIEW plates; --",
    '" OR 1=1 --',
    "$plate",
]


def test_a_plate_is_found_by_the_key_of_its_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {}
    for name in ("own", "other"):
        keys[name] = str(tmp_path / name)
        Path(keys[name]).write_bytes(base64.b64encode(name.encode() * 32))
    pseudonyms = Pseudonyms.from_file(keys["own"])
    folder = commit(str(tmp_path / "tables"), pseudonyms)
    found = [folder, "--plate", "xy-987", "--key", keys["own"], "--format", "json"]
    assert query.main(found) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["uri"], row["text"]) == (pseudonyms.uri("b.jpg"), pseudonyms.plate("XY987"))
    for question, line in (
        (["--plate", "XY987"], "these tables hold tokens of plates: give --key"),
        (["--plate", "XY987", "--key", keys["other"]], "run hand is pseudonymised with the key"),
        (["--plate", "XY*", "--key", keys["own"]], "a token tells no part of its plate"),
        (["--like", "XY987", "--key", keys["own"]], "tokens of similar plates are not similar"),
    ):
        told = refused(capsys, folder, *question)
        assert line in told and "XY987" not in told


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("option", ["--plate", "--like", "--slice", "--run", "--since", "--status"])
def test_what_is_looked_for_never_becomes_sql(
    hand: str, capsys: pytest.CaptureFixture[str], option: str, text: str
) -> None:
    given = f"{text}={text}" if option == "--slice" else text
    if option in ("--plate", "--like", "--slice"):
        assert query.main([hand, option, given, "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out) == []
    else:
        assert refused(capsys, hand, option, given)


def test_a_pattern_with_wildcards_is_no_sql_either(ask: Ask) -> None:
    assert ask("--plate", "*' OR '1'='1") == []
    assert ask("--plate", "*%*") == ask("--plate", "**")  # % is no wildcard here


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--plate", "-"], "argument --plate: it has no letter, digit or wildcard"),
        (["--like", "*"], "argument --like: it has no letter and no digit"),
        (["--like", "AB1", "--distance", "3"], "--distance: so far from that of --like is any"),
        (["--like", "AB1", "--distance", "-1"], "argument --distance: '-1' is no number from 0"),
        (["--like", "AB1", "--distance", "nan"], "argument --distance: 'nan' is no number from 0"),
        (["--min-confidence", "95"], "argument --min-confidence: '95' is no number from 0 to 1"),
        (["--since", "yesterday"], "argument --since: 'yesterday' is no time such as 2025-01-31"),
        (["--since", "1712101412345"], "argument --since: '1712101412345' is no time such as"),
        (["--since", "0001-01-01T00:00+23:00"], "in UTC is no time of the years 1 to 9999"),
        (["--distance", "1", "--plate", "AB1"], "--distance is for a --like"),
        (["--key", "plates.key"], "--key is for a --plate"),
        (["--output", "foo://x.csv"], "cannot write foo://x.csv: Protocol not known"),
        (["--form", "csv", "--fast=AB1"], "there is no option --fast"),
        (["--until", "9999-12-31"], "argument --until: '9999-12-31' is too late"),
        (["--since", "2025-02-01", "--until", "2025-01-01"], "--until is before --since"),
        (["--slice", "gate"], "argument --slice: 'gate' is no LABEL=VALUE"),
        (["--status", "lost"], "argument --status: invalid choice: 'lost'"),
        (["--limit", "0"], "argument --limit: '0' is no number from 1 on"),
        (["--sql", "FROM runs", "--min-confidence", "0"], "--sql stands alone: --min-confidence"),
        (["--run", "last"], "has no run last"),
        (["--output", "/dev/null/x.csv"], "cannot write /dev/null/x.csv"),
    ],
)
def test_bad_options_are_told_in_a_line(
    hand: str, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert line in refused(capsys, hand, *arguments)


def test_an_answer_that_a_full_disk_cuts_is_told_in_a_line(
    hand: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.suppress(OSError), open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert query.main([hand, "--plate", "XY987"]) == 2
    assert capsys.readouterr().err.startswith("platebeam query: cannot write the answer: ")


def test_the_rest_of_a_plate_is_not_told(hand: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, hand, "--plate", "AB", "123", "CD")
    assert told == "too many arguments: a text with spaces needs quotes"


def test_answers_are_written_beside_the_tables(
    hand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = f"{hand}/plates/found.parquet"
    told = refused(capsys, hand, "--plate", "XY987", "--output", inside)
    assert told == f"--output {inside} is in {hand}: name a folder outside it"
    assert not Path(inside).exists()
    deep = tmp_path / "new" / "folder" / "found.csv"
    assert query.main([hand, "--plate", "XY987", "--output", str(deep)]) == 0
    assert "b.jpg-1" in deep.read_text()


@pytest.mark.parametrize(
    ("form", "value"),
    [("csv", "[TIMESTAMP '200000-01-01 00:00:00']"), ("parquet", "union_value(a := 1)")],
)
def test_what_a_form_cannot_hold_is_told_without_it(
    hand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, value: str
) -> None:
    to = ["--format", form, "--output", str(tmp_path / "answer")]
    told = refused(capsys, hand, *to, "--sql", f"SELECT {value} AS x")
    assert told == f"--format {form} cannot hold that answer"


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_columns_of_one_name_are_refused_where_one_would_hide_the_other(
    hand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    answer = tmp_path / "answer"
    to = ["--format", form, "--output", str(answer)]
    told = refused(capsys, hand, *to, "--sql", "SELECT 1 AS a, 2 AS a")
    assert told == f"--format {form}: two columns are called a: use AS"
    assert not answer.exists()


def test_json_is_json_whatever_the_numbers_are(
    hand: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sql = "SELECT 'NaN'::DOUBLE AS a, ['Infinity'::DOUBLE, 1.5] AS b, {'c': '-inf'::FLOAT} AS d"
    assert query.main([hand, "--format", "json", "--sql", sql]) == 0
    strict = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert strict == [{"a": None, "b": [None, 1.5], "d": {"c": None}}]


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
def test_intervals_are_texts(hand: str, tmp_path: Path, form: str) -> None:
    answer = tmp_path / "answer"
    sql = 'SELECT INTERVAL 90 SECOND AS "it""s", 1 AS one'
    assert query.main([hand, "--format", form, "--output", str(answer), "--sql", sql]) == 0
    if form == "parquet":
        assert pq.read_table(answer).to_pylist() == [{'it"s': "00:01:30", "one": 1}]
    else:
        assert "00:01:30" in answer.read_text()


def test_times_are_told_in_utc_wherever_one_asks(
    hand: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    for zone in ("Asia/Tokyo", "UTC"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert query.main([hand, "--sql", "SELECT started_at::VARCHAR, started_at FROM runs"]) == 0
        told.append(capsys.readouterr().out)
    monkeypatch.undo()
    time.tzset()
    assert told[0] == told[1]


def test_tables_inside_of_an_archive_are_to_be_unpacked(
    hand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = shutil.make_archive(str(tmp_path / "hand"), "zip", hand)
    assert refused(capsys, f"zip://::{packed}") == (
        f"zip://::{packed} is inside of an archive: unpack it first"
    )


def test_parquet_is_not_for_a_terminal(
    hand: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "is not for a terminal" in refused(capsys, hand, "--format", "parquet")


def test_every_form_tells_the_same(hand: str, tmp_path: Path) -> None:
    sql = "SELECT text, confidence, captured_at, labels FROM plates JOIN images USING (uri)"
    sql += " WHERE uri[1] IN ('c', 'd') ORDER BY uri"
    forms = {}
    for suffix in ("csv", "json", "parquet", "md"):  # which says the form
        file = tmp_path / f"answer.{suffix}"
        assert query.main([hand, "--sql", sql, "--output", str(file)]) == 0
        forms[suffix] = file.read_bytes()
    labels = {"gate": "south", "it's": "50 %"}
    assert pq.read_table(io.BytesIO(forms["parquet"])).to_pylist(maps_as_pydicts="strict") == [
        {
            "text": "AB1123CD",
            "confidence": 0.6,
            "captured_at": query._since("2025-02-01"),
            "labels": labels,
        },
        {"text": None, "confidence": 0.1, "captured_at": None, "labels": {}},
    ]
    first, second = json.loads(forms["json"])
    assert (first["text"], first["captured_at"], first["labels"]) == (
        "AB1123CD",
        "2025-02-01 00:00:00",
        labels,
    )
    assert (second["text"], second["captured_at"]) == (None, None)
    first, second = csv.DictReader(forms["csv"].decode().splitlines())
    assert (first["text"], float(first["confidence"])) == ("AB1123CD", 0.6)
    assert json.loads(first["labels"]) == labels
    assert second["text"] == ""
    head, _, line, _ = forms["md"].decode().splitlines()
    assert [cell.strip() for cell in head.split("|")[1:-1]] == [
        *pq.read_schema(io.BytesIO(forms["parquet"])).names
    ]
    assert [cell.strip() for cell in line.split("|")[1:3]] == ["AB1123CD", "0.6"]


def test_a_table_shows_plates_that_look_like_numbers_and_steers_no_terminal(
    hand: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sql = "SELECT '12E5' AS a, '007' AS b, chr(27) || '[2J' || chr(10) AS c, NULL AS d, 'x|y' AS a"
    assert query.main([hand, "--sql", sql]) == 0
    *_, line = capsys.readouterr().out.splitlines()
    assert line.split() == ["12E5", "007", r"\x1b[2J\n", "x|y"]
    assert query.main([hand, "--sql", sql, "--format", "markdown"]) == 0
    assert r"x\|y" in capsys.readouterr().out


@pytest.mark.parametrize(("rows", "cut"), [(1000, False), (1001, True), (5000, True)])
def test_a_table_that_is_cut_says_so(
    hand: str, capsys: pytest.CaptureFixture[str], rows: int, cut: bool
) -> None:
    assert query.main([hand, "--sql", f"FROM range({rows})"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2 + 1000
    assert ("these are the first 1000 rows; --limit or another" in printed.err) == cut


def test_long_answers_end_where_they_are_told_to(
    hand: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sql = ["--sql", "SELECT i FROM range(25000) t(i)"]
    for rows in (1, 1500, 10_000, 10_001, 25_000, 30_000):
        assert query.main([hand, *sql, "--limit", str(rows), "--format", "csv"]) == 0
        printed = capsys.readouterr()
        assert len(printed.out.splitlines()) == 1 + min(rows, 25_000)
        assert not printed.err
    assert query.main([hand, "--plate", "NONE"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_reader_that_has_had_enough_gets_no_error(hand: str) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "query", hand, "--format=csv", "--sql"]
    asking = subprocess.Popen(
        [*command, "FROM range(9000000)"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert asking.stdout is not None and asking.stderr is not None
    asking.stdout.readline()
    asking.stdout.close()
    assert asking.stderr.read() == b""
    assert asking.wait() == READER_GONE


def test_asking_needs_no_beam(hand: str) -> None:
    code = "import sys; from pipelines import query; query.main(sys.argv[1:]); "
    code += "sys.exit('apache_beam' in sys.modules)"
    command = [sys.executable, "-c", code, hand, "--plate", "XY987"]
    assert b"b.jpg-1" in subprocess.run(command, check=True, capture_output=True).stdout


def test_a_bucket_is_asked(
    bucket: Bucket, hand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bucket.put(Path(shutil.copytree(hand, tmp_path / "tables")))
    for question in (["--plate", "AB123CD"], ["--like", "AB123CD"], ["--status", "failed"], []):
        assert query.main([hand, *question, "--format", "json"]) == 0
        local = capsys.readouterr().out
        assert query.main([folder, *question, "--format", "json"]) == 0
        assert capsys.readouterr().out == local
    assert query.main([folder, "--plate", "XY987", "--output", f"{bucket.uri}/answer.csv"]) == 0
    assert b"b.jpg-1" in bucket.fs.cat_file(f"{bucket.uri}/answer.csv")
    written = {path.rpartition("/")[2] for path in bucket.fs.find(bucket.uri)}
    assert written == {"answer.csv", *(file.name for file in Path(hand).rglob("*.*"))}
