"""Equality and cycles on MNIST: PyTorch = Graph on 10,000 test images, Graph = RTL on 1,000, model = simulation.

Takes the trained networks of `mnist_accuracy` (build/mnist), training those that are missing. Saves after every
network, so it resumes.

    python -m benchmarks equality
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine, versions
from benchmarks.mnist_accuracy import EPOCHS, VARIANTS
from benchmarks.mnist_accuracy import build as trained
from intaglio.datasets import Dataset, mnist
from intaglio.hardware.design import Design
from intaglio.hardware.emit import emit
from intaglio.hardware.folding import carve_for_interval
from intaglio.hardware.simulate import Simulator, build
from intaglio.hardware.timing import longest_interval
from intaglio.hardware.verify import compare
from intaglio.twin.lower import equal, lower

RESULT = Path("benchmarks/results/equality.json")
IMAGES = 1000
INTERVALS = {"lenet_300_100": 4000, "lenet5_caffe": 16000}


def check(network: str, variant: str, data: Dataset) -> dict[str, Any]:
    """All figures of one network."""
    start = time.monotonic()
    model = trained(network, 0, variant, data)
    graph = lower(model, data.test.x[:1])
    wrong = equal(model, graph, data.test.x)
    kind = graph.input_types[0]
    inputs = kind.quantize(data.test.x.double().numpy().reshape(-1, *kind.shape))
    logits = graph(inputs)[0]
    scale = np.array([float(s) for s in graph.output_types[0].scale])
    top1 = 100 * float(((logits * scale).argmax(1) == data.test.y.numpy()).mean())
    design = carve_for_interval(graph, INTERVALS[network], dsp=True)
    rtl = emit(design, Path("build/equality") / f"{network}_{variant}")
    return {
        "network": network, "variant": variant, "images": len(inputs), "top1": top1, "torch_graph": wrong,
        "folding": {name: [fold.simd, fold.pe] for name, fold in design.folding.items()},
        **simulate(design, build(rtl, optimise=2), inputs[:IMAGES]), "seconds": time.monotonic() - start,
    }  # fmt: skip


def simulate(design: Design, simulator: Simulator, inputs: np.ndarray) -> dict[str, Any]:
    """Mismatches and cycles of a saturated run, of isolated frames, and of a run with stalls on both sides."""
    saturated = compare(design, simulator, inputs)
    isolated = compare(design, simulator, inputs[:2], isolated=True)
    stalled = compare(design, simulator, inputs[:20], stall_in=0.3, stall_out=0.3, seed=1)
    latency = (isolated.trace.last_out - isolated.trace.first_in).max()
    return {
        "rtl_images": len(inputs), "graph_rtl": saturated.mismatches + isolated.mismatches + stalled.mismatches,
        "clean": saturated.equal and isolated.equal and stalled.equal,
        "latency": {"modelled": design.latency, "simulated": int(latency)},
        "interval": {"modelled": design.interval, "simulated": longest_interval(saturated.trace.last_out)},
    }  # fmt: skip


def main() -> int:
    """Check what is missing in the record; exit status 1 when anything differs."""
    torch.set_num_threads(1)
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"rows": []}
    done = {(row["network"], row["variant"]) for row in record["rows"]}
    data = mnist()
    for network in EPOCHS:
        for variant in VARIANTS:
            if (network, variant) in done:
                continue
            row = check(network, variant, data)
            record["rows"].append(row)
            record |= {"machine": machine(), "versions": versions()}
            RESULT.write_text(json.dumps(record, indent=1) + "\n")
            print(network, variant, row["torch_graph"], row["graph_rtl"], row["latency"], row["interval"], flush=True)
    return int(any(differs(row) for row in record["rows"]))


def differs(row: dict[str, Any]) -> bool:
    """Whether anything in a row is not equal."""
    cycles = [row[name]["modelled"] != row[name]["simulated"] for name in ("latency", "interval")]
    return bool(row["torch_graph"] or row["graph_rtl"] or not row["clean"] or any(cycles))


if __name__ == "__main__":
    sys.exit(main())
