"""`platebeam read`: pictures in, Parquet tables with plate reads and their accuracy out.

Options that are not platebeam's go to Beam. Without a `--runner` the job runs in this process on
Beam's FnApiRunner, which is deterministic and downloads nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import itertools
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import IO, Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineState

from lpr_core.bundle import Bundle, BundleError
from lpr_core.decode import DecodeLimits
from lpr_core.networks import BACKENDS
from lpr_core.plate_reader import DETECTORS, READERS, PlateReader, ReaderConfig
from pipelines.cli import code_version, run_and_leave
from pipelines.commit import CommitRun, RunPlan, RunState
from pipelines.gather import GatherInputs, unpack
from pipelines.inputs import Listing, TruthFiles, find_listings
from pipelines.interruption import ended_with_its_workers
from pipelines.metrics import AddCounts, AddSlices, count_outcome, count_slices
from pipelines.option_types import number, place, whole_number
from pipelines.pictures import named
from pipelines.progress import progress, tick, worker_chatter_kept
from pipelines.pseudonyms import PseudonymError, Pseudonyms, check_alike
from pipelines.redact import redact
from pipelines.resume import FILE_FIELDS, RECORD_FIELDS, Resume, earlier_files
from pipelines.run_record import (
    RecordError,
    check_fields,
    each_record,
    read_record,
    record_path,
    utc_now,
)
from pipelines.shared_reader import SharedReader, load_bundle
from pipelines.stages import Limits, ReadPictures
from pipelines.summary import print_reads, print_summary
from pipelines.tables import (
    Row,
    Run,
    WriteTable,
    hide_nothing,
    image_rows,
    merge_files,
    plate_rows,
    remove_file,
    shard_of,
    truth_rows,
)
from pipelines.uris import (
    add_storage_options,
    canonical_uri,
    make_parent,
    open_store,
    output_folder,
    reason_of,
    use_storage_options,
)

LOCAL_RUNNERS = ("direct", "fnapi")
"""In small letters and without the "runner" at the end, as Beam compares names."""

ALIKE = 0.8
"""Share of equal letters (`difflib`) from where one option is another misspelt."""

LONGEST_TIMEOUT = 86_400
"""Seconds; the system's own timers take no more than some weeks."""


