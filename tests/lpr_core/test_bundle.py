import hashlib
import json
import shutil
from importlib import resources
from pathlib import Path

import pytest

from lpr_core.bundle import Bundle, BundleError, MissingBundleError

DEFAULT = Path(str(resources.files("lpr_core") / "bundles" / "default"))


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(DEFAULT, tmp_path / "bundle"))


def test_the_default_bundle_is_what_its_manifest_lists():
    bundle = Bundle.load()
    assert bundle.sha256 == hashlib.sha256((DEFAULT / "manifest.json").read_bytes()).hexdigest()
    on_disk = {f.name for f in DEFAULT.iterdir()} - {"manifest.json"}
    assert set(bundle.files) == on_disk >= {"characters.tflite", "characters.keras", "card.md"}
    assert sum(f.stat().st_size for f in DEFAULT.iterdir()) < 6_000_000


def test_a_changed_file_is_refused_by_name(folder):
    weights = folder / "characters.tflite"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(BundleError, match=r"characters\.tflite is not the file"):
        Bundle.load(folder)


def test_a_missing_file_is_refused_by_name(folder):
    (folder / "characters.tflite").unlink()
    with pytest.raises(BundleError, match=r"lacks characters\.tflite"):
        Bundle.load(folder)


def test_what_is_no_bundle_is_refused(folder, tmp_path):
    with pytest.raises(MissingBundleError, match="no bundle folder"):
        Bundle.load(tmp_path / "nowhere")
    with pytest.raises(MissingBundleError, match=r"no manifest\.json"):
        Bundle.load(tmp_path)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        Bundle.load(folder)
    (folder / "manifest.json").write_text(json.dumps({"format": "platebeam-bundle"}))
    with pytest.raises(BundleError, match="version 1"):
        Bundle.load(folder)
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(BundleError):
        Bundle.load(folder)
