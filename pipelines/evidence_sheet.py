"""The evidence sheet of a read, drawn: an A4 page a plate."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure, FigureBase
from matplotlib.font_manager import findfont, get_font
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke

from lpr_core.geometry import Image, Point
from pipelines.cli import code_version
from pipelines.provenance import SourceState
from pipelines.run_record import utc_now
from pipelines.tables import Row, quad_of
from pipelines.uris import name_of

FORMATS = ("png", "pdf", "svg")

A4 = (8.27, 11.69)
"""Inches, upright."""

DOTS_PER_INCH = 150
LINES, LINE_LENGTH = 21, 74
"""Of the provenance: lines on a page, signs in a line; more lines stand closer."""

INK, FAINT, MARK, ALARM = "#1a1a1a", "#6b6b6b", "#d9480f", "#c92a2a"
CHOSEN, OTHER, EMPTY = "#ffa94d", "#ced4da", "#f4f5f6"
MONOSPACE = "DejaVu Sans Mono"
"""Comes with matplotlib."""

SOURCE_TOLD = {
    None: "it had not been fetched",
    SourceState.SAME: "the file still has this sha256",
    SourceState.CHANGED: "THE FILE HAS CHANGED: it has another sha256 now",
    SourceState.MISSING: "THE FILE IS GONE",
    SourceState.UNREADABLE: "THE FILE CANNOT BE FETCHED",
}

CROP_LOST = "neither kept in the table nor to be cut again"


@dataclass(frozen=True)
class Crop:
    """An upright plate.

    Attributes:
        pixels: grey, uint8 of shape (height, width).
        characters: the corners of each character's box in it; none where they are not known.
        told: where it comes from, and whether it has its hash.
        is_right: whether it has.
    """

    pixels: Image
    characters: Sequence[Sequence[Point]]
    told: str
    is_right: bool


@dataclass(frozen=True)
class Evidence:
    """What there is of a plate, or of a picture without one.

    Attributes:
        record: of the run.
        runs: how many runs have it.
        image: the row of `images`.
        plate: the row of `plates`, if there is one.
        source: how the picture's file stands to the one that was read; None if none was.
        picture: the picture, grey, if the file is the same.
        crop: the upright plate, if it is kept or can be cut.
    """

    record: Mapping[str, Any]
    runs: int
    image: Row
    plate: Row | None
    source: SourceState | None
    picture: Image | None
    crop: Crop | None

    @property
    def source_told(self) -> str:
        """How the picture's file is now, in words."""
        return SOURCE_TOLD[self.source]


def draw_sheets(evidence: Sequence[Evidence], kind: str) -> bytes:
    """The sheets as a file: pages of a PDF, or one below the other.

    Args:
        evidence: a sheet each.
        kind: one of FORMATS.
    """
    file = io.BytesIO()
    with style.context("default"):  # whatever the user's own files say
        if kind == "pdf":
            with PdfPages(file) as pages:
                for each in evidence:
                    page = Figure(A4)
                    draw_sheet(page, each)
                    pages.savefig(page)
        else:
            width, height = A4
            strip = Figure((width, height * len(evidence)))
            places = strip.subfigures(len(evidence), squeeze=False).flat
            for place, each in zip(places, evidence, strict=True):
                draw_sheet(place, each)
            strip.savefig(file, format=kind, dpi=DOTS_PER_INCH)
    return file.getvalue()


def draw_sheet(page: FigureBase, evidence: Evidence) -> None:
    """Draw the sheet of a plate, or of a picture without one."""
    rows = page.add_gridspec(
        5,
        1,
        height_ratios=[0.9, 3.9, 1.7, 1.35, 3.4],
        left=0.07,
        right=0.95,
        top=0.975,
        bottom=0.03,
        hspace=0.16,
    )
    _draw_heading(_blank(page, rows[0]), evidence)
    _draw_picture(page.add_subplot(rows[1]), evidence)
    if evidence.plate is None:
        _draw_provenance(_blank(page, rows[2:4]), evidence)
        return
    _draw_crop(page.add_subplot(rows[2]), evidence.crop)
    _draw_characters(page, rows[3], evidence.plate["characters"])
    below = rows[4].subgridspec(1, 2, width_ratios=[1, 3.1], wspace=0.08)
    _draw_texts(page.add_subplot(below[0]), evidence.plate["alternatives"])
    _draw_provenance(_blank(page, below[1]), evidence)


