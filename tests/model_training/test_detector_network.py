import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="training needs the extra `train`")
import keras

from model_training.detector_network import (
    SMOOTH,
    box_overlap,
    build_detector,
    corner_distance,
    detector_loss,
    heat_loss,
)
from model_training.detector_pictures import Truth, targets

CORNERS = np.array([(100, 100), (190, 100), (190, 130), (100, 130)], np.float64)


def as_floats(value):
    return np.asarray(keras.ops.convert_to_numpy(value))


def offsets(corners, right=0):
    """Corners, moved to the right by some pixels, as the network tells them."""
    return (np.float32(corners + np.array((right, 0))) / 32).reshape(1, 1, 1, 8)


def answer(target, logit=12.0):
    """The output that says what a target tells."""
    heat = np.where(target[..., :1] >= 0.999, logit, -logit)
    return np.concatenate([heat, target[..., 4:]], axis=-1)[None].astype(np.float32)


def test_the_network_is_small_and_of_the_agreed_shape():
    network = build_detector()
    assert network.count_params() <= 400_000
    output = network.predict(np.zeros((2, 64, 96, 1), np.float32), verbose=0)
    assert output.shape == (2, 8, 12, 9)
    # A new network takes hardly any cell for a plate's middle.
    assert output[..., 0].max() < -2


def test_the_loss_is_least_for_the_right_answer():
    target = targets([Truth(CORNERS)])
    right = answer(target)
    assert float(detector_loss(target[None], right)) < 0.01
    moved, silent, noisy = right.copy(), right.copy(), right.copy()
    moved[..., 1:] += 0.3
    silent[..., 0] = -12
    noisy[..., 20:24, 5:10, 0] = 12
    for wrong in (moved, silent, noisy):
        assert float(detector_loss(target[None], wrong)) > 0.5


def test_where_nothing_is_known_nothing_is_asked():
    target = targets([Truth(CORNERS, "centre")])
    wrong = answer(target)
    wrong[..., 1:] += 5
    assert float(detector_loss(target[None], wrong)) == pytest.approx(
        float(detector_loss(target[None], answer(target)))
    )
    ignored = targets([Truth(CORNERS, visible=0.1)])
    sure = np.full_like(wrong, 12.0)
    sure[0, ignored[..., 1] == 1, 0] = -12
    assert float(detector_loss(ignored[None], sure)) == pytest.approx(0, abs=1e-3)


def test_heat_loss_by_hand():
    # One sure middle said with p = 1/2, one cell of none said with p = 1/2, one that is ignored:
    # (1/4 ln 2 + 1/4 ln 2) over one plate and one.
    truth, counted = np.array([[[1.0, 0.0, 0.0]]]), np.array([[[1.0, 1.0, 0.0]]])
    loss = heat_loss(*(np.float32(v) for v in (truth, truth * 0, counted)))
    assert float(loss) == pytest.approx(0.5 * np.log(2) / 2, rel=1e-5)


def test_corner_distance_is_in_shares_of_the_height():
    # 6 of 30 pixels in x and none in y: a fifth at half of the coordinates.
    away = as_floats(corner_distance(offsets(CORNERS), offsets(CORNERS, 6)))
    assert away.item() == pytest.approx((0.2 - SMOOTH / 2) / 2, rel=1e-3)
    # As much of a plate half as large counts as much.
    half = as_floats(corner_distance(offsets(CORNERS / 2), offsets(CORNERS / 2, 3)))
    assert half.item() == pytest.approx(away.item(), rel=1e-3)


def test_box_overlap_by_hand():
    same = as_floats(box_overlap(offsets(CORNERS), offsets(CORNERS)))
    assert same.item() == pytest.approx(1, abs=1e-3)
    # Moved by its width: nothing shared, and nothing between.
    beside = as_floats(box_overlap(offsets(CORNERS), offsets(CORNERS, 90)))
    assert beside.item() == pytest.approx(0, abs=1e-3)
    # Twice as far: a third of the box around both is neither's.
    apart = as_floats(box_overlap(offsets(CORNERS), offsets(CORNERS, 180)))
    assert apart.item() == pytest.approx(-1 / 3, abs=1e-3)
    # Only the box counts: corners that are turned within it are as good.
    turned = np.array([(100, 115), (145, 100), (190, 115), (145, 130)])
    assert as_floats(box_overlap(offsets(CORNERS), offsets(turned))).item() == pytest.approx(
        1, abs=1e-3
    )
