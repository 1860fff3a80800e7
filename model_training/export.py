"""`platebeam export`: trained models to a bundle that readers load, or one to a single format."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lpr_core.bundle import FORMAT, FORMAT_VERSION, MANIFEST, Bundle, BundleError
from lpr_core.networks import BACKENDS, BundledNetwork, Network
from lpr_core.recognize import CharacterRecognizer
from model_training.bundle_card import Kept, ModelFacts, card, kept_from, licence_note
from model_training.characters import CharacterSet
from model_training.classifiers import (
    SAVED_MODEL_FILE,
    ModelError,
    in_batches,
    load_keras,
    saved_model_network,
)
from model_training.evaluate import Evaluation, evaluate_characters, load_held_out
from model_training.trained_models import (
    ExportError,
    TrainedCharacters,
    TrainedModel,
    load_trained,
    with_entry,
)

if TYPE_CHECKING:
    import keras

FORMATS = {"bundle": MANIFEST, "saved_model": SAVED_MODEL_FILE, "keras": ".keras", "h5": ".h5"}
"""Each format with the file its folder is known by, or with the suffix of its file."""

BUNDLE_BYTES = 6_000_000
"""Of all files of a bundle together, at most."""

RECORDED = ("command", "seed", "data", "metrics", "libraries", "seconds")
"""What the manifest keeps of each training's record."""


class OutputError(ValueError):
    """An output that does not suit the format, or that something else is in the place of."""


@dataclass(frozen=True)
class BundleOptions:
    """What a bundle says of itself beside what its trainings recorded.

    Attributes:
        name: of the bundle.
        reports: folders of characters to give figures on in the card.
        results: a Markdown file of figures to put into the card.
        machine: what its models were trained on.
        licence: of the weights; None: that of the pictures they learnt from.
        command: what exported it.
        base: a bundle's folder, whose models it keeps where none is given.
    """

    name: str = "models"
    reports: Sequence[Path] = ()
    results: Path | None = None
    machine: str = "unknown"
    licence: str | None = None
    command: str = ""
    base: Path | None = None


def save(network: keras.Model, path: Path) -> None:
    """Store a Keras model: by the suffix .keras or .h5 in a file, else in a SavedModel's folder.

    The SavedModel's endpoint `serve` takes any number of inputs, float32 (n, height, width, 1).
    """
    if path.suffix in (FORMATS["keras"], FORMATS["h5"]):
        network.save(path)
    else:
        network.export(path, format="tf_saved_model", verbose=False)


def to_litert(network: keras.Model, size: tuple[int, int], half: bool) -> bytes:
    """A Keras model as a LiteRT file, one input at a time; inputs of other sizes do too.

    Args:
        network: takes grey pictures (n, height, width, 1).
        size: height and width of an input.
        half: store weights in 16 bits; the network computes in 32 all the same.
    """
    import keras
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        # Converting a Keras 3 model directly loses its weights; a SavedModel keeps them.
        signature = [keras.InputSpec(shape=(1, *size, 1), dtype="float32", name="picture")]
        _resizable(network).export(
            folder, format="tf_saved_model", input_signature=signature, verbose=False
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if half:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        return bytes(converter.convert())


def _resizable(network: keras.Model) -> keras.Model:
    """The same function by layers that keep no size of their inputs in a LiteRT file."""
    import keras
    import tensorflow as tf

    class Doubled(keras.layers.Layer):
        """Every cell four times, as UpSampling2D does."""

        def call(self, cells: tf.Tensor) -> tf.Tensor:
            return tf.nn.depth_to_space(tf.concat([cells] * 4, -1), 2)

    def replacement(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, keras.layers.UpSampling2D):
            return Doubled(name=layer.name)
        return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=replacement)
    copy.set_weights(network.get_weights())
    return copy


