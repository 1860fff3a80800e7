"""What a bundle says of itself in words: its card and the licence note of its weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lpr_core.bundle import Bundle, BundleError
from lpr_core.score import wilson_interval
from model_training.evaluate import TABLE_HEAD, Evaluation
from model_training.train_reader import MACHINE_LABELLED
from model_training.trained_models import Figure
from model_training.training_folder import GENERATOR_LICENCE

LICENCE_NOTE = """\
# Licence of these weights

platebeam's code is under the MIT licence. Weights learn from pictures, and whether the licence of
the pictures reaches the weights is unsettled in law. So this bundle is offered under the strictest
licence among the pictures it was trained on: {licence}. The pictures themselves are not in it.

| model | pictures | licence |
|---|---|---|
{rows}

Whoever needs weights free of all this trains on rendered pictures alone, which platebeam's own
generator makes: `platebeam train characters --rendered 200000 --output DIR`, and `platebeam train
reader --output DIR`. The detector needs pictures to put plates onto, of whatever licence one has.
"""

HEAD = """\
# Bundle `{name}`

{models}

The LiteRT and the Keras file of a model hold the same weights; both agree with the trained network
on its validation data to the difference given. Weights of the detector and the reader are rounded
to 16 bits, after batch normalisation was folded into them.

Exported by

```
{command}
```

{those} on {machine}.
"""

KEPT = """\
Kept from the bundle `{name}` (SHA-256 `{sha256}`),
with what its card says, of a detector beside the reader that it had there: {titles}.

The others were trained"""

SECTION = """\
## {title}

{what}

```
{command}
```

Seed {seed}, {hours:.1f} hours. Libraries: {libraries}.

| trained on | pictures | licence |
|---|---|---|
{data}

{labels}{validation}
"""

TITLES = {
    "characters": "Character CNN",
    "reader": "Whole-plate reader",
    "detector": "Plate detector",
}

WHAT = {
    "characters": "Reads one character of a licence plate, 0-9 and A-Z, from a 28×28 picture as "
    "`lpr_core.recognize.normalise_character` makes it.",
    "reader": "Reads an upright plate at once, of one or two lines, 2 to 10 characters, 0-9 and "
    "A-Z, from a 64×160 picture as `lpr_core.sequence.normalise_plate` makes it.",
    "detector": "Finds plates and their four corners in a grey picture of 384×512, larger and "
    "smaller ones as `lpr_core.heatmap.HeatmapDetector` shows them.",
}

WEAKNESSES = {
    "characters": """\
* Character CNN: O and 0, I and 1 are alike on most plates; the strict figure mostly tells which of
  the two a set holds. A character alone has no context: B and 8, D and 0, S and 5, Z and 2, G and 6
  part ways late when characters are under 10 pixels high or blurred. A picture that shows no
  character (a bolt, an emblem, a piece of frame) gets one too.""",
    "reader": """\
* Reader: it has learnt what plates say where its data is from, and expects that: O or 0 by the
  plate's pattern, which fails on personal plates. Small stacked letters beside the number and
  emblems between its halves are read as characters at times, or left out. Plates under 20 pixels
  high, and corners that are more than a tenth of the height off, cost most. Where labels were
  proposed by machines, it may have learnt their errors that no other reader contradicts.""",
    "detector": """\
* Detector: plates under 20 pixels wide in a picture of the network's size, and plates that are
  partly hidden, are missed. Writing on shop fronts and vans, and grilles, are taken for plates at
  times. Corners are off by more of the plate's height where it is tilted or very near.""",
}

SCRIPTS = """\
* Reader and character CNN know Latin capitals and digits only: a Chinese province, a Cyrillic or an
  Arabic letter is read as whatever is most like it, or left out."""


@dataclass(frozen=True)
class ModelFacts:
    """What the card says of one of a bundle's models.

    Attributes:
        name: in the manifest.
        record: training.json.
        entry: of the manifest.
        parameters: of the network that was shipped.
        difference: largest, of what was shipped and what was trained.
        compared: on how many validation inputs.
        figures: on validation data.
        error: calibration error on validation sets that nothing was fitted on, if measured.
        evaluations: of sets of characters.
    """

    name: str
    record: Mapping[str, Any]
    entry: Mapping[str, Any]
    parameters: int
    difference: float
    compared: int
    figures: Sequence[Figure] = ()
    error: float | None = None
    evaluations: Sequence[Evaluation] = ()


