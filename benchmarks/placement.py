"""What the pruned 4-bit MNIST networks cost on an ECP5-85F: synthesised by Yosys, placed by nextpnr.

    python -m benchmarks placement
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.equality import INTERVALS
from benchmarks.machine import machine, versions
from benchmarks.mnist_accuracy import STORE
from intaglio.hardware.emit import emit
from intaglio.hardware.folding import carve_for_interval
from intaglio.hardware.place import place
from intaglio.hardware.synthesize import synthesize
from intaglio.ir.graph import Graph

RESULT = Path("benchmarks/results/placement.json")
DEVICE, SEEDS = "85k", (1,)
VARIANT = "prune90_qat4"


def figures(network: str) -> dict[str, Any]:
    """Cells, clock and cycles of one network."""
    graph = Graph.parse((STORE / f"{network}_0_{VARIANT}.graph.txt").read_text())
    design = carve_for_interval(graph, INTERVALS[network], dsp=False)
    synthesis = synthesize(emit(design, Path("build/placement") / network), dsp=False)
    placed = place(synthesis, DEVICE, seeds=SEEDS)
    return {
        "network": network, "variant": VARIANT, "latency": design.latency, "interval": design.interval,
        "lut4_eq": synthesis.lut4_eq, "ff": synthesis.ff, "dsp": synthesis.dsp, "bram": synthesis.bram,
        "placed_comb": placed.comb, "fmax_mhz": placed.fmax_mhz, "flags": synthesis.flags, "device": placed.device,
        "images_per_second": placed.fmax_mhz * 1e6 / design.interval,
    }  # fmt: skip


def main() -> int:
    """Measure both networks; saves after each."""
    rows: list[dict[str, Any]] = []
    for network in INTERVALS:
        rows.append(figures(network))
        RESULT.write_text(json.dumps({"rows": rows, "machine": machine(), "versions": versions()}, indent=1) + "\n")
        print(rows[-1], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
