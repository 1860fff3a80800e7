from dataclasses import replace

import cv2
import numpy as np
import pytest

from lpr_core.geometry import Box, as_quad, bounding_box, iou
from lpr_core.heatmap import REACH, STRIDE, plates_of
from model_training.composites import Background
from model_training.detector_pictures import (
    LEAST_VISIBLE,
    PLAIN,
    PLATE_WIDTHS,
    WINDOW,
    Backdrop,
    Cutout,
    Stock,
    Truth,
    compose,
    held_out,
    load_backdrop,
    load_faces,
    mount,
    rendered_cars,
    rendered_decoys,
    rendered_faces,
    targets,
)
from model_training.glyphs import random_die
from model_training.plates import render_plate

HEIGHT, WIDTH = WINDOW


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """Of what there is one of each kind or a few, on two backdrops."""
    folder = tmp_path_factory.mktemp("backdrops")
    noise = np.random.default_rng(1).integers(0, 255, (30, 40, 3), np.uint8)
    write(folder / "place.png", cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC))
    street = np.full((300, 400, 3), 90, np.uint8)
    street[140:160, 150:230] = 240
    write(folder / "street.png", street)
    backdrops = [
        load_backdrop(Background(folder / "street.png", (Box(150, 140, 80, 20),))),
        load_backdrop(Background(folder / "place.png")),
    ]
    faces = list(rendered_faces(3, 6, ()))
    cars = list(rendered_cars(3, 2, ()))
    rng = np.random.default_rng(4)
    return Stock(
        backdrops[:1],
        backdrops,
        [faces],
        [[mount(face, rng) for face in faces], [car for car, _ in cars]],
        [*rendered_decoys(3, 6), *(empty for _, empty in cars)],
    )


def plate(centre, width, height, angle=0.0):
    turn = np.radians(angle)
    along = width / 2 * np.array([np.cos(turn), np.sin(turn)])
    down = height / 2 * np.array([-np.sin(turn), np.cos(turn)])
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.array([np.add(centre, a * along + b * down) for a, b in signs])


def said_by(target):
    """What a network would put out that says all that a target tells."""
    heat = np.clip(target[..., :1], 1e-6, 1 - 1e-6)
    return np.concatenate([np.log(heat / (1 - heat)), target[..., 4:]], axis=-1)


@pytest.mark.parametrize("angle", [0, 10, -45])
@pytest.mark.parametrize("width", [14, 60, 250])
def test_targets_say_where_the_corners_are(width, angle):
    corners = plate((161.3, 127.8), width, width / 3, angle)
    target = targets([Truth(corners)], (256, 320))
    (found,) = plates_of(said_by(target), 0.9)
    assert np.array(found.quad) == pytest.approx(corners, abs=0.01)
    assert target[..., 2].sum() == pytest.approx(1, abs=1e-5)
    assert target[..., 3].sum() == pytest.approx(1, abs=1e-5)


def test_targets_of_several_plates_keep_them_apart():
    plates = [plate((80, 60), 100, 25), plate((90, 90), 60, 15, 10), plate((250, 200), 40, 20)]
    said = said_by(targets([Truth(corners) for corners in plates], (256, 320)))
    found = list(plates_of(said, 0.9))
    assert len(found) == 3
    for corners in plates:
        assert any(np.abs(np.array(one.quad) - corners).max() < 0.1 for one in found)


def test_heat_falls_off_as_a_plate_is_wide_and_high():
    heat = targets([Truth(plate((130, 98), 240, 80))])[..., 0]
    row, column = 98 // STRIDE, 130 // STRIDE
    assert heat[row, column] == 1
    # 0.54 of the side over six is the deviation: 2.7 cells along, 0.9 across.
    assert heat[row, column + 3] == pytest.approx(np.exp(-((3 / 2.7) ** 2) / 2), rel=1e-5)
    assert heat[row + 1, column] == pytest.approx(np.exp(-((1 / 0.9) ** 2) / 2), rel=1e-5)


