"""What `platebeam train` leaves of each network, and what a bundle needs to know of it."""

from __future__ import annotations

import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from zipfile import BadZipFile

import cv2
import numpy as np

from lpr_core.bundle import Bundle
from lpr_core.decode import DecodeError, decode
from lpr_core.detect import PlateDetection
from lpr_core.geometry import Box, Image
from lpr_core.heatmap import PREPROCESSING, HeatmapDetector, network_input, plates_of
from lpr_core.networks import Floats, Network
from lpr_core.plate_reader import PlateReader, ReaderConfig, is_plate
from lpr_core.recognize import ALPHABET, TextRead
from lpr_core.score import match_plates
from lpr_core.sequence import HEIGHT, MARGIN, VIEWS, WIDTH, SequenceRecognizer, normalise_plate
from model_training.calibration import (
    DOUBTFUL,
    FALSE_PLATES,
    choose_confidence,
    choose_threshold,
    clean_views,
    fit_confidence,
    fit_frame_temperature,
    fit_temperature,
    random_views,
    read_samples,
    unseen_calibration_error,
)
from model_training.classifiers import (
    CHARACTER_SHAPES,
    ModelError,
    Shape,
    in_batches,
    load_keras,
)
from model_training.half_precision import fold, round_to_half
from model_training.text_patterns import pattern_weights
from model_training.train_detector import FOUND, INPUT, PICTURES_FILE, SCORE, read_pictures
from model_training.train_reader import greedy_texts, read_validation, validation_crops
from model_training.training_folder import MODEL_FILE, TRAINING_FILE, VALIDATION_FILE

if TYPE_CHECKING:
    import keras

COMPARED = 2000
"""Validation inputs on which an exported model must equal the trained one, at most."""

ROUNDING = 0.005
"""Share of the validation plates that weights of 16 bits may decide otherwise."""

TEMPERATURE_SAMPLES = 800


class ExportError(RuntimeError):
    """The exported model does not do what the trained one does."""


class Figure(NamedTuple):
    """How many of a validation set's plates, or pictures, something is true of."""

    name: str
    what: str
    hits: int
    total: int


class Calibrated(NamedTuple):
    """What was fitted on validation data.

    Attributes:
        entry: goes into the manifest's entry of the model.
        figures: of the calibrated model.
        error: the expected calibration error on sets that nothing was fitted on; None: not
            measured.
    """

    entry: Mapping[str, Any]
    figures: Sequence[Figure] = ()
    error: float | None = None


class TrainedModel(ABC):
    """A network as its training left it.

    Attributes:
        folder: of the training.
        record: its training.json.
        network: of the best epoch, without the optimizer's state.
    """

    name: ClassVar[str]
    """In the manifest's `models`, and of its files."""

    shapes: ClassVar[tuple[Shape, Shape]]
    """Of the network's inputs and outputs, None where there may be any number."""

    size: ClassVar[tuple[int, int]]
    """Height and width of an input."""

    preprocessing: ClassVar[Mapping[str, Any]]
    validation_file: ClassVar[str] = VALIDATION_FILE
    half: ClassVar[bool] = False
    """Whether its weights are shipped in 16 bits."""

    tolerance: ClassVar[float] = 1e-4
    """Largest difference of probabilities, and of corners in their own unit."""

    def __init__(self, folder: Path, record: Mapping[str, Any]) -> None:
        self.folder, self.record = folder, record
        self.network = load_keras(folder / MODEL_FILE, self.name.removesuffix("s"), self.shapes)

    @property
    def shipped(self) -> keras.Model:
        """The network that goes into a bundle."""
        return self.network

    @property
    def inputs(self) -> Floats:
        """Validation inputs to compare networks on, float32 (n, height, width, 1)."""
        number = min(COMPARED, len(self.validation))
        return self.validation[np.linspace(0, len(self.validation) - 1, number, dtype=int)]

    @property
    @abstractmethod
    def validation(self) -> Floats:
        """All validation inputs, float32 (n, height, width, 1)."""

    def comparable(self, outputs: Floats) -> Floats:
        """Outputs as the tolerance is meant: probabilities, and corners."""
        return outputs

    def entry(self) -> dict[str, Any]:
        """The model in the manifest, before it is calibrated."""
        height, width = self.size
        return {
            "architecture": self.record["architecture"],
            "input": {"height": height, "width": width},
            "preprocessing": self.preprocessing,
            "files": {"litert": f"{self.name}.tflite", "keras": f"{self.name}.keras"},
        }

    @abstractmethod
    def calibrate(self, bundle: Bundle) -> Calibrated:
        """Fit what is left to fit by running the uncalibrated model of a bundle."""


