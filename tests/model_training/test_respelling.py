import cv2
import numpy as np
import pytest

from model_training.plate_crops import PlateCrops, RenderedCrops
from model_training.respelling import lettering


@pytest.fixture(scope="module")
def rendered():
    pixels, texts, aspects = RenderedCrops(5, 60).block(0)
    heights = np.full(len(texts), 64, np.float32)
    return PlateCrops("rendered", pixels, tuple(texts), np.array(aspects, np.float32), heights)


@pytest.fixture(scope="module")
def letters(rendered):
    return lettering(rendered)


def told_apart(letters):
    return [number for number, slots in enumerate(letters.slots) if slots]


def within(pixels, box):
    left, top, right, bottom = (round(v) for v in (box.x, box.y, box.right, box.bottom))
    return pixels[max(0, top) : bottom, max(0, left) : right]


def test_characters_are_found_where_they_are_as_many_as_the_text_has(rendered, letters):
    numbers = told_apart(letters)
    assert len(numbers) > 20
    assert all(len(letters.slots[number]) == len(rendered.texts[number]) for number in numbers)
    known = {(c, letters.dark[n]) for n in numbers for c in rendered.texts[n]}
    assert letters.alike.keys() == known
    assert {True, False} == {dark for _, dark in known}


def test_a_letter_comes_for_a_letter_and_a_digit_for_a_digit(rendered, letters):
    changed = 0
    for number in told_apart(letters):
        text = rendered.texts[number]
        kept, new = letters.respelled(number, np.random.default_rng(number))
        assert len(new) == len(text)
        assert [c.isdigit() for c in new] == [c.isdigit() for c in text]
        assert np.array_equal(kept, rendered.pixels[number]) or new != text
        changed += sum(a != b for a, b in zip(text, new, strict=True))
    # Half of the characters, some of which nothing fits or become themselves.
    assert 0.25 < changed / sum(len(rendered.texts[n]) for n in told_apart(letters)) < 0.5


def test_the_picture_shows_the_new_text(rendered, letters):
    looked = 0
    for number in told_apart(letters)[:20]:
        kept, new = letters.respelled(number, np.random.default_rng(number))
        places = zip(rendered.texts[number], new, letters.slots[number], strict=True)
        for old, character, slot in places:
            there = within(kept, slot.box)
            if old == character:
                continue
            likeness = [
                np.corrcoef(
                    cv2.resize(within(rendered.pixels[other.crop], other.box), there.shape[::-1])
                    .ravel()
                    .astype(float),
                    there.ravel().astype(float),
                )[0, 1]
                for other in letters.alike[character, letters.dark[number]]
            ]
            assert max(likeness) > 0.8
            looked += 1
    assert looked > 20


def test_around_the_characters_and_in_the_set_nothing_changes(rendered, letters):
    before = rendered.pixels.copy()
    for number in told_apart(letters):
        kept, _ = letters.respelled(number, np.random.default_rng(number))
        for slot in letters.slots[number]:
            within(kept, slot.box)[:] = 0
            within(before[number], slot.box)[:] = 0
        assert np.array_equal(kept, before[number])
        before[number] = rendered.pixels[number]
    assert np.array_equal(before, rendered.pixels)


def test_what_cannot_be_told_apart_stays_as_it_is(rendered, letters):
    number = next(n for n, slots in enumerate(letters.slots) if not slots)
    kept, text = letters.respelled(number, np.random.default_rng(0))
    assert text == rendered.texts[number]
    assert np.array_equal(kept, rendered.pixels[number])


def test_a_set_whose_texts_leave_characters_out_is_not_trusted(rendered):
    short = tuple(text[1:] for text in rendered.texts)
    left_out = PlateCrops("set", rendered.pixels, short, rendered.aspects, rendered.heights)
    assert not any(lettering(left_out).slots)


def test_the_same_draw_gives_the_same_plate(letters):
    number = told_apart(letters)[0]
    (first, text), (again, same) = (
        letters.respelled(number, np.random.default_rng(3)) for _ in range(2)
    )
    assert text == same and np.array_equal(first, again)
