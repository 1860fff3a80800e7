import pytest

from tests.model_training.test_characters import write_set


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
