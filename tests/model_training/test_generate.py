import csv
import json
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lpr_core.decode import DecodeError, DecodeReason, decode
from lpr_core.geometry import Box, intersection
from lpr_core.recognize import ALPHABET
from lpr_core.rectify import rectify
from model_training import generate, truth_files
from model_training.characters import load_characters
from model_training.glyphs import random_die
from model_training.layouts import LAYOUT_BY_NAME, LAYOUTS
from model_training.scenes import CarPlan, ScenePlan, random_plan, random_scene, render_scene
from pipelines.manifests import parse_row, read_cells

LONG = tuple(LAYOUT_BY_NAME[name] for name in ("de", "gb", "fr", "br"))


def scene_of(name, seed=0, **rest):
    rng = np.random.default_rng(seed)
    car = CarPlan(name, 260, **rest)
    return render_scene(ScenePlan((car,), (900, 600), wear=0.0), random_die(rng), rng)


def grey(pixels):
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("de", {}),
        ("gb", {"yaw": 0.15}),
        ("us-dark", {"yaw": -0.1, "roll": 8}),
        ("eu-two-line", {"roll": -12}),
    ],
)
def test_scene_corners_and_boxes_are_where_the_plate_is(name, turn):
    scene = scene_of(name, 3, **turn)
    (seen,) = scene.plates
    crop = rectify(grey(scene.pixels), seen.quad).pixels.astype(np.float32)
    drawn = cv2.resize(grey(seen.plate.pixels), crop.shape[::-1], interpolation=cv2.INTER_AREA)

    def likeness(picture):
        return np.corrcoef(picture.ravel(), drawn.ravel())[0, 1]

    assert likeness(crop) > 0.75
    # A plate a quarter of a character further right is another picture: the check can fail.
    assert likeness(np.roll(crop, 12, axis=1)) < 0.3
    assert len(seen.characters) == len(seen.plate.text)
    for box in seen.characters:
        assert box.x >= seen.box.x - 1 and box.right <= seen.box.right + 1
        assert box.y >= seen.box.y - 1 and box.bottom <= seen.box.bottom + 1
    # Half of a character is ink, and of the paper between two of a line none is.
    ink = grey(scene.pixels).astype(float) * (-1 if seen.plate.dark_ink else 1)
    first, second = seen.characters[-2:]
    rows = slice(int(first.y + 0.2 * first.height), int(first.bottom - 0.2 * first.height))
    between = ink[rows, int(first.right) : max(int(first.right) + 1, int(second.x))].mean()
    assert all(ink[rows, int(b.x) : int(b.right)].mean() > between + 20 for b in (first, second))


def test_scenes_depend_on_the_seed_alone():
    np.testing.assert_array_equal(scene_of("br", 9).pixels, scene_of("br", 9).pixels)
    assert not np.array_equal(scene_of("br", 9).pixels, scene_of("br", 10).pixels)


def test_a_street_without_cars_has_no_plates():
    rng = np.random.default_rng(1)
    scene = render_scene(ScenePlan((), (640, 480)), random_die(rng), rng)
    assert scene.plates == ()
    assert scene.pixels.shape == (480, 640, 3)
    assert truth_files.truth_rows("a.jpg", scene) == [("a.jpg", "", "", "", "", "", "")]


def test_truth_rows_give_box_text_and_country():
    scene = scene_of("pl", 2)
    ((image, x, y, width, height, text, country),) = truth_files.truth_rows("a.jpg", scene)
    xs, ys = zip(*scene.plates[0].quad, strict=True)
    assert (image, text, country) == ("a.jpg", scene.plates[0].plate.text, "pl")
    assert (x, y) == (round(min(xs)), round(min(ys)))
    assert (width, height) == (round(max(xs) - min(xs)), round(max(ys) - min(ys)))


def test_a_turned_picture_decodes_upright():
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:20, :20] = 255  # the upright picture is bright at its top left
    picture = decode(truth_files.jpeg(pixels, 90, turned=True))
    assert picture.orientation == 6
    assert picture.pixels.shape == (60, 90)
    assert picture.pixels[:16, :16].min() > 200 and picture.pixels[30:].max() < 50


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    assert generate.main(["samples", "--output", str(folder), "--seed", "7"]) == 0
    return folder


