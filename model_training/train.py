"""`platebeam train`: train one of the networks that a bundle is made of."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from model_training import train_characters, train_detector, train_reader
from model_training.glyphs import NoFontsError
from model_training.training_folder import TrainingError


def main(argv: Sequence[str]) -> int:
    """Run `platebeam train`."""
    parser = argparse.ArgumentParser(prog="platebeam train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="characters|reader|detector")
    for module in (train_characters, train_reader, train_detector):
        module.add_command(commands)
    options = parser.parse_args(argv)
    try:
        options.run(options, shlex.join(["platebeam", "train", *argv]))
    except (TrainingError, NoFontsError, OSError, ValueError) as error:
        print(f"platebeam train: {error}", file=sys.stderr)
        return 2
    return 0
