"""The closed vocabulary of failures: where a picture can fail, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from lpr_core.decode import DecodeReason


class Stage(str, Enum):
    """Where a picture can fail."""

    INPUT = "input"
    LOAD = "load"
    DECODE = "decode"
    DETECT = "detect"
    SEGMENT = "segment"
    RECOGNISE = "recognise"


class Reason(str, Enum):
    """Why a picture failed, besides the reasons of `lpr_core.decode.DecodeReason`."""

    BAD_ROW = "bad_row"
    NOT_LISTED = "not_listed"
    NOT_FOUND = "not_found"
    PERMISSION_DENIED = "permission_denied"
    IS_A_DIRECTORY = "is_a_directory"
    TOO_MANY_BYTES = "too_many_bytes"
    IO_ERROR = "io_error"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    INTERNAL_ERROR = "internal_error"


FAILURES: Mapping[Stage, frozenset[Reason | DecodeReason]] = {
    Stage.INPUT: frozenset({Reason.BAD_ROW, Reason.NOT_LISTED}),
    Stage.LOAD: frozenset(
        {
            Reason.NOT_FOUND,
            Reason.PERMISSION_DENIED,
            Reason.IS_A_DIRECTORY,
            Reason.TOO_MANY_BYTES,
            Reason.IO_ERROR,
            Reason.TIMEOUT,
        }
    ),
    Stage.DECODE: frozenset({*DecodeReason, Reason.CRASHED, Reason.TIMEOUT, Reason.INTERNAL_ERROR}),
    Stage.DETECT: frozenset({Reason.TIMEOUT, Reason.INTERNAL_ERROR}),
    Stage.SEGMENT: frozenset({Reason.TIMEOUT, Reason.INTERNAL_ERROR}),
    Stage.RECOGNISE: frozenset({Reason.TIMEOUT, Reason.INTERNAL_ERROR}),
}
"""The closed vocabulary of failures: which reasons each stage can give."""

TIMED_STAGES = (Stage.LOAD, Stage.DECODE, Stage.DETECT, Stage.SEGMENT, Stage.RECOGNISE)


@dataclass(frozen=True)
class Failure:
    """Why an input gave no answer; the message names the input and never a plate's text."""

    stage: Stage
    reason: Reason | DecodeReason
    message: str

    def __post_init__(self) -> None:
        if self.reason not in FAILURES[self.stage]:
            raise ValueError(f"{self.reason} is no failure of stage {self.stage}")
