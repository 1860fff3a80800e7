from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from lpr_core import PlateReader, PlateStatus, ReaderConfig
from lpr_core.detect import PlateDetection
from lpr_core.geometry import Box, iou
from lpr_core.plate_reader import compose_read
from lpr_core.recognize import CharacterRead

from .conftest import draw_plate, put_plate


@pytest.fixture(scope="module")
def reader() -> PlateReader:
    return PlateReader.from_bundle()


def test_plates_of_a_picture_are_read(reader, scene):
    put_plate(scene, draw_plate("KA19TRS"), 320, 330)
    put_plate(scene, draw_plate("HB2468X", dark=False), 60, 60, angle=4)
    assert {r.text for r in reader.read(scene)} == {"KA19TRS", "HB2468X"}


def test_a_two_line_plate_is_one_plate_read_top_line_first(reader, scene):
    plate = draw_plate("59L2", height=44, second="14993")
    put_plate(scene, plate, 360, 320)
    (read,) = reader.read(scene)
    assert read.text == "59L214993"
    assert iou(read.detection.box, Box(360, 320, plate.shape[1], plate.shape[0])) > 0.5


def test_colour_is_read_as_its_grey(reader, scene):
    put_plate(scene, draw_plate("KA19TRS"), 320, 330)
    (read,) = reader.read(cv2.cvtColor(scene, cv2.COLOR_GRAY2RGB))
    assert (read.text, read.status) == ("KA19TRS", PlateStatus.READ)


def test_a_picture_without_a_plate_gives_no_read(reader, scene):
    assert reader.read(scene) == []


def test_a_crop_can_be_the_plate():
    (read,) = PlateReader.from_bundle(detector="whole").read(draw_plate("KA19TRS"))
    assert read.text == "KA19TRS"
    assert read.detection.quad[0] == (0, 0)


def test_a_plate_less_sure_than_asked_is_unreadable(scene):
    put_plate(scene, draw_plate("KA19TRS"), 320, 330)
    (sure,) = PlateReader.from_bundle().read(scene)
    (unsure,) = PlateReader.from_bundle(min_confidence=1.0).read(scene)
    assert (unsure.text, unsure.status) == (None, PlateStatus.UNREADABLE)
    assert (unsure.text_raw, unsure.confidence) == (sure.text_raw, sure.confidence)


def test_an_even_crop_is_found_but_unreadable():
    (read,) = PlateReader.from_bundle(detector="whole").read(np.full((50, 200), 90, np.uint8))
    assert (read.status, read.text_raw, read.confidence, read.alternatives) == (
        PlateStatus.UNREADABLE,
        "",
        0.0,
        (),
    )


def test_threads_may_share_a_reader(reader, scene):
    put_plate(scene, draw_plate("KA19TRS"), 320, 330)
    expected = reader.read(scene)
    with ThreadPoolExecutor(4) as threads:
        assert all(reads == expected for reads in threads.map(reader.read, [scene] * 12))


def test_a_read_is_composed_of_its_characters():
    detection = PlateDetection(Box(0, 0, 9, 9).corners, 1.0)
    box = Box(0, 0, 1, 1)
    first = CharacterRead("B", 0.6, "8", box, (("B", 0.6), ("8", 0.3), ("E", 0.1)))
    second = CharacterRead("1", 0.9, "1", box, (("1", 0.9), ("I", 0.08), ("7", 0.02)))
    third = CharacterRead("K", 1.0, "K", box, (("K", 1.0), ("X", 0.0), ("H", 0.0)))
    read = compose_read(detection, [first, second, third])
    assert (read.text, read.text_raw) == ("B1K", "81K")
    # B·1 0.6·0.9, 8·1 0.3·0.9, E·1 0.1·0.9, B·I 0.6·0.08, …
    assert read.confidence == pytest.approx(0.54)
    assert [t for t, _ in read.alternatives[:4]] == ["B1K", "81K", "E1K", "BIK"]
    assert [p for _, p in read.alternatives[:4]] == pytest.approx([0.54, 0.27, 0.09, 0.048])
    assert len(read.alternatives) == 10


def test_a_plate_with_one_sure_character_is_unreadable():
    detection = PlateDetection(Box(0, 0, 9, 9).corners, 1.0)
    box = Box(0, 0, 1, 1)
    sure = CharacterRead("K", 0.9, "K", box, (("K", 0.9), ("X", 0.1), ("H", 0.0)))
    unsure = CharacterRead("B", 0.8, "B", box, (("B", 0.8), ("8", 0.2), ("E", 0.0)))
    assert compose_read(detection, [sure, sure, unsure]).text == "KKB"
    assert compose_read(detection, [sure, unsure, unsure]).text is None


def test_configurations_that_are_not_possible_are_refused():
    with pytest.raises(ValueError, match=r"no detector 'yolo'.*contour"):
        ReaderConfig(detector="yolo")
    with pytest.raises(ValueError, match="0 to 1"):
        ReaderConfig(min_confidence=1.5)


def test_a_configuration_is_named_by_its_hash():
    assert ReaderConfig().sha256 == ReaderConfig(min_confidence=0.0).sha256
    assert ReaderConfig().sha256 != ReaderConfig(min_confidence=0.5).sha256
