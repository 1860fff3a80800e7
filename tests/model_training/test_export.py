import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import lpr_core
from lpr_core.bundle import Bundle
from lpr_core.networks import BACKENDS, BundledNetwork
from lpr_core.plate_reader import PlateReader
from lpr_core.recognize import ALPHABET, CharacterRecognizer
from lpr_core.sequence import SequenceRecognizer
from model_training import export, trained_models
from model_training.architectures import ARCHITECTURES, build
from model_training.bundle_card import licence_of
from model_training.calibration import clean_views, read_samples
from model_training.classifiers import ModelError, load_classifier
from model_training.detector_network import build_detector, detector_loss
from model_training.export import check_equal
from model_training.text_patterns import pattern_weights
from model_training.train_reader import read_validation
from model_training.trained_models import ExportError, load_trained
from tests.model_training.test_characters import write_set

pytestmark = pytest.mark.long

NAMES = {"keras": "network.keras", "h5": "network.h5", "saved_model": "network"}


@pytest.fixture(scope="module")
def expected(trained):
    """33 validation pictures, and what Keras itself makes of them."""
    import keras

    with np.load(trained / "validation.npz") as stored:
        pictures = stored["pictures"][:33]
    assert len(pictures) == 33
    model = keras.saving.load_model(trained / "best.keras", compile=False)
    return pictures, model.predict(pictures[..., None], verbose=0)


@pytest.fixture(scope="module")
def trained_detector(tmp_path_factory):
    """What a training of no epoch would leave: an untrained network, and pictures to judge it."""
    keras = pytest.importorskip("keras")
    folder = tmp_path_factory.mktemp("detector")
    keras.utils.set_random_seed(2)
    network = build_detector()
    # Batch normalisation as a training leaves it, not as it begins.
    rng = np.random.default_rng(3)
    network.set_weights([w + rng.normal(0, 0.02, w.shape) for w in network.get_weights()])
    network.compile(keras.optimizers.AdamW(), loss=detector_loss)
    network.save(folder / "best.keras")
    lines = ["image,x,y,w,h"]
    for number, plate in enumerate(("10,20,90,20", ",,,", ",,,")):
        pixels = cv2.resize(rng.integers(0, 255, (12, 16), np.uint8), (320, 240))
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
        lines.append(f"{folder / str(number)}.png,{plate}")
    (folder / "validation.csv").write_text("\n".join(lines) + "\n")
    record = {
        "architecture": "heatmap",
        "command": "platebeam train detector --backgrounds here=MIT",
        "seed": 2,
        "data": [{"name": "here", "pictures": 3, "sha256": "0" * 64, "licence": "MIT"}],
        "seconds": 7200,
        "libraries": {"torch": "2.0"},
        "metrics": {"val_recall": 0.5, "val_corners": 0.25, "val_false": 0.125},
    }
    (folder / "training.json").write_text(json.dumps(record))
    return folder


def damaged(network):
    """Change the network's first filters; returns the weights it had."""
    weights = [array.copy() for array in network.get_weights()]
    network.set_weights([weights[0] * 1.01, *weights[1:]])
    return weights


def test_the_exported_bundle_equals_the_trained_model(trained, expected, tmp_path):
    report = write_set(tmp_path / "report", dark=False)
    output = tmp_path / "new" / "bundle"
    arguments = [str(trained), "--output", str(output), "--report", str(report), "--name", "tiny"]
    assert export.main(arguments) == 0
    bundle = Bundle.load(output)
    pictures, probabilities = expected
    temperature = bundle.manifest["models"]["characters"]["calibration"]["temperature"]
    calibrated = probabilities ** (1 / temperature)
    calibrated /= calibrated.sum(axis=1, keepdims=True)
    for backend in ("litert", "tensorflow"):
        found = CharacterRecognizer(bundle, backend).classify(pictures)
        np.testing.assert_allclose(found, calibrated, atol=1e-5)
    np.testing.assert_allclose(load_classifier(output)(pictures), calibrated, atol=1e-5)
    assert bundle.manifest["name"] == "tiny"
    assert bundle.manifest["training"]["characters"]["metrics"]["report"]["pictures"] == 12
    card = bundle.files["card.md"].decode()
    assert "platebeam train characters --data" in card and "`report` | 12 |" in card
    assert "trained on: CC0-1.0." in bundle.files["LICENSE.md"].decode()
    assert [path.name for path in tmp_path.glob("new/*")] == ["bundle"]


