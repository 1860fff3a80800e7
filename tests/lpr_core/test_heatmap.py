import cv2
import numpy as np
import pytest

from lpr_core import heatmap
from lpr_core.bundle import Bundle, BundleError
from lpr_core.geometry import iou
from lpr_core.heatmap import (
    PADDING,
    PREPROCESSING,
    REACH,
    STRIDE,
    WINDOW,
    HeatmapDetector,
    network_input,
    plates_of,
    without_overlaps,
)

HEIGHT, WIDTH = 384, 512
NO_PLATE = -9.0


class SeesWhite:
    """In the network's place: takes each white rectangle that is wider than high for a plate.

    It goes by what it is shown alone, so that the looks' coordinates have to be right.
    """

    def __init__(self, entry):
        self.entry = entry
        self.shown = []

    def __call__(self, batch):
        picture = np.round((batch[0, ..., 0] + 1) * 127.5).astype(np.uint8)
        self.shown.append(picture)
        stride = self.entry["stride"]
        height, width = picture.shape
        output = np.zeros((1, height // stride, width // stride, 9), np.float32)
        output[..., 0] = NO_PLATE
        white = (picture > 200).astype(np.uint8)
        outlines, _ = cv2.findContours(white, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            # Contours run through the centres of pixels: half a pixel to the edge on each side.
            corners = upright(cv2.minAreaRect(outline)) + 0.5
            row, column = np.floor(corners.mean(axis=0)[::-1] / stride).astype(int)
            middle = (np.array([column, row]) + 0.5) * stride
            around = output[0, row - 1 : row + 2, column - 1 : column + 2]
            around[..., 0] = np.maximum(around[..., 0], NO_PLATE)
            output[0, row, column, 0] = 6.0
            output[0, row, column, 1:] = ((corners - middle) / REACH).ravel()
        return output


def upright(rectangle):
    """The corners of a rotated rectangle in the reader's order, grown by half a pixel."""
    centre, (width, height), angle = rectangle
    if width < height:
        width, height, angle = height, width, angle - 90
    turn = np.radians((angle + 90) % 180 - 90)
    along, down = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    half = (width + 1) / 2 * along, (height + 1) / 2 * down
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.array([np.add(centre, a * half[0] + b * half[1]) for a, b in signs])


@pytest.fixture
def entry():
    return {
        "preprocessing": PREPROCESSING,
        "input": {"height": HEIGHT, "width": WIDTH},
        "stride": STRIDE,
        "threshold": 0.5,
    }


@pytest.fixture
def detector(monkeypatch, entry):
    monkeypatch.setattr(heatmap, "BundledNetwork", lambda *_: SeesWhite(entry))
    return HeatmapDetector(Bundle({}, {}, ""))


def plate(centre, width, height, angle):
    turn = np.radians(angle)
    along = width / 2 * np.array([np.cos(turn), np.sin(turn)])
    down = height / 2 * np.array([-np.sin(turn), np.cos(turn)])
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.array([np.add(centre, a * along + b * down) for a, b in signs])


def picture_of(size, *plates):
    """A black picture, drawn large and shrunk, so that its edges are where they should be."""
    large = np.zeros((size[1] * 4, size[0] * 4), np.uint8)
    for corners in plates:
        cv2.fillPoly(large, [np.round(corners * 4 - 0.5).astype(np.int32)], 255)
    return cv2.resize(large, size, interpolation=cv2.INTER_AREA)


def away(detection, corners):
    return float(np.abs(np.array(detection.quad) - corners).max())


@pytest.mark.parametrize(
    ("size", "corners"),
    [
        ((512, 384), plate((250, 200), 90, 20, 0)),
        ((1280, 720), plate((900, 500), 200, 45, 10)),
        ((1280, 720), plate((300, 300), 180, 60, -35)),
        ((700, 1000), plate((350, 640), 120, 60, 20)),  # higher than wide
        ((240, 160), plate((120, 80), 60, 15, -5)),  # to be enlarged
        ((4000, 3000), plate((2100, 1500), 700, 150, 12)),
    ],
)
def test_corners_come_back_in_pixels_of_the_picture(detector, size, corners):
    (found,) = detector.detect(picture_of(size, corners))
    seen_width = np.hypot(*(corners[1] - corners[0]))
    # A pixel at the second look, where the plate is 90 pixels wide.
    assert away(found, corners) < max(1.0, 1.2 * seen_width / 90)
    assert found.score > 0.9


def test_less_than_the_threshold_is_found_on_condition_if_the_bundle_has_one(detector, entry):
    picture = picture_of((512, 384), plate((250, 200), 90, 20, 0))
    (sure,) = detector.detect(picture)
    entry["threshold"] = sure.score + 1e-4
    entry["doubtful"] = {"threshold": 0.5, "confidence": 0.3}
    (doubtful,) = HeatmapDetector(Bundle({}, {}, "")).detect(picture)
    assert (sure.least_confidence, doubtful.least_confidence) == (0.0, 0.3)


def test_the_bundle_says_how_large_the_cells_are(monkeypatch, entry):
    monkeypatch.setattr(heatmap, "BundledNetwork", lambda *_: SeesWhite(entry | {"stride": 4}))
    corners = plate((900, 500), 200, 45, 10)
    (found,) = HeatmapDetector(Bundle({}, {}, "")).detect(picture_of((1280, 720), corners))
    assert away(found, corners) < 1.2 * 200 / 90


def test_several_plates_are_found_at_once(detector):
    plates = [plate((200 + 170 * i, 150 + 80 * i), 100, 24, 10 * i - 20) for i in range(6)]
    found = detector.detect(picture_of((1280, 720), *plates))
    assert len(found) == 6
    for corners in plates:
        assert min(away(one, corners) for one in found) < 2
    assert [shown.shape for shown in detector._network.shown] == [(288, 512), *[WINDOW] * 6]


def test_beyond_the_best_two_only_what_is_likely_is_looked_at_again(detector):
    network = detector._network
    picture = picture_of((512, 384), *(plate((60 + 80 * i, 190), 50, 14, 0) for i in range(6)))
    for likely, looked_at in ((5, 5), (1, 2)):

        def scored(batch, likely=likely):
            output = network(batch)
            if len(network.shown) == 1:
                output[output[..., 0] > 0, 0] = np.where(np.arange(6) < likely, -0.3, -0.5)
            return output

        network.shown.clear()
        detector._network = scored
        # A logit of -0.3 is a share of 0.426, one of -0.5 of 0.378.
        assert len(detector.detect(picture)) == looked_at
        assert len(network.shown) == 1 + looked_at


def test_where_nothing_is_sure_four_more_are_looked_at_again(detector):
    network = detector._network
    plates = [plate((60 + 80 * (i % 3), 100 + 60 * (i // 3)), 50, 14, 0) for i in range(9)]

    def no_plates_but_the_last(batch):
        output = network(batch)
        plates_seen = output[..., 0] > 0
        if batch.shape[1:3] == (HEIGHT, WIDTH):
            output[plates_seen, 0] = np.linspace(-1, -2, plates_seen.sum())
        elif batch.shape[1:3] != WINDOW or len(network.shown) < 8:
            output[..., 0] = NO_PLATE
        return output

    detector._network = no_plates_but_the_last
    (found,) = detector.detect(picture_of((512, 384), *plates))
    # The best two, then half of the input, and four more, of which the last may be a plate and is
    # looked at once more.
    looks = [(384, 512), WINDOW, WINDOW, (192, 256), *[WINDOW] * 5]
    assert [shown.shape for shown in network.shown] == looks
    first, closer = 1 / (1 + np.exp(1.625)), 1 / (1 + np.exp(-6))
    assert found.score == pytest.approx(np.cbrt(first * closer**2), abs=1e-6)


def test_the_second_look_shows_plates_upright_and_large(detector):
    detector.detect(picture_of((1280, 720), plate((600, 400), 60, 15, 30)))
    again = detector._network.shown[1]
    (outline,), _ = cv2.findContours(
        (again > 200).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    x, y, width, height = cv2.boundingRect(outline)
    assert width == pytest.approx(90, abs=4)
    assert height == pytest.approx(22, abs=4)
    assert x + width / 2 == pytest.approx(WINDOW[1] / 2, abs=2)
    assert y + height / 2 == pytest.approx(WINDOW[0] / 2, abs=2)


def test_a_small_plate_of_a_large_picture_is_found_in_a_part(detector):
    corners = plate((2900, 2304), 36, 9, 0)  # 5 by 1 pixels at the first look: too grey
    (found,) = detector.detect(picture_of((4000, 3000), corners))
    assert away(found, corners) < 2
    assert len(detector._network.shown) == 7  # whole, smaller, four parts, and closely


@pytest.mark.parametrize("scale", [1, 8])
def test_a_plate_too_large_for_the_first_look_is_found_in_a_smaller_one(detector, scale):
    network = detector._network

    def knows_no_large_plates(batch):
        output = network(batch)
        if (network.shown[-1] > 200).any(axis=0).sum() > 300:
            output[..., 0] = NO_PLATE
        return output

    detector._network = knows_no_large_plates
    corners = scale * plate((260, 200), 440, 100, 8)
    (found,) = detector.detect(picture_of((512 * scale, 384 * scale), corners))
    assert away(found, corners) < 1.2 * scale * 440 / 90
    # And not in parts, which show parts of it.
    assert [shown.shape for shown in network.shown] == [(384, 512), (192, 256), WINDOW]


@pytest.mark.parametrize("size", [(512, 384), (4000, 3000), (30, 700), (3, 2)])
def test_a_picture_without_a_plate_gives_none(detector, size):
    assert detector.detect(np.zeros(size[::-1], np.uint8)) == []
    assert len(detector._network.shown) <= 6


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((1280, 720), (288, 512)),
        ((720, 1280), (512, 288)),  # as large upright as lying
        ((800, 600), (384, 512)),
        ((900, 900), (384, 384)),
        ((60, 20), (64, 128)),  # enlarged to twice its size
    ],
)
def test_the_first_look_is_as_large_as_the_bundle_tells_and_no_larger(detector, size, seen):
    detector.detect(np.zeros(size[::-1], np.uint8))
    assert detector._network.shown[0].shape == seen


def test_what_the_picture_does_not_fill_is_padded(detector):
    detector.detect(np.zeros((110, 800), np.uint8))
    shown = detector._network.shown[0]
    # 800 by 110 becomes 512 by 70, which 96 rows hold: 13 above, 13 below.
    assert shown.shape == (96, 512)
    assert (shown[13:83] == 0).all()
    assert (shown[:13] == PADDING).all()
    assert (shown[83:] == PADDING).all()


def test_the_score_joins_both_looks(detector):
    network = detector._network

    def scored(batch):
        output = network(batch)
        logits = output[..., 0]
        logits[logits > 0] = (2.0, 1.0)[len(network.shown) - 1]
        return output

    detector._network = scored
    (found,) = detector.detect(picture_of((512, 384), plate((250, 200), 90, 20, 0)))
    first, second = 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1))
    assert found.score == pytest.approx(np.cbrt(first * second**2), abs=1e-6)


@pytest.mark.parametrize(("logit", "found_at_all"), [(2.0, True), (NO_PLATE, False)])
def test_a_candidate_that_two_looks_leave_in_doubt_gets_a_third_from_closer(
    detector, logit, found_at_all
):
    network = detector._network

    def scored(batch):
        output = network(batch)
        cell = output[..., 0] > 0
        output[cell, 0] = (1.0, 0.3, logit, NO_PLATE)[min(len(network.shown), 4) - 1]
        if len(network.shown) == 3:
            output[cell, 1::2] += 8 / REACH  # all corners, 8 pixels to the right
        return output

    detector._network = scored
    corners = plate((250, 200), 90, 20, 0)
    found = detector.detect(picture_of((512, 384), corners))
    (columns,) = np.nonzero((network.shown[2] > 200).any(axis=0))
    assert np.ptp(columns) + 1 == pytest.approx(1.3 * 90, abs=2)
    assert len(found) == found_at_all
    for one in found:
        shares = [1 / (1 + np.exp(-x)) for x in (1.0, 0.3, 2.0)]
        assert one.score == pytest.approx(np.cbrt(np.prod(shares)), abs=1e-6)
        # The mean of the second look's corners and of the third's, 8 / 1.3 pixels beside them.
        assert away(one, corners + np.array([8 / 1.3 / 2, 0])) < 0.7


def test_plates_of_reads_the_offsets_of_the_middle_cell():
    output = np.zeros((12, 16, 9), np.float32)
    output[..., 0] = NO_PLATE
    output[5, 7, 0] = 3.0
    output[5, 7, 1:] = np.array([-1, -0.5, 1, -0.5, 1, 0.5, -1, 0.5])
    (found,) = plates_of(output, 0.5)
    # The middle of cell (7, 5) is at (60, 44); 32 pixels to the left and right, 16 up and down.
    assert np.array(found.quad) == pytest.approx(
        np.array([(28, 28), (92, 28), (92, 60), (28, 60)]), abs=0.01
    )
    assert found.score == pytest.approx(1 / (1 + np.exp(-3)))
    assert list(plates_of(output, 0.96)) == []


def test_of_plates_over_each_other_the_surest_stays():
    output = np.zeros((12, 40, 9), np.float32)
    output[..., 0] = NO_PLATE
    for column, logit in ((7, 2.0), (9, 3.0), (30, 1.0)):
        output[5, column, 0] = logit
        output[5, column, 1:] = np.array([-1, -0.5, 1, -0.5, 1, 0.5, -1, 0.5])
    found = list(plates_of(output, 0.5))
    assert [round(np.mean(np.array(one.quad)[:, 0])) for one in found] == [76, 244]
    assert iou(found[0].box, found[1].box) == 0
    assert list(without_overlaps([*found, *found])) == found


def test_network_input_is_what_was_agreed():
    assert network_input(np.array([0, 255], np.uint8)) == pytest.approx([-1, 1])
    assert network_input(np.zeros((2, 2), np.uint8)).dtype == np.float32


def test_a_bundle_without_a_detector_says_so():
    with pytest.raises(BundleError, match="detector"):
        HeatmapDetector(Bundle({"models": {}}, {}, ""))


def test_a_detector_without_a_stride_says_so(entry):
    del entry["stride"]
    entry["files"] = {"litert": "d"}
    with pytest.raises(BundleError, match="stride"):
        HeatmapDetector(Bundle({"models": {"detector": entry}}, {"d": b""}, ""))


def test_a_detector_that_was_shown_pictures_otherwise_is_refused(entry):
    entry |= {"preprocessing": PREPROCESSING | {"version": 1}, "files": {"litert": "d"}}
    with pytest.raises(BundleError, match="export its model anew"):
        HeatmapDetector(Bundle({"models": {"detector": entry}}, {"d": b""}, ""))