LONGEST_RUN_ID = 200
"""Bytes; names of files, which have it in them, may have 255."""


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
        type=place,
        nargs="+",
        metavar="INPUT",
        help="folder (pictures by extension, recursively), glob, picture, or manifest (.txt, .csv, "
        ".jsonl, .parquet); local paths or anything fsspec opens (s3://, gs://, zip://...)",
    )
    parser.add_argument(
        "--output",
        type=place,
        required=True,
        metavar="FOLDER",
        help="where the tables and run records go",
    )
    parser.add_argument(
        "--truth",
        type=place,
        action="append",
        default=[],
        metavar="CSV",
        help="known plates: image, x, y, w, h, text and any labels; may be repeated",
    )
    add_storage_options(parser)
    parser.add_argument(
        "--bundle", type=place, metavar="FOLDER", help="models (default: those of the package)"
    )
    parser.add_argument(
        "--detector",
        choices=list(DETECTORS),
        default=ReaderConfig.detector,
        help="finds plates by the bundle's network, by contours, or takes each picture as one "
        "plate (default: %(default)s)",
    )
    parser.add_argument(
        "--reader",
        choices=list(READERS),
        default=ReaderConfig.reader,
        help="reads a plate as a whole, or cut into its characters (default: %(default)s)",
    )
    parser.add_argument(
        "--backend",
        choices=list(BACKENDS),
        default=ReaderConfig.backend,
        help="runs the networks (default: %(default)s)",
    )
    parser.add_argument(
        "--layouts",
        type=_layouts,
        default=ReaderConfig.layouts,
        metavar="NAME,...",
        help="layouts of plates that tell O from 0 and I from 1, e.g. eu,us-ca,br (default: none)",
    )
    parser.add_argument(
        "--min-confidence",
        type=number(0, 1),
        default=ReaderConfig.min_confidence,
        help="plates less sure than this are unreadable (default: %(default)s)",
    )
    parser.add_argument(
        "--max-failure-rate",
        type=number(0, 1),
        default=1.0,
        help="exit with status 3 if a larger share of the inputs failed (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=whole_number(1),
        default=_cores(),
        help="local workers (default: the cores it may use, %(default)s)",
    )
    parser.add_argument(
        "--max-bytes",
        type=whole_number(1),
        default=limits.max_bytes,
        help="largest file to read (default: %(default)s)",
    )
    parser.add_argument(
        "--max-pixels",
        type=whole_number(1),
        default=limits.max_pixels,
        help="largest picture to decode (default: %(default)s)",
    )
    parser.add_argument(
        "--load-attempts",
        type=whole_number(1),
        default=Limits.load_attempts,
        metavar="N",
        help="how often a picture is asked for if a store fails for the moment "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--image-timeout",
        type=number(0.001, LONGEST_TIMEOUT),
        default=Limits.timeout,
        metavar="SECONDS",
        help="a picture that takes longer has failed (default: %(default)s)",
    )
    parser.add_argument(
        "--resume",
        choices=[kind.value for kind in Resume],
        nargs="?",
        const=Resume.VERSION.value,
        help="leave out what committed runs of FOLDER have read with these models and options: by "
        "the source's version, which a listing tells, or by content, which is fetched "
        "(alone, as the last argument: version)",
    )
    parser.add_argument(
        "--keep-crops", action="store_true", help="keep each plate's crop in the plates table"
    )
    parser.add_argument(
        "--pseudonymise",
        metavar="KEYFILE",
        help="write keyed tokens in place of plates and URIs, and the tables with them into the "
        "folder FOLDER-restricted; the file holds at least 32 secret bytes",
    )
    parser.add_argument(
        "--shards",
        type=whole_number(1),
        metavar="N",
        help="files a table at most (default: one a worker's bundle, thousands on a cluster)",
    )
    parser.add_argument(
        "--run-id", type=_name, help="names the run (default: the time and a random number)"
    )
    parser.add_argument(
        "--show-reads",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="print the first N pictures' reads",
    )
    return parser


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not everywhere; fewer than there are in a container
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _layouts(text: str) -> tuple[str, ...]:
    names = tuple(sorted(set(text.split(","))))  # in whichever order, the same reads
    try:
        ReaderConfig(layouts=names)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return names


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} has more than letters, digits and . _ -")
    if len(text.encode()) > LONGEST_RUN_ID:
        raise argparse.ArgumentTypeError(f"it is longer than {LONGEST_RUN_ID} bytes")
    return text


@dataclass(frozen=True)
class Output:
    """A folder of tables that a job writes.

    Attributes:
        name: of the step that writes them.
        plan: of its run record.
        hide: makes of each row what may stand there.
    """

    name: str
    plan: RunPlan
    hide: Callable[[Row], Row] = hide_nothing


@dataclass(frozen=True)
class Job:
    """A job whose options are known to be good.

    Its outputs are committed in their order: the first has the complete tables, the record of the
    last commits the run.
    """

    arguments: argparse.Namespace
    listings: list[Listing]
    truths: TruthFiles
    earlier: list[tuple[int, str]]
    outputs: list[Output]
    reader: SharedReader
    limits: Limits
    pipeline: beam.Pipeline
    is_local: bool

    @property
    def plan(self) -> RunPlan:
        """Of the record that commits the run, in the folder that --output names."""
        return self.outputs[-1].plan


def prepare(argv: Sequence[str] | None = None) -> Job:
    """Check everything that can be checked before any picture is touched.

    Raises:
        OptionError: an option, input, bundle or output that cannot be used.
        SystemExit: an option that argparse refuses.
    """
    arguments, beam_arguments = make_parser().parse_known_args(argv)
    use_storage_options(arguments.storage_options)
    pipeline, is_local = _make_pipeline(beam_arguments, arguments)
    folder = None if arguments.bundle is None else canonical_uri(arguments.bundle)
    bundle, reader = _load_reader(arguments, folder)
    run_id = (
        arguments.run_id or f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    )
    run = Run(run_id, output_folder(arguments.output), bundle.sha256, reader.config.sha256)
    try:
        decode_limits = DecodeLimits(arguments.max_bytes, arguments.max_pixels)
        listings = find_listings(arguments.inputs)
        truths = TruthFiles(arguments.truth)
    except ValueError as error:
        raise OptionError(str(error)) from error
    limits = Limits(decode_limits, arguments.load_attempts, arguments.image_timeout)
    beam_options = pipeline.options.get_all_options(drop_default=True, retain_unknown_options=True)
    plan = RunPlan(
        run=run,
        started_at=utc_now(),
        truth_rows=len(truths),
        max_failure_rate=arguments.max_failure_rate,
        bundle={
            "name": bundle.manifest.get("name"),
            "location": redact(folder),
            "sha256": bundle.sha256,
        },
        config={**asdict(reader.config), "sha256": reader.config.sha256},
        options=redact({**vars(arguments), "beam": beam_options}),
        code_version=code_version(),
    )
    outputs = _outputs(plan, arguments.pseudonymise)
    earlier = _check_outputs(outputs, arguments)
    shared = SharedReader(folder, bundle.sha256, reader.config)
    return Job(arguments, listings, truths, earlier, outputs, shared, limits, pipeline, is_local)