def test_a_bundle_takes_a_model_of_each_kind(trained, trained_reader, trained_detector, tmp_path):
    results = tmp_path / "results.md"
    results.write_text("| scenes | 12 of 13 |\n")
    output = tmp_path / "bundle"
    folders = [str(trained), str(trained_reader), str(trained_detector)]
    arguments = ["--output", str(output), "--results", str(results), "--machine", "a loom"]
    assert export.main([*folders, *arguments]) == 0
    bundle = Bundle.load(output)
    models = bundle.manifest["models"]
    assert list(models) == ["characters", "reader", "detector"]
    assert models["detector"]["input"] == {"height": 384, "width": 512}
    assert models["detector"]["stride"] == 8
    assert models["reader"]["margin"] == 0.12
    shares = json.loads((trained_reader / "training.json").read_text())["patterns"]
    assert shares and models["reader"]["patterns"] == pattern_weights(shares)
    assert models["detector"]["preprocessing"] == {"name": "letterbox", "version": 2}
    assert models["reader"]["input"] == {"height": 64, "width": 160}
    assert models["reader"]["alphabet"] == ALPHABET
    assert models["reader"]["preprocessing"] == {"name": "normalise_plate", "version": 1}
    assert 0.2 <= models["detector"]["threshold"] <= 0.9
    computed, turned_out = models["reader"]["calibration"]["confidence"]
    assert len(computed) == len(turned_out) <= 12
    training = bundle.manifest["training"]
    assert training["detector"]["command"].endswith("here=MIT")
    assert training["reader"]["metrics"]["val_exact"] > 0
    card, licence = (bundle.files[name].decode() for name in ("card.md", "LICENSE.md"))
    says_so = "if it is read with a confidence of" in " ".join(card.split())
    assert says_so == ("doubtful" in models["detector"])
    for name in ("Character CNN", "Whole-plate reader", "Plate detector"):
        assert f"\n## {name}\n" in card
    assert "Trained on a loom." in card and "| scenes | 12 of 13 |" in card
    assert "Seed 2, 2.0 hours. Libraries: torch 2.0." in card
    assert "finds 50.0% of their plates" in card
    assert "| detector | `here` | MIT |" in licence
    assert "whichever that is of CC0-1.0, MIT" in licence


@pytest.mark.parametrize("kind", ["reader", "detector"])
def test_weights_of_16_bits_are_the_same_in_both_files(kind, request, tmp_path):
    import keras

    folder = request.getfixturevalue(f"trained_{kind}")
    assert export.main([str(folder), "--output", str(tmp_path / "bundle")]) == 0
    bundle = Bundle.load(tmp_path / "bundle")
    model = load_trained(folder)
    inputs = model.inputs[:3]
    kept, rounded = (BundledNetwork(bundle, kind, name)(inputs) for name in BACKENDS)
    np.testing.assert_allclose(model.comparable(kept), model.comparable(rounded), atol=1e-4)
    trained_to = model.comparable(model.network.predict_on_batch(inputs))
    difference = np.abs(model.comparable(kept) - trained_to).max()
    assert 0 < difference < 0.05
    assert len(bundle.files[f"{kind}.tflite"]) < 0.6 * len(bundle.files[f"{kind}.keras"])
    path = tmp_path / "network.keras"
    path.write_bytes(bundle.files[f"{kind}.keras"])
    network = keras.saving.load_model(path, compile=False)
    assert "BatchNormalization" not in {type(layer).__name__ for layer in network.layers}
    for weights in network.get_weights():
        assert np.array_equal(weights, weights.astype(np.float16))


