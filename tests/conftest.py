"""What the tests of all rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says nothing about the code on a machine that others share.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real pictures that lie beside the checkout, never in it."""
    beside = Path(__file__).parents[1].with_name("shared") / "data"
    data = Path(os.environ.get("PLATEBEAM_SHARED", beside))
    if not data.is_dir():
        pytest.skip(f"no real pictures at {data}: set PLATEBEAM_SHARED to their folder")
    return data
