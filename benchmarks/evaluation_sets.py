"""What the scripts about real plates share: the sets, the job that reads them, and its tables."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from lpr_core.plate_reader import DETECTORS, READERS, ReaderConfig
from lpr_core.score import normalise_text, wilson_interval
from pipelines import read_plates
from pipelines.run_record import read_table

MANIFEST = "truth.csv"
COLUMNS = ("uri", "image", "x", "y", "w", "h", "text")

Row = dict[str, Any]


@dataclass(frozen=True)
class EvaluationSet:
    """Pictures with truth.

    Attributes:
        name: of the set.
        folder: below the data folder, with its `truth.csv`.
        whole: each picture is a plate.
        use: what the rows that count say in the column `use`, if the truth has one.
        only: patterns of pictures' paths, one of which must fit.
    """

    name: str
    folder: str
    whole: bool = False
    use: str = ""
    only: tuple[str, ...] = ("*",)


SCENES = (
    EvaluationSet("scenes/us", "scenes/us"),
    EvaluationSet("scenes/eu", "scenes/eu"),
    EvaluationSet("scenes/br", "scenes/br"),
)
CROPS = (
    EvaluationSet("crops_us", "crops_us", whole=True, use="evaluate"),
    EvaluationSet("crops_ny", "crops_ny", whole=True),
    EvaluationSet("crops_vn", "crops_vn", whole=True),
)
BOXES = EvaluationSet("boxes_in", "boxes_in")
NEGATIVES = EvaluationSet(
    "negatives",
    "negatives",
    only=tuple(
        f"*/negatives/{source}*"
        for source in ("UMD_", "matt", "neg-0", "youtube_kansascity", "sbowl")
    ),
)
"""Pictures without plates, of the sources that are kept from training."""

DEVELOPMENT = (
    EvaluationSet("crops_us-train", "crops_us", whole=True, use="train"),
    EvaluationSet("crops_br", "crops_br", whole=True),
    EvaluationSet("crops_eu_two_line", "crops_eu_two_line", whole=True),
    EvaluationSet("boxes_eu", "boxes_eu", only=("*/boxes_eu/valid/*",)),
)
"""Of rows that may be trained on."""

KNOWN = {one.name: one for one in (*SCENES, *CROPS, BOXES, NEGATIVES, *DEVELOPMENT)}


def make_parser(description: str, sets: Sequence[EvaluationSet]) -> argparse.ArgumentParser:
    """The options that all scripts share, `sets` being what they read unless told otherwise."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder with scenes/, crops_us/ …")
    parser.add_argument(
        "--sets",
        nargs="+",
        type=lambda name: KNOWN.get(name, EvaluationSet(name, name)),
        default=sets,
        metavar="SET",
        help=f"of {', '.join(KNOWN)}, or any folder of DATA with a truth.csv",
    )
    parser.add_argument("--every", type=int, default=1, help="read each Nth picture only")
    return parser


@dataclass(frozen=True)
class Way:
    """How to read: a bundle's folder (None: the package's), detector, reader, layouts (a,b,c)."""

    bundle: Path | None = None
    detector: str = ReaderConfig.detector
    reader: str = ReaderConfig.reader
    layouts: str = ""


def add_way(parser: argparse.ArgumentParser) -> None:
    """Add the options of `Way`."""
    parser.add_argument("--bundle", type=Path, help="its folder (default: the package's)")
    parser.add_argument("--detector", choices=list(DETECTORS), default=Way.detector)
    parser.add_argument("--reader", choices=list(READERS), default=Way.reader)
    parser.add_argument("--layouts", default=Way.layouts, metavar="NAME,...", help="see the job's")


def chosen_way(options: argparse.Namespace) -> Way:
    """The way that the options of `add_way` say."""
    return Way(options.bundle, options.detector, options.reader, options.layouts)