def _blank(page: FigureBase, place: SubplotSpec) -> Axes:
    axes = page.add_subplot(place)
    axes.set_axis_off()
    return axes


def _write(axes: Axes, x: float, y: float, text: str, **looks: Any) -> None:
    """Write in shares of the axes, from the top; signs of a URI are no formulas."""
    looks = {"color": INK, "va": "top", "parse_math": False, **looks}
    axes.text(x, 1 - y, text, transform=axes.transAxes, **looks)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=8, color=FAINT, pad=3, parse_math=False)


def _draw_heading(axes: Axes, evidence: Evidence) -> None:
    image, plate = evidence.image, evidence.plate
    name = name_of(image["uri"])
    title = "a picture without a plate read" if plate is None else "a licence plate read"
    _write(axes, 0, 0, f"Evidence of {title}", fontsize=9, color=FAINT)
    if plate is None:
        _write(axes, 0, 0.3, image["status"], fontsize=22, weight="bold")
        _write(axes, 0, 0.86, _drawable(name), fontsize=9)
        return
    text = plate["text"] or "unreadable"
    _write(axes, 0, 0.26, text, fontsize=26, weight="bold", family=MONOSPACE)
    _write(axes, 1, 0.3, _share(plate["confidence"]), fontsize=22, weight="bold", ha="right")
    meaning = "probability that the whole text is right"
    _write(axes, 1, 0, meaning, fontsize=9, color=FAINT, ha="right")
    place = f"plate {plate['index'] + 1} of {image['plates_found']} in {_drawable(name)}"
    edits = "".join(
        f"; layout {edit['layout']} has {edit['to']} for {edit['from']} at {edit['index'] + 1}"
        for edit in plate["edits"]
    )
    raw = plate["text_raw"]
    seen = f"; seen as {raw}" if raw not in ("", plate["text"]) else ""
    _write(axes, 0, 0.86, place + seen + edits, fontsize=9)


def _draw_picture(axes: Axes, evidence: Evidence) -> None:
    plate = evidence.plate
    corners = quad_of(plate) if plate else ()
    title = "the picture as it was read: grey, upright"
    absent = evidence.source_told if evidence.image["width"] else "it could not be read"
    _draw_pixels(axes, evidence.picture, title, [corners], absent)


def _draw_crop(axes: Axes, crop: Crop | None) -> None:
    if crop is None:
        _draw_pixels(axes, None, "the plate, upright", [], CROP_LOST)
    else:
        title = "the plate, upright" + ", and its characters' boxes" * bool(crop.characters)
        _draw_pixels(axes, crop.pixels, title, crop.characters)


def _draw_pixels(
    axes: Axes,
    pixels: Image | None,
    title: str,
    outlines: Sequence[Sequence[Point]],
    absent: str = "",
) -> None:
    """A picture with outlines in it, or what to say in its place."""
    _title(axes, title)
    axes.set_xticks([])
    axes.set_yticks([])
    if pixels is None:
        _write(axes, 0.5, 0.5, absent, ha="center", va="center", color=ALARM)
        return
    height, width = pixels.shape  # corners are edges of pixels, not centres
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
    halo = [withStroke(linewidth=3, foreground="white")]
    for corners in filter(None, outlines):
        outline = Polygon(corners, fill=False, edgecolor=MARK, linewidth=1.5, path_effects=halo)
        axes.add_patch(outline)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def _draw_characters(page: FigureBase, place: SubplotSpec, characters: Sequence[Row]) -> None:
    if not characters:
        return
    cells = place.subgridspec(1, len(characters), wspace=0.12)
    for number, character in enumerate(characters):
        axes = page.add_subplot(cells[number])
        own = (character["character"], character["probability"])
        others = [
            (other["character"], other["probability"])
            for other in character["alternatives"]
            if other["character"] != own[0]
        ]
        _draw_bars(axes, [own, *others])
        _title(axes, f"{number + 1}" if number else "1st character")


