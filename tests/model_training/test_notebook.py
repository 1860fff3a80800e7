"""The notebook runs from its first cell to its last, and what it leaves reads characters."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from model_training.characters import load_characters
from model_training.classifiers import load_classifier
from model_training.evaluate import evaluate_characters

pytest.importorskip("keras_tuner", reason="the notebook needs the extra `train`")

pytestmark = pytest.mark.long

NOTEBOOK = Path(__file__).parents[2] / "docs" / "train_characters.ipynb"

SMALL = """
CHARACTERS = 1200
EPOCHS = 4
TRIALS, TRIAL_EPOCHS = 1, 1
OUTPUT = Path("walk")
"""


def test_the_notebook_runs_on_a_small_set(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (choices,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    choices.source += SMALL
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=None, resources=resources).execute()

    walk = tmp_path / "walk"
    kept = load_characters(walk / "data" / "val")
    assert len(kept) == 120
    for model in ("first", "tuned", "bundle"):
        evaluation = evaluate_characters(load_classifier(walk / model), kept)
        assert evaluation.strict > 120 / 3, f"{model} is hardly better than chance"
    for picture in ("classes", "trials", "predictions", "confusion"):
        assert (walk / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert "truth:" in "".join(out.get("text", "") for out in last.outputs)


def test_what_is_committed_holds_no_failure_and_is_small() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    assert outputs
    assert not [out for out in outputs if out.output_type == "error"]
    assert NOTEBOOK.stat().st_size < 1_000_000
