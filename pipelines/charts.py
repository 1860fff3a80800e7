"""The report's charts: SVG that takes its colours and its letters from the page around it."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, SymmetricalLogLocator

from lpr_core.score import ConfidenceBin, wilson_interval

COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "accent": "#040404",
    "wrong": "#050505",
    "doubt": "#060606",
    "card": "#070707",
}
"""The page's custom properties, and what stands for them until the drawing is done: matplotlib
knows no `var()`, and a page that may be light or dark has no other colours."""

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.edgecolor": COLOURS["line"],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.6,
    "xtick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.color": COLOURS["line"],
    "ytick.labelcolor": COLOURS["muted"],
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
}

SVG = "{http://www.w3.org/2000/svg}"

NOTHING = "–"
"""Stands for the character that one side of a confusion lacks; sorts behind all characters."""


def _svg(figure: Figure, name: str, title: str, description: str) -> str:
    """A drawn figure as an SVG element.

    Args:
        figure: drawn under STYLE.
        name: of the chart; makes ids that no other chart of the page has.
        title, description: for those who do not see it.
    """
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    root = ElementTree.fromstring(buffer.getvalue())
    _tidy(root)
    root.attrib |= {
        "class": "chart",
        "role": "img",
        "aria-labelledby": f"{name}-title",
        "aria-describedby": f"{name}-desc",
    }
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{SVG}{tag}", {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(place, element)
    svg = ElementTree.tostring(root, encoding="unicode")
    for colour, standing_in in COLOURS.items():
        svg = svg.replace(standing_in, f"var(--{colour})")
    return svg


def _tidy(root: ElementTree.Element) -> None:
    """Drop the size, ids of no use, and a style sheet that would hold for the whole page."""
    del root.attrib["width"], root.attrib["height"]
    ElementTree.register_namespace("", SVG[1:-1])
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    values = " ".join(value for element in root.iter() for value in element.attrib.values())
    used = set(re.findall(r"#([\w-]+)", values))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{SVG}style", f"{SVG}metadata"):
                parent.remove(child)
            elif child.get("id") not in used:
                child.attrib.pop("id", None)


def draw_reliability(bins: Sequence[ConfidenceBin]) -> str:
    """Accuracy over confidence, with the interval of each bin and how many reads it has.

    Args:
        bins: of equal width from 0 to 1, as `lpr_core.score.reliability` gives them.
    """
    width = 1 / len(bins)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        above.plot((0, 1), (0, 1), color=COLOURS["muted"], linestyle=(0, (4, 3)), linewidth=1)
        said = []
        for place, one in enumerate(bins):
            if one.accuracy is None or one.confidence is None:
                continue
            low, high = wilson_interval(one.accuracy * one.reads, one.reads)
            above.bar(
                place * width,
                one.accuracy,
                0.92 * width,
                align="edge",
                color=COLOURS["accent"],
                alpha=0.3,
            )
            above.vlines(one.confidence, low, high, color=COLOURS["accent"], linewidth=1.6)
            above.plot(one.confidence, one.accuracy, "o", color=COLOURS["accent"], clip_on=False)
            said.append(f"{one.confidence:.0%} sure: {one.accuracy:.0%} right of {one.reads}")
        above.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that is right")
        reads = [one.reads for one in bins]
        bars = below.bar(
            np.arange(len(bins)) * width,
            reads,
            0.92 * width,
            align="edge",
            color=COLOURS["muted"],
            alpha=0.5,
        )
        labels = [f"{n:,}" if n else "" for n in reads]
        below.bar_label(bars, labels, fontsize=7, color=COLOURS["ink"])
        below.set_yscale("symlog")  # one read must show beside ten thousand
        below.set_yticks([])
        below.margins(y=0.3)
        below.grid(False)
        below.set(xlabel="confidence", ylabel="reads")
        for axes in (above, below):
            axes.xaxis.set_major_formatter("{x:.0%}")
        above.yaxis.set_major_formatter("{x:.0%}")
        return _svg(
            figure, "reliability", "Share of reads that are right, by confidence", "; ".join(said)
        )


def draw_confusions(counts: Mapping[tuple[str | None, str | None], int]) -> str:
    """What was read for each character of the truth: shares as shades, errors as numbers.

    Args:
        counts: by truth and read character, None for the one that a side lacks.
    """
    named = {
        (t or NOTHING, r or NOTHING): count for (t, r), count in sorted(counts.items(), key=str)
    }
    truths, reads = (sorted(set(names)) for names in zip(*named, strict=True))
    totals: Counter[str] = Counter()
    for (truth, _), count in named.items():
        totals[truth] += count
    side = max(4.0, 1.0 + 0.17 * max(len(truths), len(reads)))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        cells, colours = [], []
        for (truth, read), count in named.items():
            x, y = reads.index(read), truths.index(truth)
            cells.append(Rectangle((x - 0.5, y - 0.5), 1, 1))
            # Errors are rare: by their shares alone one would not see them.
            shade = 0.25 + 0.6 * (count / totals[truth]) ** 0.5
            colours.append(to_rgba(COLOURS["accent" if truth == read else "wrong"], shade))
            if truth != read:
                axes.text(x, y, f"{count:,}", ha="center", va="center", fontsize=7)
        axes.add_collection(
            PatchCollection(cells, facecolors=colours, edgecolors=COLOURS["card"], linewidths=0.7)
        )
        axes.set_xticks(range(len(reads)), reads)
        axes.set_yticks(range(len(truths)), truths)
        axes.set(xlim=(-0.5, len(reads) - 0.5), ylim=(len(truths) - 0.5, -0.5))
        axes.set(xlabel="read", ylabel="truth", aspect="equal")
        axes.tick_params(length=0)
        axes.grid(linewidth=0.3)
        right = sum(count for (truth, read), count in named.items() if truth == read)
        return _svg(
            figure,
            "confusions",
            "Characters read for each character of the truth",
            f"{right:,} of {sum(named.values()):,} pairs are the same; a table names the others.",
        )


def draw_confidences(counts: Mapping[str, Sequence[int]]) -> str:
    """How many plates are how sure, stacked by what is known of them.

    Args:
        counts: plates of each bin of equal width from 0 to 1, by kind: "right", "wrong",
            "unreadable" and others.
    """
    colours = {"right": "accent", "wrong": "wrong", "unreadable": "doubt"}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 2.6), layout="constrained")
        axes = figure.subplots()
        bins = max(map(len, counts.values()))
        bottom = np.zeros(bins)
        for kind, numbers in counts.items():
            colour = COLOURS[colours.get(kind, "muted")]
            left = np.arange(bins) / bins
            axes.bar(
                left, numbers, 0.88 / bins, bottom, align="edge", color=colour, alpha=0.75,
                label=kind,
            )  # fmt: skip
            bottom += numbers
        axes.set(xlim=(0, 1), xlabel="confidence", ylabel="plates")
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
        figure.legend(loc="outside upper right", ncols=len(counts), frameon=False)
        totals = "; ".join(f"{sum(numbers):,} {kind}" for kind, numbers in counts.items())
        return _svg(figure, "confidences", "Plates by confidence", totals)


def draw_times(stages: Mapping[str, Sequence[float]]) -> str:
    """Milliseconds a picture and stage: median, middle half, and from 5 to 95 % of the pictures.

    Args:
        stages: the 5, 25, 50, 75 and 95 % quantiles of each, in milliseconds.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 0.9 + 0.34 * len(stages)), layout="constrained")
        axes = figure.subplots()
        shown = [
            dict(zip(("whislo", "q1", "med", "q3", "whishi"), quantiles, strict=True))
            for quantiles in stages.values()
        ]
        line = {"color": COLOURS["accent"], "linewidth": 1.2}
        axes.bxp(
            shown,
            orientation="horizontal",
            showfliers=False,
            showcaps=False,
            patch_artist=True,
            widths=0.5,
            boxprops={"facecolor": to_rgba(COLOURS["accent"], 0.3), "edgecolor": "none"},
            medianprops={**line, "linewidth": 2.4},
            whiskerprops=line,
        )
        axes.set_yticklabels([stage.capitalize() for stage in stages])
        axes.invert_yaxis()
        axes.set_xscale("symlog", linthresh=1)
        axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5)))
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set(xlabel="milliseconds a picture")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        said = (f"{stage}: median {quantiles[2]:.1f} ms" for stage, quantiles in stages.items())
        return _svg(figure, "times", "Time of each stage", "; ".join(said))
