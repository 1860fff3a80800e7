"""Whether a confidence means what it says, from the tables that accuracy.py left.

python benchmarks/calibration.py OUT [--plot PNG]

Over all plates that were read: the expected calibration error in ten bins of equal width (Guo et
al. 2017), and the share of all plates, found or not, that is kept at the lowest threshold at which
99 % of what is kept is right. Intervals are the bootstrap's over plates, 2.5 to 97.5 %. (Resampling
adds noise to every bin, so the error's interval lies a little high.)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from evaluation_sets import CROPS, SCENES, Outcome, load_reading, print_table
from tqdm import trange

from lpr_core.score import calibration_error, reliability
from model_training.plots import draw_reliability

KEPT_RIGHT = 0.99
SAMPLES = 2000
HEAD = (
    *("set", "plates", "read", "of these right", "mean confidence"),
    *("calibration error", f"kept, {KEPT_RIGHT:.0%} of them right", "at confidence"),
)

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def kept(confidences: Floats, right: Flags) -> tuple[int, float]:
    """How many reads the lowest threshold keeps of which KEPT_RIGHT are right, and that threshold.

    Plates without a read have the confidence −1 and are never kept.
    """
    order = np.argsort(-confidences, kind="stable")
    sure, hits = confidences[order], np.cumsum(right[order])
    numbers = np.arange(1, len(order) + 1)
    # Reads of one confidence are kept together or not at all.
    last_of_equals = np.append(sure[1:] < sure[:-1], True)
    good = last_of_equals & (hits >= KEPT_RIGHT * numbers) & (sure >= 0)
    if not good.any():
        return 0, 1.0
    last = int(np.flatnonzero(good)[-1])
    return last + 1, float(sure[last])


def figures(confidences: Floats, right: Flags) -> tuple[float, float]:
    """Calibration error of the reads, and the share of the plates that is kept."""
    read = confidences >= 0
    error = calibration_error(reliability(confidences[read], right[read]))
    return error, kept(confidences, right)[0] / len(confidences)


def cells(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    """A set's line of the table."""
    confidences, right = as_arrays(outcomes)
    rng = np.random.default_rng(0)
    samples = rng.integers(len(right), size=(SAMPLES, len(right)))
    drawn = [
        figures(confidences[samples[i]], right[samples[i]]) for i in trange(SAMPLES, desc=name)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    error, share = figures(confidences, right)
    read = confidences >= 0
    return [
        name,
        f"{len(right):,}",
        f"{read.sum():,}",
        f"{right[read].mean():.1%}",
        f"{confidences[read].mean():.1%}",
        f"{error:.3f} ({low[0]:.3f}–{high[0]:.3f})",
        f"{share:.1%} ({low[1]:.1%}–{high[1]:.1%})",
        f"{kept(confidences, right)[1]:.3f}",
    ]


def as_arrays(outcomes: Sequence[Outcome]) -> tuple[Floats, Flags]:
    """Each plate's confidence, −1 where there is no read, and whether it was read right."""
    confidences = [
        outcome.read["confidence"] if outcome.read and outcome.text else -1.0
        for outcome in outcomes
    ]
    return np.array(confidences), np.array([outcome.right for outcome in outcomes])


def main() -> None:
    """Print the table, draw the diagram of all sets together."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", type=Path, metavar="OUT", help="of accuracy.py")
    parser.add_argument("--sets", nargs="+", default=[one.name for one in (*SCENES, *CROPS)])
    parser.add_argument("--plot", type=Path, metavar="PNG", help="the reliability diagram")
    options = parser.parse_args()
    sets = {name: load_reading(options.tables / name).known for name in options.sets}
    pooled = [outcome for outcomes in sets.values() for outcome in outcomes]
    print_table(HEAD, [cells(name, found) for name, found in {**sets, "together": pooled}.items()])
    if options.plot:
        confidences, right = as_arrays(pooled)
        bins = reliability(confidences[confidences >= 0], right[confidences >= 0])
        draw_reliability(bins, calibration_error(bins), options.plot)


if __name__ == "__main__":
    main()
