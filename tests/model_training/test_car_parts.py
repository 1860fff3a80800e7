import numpy as np
import pytest

from model_training.car_parts import KINDS, random_part


@pytest.mark.parametrize("kind", dict.fromkeys(KINDS), ids=lambda kind: kind.__name__)
def test_a_part_shows_something(kind):
    for seed in range(20):
        pixels, cover = kind(np.random.default_rng(seed))
        assert pixels.shape == cover.shape
        assert (pixels * cover).std() > 200  # an outline, or something within it


def test_a_part_depends_on_the_seed_alone():
    parts = [random_part(np.random.default_rng(seed)) for seed in (3, 3, 4)]
    for first, again in zip(parts[0], parts[1], strict=True):
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, again)
    assert parts[0][0].shape != parts[2][0].shape or (parts[0][0] != parts[2][0]).any()
