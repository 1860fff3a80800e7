"""From INPUT to pictures, inside the pipeline: listed by many workers, each picture once.

All that is said of a URI (rows of manifests, truths, earlier reads of it) meets in one grouping by
the URI's hash, in compressed blocks: what is shuffled costs Beam's in-process runner 2 to 8 KB an
element, so as elements of their own, inputs would cost more memory than everything else about them.
"""

from __future__ import annotations

import pickle
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.inputs import (
    ImageRef,
    Listing,
    TruthFiles,
    look_into,
    merge,
)
from pipelines.metrics import AddCounts, Counts
from pipelines.progress import announce
from pipelines.resume import EarlierRead, EarlierReads, Resume, standing
from pipelines.uris import OpensStores

GROUPS = 4096
"""Groups of URIs: enough to share among many workers, few enough to pack many URIs into each."""

BLOCK_SIZE = 16
"""Inputs that are read one after another by one worker."""

HELD = 50_000
"""Refs that a worker holds before it packs them."""

LEVELS = 3
"""Levels of folders that are spread over the workers; each of the last is listed whole by one."""

COUNTS, FOLDERS = "counts", "folders"

Placed: TypeAlias = tuple[int, tuple[int, int], ImageRef]
"""A ref with its INPUT and its place there: part and row."""

Said: TypeAlias = "Placed | EarlierRead"
"""What is said of a URI: a ref, or how it was read before."""


def pack(items: Sequence[Any]) -> bytes:
    """Items as one compressed block."""
    return zlib.compress(pickle.dumps(items))


def unpack(block: bytes) -> list[Any]:
    """The items of a block."""
    items: list[Any] = pickle.loads(zlib.decompress(block))
    return items


class ListFn(OpensStores, beam.DoFn):
    """Lists one level of a folder, or all of them; the refs come with their INPUT and place."""

    def __init__(self, deep: bool) -> None:
        self._deep = deep

    def process(self, listing: Listing) -> Iterator[Any]:
        """Yield refs, folders still to be listed, and counts of what was passed over."""
        waiting, place = [listing], 0
        while waiting:
            found = look_into(waiting.pop())
            for ref in found.refs:
                yield listing.given, (listing.row_group or 0, place), ref
                place += 1
            if found.ignored:
                yield TaggedOutput(COUNTS, Counter({("ignored",): found.ignored}))
            if self._deep:
                waiting += found.folders
            else:
                yield from (TaggedOutput(FOLDERS, folder) for folder in found.folders)


