"""platebeam as it is installed, away from the checkout."""

import csv
import subprocess
import sys
from pathlib import Path

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


def test_an_installed_wheel_reads_a_plate_with_its_own_bundle_and_reports_on_it(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT]
    subprocess.run([*pip, *map(str, build)], check=True)
    (wheel,) = tmp_path.glob("platebeam-*.whl")
    installed = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True)
    sample = ROOT / "samples" / "street-21.jpg"
    with (ROOT / "samples" / "truth.csv").open() as file:
        (truth,) = (row["text"] for row in csv.DictReader(file) if row["image"] == sample.name)

    def run(*arguments: object) -> str:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            check=True,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PYTHONPATH": str(installed)},
        ).stdout

    assert repr(truth) in run("-c", READ_A_PLATE, installed, sample)
    tables, page = tmp_path / "tables", tmp_path / "report.html"
    run("-m", "pipelines.cli", "read", sample, "--output", tables, "--workers", "1")
    run("-m", "pipelines.cli", "report", tables, "--output", page)
    assert truth in page.read_text()