class RoundedModel(TrainedModel):
    """A network of which a bundle holds the weights in 16 bits."""

    half = True

    @cached_property
    def shipped(self) -> keras.Model:  # type: ignore[override]
        """The network without batch normalisation, its weights rounded to float16.

        Raises:
            ExportError: that changes too much of what it does.
        """
        network = fold(self.network)
        round_to_half(network)
        changed = self.changed_by(in_batches(network.predict_on_batch))
        if not changed <= ROUNDING:
            raise ExportError(
                f"weights of 16 bits change what the {self.name} does on {changed:.2%} of its "
                f"validation plates; {ROUNDING:.1%} is allowed"
            )
        return network

    @abstractmethod
    def changed_by(self, network: Network) -> float:
        """The share of the validation plates that another network decides otherwise."""


class TrainedCharacters(TrainedModel):
    """The character CNN."""

    name = "characters"
    shapes = CHARACTER_SHAPES
    size = (28, 28)
    preprocessing: ClassVar = {"name": "normalise_character", "version": 1}
    tolerance = 1e-5

    def __init__(self, folder: Path, record: Mapping[str, Any]) -> None:
        super().__init__(folder, record)
        with np.load(folder / VALIDATION_FILE) as stored:
            self._pictures, self._labels = stored["pictures"], stored["labels"]

    @property
    def validation(self) -> Floats:
        """All validation inputs."""
        return np.asarray(self._pictures[..., None], np.float32)

    def entry(self) -> dict[str, Any]:
        """The model in the manifest, before it is calibrated."""
        uncalibrated = {"alphabet": self.record["alphabet"], "calibration": {"temperature": 1.0}}
        return super().entry() | uncalibrated

    def calibrate(self, bundle: Bundle) -> Calibrated:
        """Fit the temperature of the probabilities."""
        probabilities = in_batches(self.network.predict_on_batch)(self.validation)
        temperature = fit_temperature(probabilities, self._labels)
        return Calibrated({"calibration": {"temperature": temperature}})