def _make_pipeline(
    beam_arguments: list[str], arguments: argparse.Namespace
) -> tuple[beam.Pipeline, bool]:
    # All that is pickled lies in modules. On Dataflow, Beam would pickle the main session unasked.
    options = PipelineOptions(["--no_save_main_session", *beam_arguments])
    runner = options.view_as(StandardOptions).runner or "DirectRunner"
    is_local = runner.rpartition(".")[2].lower().removesuffix("runner") in LOCAL_RUNNERS
    _check_beam_options(beam_arguments, arguments, is_local)
    if is_local:
        options = PipelineOptions(_local_options(beam_arguments, arguments))
    try:
        pipeline = beam.Pipeline(options=options)
        # For transforms of other languages, of which there are none: a refusal would leave it.
        shutil.rmtree(pipeline.local_tempdir)
        return pipeline, is_local
    except (AttributeError, ImportError, ValueError) as error:
        raise OptionError(f"--runner={runner}: {' '.join(str(error).split())}") from error


def _check_beam_options(
    beam_arguments: list[str], arguments: argparse.Namespace, is_local: bool
) -> None:
    """Refuse what Beam would drop with a warning, such as a misspelt option.

    An engine may have options of its own, of which Beam's Python knows nothing: for others than the
    local ones, only what looks like one of platebeam's is refused.
    """
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for kind in PipelineOptions.__subclasses__():
        if "_add_argparse_args" in vars(kind):
            kind._add_argparse_args(known)
    unknown = known.parse_known_args(beam_arguments)[1]
    if unknown and is_local:
        raise OptionError(f"neither platebeam nor Beam knows {' '.join(unknown)}")
    own = [name.replace("_", "-") for name in vars(arguments)]
    for option in (one for one in unknown if one.startswith("-")):
        name = option.partition("=")[0].lstrip("-").replace("_", "-")
        alike = difflib.get_close_matches(name, own, n=1, cutoff=ALIKE)
        if "onym" in name:  # pseudonymisation, anonymise, …: plates must not be written in clear
            alike = ["pseudonymise"]
        for meant in alike:
            raise OptionError(f"{option} is no option: is --{meant} meant?")


def _local_options(beam_arguments: list[str], arguments: argparse.Namespace) -> list[str]:
    own = [
        f"--direct_running_mode={_running_mode(arguments)}",
        f"--direct_num_workers={arguments.workers}",
    ]
    return [*own, *beam_arguments, "--runner=FnApiRunner"]