def test_what_is_not_known_weighs_nothing():
    corners = plate((162, 130), 90, 30)
    box, centre = (targets([Truth(corners, known)]) for known in ("box", "centre"))
    assert (box[..., 2].sum(), box[..., 3].sum()) == pytest.approx((1, 0))
    assert (centre[..., 2].sum(), centre[..., 3].sum()) == (0, 0)
    assert box[..., 0].max() == centre[..., 0].max() == 1


@pytest.mark.parametrize(
    "truth",
    [
        Truth(plate((162, 130), 8, 3)),  # too small
        Truth(plate((162, 130), 310, 80)),  # too large
        Truth(plate((162, 130), 90, 30), visible=LEAST_VISIBLE - 0.1),
        Truth(plate((-10, 130), 90, 30)),  # its middle is outside
        Truth(plate((162, 130), 90, 30), "nothing"),
    ],
)
def test_plates_that_are_hardly_there_count_neither_way(truth):
    target = targets([truth], (256, 320))
    assert target[..., 0].max() == 0
    box = truth.box
    y, x = int((box.y + box.height / 2) / STRIDE), max(0, int((box.right - 3) / STRIDE))
    assert target[y, x, 1] == 0
    assert target[0, -1, 1] == 1


def test_windows_are_the_same_for_the_same_seed(stock):
    first, again, other = (compose(stock, np.random.default_rng([7, n])) for n in (1, 1, 2))
    assert first[0].tobytes() == again[0].tobytes()
    assert len(first[1]) == len(again[1])
    assert first[0].tobytes() != other[0].tobytes()


def test_windows_show_their_plates_at_many_sizes_and_turns(stock):
    widths, turns = [], []
    for number in range(250):
        pixels, truths = compose(stock, np.random.default_rng([8, number]))
        assert pixels.shape == WINDOW
        assert pixels.dtype == np.uint8
        for truth in truths:
            assert 0 < truth.visible <= 1
            assert iou(truth.box, Box(0, 0, WIDTH, HEIGHT)) > 0
            along = truth.corners[1] - truth.corners[0]
            widths.append(np.hypot(*along))
            turns.append(abs(np.degrees(np.arctan2(along[1], along[0]))))
    assert min(widths) < 2 * PLATE_WIDTHS[0]
    assert max(widths) > 0.6 * PLATE_WIDTHS[1]
    assert np.median(turns) < 8
    assert max(turns) > 30


def test_a_pasted_plate_is_where_its_truth_says(stock):
    """A white plate without surroundings, onto black: what is bright is the plate."""
    face = np.full((40, 160), 255, np.uint8)
    white = Cutout(face, face, np.array(Box(0, 0, 160, 40).corners))
    black = np.zeros((400, 400, 3), np.uint8)
    backdrop = stock.places[1]
    dark = type(backdrop)((black[..., 0],), (black[..., 0],), ())
    only = Stock((), [dark], [[white]], [[white]], [Cutout(face * 0, face)])
    seen = 0
    for number in range(60):
        pixels, truths = compose(only, np.random.default_rng([9, number]))
        inside = [t for t in truths if t.visible > 0.99 and t.box.width > 60]
        if len(truths) != 1 or not inside or pixels.max() < pixels.min() + 60:
            continue
        mask = np.zeros(WINDOW, np.uint8)
        cv2.fillPoly(mask, [np.round(inside[0].corners - 0.5).astype(np.int32)], 1)
        core = cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0
        rim = (cv2.dilate(mask, np.ones((13, 13), np.uint8)) > 0) & (
            cv2.dilate(mask, np.ones((9, 9), np.uint8)) == 0
        )
        seen += pixels[core].mean() > pixels[rim].mean() + 20
        assert pixels[core].mean() > pixels[rim].mean()
    assert seen > 5


def test_streets_know_their_plates_and_lose_them(stock):
    street = stock.streets[0]
    assert street.boxes == (Box(150, 140, 80, 20),)
    assert street.levels[0][150, 190] == 240
    assert int(street.bare[0][150, 190]) == pytest.approx(90, abs=6)
    assert street.levels[1].shape == (150, 200)


