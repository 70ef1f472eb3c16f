"""Hardware beside NNgen: the int8 MLP 16-64-32-32-5, ECP5 area by the same Yosys script, simulated cycles.

Both compute the same integers: NNgen's simulated outputs and ours are compared with the Graph's.
"""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.area import CACHE, Area, area
from benchmarks.networks import IntegerMlp, jet_mlp
from benchmarks.peers import Worker
from benchmarks.records import Target, save, show, show_targets
from intaglio.files import content_key
from intaglio.hardware import tools
from intaglio.hardware.cache import cached
from intaglio.hardware.design import Fold, carve
from intaglio.hardware.emit import emit
from intaglio.hardware.simulate import build
from intaglio.hardware.verify import compare

WORK = peers.ROOT / "build" / "bench"
CLAIM = "Folded dataflow needs a small part of NNgen's area x time for the same integers"
FLAGS = {"default": "", "nowidelut": "-nowidelut"}
POINTS = ((4, 8, 4, 1), (8, 16, 8, 2), (8, 16, 8, 4), (16, 16, 16, 4), (16, 32, 16, 4))
FRAMES = 12
WANTED = {
    ("interval", False): 100.0,
    ("interval", True): 200.0,
    ("latency", False): 30.0,
    ("latency", True): 100.0,
}
NOTES = (
    "NNgen's area includes its AXI ports, DMA and control, and its weights lie in memory off the chip, fetched "
    "for every inference; ours has plain streams and all weights on the chip (in the BRAM and LUT figures).",
    "NNgen's cycles are one inference from start to done; the next starts after that, so they are latency and "
    "interval alike.",
    "NNgen 'bias, scale' has a factor per output (all 1), as its examples and its batch norm do; 'bias' is the "
    "leanest form of the same network. The targets are against 'bias, scale', the variant of 6,361 cycles.",
    "lut4_eq = LUT4 + 2 CCU2C + 4 TRELLIS_DPR16X4. Placed cells are more, 1.2 to 1.4 times where tried.",
    "Weights and biases are random; the shifts let few activations clip.",
)


@dataclass(frozen=True)
class Point:
    """One design: area by name of flags, cycles simulated (and modelled, for ours), wrong outputs."""

    name: str
    dsp: bool
    areas: dict[str, Area]
    latency: int
    interval: int
    modelled: tuple[int, int] | None
    wrong: int
    outputs: int

    def product(self, flags: str, cycles: str) -> int:
        """LUT4-eq times cycles."""
        return self.areas[flags].lut4_eq * (self.latency if cycles == "latency" else self.interval)


def nngen(network: IntegerMlp, par: int, scale: bool, flags: Iterable[str]) -> tuple[Point, dict[str, Any]]:
    """Generate, simulate and synthesise NNgen's design."""
    directory = WORK / f"nngen_par{par}_{'scale' if scale else 'bias'}"
    data = network.save(WORK / "jet_mlp_8bit.npz")
    with Worker("nngen", peers.python("nngen"), (str(data), str(directory), str(par), str(int(scale)))) as worker:
        setup = worker.setup
    cycles, outputs = simulate_nngen(directory)
    expected = network.graph(network.inputs(256))[0][0]
    wrong = int((np.array(outputs) != expected).sum())
    areas = {name: area([directory / "design.v"], [], "nngen_mlp", FLAGS[name]) for name in flags}
    name = f"NNgen par {par}, {'bias, scale' if scale else 'bias'}"
    return Point(name, True, areas, cycles, cycles, None, wrong, len(outputs)), setup


def simulate_nngen(directory: Path) -> tuple[int, list[int]]:
    """Cycles and outputs of one inference in NNgen's own test bench, by Verilator; kept by content."""
    files = [directory / name for name in ("bench.v", "memory.img")]

    def make(work: Path) -> None:
        for path in files:
            (work / path.name).write_bytes(path.read_bytes())
        flags = [
            "-CFLAGS",
            "-std=c++20 -fcoroutines -O0",
            "--output-split",
            "0",
            "-Wno-fatal",
            "-Wno-lint",
            "-Wno-style",
        ]
        tools.verilate(["--binary", "--timing", *flags, "--top-module", "test", "--Mdir", "obj", "bench.v"], work)
        done = subprocess.run([str(work / "obj" / "Vtest")], cwd=work, capture_output=True, text=True, check=True)
        for path in work.rglob("*"):
            if path.is_file():
                path.unlink()
        (work / "output.txt").write_text(done.stdout)

    entry = cached("nngen", content_key(*(path.read_bytes() for path in files)), make, CACHE)
    text = (entry / "output.txt").read_text()
    found = re.search(r"cycles\s+(\d+)", text)
    if found is None:
        raise peers.PeerError(f"NNgen's simulation did not finish: {text[-300:]}")
    return int(found[1]), [int(value) for value in re.findall(r"output\s+\d+\s+(-?\d+)", text)]


