from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from lpr_core import PlateReader, PlateStatus, ReaderConfig
from lpr_core.bundle import Bundle, BundleError
from lpr_core.detect import PlateDetection
from lpr_core.geometry import Box, iou
from lpr_core.plate_reader import READERS, compose_read, is_plate
from lpr_core.recognize import CharacterRead, TextRead

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


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 64), np.float32),
        np.zeros((48, 64), bool),
        np.zeros((48, 64), np.uint16),
        np.zeros((48, 64, 2), np.uint8),
        np.zeros((64,), np.uint8),
        np.zeros((0, 0), np.uint8),
    ],
)
def test_what_is_no_picture_of_eight_bits_is_refused(reader, image):
    with pytest.raises(ValueError, match="an image is uint8 of"):
        reader.read(image)


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
    assert (read.status, read.text) == (PlateStatus.UNREADABLE, None)
    assert read.confidence < 0.2


def test_threads_may_share_a_reader(reader, scene):
    put_plate(scene, draw_plate("KA19TRS"), 320, 330)
    expected = reader.read(scene)
    with ThreadPoolExecutor(4) as threads:
        assert all(reads == expected for reads in threads.map(reader.read, [scene] * 12))


def test_threads_that_read_by_turns_share_interpreters(scene, monkeypatch):
    make = Mock(wraps=Interpreter)
    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", make)
    put_plate(scene, draw_plate("KA19TRS"), 320, 330)
    reader = PlateReader.from_bundle()
    reader.read(scene)
    by_the_first = make.call_count
    for _ in range(3):
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(reader.read, scene).result()
    assert make.call_count == by_the_first > 0


DETECTION = PlateDetection(Box(0, 0, 9, 9).corners, 1.0)


def text_read(text: str, seen: str = "", confidence: float = 0.9, legible: bool = True) -> TextRead:
    box = Box(0, 0, 1, 1)
    characters = (
        CharacterRead(c, 0.95, s, box, ((c, 0.95),))
        for c, s in zip(text, seen or text, strict=True)
    )
    return TextRead(tuple(characters), ((text, confidence), ("X", 0.01)), legible, seen or text)


def test_a_read_says_what_was_seen_and_how_sure_it_is():
    read = compose_read(DETECTION, text_read("B1K", seen="81K"))
    assert (read.text, read.text_raw, read.confidence) == ("B1K", "81K", 0.9)
    assert read.alternatives == (("B1K", 0.9), ("X", 0.01))
    assert (read.status, read.edits) == (PlateStatus.READ, ())


def test_what_is_not_legible_has_no_text():
    read = compose_read(DETECTION, text_read("B1K", legible=False))
    assert (read.text, read.text_raw, read.status) == (None, "B1K", PlateStatus.UNREADABLE)


def test_what_is_in_doubt_is_a_plate_only_if_it_can_be_read():
    doubtful = PlateDetection(DETECTION.quad, 0.4, least_confidence=0.3)
    assert is_plate(doubtful, text_read("AB12", confidence=0.3))
    assert not is_plate(doubtful, text_read("AB12", confidence=0.29))
    assert not is_plate(doubtful, text_read("AB12", legible=False))
    assert is_plate(DETECTION, text_read("AB12", confidence=0.01, legible=False))


def test_layouts_change_the_text_alone_and_every_change_is_told():
    config = ReaderConfig(layouts=("br",))
    read = compose_read(DETECTION, text_read("AB0O234"), config)
    assert (read.text, read.text_raw) == ("ABO0234", "AB0O234")
    assert "".join(c.character for c in read.characters) == "AB0O234"
    assert [(e.index, e.was, e.becomes, e.layout) for e in read.edits] == [
        (2, "0", "O", "br"),
        (3, "O", "0", "br"),
    ]
    assert compose_read(DETECTION, text_read("AB0O234")).text == "AB0O234"
    unreadable = compose_read(DETECTION, text_read("AB0O234", legible=False), config)
    assert (unreadable.text, unreadable.edits) == (None, ())


def test_a_whole_plate_reader_gets_plates_with_their_surroundings(monkeypatch, scene):
    margins: list[float] = []

    class Recognizer:
        margin = 0.08

        def __init__(self, bundle, backend):
            pass

        def segment(self, crop):
            margins.append(crop.border / (crop.pixels.shape[0] - 2 * crop.border))
            return "evidence"

        def recognize(self, plates):
            assert plates == ["evidence"]
            return [text_read("KA19TRS", confidence=0.4)]

        def warm_up(self):
            pass

    monkeypatch.setitem(READERS, "sequence", Recognizer)
    put_plate(scene, draw_plate("XX00XXX"), 320, 330)
    (read,) = PlateReader.from_bundle(reader="sequence").read(scene)
    assert (read.text, read.confidence) == ("KA19TRS", 0.4)
    assert margins == [pytest.approx(0.08)]
    (unsure,) = PlateReader.from_bundle(reader="sequence", min_confidence=0.5).read(scene)
    assert (unsure.text, unsure.text_raw) == (None, "KA19TRS")


def test_a_bundle_that_lacks_a_model_is_refused_before_any_picture():
    bundle = Bundle.load()
    models = {name: bundle.manifest["models"][name] for name in ("characters",)}
    only_characters = Bundle({**bundle.manifest, "models": models}, bundle.files, bundle.sha256)
    with pytest.raises(BundleError, match="no reader model"):
        PlateReader(only_characters, ReaderConfig(detector="contour", reader="sequence"))


def test_configurations_that_are_not_possible_are_refused():
    with pytest.raises(ValueError, match=r"no detector 'yolo'.*contour"):
        ReaderConfig(detector="yolo")
    with pytest.raises(ValueError, match=r"no reader 'ocr'.*sequence"):
        ReaderConfig(reader="ocr")
    with pytest.raises(ValueError, match=r"no layout 'xx': choose from eu, us, "):
        ReaderConfig(layouts=("br", "xx"))
    with pytest.raises(ValueError, match="0 to 1"):
        ReaderConfig(min_confidence=1.5)


def test_a_configuration_is_named_by_its_hash():
    assert ReaderConfig().sha256 == ReaderConfig(min_confidence=0.0).sha256
    assert ReaderConfig().sha256 != ReaderConfig(min_confidence=0.5).sha256
    assert ReaderConfig().sha256 != ReaderConfig(layouts=("eu",)).sha256
    other = {"characters": "sequence", "sequence": "characters"}[ReaderConfig.reader]
    assert ReaderConfig().sha256 != ReaderConfig(reader=other).sha256
