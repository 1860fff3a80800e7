import csv
import io
import json

import cv2
import numpy as np
import pytest

from lpr_core.bundle import Bundle
from lpr_core.recognize import ALPHABET, CharacterRecognizer
from model_training import predict
from model_training.characters import load_characters
from tests.model_training.test_characters import write_set


def read_json(capsys, arguments, status=0):
    assert predict.main([*map(str, arguments), "--format", "json"]) == status
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("dark", [True, False])
def test_single_files_are_read_as_training_reads_their_folder(tmp_path, capsys, dark):
    folder = write_set(tmp_path / "set", dark=dark, characters="27BX", copies=2)
    files = sorted(folder.rglob("*.png"))
    rows = read_json(capsys, [*files, "--top", 36])
    assert [row["file"] for row in rows] == [str(path) for path in files]
    recognizer = CharacterRecognizer(Bundle.load())
    expected = recognizer.classify(load_characters(folder).normalised())
    for row, path, probabilities in zip(rows, files, expected, strict=True):
        assert row["truth"] is None
        assert row["best"][0]["character"] == path.parent.name
        found = {item["character"]: item["probability"] for item in row["best"]}
        np.testing.assert_allclose([found[c] for c in ALPHABET], probabilities, atol=1e-6)


@pytest.mark.parametrize("dark", [True, False])
def test_polarity_of_a_character_cut_tight(tmp_path, capsys, dark):
    # Two or three corners are ink: they alone cannot tell.
    bars = {
        "L": [np.s_[:, :6], np.s_[-6:, :]],
        "T": [np.s_[:6, :], np.s_[:, 10:16]],
        "F": [np.s_[:, :6], np.s_[:6, :], np.s_[17:23, :20]],
    }
    files = []
    for character, parts in bars.items():
        ink = np.zeros((40, 26), np.uint8)
        for part in parts:
            ink[part] = 255
        files.append(tmp_path / f"{character}.png")
        cv2.imwrite(str(files[-1]), 255 - ink if dark else ink)
    rows = read_json(capsys, files)
    assert [row["best"][0]["character"] for row in rows] == list(bars)


def test_a_flat_picture_needs_the_ink_named(tmp_path, capsys):
    path = tmp_path / "bar.png"
    cv2.imwrite(str(path), np.full((30, 6), 255, np.uint8))
    assert predict.main([str(path)]) == 1
    assert "say --ink dark or bright" in capsys.readouterr().err
    (row,) = read_json(capsys, [path, "--ink", "bright"])
    assert row["best"][0]["character"] in "1I"
    assert predict.main([str(path), "--ink", "dark"]) == 1
    assert f"{path}: no ink" in capsys.readouterr().err


def test_what_cannot_be_read_is_named_and_the_rest_is_read(tmp_path, capsys):
    folder = write_set(tmp_path / "set", dark=True, characters="X", copies=1)
    (tmp_path / "broken.png").write_bytes(b"x")
    (tmp_path / "empty.png").write_bytes(b"")
    cv2.imwrite(str(tmp_path / "flat.png"), np.zeros((3, 30), np.uint8))
    files = [tmp_path / name for name in ("broken.png", "missing.png", "empty.png", "flat.png")]
    files.insert(2, folder / "X" / "0.png")
    assert predict.main([*map(str, files), str(tmp_path), "--format", "csv", "--top", "2"]) == 1
    printed = capsys.readouterr()
    (row,) = csv.DictReader(io.StringIO(printed.out))
    assert (row["file"], row["truth"], row["character_1"]) == (str(files[2]), "", "X")
    assert float(row["probability_1"]) > float(row["probability_2"]) >= 0
    errors = [line for line in printed.err.splitlines() if "predict-characters" in line]
    assert errors == [
        f"platebeam predict-characters: {path}: {reason}"
        for path, reason in (
            (files[0], "not a picture"),
            (files[1], "No such file or directory"),
            (files[3], "not a picture"),
            (files[4], "less than 4 pixels high"),
            (tmp_path, "Is a directory"),
        )
    ]


