"""Throughput by the bits of weights and activations, after figure 2 of Wang et al. (2019): one network, one device.

The network is SFC (784-256-256-256-10) with inputs, weights and activations of as many bits, untrained: cycles and
area of dense formats depend on shapes, not on what the weights say (batch norm has statistics of MNIST). For every
format: the fastest folding that a whole ECP5-85F or ZU7EV holds, by model; smaller ones synthesised, simulated and
placed on the ECP5; and torch on this processor. Saves after every point, so it resumes. Draws
docs/figures/throughput_by_width.svg.

    python -m benchmarks throughput_by_width
"""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks import peers, width_figure
from benchmarks.equality import simulate
from benchmarks.machine import cores, machine
from benchmarks.records import RESULTS, Target, save, show, show_targets
from benchmarks.width_model import Choice, Ecp5, Network, Use, Zynq, counted, features, fitted, lanes
from intaglio.datasets import mnist
from intaglio.hardware.design import Fold
from intaglio.hardware.emit import emit
from intaglio.hardware.place import place
from intaglio.hardware.simulate import build
from intaglio.hardware.synthesize import synthesize
from intaglio.methods import Binary, FixedPoint, Recipe, Ternary
from intaglio.models import MODELS
from intaglio.twin.lower import lower

NAME = "throughput_by_width"
CLAIM = "On an FPGA throughput grows as bits fall; a processor has native types and no more"
WORK = peers.ROOT / "build" / "bench" / "width"
FIGURE = peers.ROOT / "docs" / "figures" / f"{NAME}.svg"
Row = dict[str, Any]
Folds = tuple[tuple[int, int], ...]


def fixed(weights: int, activations: int) -> FixedPoint:
    """Integers, the input too."""
    bits = {"weight_bits": weights, "activation_bits": activations, "input_bits": activations}
    return FixedPoint(**bits, input_log2_scale=-activations)


RECIPES = {
    "W8A8": Recipe(fixed(8, 8)),
    "W4A8": Recipe(fixed(4, 8)),
    "W4A4": Recipe(fixed(4, 4)),
    "W2A2": Recipe(fixed(2, 2), Ternary(scale="layer")),
    "W1A2": Recipe(fixed(2, 2), Binary()),
    "W1A1": Recipe(FixedPoint(input_bits=1, input_log2_scale=0), Binary(activations=True)),
}
LANES = {"W8A8": "8 b", "W4A8": "W4A8", "W4A4": "4 b", "W2A2": "ternary A2", "W1A2": "W1A2", "W1A1": "1 b"}
"""The lane of benchmarks/results/area_per_mac.json that multiplies each format."""

CALIBRATION: tuple[tuple[str, Folds], ...] = (
    ("W1A1", ((98, 2), (64, 1), (64, 1), (2, 1))),
    ("W1A1", ((196, 2), (128, 1), (128, 1), (4, 1))),
    ("W1A2", ((98, 4), (64, 2), (64, 2), (4, 1))),
    ("W2A2", ((16, 8), (64, 1), (64, 1), (2, 1))),
    ("W2A2", ((98, 4), (64, 2), (64, 2), (4, 1))),
    ("W4A4", ((16, 4), (32, 1), (32, 1), (1, 1))),
    ("W4A8", ((16, 4), (16, 2), (16, 2), (1, 1))),
    ("W8A8", ((16, 2), (16, 1), (16, 1), (1, 1))),
)
"""(SIMD, PE) of the four layers of the designs that the coefficients are fitted on."""

HELD_OUT: tuple[tuple[str, Folds], ...] = (
    ("W1A1", ((196, 4), (128, 2), (128, 2), (8, 1))),
    ("W2A2", ((196, 4), (128, 2), (128, 2), (8, 1))),
    ("W4A4", ((16, 16), (64, 2), (64, 2), (4, 1))),
    ("W8A8", ((16, 8), (32, 2), (32, 2), (2, 1))),
)
"""Larger designs, which the fit does not see."""

PLACED: tuple[tuple[str, Folds], ...] = (*HELD_OUT[1::-1], CALIBRATION[5])
"""Of both kinds: what nextpnr routes in ten minutes of one core; the smallest of 8 bits it did not in twenty."""

