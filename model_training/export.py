"""`platebeam export`: a trained model to a bundle that readers load, or to a single format."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from lpr_core.bundle import FORMAT, FORMAT_VERSION, MANIFEST, Bundle
from lpr_core.recognize import BACKENDS, CharacterRecognizer, Classifier, Floats
from model_training.characters import CharacterSet
from model_training.classifiers import (
    MODEL_FILE,
    SAVED_MODEL_FILE,
    ModelError,
    keras_classifier,
    load_classifier,
    load_keras,
)
from model_training.evaluate import TABLE_HEAD, Evaluation, evaluate_characters, load_held_out
from model_training.train import GENERATOR_LICENCE, TRAINING_FILE, VALIDATION_FILE

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-5
COMPARED = 2000
LITERT_FILE, KERAS_FILE = "characters.tflite", "characters.keras"

FORMATS = {"bundle": MANIFEST, "saved_model": SAVED_MODEL_FILE, "keras": ".keras", "h5": ".h5"}
"""Each format with the file its folder is known by, or with the suffix of its file."""

LICENCE_NOTE = """\
# Licence of these weights

platebeam's code is under the MIT licence. Weights learn from pictures, and whether the licence of
the pictures reaches the weights is unsettled in law. So this bundle is offered under the strictest
licence among the pictures it was trained on: {licence}. The pictures themselves are not in it.

| pictures | licence |
|---|---|
{rows}

Whoever needs weights free of all this trains on rendered characters alone, which platebeam's own
generator makes: `platebeam train characters --rendered 200000 --output DIR`.
"""

CARD = """\
# Character CNN `{name}`

Reads one character of a licence plate, 0-9 and A-Z, from a 28×28 picture as
`lpr_core.recognize.normalise_character` makes it. Architecture `{architecture}`,
{parameters:,} parameters, float32, as LiteRT (`{litert}`) and Keras (`{keras}`); both agree with
the trained network to {difference:.1e} on {compared} validation pictures.

## Made by

```
{train_command}
{export_command}
```

Seed {seed}, {minutes:.0f} minutes on {machine}. Libraries: {libraries}.

## Training data

| set | pictures | licence |
|---|---|---|
{data}

Rendered characters are stamped with random dies and written in: {fonts}.

The val/ of each folder or, where there is none, a part of it, drawn by the hash of the file so that
equal files stay together, and further rendered characters were kept for validation,
{validation_pictures:,} pictures in all. The epoch that was best on them ({validation_accuracy:.2%}
right) was kept, and the temperature of the probabilities ({temperature:.2f}) was fitted on them.
Sets below that are none of these folders had no part in this, save for single files that stand in
both, as published sets have them.

## Figures

{table}

Most frequent errors with O/0 and I/1 folded (truth → read): {errors}.

## Weaknesses

* O and 0, I and 1 are alike on most plates; the strict figure mostly tells which of the two a set
  holds. Only the plate's layout can tell them apart.
* A character alone has no context: B and 8, D and 0, S and 5, Z and 2, G and 6 part ways late when
  characters are under 10 pixels high or blurred.
* Only Latin capitals and digits: a Chinese province, a Cyrillic or an Arabic letter is read as
  whatever Latin character it is most like.
* A picture that shows no character at all (a bolt, an emblem, a piece of frame) gets a character
  too. A network trained with `--non-characters` is mostly unsure of it, not always.
