"""The job as Dataflow gets it, and the image that launches and runs it, without an account."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import string
import subprocess
import sys
import venv
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from packaging.requirements import Requirement

from lpr_core.plate_reader import DETECTORS, READERS
from pipelines import read_plates
from pipelines.resume import Resume

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "dataflow"
IMAGE = "registry.example/platebeam:7"
STEPS = {
    *(f"ReadPictures/{stage}" for stage in ("Load", "Decode", "Detect", "Segment", "Recognise")),
    *(f"Tables/{step}" for step in ("WriteImages", "WritePlates", "WriteTruths", "CommitRun")),
}
STAGED = ["submission_environment_dependencies.txt"]
"""What workers get besides the graph: for their logs, nothing to install or to unpickle."""


def cloud_options(staging: str) -> list[str]:
    return [
        "--project=project",
        "--region=us-central1",
        "--temp_location=gs://bucket/temp",
        f"--staging_location={staging}",
        "--no_auth",
    ]


def template_options(folder: Path) -> list[str]:
    """A template's launch with a folder as its bucket, which Beam takes with a local endpoint."""
    return [
        *cloud_options(str(folder)),
        f"--template_location={folder}/job.json",
        "--dataflow_endpoint=http://localhost",
    ]


def step_names(pipeline: beam_runner_api_pb2.Pipeline) -> set[str]:
    return {step.unique_name for step in pipeline.components.transforms.values()}


@pytest.fixture(autouse=True)
def _no_search_for_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def test_a_dry_run_builds_the_job_and_runs_nothing(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Any] = []
    run_pipeline = DataflowRunner.run_pipeline

    def run_and_keep(runner: DataflowRunner, *arguments: Any) -> Any:
        result = run_pipeline(runner, *arguments)
        jobs.append(result.job)
        return result

    monkeypatch.setattr(DataflowRunner, "run_pipeline", run_and_keep)
    options = ["--runner=DataflowRunner", f"--sdk_container_image={IMAGE}", "--dry_run=True"]
    options += cloud_options("gs://bucket/staging")
    assert read_plates.run([str(street), f"--output={tmp_path}", "--run-id=r", *options]) is None
    assert read_plates.read_record(str(tmp_path), "r") is None
    (job,) = jobs
    assert step_names(job.proto_pipeline) >= STEPS
    for environment in job.proto_pipeline.components.environments.values():
        docker = beam_runner_api_pb2.DockerPayload.FromString(environment.payload)
        assert docker.container_image == IMAGE
        staged = [
            beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(file.role_payload)
            for file in environment.dependencies
        ]
        assert [file.staged_name for file in staged] == STAGED