DESIGNS = {"calibration": CALIBRATION, "held_out": HELD_OUT, "placed": PLACED}
SEEDS, IMAGES = (1,), 100
ECP5, ZU7EV = Use(83_640, 83_640, 208, 0), Use(230_400, 460_800, 624, 1_728)
ZU7EV_MHZ = 300.0
LOGIC, MEMORY = 0.7, 0.9
"""Usable shares of look-up tables and flip-flops, and of block RAM."""
BATCHES, ROUNDS, SECONDS = (1, 64, 1024), 11, 0.2
FINN = {
    "kind": "cited", "network": "SFC-max", "format": "W1A1", "device": "XC7Z045", "images_per_second": 12.361e6,
    "clock_mhz": 200.0, "interval": 16, "lut": 91_131, "source": "cited", "by": "Umuroglu et al. 2017 (FINN)",
}  # fmt: skip
NOTES = (
    "SFC, untrained, batch norm with statistics of 1,024 MNIST images. Ternary weights where W is 2. No zero is "
    "skipped.",
    "model: cycles per image are exact (the carved design's recurrence, equal to simulation); area is modelled. "
    f"Usable: {LOGIC:.0%} of look-up tables and flip-flops, {MEMORY:.0%} of block RAM.",
    "ECP5 model: LUT4-eq of dot products measured (area_per_mac), memories counted from shapes, the rest fitted on the "
    "calibration designs; times the median of placed TRELLIS_COMB over LUT4-eq. No MULT18 is used: the generator has "
    "one switch for all layers, and 156 of them would add at most 156 products to some 500 at 8 bits. Clock: Fmax of "
    "the placed design of the format (the lowest of all where none is placed), which fills less of the device.",
    "ZU7EV model: FINN-R's formula for a matrix-vector unit (c0 = 300, c1 = 1.1), products in logic or DSP48E2 "
    "(2 of 8 bits, 4 of 4 bits each), weights in BRAM or distributed RAM; no URAM, which a bitstream cannot fill; "
    "300 MHz assumed for all widths; flip-flops not modelled. Device figures: platforms of the survey's kind, cited.",
    "error: modelled over synthesised, less one; designs of kind held_out are larger and the fit has not seen them.",
    "Getting images in is not counted: the ECP5 reads its pixels through a port as wide as the first layer's SIMD; "
    "input_gb_per_s says what it needs.",
    "placed: nextpnr, speed grade 6, data ports through shift registers (counted). Saturated Verilator runs on MNIST "
    "images, isolated frames and stalls: `graph_rtl` counts integers that differ from the Graph's.",
    "cpu: torch eager, batch norm folded into the weights; int8 by torch.ao.quantization (static, per tensor "
    "activations). Other work ran on this machine, so images_per_second is by processor time: images per processor "
    "second, the median of the rounds, times the cores, as if each had batches of its own and nothing else to do. "
    "wall_*: what one process got beside the other work.",
)  # fmt: skip


@cache
def images() -> torch.Tensor:
    """Inputs that statistics and scales come from."""
    return mnist().train.x[:1024]


@cache
def network(name: str) -> Network:
    """SFC in a format; the same bits on every run."""
    torch.set_num_threads(1)
    batch = images()
    torch.manual_seed(0)
    model = MODELS["sfc"]().train()
    with torch.no_grad():
        model(batch)
    return Network(lower(RECIPES[name].apply(model.eval(), batch).eval(), batch[:1]))


def folding(name: str, folds: Folds) -> dict[str, Fold]:
    """By the layers' names."""
    return {layer.name: Fold(*fold) for layer, fold in zip(network(name).layers, folds, strict=True)}


def built(kind: str, name: str, folds: Folds) -> Row:
    """A synthesised design, and what it was before its fit."""
    design = network(name).design(folding(name, folds))
    rtl = emit(design, WORK / f"{name}_{design.interval}")
    made = synthesize(rtl, dsp=False)
    row = {
        "kind": kind, "format": name, "device": "ECP5", "folding": folds, "interval": design.interval,
        "latency": design.latency, "lut4_eq": made.lut4_eq, "ff": made.ff, "bram": made.bram,
        "source": "synthesised", "by": made.tool, "flags": made.flags,
    }  # fmt: skip
    return row | simulated(design, rtl) | placed(made, design.interval) if kind == "placed" else row


