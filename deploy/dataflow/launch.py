"""Where a Flex Template starts: its parameters, all `--name=value`, become `platebeam read`.

They are named as the command's options with _ for -. INPUT is `inputs`, written as in a shell.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable

from pipelines.read_plates import main, make_parser


def command_line(parameters: Iterable[str], image: str) -> list[str]:
    """The arguments of `platebeam read` for a template's parameters; others are left to Beam.

    Args:
        parameters: what the template's launcher passes.
        image: the container image that the workers run.
    """
    options = vars(make_parser().parse_args(["INPUT", "--output=FOLDER"]))
    inputs: list[str] = []
    arguments = ["--runner=DataflowRunner", f"--sdk_container_image={image}"]
    for parameter in parameters:
        name, _, value = parameter.removeprefix("--").partition("=")
        option = f"--{name.replace('_', '-')}"
        if name == "inputs":
            try:
                inputs = shlex.split(value)
            except ValueError as error:
                raise SystemExit(f"inputs={value}: {error}") from None
        elif name not in options:
            arguments.append(parameter)
        elif not isinstance(options[name], bool):
            arguments.append(f"{option}={value}")
        elif value == "true":
            arguments.append(option)
    return [*inputs, *arguments]


if __name__ == "__main__":
    sys.exit(main(command_line(sys.argv[1:], os.environ["PLATEBEAM_IMAGE"])))
