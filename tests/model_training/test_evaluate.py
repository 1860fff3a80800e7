import csv
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from lpr_core.recognize import ALPHABET
from model_training import evaluate
from model_training.characters import CharacterSet, Refused, load_characters
from model_training.evaluate import Evaluation, evaluate_characters, together
from tests.model_training.test_characters import write_set


def made_up(truth, reads, probability=0.9, refused=(), name="set"):
    """An evaluation in which each picture is read with a given probability, the rest shared."""
    labels = np.array([ALPHABET.index(c) for c in truth], np.int32)
    probabilities = np.empty((len(truth), 36), np.float32)
    for row, character, p in zip(
        probabilities, reads, np.broadcast_to(probability, len(truth)), strict=True
    ):
        row[:] = (1 - p) / 35
        row[ALPHABET.index(character)] = p
    picture = np.full((20, 10), 255, np.uint8)
    files = tuple(Refused(Path(name, character, "x"), "no ink") for character in refused)
    hashes = tuple(str(i) for i in range(len(truth)))
    paths = tuple(Path(name, character, "x.png") for character in truth)
    return Evaluation(
        CharacterSet(name, (picture,) * len(truth), labels, paths, hashes, files), probabilities
    )


def test_precision_recall_and_f1_by_hand():
    # A: 3 files, one of them refused; read as A: two A and one B.
    classes = {item.character: item for item in made_up("AABB7", "AAAB4", refused="A").classes}
    assert [(c, item.pictures) for c, item in classes.items() if item.pictures] == [
        ("7", 1),
        ("A", 3),
        ("B", 2),
    ]
    a, b, seven, four = (classes[c] for c in "AB74")
    assert (a.precision, a.recall, a.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (b.precision, b.recall, b.f1) == pytest.approx((1, 1 / 2, 2 / 3))
    assert (seven.precision, seven.recall, seven.f1) == (None, 0, 0)
    assert (four.precision, four.recall, four.f1) == (0, None, 0)
    assert (classes["Z"].precision, classes["Z"].recall, classes["Z"].f1) == (None, None, None)


def test_confusions_are_counted():
    evaluation = made_up("AAB0O1", "ABB80I")
    matrix = evaluation.confusion_matrix
    assert matrix.sum() == 6 and np.trace(matrix) == 2
    row, column = ALPHABET.index("A"), ALPHABET.index("B")
    assert (matrix[row, column], matrix[column, row]) == (1, 0)
    assert evaluation.confusions == {("A", "B"): 1, ("0", "8"): 1}
    assert (evaluation.strict, evaluation.folded) == (2, 4)


def test_loss_is_the_mean_negative_log_likelihood():
    # Right with 0.5, right with 0.9, wrong with 0.3: the truth gets 0.7 / 35.
    evaluation = made_up("AB7", "AB4", [0.5, 0.9, 0.3])
    expected = [-math.log(0.5), -math.log(0.9), -math.log(0.02)]
    np.testing.assert_allclose(evaluation.losses, expected, rtol=1e-6)
    assert evaluation.loss == pytest.approx(sum(expected) / 3)
    assert made_up("A", "B", 1.0).loss == pytest.approx(-math.log(1e-12))  # not infinite


def test_calibration_error_by_hand():
    # 0.95, 1.00 and 0.99 (two right) share the last of 15 bins, 0.62 and 0.65 (one right) the
    # tenth, from 0.6 up to 0.667.
    evaluation = made_up("AAABB", "AA7B8", [0.95, 1.0, 0.99, 0.62, 0.65])
    filled = {i: item for i, item in enumerate(evaluation.reliability) if item.reads}
    assert {i: item.reads for i, item in filled.items()} == {9: 2, 14: 3}
    assert filled[9].confidence == pytest.approx(0.635) and filled[9].accuracy == 0.5
    assert filled[14].confidence == pytest.approx(0.98)
    assert filled[14].accuracy == pytest.approx(2 / 3)
    assert evaluation.reliability[0].accuracy is None
    expected = (3 * (0.98 - 2 / 3) + 2 * (0.635 - 0.5)) / 5
    assert evaluation.calibration_error == pytest.approx(expected, rel=1e-6)


def test_accuracy_counts_refused_files_as_misread(tmp_path):
    folder = write_set(tmp_path / "set", dark=True, characters="01", copies=2)
    (folder / "0" / "broken.png").write_bytes(b"x")

    def says_o(pictures):
        return np.eye(36, dtype=np.float32)[[ALPHABET.index("O")] * len(pictures)]

    evaluation = evaluate_characters(says_o, load_characters(folder))
    # Two 0 read as O (right when folded), two 1 read as O, one file that is no picture.
    assert (evaluation.name, evaluation.pictures) == ("set", 5)
    assert (evaluation.strict, evaluation.folded) == (0, 2)
    assert evaluation.confusions == {("1", "O"): 2}
    # Wilson interval of 2 of 5 by its formula: centre (0.4 + 3.8416/10) / 1.76832 = 0.4434,
    # half width 1.96 · sqrt(0.4 · 0.6 / 5 + 3.8416 / 100) / 1.76832 = 0.3258. All were sure and
    # none was right, so the calibration error is 1.
    assert "40.00% (11.76% to 76.93%) |" in evaluation.row()
    assert evaluation.row().endswith("| 100.00% |")


def test_sets_together_weigh_each_picture_alike():
    whole = together([made_up("AAA", "AAA", name="one"), made_up("B", "8", refused="C")])
    assert (whole.pictures, whole.strict, whole.confusions) == (5, 3, {("B", "8"): 1})


def test_the_report_of_the_default_bundle(tmp_path, capsys):
    one = write_set(tmp_path / "one", dark=True, copies=3)
    write_set(tmp_path / "two" / "val", dark=False, characters="0B")
    write_set(tmp_path / "two" / "train", dark=False, characters="X")
    (one / "A" / "broken.png").write_bytes(b"x")
    output = tmp_path / "new" / "report"
    arguments = ["--data", str(one), str(tmp_path / "two"), "--output", str(output)]
    assert evaluate.main(arguments) == 0
    printed = capsys.readouterr()
    assert "| `one` | 10 |" in printed.out and "| `two/val` | 8 |" in printed.out
    assert f"refused: {one / 'A' / 'broken.png'}: not a picture" in printed.err
    assert "evaluated on its val/ alone" in printed.err

    figures = json.loads((output / "metrics.json").read_text())
    assert [(item["name"], item["pictures"], item["refused"]) for item in figures["sets"]] == [
        ("one", 10, 1),
        ("two/val", 8, 0),
    ]
    whole = figures["together"]
    assert whole["accuracy_folded"]["right"] == sum(
        item["accuracy_folded"]["right"] for item in figures["sets"]
    )
    assert whole["accuracy_folded"]["share"] > 0.8
    assert sum(map(sum, whole["confusion_matrix"])) == 17
    assert sum(item["reads"] for item in whole["reliability"]) == 17
    with (output / "classes.csv").open() as file:
        classes = list(csv.DictReader(file))
    counts = {row["character"]: int(row["pictures"]) for row in classes}
    assert {c: n for c, n in counts.items() if n} == {"0": 4, "7": 3, "A": 4, "B": 4, "J": 3}
    refused = (output / "refused.csv").read_text().splitlines()
    assert refused == ["path,reason", f"{one / 'A' / 'broken.png'},not a picture"]
    for name in ("confusion.png", "reliability.png", "worst.png"):
        page = cv2.imread(str(output / name))
        assert min(page.shape[:2]) >= 400 and page.std() > 10


def test_the_confusion_matrix_shows_errors(tmp_path):
    pages = []
    for reads in ("ABBB", "AABB"):
        evaluation = made_up("AABB", reads)
        evaluate.draw_confusion(evaluation.confusion_matrix, tmp_path / "page.png")
        pages.append(cv2.imread(str(tmp_path / "page.png")).astype(int))
    changed = np.argwhere(np.abs(pages[0] - pages[1]).sum(axis=2) > 60)
    # The cell of A read as B and the diagonal's beside it change, and the title; no other.
    matrix_part = changed[changed[:, 0] > 100]
    assert len(matrix_part) > 100
    assert np.ptp(matrix_part[:, 0]) < 40 and np.ptp(matrix_part[:, 1]) < 80


def test_loss_and_accuracy_are_those_of_keras_at_the_best_epoch(trained, tmp_path):
    data = write_set(tmp_path / "data", dark=True, copies=5)
    output = tmp_path / "report"
    assert evaluate.main([str(trained), "--data", str(data), "--output", str(output)]) == 0
    import keras

    network = keras.saving.load_model(trained / "best.keras")
    characters = load_characters(data)
    loss, accuracy = network.evaluate(
        characters.normalised()[..., None], characters.labels, verbose=0
    )
    figures = json.loads((output / "metrics.json").read_text())["together"]
    assert figures["loss"] == pytest.approx(loss, rel=1e-4)
    assert figures["accuracy"]["share"] == pytest.approx(accuracy)


def test_bad_options_fail_before_any_work(tmp_path, capsys):
    data = write_set(tmp_path / "data", dark=True, copies=1)
    (tmp_path / "empty" / "A").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    output = str(tmp_path / "report")
    for arguments, named in (
        (["--data", str(tmp_path / "missing"), "--output", output], "missing"),
        (["--data", str(tmp_path), "--output", output], str(tmp_path)),
        (["--data", str(tmp_path / "empty"), "--output", output], "holds no character picture"),
        (["nothing", "--data", str(data), "--output", output], "no model at nothing"),
        (["--data", str(data), "--output", str(tmp_path / "file")], "file"),
    ):
        assert evaluate.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("platebeam evaluate-model: ") and error.count("\n") == 1
        assert named in error
        assert not (tmp_path / "report").exists()
