import csv
import json
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

from lpr_core.geometry import Box, iou
from lpr_core.heatmap import plates_of
from tests.model_training.test_detector_pictures import write

pytest.importorskip("tensorflow", reason="training needs the extra `train`")
import keras

from model_training import train, train_detector
from model_training.detector_network import build_detector, detector_loss
from model_training.detector_pictures import Backdrop, Cutout, Truth, rendered_faces
from model_training.half_precision import fold, unfold
from model_training.train_detector import (
    Recipe,
    as_batch,
    compile_detector,
    doubts,
    measure,
)
from model_training.training_folder import trained_network

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:Even though the `tf.config"),
]

SMALL = ("--fonts", "dies", "--rendered", "10", "--cars", "10", "--decoys", "10")
SHORT = ("--pictures", "4", "--batch-size", "2", "--validation", "2")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "places"
    rng = np.random.default_rng(2)
    for name in ("train/street.png", "valid/street.png"):
        noise = cv2.resize(rng.integers(0, 255, (20, 30, 3), np.uint8), (360, 240))
        noise[100:118, 120:200] = 230
        write(folder / name, noise)
    lines = [f"{part}/street.png,120,100,80,18" for part in ("train", "valid")]
    (folder / "truth.csv").write_text("\n".join(["image,x,y,w,h", *lines]))
    return folder


@pytest.fixture
def eagerly():
    """To trace the network takes TensorFlow longer than a few steps without."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def run(pictures, output, *options):
    arguments = ["--output", str(output), "--backgrounds", f"{pictures}=CC0-1.0"]
    arguments += ["--hold-out", "*/valid/*", *SMALL, *SHORT, *options]
    return train.main(["detector", *arguments])


def rows_of(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def a_window(number):
    """A rendered plate on a plain ground, and where it is."""
    plate: Cutout = next(rendered_faces(number, 1, ()))
    height, width = plate.pixels.shape
    size = 64, max(16, round(64 * height / width))
    x, y = 20 + 7 * number, 30 + 3 * number
    window = np.full((96, 128), 60 + 10 * number, np.uint8)
    window[y : y + size[1], x : x + size[0]] = cv2.resize(plate.pixels, size)
    return window, [Truth(np.array(Box(x, y, *size).corners))]


def test_a_network_learns_to_find_rendered_plates(tmp_path):
    windows = [a_window(number) for number in range(4)]
    keras.utils.set_random_seed(1)
    network = build_detector()
    compile_detector(network, Recipe(1, 4, 4, 0.004), 80)
    pictures, truth = as_batch(windows)

    def output():
        # Its averages of batches are few yet: seen as in training.
        return network(pictures, training=True)

    before = float(detector_loss(truth, output()))
    for _ in range(80):
        network.train_on_batch(pictures, truth)
    assert float(detector_loss(truth, output())) < 0.2 * before
    for (_, truths), said in zip(windows, keras.ops.convert_to_numpy(output()), strict=True):
        surest = next(plates_of(said, 0.3))
        assert iou(surest.box, truths[0].box) > 0.5


def test_weights_of_no_such_network_are_refused_before_any_work(pictures, tmp_path, capsys):
    picture = keras.Input((None, None, 1))
    other = keras.Model(picture, keras.layers.Conv2D(9, 3, strides=8, padding="same")(picture))
    other.save(tmp_path / "other.keras")
    (tmp_path / "none.keras").write_bytes(b"none")
    for name, told in (("other", "a network of another shape"), ("none", "no network")):
        weights = tmp_path / f"{name}.keras"
        assert run(pictures, tmp_path / "model", "--weights", str(weights)) == 2
        assert capsys.readouterr().err.startswith(f"platebeam train: {weights}: {told}")
    assert not (tmp_path / "model").exists()


def test_a_training_goes_on_from_a_bundle_whose_normalisation_was_folded_away(tmp_path, eagerly):
    windows = [a_window(number) for number in range(4)]
    pictures, truth = as_batch(windows)
    trained, network = build_detector(), build_detector()
    compile_detector(trained, Recipe(1, 4, 4, 0.004), 3)
    for _ in range(3):
        trained.train_on_batch(pictures, truth)
    network.set_weights(trained.get_weights())
    folded = fold(network)
    folded.save(tmp_path / "detector.keras")
    expected = folded.predict_on_batch(pictures)
    again = build_detector()
    unfold(trained_network(tmp_path / "detector.keras", again), again, pictures)
    np.testing.assert_allclose(again.predict_on_batch(pictures), expected, rtol=1e-3, atol=1e-3)
    # The statistics are those of the windows: a step of training sees the same function too.
    learning = keras.ops.convert_to_numpy(again(pictures, training=True))
    np.testing.assert_allclose(learning, expected, rtol=1e-3, atol=1e-2)


def test_weights_that_another_backend_saved_will_do_to_begin_with(tmp_path, eagerly):
    windows = [a_window(number) for number in range(2)]
    network = build_detector()
    compile_detector(network, Recipe(1, 2, 2, 0.004), 1)
    network.train_on_batch(*as_batch(windows))
    network.save(tmp_path / "here.keras")
    # PyTorch's optimizers are classes of their own, which keras names by where they are.
    there = {
        "module": "keras.src.backend.torch.optimizers.torch_adamw",
        "registered_name": "AdamW",
    }
    with (
        ZipFile(tmp_path / "here.keras") as before,
        ZipFile(tmp_path / "there.keras", "w") as after,
    ):
        for name in before.namelist():
            content = before.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["compile_config"]["optimizer"] |= there
                content = json.dumps(config).encode()
            after.writestr(name, content)
    begun_with = trained_network(tmp_path / "there.keras", build_detector())
    for own, other in zip(network.get_weights(), begun_with.get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)


def test_doubtful_is_what_a_network_finds_and_no_truth_knows():
    """Of a picture twice as large as the network's input: what it says counts twice."""
    said = np.zeros((1, 48, 64, 9), np.float32)
    said[..., 0] = -9
    for x, y in ((10, 15), (45, 30)):
        said[0, y, x, 0] = 3
        said[0, y, x, 1:] = np.array([-2, -1, 2, -1, 2, 1, -2, 1]) / 4  # 32 by 16 pixels

    class Says:
        def predict_on_batch(self, batch):
            assert batch.shape == (1, 384, 512, 1)
            return said

    picture = np.zeros((768, 1024), np.uint8)
    known = Box(130, 228, 64, 32)
    (looked_at,) = doubts(Says(), [Backdrop((picture,), (picture,), (known,))])
    # The middle of cell (45, 30) is at (364, 244): (728, 488) in the picture.
    (box,) = looked_at.doubtful
    assert (box.x, box.y) == pytest.approx((728 - 32, 488 - 16), abs=0.1)
    assert (box.width, box.height) == pytest.approx((64, 32), abs=0.1)


def test_what_is_measured_is_what_is_found(tmp_path):
    windows = [a_window(number) for number in range(2)]
    _, targets = as_batch(windows)
    heat = np.where(targets[..., :1] == 1, 9.0, -9.0)
    right = np.concatenate([heat, targets[..., 4:]], axis=-1).astype(np.float32)
    wrong = right.copy()
    wrong[0, ..., 0] = -9  # one of the two is missed,
    wrong[1, 2, 2, 0] = 9  # and something else is found
    wrong[1, 2, 2, 1:] = np.array([0, 0, 1, 0, 1, 0.2, 0, 0.2]) / 4

    class Says:
        def __init__(self, output):
            self.predict_on_batch = lambda batch: output[: len(batch)]

    figures = measure(Says(right), windows, tmp_path / "worst.png")
    assert figures["val_recall"] == 1
    assert figures["val_false"] == 0
    assert figures["val_corners"] == pytest.approx(0, abs=1e-3)
    worse = measure(Says(wrong), windows, tmp_path / "worst.png")
    assert worse["val_recall"] == 0.5
    assert worse["val_false"] == 0.5
    assert worse["val_loss"] > figures["val_loss"] + 1
    assert cv2.imread(str(tmp_path / "worst.png")) is not None


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(
    pictures, tmp_path, monkeypatch, eagerly
):
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    assert run(pictures, whole, "--epochs", "2") == 0
    plot, stopped = train_detector.plot_detector_history, []

    def stop(history, path):
        plot(history, path)
        if not stopped:
            stopped.append(path)
            raise OSError("stopped after an epoch")

    monkeypatch.setattr(train_detector, "plot_detector_history", stop)
    assert run(pictures, halved, "--epochs", "2") == 2
    assert len(rows_of(halved)) == 1
    assert run(pictures, halved, "--epochs", "2", "--resume") == 0
    for one, other in zip(rows_of(whole), rows_of(halved), strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-4)
        assert float(one["val_loss"]) == pytest.approx(float(other["val_loss"]), rel=1e-4)


def test_a_training_records_what_it_did(pictures, tmp_path, eagerly):
    assert run(pictures, tmp_path, "--epochs", "1") == 0
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["architecture"] == "heatmap"
    assert record["metrics"]["last_epoch"] == 1
    assert record["data"] == [
        {
            "name": "places",
            "pictures": 2,
            "sha256": record["data"][0]["sha256"],
            "licence": "CC0-1.0",
        }
    ]
    assert {path.name for path in tmp_path.iterdir()} == {
        "best.keras",
        "curves.png",
        "history.csv",
        "last.keras",
        "training.json",
        "validation.csv",
        "worst.png",
    }
    assert keras.saving.load_model(tmp_path / "best.keras", compile=False).count_params() < 400_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hold-out", "*/nothing/*"), "nothing to validate with"),
        (("--hold-out", "*"), "nothing to learn from"),
    ],
)
def test_without_pictures_for_both_it_says_which_lack(pictures, tmp_path, capsys, options, message):
    assert run(pictures, tmp_path / "model", *options) == 2
    assert message in capsys.readouterr().err


def test_an_epoch_holds_a_batch(pictures, tmp_path, capsys):
    assert run(pictures, tmp_path / "model", "--pictures", "8", "--batch-size", "16") == 2
    assert "--pictures is less than one --batch-size" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_training_needs_plates_but_not_rendered_ones_or_cars(pictures, tmp_path, capsys, eagerly):
    assert run(pictures, tmp_path / "model", "--rendered", "0") == 2
    assert "no plate to learn from: see --plates, --rendered" in capsys.readouterr().err
    faces = tmp_path / "faces"
    for name in ("a.png", "b.png"):
        write(faces / name, np.full((20, 80, 3), 200, np.uint8))
    options = ["--plates", str(faces), "--hold-out", "*/valid/*", "*/b.png"]
    few = ["--rendered", "0", "--cars", "0", "--decoys", "1"]
    assert run(pictures, tmp_path / "model", *options, *few) == 0


def test_a_training_is_not_overwritten_nor_resumed_otherwise(pictures, tmp_path, capsys):
    (tmp_path / "training.json").write_text('{"asked": {"epochs": 7}}')
    assert run(pictures, tmp_path) == 2
    assert "give --resume" in capsys.readouterr().err
    assert run(pictures, tmp_path, "--resume") == 2
    assert "other options" in capsys.readouterr().err
