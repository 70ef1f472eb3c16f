"""A job that takes seconds: 50 parameters on the digits. Run as a script, it is a command line that knows it."""

import os
import time
from dataclasses import replace
from pathlib import Path

import yaml
from torch import nn

from intaglio.measure import Measurement, RunFolder, StepResult
from intaglio.models import MODELS
from intaglio.run.state import State

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


def wait_after(name: str, sign: Path) -> None:
    """Let the step of that name, when all is done and nothing is marked, make the file `sign` and wait to be ended."""
    from intaglio.run import pipeline

    def waiting(step: pipeline.Step) -> pipeline.Step:
        def action(state: State) -> StepResult:
            product = step.action(state)
            sign.touch()
            time.sleep(3600)
            return product

        return replace(step, action=action) if step.name == name else step

    pipeline.STEPS = tuple(waiting(step) for step in pipeline.STEPS)


if __name__ == "__main__":
    from intaglio.cli import app

    MODELS["tiny"] = network
    if "TINY_WAITS" in os.environ:
        step, _, sign = os.environ["TINY_WAITS"].partition(":")
        wait_after(step, Path(sign))
    app()
