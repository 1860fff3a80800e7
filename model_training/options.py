"""Command-line options that several commands of model_training share."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from model_training.glyphs import TrueTypeFont, installed_fonts


def whole_number(least: int) -> Callable[[str], int]:
    """A reader of whole numbers that are no smaller."""

    def number(value: str) -> int:
        if not value.isdecimal() or int(value) < least:
            raise argparse.ArgumentTypeError(f"{value} is no whole number of at least {least}")
        return int(value)

    return number


def rate(value: str) -> float:
    """A number between 0 and 1."""
    number = float(value)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and 1")
    return number


def share(value: str) -> float:
    """A number from 0 to below 1."""
    number = float(value)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{value} is not from 0 to below 1")
    return number


def add_fonts_option(parser: argparse.ArgumentParser, default: str) -> None:
    """The option that `chosen_fonts` reads."""
    parser.add_argument(
        "--fonts",
        choices=("installed", "dies"),
        default=default,
        help="what plates are written in: installed fonts and dies, or dies alone: the same on "
        f"every machine (default: {default})",
    )


def chosen_fonts(options: argparse.Namespace) -> tuple[TrueTypeFont, ...]:
    """The TrueType fonts to use beside dies.

    Raises:
        NoFontsError: see `installed_fonts`.
    """
    return installed_fonts() if options.fonts == "installed" else ()
