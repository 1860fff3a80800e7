"""The site: it builds without a warning, and a browser needs nothing from elsewhere to show it."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("material", reason="the site needs the extra `dev`")

ROOT = Path(__file__).parents[1]
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Which attribute of which element a browser loads on its own."""


class Loaded(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        relation = found.get("rel") or ""
        if tag in LOADS and relation not in ("prev", "next", "canonical"):
            self.addresses.append(found.get(LOADS[tag]) or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(["make", "--silent", "build/pages"], cwd=ROOT, check=True)
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert loaded.addresses
        for address in filter(None, loaded.addresses):
            assert not re.match(r"(\w+:)?//", address), f"{page.name} loads {address}"
            if page.name != "404.html":  # which knows no folder that it is shown from
                assert (page.parent / address.split("?")[0].split("#")[0]).exists(), address


def test_styles_load_nothing_from_elsewhere(site: Path) -> None:
    styles = sorted(site.rglob("*.css"))
    assert styles
    for style in styles:
        assert not re.search(r"(url\(|@import\s*)['\"]?(https?:)?//", style.read_text())


def test_the_diagram_and_what_pages_link_to_are_in_it(site: Path) -> None:
    how = (site / "docs" / "how_it_works.html").read_text(encoding="utf-8")
    assert 'src="how_it_works.svg"' in how
    assert (site / "docs" / "how_it_works.svg").is_file()
    training = (site / "docs" / "training.html").read_text(encoding="utf-8")
    assert 'href="../model_training/layouts.py"' in training
    assert (site / "model_training" / "layouts.py").is_file()