def simulated(design: Any, rtl: Any) -> Row:
    """Equality and cycles on MNIST images."""
    kind = design.graph.input_types[0]
    images = mnist().test.x[:IMAGES].double().numpy().reshape(-1, *kind.shape)
    found = simulate(design, build(rtl), kind.quantize(images))
    cycles = {f"simulated_{name}": found.pop(name)["simulated"] for name in ("latency", "interval")}
    return found | cycles


def placed(made: Any, interval: int) -> Row:
    """Cells, clock and throughput on the ECP5-85F."""
    found = place(made, "85k", seeds=SEEDS)
    return {
        "device": "ECP5-85F", "comb": found.comb, "placed_ff": found.ff, "share": found.comb / ECP5.lut,
        "bram_share": made.bram / ECP5.bram, "fmax_mhz": found.fmax_mhz, "by_seed": found.by_seed,
        "images_per_second": found.fmax_mhz * 1e6 / interval, "place_seconds": found.seconds,
        "source": "simulated cycles, placed clock", "by": found.tool, "place_flags": found.flags,
    }  # fmt: skip


# -- model ------------------------------------------------------------------------------------------------


def fit(rows: Sequence[Row], record: Sequence[Row]) -> dict[str, Ecp5]:
    """The area model of every format, fitted on the calibration designs."""
    dots = lanes(record)
    found: dict[str, list[tuple[list[float], float, float]]] = {"lut4_eq": [], "ff": []}
    for row in rows:
        net, folds = network(row["format"]), folding(row["format"], row["folding"])
        known = sum((counted(la, folds[la.name], dots[LANES[row["format"]]]) for la in net.layers), Use())
        numbers = np.sum([features(la, folds[la.name]) for la in net.layers], axis=0).tolist()
        found["lut4_eq"].append((numbers, known.lut, row["lut4_eq"]))
        found["ff"].append((numbers, known.ff, row["ff"]))
    lut, ff = fitted(found["lut4_eq"]), fitted(found["ff"])
    return {name: Ecp5(dots[lane], lut, ff) for name, lane in LANES.items()}


def errors(model: dict[str, Ecp5], row: Row) -> Row:
    """Modelled over synthesised, less one."""
    name = row["format"]
    use = network(name).use(model[name].uses, folding(name, row["folding"]))
    return {
        "lut4_eq": use.lut / row["lut4_eq"] - 1, "ff": use.ff / row["ff"] - 1, "bram": use.bram / row["bram"] - 1
    }  # fmt: skip


def modelled(name: str, device: str, choice: Choice, clock: float, by: str, limits: Use) -> Row:
    """A row of the largest folding; its interval is that of the carved design."""
    net, interval = network(name), network(name).design(choice.folding).interval
    bits = net.graph.input_types[0].bits
    return {
        "kind": "model", "format": name, "device": device, "interval": interval, "bound": choice.bound,
        "folding": [[fold.simd, fold.pe] for fold in choice.folding.values()], "clock_mhz": clock,
        "lut": choice.use.lut, "ff": choice.use.ff or None, "bram": choice.use.bram, "dsp": choice.use.dsp,
        "limits": [limits.lut, limits.ff, limits.bram, limits.dsp],
        "images_per_second": clock * 1e6 / interval, "input_gb_per_s": clock / interval * 784 * bits / 8e3,
        "source": "modelled", "by": by,
    }  # fmt: skip


