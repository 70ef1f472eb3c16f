"""One network through the whole back end: Graph = RTL in data, model = RTL in cycles, under every condition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from intaglio.hardware.design import Design, Fold, Forced, carve
from intaglio.hardware.emit import emit
from intaglio.hardware.netlist import netlist
from intaglio.hardware.rtl import Rtl
from intaglio.hardware.simulate import Backend, Simulator, build
from intaglio.hardware.synthesize import synthesize
from intaglio.hardware.timing import longest_interval
from intaglio.hardware.verify import compare
from intaglio.ir.graph import Graph

Arrays = tuple[np.ndarray, ...]
SATURATED = 5  # frames after warm-up whose times are compared one by one


@dataclass
class Findings:
    """What went wrong; empty lists mean that nothing did."""

    problems: list[str] = field(default_factory=list)
    latency: tuple[int, int] = (0, 0)
    interval: tuple[int, int] = (0, 0)
    units: int = 0
    netlist: bool = False

    def note(self, condition: bool, text: str) -> None:
        """Record `text` unless `condition` holds."""
        if not condition:
            self.problems.append(text)


def check(
    graph: Graph,
    folding: Mapping[str, Fold],
    inputs: np.ndarray | Sequence[np.ndarray],
    directory: Path,
    seed: int = 0,
    dsp: bool = True,
    backends: tuple[Backend, ...] = ("verilator",),
    netlist_units: int = 0,
    forced: Mapping[str, Forced] | None = None,
) -> Findings:
    """Carve, emit and simulate `graph`; compare data and cycles. `inputs`, one array or one for each
    of the Graph's, needs at least three frames.

    Designs of at most `netlist_units` units are synthesised for an ECP5, too, and the netlist simulated.
    """
    design = carve(graph, folding, dsp, forced=forced)
    rtl = emit(design, directory)
    inputs = (inputs,) if isinstance(inputs, np.ndarray) else tuple(inputs)
    findings = Findings(units=len(design.units))
    for backend in backends:
        simulator = build(rtl, backend, optimise=0)
        _saturated(design, simulator, inputs, findings, backend)
        _isolated(design, simulator, inputs, findings, backend)
        _stalled(design, simulator, inputs, findings, backend, seed)
    if len(design.units) <= netlist_units:
        _netlist(design, rtl, inputs, findings, dsp)
    return findings


def _frames(inputs: Arrays, count: int) -> Arrays:
    return tuple(np.resize(some, (count, *some.shape[1:])) for some in inputs)


def _saturated(design: Design, simulator: Simulator, inputs: Arrays, findings: Findings, tag: str) -> None:
    frames = design.warm_up + SATURATED
    result = compare(design, simulator, *_frames(inputs, frames))
    findings.note(result.trace.finished, f"{tag}: saturated run does not finish")
    findings.note(not result.trace.violations, f"{tag}: {result.trace.violations}")
    findings.note(result.mismatches == 0, f"{tag}: {result.mismatches} of {result.values} outputs differ")
    model = design.timing(frames)
    first = int(result.trace.first_in[0])
    simulated = (result.trace.last_out - first).tolist()
    modelled = [t - model.first_in[0] for t in model.last_out]
    findings.note(modelled == simulated, f"{tag}: last beats modelled {modelled[:6]}, simulated {simulated[:6]}")
    entered = (result.trace.first_in - first).tolist()
    expected = [t - model.first_in[0] for t in model.first_in]
    findings.note(entered == expected, f"{tag}: first beats modelled {expected[:6]}, simulated {entered[:6]}")
    findings.interval = (design.interval, longest_interval(simulated))
    findings.note(design.interval == longest_interval(simulated), f"{tag}: interval {findings.interval}")


def _isolated(design: Design, simulator: Simulator, inputs: Arrays, findings: Findings, tag: str) -> None:
    result = compare(design, simulator, *(some[:3] for some in inputs), isolated=True)
    findings.note(result.equal, f"{tag}: isolated frames: {result.mismatches} differ, {result.trace.violations}")
    latencies = set((result.trace.last_out - result.trace.first_in).tolist())
    findings.note(latencies == {design.latency}, f"{tag}: latency modelled {design.latency}, simulated {latencies}")
    findings.latency = (design.latency, max(latencies))


def _netlist(design: Design, rtl: Rtl, inputs: Arrays, findings: Findings, dsp: bool) -> None:
    result = compare(design, build(netlist(rtl, synthesize(rtl, "ecp5", dsp=dsp)), optimise=0), *inputs)
    findings.note(result.equal, f"netlist: {result.mismatches} of {result.values} differ, {result.trace.violations}")
    findings.netlist = True


def _stalled(design: Design, simulator: Simulator, inputs: Arrays, findings: Findings, tag: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    for stalls in ((0.5, 0.0), (0.0, 0.5), (0.3, 0.4)):
        result = compare(
            design, simulator, *inputs, stall_in=stalls[0], stall_out=stalls[1], seed=seed, randomise=tag == "verilator"
        )
        findings.note(
            result.equal,
            f"{tag}: stalls {stalls}: {result.mismatches} differ, "
            f"finished {result.trace.finished}, {result.trace.violations}",
        )
    span = max(design.latency + 2 * design.interval, 8)
    resets = sorted(random.integers(1, span, 3).tolist())
    result = compare(
        design,
        simulator,
        *inputs,
        stall_in=0.2,
        stall_out=0.2,
        seed=seed + 1,
        resets=resets,
        randomise=tag == "verilator",
    )
    findings.note(
        result.equal,
        f"{tag}: resets {resets}: {result.mismatches} differ, "
        f"finished {result.trace.finished}, {result.trace.violations}",
    )
