"""The project's sample pictures: which street scenes `samples/` holds, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model_training.glyphs import TrueTypeFont, random_font
from model_training.scenes import CarPlan, ScenePlan, render_scene
from model_training.truth_files import jpeg, truth_rows, truth_table

QUALITY = 84
"""Of the JPEG files, 0 to 100."""

README = """\
# Sample pictures

Street scenes rendered by platebeam's own generator; no real car, plate or place is in them.

    platebeam generate samples --output samples --seed {seed}

makes the same pictures again (byte for byte with the same library versions). `truth.csv` has a row
for every plate: its box in pixels of the upright picture, its text without separators, top line
first. The picture without a plate has one row with blanks; `{turned}` is turned by its EXIF
orientation; `{truncated}` was cut off on purpose and has no row, since it cannot be decoded.
MIT licence, as the rest.
"""


@dataclass(frozen=True)
class Sample:
    """One picture of `samples/`: what it shows and what is odd about its file."""

    plan: ScenePlan
    turned: bool = False
    truncated: bool = False


def _street(*cars: CarPlan, night: bool = False, wear: float = 0.4) -> Sample:
    return Sample(ScenePlan(cars, (1120, 760), night, wear))


SAMPLES = (
    _street(CarPlan("de", 230)),
    _street(CarPlan("us", 185, rear=False, yaw=0.05)),
    _street(CarPlan("br", 200, yaw=-0.08, roll=2)),
    _street(CarPlan("gb", 260, rear=False, roll=-3), wear=0.7),
    _street(CarPlan("fr", 210, centre=(0.42, 0.6), yaw=0.1)),
    _street(CarPlan("eu-two-line", 150, roll=3)),
    _street(CarPlan("my", 280), night=True),
    _street(CarPlan("us-dark", 190, roll=-2)),
    _street(CarPlan("it", 240, yaw=-0.12), wear=0.6),
    _street(CarPlan("de", 150, centre=(0.25, 0.52)), CarPlan("pl", 200, centre=(0.75, 0.66))),
    _street(CarPlan("br-mercosur", 220, rear=False)),
    _street(CarPlan("us-art", 200, yaw=0.08, roll=2), wear=0.3),
    _street(CarPlan("nl", 300, roll=4)),
    _street(CarPlan("in-two-line", 170, yaw=-0.06)),
    _street(CarPlan("be", 220), wear=0.8),
    _street(CarPlan("cn", 230, yaw=0.06)),
    _street(
        CarPlan("es", 130, centre=(0.3, 0.55)), CarPlan("ro", 180, centre=(0.72, 0.64), roll=-2)
    ),
    _street(CarPlan("sk", 200, roll=-5), wear=0.5),
    _street(CarPlan("us-vanity", 180, rear=False)),
    _street(CarPlan("vn-two-line", 120, roll=-2)),
    _street(CarPlan("gb-plain", 320), night=True, wear=0.6),
    _street(CarPlan("br-red", 210, yaw=0.05)),
    _street(),
    replace(_street(CarPlan("de", 240, centre=(0.5, 0.55))), turned=True),
    _street(
        CarPlan("us", 110, centre=(0.22, 0.55)), CarPlan("us", 116, centre=(0.79, 0.64), yaw=-0.05)
    ),
    _street(CarPlan("fr", 150, yaw=0.15, roll=5), night=True, wear=0.9),
    replace(_street(CarPlan("pl", 240)), truncated=True),
)


def write_samples(output: Path, seed: int, fonts: tuple[TrueTypeFont, ...] = ()) -> None:
    """Render SAMPLES as JPEG files with `truth.csv` and a README.

    Args:
        output: the folder; made where it is missing.
        seed: each picture depends on it and on its own number alone.
        fonts: for the plates, beside random dies.
    """
    output.mkdir(parents=True, exist_ok=True)
    names = [f"street-{number:02}.jpg" for number in range(1, len(SAMPLES) + 1)]
    rows: list[tuple[object, ...]] = []
    for number, (name, sample) in enumerate(zip(names, SAMPLES, strict=True)):
        rng = np.random.default_rng([seed, number])
        scene = render_scene(sample.plan, random_font(rng, fonts), rng)
        data = jpeg(scene.pixels, QUALITY, sample.turned)
        (output / name).write_bytes(data[: len(data) // 2] if sample.truncated else data)
        if not sample.truncated:
            rows += truth_rows(name, scene)
    with truth_table(output / "truth.csv") as table:
        table.writerows(rows)
    readme = README.format(
        seed=seed,
        turned=names[[sample.turned for sample in SAMPLES].index(True)],
        truncated=names[[sample.truncated for sample in SAMPLES].index(True)],
    )
    (output / "README.md").write_text(readme, encoding="utf-8")
