import csv
import json
import shlex
import shutil

import numpy as np
import pytest

from model_training.architectures import ARCHITECTURES, build
from tests.model_training.test_characters import write_set

pytest.importorskip("tensorflow", reason="training needs the extra `train`")
from model_training import train, train_characters, training_folder

pytestmark = pytest.mark.long

SMALL = ("--architecture", "two_conv", "--filters", "4", "4", "--dense", "8", "8")


def rows_of(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def record_of(folder):
    return json.loads((folder / "training.json").read_text())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data") / "set", dark=True, copies=12)


def run(pictures, output, *options):
    return train.main(["characters", "--output", str(output), "--data", str(pictures), *options])


def test_training_lowers_the_loss_and_records_what_it_did(trained):
    rows = rows_of(trained)
    assert len(rows) == 4
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert list(rows[0]) == [
        "epoch",
        "loss",
        "sparse_categorical_accuracy",
        "val_loss",
        "val_sparse_categorical_accuracy",
    ]
    record = record_of(trained)
    assert [item["name"] for item in record["data"]] == ["set", "rendered"]
    assert [item["pictures"] for item in record["data"]] == [60, 300]
    assert record["data"][0]["licence"] == "CC0-1.0"
    assert record["command"].startswith("platebeam train characters --data")
    assert record["seed"] == 5
    best = max(float(row["val_sparse_categorical_accuracy"]) for row in rows)
    assert record["metrics"]["validation_accuracy"] == pytest.approx(best)
    assert record["metrics"]["last_loss"] == pytest.approx(float(rows[-1]["val_loss"]))
    for name in ("best.keras", "last.keras", "curves.png", "validation.npz"):
        assert (trained / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        (
            "three_conv_bn",
            "Conv2D MaxPooling2D BatchNormalization "
            "Conv2D MaxPooling2D BatchNormalization "
            "Conv2D MaxPooling2D BatchNormalization Flatten Dense Dropout Dense",
        ),
        ("large_kernel", "Conv2D Conv2D Conv2D Conv2D MaxPooling2D Dropout Flatten Dense Dense"),
        (
            "two_conv",
            "Conv2D MaxPooling2D Conv2D MaxPooling2D Flatten Dense Dropout Dense Dense",
        ),
    ],
)
def test_architectures_are_the_sources(name, layers):
    own = ARCHITECTURES[name]
    model = build(name, own.filters, own.dense, own.dropout)
    assert " ".join(type(layer).__name__ for layer in model.layers) == layers
    assert model.input_shape == (None, 28, 28, 1) and model.output_shape == (None, 36)
    assert model.layers[-1].activation.__name__ == "softmax"
    kernels = {layer.kernel_size for layer in model.layers if hasattr(layer, "kernel_size")}
    if name == "large_kernel":
        assert kernels == {(22, 22), (16, 16), (8, 8), (4, 4)}
    else:
        assert kernels == {(3, 3)}
    probabilities = model(np.random.default_rng(0).random((3, 28, 28, 1), np.float32))
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, rtol=1e-5)


def test_the_first_source_s_recipe_is_the_default(pictures, tmp_path, monkeypatch):
    recipes = []
    monkeypatch.setattr(
        train_characters, "train_and_record", lambda recipe, *rest: recipes.append(recipe)
    )
    assert run(pictures, tmp_path) == 0
    (recipe,) = recipes
    assert recipe.architecture == "three_conv_bn"
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (1e-4, 32, 30)
    assert recipe.schedule == "constant" and not recipe.augment


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(pictures, tmp_path):
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    options = (*SMALL, "--augment", "--batch-size", "8", "--seed", "4")
    assert run(pictures, whole, *options, "--epochs", "4") == 0
    assert run(pictures, halved, *options, "--epochs", "2") == 0
    # Killed after the third epoch's row was written and before its checkpoint was.
    with (halved / "history.csv").open("a") as file:
        file.write("2,9.0,0.9,9.0,0.9\n")
    assert run(pictures, halved, *options, "--epochs", "4", "--resume") == 0
    assert [row["epoch"] for row in rows_of(halved)] == ["0", "1", "2", "3"]
    for one, other in zip(rows_of(whole), rows_of(halved), strict=True):
        for column in one:
            assert float(one[column]) == pytest.approx(float(other[column]), rel=1e-4)
    assert record_of(halved)["metrics"] == pytest.approx(record_of(whole)["metrics"], rel=1e-4)


def test_a_training_is_not_overwritten_nor_resumed_otherwise(pictures, tmp_path, capsys):
    assert run(pictures, tmp_path, *SMALL, "--epochs", "1") == 0
    before = (tmp_path / "last.keras").read_bytes()
    assert run(pictures, tmp_path, *SMALL, "--epochs", "1") == 2
    assert "give --resume" in capsys.readouterr().err
    assert run(pictures, tmp_path, *SMALL, "--epochs", "2", "--resume", "--dropout", "0.1") == 2
    assert "other options (dropout)" in capsys.readouterr().err
    (pictures / "A" / "new.png").write_bytes((pictures / "A" / "0.png").read_bytes())
    try:
        assert run(pictures, tmp_path, *SMALL, "--epochs", "2", "--resume") == 2
    finally:
        (pictures / "A" / "new.png").unlink()
    assert "not those it began with" in capsys.readouterr().err
    assert (tmp_path / "last.keras").read_bytes() == before