class TrainedReader(RoundedModel):
    """The whole-plate network."""

    name = "reader"
    shapes = (None, HEIGHT, WIDTH, 1), (None, 80, 1 + len(ALPHABET))
    size = (HEIGHT, WIDTH)
    preprocessing: ClassVar = {"name": "normalise_plate", "version": 1}

    def __init__(self, folder: Path, record: Mapping[str, Any]) -> None:
        super().__init__(folder, record)
        self._sets = read_validation(folder / VALIDATION_FILE)

    @cached_property
    def validation(self) -> Floats:  # type: ignore[override]
        """All validation inputs."""
        return validation_crops(self._sets)[0][..., None]

    def changed_by(self, network: Network) -> float:
        """The difference of the shares of validation plates that two networks read right."""
        truths = [text for crops in self._sets for text in crops.texts]
        before, after = (
            np.mean([read == truth for read, truth in zip(reads, truths, strict=True)])
            for reads in (
                greedy_texts(run(self.validation))
                for run in (in_batches(self.network.predict_on_batch), network)
            )
        )
        return float(abs(before - after))

    def comparable(self, outputs: Floats) -> Floats:
        """The classes' probabilities in each frame."""
        shares = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=-1, keepdims=True))

    def entry(self) -> dict[str, Any]:
        """The model in the manifest, before it is calibrated."""
        return super().entry() | {
            "alphabet": self.record["alphabet"],
            "margin": MARGIN,
            "views": len(VIEWS),
            "patterns": pattern_weights(self.record.get("patterns", {})),
            "calibration": {},
        }

    def calibrate(self, bundle: Bundle) -> Calibrated:
        """Fit the frames' temperature, and the map of the text's probability."""
        rng = np.random.default_rng([self.record["seed"], 4])
        samples = random_views(self._sets, rng)
        some = [samples[i] for i in rng.permutation(len(samples))[:TEMPERATURE_SAMPLES]]
        logits = in_batches(self.shipped.predict_on_batch)(
            np.stack([normalise_plate(sample.crop.pixels) for sample in some])[..., None]
        )
        texts = [tuple(1 + ALPHABET.index(c) for c in sample.text) for sample in some]
        calibration: dict[str, Any] = {"temperature": fit_frame_temperature(logits, texts)}
        tempered = SequenceRecognizer(with_entry(bundle, self.name, calibration=calibration))
        reads = read_samples(tempered, samples)
        calibration["confidence"] = fit_confidence(reads)
        figures = []
        for what, seen in (
            ("read right, cut well", read_samples(tempered, clean_views(self._sets))),
            ("read right, cut and photographed anyhow", reads),
        ):
            for crops in self._sets:
                right = [read.right for read in seen if read.source == crops.name]
                figures.append(Figure(crops.name, what, sum(right), len(right)))
        return Calibrated({"calibration": calibration}, figures, unseen_calibration_error(reads))


