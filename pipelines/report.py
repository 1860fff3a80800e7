"""`platebeam report`: one page about an output folder, for people, that needs nothing else.

DuckDB sums up all rows; of the pictures a sample is shown, taken again from where they were read
and only if they are still the same. The page opens without a network and asks for nothing.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import duckdb
import jinja2

from lpr_core.score import ConfidenceBin, calibration_error, wilson_interval
from pipelines.archive import (
    RUN_COUNTS,
    Archive,
    add_archive_arguments,
    archive_of,
    connect,
    parse_arguments,
    path_beside,
    told_of,
)
from pipelines.charts import draw_confidences, draw_confusions, draw_reliability, draw_times
from pipelines.cli import code_version
from pipelines.failures import TIMED_STAGES
from pipelines.gallery import OUTCOMES, choose, judge, look_up, query
from pipelines.metrics import ALL, CALIBRATION_BINS, Figure
from pipelines.option_types import whole_number
from pipelines.redact import redact
from pipelines.tables import Row
from pipelines.uris import make_parent, open_store

TEMPLATE = Path(__file__).with_name("report.html.jinja")

GALLERY = 240
"""Pictures in the gallery unless told otherwise: some 10 MB of page."""

CONFIDENCE_BARS = 20
"""Of the chart of all plates, which are more than those that a truth tells of."""

PLATE_KINDS = ("right", "wrong", "not checked", "unreadable")

WORST_ERRORS = 12
"""Confusions that are listed beside the matrix."""

CALIBRATION_ERROR = "expected_calibration_error"

FUNNEL = """
    SELECT count(*) AS inputs,
        count(*) FILTER (stage IS NULL OR stage NOT IN ('input', 'load')) AS loaded,
        count(*) FILTER (stage IS NULL OR stage NOT IN ('input', 'load', 'decode')) AS decoded,
        count(*) FILTER (plates_found > 0) AS with_plate,
        count(*) FILTER (status = 'read') AS read,
        count(*) - count(DISTINCT uri) AS repeated
    FROM images
"""

FAILURES = """
    SELECT stage, reason, count(*) AS pictures, min(message) AS example
    FROM images
    WHERE status = 'failed'
    GROUP BY ALL
    ORDER BY pictures DESC, stage, reason
"""

TIMES = """
    SELECT stage, avg(ms) AS mean, sum(ms) / 1000 AS seconds,
        quantile_cont(ms, [0.05, 0.25, 0.5, 0.75, 0.95]) AS quantiles
    FROM (
        UNPIVOT (SELECT milliseconds.* FROM images) ON COLUMNS(*) INTO NAME stage VALUE ms
    )
    GROUP BY stage
"""

RELIABILITY = f"""
    SELECT least(floor(confidence * {CALIBRATION_BINS}), {CALIBRATION_BINS - 1})::INT AS bin,
        count(*) AS reads, avg(confidence) AS confidence, avg(is_right::INT) AS accuracy
    FROM judged JOIN plates USING (run_id, uri, read_id)
    WHERE text IS NOT NULL
    GROUP BY bin
"""

PLATE_CONFIDENCES = f"""
    SELECT least(floor(confidence * {CONFIDENCE_BARS}), {CONFIDENCE_BARS - 1})::INT AS bar,
        CASE
            WHEN text IS NULL THEN 'unreadable'
            WHEN is_right IS NULL THEN 'not checked'
            WHEN is_right THEN 'right'
            ELSE 'wrong'
        END AS kind,
        count(*) AS plates
    FROM plates LEFT JOIN judged USING (run_id, uri, read_id)
    GROUP BY ALL
