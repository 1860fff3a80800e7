"""Upright plate crops with their texts: real ones from folders, rendered ones kept in a cache."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lpr_core.decode import DecodeError, decode
from lpr_core.geometry import Box, Image
from lpr_core.score import normalise_text
from lpr_core.sequence import MAX_LENGTH, MIN_LENGTH
from model_training.characters import Refused
from model_training.composites import TRUTH_FILE
from model_training.generate import plates, quiet_worker
from model_training.glyphs import TrueTypeFont
from model_training.layers import perspective
from model_training.layouts import LAYOUTS, Layout
from model_training.scenes import Scene
from model_training.training_folder import TrainingError, write_json

HEIGHT, WIDTH = 96, 224
"""Pixels of a crop as it is kept: MARGIN of surroundings on each side, stretched to this size."""

MARGIN = 0.25
"""In shares of the plate's height."""

BLOCK = 1000
"""Rendered crops in a file of the cache."""

TEACHERS_FILE = "teachers.csv"
CACHE_FILE = "rendered.json"

COUNTRY_WEIGHTS = {"us": 2, "br": 3, "vn": 3, "in": 2, "cn": 2, "any": 4}
"""How often a country's layouts are drawn; the others once. Countries with many plates and few
layouts, and the United States with their many kinds, weigh more than a layout each."""