def test_a_detector_s_file_takes_inputs_of_any_size(trained_detector, tmp_path):
    assert export.main([str(trained_detector), "--output", str(tmp_path / "bundle")]) == 0
    bundle = Bundle.load(tmp_path / "bundle")
    model = load_trained(trained_detector)
    litert, tensorflow = (BundledNetwork(bundle, "detector", name) for name in BACKENDS)
    pictures = model.inputs[:1]
    for height, width in ((384, 512), (512, 288), (128, 192), (384, 512), (32, 64), (96, 96)):
        seen = np.ascontiguousarray(np.resize(pictures, (1, height, width, 1)))
        outputs = litert(seen)
        assert outputs.shape == (1, height // 8, width // 8, 9)
        both = model.comparable(outputs), model.comparable(tensorflow(seen))
        np.testing.assert_allclose(*both, atol=1e-4)


def test_a_reader_alone_makes_a_bundle_that_reads(trained_reader, tmp_path, capsys):
    report = write_set(tmp_path / "report", dark=False)
    arguments = [str(trained_reader), "--output", str(tmp_path / "bundle")]
    assert export.main([*arguments, "--report", str(report)]) == 2
    assert "give a character model" in capsys.readouterr().err
    assert export.main(arguments) == 0
    recognizer = SequenceRecognizer(Bundle.load(tmp_path / "bundle"))
    samples = clean_views(read_validation(trained_reader / "validation.npz"))
    reads = read_samples(recognizer, samples)
    assert np.mean([read.right for read in reads]) > 0.5
    assert all(0 <= read.confidence < 1 for read in reads)


def test_one_model_is_exchanged_and_the_others_are_kept(trained_detector, tmp_path, capsys):
    output, before = tmp_path / "bundle", Bundle.load()
    base = Path(lpr_core.__file__).parent / "bundles" / "default"
    arguments = [str(trained_detector), "--output", str(output), "--name", "mixed"]
    assert export.main([*arguments, "--base", str(base)]) == 0
    bundle = Bundle.load(output)
    kept = ("characters", "reader")
    for name in kept:
        assert bundle.manifest["models"][name] == before.manifest["models"][name]
        assert bundle.manifest["training"][name] == before.manifest["training"][name]
        for file in (f"{name}.tflite", f"{name}.keras"):
            assert bundle.files[file] == before.files[file]
    assert bundle.files["detector.tflite"] != before.files["detector.tflite"]
    assert bundle.manifest["training"]["detector"]["command"].endswith("here=MIT")
    # The reader that was kept tells which of the doubtful finds are plates.
    entry = bundle.manifest["models"]["detector"]
    assert ("doubtful" in entry) == (entry["threshold"] > 0.35)

    card, card_before = (one.files["card.md"].decode() for one in (bundle, before))
    title = "\n## Whole-plate reader\n"
    assert card.split(title)[1].split("\n## ")[0] == card_before.split(title)[1].split("\n## ")[0]
    for line in card_before.splitlines():
        if line.startswith(("| Character CNN |", "| Whole-plate reader |")):
            assert line in card.splitlines()
    assert "finds 50.0% of their plates" in card and card.count("\n## Plate detector\n") == 1
    words = " ".join(card.split())
    assert (
        f"Kept from the bundle `default` (SHA-256 `{before.sha256}`), with what its card" in words
    )
    assert (
        "had there: Character CNN, Whole-plate reader. The others were trained on unknown." in words
    )
    licence = bundle.files["LICENSE.md"].decode()
    assert "| detector | `here` | MIT |" in licence and "| reader | `crops_us` | AGPL" in licence
    read = PlateReader(bundle).read(np.full((240, 320), 90, np.uint8))
    assert all(0 <= plate.confidence <= 1 for plate in read)

    assert export.main([*arguments, "--base", str(tmp_path / "absent")]) == 2
    assert f"no bundle folder at {tmp_path / 'absent'}" in capsys.readouterr().err


def test_a_base_that_says_too_little_is_refused(trained_detector, tmp_path, capsys):
    bundle, base = Bundle.load(), tmp_path / "base"
    base.mkdir()
    without_training = {
        name: value for name, value in bundle.manifest.items() if name != "training"
    }
    without_reader = bundle.files["card.md"].replace(b"## Whole-plate", b"## Other")
    for files, manifest, lack in (
        (bundle.files, without_training, "'training'"),
        ({**bundle.files, "card.md": without_reader}, bundle.manifest, "'Whole-plate reader'"),
        ({**bundle.files, "card.md": b"# Mine\n"}, bundle.manifest, "'Character CNN'"),
    ):
        for name, content in export.sealed(files, manifest).items():
            (base / name).write_bytes(content)
        arguments = [str(trained_detector), "--output", str(tmp_path / "bundle")]
        assert export.main([*arguments, "--base", str(base)]) == 2
        assert f"can be kept: it lacks {lack}" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_models_are_told_apart_by_their_records(trained, tmp_path, capsys):
    output = tmp_path / "bundle"
    assert export.main([str(trained), str(trained), "--output", str(output)]) == 2
    assert "give one folder of a characters training" in capsys.readouterr().err
    arguments = [str(trained), str(trained), "--format", "h5", "--output", f"{output}.h5"]
    assert export.main(arguments) == 2
    assert export.main([str(tmp_path), "--output", str(output)]) == 2
    assert "training.json" in capsys.readouterr().err
    assert not output.exists()


def test_other_backends_of_keras_cannot_export(trained, tmp_path, monkeypatch, capsys):
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    assert export.main([str(trained), "--output", str(tmp_path / "bundle")]) == 2
    assert "KERAS_BACKEND is torch: export with KERAS_BACKEND=tensorflow" in capsys.readouterr().err


def test_what_rounding_or_size_would_spoil_is_no_bundle(
    trained_detector, tmp_path, monkeypatch, capsys
):
    arguments = [str(trained_detector), "--output", str(tmp_path / "bundle")]
    with monkeypatch.context() as patch:
        patch.setattr(trained_models.TrainedDetector, "changed_by", lambda self, network: 0.006)
        assert export.main(arguments) == 1
    assert "16 bits change what the detector does on 0.60%" in capsys.readouterr().err
    monkeypatch.setattr(export, "BUNDLE_BYTES", 1_000_000)
    assert export.main(arguments) == 1
    assert "takes more than 1,000,000 bytes: detector.tflite" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", NAMES)
def test_each_format_loads_back_equal(trained, expected, tmp_path, form):
    output = tmp_path / "new" / NAMES[form]
    arguments = [str(trained), "--format", form, "--output", str(output)]
    for _ in range(2):  # the second replaces the first
        assert export.main(arguments) == 0
        assert [path.name for path in tmp_path.glob("new/*")] == [NAMES[form]]
    pictures, probabilities = expected
    if form == "saved_model":
        import tensorflow as tf

        loaded = tf.saved_model.load(str(output))
        parts = [np.asarray(loaded.serve(pictures[i : i + 7, ..., None])) for i in range(0, 33, 7)]
        assert len(parts[-1]) == 5
        found = np.concatenate(parts)
    else:
        import keras

        loaded = keras.saving.load_model(output, compile=False)
        found = loaded.predict(pictures[..., None], batch_size=7, verbose=0)
    np.testing.assert_allclose(found, probabilities, atol=1e-5)
    np.testing.assert_allclose(load_classifier(output)(pictures), probabilities, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_can_be_exported(trained, tmp_path, architecture):
    own = ARCHITECTURES[architecture]
    network = build(architecture, [3] * len(own.filters), [5] * len(own.dense), own.dropout)
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    network.save(folder / "best.keras")
    assert export.main([str(folder), "--output", str(tmp_path / "bundle")]) == 0
    card = (tmp_path / "bundle" / "card.md").read_text()
    assert f"| Character CNN | `three_conv_bn` | {network.count_params():,} |" in card


def test_a_bundle_of_other_characters_is_no_model(tmp_path):
    bundle = Bundle.load()
    manifest = json.loads(json.dumps(bundle.manifest))
    manifest["models"]["characters"]["alphabet"] = ALPHABET[::-1]
    for name, content in export.sealed(bundle.files, manifest).items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"reads other characters: {ALPHABET[::-1]}"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("function", ["to_litert", "to_keras"])
def test_a_bundle_that_differs_fails_and_writes_nothing(
    trained, tmp_path, monkeypatch, capsys, function
):
    convert = getattr(export, function)

    def convert_damaged(network, *options):
        weights = damaged(network)
        data = convert(network, *options)
        network.set_weights(weights)
        return data

    monkeypatch.setattr(export, function, convert_damaged)
    assert export.main([str(trained), "--output", str(tmp_path / "new" / "bundle")]) == 1
    assert "differs from the trained one" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", NAMES)
def test_a_format_that_differs_fails_and_keeps_what_was_there(
    trained, tmp_path, monkeypatch, capsys, form
):
    output = tmp_path / NAMES[form]
    arguments = [str(trained), "--format", form, "--output", str(output)]
    assert export.main(arguments) == 0
    files = [path for path in (output, *output.rglob("*")) if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    save = export.save

    def save_damaged(network, path):
        weights = damaged(network)
        save(network, path)
        network.set_weights(weights)

    monkeypatch.setattr(export, "save", save_damaged)
    assert export.main(arguments) == 1
    assert "differs from the trained one" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in files} == before
    assert [path.name for path in tmp_path.iterdir()] == [NAMES[form]]


@pytest.mark.parametrize(
    ("form", "name"),
    [("bundle", "notes"), ("saved_model", "notes"), ("keras", "notes.keras"), ("bundle", "file")],
)
def test_nothing_else_is_clobbered(tmp_path, capsys, form, name):
    output = tmp_path / name
    if name != "file":
        output.mkdir()
    (output / "mine.txt" if name != "file" else output).write_text("mine")
    assert export.main(["trained", "--format", form, "--output", str(output)]) == 2
    assert "was left alone" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


def test_the_output_must_suit_the_format(tmp_path, capsys):
    for form, name in (("h5", "a.keras"), ("keras", "a"), ("saved_model", "a.h5")):
        assert export.main(["trained", "--format", form, "--output", str(tmp_path / name)]) == 2
        assert f"--output {tmp_path / name}" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["training.json", "validation.npz", "best.keras"])
def test_an_incomplete_training_is_an_error(trained, tmp_path, capsys, missing):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns(missing))
    assert export.main([str(folder), "--output", str(tmp_path / "bundle")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("platebeam export: ") and error.count("\n") == 1
    assert str(folder) in error and missing in error
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["training.json", "validation.npz", "best.keras"])
def test_a_damaged_training_is_an_error(trained, tmp_path, capsys, name):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:200])
    assert export.main([str(folder), "--output", str(tmp_path / "bundle")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("platebeam export: ") and error.count("\n") == 1
    assert str(folder) in error


def test_a_training_that_was_cut_short_is_an_error(trained, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    record = json.loads((folder / "training.json").read_text())
    del record["metrics"]
    (folder / "training.json").write_text(json.dumps(record))
    assert export.main([str(folder), "--output", str(tmp_path / "bundle")]) == 2
    assert f"{folder} holds a training that has not ended" in capsys.readouterr().err


def test_what_is_no_character_model_is_told_so(tmp_path):
    keras = pytest.importorskip("keras")
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    other.save(tmp_path / "other.keras")
    other.export(tmp_path / "other", format="tf_saved_model", verbose=False)
    (tmp_path / "broken.h5").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text(json.dumps({}))
    (tmp_path / "text.txt").write_text("x")
    for name, reason in {
        "missing": "no model at",
        "text.txt": "is no model",
        "empty": "is no model",
        "broken.h5": "is no Keras model",
        "other.keras": "is no character model: it maps",
        "other": "is no SavedModel of a character model",
        "bundle": "manifest.json is not one of",
    }.items():
        with pytest.raises(ModelError, match=reason) as caught:
            load_classifier(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_models_are_compared_within_a_tolerance(trained):
    model = load_trained(trained)

    def constant(value):
        return lambda inputs: np.full((len(inputs), 36), value, np.float32)

    close = check_equal(model, constant(0.5), constant(0.500005))
    assert close == pytest.approx(5e-6, rel=0.1)
    for other in (0.50002, float("nan")):
        with pytest.raises(ExportError, match="characters differs"):
            check_equal(model, constant(0.5), constant(other))
    model._pictures = model._pictures[:0]
    with pytest.raises(ExportError, match="nothing to compare the exported characters on"):
        check_equal(model, constant(0.5), constant(0.5))


def test_weights_have_the_licence_of_their_pictures_unless_told_otherwise():
    def licence(*pictures):
        return licence_of([{"licence": name} for name in pictures])

    assert licence("own generator, MIT") == "MIT"
    assert licence("GPL-3.0", "own generator, MIT", "GPL-3.0") == "GPL-3.0"
    assert licence("unknown") == "unknown"
    assert licence("MIT", "GPL-3.0") == "whichever that is of GPL-3.0, MIT"
