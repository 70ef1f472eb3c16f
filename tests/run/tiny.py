"""A job that takes seconds: 50 parameters on the digits. Run as a script, it is a command line that knows it."""

from pathlib import Path

import yaml
from torch import nn

from intaglio.measure import Measurement, RunFolder
from intaglio.models import MODELS

JOB = {
    "name": "tiny",
    "model": "tiny",
    "train": {"epochs": 60},
    "methods": [{"fixed_point": {"weight_bits": 3, "activation_bits": 3}}],
    "tune": {"epochs": 1},
    "hardware": {"device": "25k", "interval": 100_000},
    "verify": {"images": 12, "stalled_images": 4, "cxxrtl_images": 2, "netlist_images": 3},
}
STEPS = ("train", "approximate", "lower", "store", "carve", "simulate", "synthesize", "gates", "place")


def network() -> nn.Module:
    """(N, 1, 8, 8) -> logits (N, 10)."""
    return nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(4, 10))


def recipe(path: Path, **changes: object) -> Path:
    """Write the job as a recipe, with some of its sections replaced."""
    path.write_text(yaml.safe_dump({**JOB, **changes}, sort_keys=False))
    return path


def findings(folder: Path) -> list[Measurement]:
    """All measurements of a run but the durations."""
    return [m for m in RunFolder(folder).read_measurements() if m.name != "duration.s"]


if __name__ == "__main__":
    from intaglio.cli import app

    MODELS["tiny"] = network
    app()
