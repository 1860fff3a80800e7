import csv
import json

import numpy as np
import pytest

from lpr_core.bundle import Bundle
from lpr_core.recognize import ALPHABET, CharacterRecognizer
from model_training.evaluate import CharacterAccuracy, evaluate_characters
from model_training.export import ExportError, check_equal, fit_temperature
from tests.model_training.test_characters import write_set


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model trained for seconds on a few folders and rendered characters."""
    pytest.importorskip("tensorflow", reason="training needs the extra `train`")
    from model_training import train

    folder = tmp_path_factory.mktemp("train")
    data = write_set(folder / "set", dark=True, characters="AJ7", copies=20)
    arguments = ["characters", "--data", f"{data}=CC0-1.0", "--rendered", "300", "--fonts", "dies"]
    arguments += ["--output", str(folder / "model"), "--epochs", "4", "--learning-rate", "0.002"]
    arguments += ["--filters", "8", "8", "8", "--dense", "16", "--augment"]
    assert train.main([*arguments, "--validation-share", "0.2", "--seed", "5"]) == 0
    return folder / "model"


def test_training_lowers_the_loss_and_records_what_it_did(trained):
    with (trained / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert "val_sparse_categorical_accuracy" in rows[0]
    record = json.loads((trained / "training.json").read_text())
    assert [item["name"] for item in record["data"]] == ["set", "rendered"]
    assert [item["pictures"] for item in record["data"]] == [60, 300]
    assert record["data"][0]["licence"] == "CC0-1.0"
    assert record["command"].startswith("platebeam train characters --data")
    assert record["seed"] == 5
    best = max(float(row["val_sparse_categorical_accuracy"]) for row in rows)
    assert record["metrics"]["validation_accuracy"] == pytest.approx(best)
    for name in ("best.keras", "last.keras", "curves.png", "validation.npz"):
        assert (trained / name).stat().st_size > 1000


def test_the_exported_bundle_equals_the_trained_model(trained, tmp_path):
    import keras

    from model_training import export

    report = write_set(tmp_path / "report", dark=False)
    output = tmp_path / "bundle"
    arguments = [str(trained), "--output", str(output), "--report", str(report), "--name", "tiny"]
    assert export.main([*arguments, "--licence", "CC0-1.0"]) == 0
    bundle = Bundle.load(output)
    with np.load(trained / "validation.npz") as stored:
        pictures = stored["pictures"]
    temperature = bundle.manifest["models"]["characters"]["calibration"]["temperature"]
    model = keras.saving.load_model(trained / "best.keras", compile=False)
    expected = model.predict(pictures[..., None], verbose=0) ** (1 / temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    for backend in ("litert", "tensorflow"):
        found = CharacterRecognizer(bundle, backend).classify(pictures)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert bundle.manifest["name"] == "tiny"
    assert bundle.manifest["training"]["metrics"]["report"]["pictures"] == 12
    card = bundle.files["card.md"].decode()
    assert "platebeam train characters --data" in card and "`report` | 12 |" in card
    assert "CC0-1.0" in bundle.files["LICENSE.md"].decode()


def test_an_export_that_differs_fails_and_writes_nothing(trained, tmp_path, monkeypatch, capsys):
    from model_training import export

    convert = export.to_litert

    def damaged(model):
        weights = [array.copy() for array in model.get_weights()]
        model.set_weights([weights[0] * 1.01, *weights[1:]])
        data = convert(model)
        model.set_weights(weights)
        return data

    monkeypatch.setattr(export, "to_litert", damaged)
    assert export.main([str(trained), "--output", str(tmp_path / "bundle")]) == 1
    assert "differs from the trained one" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_nothing_to_learn_from_is_an_error(tmp_path, capsys):
    from model_training import train

    assert train.main(["characters", "--output", str(tmp_path)]) == 2
    assert "give --data or --rendered" in capsys.readouterr().err


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


def test_temperature_brings_confidence_to_accuracy():
    # Always 90 % sure of class 0, right in three of four: the likeliest share is 75 %.
    # 0.9^(1/T) / (0.9^(1/T) + 0.1^(1/T)) = 0.75 where 9^(1/T) = 3, so T = 2.
    probabilities = np.tile(np.array([[0.9, 0.1]], np.float32), (4, 1))
    assert fit_temperature(probabilities, np.array([0, 0, 0, 1], np.int32)) == pytest.approx(2.0)


def test_accuracy_counts_refused_files_as_misread(tmp_path, monkeypatch):
    from model_training.characters import load_characters

    folder = write_set(tmp_path / "set", dark=True, characters="01", copies=2)
    (folder / "0" / "broken.png").write_bytes(b"x")

    class SaysO:
        def classify(self, images):
            return np.eye(36, dtype=np.float32)[[ALPHABET.index("O")] * len(images)]

    figure = evaluate_characters(SaysO(), load_characters(folder))
    # Two 0 read as O (right when folded), two 1 read as O, one file that is no picture.
    assert figure == CharacterAccuracy("set", 5, 0, 2, (("1", "O"), ("1", "O")))
    # Wilson interval of 2 of 5 by its formula: centre (0.4 + 3.8416/10) / 1.76832 = 0.4434,
    # half width 1.96 · sqrt(0.4 · 0.6 / 5 + 3.8416 / 100) / 1.76832 = 0.3258.
    assert figure.row().endswith("40.00% (11.76% to 76.93%) |")