"""


class ExportError(RuntimeError):
    """The exported model does not do what the trained one does."""


class OutputError(ValueError):
    """An output that does not suit the format, or that something else is in the place of."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """What `platebeam train` left in its folder.

    Attributes:
        network: of the best epoch, without the optimizer's state.
        classify: what it does: pictures (n, 28, 28) to probabilities (n, 36).
        record: training.json.
        pictures: for validation, float32 (n, 28, 28).
        labels: of these, int32 (n,).
    """

    network: keras.Model
    classify: Classifier
    record: Mapping[str, Any]
    pictures: Floats
    labels: npt.NDArray[np.int32]

    @classmethod
    def load(cls, folder: Path) -> TrainedModel:
        """Load a training's folder.

        Raises:
            ModelError: it is none, or an incomplete one.
        """
        for name in (TRAINING_FILE, VALIDATION_FILE, MODEL_FILE):
            if not (folder / name).is_file():
                raise ModelError(f"{folder} was not written by `platebeam train`: it has no {name}")
        try:
            record = json.loads((folder / TRAINING_FILE).read_text(encoding="utf-8"))
            with np.load(folder / VALIDATION_FILE) as stored:
                pictures, labels = stored["pictures"], stored["labels"]
        except (ValueError, KeyError, BadZipFile) as error:
            raise ModelError(f"{folder} is damaged: {error}") from None
        if "metrics" not in record:
            raise ModelError(f"{folder} holds a training that has not ended: give it --resume")
        network = load_keras(folder / MODEL_FILE)
        return cls(network, keras_classifier(network), record, pictures, labels)

    @property
    def compared(self) -> Floats:
        """The pictures on which an exported model must equal this one: COMPARED at most."""
        number = min(COMPARED, len(self.pictures))
        return self.pictures[np.linspace(0, len(self.pictures) - 1, number, dtype=int)]


def save(network: keras.Model, path: Path) -> None:
    """Store a Keras model: by the suffix .keras or .h5 in a file, else in a SavedModel's folder.

    The SavedModel's endpoint `serve` takes any number of pictures, float32 (n, 28, 28, 1).
    """
    if path.suffix in (FORMATS["keras"], FORMATS["h5"]):
        network.save(path)
    else:
        network.export(path, format="tf_saved_model", verbose=False)


def to_litert(network: keras.Model) -> bytes:
    """A Keras model as a LiteRT file: float32, one picture at a time."""
    import keras
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        # Converting a Keras 3 model directly loses its weights; a SavedModel keeps them.
        signature = [keras.InputSpec(shape=(1, 28, 28, 1), dtype="float32", name="character")]
        network.export(folder, format="tf_saved_model", input_signature=signature, verbose=False)
        return bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


def to_keras(network: keras.Model) -> bytes:
    """A Keras model as a .keras file."""
    with tempfile.TemporaryDirectory() as folder:
        save(network, Path(folder) / KERAS_FILE)
        return (Path(folder) / KERAS_FILE).read_bytes()


def check_equal(trained: Classifier, exported: Classifier, pictures: Floats) -> float:
    """The largest difference of two models' probabilities on pictures (n, 28, 28).

    Raises:
        ExportError: it is above TOLERANCE, or there are no pictures to tell.
    """
    if not len(pictures):
        raise ExportError("no pictures to compare the exported model on")
    difference = float(np.abs(trained(pictures) - exported(pictures)).max())
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the exported model differs from the trained one by {difference:.2g} on "
            f"validation pictures; {TOLERANCE:g} is allowed"
        )
    return difference


def fit_temperature(probabilities: Floats, labels: npt.NDArray[np.int32]) -> float:
    """The temperature T at which p^(1/T) is most likely on the labels (Guo et al. 2017).

    Args:
        probabilities: softmax, float32 (n, classes).
        labels: int32 (n,).
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-12))
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        return float((np.logaddexp.reduce(scaled, axis=1) - scaled[rows, labels]).mean())

    return float(min(np.round(np.arange(0.3, 4.0, 0.01), 2), key=loss))


def manifest_of(name: str, training: Mapping[str, Any], temperature: float) -> dict[str, Any]:
    """A bundle's manifest but for its list of files; `training` is what training recorded."""
    kept = ("command", "seed", "data", "metrics", "libraries")
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "models": {
            "characters": {
                "architecture": training["architecture"],
                "alphabet": training["alphabet"],
                "input": {"height": 28, "width": 28},
                "preprocessing": {"name": "normalise_character", "version": 1},
                "files": {"litert": LITERT_FILE, "keras": KERAS_FILE},
                "calibration": {"temperature": temperature},
            }
        },
        "training": {key: training[key] for key in kept},
    }