def test_a_training_killed_before_its_first_epoch_ended_begins_again(pictures, tmp_path):
    options = (*SMALL, "--epochs", "1")
    assert run(pictures, tmp_path / "whole", *options) == 0
    killed = tmp_path / "killed"
    killed.mkdir()
    record = record_of(tmp_path / "whole")
    del record["metrics"]
    (killed / "training.json").write_text(json.dumps(record))
    (killed / "history.csv").write_text("epoch,loss,sparse_cat")
    (killed / "best.keras").write_bytes(b"PK")
    (killed / "new-last.keras").write_bytes(b"PK")
    assert run(pictures, killed, *options, "--resume") == 0
    for name in ("validation_accuracy", "validation_loss"):
        expected = record_of(tmp_path / "whole")["metrics"][name]
        assert record_of(killed)["metrics"][name] == pytest.approx(expected, rel=1e-4)


def test_a_finished_training_is_resumed_for_more_epochs_only(pictures, tmp_path, capsys):
    assert run(pictures, tmp_path, *SMALL, "--epochs", "2") == 0
    before = {name: (tmp_path / name).read_bytes() for name in ("last.keras", "history.csv")}
    record = record_of(tmp_path)
    assert run(pictures, tmp_path, *SMALL, "--epochs", "2", "--resume") == 0
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert record_of(tmp_path) == record
    assert run(pictures, tmp_path, *SMALL, "--epochs", "1", "--resume") == 2
    assert "other options (epochs)" in capsys.readouterr().err
    assert record_of(tmp_path) == record
    assert run(pictures, tmp_path, *SMALL, "--epochs", "3", "--resume") == 0
    assert len(rows_of(tmp_path)) == 3
    assert "--epochs 3" in record_of(tmp_path)["command"]


def test_a_training_of_another_backend_is_not_resumed(trained, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    record = record_of(folder)
    record["libraries"]["torch"] = record["libraries"].pop("tensorflow")
    (folder / "training.json").write_text(json.dumps(record))
    arguments = shlex.split(record["command"])[2:]
    arguments[arguments.index("--output") + 1] = str(folder)
    assert train.main([*arguments, "--resume"]) == 2
    assert f"{folder} was begun with KERAS_BACKEND=torch" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["training.json", "last.keras", "history.csv"])
@pytest.mark.parametrize("share", [0, 0.5, 0.9])
def test_what_is_damaged_is_named_and_left_alone(trained, tmp_path, capsys, name, share):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(share * len(whole))])
    before = {path: path.read_bytes() for path in folder.iterdir() if path.suffix == ".keras"}
    arguments = shlex.split(record_of(trained)["command"])[2:]
    arguments[arguments.index("--output") + 1] = str(folder)
    capsys.readouterr()
    assert train.main([*arguments, "--resume"]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "platebeam" in line]
    assert error[0].startswith(f"platebeam train: {folder / name} is damaged") and len(error) == 1
    assert {path: path.read_bytes() for path in before} == before


def test_folders_mix_and_refused_files_are_listed(pictures, tmp_path, capsys):
    other = write_set(tmp_path / "light", dark=False, characters="B", copies=6)
    (other / "B" / "broken.png").write_bytes(b"no picture")
    output = tmp_path / "model"
    status = run(pictures, output, str(other), *SMALL, "--epochs", "1")
    assert status == 0
    captured = capsys.readouterr()
    assert "broken.png: not a picture" in captured.err
    assert "no picture to learn these characters from: 0 1 2" in captured.err
    with (output / "refused.csv").open() as file:
        (refused,) = csv.DictReader(file)
    assert refused == {"path": str(other / "B" / "broken.png"), "reason": "not a picture"}
    assert [item["pictures"] for item in record_of(output)["data"]] == [36, 6]
    # Other pictures are not gone on with, and the report stays that of the training's.
    (other / "B" / "broken.png").unlink()
    (other / "B" / "0.png").write_bytes(b"no picture")
    before = (output / "refused.csv").read_bytes()
    assert run(pictures, output, str(other), *SMALL, "--epochs", "1", "--resume") == 2
    assert (output / "refused.csv").read_bytes() == before


def test_a_licence_follows_the_last_equals_sign(tmp_path):
    one = write_set(tmp_path / "a=b" / "c=d", dark=True, copies=4)
    other = write_set(tmp_path / "e=f", dark=True, copies=4)
    output = tmp_path / "model"
    assert run(f"{one}=CC0-1.0", output, str(other), *SMALL, "--epochs", "1") == 0
    found = [(item["name"], item["licence"]) for item in record_of(output)["data"]]
    assert found == [("c=d", "CC0-1.0"), ("e=f", "unknown")]


