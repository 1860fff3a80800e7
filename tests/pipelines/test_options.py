"""Options, checked without running a job, and the ways in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

import lpr_core
from lpr_core.bundle import FORMAT, FORMAT_VERSION, MANIFEST
from pipelines import cli, progress, read_plates


def prepare(street: Path, output: Path | str, *more: str) -> read_plates.Job:
    return read_plates.prepare([str(street), "--output", str(output), *more])


def test_the_local_runner_is_the_in_process_one(street: Path, tmp_path: Path) -> None:
    names = ("DirectRunner", "directrunner", "direct", "FnApiRunner", "fnapirunner")
    names += ("apache_beam.runners.portability.fn_api_runner.FnApiRunner",)
    for given in ([], *([f"--runner={name}"] for name in names)):
        job = prepare(street, tmp_path, "--workers=2", *given)
        assert job.is_local
        assert job.pipeline.options.view_as(StandardOptions).runner == "FnApiRunner"
        assert job.pipeline.options.view_as(DirectOptions).direct_num_workers == 2
        mode = job.pipeline.options.view_as(DirectOptions).direct_running_mode
        assert mode == "multi_processing"
    one = prepare(street, tmp_path, "--workers=1").pipeline.options.view_as(DirectOptions)
    assert (one.direct_num_workers, one.direct_running_mode) == (1, "in_memory")
    shared = prepare(street, "memory://tables", "--workers=2")  # other processes cannot see it
    mode = shared.pipeline.options.view_as(DirectOptions).direct_running_mode
    assert mode == "multi_threading"


def test_another_runner_gets_every_option_as_it_is(street: Path, tmp_path: Path) -> None:
    given = ["--runner=FlinkRunner", "--flink_master=localhost:8081", "--some_new_option=3"]
    job = prepare(street, tmp_path, *given)
    assert not job.is_local
    options = job.pipeline.options.get_all_options(drop_default=True, retain_unknown_options=True)
    assert options["runner"] == "FlinkRunner"
    assert options["flink_master"] == "localhost:8081"
    assert options["some_new_option"] == "3"
    assert "direct_num_workers" not in options


def test_the_plan_names_the_run_and_what_reads_it(street: Path, tmp_path: Path) -> None:
    plan = prepare(street, tmp_path, "--run-id=r7", "--min-confidence=0.4").plan
    assert plan.run.run_id == "r7"
    assert plan.config["min_confidence"] == 0.4
    assert plan.config["sha256"] == plan.run.config_sha256
    assert plan.bundle["sha256"] == plan.run.bundle_sha256
    assert plan.config["layouts"] == ()
    bundle = Path(lpr_core.__file__).parent / "bundles" / "default"
    assert plan.bundle["location"] is None
    given = prepare(street, tmp_path, f"--bundle={os.path.relpath(bundle)}").plan
    assert given.bundle["location"] == str(bundle)  # a record is read from other folders too
    hashes = {plan.run.config_sha256}
    for more in ("--min-confidence=0.5", "--layouts=eu", "--layouts=eu,us-ca"):
        other = prepare(street, tmp_path, "--min-confidence=0.4", more).plan
        assert other.run.config_sha256 not in hashes
        hashes.add(other.run.config_sha256)
    assert other.run.run_id != plan.run.run_id
    given = ("--min-confidence=0.4", "--layouts=us-ca,eu,us-ca")  # in another order, the same
    assert prepare(street, tmp_path, *given).plan.run.config_sha256 == other.run.config_sha256


FLINK = ("{street}", "--output={out}", "--runner=FlinkRunner", "--flink_master=localhost:1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{street}"], "--output"),
        (["--output={out}"], "INPUT"),
        (["{street}/absent", "--output={out}"], "no such file or folder"),
        (["{empty}", "--output={out}"], "no picture in it"),
        (
            ["{street}", "--output={out}", "--truth={street}/notes.txt"],
            "no column image, x, y, w, h, text",
        ),
        (["{street}", "--output={out}", "--truth={street}/absent.csv"], "absent.csv"),
        (["{street}", "--output={street}/notes.txt/out"], "cannot write to"),
        (["{street}", "--output={out}", "--bundle={empty}"], "manifest.json"),
        (["{street}", "--output={out}", "--bundle={street}/absent"], "no bundle folder"),
        (["{street}", "--output={out}", "--workers=0"], "'0' is no number from 1 on"),
        (["{street}", "--output={out}", "--workers=two"], "'two' is no number from 1 on"),
        (["{street}", "--output={out}", "--detector=magic"], "invalid choice"),
        (["{street}", "--output={out}", "--reader=magic"], "invalid choice"),
        (["{street}", "--output={out}", "--layouts=br,magic"], "no layout 'magic': choose from eu"),
        (
            ["{street}", "--output={out}", "--bundle={modelless}", "--detector=contour"],
            "no reader model for litert: choose another bundle",
        ),
        (
            ["{street}", "--output={out}", "--bundle={modelless}", "--detector=heatmap"],
            "no detector model for litert: choose another bundle",
        ),
        (["{street}", "--output={out}", "--min-confidence=1.5"], "no number from 0 to 1"),
        (["{street}", "--output={out}", "--max-failure-rate=-1"], "no number from 0 to 1"),
        (["{street}", "--output={out}", "--max-bytes=0"], "no number from 1 on"),
        (["{street}", "--output={out}", "--max-bytes=1000000000000"], "bytes can be allowed"),
        (["{street}", "--output={out}", "--image-timeout=0"], "from 0.001 to 86400"),
        (["{street}", "--output={out}", "--image-timeout=3000000"], "from 0.001 to 86400"),
        (["{street}", "--output={out}", "--show-reads=-3"], "no number from 0 on"),
        (["{street}", "--output={out}", "--max-pixels=1000000000000"], "pixels can be allowed"),
        (["{street}", "--output={out}", "--runner=QuickRunner"], "QuickRunner"),
        (["{street}", "--output={out}", "--runner=no.such.Runner"], "No module named 'no'"),
        (["{street}", "--output={out}", "--type_check_additional=foo"], "type_check_additional"),
        (["{street}", "--output={out}", "--run-id=../r"], "letters, digits"),
        (["{street}", "--output={out}", "--min-confidance=0.5"], "--min-confidance=0.5"),
        (["{street}", "--output={out}", "{street}/more.jpg"], "more.jpg"),
        ([*FLINK, "--pseudonymize=k"], "--pseudonymize=k is no option: is --pseudonymise meant?"),
        ([*FLINK, "--anonymise=k"], "--anonymise=k is no option: is --pseudonymise meant?"),
        ([*FLINK, "--keep_crops"], "--keep_crops is no option: is --keep-crops meant?"),
        ([*FLINK, "--shard", "20"], "--shard is no option: is --shards meant?"),
        (["", "--output={out}"], "argument INPUT: it is empty"),
        (["{street}", "--output="], "argument --output: it is empty"),
        (["{street}", "--output={out}", "--bundle= "], "argument --bundle: it is empty"),
        (["{street}", "--output={out}", "--truth="], "argument --truth: it is empty"),
        (["{street}", "--output={out}", f"--run-id={'é' * 101}"], "longer than 200 bytes"),
    ],
)
def test_bad_options_end_with_status_2_and_one_line_before_any_work(
    street: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    for name in ("empty", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    out = tmp_path / "out"
    folders = {"street": street, "out": out, "empty": tmp_path / "empty"}
    folders["modelless"] = tmp_path / "modelless"
    folders["modelless"].mkdir()
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, "models": {}, "files": {}}
    (folders["modelless"] / MANIFEST).write_text(json.dumps(manifest))
    filled = [argument.format(**folders) for argument in arguments]
    try:
        status = read_plates.main(filled)
    except SystemExit as stop:  # argparse's own way out
        status = stop.code
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    *usage, line = printed.err.splitlines()
    assert line.startswith("platebeam read: ")
    assert message in line
    assert all(before.startswith("usage:") for before in usage)
    assert not list(out.rglob("*.parquet"))
    assert not list((tmp_path / "temporary").iterdir())


def test_a_backend_that_is_not_installed_is_a_bad_option(
    street: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)  # so that importing it fails
    arguments = [str(street), f"--output={tmp_path}", "--backend=tensorflow"]
    assert read_plates.main(arguments) == 2
    assert capsys.readouterr().err == "platebeam read: the tensorflow backend needs keras\n"


@pytest.mark.parametrize(("many", "hint"), [(5, True), (6, False)])
def test_many_inputs_on_one_machine_get_a_hint(
    street: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    many: int,
    hint: bool,
) -> None:
    monkeypatch.setattr(progress, "MANY", many)
    arguments = [str(street), "--output", str(tmp_path), "--workers", "1"]
    assert read_plates.main(arguments) == 0
    assert (
        f"more than {many} inputs (6 so far) on this machine alone" in capfd.readouterr().err
    ) == hint


def test_a_run_id_is_used_once(street: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "r1.json").write_text("{}")
    with pytest.raises(read_plates.OptionError, match="already has a run r1"):
        prepare(street, tmp_path, "--run-id=r1")


def test_the_command_finds_its_subcommands_by_entry_point(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    assert "read" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        cli.main(["read", "--help"])
    assert stop.value.code == 0
    assert "--output" in capsys.readouterr().out


def test_help_needs_neither_beam_nor_tensorflow() -> None:
    script = (
        "import sys, pipelines.cli as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('apache_beam', 'tensorflow', 'keras') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_runs_like_the_command(street: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.read_plates", street / "one.jpg"]
    done = subprocess.run(
        [*command, "--output", tmp_path, "--workers=1", "--show-reads=5"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "1 pictures: " in done.stdout
    assert "one.jpg" in done.stdout
    assert len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.parametrize(("is_local", "shown"), [(True, False), (False, True)])
def test_only_a_local_jobs_workers_are_kept_off_the_terminal(
    street: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    is_local: bool,
    shown: bool,
) -> None:
    def print_to_stderr(*_: object, **__: object) -> None:
        os.write(2, b"job 7 is up\n")

    job = replace(prepare(street, tmp_path), is_local=is_local)
    monkeypatch.setattr(read_plates, "prepare", lambda _: job)
    monkeypatch.setattr(read_plates, "_run", print_to_stderr)
    capfd.readouterr()
    assert read_plates.main([]) == 0
    assert ("job 7 is up" in capfd.readouterr().err) == shown