def test_samples_show_what_the_demo_needs(samples):
    pictures = sorted(samples.glob("*.jpg"))
    assert len(pictures) >= 24
    assert sum(path.stat().st_size for path in pictures) < 4_000_000
    with (samples / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    per_image = {path.name: [r for r in rows if r["image"] == path.name] for path in pictures}
    assert sum(len(found) > 1 for found in per_image.values()) >= 2
    assert sum(found[:1] != [] and not found[0]["text"] for found in per_image.values()) == 1
    broken, orientations = [], []
    for path in pictures:
        try:
            orientations.append(decode(path.read_bytes()).orientation)
        except DecodeError as error:
            broken.append((path.name, error.reason))
    assert [reason for _, reason in broken] == [DecodeReason.TRUNCATED]
    assert per_image[broken[0][0]] == []
    assert orientations.count(6) == 1
    assert len({row["country"] for row in rows}) >= 10


def test_samples_of_the_repository_are_these(samples, request):
    committed = request.config.rootpath / "samples"
    assert (committed / "truth.csv").read_text() == (samples / "truth.csv").read_text()
    assert {p.name for p in committed.iterdir()} == {p.name for p in samples.iterdir()}


def test_a_car_that_would_hide_a_plate_is_left_out():
    for width, near, plates in (
        (100, CarPlan("fr", 200, (0.5, 0.6)), 1),
        (100, CarPlan("fr", 60, (0.2, 0.6)), 2),
        (400, CarPlan("fr", 20, (0.55, 0.52)), 1),  # no larger than three characters
    ):
        rng = np.random.default_rng(2)
        far = CarPlan("de", width, (0.5, 0.5))
        scene = render_scene(ScenePlan((far, near), (900, 600)), random_die(rng), rng)
        assert [p.plate.layout.name for p in scene.plates] == ["de", "fr"][:plates]


def likeness(scene, plate, shift=0.0):
    """Correlation of what lies at a plate's corners with the plate; shifted by its heights."""
    quad = tuple((x + shift * plate.box.height, y) for x, y in plate.quad)
    seen = rectify(grey(scene.pixels), quad).pixels.astype(np.float32)
    drawn = cv2.resize(grey(plate.plate.pixels), seen.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.corrcoef(seen.ravel(), drawn.ravel())[0, 1]


def test_random_scenes_show_their_plates_where_they_say():
    scenes = list(islice(generate.scenes(5, layouts=LONG, size=(480, 360)), 25))
    seen = [(scene, p) for scene in scenes for p in scene.plates if p.box.width > 60]
    assert len(seen) >= 8
    assert np.median([likeness(*both) for both in seen]) > 0.6
    assert all(likeness(*both) > likeness(*both, shift=0.4) for both in seen)
    assert {len(scene.plates) for scene in scenes} >= {1, 2}
    for box in [plate.box for scene in scenes for plate in scene.plates]:
        assert intersection(box, Box(0, 0, 480, 360)) > 0.98 * box.area


@pytest.mark.parametrize("size", [(400, 300), (900, 128), (128, 300)])
def test_scenes_are_of_any_size_and_have_plates_of_20_pixels_to_half_their_width(size):
    width, height = size
    rng = np.random.default_rng(6)
    cars = [car for _ in range(200) for car in random_plan(rng, LAYOUTS, size).cars]
    widest = min(width / 2, 0.7 * height)
    assert 20 <= min(car.plate_width for car in cars) < 22
    assert 0.9 * widest < max(car.plate_width for car in cars) <= widest
    scenes = [random_scene(rng, layouts=LONG, size=size) for _ in range(5)]
    assert {scene.pixels.shape for scene in scenes} == {(height, width, 3)}
    boxes = [plate.box for scene in scenes for plate in scene.plates]
    assert boxes
    for box in boxes:
        assert intersection(box, Box(0, 0, width, height)) > 0.98 * box.area


KINDS = ("plates", "scenes", "characters")


def run(kind, folder, *options, count=7):
    rest = ["--count", str(count), "--seed", "4", "--fonts", "dies", "--output", str(folder)]
    return generate.main([kind, *rest, *options])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with each kind, made by one process."""
    folder = tmp_path_factory.mktemp("made")
    for kind in KINDS:
        size = ["--size", "320x240"] if kind == "scenes" else []
        assert run(kind, folder / kind, *size) == 0
    return folder


def objects(folder):
    return [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_has_as_many_pictures_as_asked_for_and_says_how_it_was_made(made, kind):
    pictures = {str(p.relative_to(made / kind)) for p in (made / kind).rglob("*.*g")}
    assert pictures == {truth["image"] for truth in objects(made / kind)}
    assert len(pictures) == 7
    record = json.loads((made / kind / "generator.json").read_text())
    assert (record["kind"], record["seed"], record["count"]) == (kind, 4, 7)
    assert f"generate {kind} --count 7 --seed 4" in record["command"]


def test_files_of_plates_are_the_items_of_the_stream(made):
    truths = objects(made / "plates")
    for truth, scene in zip(truths, generate.plates(4), strict=False):
        pixels = np.array(Image.open(made / "plates" / truth["image"]))
        np.testing.assert_array_equal(pixels, scene.pixels)
        ((plate,), (seen,)) = truth["plates"], scene.plates
        assert plate["text"] == "".join(c["character"] for c in plate["characters"])
        assert plate["text"] == seen.plate.text and plate["layout"] == seen.plate.layout.name
        np.testing.assert_allclose(plate["quad"], seen.quad, atol=0.005)
        assert plate["lines"] == len({c["line"] for c in plate["characters"]})
        assert (truth["height"], truth["width"]) == pixels.shape[:2]


def test_files_of_scenes_are_the_items_of_the_stream(made):
    truths = objects(made / "scenes")
    stream = generate.scenes(4, size=(320, 240))
    for truth, scene in zip(truths, stream, strict=False):
        pixels = np.array(Image.open(made / "scenes" / truth["image"])).astype(int)
        assert np.abs(pixels - scene.pixels).mean() < 6  # JPEG
        assert [p["text"] for p in truth["plates"]] == [p.plate.text for p in scene.plates]


def test_files_of_characters_are_the_items_of_the_stream(made):
    stream = generate.characters(4)
    for truth, (character, picture) in zip(objects(made / "characters"), stream, strict=False):
        assert truth["character"] == character == truth["image"].split("/")[0]
        pixels = np.array(Image.open(made / "characters" / truth["image"]))
        np.testing.assert_allclose(pixels / 255, picture, atol=0.5 / 255 + 1e-6)


def test_items_do_not_depend_on_those_before():
    for stream in (generate.plates, generate.scenes):
        (third,) = stream(9, numbers=[3])
        np.testing.assert_array_equal(third.pixels, list(islice(stream(9), 4))[3].pixels)
    per_plate = [list(generate.characters(9, numbers=[n])) for n in range(3)]
    together = list(generate.characters(9, numbers=range(3)))
    assert [c for c, _ in together] == [c for plate in per_plate for c, _ in plate]


def test_truth_csv_is_what_read_takes(made):
    for kind in ("plates", "scenes"):
        rows = [
            parse_row(cells, "image")
            for _, cells in read_cells(str(made / kind / "truth.csv"), ".csv", ["image"])
        ]
        expected = [(t["image"], p) for t in objects(made / kind) for p in t["plates"] or [None]]
        assert [row.key for row in rows] == [image for image, _ in expected]
        for row, (_, plate) in zip(rows, expected, strict=True):
            assert row.has_truth
            if plate is None:
                assert row.truth is None
            else:
                assert row.truth.text == plate["text"]
                left, top = np.min(plate["quad"], axis=0)
                assert abs(row.truth.box.x - left) <= 0.51 and abs(row.truth.box.y - top) <= 0.51


def test_characters_are_a_folder_to_train_on(tmp_path):
    assert run("characters", tmp_path / "a", count=150) == 0
    found = load_characters(tmp_path / "a")
    truths = Counter(truth["character"] for truth in objects(tmp_path / "a"))
    assert Counter(ALPHABET[label] for label in found.labels) == truths
    assert found.refused == () and len(found) == 150
    # Ink is bright: a picture's mean lies nearer to its darkest than to its brightest.
    assert np.mean([picture.mean() for picture in found.normalised()]) < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_workers_change_no_byte(made, tmp_path, kind):
    size = ["--size", "320x240"] if kind == "scenes" else []
    assert run(kind, tmp_path / kind, *size, "--workers", "2") == 0
    for path in (made / kind).rglob("*"):
        if path.is_file() and path.name != "generator.json":
            assert (
                path.read_bytes() == (tmp_path / kind / path.relative_to(made / kind)).read_bytes()
            )


def test_layouts_are_those_asked_for(tmp_path):
    assert run("plates", tmp_path / "a", "--layouts", "fr", "br-mercosur", count=12) == 0
    names = {p["layout"] for truth in objects(tmp_path / "a") for p in truth["plates"]}
    assert names == {"fr", "br-mercosur"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layouts", "de", "atlantis"], ["atlantis", "known are de, "]),
        (["--backgrounds", "EMPTY"], ["EMPTY", "no readable picture"]),
        (["--output", "OCCUPIED"], ["OCCUPIED", "name a new or an empty one"]),
    ],
)
def test_options_that_cannot_work_are_told_in_one_line(tmp_path, capsys, options, words):
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "OCCUPIED").mkdir()
    (tmp_path / "OCCUPIED" / "scene-000000.jpg").write_bytes(b"another run's")
    options = [str(tmp_path / o) if o in ("EMPTY", "OCCUPIED") else o for o in options]
    assert run("scenes", tmp_path / "new", *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("platebeam generate: ") and all(word in line for word in words)
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "OCCUPIED" / "scene-000000.jpg").read_bytes() == b"another run's"


def test_a_run_that_cannot_write_says_that_the_folder_is_not_complete(
    tmp_path, capsys, monkeypatch
):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert run("plates", tmp_path / "new") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "No space" in line]
    assert line.startswith("platebeam generate: ") and line.endswith("new is not complete")
    assert not (tmp_path / "new" / "generator.json").exists()


@pytest.mark.parametrize(
    "options", [["--size", "800"], ["--size", "9x9"], ["--count", "0"], ["--seed", "many"]]
)
def test_numbers_that_cannot_be_exit_with_2(tmp_path, capsys, options):
    with pytest.raises(SystemExit) as exit_status:
        run("scenes", tmp_path / "new", *options)
    assert exit_status.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_generating_imports_no_training_library():
    code = "import sys; import model_training.generate; print([m for m in sys.modules])"
    listed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert not {"'tensorflow'", "'keras'", "'apache_beam'", "'matplotlib'"} & set(
        listed.stdout.strip("[]\n").split(", ")
    )