def test_own_train_and_val_folders_count_as_one_set(tmp_path):
    write_set(tmp_path / "set" / "train", dark=True, copies=4)
    write_set(tmp_path / "set" / "val", dark=True, copies=2)
    assert run(tmp_path / "set", tmp_path / "model", *SMALL, "--epochs", "1") == 0
    record = record_of(tmp_path / "model")
    assert [(item["name"], item["pictures"]) for item in record["data"]] == [("set", 18)]
    assert record["metrics"]["validation_pictures"] == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give --data or --rendered"),
        (("--data", "nowhere"), "nowhere"),
        (("--rendered", "5", "--architecture", "two_conv", "--filters", "8"), "2 numbers"),
        (("--rendered", "5", "--fonts", "dies", "--validation-share", "0"), "validate with"),
    ],
)
def test_what_cannot_work_is_said_before_any_work(options, message, tmp_path, capsys):
    assert train.main(["characters", *options, "--output", str(tmp_path / "model")]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and error.count("\n") == 0
    assert not (tmp_path / "model").exists()


def test_paths_that_cannot_work_are_said_in_a_line(pictures, tmp_path, capsys):
    own = tmp_path / "own"
    for part in ("train", "val"):
        write_set(own / part, dark=True, copies=1)
    file = tmp_path / "file"
    file.write_text("mine")
    (tmp_path / "lower" / "a").mkdir(parents=True)
    (tmp_path / "pair" / "AB").mkdir(parents=True)
    new = tmp_path / "new"
    for data, output, message in (
        ([file], new, f"{file}"),
        ([tmp_path / "lower"], new, "no folders named by the characters 0-9, A-Z"),
        ([tmp_path / "pair"], new, "no folders named by the characters 0-9, A-Z"),
        ([pictures, pictures / ".." / "set"], new, f"pictures of {pictures} are given twice"),
        ([own, own / "train"], new, f"pictures of {own} are given twice"),
        ([pictures], file, f"--output {file}: {file} is no folder"),
        ([pictures], file / "model", f"--output {file / 'model'}: {file} is no folder"),
    ):
        arguments = ["characters", "--data", *map(str, data), "--output", str(output)]
        assert train.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("platebeam train: ") and error.count("\n") == 1
        assert message in error
    assert not new.exists() and file.read_text() == "mine"


@pytest.mark.parametrize(
    "options",
    [("--epochs", "0"), ("--batch-size", "0"), ("--dropout", "1"), ("--learning-rate", "0")],
)
def test_numbers_out_of_range_are_refused_by_name(options, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        train.main(["characters", "--rendered", "5", *options, "--output", str(tmp_path)])
    assert f"argument {options[0]}" in capsys.readouterr().err


def test_the_best_epoch_is_the_first_of_equal_ones():
    history = {
        "val_sparse_categorical_accuracy": [0.5, 0.9, 0.9, 0.8],
        "val_loss": [2.0, 0.6, 0.4, 0.5],
    }
    by_accuracy = train_characters.summarise(history, "accuracy")
    assert (by_accuracy["best_epoch"], by_accuracy["validation_loss"]) == (2, 0.6)
    by_loss = train_characters.summarise(history, "loss")
    assert (by_loss["best_epoch"], by_loss["validation_accuracy"]) == (3, 0.9)
    assert (by_loss["last_epoch"], by_loss["last_accuracy"], by_loss["last_loss"]) == (4, 0.8, 0.5)


def test_versions_name_the_backend_in_use(monkeypatch):
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    assert list(training_folder.library_versions()) == ["python", "numpy", "keras", "opencv"]


def test_history_is_cut_back_to_the_checkpoint_s_epochs(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss,val_exact\n0,3.0,0.5\n1,2.0,0.7\n2,1.0,0.6\n")
    assert training_folder.keep_history(path, 2, "val_exact", "max") == 0.7
    assert path.read_text() == "epoch,loss,val_exact\n0,3.0,0.5\n1,2.0,0.7\n"
    assert training_folder.keep_history(path, 2, "loss", "min") == 2.0
    for epochs, column in ((3, "loss"), (2, "val_loss")):
        with pytest.raises(training_folder.TrainingError, match="lacks epochs"):
            training_folder.keep_history(path, epochs, column, "min")
    assert training_folder.keep_history(path, 0, "loss", "min") is None
    assert path.read_text() == ""


def test_seconds_add_up_and_are_kept_when_a_training_fails(tmp_path, monkeypatch):
    path = tmp_path / "training.json"
    clock = iter((10.0, 17.2, 20.0, 29.0))
    monkeypatch.setattr(training_folder.time, "monotonic", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt), training_folder.recorded(path, {"seed": 1}, {}):
        assert json.loads(path.read_text()) == {"seed": 1, "seconds": 0}
        raise KeyboardInterrupt
    earlier = json.loads(path.read_text())
    assert earlier == {"seed": 1, "seconds": 7}
    with training_folder.recorded(path, {"seed": 1}, earlier, ended=True):
        pass
    assert json.loads(path.read_text())["seconds"] == 7