def to_keras(network: keras.Model) -> bytes:
    """A Keras model as a .keras file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        save(network, path)
        return path.read_bytes()


def check_equal(model: TrainedModel, trained: Network, exported: Network) -> float:
    """The largest difference of what two networks say of a model's validation inputs.

    Raises:
        ExportError: it is above the model's tolerance, or there are no inputs to tell.
    """
    inputs = model.inputs
    if not len(inputs):
        raise ExportError(f"nothing to compare the exported {model.name} on")
    one, other = (model.comparable(network(inputs)) for network in (trained, exported))
    difference = float(np.abs(one - other).max())
    if not difference <= model.tolerance:
        raise ExportError(
            f"the exported {model.name} differs from the trained one by {difference:.2g} on "
            f"validation data; {model.tolerance:g} is allowed"
        )
    return difference


def sealed(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """The files with a manifest that lists each one's hash and size."""
    listed = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in files.items()
    }
    text = json.dumps({**manifest, "files": listed}, indent=2, ensure_ascii=False)
    return {**files, MANIFEST: text.encode()}


def make_bundle(models: Sequence[TrainedModel], options: BundleOptions) -> dict[str, bytes]:
    """The files of a bundle: LiteRT and Keras models, manifest, card and licence.

    Args:
        models: one of a kind at most.
        options: what else the bundle says.

    Raises:
        ExportError: a model differs from the trained one, or the bundle is too large.
        ModelError: there are figures to give on characters, but no model given that reads them.
        BundleError: the bundle whose models to keep is none, or damaged, or says too little.
        OSError: what is to go into the card cannot be read.
    """
    names = [model.name for model in models]
    kept = kept_from(Bundle.load(options.base), names) if options.base else Kept()
    sets = [load_held_out(folder) for folder in options.reports]
    results = options.results.read_text(encoding="utf-8") if options.results else ""
    if sets and not any(isinstance(model, TrainedCharacters) for model in models):
        raise ModelError(
            "--report takes folders of characters: give a character model to read them"
        )
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": options.name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "models": kept.models | {model.name: model.entry() for model in models},
        "training": kept.training | {model.name: _recorded(model.record) for model in models},
    }
    files = dict(kept.files)
    for model in models:
        own = manifest["models"][model.name]["files"]
        files[own["litert"]] = to_litert(model.shipped, model.size, model.half)
        files[own["keras"]] = to_keras(model.shipped)
    bundle = Bundle.from_files(sealed(files, manifest))
    facts = []
    for model in models:
        trained = in_batches(model.shipped.predict_on_batch)
        difference = max(
            check_equal(model, trained, in_batches(BundledNetwork(bundle, model.name, backend)))
            for backend in BACKENDS
        )
        entry, figures, error = model.calibrate(bundle)
        bundle = with_entry(bundle, model.name, **entry)
        evaluations = _evaluations(bundle, sets) if isinstance(model, TrainedCharacters) else []
        manifest["training"][model.name]["metrics"] = model.record["metrics"] | {
            item.name: {"pictures": item.pictures, "strict": item.strict, "folded": item.folded}
            for item in evaluations
        }
        facts.append(
            ModelFacts(
                model.name,
                {**model.record, "command": portable(model.record["command"])},
                bundle.manifest["models"][model.name],
                model.shipped.count_params(),
                difference,
                len(model.inputs),
                figures,
                error,
                evaluations,
            )
        )
    manifest["models"] = bundle.manifest["models"]
    files["card.md"] = card(
        options.name, facts, options.machine, portable(options.command), results, kept
    ).encode()
    records = list(manifest["training"].items())
    files["LICENSE.md"] = licence_note(records, options.licence).encode()
    made = sealed(files, manifest)
    sizes = {name: len(content) for name, content in made.items()}
    if sum(sizes.values()) > BUNDLE_BYTES:
        listed = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        raise ExportError(f"the bundle takes more than {BUNDLE_BYTES:,} bytes: {listed}")
    return made


def _recorded(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in RECORDED} | {"command": portable(record["command"])}


def portable(command: str) -> str:
    """A command as it is given in the working folder, whose own place is nobody's business."""
    here = Path.cwd()
    return command.replace(f"{here}/", "").replace(f"{here.parent}/", "../")


def _evaluations(bundle: Bundle, sets: Sequence[CharacterSet]) -> list[Evaluation]:
    recognizer = CharacterRecognizer(bundle)
    return [evaluate_characters(recognizer.classify, characters) for characters in sets]