def ours(network: IntegerMlp, simd: tuple[int, ...], pe: tuple[int, ...], dsp: bool, flags: Iterable[str]) -> Point:
    """Carve, emit, simulate and synthesise our design."""
    folds = {f"dense{i}": Fold(s, p) for i, (s, p) in enumerate(zip(simd, pe, strict=True))}
    design = carve(network.graph, folds, dsp=dsp, spare_luts=True)
    label = f"SIMD {','.join(map(str, simd))}" + ("" if set(pe) == {1} else f" PE {','.join(map(str, pe))}")
    rtl = emit(design, WORK / f"ours_{'_'.join(map(str, simd + pe))}_{'dsp' if dsp else 'lut'}")
    simulator = build(rtl, cache=CACHE)
    inputs = network.inputs(FRAMES + design.warm_up)
    alone = compare(design, simulator, inputs[:FRAMES], isolated=True)
    stream = compare(design, simulator, inputs)
    latencies = alone.trace.last_out - alone.trace.first_in
    gaps = np.diff(stream.trace.last_out)
    areas = {
        name: area(rtl.sources, rtl.memories, rtl.top, f"{FLAGS[name]}{'' if dsp else ' -nodsp'}".strip())
        for name in flags
    }
    return Point(
        label,
        dsp,
        areas,
        int(latencies.max()),
        int(gaps[-1]),
        (design.latency, design.interval),
        alone.mismatches + stream.mismatches,
        alone.values + stream.values,
    )


def figures(points: list[Point], rival: Point) -> list[dict[str, Any]]:
    """One row per design, with the ratios to the rival."""
    rows = []
    for point in points:
        ratios = {
            f"{cycles}_ratio_{flags}": rival.product(flags, cycles) / point.product(flags, cycles)
            for cycles in ("interval", "latency")
            for flags in point.areas
            if flags in rival.areas
        }
        rows.append(
            {
                **asdict(point),
                "lut4_eq_x_interval": point.product("default", "interval"),
                "lut4_eq_x_latency": point.product("default", "latency"),
                **ratios,
            }
        )
    return rows


def dominates(point: Point, rival: Point, flags: str = "default") -> bool:
    """Better in LUT4-eq, FF, BRAM and both cycle figures."""
    a, b = point.areas[flags], rival.areas[flags]
    smaller = a.lut4_eq < b.lut4_eq and a.ff < b.ff and a.bram < b.bram
    return smaller and point.latency < rival.latency and point.interval < rival.interval


def targets(points: list[Point], rival: Point) -> list[Target]:
    """The best ratio of each kind, over our points whose outputs are right and whose cycles are the modelled ones."""
    sound = [p for p in points if p.wrong == 0 and p.modelled == (p.latency, p.interval)]
    goals = []
    for (cycles, dsp), wanted in WANTED.items():
        ratios = [rival.product("default", cycles) / p.product("default", cycles) for p in sound if p.dsp == dsp]
        claim = f"LUT4-eq x {cycles} {'with' if dsp else 'without'} DSPs, times smaller"
        goals.append(Target(claim, max(ratios, default=None), wanted))
    better = float(sum(dominates(p, rival) for p in sound))
    return [*goals, Target("points better in LUT4-eq, FF, BRAM, latency and interval", better, 1.0)]


def table(points: list[Point], rivals: list[Point], flags: str) -> None:
    """Print all points under one set of flags."""
    columns = (
        "design",
        "LUT4-eq",
        "LUT4",
        "CCU2C",
        "DPR",
        "FF",
        "DSP",
        "BRAM",
        "latency",
        "interval",
        "x interval",
        "x latency",
        "wrong",
    )
    rows = []
    for p in [*rivals, *points]:
        a = p.areas[flags]
        ratios = [rivals[0].product(flags, c) / p.product(flags, c) for c in ("interval", "latency")]
        name = p.name if p.modelled is None else f"{p.name} {'DSP' if p.dsp else 'LUT'}"
        rows.append(
            (name, a.lut4_eq, a.lut4, a.ccu2c, a.dpr16x4, a.ff, a.dsp, a.bram, p.latency, p.interval, *ratios, p.wrong)
        )
    show(
        f"int8 MLP 16-64-32-32-5 on ECP5, synth_ecp5 {FLAGS[flags]} (ours without DSPs: -nodsp)",
        columns,
        rows,
    )


def main(points: tuple[tuple[int, ...], ...] = POINTS, par4: bool = False) -> None:
    """Run all designs, write the record, print the tables."""
    network = jet_mlp()
    rivals, setups = [], {}
    for par, scale in [(1, True), (1, False)] + ([(4, True)] if par4 else []):
        rival, setup = nngen(network, par, scale, FLAGS)
        rivals.append(rival)
        setups[rival.name] = setup
    mine = [ours(network, simd, (1,) * len(simd), dsp, FLAGS) for simd in points for dsp in (False, True)]
    goals = targets(mine, rivals[0])
    settings = {
        "network": "16-64-32-32-5",
        "bits": 8,
        "flags": FLAGS,
        "rival": rivals[0].name,
        "frames": FRAMES,
        "generated": setups,
    }
    versions = {"nngen": setups[rivals[0].name]["versions"]}
    save("nngen", CLAIM, settings, figures([*rivals, *mine], rivals[0]), goals, versions, NOTES)
    for flags in FLAGS:
        table(mine, rivals, flags)
    for note in NOTES:
        print(f"* {note}")
    show_targets(goals)


if __name__ == "__main__":
    main()
