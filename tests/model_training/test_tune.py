import csv
import json
import shutil

import pytest

from tests.model_training.test_characters import write_set

pytest.importorskip("keras_tuner", reason="tuning needs the extra `train`")
from lpr_core.bundle import Bundle
from model_training import tune

pytestmark = pytest.mark.long


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
    return tune.main([*arguments, "--validation-share", "0.3", "--epochs", "2", *options])


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
    # Same seed, same pictures: the trial's own figures come out again.
    metrics = record["metrics"]
    assert metrics["best_epoch"] == int(best["best_epoch"])
    assert metrics["validation_loss"] == pytest.approx(float(best["val_loss"]), abs=1e-4)
    assert metrics["validation_accuracy"] == pytest.approx(
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
    assert run(pictures, tuned, "--resume", "--epochs", "3") == 2
    assert "other options (epochs)" in capsys.readouterr().err
    (pictures / "A" / "new.png").write_bytes((pictures / "A" / "0.png").read_bytes())
    try:
        assert run(pictures, tuned, "--resume") == 2
    finally:
        (pictures / "A" / "new.png").unlink()
    assert "are not those it began with" in capsys.readouterr().err


def test_a_best_trial_that_another_has_beaten_is_replaced(pictures, tuned, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(tuned, output)
    best = output / "best" / "training.json"
    record = json.loads(best.read_text())
    expected = record["asked"]["filters"]
    record["asked"]["filters"] = [16, 17]
    best.write_text(json.dumps(record))
    (output / "best" / "last.keras").write_bytes(b"of the other")
    trials = len(table(tuned))
    assert run(pictures, output, "--trials", str(trials), "--resume") == 0
    assert json.loads(best.read_text())["asked"]["filters"] == expected
    assert Bundle.load(output / "bundle").manifest["name"] == "tuned"


def test_a_foreign_bundle_is_noticed_before_any_work(pictures, tmp_path, capsys):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine.txt").write_text("mine")
    assert run(pictures, tmp_path) == 2
    error = capsys.readouterr().err
    assert error.startswith("platebeam tune: ") and "was left alone" in error
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_seed_draws_the_same_trials_again(pictures, tmp_path):
    for name in ("one", "other"):
        assert run(pictures, tmp_path / name, "--trials", "1", "--seed", "0") == 0
    assert table(tmp_path / "one") == table(tmp_path / "other")
