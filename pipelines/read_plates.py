"""`platebeam read`: pictures in, Parquet tables with plate reads and their accuracy out.

Options that are not platebeam's go to Beam. Without a `--runner` the job runs in this process on
Beam's FnApiRunner, which is deterministic and downloads nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import apache_beam as beam
import fsspec
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from lpr_core.bundle import Bundle, BundleError
from lpr_core.decode import DecodeLimits
from lpr_core.plate_reader import DETECTORS, PlateReader, ReaderConfig
from lpr_core.recognize import BACKENDS
from pipelines.cli import code_version
from pipelines.inputs import (
    InputError,
    Inputs,
    block_size,
    canonical_uri,
    expand_inputs,
    pack_refs,
)
from pipelines.metrics import AddCounts, count_outcome, count_slices
from pipelines.progress import progress, tick
from pipelines.run_record import (
    CommitRun,
    RunPlan,
    RunState,
    read_record,
    record_path,
    redact,
    utc_now,
)
from pipelines.shared_reader import SharedReader, load_bundle
from pipelines.stages import ReadPictures, name_pictures
from pipelines.summary import print_reads, print_summary
from pipelines.tables import Run, WriteTable, image_rows, plate_rows, truth_rows

LOCAL_RUNNERS = (None, "DirectRunner", "FnApiRunner")


class OptionError(ValueError):
    """Options that no job can be run with; the message says which and why."""


def make_parser() -> argparse.ArgumentParser:
    """The options of `platebeam read`."""
    parser = argparse.ArgumentParser(
        prog="platebeam read",
        usage="%(prog)s INPUT... --output FOLDER [options] [Beam options]",
        description="Read licence plates from pictures into Parquet tables.",
        allow_abbrev=False,  # an abbreviation of ours may be an option of Beam's
    )
    limits = DecodeLimits()
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="folder (pictures by extension, recursively), glob, picture, or manifest (.txt, .csv, "
        ".jsonl, .parquet); local paths or anything fsspec opens (s3://, gs://, zip://...)",
    )
    parser.add_argument(
        "--output", required=True, metavar="FOLDER", help="where the tables and run records go"
    )
    parser.add_argument(
        "--truth",
        action="append",
        default=[],
        metavar="CSV",
        help="known plates: image, x, y, w, h, text and any labels; may be repeated",
    )
    parser.add_argument("--bundle", metavar="FOLDER", help="models (default: those of the package)")
    parser.add_argument("--detector", choices=list(DETECTORS), default=ReaderConfig.detector)
    parser.add_argument("--backend", choices=list(BACKENDS), default=ReaderConfig.backend)
    parser.add_argument(
        "--min-confidence",
        type=_share,
        default=ReaderConfig.min_confidence,
        help="plates less sure than this are unreadable (default: %(default)s)",
    )
    parser.add_argument(
        "--max-failure-rate",
        type=_share,
        default=1.0,
        help="exit with status 3 if a larger share of the inputs failed (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=_at_least_one,
        default=os.cpu_count(),
        help="local workers (default: the cores, %(default)s)",
    )
    parser.add_argument(
        "--max-bytes",
        type=_at_least_one,
        default=limits.max_bytes,
        help="largest file to read (default: %(default)s)",
    )
    parser.add_argument(
        "--max-pixels",
        type=_at_least_one,
        default=limits.max_pixels,
        help="largest picture to decode (default: %(default)s)",
    )
    parser.add_argument(
        "--keep-crops", action="store_true", help="keep each plate's crop in the plates table"
    )
    parser.add_argument(
        "--run-id", type=_name, help="names the run (default: the time and a random number)"
    )
    parser.add_argument(
        "--show-reads", type=int, default=0, metavar="N", help="print the first N pictures' reads"
    )
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} has more than letters, digits and . _ -")
    return text


@dataclass(frozen=True)
class Job:
    """A job whose options are known to be good."""

    arguments: argparse.Namespace
    inputs: Inputs
    plan: RunPlan
    reader: SharedReader
    options: PipelineOptions
    is_local: bool


def prepare(argv: Sequence[str] | None = None) -> Job:
    """Check everything that can be checked before any picture is touched.

    Raises:
        OptionError: an option, input, bundle or output that cannot be used.
        SystemExit: an option that argparse refuses.
    """
    arguments, beam_arguments = make_parser().parse_known_args(argv)
    options, is_local = _beam_options(beam_arguments, arguments.workers)
    bundle, reader = _load_reader(arguments)
    run_id = (
        arguments.run_id or f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    )
    run = Run(run_id, canonical_uri(arguments.output), bundle.sha256, reader.config.sha256)
    try:
        inputs = expand_inputs(arguments.inputs, arguments.truth)
    except InputError as error:
        raise OptionError(str(error)) from error
    _check_output(run)
    beam_options = options.get_all_options(drop_default=True, retain_unknown_options=True)
    plan = RunPlan(
        run=run,
        started_at=utc_now(),
        ignored_files=inputs.ignored,
        max_failure_rate=arguments.max_failure_rate,
        bundle={
            "name": bundle.manifest.get("name"),
            "location": redact(arguments.bundle),
            "sha256": bundle.sha256,
        },
        config={**asdict(reader.config), "sha256": reader.config.sha256},
        options=redact({**vars(arguments), "beam": beam_options}),
        code_version=code_version(),
    )
    folder = None if arguments.bundle is None else canonical_uri(arguments.bundle)
    shared = SharedReader(folder, bundle.sha256, reader.config)
    return Job(arguments, inputs, plan, shared, options, is_local)


def _beam_options(arguments: list[str], workers: int) -> tuple[PipelineOptions, bool]:
    options = PipelineOptions(arguments)
    if options.view_as(StandardOptions).runner not in LOCAL_RUNNERS:
        return options, False
    # Beam drops what it does not know with a warning; a misspelt option must not pass.
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for kind in PipelineOptions.__subclasses__():
        if "_add_argparse_args" in vars(kind):
            kind._add_argparse_args(known)
    unknown = known.parse_known_args(arguments)[1]
    if unknown:
        raise OptionError(f"neither platebeam nor Beam knows {' '.join(unknown)}")
    mode = "in_memory" if workers == 1 else "multi_threading"
    own = [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]
    return PipelineOptions([*own, *arguments, "--runner=FnApiRunner"]), True


def _load_reader(arguments: argparse.Namespace) -> tuple[Bundle, PlateReader]:
    config = ReaderConfig(arguments.detector, arguments.backend, arguments.min_confidence)
    try:
        bundle = load_bundle(arguments.bundle)
        return bundle, PlateReader(bundle, config)
    except BundleError as error:
        raise OptionError(str(error)) from error


def _check_output(run: Run) -> None:
    try:
        fs, path = fsspec.core.url_to_fs(record_path(run.output, run.run_id))
        if fs.exists(path):
            raise OptionError(f"{run.output} already has a run {run.run_id}")
        fs.makedirs(fs._parent(path), exist_ok=True)
        fs.pipe_file(f"{path}.tmp", b"")
        fs.rm_file(f"{path}.tmp")
    except OptionError:
        raise
    except Exception as error:  # a store's driver raises what it likes
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OptionError(f"cannot write to {run.output}: {reason}") from error


def build(pipeline: beam.Pipeline, job: Job) -> None:
    """Lay the graph; its only reshuffle stands before load, where an element is a few URIs."""
    run, arguments = job.plan.run, job.arguments
    limits = DecodeLimits(arguments.max_bytes, arguments.max_pixels)
    blocks = pipeline | "ListInputs" >> beam.Create(pack_refs(job.inputs.refs), reshuffle=False)
    inputs = (
        blocks | "SizeOfBlocks" >> beam.Map(block_size) | "CountInputs" >> beam.CombineGlobally(sum)
    )
    results = (
        blocks
        | "Spread" >> beam.Reshuffle()
        | "NamePictures" >> beam.FlatMap(name_pictures)
        | "ReadPictures" >> ReadPictures(job.reader, limits, arguments.keep_crops)
        | "Tick" >> beam.Map(tick)
    )
    counts = (
        results
        | "CountOutcome" >> beam.Map(count_outcome)
        | "AddOutcomes" >> beam.CombineGlobally(AddCounts())
    )
    slices = (
        results
        | "CountSlices" >> beam.FlatMap(count_slices)
        | "AddSlices" >> beam.CombinePerKey(AddCounts())
    )
    files = (
        results | "WriteImages" >> beam.ParDo(WriteTable("images", image_rows, run)),
        results | "WritePlates" >> beam.ParDo(WriteTable("plates", plate_rows, run)),
        results | "WriteTruths" >> beam.ParDo(WriteTable("truths", truth_rows, run)),
    ) | "Files" >> beam.Flatten()
    (
        pipeline
        | "Last" >> beam.Create([None])
        | "CommitRun"
        >> beam.ParDo(
            CommitRun(job.plan),
            beam.pvalue.AsSingleton(inputs),
            beam.pvalue.AsSingleton(counts),
            beam.pvalue.AsList(slices),
            beam.pvalue.AsList(files),
        )
    )


def run(
    argv: Sequence[str] | None = None, test_pipeline: beam.Pipeline | None = None
) -> dict[str, Any] | None:
    """Run the job to its end and return its run record.

    Args:
        argv: arguments as of the command line, without its name.
        test_pipeline: the pipeline to build on in place of one from the options.

    Returns:
        The record; None where the engine did not run the job to its end (a Dataflow dry run).

    Raises:
        OptionError: before any work.
        RuntimeError: the job failed; nothing is committed.
    """
    job = prepare(argv)
    return _run(job, test_pipeline)


def _run(job: Job, test_pipeline: beam.Pipeline | None = None) -> dict[str, Any] | None:
    pipeline = test_pipeline or beam.Pipeline(options=job.options)
    total = len(job.inputs.refs)
    build(pipeline, job)
    if job.is_local:
        job.inputs.refs.clear()  # the graph has them; 10,000 are a few megabytes
        with progress(total):
            pipeline.run().wait_until_finish()
    else:
        pipeline.run().wait_until_finish()
    return read_record(job.plan.run.output, job.plan.run.run_id)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `platebeam read`.

    Returns:
        0: complete; 1: the job failed and nothing is committed; 2: bad options, nothing was done;
        3: complete, and more inputs failed than --max-failure-rate allows.
    """
    start = time.monotonic()
    try:
        job = prepare(argv)
    except OptionError as error:
        print(f"platebeam read: {error}", file=sys.stderr)
        return 2
    output = job.plan.run.output
    try:
        record = _run(job)
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
        print(f"platebeam read: THE JOB FAILED: {lines[-1]}", file=sys.stderr)
        return 1
    if record is None:
        print(f"no run record in {output}: the engine did not run the job to its end")
        return 0
    if job.arguments.show_reads > 0:
        print_reads(record, output, job.arguments.show_reads)
    print_summary(record, output, time.monotonic() - start)
    if record["state"] == RunState.OVER_FAILURE_LIMIT.value:
        print(
            f"platebeam read: more than {job.plan.max_failure_rate:.1%} of the inputs failed",
            file=sys.stderr,
        )
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
