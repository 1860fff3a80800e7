"""`platebeam export`: a trained model to a bundle that readers load."""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lpr_core.bundle import FORMAT, FORMAT_VERSION, MANIFEST, Bundle
from lpr_core.recognize import CharacterRecognizer
from model_training.characters import load_characters
from model_training.evaluate import TABLE_HEAD, CharacterAccuracy, evaluate_characters
from model_training.train import MODEL_FILE, TRAINING_FILE, VALIDATION_FILE

if TYPE_CHECKING:
    import keras

Floats = npt.NDArray[np.float32]

TOLERANCE = 1e-5
COMPARED = 2000
LITERT_FILE, KERAS_FILE = "characters.tflite", "characters.keras"

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
{parameters:,} parameters, float32, as LiteRT (`{litert}`) and Keras (`{keras}`); the two agree to
{difference:.1e} on {compared} validation pictures.

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

A part of each folder, drawn by the hash of the file so that equal files stay together, and further
rendered characters were kept for validation, {validation_pictures:,} pictures in all. The epoch
with the best accuracy on them ({validation_accuracy:.2%}) was kept, and the temperature of the
probabilities ({temperature:.2f}) was fitted on them. Nothing was chosen by the sets below.

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


def to_litert(model: keras.Model) -> bytes:
    """A Keras model as a LiteRT file: float32, one picture at a time."""
    import keras
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        # Converting a Keras 3 model directly loses its weights; a SavedModel keeps them.
        signature = [keras.InputSpec(shape=(1, 28, 28, 1), dtype="float32", name="character")]
        model.export(folder, format="tf_saved_model", input_signature=signature, verbose=False)
        return bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


def to_keras(model: keras.Model) -> bytes:
    """A Keras model as a .keras file without the optimizer's state."""
    import keras

    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / KERAS_FILE
        bare.save(path)
        return path.read_bytes()


def check_equal(
    trained: Callable[[Floats], Floats], exported: Callable[[Floats], Floats], pictures: Floats
) -> float:
    """The largest difference of two models' probabilities on pictures (n, 28, 28).

    Raises:
        ExportError: it is above TOLERANCE, or there are no pictures to tell.
    """
    if not len(pictures):
        raise ExportError("no pictures to compare the exported model on")
    difference = float(np.abs(trained(pictures) - exported(pictures)).max())
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the exported model differs from the trained one by {difference:.2g} on real "
            f"pictures; {TOLERANCE:g} is allowed"
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
    manifest: Mapping[str, Any], figures: Sequence[CharacterAccuracy], **facts: object
) -> str:
    """CARD filled in from the manifest, the figures, and what else it names."""
    training, model = manifest["training"], manifest["models"]["characters"]
    confusions = Counter(pair for figure in figures for pair in figure.confusions).most_common(8)
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
        table="\n".join([TABLE_HEAD, *(figure.row() for figure in figures)]),
        errors=", ".join(f"{a} → {b} ({n})" for (a, b), n in confusions) or "none",
        **training["metrics"],
        **facts,
    )


def export(
    model_folder: Path,
    output: Path,
    *,
    name: str,
    reports: Sequence[Path] = (),
    machine: str = "unknown",
    licence: str = "MIT",
    command: str = "",
) -> Bundle:
    """Export what `platebeam train` left in a folder and write a bundle.

    Args:
        model_folder: the training's output.
        output: the bundle's folder; made where it is missing.
        name: of the bundle.
        reports: character folders to give figures on in the card.
        machine: what it was trained on, for the card.
        licence: of the weights.
        command: what exported it, for the card.

    Raises:
        ExportError: the LiteRT model differs from the trained one.
    """
    import keras

    training = json.loads((model_folder / TRAINING_FILE).read_text(encoding="utf-8"))
    model = keras.saving.load_model(model_folder / MODEL_FILE, compile=False)
    with np.load(model_folder / VALIDATION_FILE) as stored:
        pictures, labels = stored["pictures"], stored["labels"]

    def trained(images: Floats) -> Floats:
        return np.asarray(model.predict(images[..., None], verbose=0), np.float32)

    files = {LITERT_FILE: to_litert(model), KERAS_FILE: to_keras(model)}
    # At temperature 1 a recognizer gives the model's own probabilities.
    plain = Bundle.from_files(sealed(files, manifest_of(name, training, 1.0)))
    compared = pictures[np.linspace(0, len(pictures) - 1, min(COMPARED, len(pictures)), dtype=int)]
    difference = check_equal(trained, CharacterRecognizer(plain).classify, compared)

    manifest = manifest_of(name, training, fit_temperature(trained(pictures), labels))
    recognizer = CharacterRecognizer(Bundle.from_files(sealed(files, manifest)))
    figures = [evaluate_characters(recognizer, load_characters(folder)) for folder in reports]
    files["card.md"] = model_card(
        manifest,
        figures,
        export_command=command,
        machine=machine,
        minutes=training["seconds"] / 60,
        fonts=", ".join(training["fonts"]) or "nothing else",
        parameters=model.count_params(),
        difference=difference,
        compared=len(compared),
    ).encode()
    rows = (f"| `{item['name']}` | {item['licence']} |" for item in training["data"])
    files["LICENSE.md"] = LICENCE_NOTE.format(licence=licence, rows="\n".join(rows)).encode()
    manifest["training"]["metrics"] = training["metrics"] | {
        figure.name: {"pictures": figure.pictures, "strict": figure.strict, "folded": figure.folded}
        for figure in figures
    }
    output.mkdir(parents=True, exist_ok=True)
    for file_name, content in sealed(files, manifest).items():
        (output / file_name).write_bytes(content)
    return Bundle.load(output)


def main(argv: Sequence[str]) -> int:
    """Run `platebeam export`."""
    parser = argparse.ArgumentParser(prog="platebeam export", description=__doc__)
    parser.add_argument("model", type=Path, help="a folder that `platebeam train` wrote")
    parser.add_argument("--output", type=Path, required=True, help="the bundle's folder")
    parser.add_argument("--name", default="characters", help="of the bundle")
    parser.add_argument(
        "--report",
        type=Path,
        nargs="*",
        default=[],
        metavar="DIR",
        help="character folders to give figures on in the card",
    )
    parser.add_argument("--machine", default="unknown", help="what it was trained on")
    parser.add_argument("--licence", default="MIT", help="of the weights")
    options = parser.parse_args(argv)
    try:
        bundle = export(
            options.model,
            options.output,
            name=options.name,
            reports=options.report,
            machine=options.machine,
            licence=options.licence,
            command=shlex.join(["platebeam", "export", *argv]),
        )
    except ExportError as error:
        print(f"platebeam export: {error}", file=sys.stderr)
        return 1
    size = sum(map(len, bundle.files.values()))
    print(f"{options.output}: {size:,} bytes, sha256 {bundle.sha256}")
    return 0
