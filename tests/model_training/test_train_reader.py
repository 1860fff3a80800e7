import csv
import json
import shlex
import shutil
from importlib import resources

import numpy as np
import pytest
from PIL import Image as PillowImage

pytest.importorskip("tensorflow", reason="training needs the extra `train`")
import keras

from lpr_core.recognize import ALPHABET
from lpr_core.sequence import pattern_of
from model_training import train
from model_training.half_precision import fold
from model_training.plate_crops import HEIGHT, WIDTH, PlateCrops, load_crops, plate_box
from model_training.train_reader import (
    ReaderData,
    Recipe,
    batches,
    encode,
    greedy_texts,
    read_validation,
    validation_crops,
    without_outvoted,
    write_validation,
)
from tests.model_training.conftest import EASY_CROPS, shrink_reader

pytestmark = pytest.mark.long

DETECTOR = resources.files("lpr_core") / "bundles" / "default" / "detector.keras"

SHORT = ("--epoch-size", "32", "--batch-size", "16", "--warm-up", "1", "--easy-epochs", "0")


def rows_of(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def record_of(folder):
    return json.loads((folder / "training.json").read_text())


@pytest.fixture
def run(easy_crops, monkeypatch):
    shrink_reader(monkeypatch)

    def run(output, *options):
        arguments = ["--rendered", str(EASY_CROPS), "--cache", str(easy_crops), "--fonts", "dies"]
        return train.main(["reader", *arguments, "--output", str(output), *SHORT, *options])

    return run


@pytest.fixture
def real_crops(easy_crops, tmp_path):
    """Sixty rendered crops as a folder of real ones, cut tight."""
    folder = tmp_path / "real"
    folder.mkdir()
    lines = ["image,text"]
    with np.load(easy_crops / "rendered-00000.npz") as block:
        for number in range(60):
            box = plate_box(float(block["aspects"][number]))
            rows, columns = (
                slice(round(box.y), round(box.bottom)),
                slice(round(box.x), -round(box.x)),
            )
            pixels = block["pixels"][number][rows, columns]
            PillowImage.fromarray(pixels).save(folder / f"{number}.png")
            lines.append(f"{number}.png,{block['texts'][number]}")
    (folder / "truth.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_training_of_a_minute_learns_to_read(trained_reader):
    rows = rows_of(trained_reader)
    assert float(rows[-1]["loss"]) < 0.1 * float(rows[0]["loss"])
    record = record_of(trained_reader)
    assert record["metrics"]["val_exact"] == max(float(row["val_exact"]) for row in rows)
    assert record["metrics"]["val_exact"] > 0.7
    assert record["architecture"] == "ctc" and record["alphabet"] == ALPHABET
    assert [item["name"] for item in record["data"]] == ["rendered"]
    for name in ("best.keras", "last.keras", "curves.png", "worst.png"):
        assert (trained_reader / name).stat().st_size > 1000


def test_plates_it_was_not_trained_on_are_read(trained_reader):
    network = keras.saving.load_model(trained_reader / "best.keras", compile=False)
    sets = read_validation(trained_reader / "validation.npz")
    assert [crops.name for crops in sets] == ["rendered"]
    pictures, texts = validation_crops(sets)
    assert len(texts) == record_of(trained_reader)["metrics"]["validation_pictures"]
    reads = greedy_texts(network.predict(pictures[..., None], verbose=0))
    right = np.mean([read == text for read, text in zip(reads, texts, strict=True)])
    assert right == pytest.approx(record_of(trained_reader)["metrics"]["val_exact"], abs=0.02)


@pytest.mark.parametrize("step", ["evaluate", "plot_history"])
def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(run, tmp_path, monkeypatch, step):
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    assert run(whole, "--epochs", "2") == 0

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f"model_training.train_reader.{step}", killed)  # as the first epoch ends
        run(halved, "--epochs", "2")
    assert (halved / "last.keras").exists() == (step == "plot_history")
    assert "metrics" not in record_of(halved)
    assert run(halved, "--epochs", "2", "--resume") == 0
    for one, other in zip(rows_of(whole), rows_of(halved), strict=True):
        for column in one:
            assert float(one[column]) == pytest.approx(float(other[column]), rel=1e-3)


def test_a_training_is_blended_with_what_it_was_started_with(run, trained_reader, tmp_path):
    start, output = trained_reader / "best.keras", tmp_path / "model"
    options = ("--start", str(start), "--blended", "0.25", "--epochs", "1")
    assert run(output, *options) == 0
    before, trained, blended = (
        keras.saving.load_model(path, compile=False).get_weights()
        for path in (start, output / "unblended.keras", output / "best.keras")
    )
    for a, b, mean in zip(before, trained, blended, strict=True):
        np.testing.assert_allclose(mean, 0.75 * a + 0.25 * b, atol=1e-6)
    assert any(not np.array_equal(a, b) for a, b in zip(before, trained, strict=True))
    network = keras.saving.load_model(output / "best.keras", compile=False)
    pictures, texts = validation_crops(read_validation(output / "validation.npz"))
    reads = greedy_texts(network.predict(pictures[..., None], verbose=0))
    right = np.mean([read == text for read, text in zip(reads, texts, strict=True)])
    assert right == pytest.approx(record_of(output)["metrics"]["val_exact"], abs=1e-6)


def test_a_training_starts_with_a_bundles_reader_too(run, trained_reader, tmp_path):
    trained = keras.saving.load_model(trained_reader / "best.keras", compile=False)
    fold(trained).save(tmp_path / "reader.keras")
    shares = []
    for start in (trained_reader / "best.keras", tmp_path / "reader.keras"):
        output = tmp_path / f"from-{start.parent.name}"
        options = ("--start", str(start), "--epochs", "1", "--learning-rate", "1e-9")
        assert run(output, *options) == 0
        shares.append(record_of(output)["metrics"]["val_exact"])
    assert shares[0] > 0.3
    assert shares[1] == pytest.approx(shares[0], abs=0.05)


def test_an_ended_training_is_neither_overwritten_nor_trained_further(
    trained_reader, tmp_path, capsys, monkeypatch
):
    shrink_reader(monkeypatch)
    folder = tmp_path / "model"
    shutil.copytree(trained_reader, folder)
    (folder / "validation.npz").unlink()
    arguments = shlex.split(record_of(trained_reader)["command"])[2:]
    arguments[arguments.index("--output") + 1] = str(folder)
    assert train.main(arguments) == 2
    assert "give --resume" in capsys.readouterr().err
    assert train.main([*arguments, "--resume", "--real-share", "0.5"]) == 2
    assert "other options (real_share)" in capsys.readouterr().err
    before = {name: (folder / name).read_bytes() for name in ("best.keras", "history.csv")}
    record = record_of(folder)
    assert train.main([*arguments, "--resume"]) == 0
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert record_of(folder) == record
    assert (folder / "validation.npz").exists()


def test_folders_are_learnt_from_and_validated_on_each_by_itself(run, real_crops, tmp_path, capsys):
    truth = real_crops / "truth.csv"
    truth.write_text(truth.read_text() + "none.png,AB12\n")
    output = tmp_path / "model"
    options = ("--epochs", "1", "--validation-share", "0.3")
    assert run(output, "--data", f"{real_crops}=CC0-1.0", *options) == 0
    record = record_of(output)
    texts = [row["text"] for row in csv.DictReader(truth.open()) if row["image"] != "none.png"]
    assert set(map(pattern_of, texts)) <= set(record["patterns"])
    assert sum(record["patterns"].values()) == pytest.approx(1)
    assert [(item["name"], item["pictures"], item["licence"]) for item in record["data"]] == [
        ("real", 60, "CC0-1.0"),
        ("rendered", EASY_CROPS, "own generator, MIT"),
    ]
    assert {"val_exact_real", "val_exact_rendered"} <= set(record["metrics"])
    assert "real: 60 crops" in capsys.readouterr().out
    with (output / "refused.csv").open() as file:
        (refused,) = csv.DictReader(file)
    assert refused["path"].endswith("none.png")
    real, rendered = read_validation(output / "validation.npz")
    assert (real.name, rendered.name) == ("real", "rendered")
    assert 5 <= len(real) <= 35 and 100 <= len(rendered) <= 300


def test_what_was_proposed_by_machines_is_told_so(run, real_crops, tmp_path):
    label_by_machines(real_crops)
    assert run(tmp_path / "model", "--data", str(real_crops), "--epochs", "1") == 0
    (real, _) = record_of(tmp_path / "model")["data"]
    assert (real["name"], real["pictures"]) == ("real (labels proposed by machines)", 60)


def label_by_machines(folder, wrong=0):
    """Two machines in place of people; together they take something for a 7 in the first crops."""
    lines = ["image,read_a,read_b"]
    for number, row in enumerate((folder / "truth.csv").read_text().splitlines()[1:]):
        image, text = row.split(",")
        seen = f"7{text}" if number < wrong else text
        lines.append(f"{image},{seen},{seen}")
    (folder / "teachers.csv").write_text("\n".join(lines))
    (folder / "truth.csv").unlink()


def test_another_reader_outvotes_machines_but_not_people(run, real_crops, trained_reader, tmp_path):
    voter = trained_reader / "best.keras"
    by_people = load_crops(real_crops)
    network = keras.saving.load_model(voter, compile=False)
    assert without_outvoted(by_people, network) is by_people
    label_by_machines(real_crops, wrong=20)
    options = ("--data", str(real_crops), "--third-vote", str(voter), "--epochs", "1")
    assert run(tmp_path / "model", *options) == 0
    with (tmp_path / "model" / "refused.csv").open() as file:
        refused = [row["reason"] for row in csv.DictReader(file)]
    outvoted = sum(reason.startswith("machines label it 7") for reason in refused)
    assert outvoted > 10 and len(refused) < 20 + 10
    assert record_of(tmp_path / "model")["data"][0]["pictures"] == 60 - len(refused)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "nowhere"), "nowhere"),
        (("--start", "nowhere.keras"), "nowhere.keras"),
        (("--start", __file__), f"{__file__}: no network"),
        (("--third-vote", str(DETECTOR)), f"{DETECTOR}: a network of another shape"),
        (("--blended", "0.5"), "--start"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(run, tmp_path, capsys, options, message):
    assert run(tmp_path / "model", *options) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "platebeam" in line]
    assert len(error) == 1 and error[0].startswith("platebeam train: ") and message in error[0]
    assert not (tmp_path / "model").exists()