class PackByUri(beam.DoFn):
    """Packs what is said of URIs into blocks, each of one group."""

    def start_bundle(self) -> None:
        """Begin with nothing."""
        self._groups: defaultdict[int, list[Said]] = defaultdict(list)
        self._held = 0

    def process(self, said: Said) -> Iterator[tuple[int, bytes]]:
        """Keep it until there is enough to pack."""
        uri = said.uri if isinstance(said, EarlierRead) else said[2].uri
        self._groups[zlib.crc32(uri.encode()) % GROUPS].append(said)
        self._held += 1
        if self._held >= HELD:
            yield from self._packed()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Pack the rest."""
        for block in self._packed():
            yield GlobalWindows.windowed_value(block)

    def _packed(self) -> Iterator[tuple[int, bytes]]:
        for group, items in sorted(self._groups.items()):
            yield group, pack(items)
        self.start_bundle()


class GatherFn(OpensStores, beam.DoFn):
    """Makes one ref of all that is said of a URI, and leaves out what need not be read again."""

    def __init__(self, truths: TruthFiles, resume: Resume) -> None:
        self._truths = pack([truths])  # small in the graph, whose size engines limit
        self._resume = resume

    def setup(self) -> None:
        """Unpack the truths."""
        (self._known,) = unpack(self._truths)

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
        """Yield blocks of refs, and counts: inputs, unchanged ones, and by each key of the truths
        with how many rows, those it is about."""
        said = [item for block in group[1] for item in unpack(block)]
        earlier: defaultdict[str, list[EarlierRead]] = defaultdict(list)
        for item in said:
            if isinstance(item, EarlierRead):
                earlier[item.uri].append(item)
        refs = _once_each(item for item in said if not isinstance(item, EarlierRead))
        counts: Counts = Counter({("inputs",): len(refs)})
        to_read = []
        for ref in refs:
            key = self._known.key(ref)
            if key is not None:
                ref = self._known.known(ref, key)
                counts["truth", key, str(self._known.rows(key))] += 1
            kept = _unless_unchanged(ref, earlier[ref.uri], self._resume)
            if kept is None:
                counts["unchanged",] += 1
            else:
                to_read.append(kept)
        announce(len(to_read))
        for start in range(0, len(to_read), BLOCK_SIZE):
            yield pack(to_read[start : start + BLOCK_SIZE])
        yield TaggedOutput(COUNTS, counts)


def _once_each(said: Iterable[Placed]) -> list[ImageRef]:
    """Rows that share a URI as one ref, in the order in which they were given."""
    refs: dict[tuple[str, bool], ImageRef] = {}
    for _, _, ref in sorted(said, key=lambda item: item[:2]):
        key = ref.uri, ref.problem is None
        refs[key] = merge(refs[key], ref) if key in refs else ref
    return list(refs.values())


def _unless_unchanged(
    ref: ImageRef, earlier: Sequence[EarlierRead], resume: Resume
) -> ImageRef | None:
    """The ref if it has to be read, or if only load can tell: of a manifest's pictures the version,
    with --resume=content the bytes."""
    by_content = resume is Resume.CONTENT
    marks = standing(earlier, resume)
    if ref.problem is not None or not marks:
        return ref
    if by_content or ref.version is None:
        return replace(ref, known=tuple(marks))
    return None if ref.version in marks else ref


@dataclass(eq=False)
class GatherInputs(beam.PTransform):
    """Listings to (blocks of refs, spread over the workers; counts of all that was listed).

    Attributes:
        truths: the plates known.
        resume: by what an input that was read before is known again.
        earlier: files of images tables to look for such inputs in, each with its run's place; none:
            every input is read.
    """

    truths: TruthFiles
    resume: Resume
    earlier: Sequence[tuple[int, str]]

    def expand(self, listings: Any) -> Any:
        """List, group, gather, spread."""
        refs, counts = [], []
        for level in range(1, LEVELS + 1):
            listing = ListFn(deep=level == LEVELS)
            found = listings | f"ListLevel{level}" >> beam.ParDo(listing).with_outputs(
                COUNTS, FOLDERS, main="refs"
            )
            refs.append(found.refs)
            counts.append(found[COUNTS])
            if level < LEVELS:
                listings = found[FOLDERS] | f"SpreadLevel{level}" >> beam.Reshuffle()
        said = [refs | "Refs" >> beam.Flatten() | "PackRefs" >> beam.ParDo(PackByUri())]
        if self.earlier:
            said.append(
                listings.pipeline
                | "EarlierFiles" >> beam.Create(self.earlier)
                | "SpreadEarlier" >> beam.Reshuffle()
                | "EarlierReads" >> beam.ParDo(EarlierReads())
                | "PackEarlier" >> beam.ParDo(PackByUri())
            )
        gathered = (
            said
            | "Said" >> beam.Flatten()
            | "GroupByUri" >> beam.GroupByKey()
            | "Gather"
            >> beam.ParDo(GatherFn(self.truths, self.resume)).with_outputs(COUNTS, main="blocks")
        )
        blocks = gathered.blocks | "Spread" >> beam.Reshuffle()
        total = (
            [*counts, gathered[COUNTS]]
            | "Counts" >> beam.Flatten()
            | "AddListed" >> beam.CombineGlobally(AddCounts())
        )
        return blocks, total
