"""Types of command-line options: places and numbers, refused in a line that says what is wrong."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def place(text: str) -> str:
    """A path or URI; an empty one, as of a shell's variable that is not set, means no place."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


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