class Outcome(NamedTuple):
    """A plate of the truth and the read paired with it, as rows of the job's tables."""

    truth: Row
    read: Row | None

    @property
    def text(self) -> str:
        """What was read, "" if nothing was."""
        return normalise_text(self.read["text"] or "") if self.read else ""

    @property
    def right(self) -> bool:
        """Whether it was read as it is."""
        return self.text == normalise_text(self.truth["text"])


@dataclass(frozen=True)
class Reading:
    """What the job made of a set.

    Attributes:
        images: how many pictures.
        metrics: rows of all pictures, by name.
        outcomes: one for each plate of the truth.
        extra: plates found that are no truth's.
    """

    images: int
    metrics: dict[str, Row]
    outcomes: list[Outcome]
    extra: list[Row]

    @property
    def known(self) -> list[Outcome]:
        """Those of plates whose text the truth tells."""
        return [outcome for outcome in self.outcomes if outcome.truth["text"]]

    @property
    def reads(self) -> list[Row]:
        """All of them, of plates of the truth and of others."""
        return [outcome.read for outcome in self.outcomes if outcome.read] + self.extra


def read_set(data: Path, chosen: EvaluationSet, way: Way, output: Path, every: int = 1) -> Reading:
    """Run the job on a set; its tables, and the truth as it was given, stay in a folder."""
    return read_rows(truth_rows(data, chosen, every), way, output, chosen.whole)


def read_rows(rows: Sequence[Row], way: Way, output: Path, whole: bool = False) -> Reading:
    """Run the job on the pictures of a truth's rows."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / MANIFEST).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    arguments = [str(output / MANIFEST), "--output", str(output), "--workers=1"]
    arguments += ["--detector", "whole" if whole else way.detector, "--reader", way.reader]
    arguments += ["--bundle", str(way.bundle)] if way.bundle else []
    arguments += ["--layouts", way.layouts] if way.layouts else []
    read_plates.run(arguments)
    return load_reading(output)


def truth_rows(data: Path, chosen: EvaluationSet, every: int = 1) -> list[Row]:
    """The rows of each `every`th picture of the set, with its path as `uri`."""
    folder = (data / chosen.folder).resolve()
    with (folder / MANIFEST).open(newline="", encoding="utf-8") as file:
        rows = [row | {"uri": str(folder / row["image"])} for row in csv.DictReader(file)]
    rows = [
        row
        for row in rows
        if row.get("use", chosen.use) == chosen.use
        and any(fnmatch(row["uri"], pattern) for pattern in chosen.only)
    ]
    kept = set(list(dict.fromkeys(row["uri"] for row in rows))[::every])
    return [row for row in rows if row["uri"] in kept]


def load_reading(output: Path) -> Reading:
    """The latest run of an output folder.

    Raises:
        SystemExit: there is none.
    """
    runs = sorted((output / "runs").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    if not runs:
        raise SystemExit(f"there is no run in {output}: let accuracy.py read that set first")
    record = json.loads(runs[-1].read_text())
    tables = {
        name: read_table(record, str(output), name).to_pylist()
        for name in ("images", "plates", "truths", "metrics")
    }
    reads = {row["read_id"]: row for row in tables["plates"]}
    outcomes = [Outcome(row, reads.get(row["read_id"])) for row in tables["truths"]]
    paired = {outcome.truth["read_id"] for outcome in outcomes}
    return Reading(
        images=len(tables["images"]),
        metrics={row["metric"]: row for row in tables["metrics"] if row["slice"] == "all"},
        outcomes=outcomes,
        extra=[row for read_id, row in reads.items() if read_id not in paired],
    )


def share_cell(hits: float, total: float, with_interval: bool = False) -> str:
    """A share as the tables show it, with its Wilson interval (95 %) if asked for."""
    if not total:
        return "–"
    share = f"{hits:.0f} = {100 * hits / total:.1f} %"
    low, high = wilson_interval(hits, total)
    return f"{share} ({100 * low:.1f}–{100 * high:.1f})" if with_interval else share


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")