def test_what_may_be_a_plate_of_a_street_counts_neither_way(stock):
    street = replace(stock.streets[0], doubtful=(Box(300, 200, 60, 15),))
    doubted = Stock([street], [street], stock.faces, stock.mounted, stock.decoys)
    seen = 0
    for number in range(20):
        _, truths = compose(doubted, np.random.default_rng([12, number]))
        for truth in truths:
            if truth.known == "nothing":
                seen += 1
                sides = np.hypot(*(truth.corners[1] - truth.corners[0]))
                assert sides / np.hypot(*(truth.corners[3] - truth.corners[0])) > 3
    assert seen > 5


def test_what_is_none_is_looked_at_more(stock):
    """In a large picture with a bright corner: of the windows many show it once it is doubted."""
    large = np.zeros((1000, 1000), np.uint8)
    large[20:60, 20:60] = 255
    plain = Backdrop((large,), (large,), ())
    dull = Cutout(np.zeros((20, 60), np.uint8), np.zeros((20, 60), np.uint8))
    shown = []
    for backdrop in (plain, replace(plain, doubtful=(Box(20, 20, 40, 40),))):
        stock = Stock((), [backdrop], [[dull]], [[dull]], [dull])
        windows = [compose(stock, np.random.default_rng([13, n]))[0] for n in range(60)]
        shown.append(sum(np.ptp(window[::4, ::4]) > 100 for window in windows))
    assert shown[1] > shown[0] + 10


def test_mounting_keeps_the_plate_and_its_corners(stock):
    face = stock.faces[0][0]
    mounted = mount(face, np.random.default_rng(11))
    box = bounding_box(as_quad(mounted.corners))
    assert (box.height, box.width) == face.pixels.shape
    assert mounted.pixels.shape[0] > box.height
    x, y = int(box.x), int(box.y)
    place = slice(y, y + int(box.height)), slice(x, x + int(box.width))
    assert (mounted.alpha[place] == 255).all()
    assert np.corrcoef(mounted.pixels[place].ravel(), face.pixels.ravel())[0, 1] > 0.8


def test_decoys_and_empty_cars_bear_no_plate(stock):
    assert all(decoy.corners is None for decoy in stock.decoys)
    assert all(car.corners is not None for car in stock.mounted[1])


def test_faces_are_cut_and_those_of_another_use_left_out(tmp_path, capsys):
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / name, np.full((50, 100), 200, np.uint8))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "truth.csv").write_text("image,use\na.png,train\nb.png,evaluate\nbad.png,train\n")
    found = dict(load_faces(tmp_path, 0.1, "centre"))
    assert sorted(path.name for path in found) == ["a.png", "c.png"]
    face = found[tmp_path / "a.png"]
    assert face.pixels.shape == (40, 80)
    assert face.known == "centre"
    assert face.corners == pytest.approx(np.array(Box(0, 0, 80, 40).corners))
    assert "bad.png" in capsys.readouterr().err


def test_pictures_are_held_out_by_patterns_of_their_paths(tmp_path):
    patterns = ("*/valid/*", "*/UMD_*")
    assert held_out(tmp_path / "valid" / "1.jpg", patterns)
    assert held_out(tmp_path / "UMD_1.jpg", patterns)
    assert not held_out(tmp_path / "train" / "1.jpg", patterns)


def test_reach_is_that_of_every_bundle():
    # They do not hold it: to change it is to break every detector there is.
    assert REACH == 32.0


@pytest.mark.parametrize("number", range(len(PLAIN)))
def test_a_plain_plate_is_a_text_on_a_board(number):
    rng = np.random.default_rng(number)
    plate = render_plate(PLAIN[number], random_die(rng), rng)
    assert 5 <= len(plate.text) <= 8
    assert plate.pixels.shape[:2] == PLAIN[number].size[::-1]