def test_the_launcher_writes_the_job_of_a_template(
    street: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    inputs = shlex.join([str(street / "one.jpg"), str(street / "deep")])
    parameters = [f"--inputs={inputs}", f"--output={tmp_path}/out", "--min_confidence=0.4"]
    monkeypatch.setattr(sys, "argv", ["launch.py", *parameters, *template_options(bucket)])
    monkeypatch.setenv("PLATEBEAM_IMAGE", IMAGE)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(DEPLOY / "launch.py"), run_name="__main__")
    assert ended.value.code == 0, capsys.readouterr().err
    assert {file.name for file in bucket.iterdir()} == {"job.json", "pipeline.pb", *STAGED}
    job = json.loads((bucket / "job.json").read_text())
    (pool,) = job["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert [package["name"] for package in pool["packages"]] == STAGED
    pipeline = beam_runner_api_pb2.Pipeline.FromString((bucket / "pipeline.pb").read_bytes())
    assert step_names(pipeline) >= STEPS


def test_parameters_of_a_template_become_the_commands_arguments() -> None:
    command_line = runpy.run_path(str(DEPLOY / "launch.py"))["command_line"]
    parameters = [
        "--job_name=plates",
        "--inputs=gs://b/2024/**/*.jpg 'gs://b/two words.csv'",
        "--output=gs://b/tables",
        "--min_confidence=0.4",
        "--keep_crops=true",
        "--labels=a=b",
    ]
    assert command_line(parameters, IMAGE) == [
        "gs://b/2024/**/*.jpg",
        "gs://b/two words.csv",
        "--runner=DataflowRunner",
        f"--sdk_container_image={IMAGE}",
        "--job_name=plates",
        "--output=gs://b/tables",
        "--min-confidence=0.4",
        "--keep-crops",
        "--labels=a=b",
    ]
    assert "--keep-crops" not in command_line(["--keep_crops=false"], IMAGE)
    with pytest.raises(SystemExit, match="inputs=gs://b/o'neil/: No closing quotation"):
        command_line(["--inputs=gs://b/o'neil/"], IMAGE)


def test_the_template_has_the_commands_options() -> None:
    options = vars(read_plates.make_parser().parse_args(["INPUT", "--output=gs://b/tables"]))
    parameters = {
        parameter["name"]: parameter
        for parameter in json.loads((DEPLOY / "metadata.json").read_text())["parameters"]
    }
    # Local ones, and the backend, since TensorFlow is not in the image.
    assert parameters.keys() == options.keys() - {"workers", "show_reads", "backend"}
    required = [name for name, found in parameters.items() if not found.get("isOptional")]
    assert required == ["inputs", "output"]
    values = {name: [str(options[name]).lower()] for name in parameters}
    values |= {"detector": [*DETECTORS], "reader": [*READERS], "shards": ["50"], "run_id": ["r-1"]}
    values["resume"] = [kind.value for kind in Resume]
    values["min_confidence"] += ["0", ".5", "0.45", "1"]
    for name, parameter in parameters.items():
        for regex in parameter.get("regexes", []):
            assert all(re.search(regex, value) for value in values[name]), (name, values[name])


def instructions() -> list[tuple[str, str]]:
    """(name, what follows) of the Dockerfile's lines; none goes over two."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    found = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in found]


def test_the_image_has_the_versions_that_setup_py_allows() -> None:
    lines = (DEPLOY / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    wanted = [Requirement(line) for line in requires("platebeam") or []]
    for extra in ("", "gcp"):
        ours = [one for one in wanted if not one.marker or one.marker.evaluate({"extra": extra})]
        assert "apache-beam" in {one.name for one in ours}
        assert [one for one in ours if not one.specifier.contains(pins[one.name])] == []
    images = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert images[1] == f"apache/beam_python3.11_sdk:{pins['apache-beam']}"
    assert re.fullmatch(r".*/python311-template-launcher-base:\d{8}-rc\d\d", images[0])
    assert images[2] == "python:3.11-slim-bookworm"


@pytest.mark.image
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the image's Python is 3.11")
def test_the_image_as_a_virtual_environment_launches_and_reads(
    street: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    folder = tmp_path / "image"
    folder.mkdir()
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    environment["PATH"] = f"{tmp_path}/venv/bin{os.pathsep}{environment['PATH']}"
    environment["IMAGE"] = IMAGE

    def run(command: str) -> None:
        subprocess.run(["sh", "-c", command], cwd=folder, env=environment, check=True)

    workdir = Path()
    for name, rest in instructions():
        if name == "WORKDIR":
            workdir = Path(rest)
        elif name == "COPY" and not rest.startswith("--from="):
            *sources, target = rest.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, folder / target)
                else:
                    shutil.copy(ROOT / source, folder / target)
        elif name == "RUN":
            run(rest)
        elif name == "ENV":
            variable, _, value = rest.partition("=")
            environment[variable] = string.Template(value).substitute(environment)

    launcher = Path(environment["FLEX_TEMPLATE_PYTHON_PY_FILE"]).relative_to(workdir)
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    parameters = [f"--inputs={street / 'one.jpg'}", f"--output={tmp_path}/out"]
    run(shlex.join(["python", str(launcher), *parameters, *template_options(bucket)]))
    job = json.loads((bucket / "job.json").read_text())
    (pool,) = job["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert [package["name"] for package in pool["packages"]] == STAGED

    # As a worker: what the graph names is there, and reads.
    run("python -c 'import apache_beam.runners.worker.sdk_worker_main'")
    run(shlex.join(["platebeam", "read", str(street / "one.jpg"), f"--output={tmp_path}/out"]))
    (record,) = (tmp_path / "out" / "runs").glob("*.json")
    assert json.loads(record.read_text())["counts"]["read"] == 1