@dataclass(frozen=True, eq=False)
class PlateCrops:
    """Crops of one source.

    Attributes:
        name: of the source.
        pixels: uint8 (n, HEIGHT, WIDTH), grey; real ones are tight: MARGIN repeats their border.
        texts: of the plates, of ALPHABET, two-line plates top line first.
        aspects: width over height of the plates, float32 (n,).
        heights: of the plates in their files (of rendered ones: in `pixels`), pixels, float32 (n,).
        machine_labelled: how many texts were proposed by machines.
        sha256: of the files' bytes, or of the pixels; of all, whatever part this is.
        refused: files that were left out, and why.
    """

    name: str
    pixels: npt.NDArray[np.uint8]
    texts: tuple[str, ...]
    aspects: npt.NDArray[np.float32]
    heights: npt.NDArray[np.float32]
    machine_labelled: int = 0
    sha256: str = ""
    refused: tuple[Refused, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def split(self, validation_share: float) -> tuple[PlateCrops, PlateCrops]:
        """Training and validation: a text is on one side only, by its hash."""
        kept = np.array([_hash_share(text) < validation_share for text in self.texts], bool)
        return self.part(~kept), self.part(kept)

    def part(self, chosen: npt.NDArray[np.bool_]) -> PlateCrops:
        """The crops that are chosen, by bool of shape (n,)."""
        texts = tuple(text for text, choice in zip(self.texts, chosen, strict=True) if choice)
        return replace(
            self,
            pixels=self.pixels[chosen],
            texts=texts,
            aspects=self.aspects[chosen],
            heights=self.heights[chosen],
            machine_labelled=len(texts) if self.machine_labelled else 0,
        )


def _hash_share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def load_crops(folder: Path) -> PlateCrops:
    """The labelled crops of a folder, by its truth.csv (columns image, text and maybe use).

    A row whose use is not "train" is left out. A folder without a truth.csv may have a
    teachers.csv (columns image, read_a, read_b, …): where all reads of a crop agree, they are its
    label, one proposed by machines.

    Args:
        folder: holds the table and the pictures that it names.

    Raises:
        FileNotFoundError: there is neither table, or nothing in it can be learnt.
        TrainingError: a table lacks a column.
    """
    machine_labelled = not (folder / TRUTH_FILE).exists() and (folder / TEACHERS_FILE).exists()
    rows = (
        _agreed(folder / TEACHERS_FILE)
        if machine_labelled
        else read_rows(folder / TRUTH_FILE, ("image", "text"))
    )
    pixels, texts, sizes, refused = [], [], [], []
    digest = hashlib.sha256()
    for row in rows:
        path, text = folder / (row["image"] or ""), normalise_text(row["text"] or "")
        if not is_for_training(row) or not row["text"]:
            continue
        if not MIN_LENGTH <= len(text) <= MAX_LENGTH:
            reason = f"{row['text']!r} is no text of {MIN_LENGTH} to {MAX_LENGTH} of A-Z and 0-9"
            refused.append(Refused(path, reason))
            continue
        try:
            data = path.read_bytes()
            image = decode(data).pixels
        except (OSError, DecodeError) as error:
            refused.append(Refused(path, str(error)))
            continue
        digest.update(text.encode() + data)
        pixels.append(_framed(image))
        texts.append(text)
        sizes.append(image.shape)
    if not texts:
        told = f": {refused[0].path}: {refused[0].reason}" if refused else ""
        raise FileNotFoundError(f"{folder} has no crop with a text to learn from{told}")
    heights, widths = np.array(sizes).T
    return PlateCrops(
        folder.resolve().name,
        np.stack(pixels),
        tuple(texts),
        (widths / heights).astype(np.float32),
        heights.astype(np.float32),
        len(texts) if machine_labelled else 0,
        digest.hexdigest(),
        tuple(refused),
    )


def is_for_training(row: Mapping[str, str | None]) -> bool:
    """Whether a row of a truth.csv may be learnt from: it has no `use`, or this one."""
    return row.get("use", "train") == "train"


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str | None]]:
    """The rows of a table with a head.

    Raises:
        TrainingError: it lacks one of the columns.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise TrainingError(f"{path}: there is no column {', '.join(missing)}")
        return list(reader)


def _agreed(path: Path) -> list[dict[str, str | None]]:
    """Rows with the texts that all columns read_… agree on."""
    rows = []
    for row in read_rows(path, ("image",)):
        reads = {text for column, text in row.items() if column.startswith("read_")}
        if len(reads) == 1:
            rows.append({"image": row["image"], "text": reads.pop()})
    return rows


def _framed(image: Image) -> Image:
    """A tight crop as it is kept: its border repeated for MARGIN, stretched to size."""
    margin = max(1, round(MARGIN * image.shape[0]))
    sides = (margin, margin, margin, margin)
    framed = cv2.copyMakeBorder(image, *sides, cv2.BORDER_REPLICATE)
    shrinks = framed.shape[0] > HEIGHT
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(framed, (WIDTH, HEIGHT), interpolation=method), np.uint8)


def cut_plate(scene: Scene) -> tuple[Image, str, float]:
    """The plate of a grey close-up as it is kept: pixels (HEIGHT, WIDTH), text, aspect."""
    (plate,) = scene.plates
    quad = np.array(plate.quad)
    sides = np.hypot(*(np.roll(quad, -1, axis=0) - quad).T)
    aspect = float((sides[0] + sides[2]) / (sides[1] + sides[3]))
    matrix = perspective(plate_box(aspect).corners, plate.quad)
    pixels = scene.pixels
    shrink = math.floor((sides[1] + sides[3]) / 2 / (HEIGHT / (1 + 2 * MARGIN)))
    if shrink >= 2:  # warping does not average: shrink large plates first
        size = (max(1, pixels.shape[1] // shrink), max(1, pixels.shape[0] // shrink))
        scale = np.diag([size[0] / pixels.shape[1], size[1] / pixels.shape[0], 1.0])
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = scale @ matrix
    crop = cv2.warpPerspective(
        pixels,
        matrix,
        (WIDTH, HEIGHT),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    text = "".join(truth.character for truth in plate.plate.characters)
    return np.asarray(crop, np.uint8), text, aspect


def plate_box(aspect: float) -> Box:
    """Where the plate lies in a crop as it is kept."""
    x, y = WIDTH * MARGIN / (aspect + 2 * MARGIN), HEIGHT * MARGIN / (1 + 2 * MARGIN)
    return Box(x, y, WIDTH - 2 * x, HEIGHT - 2 * y)


@dataclass(frozen=True)
class RenderedCrops:
    """What the cache of rendered crops holds; item i depends on (seed, i) and the fonts alone."""

    seed: int
    count: int
    fonts: tuple[TrueTypeFont, ...] = ()
    layouts: tuple[Layout, ...] = field(default=())

    def numbers(self, block: int) -> range:
        """Of the crops in a file of the cache."""
        return range(block * BLOCK, min(self.count, (block + 1) * BLOCK))

    def block(self, number: int) -> tuple[npt.NDArray[np.uint8], list[str], list[float]]:
        """The crops of one file of the cache."""
        layouts = self.layouts or weighted_layouts()
        pixels, texts, aspects = [], [], []
        for scene in plates(self.seed, self.fonts, layouts, self.numbers(number), grey=True):
            crop, text, aspect = cut_plate(scene)
            pixels.append(crop)
            texts.append(text)
            aspects.append(aspect)
        return np.stack(pixels), texts, aspects


def weighted_layouts() -> tuple[Layout, ...]:
    """LAYOUTS, those of the countries that weigh more repeated."""
    return tuple(
        layout for layout in LAYOUTS for _ in range(COUNTRY_WEIGHTS.get(layout.country, 1))
    )


def render_crops(recipe: RenderedCrops, folder: Path, workers: int = 1) -> PlateCrops:
    """Rendered crops from a cache, which is filled first where it lacks some.

    Args:
        recipe: what to render.
        folder: of the cache; what it has of this recipe is taken as it is.
        workers: processes to render in; they change no byte.

    Raises:
        TrainingError: the cache holds crops of another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_cache(recipe, folder)
    numbers = range(math.ceil(recipe.count / BLOCK))
    missing = [n for n in numbers if _kept(folder, n) < len(recipe.numbers(n))]
    with tqdm(total=len(missing) * BLOCK, desc="rendering plates", disable=None) as progress:
        for _ in _rendered(recipe, folder, missing, workers):
            progress.update(BLOCK)
    pixels, texts, aspects = [], [], []
    digest = hashlib.sha256()
    for number in numbers:
        due = len(recipe.numbers(number))
        with np.load(_block_file(folder, number)) as block:
            pixels.append(block["pixels"][:due])
            of_block = block["texts"][:due].tolist()
            texts += of_block
            aspects.append(block["aspects"][:due])
            digest.update(pixels[-1].tobytes() + "".join(of_block).encode())
    return PlateCrops(
        "rendered",
        np.concatenate(pixels),
        tuple(texts),
        np.concatenate(aspects),
        np.full(len(texts), HEIGHT / (1 + 2 * MARGIN), np.float32),
        sha256=digest.hexdigest(),
    )


