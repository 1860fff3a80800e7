"""Types of command-line options: numbers, refused in a line that says which are meant."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def whole_number(least: int) -> Callable[[str], int]:
    """A reader of whole numbers that are no smaller."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} on")
        return int(text)

    return read


def number(least: float, most: float = math.inf) -> Callable[[str], float]:
    """A reader of finite numbers in a range, its ends included."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (least <= value <= most and math.isfinite(value)):
            upwards = "on" if most == math.inf else f"to {most:g}"
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least:g} {upwards}")
        return value

    return read