def test_repeated_frames_and_blanks_are_dropped():
    def logits(frames):
        return np.eye(37, dtype=np.float32)[np.array(frames)][None]

    blank, a, b = 0, 1 + ALPHABET.index("A"), 1 + ALPHABET.index("B")
    assert greedy_texts(logits([blank, a, a, blank, a, b, b])) == ["AAB"]
    assert greedy_texts(logits([blank, blank])) == [""]


def test_texts_are_padded_codes_from_1():
    assert encode("0AZ").tolist() == [1, 11, 36] + [0] * 7


def test_what_an_epoch_shows_depends_on_seed_epoch_and_step_alone():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (9, HEIGHT, WIDTH), np.uint8)
    texts = tuple(f"T{number}" for number in range(9))
    sides = np.full(9, 4.0, np.float32), np.full(9, 60, np.float32)
    crops = PlateCrops("set", pixels, texts, *sides)
    data = ReaderData((crops,), crops, (crops,), (), ())

    def shown(seed, epoch, index):
        made = batches(data, Recipe(3, 8, 4, 0.5, 0.5, 1.0, 0.01, 1, 1, seed))
        assert len(made) == 2
        made.start(epoch)
        return made[index]

    pictures, codes = shown(1, 1, 0)
    assert pictures.shape == (4, 64, 160, 1) and pictures.dtype == np.float32
    assert codes.shape == (4, 10) and (codes[:, 0] == 1 + ALPHABET.index("T")).all()
    assert np.array_equal(pictures, shown(1, 1, 0)[0])
    for other in ((2, 1, 0), (1, 2, 0), (1, 1, 1)):
        assert not np.array_equal(pictures, shown(*other)[0])


def test_validation_crops_are_kept_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    sets = [
        PlateCrops(
            name,
            rng.integers(0, 255, (2, HEIGHT, WIDTH), np.uint8),
            texts,
            rng.random(2, np.float32),
            rng.random(2, np.float32),
        )
        for name, texts in (("one", ("A1", "B22")), ("rendered", ("C333", "D4")))
    ]
    write_validation(tmp_path / "validation.npz", sets)
    for one, other in zip(sets, read_validation(tmp_path / "validation.npz"), strict=True):
        assert (one.name, one.texts) == (other.name, other.texts)
        for column in ("pixels", "aspects", "heights"):
            assert np.array_equal(getattr(one, column), getattr(other, column))
