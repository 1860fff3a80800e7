from functools import partial

import pytest

from model_training import plate_crops, train_reader
from model_training.layouts import BLACK_ON_WHITE, Layout
from model_training.plate_crops import RenderedCrops, render_crops
from model_training.reader_network import reader_network
from tests.model_training.test_characters import write_set

EASY_CROPS = 400


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """What a training of seconds on three folders and rendered characters leaves."""
    pytest.importorskip("tensorflow", reason="training needs the extra `train`")
    from model_training import train

    folder = tmp_path_factory.mktemp("train")
    data = write_set(folder / "set", dark=True, characters="AJ7", copies=20)
    arguments = ["characters", "--data", f"{data}=CC0-1.0", "--rendered", "300", "--fonts", "dies"]
    arguments += ["--output", str(folder / "model"), "--epochs", "4", "--learning-rate", "0.002"]
    arguments += ["--filters", "8", "8", "8", "--dense", "16", "--augment"]
    assert train.main([*arguments, "--validation-share", "0.2", "--seed", "5"]) == 0
    return folder / "model"


EASY_LAYOUT = Layout(
    "any-easy",
    "any",
    "none: large digits on white",
    size=(300, 110),
    patterns=("DDD",),
    character_height=0.7,
    colours=BLACK_ON_WHITE,
    span=(0.05, 0.95),
)


@pytest.fixture(scope="session")
def easy_crops(tmp_path_factory):
    """A cache of rendered crops for `platebeam train reader`: three digits each."""
    folder = tmp_path_factory.mktemp("crops")
    render_crops(RenderedCrops(0, EASY_CROPS, layouts=(EASY_LAYOUT,)), folder)
    return folder


def shrink_reader(patch):
    """Have a reader's training build a network that learns in seconds, from `easy_crops`."""
    patch.setattr(plate_crops, "weighted_layouts", lambda: (EASY_LAYOUT,))
    network = partial(reader_network, channels=(8, 12, 16, 24), width=32, dropout=0.0)
    patch.setattr(train_reader, "reader_network", network)
    patch.setattr(train_reader, "EMA", 0.95)


@pytest.fixture(scope="session")
def trained_reader(tmp_path_factory, easy_crops):
    """What a reader's training of half a minute on rendered crops of three digits leaves."""
    pytest.importorskip("tensorflow", reason="training needs the extra `train`")
    from model_training import train

    folder = tmp_path_factory.mktemp("reader") / "model"
    arguments = ["reader", "--rendered", str(EASY_CROPS), "--cache", str(easy_crops)]
    arguments += ["--fonts", "dies", "--epochs", "6", "--epoch-size", "1600", "--batch-size", "16"]
    arguments += ["--learning-rate", "0.005", "--warm-up", "20", "--easy-epochs", "0"]
    with pytest.MonkeyPatch.context() as patch:
        shrink_reader(patch)
        assert train.main([*arguments, "--output", str(folder)]) == 0
    return folder
