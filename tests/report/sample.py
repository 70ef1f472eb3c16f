"""A report made up for the tests. Its numbers describe no real network."""

from dataclasses import replace
from math import exp

from intaglio.measure import Measurement
from intaglio.report import Accuracy, BusySpan, FlowStep, Histogram, LayerRow, RangeRow, ReportData, UnitRow

M = Measurement


def measurements(mismatches: int = 0, latency: int = 1310) -> tuple[Measurement, ...]:
    rtl, model, yosys = "verilator 0.0", "cycle model", "yosys 0.0, synth_ecp5"
    return (
        M("demo", "top1", 96.94, "measured", "golden model", n=360, seeds=(0, 1, 2)),
        M("demo", "float_top1", 97.5, "measured", "torch 0.0", n=360, seeds=(0, 1, 2)),
        M("demo", "mismatches.torch_graph", 0, "measured", "torch 0.0", n=360),
        M("demo", "mismatches.graph_rtl", mismatches, "simulated", rtl, n=360),
        M("demo", "mismatches.graph_netlist", 0, "simulated", rtl, n=50),
        M("demo", "mismatches.verilator_cxxrtl", 0, "simulated", "yosys 0.0", n=16),
        M("demo", "cycles.latency", 1310, "modelled", model),
        M("demo", "cycles.latency", latency, "simulated", rtl),
        M("demo", "cycles.interval", 1152, "modelled", model),
        M("demo", "cycles.interval", 1152, "simulated", rtl),
        M("demo", "sparsity", 79.8, "measured", "graph"),
        M("demo", "storage.float_bits", 180_000, "measured", "torch 0.0"),
        M("demo", "storage.weight_bits", 9_100, "measured", "graph"),
        M("demo", "storage.side_bits", 4_300, "measured", "graph"),
        M("demo", "storage.file_bytes", 1_712, "measured", "graph"),
        M("demo", "compression", 13.43, "measured", "graph", note="side tables included"),
        M("demo", "area.lut4_eq", 3_214, "synthesised", yosys),
        M("demo", "area.ff", 1_377, "synthesised", yosys),
        M("demo", "area.dsp", 0, "synthesised", yosys),
        M("demo", "area.bram", 4, "synthesised", yosys),
        M("demo", "fmax_mhz", 91.4, "synthesised", "nextpnr-ecp5 0.0"),
        M("demo", "throughput.cl_per_s", 79_340, "modelled", "interval at fmax_mhz"),
        M("conv1", "ops", 41_472, "modelled", "graph"),
        M("elsewhere", "top1", 12.0, "cited", "nobody <b>0000</b>"),
    )


# fmt: off
LAYERS = (
    ("input", "input", "1×8×8", "", "uint8", "", ""),
    ("conv1", "conv2d", "8×8×8", "int4 per channel", "uint4", "dense: 72 × 4 bit", "PE 1 × SIMD 1",
     72, 2, 288, 9216, 1152, 1152, 402, 190, 0, 0),
    ("conv2", "conv2d", "8×8×8", "int4 per channel", "uint4", "sparse: bitmap 576 + 117 × 4 bit",
     "PE 2 × SIMD 4", 576, 459, 1044, 73_728, 1024, 1024, 911, 402, 0, 1),
    ("pool", "max_pool", "8×4×4", "", "uint4", "", "",
     None, None, None, 512, 128, 128, 88, 41),
    ("dense1", "matmul", "32", "int4 per tensor", "uint4", "sparse: index 4 + 4 bit", "PE 4 × SIMD 8",
     4096, 3300, 6368, 8192, 128, 128, 1404, 503, 0, 2),
    ("dense2", "matmul", "10", "int4 per tensor", "int16", "dense: 320 × 4 bit", "PE 1 × SIMD 1",
     320, 51, 1280, 640, 320, 320, 301, 180, 0, 1),
)
# fmt: on


def layers() -> tuple[LayerRow, ...]:
    return tuple(LayerRow(*row) for row in LAYERS)


def units() -> tuple[UnitRow, ...]:
    rows = (
        ("conv1", "window", 1152, 70, 0.0),
        ("conv2", "matmul", 1024, 130, 0.04),
        ("pool", "pool", 128, 160, 0.0),
        ("dense1", "matmul", 128, 1180, 0.31),
        ("dense2", "matmul", 320, 1230, 0.0),
    )
    lengths = {"conv1": 1152, "conv2": 1040, "pool": 1010, "dense1": 40, "dense2": 80}
    return tuple(
        UnitRow(
            name,
            kind,
            cycles,
            cycles / 1152 if cycles < 1152 else 1.0,
            stall,
            tuple(BusySpan(start + 1152 * f, start + 1152 * f + lengths[name], f) for f in range(3)),
        )
        for name, kind, cycles, start, stall in rows
    )


def bell(n: int, size: int, width: float, zero: int = 0) -> tuple[int, ...]:
    shape = [int(size * exp(-(((i - (n - 1) / 2) / width) ** 2))) for i in range(n)]
    shape[n // 2] += zero
    return tuple(shape)


def sample(mismatches: int = 0, latency: int = 1310) -> ReportData:
    return ReportData(
        title="Digits, pruned to 4 bits",
        subtitle="A made-up convolutional network, 8×8 images, 10 classes.",
        subject="demo",
        created="1 January 2000",
        measurements=measurements(mismatches, latency),
        layers=layers(),
        units=units(),
        interval=1152,
        weights=(
            Histogram("conv1", -7.5, 7.5, bell(15, 9, 4), "72 weights, 3 % zero"),
            Histogram("conv2", -7.5, 7.5, bell(15, 17, 4, 400), "576 weights, 80 % zero"),
            Histogram("dense1", -7.5, 7.5, bell(15, 100, 4, 3100), "4,096 weights, 81 % zero"),
            Histogram("dense2", -0.31, 0.29, bell(24, 40, 7)),
        ),
        ranges=(
            RangeRow("conv1", 14, (-7140, 7140), (-2100, 2950), bell(60, 900, 7)),
            RangeRow("conv2", 11, (-900, 1023), (-310, 402), bell(60, 900, 9)),
            RangeRow("relu", 4, (0, 15), (0, 15), tuple(900 // (i + 1) for i in range(16))),
        ),
        accuracies=(
            Accuracy("float", (97.2, 97.5, 97.8), 360, (0, 1, 2)),
            Accuracy("8 bit", (97.2, 97.5, 97.5), 360, (0, 1, 2)),
            Accuracy("4 bit, 80 % pruned", (96.4, 96.9, 97.5), 360, (0, 1, 2)),
        ),
        flow=(
            FlowStep("train", "40 epochs", 41.2),
            FlowStep("approximate", "prune, 4 bit", 33.9),
            FlowStep("lower", "9 nodes", 0.4),
            FlowStep("simulate", "360 images", 4.1),
            FlowStep("place", "no nextpnr here", None, "skipped"),
        ),
        recipe="model: conv\nmethods:\n  - prune: {sparsity: 0.8}\n  - fixed_point: {weights: 4}\n",
        graph="%0 = input 1x8x8 [0, 255]\n%1 = conv2d %0 ...\n",
        versions=(("torch", "0.0"), ("yosys", "0.0")),
        notes=("Every number on this page is made up for a test.",),
    )


def escaped() -> ReportData:
    evil = "<script>alert(1)</script>"
    return replace(sample(), title=evil, recipe=evil, layers=(LayerRow(evil, "conv2d", "1"),))
