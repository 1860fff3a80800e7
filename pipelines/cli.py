"""The console command `platebeam`: finds its subcommands among the installed entry points."""

from __future__ import annotations

import argparse
import atexit
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import NoReturn

COMMANDS = "platebeam.commands"
"""Entry-point group; each value is a function `main(argv) -> exit status` with its own parser."""

READER_GONE = 141
"""The exit status that a shell tells of a program that SIGPIPE has ended: 128 + 13."""


def code_version() -> str:
    """The installed version of platebeam, or "unknown" where it was not installed."""
    try:
        return version("platebeam")
    except PackageNotFoundError:
        return "unknown"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `platebeam NAME ARGUMENTS…` and return its exit status."""
    commands = {entry.name: entry for entry in entry_points(group=COMMANDS)}
    parser = argparse.ArgumentParser(
        prog="platebeam",
        description="Read licence plates in picture archives.",
        epilog="`platebeam COMMAND --help` tells a command's options.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {code_version()}")
    parser.add_argument("command", choices=sorted(commands), metavar="COMMAND", help="%(choices)s")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    # TensorFlow reports on stderr which instructions it was built for, among other things.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Beam warns on import that Google's libraries are absent, whatever one is about to read.
    logging.getLogger().addFilter(lambda record: "apitools not found" not in str(record.msg))
    status: int = commands[arguments.command].load()(arguments.arguments)
    return status


def run_and_leave(command: Callable[[], int] = main) -> NoReturn:
    """Run a command and end the process with its status, at once.

    The status is READER_GONE where who reads the answer has had enough of it, as `head` has.
    Beam leaves threads behind in native code. Where they run while Python finalizes, the process is
    aborted, and a job that is done and committed would seem to have failed.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started it
            nowhere = open(os.devnull, "w")  # noqa: SIM115
            setattr(sys, name, nowhere)
            setattr(sys, f"__{name}__", nowhere)
    try:
        status = command()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still printed
        status = READER_GONE
    atexit._run_exitfuncs()  # among them what ends a job server that Beam has started
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    run_and_leave()
