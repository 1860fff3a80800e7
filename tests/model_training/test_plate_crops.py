from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PillowImage

from model_training import plate_crops
from model_training.layouts import LAYOUTS
from model_training.plate_crops import (
    HEIGHT,
    WIDTH,
    PlateCrops,
    RenderedCrops,
    cut_plate,
    load_crops,
    plate_box,
    render_crops,
    weighted_layouts,
)
from model_training.training_folder import TrainingError

LAYOUT = next(layout for layout in LAYOUTS if layout.country == "de")


def write_crops(folder, table, lines, size=(120, 30)):
    folder.mkdir()
    for number, line in enumerate(lines[1:]):
        name = line.partition(",")[0]
        pixels = np.full((size[1], size[0]), 40 + 20 * number, np.uint8)
        PillowImage.fromarray(pixels).save(folder / name)
    (folder / table).write_text("\n".join(lines) + "\n")
    return folder


def test_rows_for_evaluation_are_left_out(tmp_path):
    lines = ["image,text,use", "a.png,AB12,train", "b.png,CD34,evaluate", "c.png,,train"]
    crops = load_crops(write_crops(tmp_path / "set", "truth.csv", lines))
    assert (crops.name, crops.texts, crops.machine_labelled) == ("set", ("AB12",), 0)
    assert crops.pixels.shape == (1, HEIGHT, WIDTH) and (crops.pixels == 40).all()
    assert (crops.aspects[0], crops.heights[0]) == (4, 30)


def test_without_a_use_every_row_is_learnt(tmp_path):
    lines = ["image,text", "a.png,AB12", "b.png,CD34"]
    crops = load_crops(write_crops(tmp_path / "set", "truth.csv", lines))
    assert crops.texts == ("AB12", "CD34")


def test_only_what_all_teachers_agree_on_is_learnt(tmp_path):
    lines = [
        "image,read_a,score_a,read_b,score_b",
        "a.png,AB12,0.9,AB12,0.8",
        "b.png,CD34,0.9,CD35,0.9",
        "c.png,,0.1,,0.1",
    ]
    crops = load_crops(write_crops(tmp_path / "set", "teachers.csv", lines))
    assert (crops.texts, crops.machine_labelled) == (("AB12",), 1)


def test_people_s_labels_come_before_machines(tmp_path):
    folder = write_crops(tmp_path / "set", "truth.csv", ["image,text", "a.png,AB12"])
    (folder / "teachers.csv").write_text("image,read_a,read_b\na.png,XX99,XX99\n")
    crops = load_crops(folder)
    assert (crops.texts, crops.machine_labelled) == (("AB12",), 0)


def test_what_cannot_be_learnt_is_named(tmp_path):
    lines = ["image,text", "a.png,AB12", "b.png,?-1", "c.png,A", "d.png,ABCDEFGHIJK", "e.png,CD34"]
    folder = write_crops(tmp_path / "set", "truth.csv", lines)
    (folder / "e.png").write_bytes(b"no picture")
    crops = load_crops(folder)
    assert crops.texts == ("AB12",)
    assert [item.path.name for item in crops.refused] == ["b.png", "c.png", "d.png", "e.png"]


def test_a_folder_with_nothing_to_learn_is_an_error(tmp_path):
    for name, lines in {
        "refused": ["image,text", "a.png,?"],
        "evaluate": ["image,text,use", "a.png,AB12,evaluate"],
    }.items():
        with pytest.raises(FileNotFoundError, match="no crop with a text"):
            load_crops(write_crops(tmp_path / name, "truth.csv", lines))
    with pytest.raises(FileNotFoundError, match=r"truth\.csv"):
        load_crops(tmp_path)


def test_texts_are_learnt_as_reads_are_compared(tmp_path):
    lines = ["image,text", "a.png,xw-57 hz 1", "b.png,AB 123"]
    assert load_crops(write_crops(tmp_path / "set", "truth.csv", lines)).texts == (
        "XW57HZ1",
        "AB123",
    )


@pytest.mark.parametrize(
    ("table", "head"), [("truth.csv", "file,text"), ("teachers.csv", "read_a")]
)
def test_a_table_without_its_columns_is_told(tmp_path, table, head):
    with pytest.raises(TrainingError, match=rf"{table}: there is no column image"):
        load_crops(write_crops(tmp_path / "set", table, [head, "a.png,AB12"]))