"""


def summarise(archive: Archive, database: duckdb.DuckDBPyConnection) -> Row:
    """The figures and charts of the page, as its template names them.

    Args:
        archive: what to report on.
        database: of `archive.connect`; gets what `gallery.judge` adds.
    """
    judge(database)
    runs = query(database, "SELECT * FROM runs")
    for run, record in zip(runs, archive.records, strict=True):
        seconds = (run["finished_at"] - run["started_at"]).total_seconds()
        read = run["inputs"] - run["unchanged"]
        run |= {"seconds": seconds, "rate": read / seconds if seconds else None}
        told = {name: record[name] for name in ("bundle", "config", "options", "libraries")}
        run["told"] = json.dumps(told, indent=2)
    (funnel,) = query(database, FUNNEL)
    times = {row["stage"]: row for row in query(database, TIMES)}
    times = {stage.value: times[stage.value] for stage in TIMED_STAGES if stage.value in times}
    return {
        "output": redact(archive.output),
        "runs": runs,
        "code_version": code_version(),
        "counts": {name: sum(run[name] for run in runs) for name in RUN_COUNTS},
        "not_sliced": sorted({n for one in archive.records for n in one["labels_not_sliced"]}),
        "funnel": funnel,
        "failures": query(database, FAILURES),
        "times": times,
        "times_chart": draw_times({stage: row["quantiles"] for stage, row in times.items()})
        if times
        else None,
        "slices": accuracy(database),
        **_confidences(database),
        **_confusions(database),
    }


def accuracy(database: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Figure]]:
    """The metrics by slice and name, the slice of all pictures first; of several runs, added up."""
    found = database.sql(
        "SELECT slice, metric, sum(numerator), sum(denominator), count(low) > 0 FROM metrics "
        f"WHERE metric <> '{CALIBRATION_ERROR}' "  # which is no sum over runs
        f"GROUP BY slice, metric ORDER BY slice <> '{ALL}', slice, metric"
    )
    slices: dict[str, dict[str, Figure]] = defaultdict(dict)
    for name, metric, hits, total, is_share in found.fetchall():
        value = hits / total if total else None
        low, high = wilson_interval(hits, total) if is_share else (None, None)
        slices[name][metric] = Figure(metric, hits, total, value, low, high)
    return dict(slices)


def _confidences(database: duckdb.DuckDBPyConnection) -> Row:
    """The charts of confidence; None where there is nothing to draw."""
    known = {row.pop("bin"): row for row in query(database, RELIABILITY)}
    bins = [
        ConfidenceBin(**known[place]) if place in known else ConfidenceBin(0, None, None)
        for place in range(CALIBRATION_BINS)
    ]
    bars = {kind: [0] * CONFIDENCE_BARS for kind in PLATE_KINDS}
    for row in query(database, PLATE_CONFIDENCES):
        bars[row["kind"]][row["bar"]] = row["plates"]
    bars = {kind: plates for kind, plates in bars.items() if any(plates)}
    return {
        "calibration_error": calibration_error(bins) if known else None,
        "reliability_chart": draw_reliability(bins) if known else None,
        "confidence_chart": draw_confidences(bars) if bars else None,
    }


def _confusions(database: duckdb.DuckDBPyConnection) -> Row:
    """The matrix, None where there is nothing to draw, and its errors, the most frequent first."""
    counts = {
        (row["truth"], row["read"]): row["count"]
        for row in query(
            database,
            "SELECT truth, read, sum(count)::BIGINT AS count FROM confusions GROUP BY ALL",
        )
    }
    errors = [(count, *pair) for pair, count in counts.items() if pair[0] != pair[1]]
    return {
        "confusion_chart": draw_confusions(counts) if counts else None,
        "errors": sorted(errors, key=lambda error: (-error[0], str(error)))[:WORST_ERRORS],
    }


def render(page: Row) -> str:
    """The page.

    Args:
        page: what the template names: of `summarise`, and the gallery's `shares` and `pictures`.
    """
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {}  # as it is ordered
    environment.filters |= {
        "number": "{:,.0f}".format,
        "percent": _percent,
        "interval": _interval,
        "integrity": _integrity,
    }
    return environment.get_template(TEMPLATE.name).render(page, outcomes=OUTCOMES)


def _percent(figure: Figure | None) -> str:
    return "–" if figure is None or figure.value is None else f"{100 * figure.value:.1f} %"


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{100 * figure.low:.1f}–{100 * figure.high:.1f} %"


def _integrity(script: str) -> str:
    """A script's hash as a Content-Security-Policy names it, so that no other script can run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def write(text: str, uri: str) -> None:
    """Write a page to a file of any store."""
    fs, path = open_store(uri)
    make_parent(fs, path)
    fs.pipe_file(path, text.encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Run `platebeam report`.

    Returns:
        0; 2: there is nothing to report on, or the page cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="platebeam report",
        description="Write a page about an output folder that opens anywhere, without a network.",
    )
    add_archive_arguments(parser)
    parser.add_argument(
        "--output", dest="page", required=True, metavar="FILE", help="the page, such as report.html"
    )
    parser.add_argument(
        "--gallery",
        type=whole_number(0),
        default=GALLERY,
        metavar="N",
        help="show at most so many pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--no-pictures", action="store_true", help="show what was read without picture and crop"
    )
    arguments = parse_arguments(parser, argv)
    try:
        archive = archive_of(arguments)
        to = path_beside(archive, arguments.page)
        with connect(archive) as database:
            page = summarise(archive, database)
            page["shares"] = choose(database, arguments.gallery)
            page["pictures"] = look_up(archive, database, not arguments.no_pictures)
        write(render(page), to)
    except Exception as error:  # a store's driver raises what it likes
        print(f"platebeam report: {told_of(error)}", file=sys.stderr)
        return 2
    shown = len(page["pictures"])
    print(f"{arguments.page}: {shown:,} of {sum(s['pictures'] for s in page['shares']):,} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