def test_random_pictures_show_their_truth_and_depend_on_the_seed_alone(tmp_path, capsys):
    folder = write_set(tmp_path / "set", dark=True, characters="27BX", copies=6)
    rows = read_json(capsys, ["--random-from", folder, "--count", 5, "--seed", 4])
    assert len({row["file"] for row in rows}) == 5
    for row in rows:
        assert row["file"].startswith(str(folder / row["truth"]))
    assert read_json(capsys, ["--random-from", folder, "--count", 5, "--seed", 4]) == rows
    fewer = read_json(capsys, ["--random-from", folder, "--count", 2, "--seed", 4])
    assert fewer == rows[:2]
    other = read_json(capsys, ["--random-from", folder, "--count", 5, "--seed", 5])
    assert {row["file"] for row in other} != {row["file"] for row in rows}
    assert len(read_json(capsys, ["--random-from", folder, "--count", 99])) == 24


def test_the_table_says_what_is_right(tmp_path, capsys):
    folder = write_set(tmp_path / "set", dark=False, characters="X", copies=2)
    (folder / "A").mkdir()
    (folder / "X" / "1.png").rename(folder / "A" / "1.png")  # an X that is labelled A
    assert predict.main(["--random-from", str(folder), "--top", "1"]) == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    assert summary == "1 of 2 right"
    wrong, right = sorted(lines)
    assert wrong.startswith(str(folder / "A" / "1.png")) and wrong.endswith("wrong: A")
    assert right.startswith(str(folder / "X" / "0.png")) and right.endswith("right")


def test_the_page_shows_the_pictures(tmp_path, capsys):
    folder = write_set(tmp_path / "set", dark=True, characters="27BX", copies=3)
    output = tmp_path / "new" / "page.png"
    sizes = []
    for count in (1, 12):
        arguments = ["--random-from", str(folder), "--count", str(count), "--output", str(output)]
        assert predict.main(arguments) == 0
        page = cv2.imread(str(output))
        assert page.std() > 40  # black grounds, white characters and paper
        sizes.append(page.shape)
    # Twelve stand in two rows of eight; fractions of pixels are rounded.
    assert sizes[1][0] == pytest.approx(2 * sizes[0][0], abs=1)
    assert sizes[1][1] == pytest.approx(8 * sizes[0][1], abs=8)


def test_another_model_is_asked(trained, tmp_path, capsys):
    import keras

    folder = write_set(tmp_path / "set", dark=True, characters="AJ7", copies=1)
    files = sorted(folder.rglob("*.png"))
    rows = read_json(capsys, [*files, "--model", trained])
    network = keras.saving.load_model(trained / "best.keras")
    expected = network.predict(load_characters(folder).normalised()[..., None], verbose=0)
    found = [row["best"][0]["probability"] for row in rows]
    np.testing.assert_allclose(found, expected.max(axis=1), atol=1e-5)


def test_bad_options_fail_before_any_work(tmp_path, capsys):
    (tmp_path / "A").mkdir()
    for arguments, named in (
        ([], "nothing to predict"),
        (["a.png", "--random-from", "b"], "either files or --random-from"),
        (["a.png", "--top", "0"], "--top from 1 to 36"),
        (["a.png", "--top", "37"], "--top from 1 to 36"),
        (["--random-from", str(tmp_path), "--count", "0"], "--count must be at least 1"),
        (["--random-from", str(tmp_path)], f"{tmp_path} has no pictures"),
        (["--random-from", str(tmp_path), "--seed", "-1"], "--seed must be at least 0"),
        (["a.png", "--model", "nothing"], "no model at nothing"),
        (["a.png", "--output", str(tmp_path)], "is a folder"),
    ):
        assert predict.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("platebeam predict-characters: ") and error.count("\n") == 1
        assert named in error