def test_a_cache_is_for_one_recipe_and_grows_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(plate_crops, "BLOCK", 2)
    recipe = RenderedCrops(5, 3)
    three = render_crops(recipe, tmp_path)
    for count in (2, 5, 4):
        crops = render_crops(replace(recipe, count=count), tmp_path)
        assert len(crops) == count
        shared = min(3, count)
        assert crops.texts[:shared] == three.texts[:shared]
        np.testing.assert_array_equal(crops.pixels[:shared], three.pixels[:shared])
    for other in (replace(recipe, seed=6), replace(recipe, layouts=LAYOUTS[:1])):
        with pytest.raises(TrainingError, match="name another --cache"):
            render_crops(other, tmp_path)


def test_a_crops_edge_is_repeated_around_it(tmp_path):
    folder = write_crops(tmp_path / "set", "truth.csv", ["image,text", "a.png,AB12"])
    pixels = np.full((40, 160), 200, np.uint8)
    pixels[1:-1, 1:-1] = 10
    PillowImage.fromarray(pixels).save(folder / "a.png")
    crops = load_crops(folder)
    box = plate_box(4.0)
    # The plate is 160×40 of 180×60: 10 pixels on each side are its edge repeated.
    assert (box.x, box.y) == pytest.approx((WIDTH * 10 / 180, HEIGHT * 10 / 60))
    kept = crops.pixels[0]
    assert (kept[: round(box.y) - 1] > 190).all() and (kept[:, : round(box.x) - 1] > 190).all()
    inside = kept[round(box.y) + 4 : round(box.bottom) - 4, round(box.x) + 4 : -round(box.x) - 4]
    assert (inside < 20).all()


def test_a_text_is_on_one_side_of_the_split_only():
    texts = tuple(f"T{number % 150}" for number in range(300))
    numbers = np.arange(300, dtype=np.float32)
    pixels = np.zeros((300, HEIGHT, WIDTH), np.uint8)
    crops = PlateCrops("set", pixels, texts, numbers, numbers)
    learnt, kept = crops.split(0.2)
    assert not set(learnt.texts) & set(kept.texts)
    assert len(learnt) + len(kept) == 300 and 30 <= len(kept) <= 90
    for part in (learnt, kept):  # what belongs to a crop stays with it
        assert tuple(texts[int(number)] for number in part.aspects) == part.texts
    # A text's side depends on nothing else: more of them are kept where the share is larger.
    assert set(kept.texts) <= set(crops.split(0.3)[1].texts)


def test_a_rendered_crop_is_the_plate_with_its_surroundings():
    from model_training.generate import plates

    for scene in plates(5, (), (LAYOUT,), range(3), grey=True):
        pixels, text, aspect = cut_plate(scene)
        assert pixels.shape == (HEIGHT, WIDTH) and pixels.dtype == np.uint8
        assert text == "".join(truth.character for truth in scene.plates[0].plate.characters)
        width, height = LAYOUT.size
        assert aspect == pytest.approx(width / height, rel=0.25)
        # The plate's middle is the crop's.
        quad = np.array(scene.plates[0].quad)
        middle = scene.pixels[tuple(np.round(quad.mean(axis=0)[::-1]).astype(int))]
        assert abs(int(pixels[HEIGHT // 2, WIDTH // 2]) - int(middle)) < 60


def test_an_item_depends_on_the_seed_and_its_number_alone():
    few = RenderedCrops(3, 2, layouts=(LAYOUT,)).block(0)
    more = RenderedCrops(3, 4, layouts=(LAYOUT,)).block(0)
    assert np.array_equal(few[0], more[0][:2]) and few[1] == more[1][:2] and few[2] == more[2][:2]
    other = RenderedCrops(4, 2, layouts=(LAYOUT,)).block(0)
    assert not np.array_equal(few[0], other[0])


def test_the_cache_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("model_training.plate_crops.BLOCK", 2)
    recipe = RenderedCrops(5, 3, layouts=(LAYOUT,))
    whole = render_crops(recipe, tmp_path / "whole")
    assert len(whole) == 3 and whole.name == "rendered"
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == ["rendered-00000.npz", "rendered-00001.npz", "rendered.json"]
    render_crops(replace(recipe, count=2), tmp_path / "begun")
    (tmp_path / "begun" / f"new-{names[1]}").write_bytes(b"cut short")
    first = tmp_path / "begun" / names[0]
    written = first.stat().st_mtime_ns
    resumed = render_crops(recipe, tmp_path / "begun")
    assert first.stat().st_mtime_ns == written
    assert np.array_equal(resumed.pixels, whole.pixels)
    assert (resumed.texts, resumed.sha256) == (whole.texts, whole.sha256)


def test_layouts_of_countries_that_weigh_more_come_more_often():
    layouts = weighted_layouts()
    assert set(layouts) == set(LAYOUTS)
    counts = {layout.country: layouts.count(layout) for layout in LAYOUTS}
    assert counts["br"] == 3 and counts["de"] == 1