def models(model: dict[str, Ecp5], placements: Sequence[Row]) -> list[Row]:
    """The largest foldings of both devices for every format."""
    factor = median(row["comb"] / row["lut4_eq"] for row in placements)
    clocks = {row["format"]: row["fmax_mhz"] for row in placements}
    ecp5 = Use(LOGIC * ECP5.lut / factor, LOGIC * ECP5.ff, int(MEMORY * ECP5.bram), 0)
    zynq = Use(LOGIC * ZU7EV.lut, LOGIC * ZU7EV.ff, int(MEMORY * ZU7EV.bram), ZU7EV.dsp)
    found = []
    for name in RECIPES:
        clock = clocks.get(name, min(clocks.values()))
        choice = network(name).fastest(model[name].uses, ecp5)
        by = f"area model; placed/LUT4-eq {factor:.2f}; clock: nextpnr"
        found.append(modelled(name, "ECP5-85F", choice, clock, by, ecp5))
        choice = network(name).fastest(Zynq().uses, zynq)
        found.append(modelled(name, "ZU7EV", choice, ZU7EV_MHZ, "FINN-R's formula, cited; clock assumed", zynq))
    return found


def finn_check() -> float:
    """FINN-R's formula over the published look-up tables of SFC-max, which takes 16 cycles per image."""
    options = network("W1A1").options(Zynq().uses)
    cheapest = [min(o.use.lut for o in found if o.cycles <= FINN["interval"]) for found in options]
    return sum(cheapest) / FINN["lut"]


# -- processor --------------------------------------------------------------------------------------------


def processor(batch: int) -> list[Row]:
    """Rates of float32 and int8 with one and two threads, taking turns."""
    here, environment = Path(sys.executable), {"PYTHONPATH": str(peers.ROOT / "src")}
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                peers.Worker(kind, here, (kind, str(batch), str(n)), n, environment, "sfc")
            )
            for kind in ("float32", "int8")
            for n in (1, 2)
        ]
        rates: list[list[tuple[float, float]]] = [[] for _ in workers]
        for number in range(ROUNDS):
            for worker in peers.turn(workers, number):
                answer = worker.ask(seconds=SECONDS)
                images = answer["calls"] * batch
                rates[workers.index(worker)].append((images / answer["wall"], images / max(answer["cpu"], 1e-9)))
    return [
        {
            "kind": "cpu", "format": worker.name, "threads": worker.threads, "batch": batch,
            "images_per_second": cores() * median(cpu for _, cpu in pairs),
            "per_processor_second": median(cpu for _, cpu in pairs),
            "wall_median": median(wall for wall, _ in pairs), "wall_best": max(wall for wall, _ in pairs),
            "rounds_wall": [wall for wall, _ in pairs], "rounds_cpu": [cpu for _, cpu in pairs],
            "setup": worker.setup, "source": "measured", "by": f"torch {worker.setup['versions']['torch']}",
        }
        for worker, pairs in zip(workers, rates, strict=True)
    ]  # fmt: skip


# -- record -----------------------------------------------------------------------------------------------


def stored() -> list[Row]:
    """The measured rows so far."""
    path = RESULTS / f"{NAME}.json"
    rows = json.loads(path.read_text())["figures"] if path.exists() else []
    return [row for row in rows if row["kind"] in (*DESIGNS, "cpu")]


def missing(rows: Sequence[Row]) -> list[tuple[str, str, Folds]]:
    """The designs that have no row."""
    wanted = [(kind, *design) for kind, designs in DESIGNS.items() for design in designs]
    done = {(row["kind"], row["format"], tuple(map(tuple, row["folding"]))) for row in rows if "folding" in row}
    return [design for design in wanted if design not in done]


def targets(rows: Sequence[Row]) -> list[Target]:
    """Held-out error, equality, cycles, and that throughput grows at each step to fewer bits."""
    placements = [row for row in rows if row["kind"] == "placed"]
    errors = [abs(row["error"]["lut4_eq"]) for row in rows if row["kind"] == "held_out" and "error" in row]
    wrong = sum(row["graph_rtl"] + (row["interval"] != row["simulated_interval"]) for row in placements)
    found = [
        Target("placed designs", len(placements), 3),
        Target("held-out error of LUT4-eq, worst", max(errors, default=None), 0.12, at_most=True),
        Target("integers and intervals that differ in simulation", wrong, 0, at_most=True),
    ]
    for device in ("ECP5-85F", "ZU7EV"):
        rate = {r["format"]: r["images_per_second"] for r in rows if r["kind"] == "model" and r["device"] == device}
        steps = [rate[b] / rate[a] for a, b in (("W8A8", "W4A4"), ("W4A4", "W2A2"), ("W2A2", "W1A1")) if rate]
        found.append(Target(f"{device}: least gain of halving the bits", min(steps, default=None), 1.0))
    return found