def _draw_bars(axes: Axes, choices: Sequence[tuple[str, float]]) -> None:
    """Probabilities from 0 to 1 as bars, the first on top."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(max(len(choices), 3) - 0.5, -0.5)
    for place, (name, probability) in enumerate(choices):
        axes.barh(place, 1, height=0.84, color=EMPTY)
        axes.barh(place, probability, height=0.84, color=OTHER if place else CHOSEN)
        looks: dict[str, Any] = {"va": "center", "color": INK}
        axes.text(0.03, place, name, family=MONOSPACE, fontsize=9, **looks)
        axes.text(0.97, place, _share(probability), ha="right", fontsize=6.5, **looks)


def _draw_texts(axes: Axes, alternatives: Sequence[Row]) -> None:
    _draw_bars(axes, [(other["text"], other["probability"]) for other in alternatives])
    _title(axes, "whole texts")


def _share(probability: float) -> str:
    """In percent, never rounded to certainty."""
    if 0 < probability < 0.0001:
        return "< 0.01 %"
    if 0.9999 < probability < 1:
        return "> 99.99 %"
    return f"{100 * probability:.2f} %"


def _draw_provenance(axes: Axes, evidence: Evidence) -> None:
    _title(axes, "provenance")
    lines = [
        (name if not number else "", line)
        for name, *told in _provenance(evidence)
        for number, line in enumerate(line for text in told for line in _wrapped(text))
    ]
    alarms = set()
    if evidence.source is not SourceState.SAME:
        alarms.add(evidence.source_told)
    if evidence.crop is not None and not evidence.crop.is_right:
        alarms.add(evidence.crop.told)
    step = 1 / max(len(lines), LINES)
    for number, (name, line) in enumerate(lines):
        _write(axes, 0, (number + 0.3) * step, name, fontsize=7, color=FAINT)
        colour = ALARM if line in alarms else INK
        place = 0.16, (number + 0.3) * step
        _write(axes, *place, line, fontsize=7, family=MONOSPACE, color=colour)


def _wrapped(text: str) -> list[str]:
    # A blank may be part of a file's name.
    return textwrap.wrap(
        _drawable(text), LINE_LENGTH, break_on_hyphens=False, drop_whitespace=False
    )


def _drawable(text: str) -> str:
    """With escapes for the signs that the font lacks, and for those that none draws."""
    drawn = get_font(findfont(MONOSPACE)).get_charmap()
    return "".join(
        sign if sign.isprintable() and ord(sign) in drawn else ascii(sign)[1:-1] for sign in text
    )


def _provenance(evidence: Evidence) -> list[tuple[str, ...]]:
    """Names, each with what there is to tell, in lines."""
    image, plate, record = evidence.image, evidence.plate, evidence.record
    config, bundle, crop = record["config"], record["bundle"], evidence.crop
    told: list[tuple[str, ...]] = [
        ("picture", image["uri"]),
        ("taken", str(image["captured_at"] or "not told")),
        ("file", _file_told(image)),
        ("sha256", str(image["sha256"]), evidence.source_told),
    ]
    if image["message"] is not None:
        told.append(("failure", f"{image['stage']}/{image['reason']}", image["message"]))
    if plate is not None:
        corners = "  ".join(f"{x:.1f}, {y:.1f}" for x, y in quad_of(plate))
        told += [
            ("read", plate["read_id"]),
            ("corners", corners, f"detection score {plate['detection_score']:.3f}"),
            ("crop sha256", plate["crop_sha256"], crop.told if crop else CROP_LOST),
        ]
    choices = ", ".join(
        f"{name} {'/'.join(value) if isinstance(value, list) else value}"
        for name, value in config.items()
        if name != "sha256" and value != []
    )
    libraries = ", ".join(f"{name} {version}" for name, version in record["libraries"].items())
    return [
        *told,
        ("run", f"{record['run_id']}, {record['started_at']} to {record['finished_at']}"),
        ("bundle", str(bundle["name"]), bundle["sha256"]),
        ("configuration", choices, config["sha256"]),
        ("software", f"platebeam {record['code_version']}, {libraries}"),
        ("this sheet", f"drawn {utc_now()} by platebeam {code_version()}"),
    ]


def _file_told(image: Row) -> str:
    if image["bytes"] is None:
        return "not fetched"
    if image["width"] is None:
        return f"{image['bytes']:,} bytes"
    size = f"{image['format']}, {image['width']} × {image['height']} pixels"
    turned = f", turned by EXIF orientation {image['orientation']}"
    return f"{image['bytes']:,} bytes, {size}{turned if image['orientation'] != 1 else ''}"