class TrainedDetector(RoundedModel):
    """The network that finds plates."""

    name = "detector"
    shapes = (None, None, None, 1), (None, None, None, 9)
    size = INPUT
    preprocessing = PREPROCESSING
    validation_file = PICTURES_FILE

    def __init__(self, folder: Path, record: Mapping[str, Any]) -> None:
        super().__init__(folder, record)
        try:
            self._pictures: list[tuple[Image, tuple[Box, ...]]] = [
                (decode(picture.path.read_bytes()).pixels, picture.boxes)
                for picture in read_pictures(folder / PICTURES_FILE)
            ]
        except DecodeError as error:
            raise ModelError(f"{folder / PICTURES_FILE}: no picture any more: {error}") from None

    @cached_property
    def validation(self) -> Floats:  # type: ignore[override]
        """All validation inputs: pictures stretched to the input's size."""
        size = self.size[::-1]
        seen = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p, _ in self._pictures]
        return network_input(np.stack(seen))[..., None]

    @cached_property
    def stride(self) -> int:
        """Pixels of the input to a cell of the output: the network's own, whenever it was built."""
        return int(self.size[0] // self.network.compute_output_shape((1, *self.size, 1))[1])

    def changed_by(self, network: Network) -> float:
        """The share of the plates that one of two networks finds and the other does not."""
        found = [
            [
                [one.box for one in plates_of(output, SCORE, self.stride)]
                for output in run(self.validation)
            ]
            for run in (in_batches(self.network.predict_on_batch), network)
        ]
        alone = sum(
            sum(match.read is None for match in match_plates(ones, others, FOUND))
            for pair in zip(*found, strict=True)
            for ones, others in (pair, pair[::-1])
        )
        return alone / max(1, sum(len(boxes) for run in found for boxes in run))

    def comparable(self, outputs: Floats) -> Floats:
        """The heat as a probability, and the corners."""
        return np.concatenate([1 / (1 + np.exp(-outputs[..., :1])), outputs[..., 1:]], axis=-1)

    def entry(self) -> dict[str, Any]:
        """The model in the manifest, before it is calibrated."""
        return super().entry() | {"stride": self.stride, "threshold": SCORE}

    def calibrate(self, bundle: Bundle) -> Calibrated:
        """Choose how sure it must be, so that next to nothing is found where there are no plates.

        Where the bundle has a reader, what is less sure counts if that reads it well enough.
        """
        empty = [pixels for pixels, boxes in self._pictures if not boxes]

        @cache
        def false_plates(threshold: float) -> int:
            detector = HeatmapDetector(with_entry(bundle, self.name, threshold=threshold))
            return sum(len(detector.detect(pixels)) for pixels in empty)

        entry: dict[str, Any] = {"threshold": choose_threshold(false_plates, len(empty))}
        if TrainedReader.name in bundle.manifest["models"] and entry["threshold"] > DOUBTFUL:
            entry["doubtful"] = {"threshold": DOUBTFUL, "confidence": 1.0}
            doubtful = found_and_read(with_entry(bundle, self.name, **entry), empty)
            confidences = [
                read.confidence
                for one, read in itertools.chain.from_iterable(doubtful)
                if one.least_confidence and read.legible
            ]
            allowed = int(FALSE_PLATES * len(empty)) - false_plates(entry["threshold"])
            entry["doubtful"]["confidence"] = choose_confidence(confidences, max(0, allowed))
        chosen = with_entry(bundle, self.name, **entry)
        plates = found = false = 0
        seen = found_and_read(chosen, [pixels for pixels, _ in self._pictures])
        for reads, (_, boxes) in zip(seen, self._pictures, strict=True):
            kept = [one.box for one, read in reads if is_plate(one, read)]
            plates += len(boxes)
            found += sum(match.read is not None for match in match_plates(boxes, kept, FOUND))
            false += 0 if boxes else len(kept)
        figures = (
            Figure("pictures with plates", f"plates found at IoU {FOUND}", found, plates),
            Figure("pictures without", "false plates", false, len(empty)),
        )
        return Calibrated(entry, figures)


def found_and_read(
    bundle: Bundle, pictures: Iterable[Image]
) -> Iterator[list[tuple[PlateDetection, TextRead]]]:
    """What a bundle's detector finds in each picture, with its reader's reads if it has one."""
    if TrainedReader.name not in bundle.manifest["models"]:
        detector = HeatmapDetector(bundle)
        unread = TextRead((), (), legible=False, seen="")
        for pixels in pictures:
            yield [(detection, unread) for detection in detector.detect(pixels)]
        return
    reader = PlateReader(bundle, ReaderConfig(detector="heatmap", reader="sequence"))
    for pixels in pictures:
        found = reader.find(pixels)
        reads = reader.recognizer.recognize([reader.recognizer.segment(c) for _, c in found])
        yield [(detection, read) for (detection, _), read in zip(found, reads, strict=True)]


ARCHITECTURES: Mapping[str, type[TrainedModel]] = {"ctc": TrainedReader, "heatmap": TrainedDetector}
"""Which model a training made; any other architecture is the character CNN's."""


def load_trained(folder: Path) -> TrainedModel:
    """Load a training's folder.

    Raises:
        ModelError: it is none, or an incomplete one.
    """

    def check(name: str) -> None:
        if not (folder / name).is_file():
            raise ModelError(f"{folder} was not written by `platebeam train`: it has no {name}")

    check(TRAINING_FILE)
    try:
        record = json.loads((folder / TRAINING_FILE).read_text(encoding="utf-8"))
        model = ARCHITECTURES.get(record["architecture"], TrainedCharacters)
        ended = "metrics" in record
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder} is damaged: {error}") from None
    if not ended:
        raise ModelError(f"{folder} holds a training that has not ended: give it --resume")
    check(model.validation_file)
    check(MODEL_FILE)
    try:
        return model(folder, record)
    except ModelError:
        raise
    except (ValueError, KeyError, BadZipFile) as error:
        raise ModelError(f"{folder} is damaged: {error}") from None


def with_entry(bundle: Bundle, model: str, **changed: Any) -> Bundle:
    """A bundle with something else in the manifest's entry of a model."""
    models = bundle.manifest["models"]
    entry = {**models[model], **changed}
    return replace(bundle, manifest={**bundle.manifest, "models": {**models, model: entry}})