def write(rows: Sequence[Row]) -> None:
    """The record so far."""
    settings = {
        "recipes": {name: recipe.to_yaml() for name, recipe in RECIPES.items()}, "lanes": LANES, "seeds": SEEDS,
        "images": IMAGES, "usable": {"logic": LOGIC, "block_ram": MEMORY}, "batches": BATCHES, "rounds": ROUNDS,
        "seconds_per_turn": SECONDS,
    }  # fmt: skip
    save(NAME, CLAIM, settings, rows, targets(rows), notes=NOTES)


def report(rows: Sequence[Row]) -> None:
    """Print the tables."""
    keys = ("format", "device", "interval", "images_per_second")
    table = [
        (row["kind"], *(row.get(key) for key in keys), row.get("clock_mhz", row.get("fmax_mhz")),
         row.get("comb", row.get("lut")), row.get("placed_ff", row.get("ff")), row.get("bram"), row.get("dsp"))
        for row in rows if row["kind"] in ("placed", "model", "cited")
    ]  # fmt: skip
    show("Throughput", ("", *keys[:3], "images/s", "MHz", "LUT", "FF", "BRAM", "DSP"), table)
    cpu = [row for row in rows if row["kind"] == "cpu"]
    columns = ("batch", "threads", "images_per_second", "per_processor_second", "wall_median", "wall_best")
    show("torch", ("", *columns), [(row["format"], *(row[key] for key in columns)) for row in cpu])
    show_targets(targets(rows))


def caption(rows: Sequence[Row]) -> list[str]:
    """Where the numbers of the figure come from."""
    cpu = next(row for row in rows if row["kind"] == "cpu")
    return [
        f"Lines: the largest folding that a whole device holds ({LOGIC:.0%} of its logic, {MEMORY:.0%} of its block "
        "RAM): cycles exact, area modelled;",
        f"the ECP5 at the clock that was placed, the ZU7EV at {ZU7EV_MHZ:.0f} MHz (assumed). Diamonds: mixed widths, "
        "by model.",
        "Squares: part of an LFE5U-85F (speed grade 6), synthesised by Yosys, placed by nextpnr, simulated bit for "
        "bit; their share of the device.",
        f"CPU: {machine()['cpu']}, {cpu['by']}, by processor time, on all {cores()} cores.",
        "FINN: Umuroglu et al. 2017, 1 bit, 200 MHz, as published.",
    ]


def measure() -> None:
    """What has no row yet: designs, then the processor."""
    rows = stored()
    for kind, name, folds in missing(rows):
        start = time.monotonic()
        rows.append(built(kind, name, folds))
        write(rows)
        print(kind, name, rows[-1]["interval"], rows[-1]["lut4_eq"], f"{time.monotonic() - start:.0f} s", flush=True)
    for batch in BATCHES:
        if not any(row["kind"] == "cpu" and row["batch"] == batch for row in rows):
            rows += processor(batch)
            write(rows)
            print("cpu", batch, *(f"{row['images_per_second']:.0f}" for row in rows[-4:]), flush=True)


def finish(rows: list[Row]) -> list[Row]:
    """With the models; written and drawn."""
    record = json.loads((RESULTS / "area_per_mac.json").read_text())["figures"]
    model = fit([row for row in rows if row["kind"] == "calibration"], record)
    for row in rows:
        if row["kind"] in ("calibration", "held_out"):
            row["error"] = errors(model, row)
    placements = [row for row in rows if row["kind"] == "placed"]
    rows = [*rows, *models(model, placements), {**FINN, "formula_over_published": finn_check()}]
    write(rows)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    FIGURE.write_text(width_figure.draw(rows, caption(rows)))
    return rows


def main() -> int:
    """Measure what is missing, model, draw; 1 when a target is missed."""
    measure()
    rows = finish(stored())
    report(rows)
    return int(any(aim.met is False for aim in targets(rows)))


if __name__ == "__main__":
    sys.exit(main())
