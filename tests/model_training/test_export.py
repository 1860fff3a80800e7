import json
import shutil

import numpy as np
import pytest

from lpr_core.bundle import Bundle
from lpr_core.recognize import ALPHABET, CharacterRecognizer
from model_training import export
from model_training.architectures import ARCHITECTURES, build
from model_training.classifiers import ModelError, load_classifier
from model_training.export import ExportError, check_equal, fit_temperature
from tests.model_training.test_characters import write_set

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
    assert bundle.manifest["training"]["metrics"]["report"]["pictures"] == 12
    card = bundle.files["card.md"].decode()
    assert "platebeam train characters --data" in card and "`report` | 12 |" in card
    assert "trained on: CC0-1.0." in bundle.files["LICENSE.md"].decode()
    assert [path.name for path in tmp_path.glob("new/*")] == ["bundle"]


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
    assert f" {network.count_params():,} parameters" in card.replace("\n", " ")


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

    def convert_damaged(network):
        weights = damaged(network)
        data = convert(network)
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


def test_models_are_compared_within_a_tolerance():
    pictures = np.zeros((3, 28, 28), np.float32)

    def constant(value):
        return lambda images: np.full((len(images), 36), value, np.float32)

    assert check_equal(constant(0.5), constant(0.500005), pictures) == pytest.approx(5e-6, rel=0.1)
    with pytest.raises(ExportError, match="differs"):
        check_equal(constant(0.5), constant(0.50002), pictures)
    with pytest.raises(ExportError, match="differs"):
        check_equal(constant(0.5), constant(float("nan")), pictures)
    with pytest.raises(ExportError, match="no pictures"):
        check_equal(constant(0.5), constant(0.5), pictures[:0])


def test_weights_have_the_licence_of_their_pictures_unless_told_otherwise():
    def licence(*pictures):
        return export.licence_of([{"licence": name} for name in pictures])

    assert licence("own generator, MIT") == "MIT"
    assert licence("GPL-3.0", "own generator, MIT", "GPL-3.0") == "GPL-3.0"
    assert licence("unknown") == "unknown"
    assert licence("MIT", "GPL-3.0") == "whichever that is of GPL-3.0, MIT"


def test_temperature_brings_confidence_to_accuracy():
    # Always 90 % sure of class 0, right in three of four: the likeliest share is 75 %.
    # 0.9^(1/T) / (0.9^(1/T) + 0.1^(1/T)) = 0.75 where 9^(1/T) = 3, so T = 2.
    probabilities = np.tile(np.array([[0.9, 0.1]], np.float32), (4, 1))
    assert fit_temperature(probabilities, np.array([0, 0, 0, 1], np.int32)) == pytest.approx(2.0)