def _check_cache(recipe: RenderedCrops, folder: Path) -> None:
    """Keep in a new cache what its crops depend on, or compare.

    Raises:
        TrainingError: it is another.
    """
    layouts = repr(recipe.layouts or weighted_layouts())
    known = {
        "seed": recipe.seed,
        "fonts": [font.name for font in recipe.fonts],
        "layouts_sha256": hashlib.sha256(layouts.encode()).hexdigest(),
        "block": BLOCK,
    }
    file = folder / CACHE_FILE
    if not file.exists() and not any(folder.glob("rendered-*.npz")):
        write_json(file, known)
    elif not file.exists() or json.loads(file.read_text()) != known:
        raise TrainingError(
            f"{folder} holds crops of another seed, other fonts or layouts: name another --cache"
        )


def _kept(folder: Path, number: int) -> int:
    """How many crops a block of the cache holds."""
    file = _block_file(folder, number)
    if not file.exists():
        return 0
    with np.load(file) as block:
        return len(block["texts"])


def _block_file(folder: Path, number: int) -> Path:
    return folder / f"rendered-{number:05}.npz"


def _rendered(
    recipe: RenderedCrops, folder: Path, numbers: Sequence[int], workers: int
) -> Iterator[None]:
    if workers == 1 or len(numbers) < 2:
        for number in numbers:
            yield _write_block(recipe, folder, number)
        return
    # Spawned: a forked process would hang on the locks of OpenCV's threads, which it has not.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, fresh, quiet_worker) as pool:
        yield from pool.map(_write_block, [recipe] * len(numbers), [folder] * len(numbers), numbers)


def _write_block(recipe: RenderedCrops, folder: Path, number: int) -> None:
    pixels, texts, aspects = recipe.block(number)
    path = _block_file(folder, number)
    beside = path.with_name(f"new-{path.name}")
    np.savez(beside, pixels=pixels, texts=np.array(texts), aspects=np.array(aspects, np.float32))
    os.replace(beside, path)
