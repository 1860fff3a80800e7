import csv
import json

import pytest

from tests.model_training.test_characters import write_set

pytest.importorskip("keras_tuner", reason="tuning needs the extra `train`")
from lpr_core.bundle import Bundle
from model_training import tune


def table(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data") / "set", dark=True, copies=8)


@pytest.fixture(scope="module")
def tuned(pictures, tmp_path_factory):
    output = tmp_path_factory.mktemp("tuned") / "out"
    assert run(pictures, output, "--trials", "2") == 0
    return output


def run(pictures, output, *options):
    arguments = ["characters", "--data", str(pictures), "--output", str(output), "--seed", "2"]
    return tune.main([*arguments, "--validation-share", "0.3", "--epochs", "1", *options])


def test_trials_are_drawn_from_the_sources_ranges_and_ranked(tuned):
    rows = table(tuned)
    assert len(rows) == 2
    for row in rows:
        assert 16 <= int(row["conv_1_filters"]) <= 64
        assert 32 <= int(row["conv_2_filters"]) <= 128
        assert 128 <= int(row["dense_1_units"]) <= 512
        assert 0.2 <= float(row["dropout_1"]) <= 0.5
        assert 1e-5 <= float(row["learning_rate"]) <= 1e-3
    scores = [float(row["val_sparse_categorical_accuracy"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert (tuned / "trials.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_trial_is_trained_again_and_exported(tuned):
    best = table(tuned)[0]
    record = json.loads((tuned / "best" / "training.json").read_text())
    assert record["asked"]["architecture"] == "two_conv"
    assert record["asked"]["filters"] == [int(best["conv_1_filters"]), int(best["conv_2_filters"])]
    assert record["asked"]["dense"][0] == int(best["dense_1_units"])
    # Same seed, same pictures: the trial's own figure comes out again.
    assert record["metrics"]["validation_accuracy"] == pytest.approx(
        float(best["val_sparse_categorical_accuracy"]), abs=1e-4
    )
    bundle = Bundle.load(tuned / "bundle")
    assert bundle.manifest["models"]["characters"]["architecture"] == "two_conv"


def test_tuning_goes_on_where_it_stopped(pictures, tuned, capfd):
    before = {row["trial"]: row for row in table(tuned)}
    assert run(pictures, tuned, "--trials", "3", "--resume") == 0
    after = {row["trial"]: row for row in table(tuned)}
    assert len(after) == 3
    assert {name: after[name] for name in before} == before
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("trial ")]
    assert len(lines) == 1  # only the third was trained


def test_trials_are_not_mixed_with_others(pictures, tuned, capsys):
    assert run(pictures, tuned) == 2
    assert "give --resume" in capsys.readouterr().err
    assert run(pictures, tuned, "--resume", "--batch-size", "7") == 2
    assert "other options (batch_size)" in capsys.readouterr().err
