"""A report in a browser: its size, how soon it can be used, and how it looks.

python benchmarks/report_page.py [OUTPUT] [--screenshots FOLDER]

OUTPUT is a folder that `platebeam read` wrote; without it the samples are read. Times are beside
those of an empty page, by Chromium's own clock, each page opened anew in turn. Needs Chromium and
`pip install playwright`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import fsspec
from evaluation_sets import print_table
from playwright.sync_api import Browser, sync_playwright

from pipelines import read_plates, report

SAMPLES = Path(__file__).parents[1] / "samples"
ROUNDS = 7

INTERACTIVE = "performance.getEntriesByType('navigation')[0].domInteractive"
"""After the page's script has run; milliseconds."""


def read_samples() -> str:
    """Read the samples in memory, where paths say nothing of this machine."""
    truth = ["--truth", str(SAMPLES / "truth.csv")]
    files = fsspec.filesystem("memory")
    files.put(str(SAMPLES), "/samples", recursive=True)
    output = "memory://tables"
    options = ["--output", output, "--run-id", "samples", "--workers", "1", "--keep-crops"]
    read_plates.run(["memory://samples", *truth, *options])
    return output


def measure(browser: Browser, page: Path) -> list[str]:
    """The page's line of the table."""
    times: dict[str, list[float]] = {"about:blank": [], page.as_uri(): []}
    for _ in range(ROUNDS):
        for address, found in times.items():
            tab = browser.new_page()
            tab.goto(address)
            found.append(tab.evaluate(INTERACTIVE))
            elements = tab.evaluate("document.querySelectorAll('*').length")
            cards = tab.locator(".gallery li").count()
            tab.close()
    empty, own = map(statistics.median, times.values())
    least, most = min(times[page.as_uri()]), max(times[page.as_uri()])
    return [
        str(cards),
        f"{page.stat().st_size / 1e6:.1f}",
        f"{elements:,}",
        f"{own / 1000:.2f} ({least / 1000:.2f}–{most / 1000:.2f})",
        f"{empty / 1000:.2f}",
    ]


def take_screenshots(browser: Browser, page: Path, folder: Path) -> None:
    """Show the page's head, its gallery in the dark, and a picture's details."""
    for name, scheme, height in (
        ("report", "light", 2290),
        ("report-pictures", "dark", 860),
        ("report-detail", "light", 900),
    ):
        size = {"width": 1200, "height": height}
        tab = browser.new_page(color_scheme=scheme, viewport=size, reduced_motion="reduce")
        tab.goto(page.as_uri())
        if name != "report":
            tab.locator("#pictures").evaluate("section => section.scrollIntoView()")
        if name == "report-detail":
            tab.locator(".gallery button", has_text="street-19.jpg").click()
            tab.locator(".detail img").first.evaluate("image => image.decode()")
        tab.wait_for_load_state("networkidle")
        tab.screenshot(path=folder / f"{name}.png")
        tab.close()


def main() -> None:
    """Make the report, print what opening it costs, and take the screenshots."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", nargs="?", metavar="OUTPUT")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "report.html"
        if report.main([options.output or read_samples(), "--output", str(page)]):
            raise SystemExit(1)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        head = ("pictures", "MB", "elements", "s until interactive", "s, an empty page")
        print_table(head, [measure(browser, page)])
        if options.screenshots:
            take_screenshots(browser, page, options.screenshots)


if __name__ == "__main__":
    main()