def sealed(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """The files with a manifest that lists each one's hash and size."""
    listed = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in files.items()
    }
    text = json.dumps({**manifest, "files": listed}, indent=2, ensure_ascii=False)
    return {**files, MANIFEST: text.encode()}


def model_card(
    manifest: Mapping[str, Any], evaluations: Sequence[Evaluation], **facts: object
) -> str:
    """CARD filled in from the manifest, the evaluations, and what else it names."""
    training, model = manifest["training"], manifest["models"]["characters"]
    confusions = Counter[tuple[str, str]]()
    for evaluation in evaluations:
        confusions += evaluation.confusions
    return CARD.format(
        name=manifest["name"],
        architecture=model["architecture"],
        temperature=model["calibration"]["temperature"],
        litert=LITERT_FILE,
        keras=KERAS_FILE,
        train_command=training["command"],
        seed=training["seed"],
        libraries=", ".join(f"{item} {number}" for item, number in training["libraries"].items()),
        data="\n".join(
            f"| `{item['name']}` | {item['pictures']:,} | {item['licence']} |"
            for item in training["data"]
        ),
        table="\n".join([TABLE_HEAD, *(item.row() for item in evaluations)]),
        errors=", ".join(f"{a} → {b} ({n})" for (a, b), n in confusions.most_common(8)) or "none",
        **training["metrics"],
        **facts,
    )


def licence_of(data: Sequence[Mapping[str, Any]]) -> str:
    """The licence of weights by those of the pictures they were trained on, where nobody says.

    Args:
        data: what training recorded of each set.
    """
    licences = sorted({item["licence"] for item in data} - {GENERATOR_LICENCE})
    if len(licences) > 1:
        return f"whichever that is of {', '.join(licences)}"
    return licences[0] if licences else "MIT"


def make_bundle(
    trained: TrainedModel,
    *,
    name: str,
    reports: Sequence[CharacterSet],
    machine: str,
    licence: str,
    command: str,
) -> dict[str, bytes]:
    """The files of a bundle: LiteRT and Keras model, manifest, card and licence.

    Args:
        trained: the model.
        name: of the bundle.
        reports: character sets to give figures on in the card.
        machine: what it was trained on, for the card.
        licence: of the weights.
        command: what exported it, for the card.

    Raises:
        ExportError: the LiteRT or the Keras model differs from the trained one.
    """
    training = trained.record
    files = {LITERT_FILE: to_litert(trained.network), KERAS_FILE: to_keras(trained.network)}
    # At temperature 1 a recognizer gives the model's own probabilities.
    plain = Bundle.from_files(sealed(files, manifest_of(name, training, 1.0)))
    difference = max(
        check_equal(
            trained.classify, CharacterRecognizer(plain, backend).classify, trained.compared
        )
        for backend in BACKENDS
    )
    temperature = fit_temperature(trained.classify(trained.pictures), trained.labels)
    manifest = manifest_of(name, training, temperature)
    recognizer = CharacterRecognizer(Bundle.from_files(sealed(files, manifest)))
    evaluations = [evaluate_characters(recognizer.classify, report) for report in reports]
    files["card.md"] = model_card(
        manifest,
        evaluations,
        export_command=command,
        machine=machine,
        minutes=training["seconds"] / 60,
        fonts=", ".join(training["fonts"]) or "nothing else",
        parameters=trained.network.count_params(),
        difference=difference,
        compared=len(trained.compared),
    ).encode()
    rows = (f"| `{item['name']}` | {item['licence']} |" for item in training["data"])
    files["LICENSE.md"] = LICENCE_NOTE.format(licence=licence, rows="\n".join(rows)).encode()
    manifest["training"]["metrics"] = training["metrics"] | {
        item.name: {"pictures": item.pictures, "strict": item.strict, "folded": item.folded}
        for item in evaluations
    }
    return sealed(files, manifest)


