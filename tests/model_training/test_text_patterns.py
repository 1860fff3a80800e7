import pytest

from model_training.text_patterns import RAREST, pattern_shares, pattern_weights


def test_folders_count_alike_and_together_as_much_as_what_was_rendered():
    many_frames = ["ABC1234"] * 98 + ["ABC1235", "AB12345"]
    shares = pattern_shares([many_frames, ["XY123456"]], ["ABC1234", "ABC123", "ABC124", "ABC125"])
    # Three texts of the first folder, two of them alike: 1/4 × 2/3 + 1/2 × 1/4.
    assert shares == pytest.approx(
        {"LLLDDD": 3 / 8, "LLLDDDD": 7 / 24, "LLDDDDDD": 1 / 4, "LLDDDDD": 1 / 12}
    )
    assert next(iter(shares)) == "LLLDDD"
    assert pattern_shares([], ["A1", "A2", "12"]) == pytest.approx({"LD": 2 / 3, "DD": 1 / 3})


def test_a_weight_is_the_root_of_the_share_and_none_is_less_than_the_rarest():
    weights = pattern_weights({"LLLDDD": 0.64, "DDDDDD": 0.16, "LDLDLD": RAREST / 2})
    assert weights == {
        "weights": {"LLLDDD": 1.0, "DDDDDD": 0.5},
        "others": pytest.approx((RAREST / 0.64) ** 0.5, abs=1e-4),
    }
    assert pattern_weights({}) == {"weights": {}, "others": 1.0}
