"""platebeam as it is installed, away from the checkout."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

READ_A_PLATE = """
import sys
from pathlib import Path
import lpr_core
from lpr_core import PlateReader, decode
assert Path(lpr_core.__file__).is_relative_to(sys.argv[1]), lpr_core.__file__
reader = PlateReader.from_bundle()
print([read.text for read in reader.read(decode(Path(sys.argv[2]).read_bytes()).pixels)])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the checkout's wheel was installed into."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run([*pip, *map(str, build)], check=True)
    (wheel,) = folder.glob("platebeam-*.whl")
    site = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    return site


def run(installed: Path, *arguments: object) -> str:
    """Run Python on what is installed, away from the checkout; what it prints."""
    command = [sys.executable, *map(str, arguments)]
    environment = {"PYTHONPATH": str(installed)}
    options = {"check": True, "capture_output": True, "text": True, "cwd": installed.parent}
    return subprocess.run(command, env=environment, **options).stdout


def test_an_installed_wheel_reads_a_plate_with_its_own_bundle(installed):
    sample = ROOT / "samples" / "street-21.jpg"
    with (ROOT / "samples" / "truth.csv").open() as file:
        (truth,) = (row["text"] for row in csv.DictReader(file) if row["image"] == sample.name)
    assert repr(truth) in run(installed, "-c", READ_A_PLATE, installed, sample)


def test_an_installed_wheel_writes_a_report(installed, tmp_path):
    sample, page = ROOT / "samples" / "street-21.jpg", tmp_path / "report.html"
    run(installed, "-m", "pipelines.cli", "read", sample, "--output", tmp_path, "--workers", "1")
    run(installed, "-m", "pipelines.cli", "report", tmp_path, "--output", page)
    assert "street-21.jpg" in page.read_text()