def export(
    model_folder: Path,
    output: Path,
    form: str = "bundle",
    *,
    name: str = "characters",
    reports: Sequence[Path] = (),
    machine: str = "unknown",
    licence: str | None = None,
    command: str = "",
) -> None:
    """Export a trained model, and only if what was written does what the trained one does.

    Args:
        model_folder: the training's output.
        output: a file or, of a bundle and a SavedModel, a folder. One of the same format is
            replaced as a whole.
        form: one of FORMATS.
        name: of the bundle, as all that follow.
        reports: character folders to give figures on in the card.
        machine: what it was trained on, for the card.
        licence: of the weights; None: `licence_of` the pictures.
        command: what exported it, for the card.

    Raises:
        ExportError: the exported model differs; nothing was written.
        OutputError: what is at `output` is not of this format.
        ModelError: the training's folder is none, or incomplete.
        FileNotFoundError: a folder of `reports` is none.
    """
    check_output(output, form)
    sets = [load_held_out(folder) for folder in reports]
    trained = TrainedModel.load(model_folder)
    output = output.absolute()
    beside = next(folder for folder in output.parents if folder.is_dir())
    with tempfile.TemporaryDirectory(prefix=".platebeam-export-", dir=beside) as scratch:
        made = Path(scratch) / output.name
        if form == "bundle":
            made.mkdir()
            files = make_bundle(
                trained,
                name=name,
                reports=sets,
                machine=machine,
                licence=licence or licence_of(trained.record["data"]),
                command=command,
            )
            for file_name, content in files.items():
                (made / file_name).write_bytes(content)
        else:
            save(trained.network, made)
            check_equal(trained.classify, load_classifier(made), trained.compared)
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.is_dir():
            os.replace(output, Path(scratch) / "replaced")
        os.replace(made, output)


def check_output(output: Path, form: str) -> None:
    """See to it that an export to a path clobbers nothing but an export of the same format.

    Raises:
        OutputError: what is there is something else, or the suffix belongs to another format.
    """
    mark = FORMATS[form]
    suffixes = [suffix for suffix in FORMATS.values() if suffix.startswith(".")]
    if mark in suffixes and output.suffix != mark:
        raise OutputError(f"--output {output} must end in {mark}")
    if mark not in suffixes and output.suffix in suffixes:
        raise OutputError(f"--output {output} is to be a folder: leave out {output.suffix}")
    same = output.is_file() if mark in suffixes else (output / mark).is_file()
    empty = output.is_dir() and mark not in suffixes and not any(output.iterdir())
    if output.exists() and not same and not empty:
        raise OutputError(f"{output} exists and is no {form}; it was left alone")


def main(argv: Sequence[str]) -> int:
    """Run `platebeam export`."""
    parser = argparse.ArgumentParser(prog="platebeam export", description=__doc__)
    parser.add_argument("model", type=Path, help="a folder that `platebeam train` wrote")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="a folder for a bundle or a SavedModel, else a file; one of the same format that is "
        "there is replaced",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="bundle",
        help="bundle: LiteRT and Keras model with manifest and card (the default)",
    )
    of_bundle = parser.add_argument_group("of a bundle")
    of_bundle.add_argument("--name", default="characters", help="of the bundle")
    of_bundle.add_argument(
        "--report",
        type=Path,
        nargs="*",
        default=[],
        metavar="DIR",
        help="character folders to give figures on in the card",
    )
    of_bundle.add_argument("--machine", default="unknown", help="what it was trained on")
    of_bundle.add_argument("--licence", help="of the weights (by default that of the pictures)")
    options = parser.parse_args(argv)
    try:
        export(
            options.model,
            options.output,
            options.format,
            name=options.name,
            reports=options.report,
            machine=options.machine,
            licence=options.licence,
            command=shlex.join(["platebeam", "export", *argv]),
        )
    except (ModelError, OutputError, OSError) as error:
        print(f"platebeam export: {error}", file=sys.stderr)
        return 2
    except ExportError as error:
        print(f"platebeam export: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: does what {options.model} does on its validation pictures")
    if options.format == "bundle":
        print(f"sha256 {Bundle.load(options.output).sha256}")
    return 0
