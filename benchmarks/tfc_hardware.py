"""The public QONNX networks TFC (W1A1, W1A2, W2A2) on an ECP5: imported, simulated on 1,000 images, placed.

Reads the files of other people's training from INTAGLIO_DATA; nothing is retrained. Saves after every network.

    python -m benchmarks tfc_hardware
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.equality import simulate
from benchmarks.machine import machine, versions
from intaglio.datasets import mnist
from intaglio.datasets.mnist import data_folder
from intaglio.exchange import read_qonnx
from intaglio.hardware.emit import emit
from intaglio.hardware.folding import carve_for_interval
from intaglio.hardware.place import place
from intaglio.hardware.simulate import build
from intaglio.hardware.synthesize import synthesize

RESULT = Path("benchmarks/results/tfc_hardware.json")
NETWORKS = ("TFC_1W1A", "TFC_1W2A", "TFC_2W2A")
IMAGES, INTERVAL = 1000, 128
DEVICE, SEEDS = "85k", (1, 2, 3)


def figures(name: str, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Equality, cycles, cells and clock of one network."""
    start = time.monotonic()
    network = read_qonnx(data_folder() / "models" / f"{name}.onnx")
    (inputs,) = network.encode(images)
    (logits,) = network(inputs)
    design = carve_for_interval(network.graph, INTERVAL, dsp=False)
    rtl = emit(design, Path("build/tfc") / name)
    found = simulate(design, build(rtl, optimise=2), inputs[:IMAGES])
    synthesis = synthesize(rtl, dsp=False)
    placed = place(synthesis, DEVICE, seeds=SEEDS)
    return {
        "network": name, "images": len(images), "top1": 100 * float((logits.argmax(1) == labels).mean()), **found,
        "folding": {layer: [fold.simd, fold.pe] for layer, fold in design.folding.items()},
        "lut4_eq": synthesis.lut4_eq, "ff": synthesis.ff, "dsp": synthesis.dsp, "bram": synthesis.bram,
        "placed_comb": placed.comb, "fmax_mhz": placed.fmax_mhz, "by_seed": placed.by_seed, "device": placed.device,
        "speed_grade": placed.speed, "bitstream_bytes": placed.bitstream.stat().st_size, "flags": synthesis.flags,
        "images_per_second": placed.fmax_mhz * 1e6 / design.interval, "seconds": time.monotonic() - start,
    }  # fmt: skip


def main() -> int:
    """Measure what is missing; exit status 1 when hardware and Graph differ."""
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"rows": []}
    data = mnist().test
    images = data.x.numpy().reshape(-1, 1, 28, 28).astype(np.float32)
    for name in NETWORKS:
        if name in {row["network"] for row in record["rows"]}:
            continue
        record["rows"].append(figures(name, images, data.y.numpy()))
        record |= {"machine": machine(), "versions": versions()}
        RESULT.write_text(json.dumps(record, indent=1) + "\n")
        print(record["rows"][-1], flush=True)
    return int(any(row["graph_rtl"] or not row["clean"] for row in record["rows"]))


if __name__ == "__main__":
    sys.exit(main())