def export(
    folders: Sequence[Path],
    output: Path,
    form: str = "bundle",
    options: BundleOptions | None = None,
) -> None:
    """Export trained models, and only if what was written does what the trained ones do.

    Args:
        folders: of trainings; a bundle takes one a kind, the other formats take one.
        output: a file or, of a bundle and a SavedModel, a folder. One of the same format is
            replaced as a whole.
        form: one of FORMATS.
        options: of a bundle.

    Raises:
        ExportError: an exported model differs; nothing was written.
        OutputError: what is at `output` is not of this format.
        ModelError: a training's folder is none, or incomplete, or there are two of a kind; or Keras
            runs on another backend than TensorFlow.
        BundleError: the bundle whose models to keep is none, or damaged, or says too little.
        OSError: something to report on cannot be read.
    """
    check_output(output, form)
    check_backend()
    models = [load_trained(folder) for folder in folders]
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice or (form != "bundle" and len(models) > 1):
        raise ModelError(
            f"give one folder of a {twice} training"
            if twice
            else f"a {form} holds one model: give one folder"
        )
    output = output.absolute()
    beside = next(folder for folder in output.parents if folder.is_dir())
    with tempfile.TemporaryDirectory(prefix=".platebeam-export-", dir=beside) as scratch:
        made = Path(scratch) / output.name
        if form == "bundle":
            made.mkdir()
            for file_name, content in make_bundle(models, options or BundleOptions()).items():
                (made / file_name).write_bytes(content)
        else:
            (model,) = models
            save(model.network, made)
            exported = (
                saved_model_network(made)
                if form == "saved_model"
                else in_batches(load_keras(made, model.name, model.shapes).predict_on_batch)
            )
            check_equal(model, in_batches(model.network.predict_on_batch), exported)
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.is_dir():
            os.replace(output, Path(scratch) / "replaced")
        os.replace(made, output)


def check_backend() -> None:
    """See to it that Keras runs on TensorFlow, which alone writes LiteRT files.

    Raises:
        ModelError: it runs on another backend.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ModelError(
            f"KERAS_BACKEND is {keras.backend.backend()}: export with KERAS_BACKEND=tensorflow, "
            f"whichever the models were trained with"
        )


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
    parser.add_argument(
        "models",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help="a folder that `platebeam train` wrote; for a bundle also several, of a character, a "
        "reader's and a detector's training",
    )
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
        help="bundle: LiteRT and Keras models with manifest and card (the default)",
    )
    of_bundle = parser.add_argument_group("of a bundle")
    of_bundle.add_argument("--name", default="models", help="of the bundle (%(default)s)")
    of_bundle.add_argument(
        "--report",
        type=Path,
        nargs="*",
        default=[],
        metavar="DIR",
        help="character folders to give figures on in the card",
    )
    of_bundle.add_argument(
        "--results", type=Path, metavar="FILE", help="Markdown of figures to put into the card"
    )
    of_bundle.add_argument("--machine", default="unknown", help="what it was trained on")
    of_bundle.add_argument("--licence", help="of the weights (by default that of the pictures)")
    of_bundle.add_argument(
        "--base", type=Path, metavar="BUNDLE", help="keep its models where no MODEL is given"
    )
    options = parser.parse_args(argv)
    try:
        export(
            options.models,
            options.output,
            options.format,
            BundleOptions(
                options.name,
                options.report,
                options.results,
                options.machine,
                options.licence,
                shlex.join(["platebeam", "export", *argv]),
                options.base,
            ),
        )
    except (BundleError, ModelError, OutputError, OSError) as error:
        print(f"platebeam export: {error}", file=sys.stderr)
        return 2
    except ExportError as error:
        print(f"platebeam export: {error}", file=sys.stderr)
        return 1
    listed = " and ".join(map(str, options.models))
    print(f"{options.output}: does what {listed} does on validation data")
    if options.format == "bundle":
        print(f"sha256 {Bundle.load(options.output).sha256}")
    return 0
