"""Character pictures in a folder per class: found, checked, brought to one polarity, split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.recognize import ALPHABET, normalise_character

Ink = npt.NDArray[np.uint8]
"""A character cut tight, uint8 of shape (height, width), paper 0, ink 255."""

Grey = npt.NDArray[np.uint8]
"""A character picture of either polarity, uint8 of shape (height, width)."""

MIN_HEIGHT = 4
MIN_CONTRAST = 40


class PictureError(ValueError):
    """A file that shows no character; the message says why."""


@dataclass(frozen=True)
class Refused:
    """A file that is no training picture, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, eq=False)
class CharacterSet:
    """Labelled characters.

    Attributes:
        name: of the folder.
        pictures: each cut tight, paper 0, ink 255, uint8 of any shape.
        labels: int32 (n,), indices of ALPHABET.
        paths: of each picture's file.
        hashes: the sha256 of each picture's file.
        refused: the files left out.
    """

    name: str
    pictures: tuple[Ink, ...]
    labels: npt.NDArray[np.int32]
    paths: tuple[Path, ...]
    hashes: tuple[str, ...]
    refused: tuple[Refused, ...] = ()

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def sha256(self) -> str:
        """A hash of the labelled pictures, whatever their names and order."""
        lines = sorted(f"{ALPHABET[i]} {h}" for i, h in zip(self.labels, self.hashes, strict=True))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def normalised(self) -> npt.NDArray[np.float32]:
        """All pictures as the CNN sees them, float32 (n, 28, 28), 0 to 1.

        Resizing gives binarised pictures the grey edges that others have of themselves.
        """
        pictures = [normalise_character(picture) for picture in self.pictures]
        return np.stack(pictures) if pictures else np.zeros((0, 28, 28), np.float32)

    def split(self, share: float, seed: int) -> tuple[CharacterSet, CharacterSet]:
        """Training and validation parts; equal files always fall into the same one.

        A file's part depends on its content and the seed alone, so that adding or renaming files
        moves no other.
        """
        drawn = [
            int(hashlib.sha256(f"{seed} {file_hash}".encode()).hexdigest()[:8], 16) / 16**8
            for file_hash in self.hashes
        ]
        validation = np.array(drawn) < share
        return replace(self._where(~validation), refused=self.refused), self._where(validation)

    def joined(self, other: CharacterSet) -> CharacterSet:
        """This set and another as one, under this one's name."""
        return CharacterSet(
            self.name,
            self.pictures + other.pictures,
            np.concatenate([self.labels, other.labels]),
            self.paths + other.paths,
            self.hashes + other.hashes,
            self.refused + other.refused,
        )

    def _where(self, chosen: npt.NDArray[np.bool_]) -> CharacterSet:
        numbers = np.flatnonzero(chosen)
        return CharacterSet(
            self.name,
            tuple(self.pictures[i] for i in numbers),
            self.labels[numbers],
            tuple(self.paths[i] for i in numbers),
            tuple(self.hashes[i] for i in numbers),
        )


def load_characters(folder: Path) -> CharacterSet:
    """Read a folder per class.

    Whether ink is dark or bright is decided once for the whole folder, by the corners of all its
    pictures: one picture cut tight may have ink in most of its corners.

    Args:
        folder: holds folders named by the characters of ALPHABET.

    Raises:
        FileNotFoundError: there is no folder of a character in it.
        OSError: it, or one of these folders, cannot be read.
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    if not any(path.name in tuple(ALPHABET) for path in classes):
        raise FileNotFoundError(f"{folder} has no folders named by the characters 0-9, A-Z")
    refused: list[Refused] = []
    greys: list[tuple[Path, Grey]] = []
    for path in _files(classes, refused):
        try:
            greys.append((path, read_grey(path)))
        except PictureError as error:
            refused.append(Refused(path, str(error)))
    dark = dark_on_light([grey for _, grey in greys])
    found: list[tuple[Path, Ink]] = []
    for path, grey in greys:
        try:
            found.append((path, cut_ink(grey, dark)))
        except PictureError as error:
            refused.append(Refused(path, str(error)))
    return CharacterSet(
        name=folder.name if folder.name not in ("train", "val") else "/".join(folder.parts[-2:]),
        pictures=tuple(ink for _, ink in found),
        labels=np.array([ALPHABET.index(path.parent.name) for path, _ in found], np.int32),
        paths=tuple(path for path, _ in found),
        hashes=tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path, _ in found),
        refused=tuple(refused),
    )


def read_grey(path: Path) -> Grey:
    """Decode a character picture.

    Raises:
        PictureError: it cannot be read, is no picture, or too small to hold a character.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise PictureError(error.strerror or str(error)) from None
    picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    if picture is None:
        raise PictureError("not a picture")
    if picture.shape[0] < MIN_HEIGHT:
        raise PictureError(f"less than {MIN_HEIGHT} pixels high")
    return np.asarray(picture, np.uint8)


def cut_ink(picture: Grey, dark: bool) -> Ink:
    """Cut a character out of its paper; `dark`: its ink is the darker of the two.

    Raises:
        PictureError: it shows no ink.
    """
    bright = 255 - picture if dark else picture
    if bright.max() < MIN_CONTRAST:
        raise PictureError("no ink")
    return tighten(bright)


def load_split(folder: Path, share: float, seed: int) -> tuple[CharacterSet, CharacterSet]:
    """Training and validation pictures of a folder: its own train/ and val/, or drawn by share."""
    if (folder / "train").is_dir() and (folder / "val").is_dir():
        return load_characters(folder / "train"), load_characters(folder / "val")
    return load_characters(folder).split(share, seed)


def dark_on_light(pictures: Sequence[Grey]) -> bool:
    """Whether the pictures of a set show dark ink: their corners are mostly paper."""
    if not pictures:
        return False
    corners = [picture[[0, 0, -1, -1], [0, -1, 0, -1]].mean() for picture in pictures]
    return bool(np.mean(corners) > np.mean([picture.mean() for picture in pictures]))


def tighten(picture: Grey) -> Ink:
    """Cut bright ink out of its dark paper, specks left aside, with contrast stretched.

    Args:
        picture: uint8 of shape (height, width), ink bright.
    """
    low, high = float(picture.min()), float(picture.max())
    if high - low < MIN_CONTRAST:  # ink from edge to edge: a bar that was cut tight
        return np.full_like(picture, 255)
    stretched = ((picture - low) * (255 / (high - low))).astype(np.uint8)
    mask = cv2.threshold(stretched, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
    _, _, parts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = parts[1:, cv2.CC_STAT_AREA]
    large = parts[1:][areas >= 0.1 * areas.max()]
    x, y = large[:, cv2.CC_STAT_LEFT], large[:, cv2.CC_STAT_TOP]
    right = (x + large[:, cv2.CC_STAT_WIDTH]).max()
    bottom = (y + large[:, cv2.CC_STAT_HEIGHT]).max()
    return stretched[y.min() : bottom, x.min() : right]


def _files(classes: list[Path], refused: list[Refused]) -> Iterator[Path]:
    for folder in classes:
        chosen: set[Path] = set()
        if folder.name in tuple(ALPHABET):
            chosen = {path for path in folder.iterdir() if path.is_file()}
            yield from sorted(chosen)
        for path in sorted(folder.rglob("*")):
            if path not in chosen and path.is_file():
                place = str(path.parent.relative_to(folder.parent))
                refused.append(Refused(path, f"folder {place!r} is no class"))