@dataclass(frozen=True)
class CardEntry:
    """What a card says of one model: its row of the table, and its section."""

    row: str
    section: str


@dataclass(frozen=True)
class Kept:
    """Models that a bundle takes over from another.

    Attributes:
        name, sha256: of that bundle.
        models, training: of its manifest, by model.
        entries: of its card, by model.
        files: of these models, by name.
    """

    name: str = ""
    sha256: str = ""
    models: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, CardEntry] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def kept_from(base: Bundle, replaced: Collection[str]) -> Kept:
    """What a bundle holds and says of all its models but those that are replaced.

    Raises:
        BundleError: its manifest or its card says nothing of one of them.
    """
    try:
        models = {k: v for k, v in base.manifest["models"].items() if k not in replaced}
        head, *sections = base.files["card.md"].decode().split("\n## ")
        rows = {line.split("|")[1].strip(): line for line in head.splitlines() if "|" in line}
        texts = {part.partition("\n")[0]: f"## {part}" for part in reversed(sections)}
        return Kept(
            base.manifest["name"],
            base.sha256,
            models,
            {name: base.manifest["training"][name] for name in models},
            {name: CardEntry(rows[TITLES[name]], texts[TITLES[name]]) for name in models},
            {file: base.files[file] for m in models.values() for file in m["files"].values()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"no model of that bundle can be kept: it lacks {error}") from None


def card(
    name: str,
    models: Sequence[ModelFacts],
    machine: str,
    command: str,
    results: str,
    kept: Kept,
) -> str:
    """A bundle's card in Markdown.

    Args:
        name: of the bundle.
        models: in it that were exported anew.
        machine: that they were trained on.
        command: what exported the bundle.
        results: figures on other data in Markdown, or "".
        kept: its other models.
    """
    anew = {model.name: CardEntry(_row(model), _section(model)) for model in models}
    both = kept.entries | anew
    entries = {key: both[key] for key in TITLES if key in both}
    rows = ["| model | architecture | parameters | files | difference |", "|---|---|---|---|---|"]
    titles = ", ".join(TITLES[key] for key in kept.entries)
    those = KEPT.format(name=kept.name, sha256=kept.sha256, titles=titles) if titles else "Trained"
    head = HEAD.format(
        name=name,
        models="\n".join([*rows, *(entry.row for entry in entries.values())]),
        command=command,
        machine=machine,
        those=those,
    )
    weak = [WEAKNESSES[key] for key in entries]
    if entries.keys() & {"characters", "reader"}:
        weak.append(SCRIPTS)
    parts = [head, *(entry.section for entry in entries.values())]
    if results:
        parts.append(f"## Figures on data that had no part in the training\n\n{results.strip()}\n")
    return "\n".join([*parts, "## Weaknesses\n", *weak, ""])


def _row(model: ModelFacts) -> str:
    return (
        f"| {TITLES[model.name]} | `{model.entry['architecture']}` | {model.parameters:,} | "
        f"`{model.entry['files']['litert']}`, `{model.entry['files']['keras']}` | "
        f"{model.difference:.1e} on {model.compared:,} |"
    )


def _section(model: ModelFacts) -> str:
    record = model.record
    machines = sum(
        item["pictures"] for item in record["data"] if item["name"].endswith(MACHINE_LABELLED)
    )
    labels = f"{machines:,} of the labels were proposed by machines, the others by people.\n\n"
    return SECTION.format(
        title=TITLES[model.name],
        what=WHAT[model.name],
        command=record["command"],
        seed=record["seed"],
        hours=record["seconds"] / 3600,
        libraries=", ".join(f"{item} {number}" for item, number in record["libraries"].items()),
        data="\n".join(
            f"| `{item['name']}` | {item['pictures']:,} | {item['licence']} |"
            for item in record["data"]
        ),
        labels=labels if machines else "",
        validation="\n\n".join(part for part in _VALIDATIONS[model.name](model) if part),
    )


def _characters_validation(model: ModelFacts) -> list[str]:
    metrics, confusions = model.record["metrics"], Counter[tuple[str, str]]()
    for evaluation in model.evaluations:
        confusions += evaluation.confusions
    errors = ", ".join(f"{a} → {b} ({n})" for (a, b), n in confusions.most_common(8)) or "none"
    return [
        f"Rendered characters are stamped with random dies and written in: {_fonts(model)}.",
        "The val/ of each folder or, where there is none, a part of it, drawn by the hash of the "
        "file so that equal files stay together, and further rendered characters were kept for "
        f"validation, {metrics['validation_pictures']:,} pictures in all. The epoch that was best "
        f"on them ({metrics['validation_accuracy']:.2%} right) was kept, and the temperature of "
        f"the probabilities ({model.entry['calibration']['temperature']:.2f}) was fitted on them. "
        "Sets below that are none of these folders had no part in this, save for single files that "
        "stand in both, as published sets have them.",
        "\n".join([TABLE_HEAD, *(item.row() for item in model.evaluations)]),
        f"Most frequent errors with O/0 and I/1 folded (truth → read): {errors}.",
    ]


def _reader_validation(model: ModelFacts) -> list[str]:
    metrics, calibration = model.record["metrics"], model.entry["calibration"]
    return [
        f"Rendered plates are stamped with random dies and written in: {_fonts(model)}.",
        "A part of each set, drawn by the hash of the text so that equal texts stay together, was "
        f"kept for validation, {metrics['validation_pictures']:,} crops in all. The epoch that was "
        "best on them, each set counting the same, was kept. The temperature "
        f"({calibration['temperature']:.2f}) and the map of the text's probability were fitted on "
        "views of them, cut and photographed as badly as in training, as many of rendered plates "
        "as of real ones. Texts are weighed by their pattern of letters and digits, of which the "
        f"crops have {len(model.record.get('patterns', ()))}."
        + (
            ""
            if model.error is None
            else " Where each set's reads are mapped by what the others say, the expected "
            f"calibration error is {model.error:.1%}."
        ),
        _table(model.figures),
    ]


def _detector_validation(model: ModelFacts) -> list[str]:
    metrics = model.record["metrics"]
    threshold, doubtful = model.entry["threshold"], model.entry.get("doubtful")
    in_doubt = ""
    if doubtful:
        in_doubt = (
            f" What scores {doubtful['threshold']:.2f} at least is a plate if it is read with a "
            f"confidence of {doubtful['confidence']:.2f}, chosen on them likewise."
        )
    return [
        "Pictures and plates that the command holds out were kept for validation. The epoch of "
        "the least loss on windows composed of them was kept: it finds "
        f"{metrics['val_recall']:.1%} of their plates, with corners off by "
        f"{metrics['val_corners']:.3f} of a plate's height in the mean and "
        f"{metrics['val_false']:.3f} false plates a window. The threshold "
        f"({threshold:.2f}) was chosen on the whole pictures without plates.{in_doubt}",
        _table(model.figures),
    ]


_VALIDATIONS = {
    "characters": _characters_validation,
    "reader": _reader_validation,
    "detector": _detector_validation,
}


def _fonts(model: ModelFacts) -> str:
    return ", ".join(model.record["fonts"]) or "nothing else"


def _table(figures: Sequence[Figure]) -> str:
    """Shares with their intervals; there may be more false plates than pictures."""
    rows = ["| validation set | | number | of | share (95 % Wilson) |", "|---|---|---|---|---|"]
    for name, what, hits, total in figures:
        low, high = wilson_interval(min(hits, total), total)
        share = hits / total if total else 0.0
        rows.append(
            f"| {name} | {what} | {hits:,} | {total:,} | {share:.1%} ({low:.1%} to {high:.1%}) |"
        )
    return "\n".join(rows)


def licence_of(data: Sequence[Mapping[str, Any]]) -> str:
    """The licence of weights by those of the pictures they were trained on, where nobody says.

    Args:
        data: what training recorded of each set.
    """
    licences = sorted({item["licence"] for item in data} - {GENERATOR_LICENCE})
    if len(licences) > 1:
        return f"whichever that is of {', '.join(licences)}"
    return licences[0] if licences else "MIT"


def licence_note(models: Sequence[tuple[str, Mapping[str, Any]]], licence: str | None) -> str:
    """The licence of a bundle's weights, with all that they learnt from.

    Args:
        models: names and training records.
        licence: of the weights; None: by `licence_of`.
    """
    data = [(name, item) for name, record in models for item in record["data"]]
    rows = [f"| {name} | `{item['name']}` | {item['licence']} |" for name, item in data]
    return LICENCE_NOTE.format(
        licence=licence or licence_of([item for _, item in data]), rows="\n".join(rows)
    )
