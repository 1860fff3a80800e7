from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpr_core.recognize import ALPHABET
from model_training.augment import augment_character
from model_training.characters import CharacterSet, load_characters, load_split, tighten
from model_training.glyphs import random_die


def write_set(folder, dark, characters="AJ7", copies=4, margin=2):
    """A folder per class with dies' glyphs: dark on light or light on dark."""
    rng = np.random.default_rng(3)
    for number in range(copies):
        die = random_die(rng)
        for character in characters:
            ink = np.pad((die.glyph(character) * 255).astype(np.uint8), margin)
            (folder / character).mkdir(parents=True, exist_ok=True)
            picture = 255 - ink if dark else ink
            cv2.imwrite(str(folder / character / f"{number}.png"), picture)
    return folder


def test_a_set_is_read_with_its_labels(tmp_path):
    characters = load_characters(write_set(tmp_path / "set", dark=False))
    assert characters.name == "set"
    assert sorted(ALPHABET[i] for i in characters.labels) == sorted("AJ7" * 4)
    assert characters.normalised().shape == (12, 28, 28)
    assert characters.refused == ()


@pytest.mark.parametrize("margin", [0, 2])
def test_both_polarities_become_bright_ink(tmp_path, margin):
    # Cut tight (margin 0) a single A or J has ink in some corners; the set as a whole tells.
    dark = load_characters(write_set(tmp_path / "dark", dark=True, margin=margin))
    light = load_characters(write_set(tmp_path / "light", dark=False, margin=margin))
    np.testing.assert_allclose(dark.normalised(), light.normalised(), atol=2 / 255)
    assert dark.normalised()[:, :2].max() == 0  # the margin of the canvas is paper


def test_binarised_pictures_become_like_grey_ones(tmp_path):
    write_set(tmp_path / "grey", dark=True, copies=4)
    for path in (tmp_path / "grey").rglob("*.png"):
        _, binary = cv2.threshold(cv2.imread(str(path), 0), 127, 255, cv2.THRESH_BINARY)
        there = tmp_path / "binary" / path.parent.name
        there.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(there / path.name), binary)
    grey = load_characters(tmp_path / "grey").normalised()
    binary = load_characters(tmp_path / "binary").normalised()
    assert np.abs(grey - binary).mean() < 0.02
    between = [((pictures > 0.1) & (pictures < 0.9)).mean() for pictures in (grey, binary)]
    assert between[1] > 0.7 * between[0]  # a binary picture as such has none


def test_refused_files_are_listed_with_reasons(tmp_path):
    folder = write_set(tmp_path / "set", dark=True)
    (folder / "A" / "note.txt").write_text("no picture")
    (folder / "A" / "empty.png").write_bytes(b"")
    cv2.imwrite(str(folder / "7" / "flat.png"), np.full((3, 20), 255, np.uint8))
    cv2.imwrite(str(folder / "J" / "white.png"), np.full((30, 20), 255, np.uint8))
    (folder / "province").mkdir()
    cv2.imwrite(str(folder / "province" / "x.png"), np.zeros((30, 20), np.uint8))
    (folder / "a" / "deep").mkdir(parents=True)
    (folder / "a" / "deep" / "y").write_bytes(b"")
    (folder / "A" / "deep").mkdir()
    (folder / "A" / "deep" / "z.png").write_bytes(b"")
    characters = load_characters(folder)
    assert len(characters) == 12
    assert {(item.path.name, item.reason) for item in characters.refused} == {
        ("note.txt", "not a picture"),
        ("empty.png", "not a picture"),
        ("flat.png", "less than 4 pixels high"),
        ("white.png", "no ink"),
        ("x.png", "folder 'province' is no class"),
        ("y", "folder 'a/deep' is no class"),
        ("z.png", "folder 'A/deep' is no class"),
    }


def test_a_folder_without_classes_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folders named by the characters"):
        load_characters(tmp_path)


def test_tighten_cuts_to_the_ink_and_leaves_specks_aside():
    picture = np.full((20, 16), 40, np.uint8)
    picture[4:15, 5:9] = 200  # 11 rows, 4 columns of ink
    picture[1, 14] = 200  # a speck: 1 pixel, under a tenth of 44
    ink = tighten(picture)
    assert ink.shape == (11, 4)
    assert ink.min() == 255


def test_a_bar_cut_tight_is_all_ink():
    assert tighten(np.full((30, 5), 230, np.uint8)).min() == 255


def test_own_train_and_val_folders_are_respected(tmp_path):
    write_set(tmp_path / "train", dark=True, copies=3)
    write_set(tmp_path / "val", dark=True, copies=1)
    training, validation = load_split(tmp_path, share=0.5, seed=1)
    assert (len(training), len(validation)) == (9, 3)
    assert training.name == f"{tmp_path.name}/train"


def numbered_set(hashes):
    ink = np.full((4, 4), 255, np.uint8)
    labels = np.zeros(len(hashes), np.int32)
    paths = tuple(Path("0", name) for name in hashes)
    return CharacterSet("n", (ink,) * len(hashes), labels, paths, tuple(hashes))


@settings(max_examples=30)
@given(st.lists(st.text("0123456789abcdef", min_size=4, max_size=4)), st.integers(0, 99))
def test_split_keeps_equal_files_together_and_loses_none(hashes, seed):
    training, validation = numbered_set(hashes).split(0.3, seed)
    assert sorted(training.hashes + validation.hashes) == sorted(hashes)
    assert not set(training.hashes) & set(validation.hashes)


def test_split_follows_content_not_order_and_has_the_asked_share():
    hashes = [f"{n:04x}" for n in range(4000)]
    forwards = set(numbered_set(hashes).split(0.1, 7)[1].hashes)
    backwards = set(numbered_set(hashes[::-1]).split(0.1, 7)[1].hashes)
    assert forwards == backwards
    # Binomial: 400 expected, standard deviation sqrt(4000 · 0.1 · 0.9) = 19; five of them.
    assert abs(len(forwards) - 400) < 95
    assert forwards != set(numbered_set(hashes).split(0.1, 8)[1].hashes)


def test_hash_of_a_set_follows_pictures_and_labels_not_names(tmp_path):
    folder = write_set(tmp_path / "set", dark=True)
    before = load_characters(folder).sha256
    (folder / "A" / "0.png").rename(folder / "A" / "other.png")
    assert load_characters(folder).sha256 == before
    (folder / "A" / "other.png").rename(folder / "J" / "other.png")
    assert load_characters(folder).sha256 != before


def test_augmentation_is_deterministic_and_keeps_the_character_visible():
    die = random_die(np.random.default_rng(1))
    ink, other = ((die.glyph(c) * 255).astype(np.uint8) for c in "K4")
    views = [augment_character(ink, other, np.random.default_rng(n)) for n in range(40)]
    again = augment_character(ink, other, np.random.default_rng(7))
    np.testing.assert_array_equal(views[7], again)
    assert all(view.shape == (28, 28) and view.dtype == np.float32 for view in views)
    assert all(view.min() >= 0 and view.max() <= 1 for view in views)
    assert np.mean([view.max() > 0.5 for view in views]) > 0.9
    assert np.std(views, axis=0).max() > 0.2  # the views differ
