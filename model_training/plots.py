"""The PNG pages by which a person judges a character model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lpr_core.recognize import ALPHABET, Floats

DPI = 120
RIGHT, WRONG, GRID = "#1a7f37", "#c62828", "#e5e5e5"


class Caption(NamedTuple):
    """What stands under a picture; `right` is None where the truth is unknown."""

    text: str
    right: bool | None = None


def in_rows(tiles: Sequence[npt.NDArray[np.uint8]], across: int) -> npt.NDArray[np.uint8]:
    """Pictures of one size in rows of so many, the last row filled up with black."""
    filled = [*tiles, *[np.zeros_like(tiles[0])] * (-len(tiles) % across)]
    rows = [np.hstack(filled[start : start + across]) for start in range(0, len(filled), across)]
    return np.vstack(rows)


def draw_confusion(matrix: npt.NDArray[np.int64], path: Path) -> None:
    """Draw a confusion matrix with each row's shares as colours and its errors as numbers.

    Args:
        matrix: int64 (36, 36), number of pictures by truth (row) and read (column).
        path: of the PNG.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    figure = Figure(figsize=(12, 11), layout="constrained")
    axes = figure.subplots()
    # Errors are rare: on a linear scale one sees the diagonal alone.
    image = axes.imshow(
        np.ma.masked_equal(shares, 0), cmap="Blues", norm=LogNorm(1e-3, 1, clip=True)
    )
    for row, column in zip(*np.nonzero(matrix), strict=True):
        if row != column:
            colour = "white" if shares[row, column] > 0.04 else WRONG
            axes.text(
                column, row, matrix[row, column], color=colour, ha="center", va="center", size=8
            )
    edges = np.arange(len(ALPHABET) + 1) - 0.5
    axes.hlines(edges, edges[0], edges[-1], color=GRID, linewidth=0.5)
    axes.vlines(edges, edges[0], edges[-1], color=GRID, linewidth=0.5)
    axes.set_xticks(range(len(ALPHABET)), ALPHABET)
    axes.set_yticks(range(len(ALPHABET)), ALPHABET)
    axes.tick_params(top=True, labeltop=True, right=True, labelright=True)
    axes.set(
        xlabel="read", ylabel="truth", title=f"{np.trace(matrix):,} of {matrix.sum():,} as labelled"
    )
    figure.colorbar(image, label="share of the truth's pictures", shrink=0.7)
    figure.savefig(path, format="png", dpi=DPI)


def draw_reliability(
    bins: Sequence[tuple[int, float | None, float | None]], error: float, path: Path
) -> None:
    """Draw accuracy over confidence, with the number of pictures of each bin below.

    Args:
        bins: (pictures, mean confidence, accuracy) of bins of equal width from 0 to 1.
        error: the expected calibration error.
        path: of the PNG.
    """
    from matplotlib.figure import Figure

    width = 1 / len(bins)
    left = np.arange(len(bins)) * width
    figure = Figure(figsize=(6, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot((0, 1), (0, 1), color="#888888", linestyle="--", label="perfectly calibrated")
    above.bar(
        left,
        [accuracy or 0 for _, _, accuracy in bins],
        width,
        align="edge",
        edgecolor="white",
        label="accuracy",
    )
    filled = [(confidence, accuracy) for number, confidence, accuracy in bins if number]
    above.plot(
        *zip(*filled, strict=True), "o", color=WRONG, clip_on=False, label="at the mean confidence"
    )
    above.set(
        xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title=f"expected calibration error {error:.2%}"
    )
    figure.legend(loc="outside lower center", ncols=3)
    counts = below.bar(left, [number for number, *_ in bins], width, align="edge", edgecolor="w")
    below.bar_label(counts, fontsize=7)
    # One picture must show beside ten thousand.
    below.set_yscale("symlog")
    below.margins(y=0.2)
    below.set(xlabel="confidence", ylabel="pictures")
    figure.savefig(path, format="png", dpi=DPI)


def draw_pictures(
    pictures: Floats, captions: Sequence[Caption], path: Path, columns: int = 8
) -> None:
    """Draw pictures in a grid, each over its caption.

    Args:
        pictures: float32 (n, height, width), 0 to 1; n is at least 1.
        captions: one a picture.
        path: of the PNG.
        columns: pictures side by side.
    """
    from matplotlib.figure import Figure

    rows, columns = -(-len(pictures) // columns), min(columns, len(pictures))
    lines = max(caption.text.count("\n") + 1 for caption in captions)
    figure = Figure(figsize=(1.4 * columns, (1.35 + 0.16 * lines) * rows), layout="constrained")
    cells = list(figure.subplots(rows, columns, squeeze=False).flat)
    for cell in cells[len(pictures) :]:
        cell.set_axis_off()
    for cell, picture, caption in zip(cells, pictures, captions, strict=False):
        colour = {True: RIGHT, False: WRONG, None: "black"}[caption.right]
        cell.imshow(picture, cmap="gray", vmin=0, vmax=1)
        cell.set(xticks=[], yticks=[])
        cell.set_xlabel(caption.text, color=colour, size=8)
    figure.savefig(path, format="png", dpi=DPI)