def _running_mode(arguments: argparse.Namespace) -> str:
    """How Beam's in-process runner spreads work: over processes, since threads share Python's lock.

    What is in this process's memory, other processes cannot see.
    """
    if arguments.workers == 1:
        return "in_memory"
    uris = [*arguments.inputs, arguments.output, arguments.pseudonymise or ""]
    if any("memory:" in uri for uri in uris):
        return "multi_threading"
    try:  # Beam would wait for ever for a worker that cannot start
        subprocess.run([sys.executable, "-c", ""], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise OptionError(f"worker processes cannot start ({error}): use --workers 1") from error
    return "multi_processing"


def _load_reader(arguments: argparse.Namespace, folder: str | None) -> tuple[Bundle, PlateReader]:
    config = ReaderConfig(
        arguments.detector,
        arguments.reader,
        arguments.backend,
        arguments.min_confidence,
        arguments.layouts,
    )
    try:
        bundle = load_bundle(folder)
        reader = PlateReader(bundle, config)
        reader.warm_up()
    except BundleError as error:
        raise OptionError(str(error)) from error
    except ImportError as error:
        raise OptionError(f"the {config.backend} backend needs {error.name or error}") from error
    return bundle, reader


def _outputs(plan: RunPlan, key_file: str | None) -> list[Output]:
    if key_file is None:
        return [Output("Tables", plan)]
    try:
        made = Pseudonyms.from_file(key_file)
        return [
            Output("RestrictedTables", made.restricted_plan(plan), made.restricted_row),
            Output("Tables", made.public_plan(plan), made.public_row),
        ]
    except PseudonymError as error:
        raise OptionError(str(error)) from error


def _check_outputs(
    outputs: Sequence[Output], arguments: argparse.Namespace
) -> list[tuple[int, str]]:
    """Whether they can be written to; with --resume, the files of earlier runs to look into."""
    resumes = arguments.resume is not None
    found = [_check_output(output.plan, resumes) for output in reversed(outputs)]
    if not resumes:
        return []
    public, complete = found[0], found[-1]  # the same where nothing is hidden
    committed = {record["run_id"] for record in public}
    records = [record for record in complete if record["run_id"] in committed]
    run, options = outputs[0].plan.run, vars(arguments)
    return earlier_files(records, run.output, run.bundle_sha256, run.config_sha256, options)


def _check_output(plan: RunPlan, every: bool) -> list[dict[str, Any]]:
    """Whether it can be written to; the records there, one at most unless every is asked for."""
    run = plan.run
    try:
        fs, path = open_store(record_path(run.output, run.run_id))
        if fs.exists(path):
            raise OptionError(f"{run.output} already has a run {run.run_id}")
        make_parent(fs, path)
        fs.pipe_file(f"{path}.tmp", b"")
        fs.rm_file(f"{path}.tmp")
        records = list(itertools.islice(each_record(run.output), None if every else 1))
        check_alike(records, plan)
        for record in records if every else ():
            check_fields(record, run.output, RECORD_FIELDS, FILE_FIELDS)
        return records
    except OptionError:
        raise
    except (PseudonymError, RecordError) as error:
        raise OptionError(str(error)) from error
    except Exception as error:  # a store's driver raises what it likes
        raise OptionError(f"cannot write to {run.output}: {reason_of(error)}") from error


def build(pipeline: beam.Pipeline, job: Job) -> None:
    """Lay the graph; it shuffles URIs and what is said of them, never pictures."""
    arguments = job.arguments
    blocks, inputs = (
        pipeline
        | "Inputs" >> beam.Create(job.listings)
        | "GatherInputs"
        >> GatherInputs(job.truths, Resume(arguments.resume or Resume.VERSION), job.earlier)
    )
    every = (
        blocks
        | "Unpack" >> beam.FlatMap(unpack)
        | "NamePictures" >> beam.Map(named)
        | "ReadPictures" >> ReadPictures(job.reader, job.limits, arguments.keep_crops)
        | "Tick" >> beam.Map(tick)
    )
    counts = (
        every
        | "CountOutcome" >> beam.Map(count_outcome)
        | "AddOutcomes" >> beam.CombineGlobally(AddCounts())
    )
    results = every | "Changed" >> beam.Filter(lambda result: not result.unchanged)
    slices = (
        results
        | "CountSlices" >> beam.FlatMap(count_slices)
        | "AddSlices" >> beam.CombinePerKey(AddSlices())
    )
    accounts = (
        beam.pvalue.AsSingleton(inputs),
        beam.pvalue.AsSingleton(counts),
        beam.pvalue.AsList(slices),
    )
    committed = pipeline | "Last" >> beam.Create([None])
    for output in job.outputs:
        committed = results | output.name >> WriteRun(output, arguments.shards, accounts, committed)


@dataclass(eq=False)
class WriteRun(beam.PTransform):
    """Picture results to the tables of an output, and to its record once `after` is there.

    Attributes:
        output: where to.
        shards: files a table at most; None: one a bundle.
        accounts: side inputs of `CommitRun`, all but the files.
        after: of one element: the record that is committed before, or None.
    """

    output: Output
    shards: int | None
    accounts: Sequence[Any]
    after: Any

    def expand(self, results: Any) -> Any:
        """Write, merge, commit, clean up; the record."""
        plan, hide, shards = self.output.plan, self.output.hide, self.shards
        run = plan.run
        files = (
            results | "WriteImages" >> beam.ParDo(WriteTable("images", image_rows, run, hide)),
            results | "WritePlates" >> beam.ParDo(WriteTable("plates", plate_rows, run, hide)),
            results | "WriteTruths" >> beam.ParDo(WriteTable("truths", truth_rows, run, hide)),
        ) | "Files" >> beam.Flatten()
        parts = files
        if shards is not None:
            files = (
                parts
                | "ByShard" >> beam.GroupBy(lambda file: shard_of(file, shards))
                | "MergeFiles" >> beam.Map(merge_files, run)
            )
        commit = beam.ParDo(CommitRun(plan), *self.accounts, beam.pvalue.AsList(files))
        record = self.after | "CommitRun" >> commit
        if shards is not None:
            parts | "RemoveParts" >> beam.Map(remove_file, beam.pvalue.AsSingleton(record), run)
        return record


def run(
    argv: Sequence[str] | None = None, test_pipeline: beam.Pipeline | None = None
) -> dict[str, Any] | None:
    """Run the job to its end and return its run record.

    Args:
        argv: arguments as of the command line, without its name.
        test_pipeline: the pipeline to build on in place of one from the options.

    Returns:
        The record, with --pseudonymise that of the public tables; None where the engine only built
        the job (Dataflow: a dry run, a template).

    Raises:
        OptionError: before any work.
        RuntimeError: the job failed; without a record nothing is committed.
    """
    job = prepare(argv)
    return _run(job, test_pipeline)


def _run(
    job: Job,
    test_pipeline: beam.Pipeline | None = None,
    progress_to: IO[str] | None = None,
) -> dict[str, Any] | None:
    pipeline = test_pipeline or job.pipeline
    build(pipeline, job)
    with progress(progress_to) if job.is_local else contextlib.nullcontext():
        result = pipeline.run()
        state = result.wait_until_finish()
    # Dataflow tells no state of a dry run, and DONE of a template, for which there is no job yet.
    if state is None or not getattr(result, "has_job", True):
        return None
    if state != PipelineState.DONE:
        raise RuntimeError(f"the engine ended in the state {state}")
    return _record_of(job.plan.run)


def _run_locally(job: Job) -> dict[str, Any] | None:
    run = job.plan.run
    interrupted = (
        f"platebeam read: run {run.run_id} was interrupted: it is committed only if "
        f"`platebeam runs {run.output}` lists it"
    )
    with worker_chatter_kept() as stderr, ended_with_its_workers(stderr, interrupted):
        return _run(job, progress_to=stderr)


def _record_of(run: Run) -> dict[str, Any]:
    record = read_record(run.output, run.run_id)
    if record is None:
        raise RuntimeError("the engine is done, yet there is no run record")
    return record


def main(argv: Sequence[str] | None = None) -> int:
    """Run `platebeam read`.

    Returns:
        0: complete, or only built; 1: the job failed; 2: bad options, nothing was done; 3:
        complete, and more inputs failed than --max-failure-rate allows. A run is committed if its
        record is there, which the job's last step writes.
    """
    start = time.monotonic()
    try:
        with ended_with_its_workers(sys.stderr, "platebeam read: interrupted, nothing was done"):
            job = prepare(argv)
    except OptionError as error:
        print(f"platebeam read: {error}", file=sys.stderr)
        return 2
    output = job.plan.run.output
    try:
        record = _run_locally(job) if job.is_local else _run(job)
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
        print(f"platebeam read: THE JOB FAILED: {lines[-1]}", file=sys.stderr)
        return 1
    if record is None:
        print(f"no run record in {output} yet: the engine only built the job")
        return 0
    try:
        if job.arguments.show_reads > 0:
            complete = job.outputs[0].plan.run
            print_reads(_record_of(complete), complete.output, job.arguments.show_reads)
        print_summary(record, output, time.monotonic() - start)
    except Exception as error:
        print(
            f"platebeam read: run {record['run_id']} is committed in {output}, "
            f"but its summary cannot be printed: {error!r}",
            file=sys.stderr,
        )
    if record["state"] == RunState.OVER_FAILURE_LIMIT.value:
        print(
            f"platebeam read: more than {job.plan.max_failure_rate:.1%} of the inputs failed",
            file=sys.stderr,
        )
        return 3
    return 0


if __name__ == "__main__":
    run_and_leave(main)
