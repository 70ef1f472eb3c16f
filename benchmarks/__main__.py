"""`python -m benchmarks [name ...]`: run the named benchmarks, or all; `python -m benchmarks list` names them."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLAIMS = {
    "golden_speed": "the golden model's samples per second beside torch, qonnx, hls4ml and da4ml",
    "qat_step": "processor time of a 4-bit training step over the float step's, beside Brevitas",
    "format_step": "processor time of a training step of every number format over the float step's",
    "area_per_mac": "look-up tables of a multiply-accumulate on ECP5 by number format, portable and bound",
    "throughput_by_width": "images per second of one network on ECP5 and ZU7EV by bits, placed points, the CPU beside",
    "nngen": "area and cycles of the int8 jet MLP on ECP5 beside NNgen",
    "growth": "processor time of carving, timing and folding over the size of a network, and of ResNets",
    "equality": "PyTorch = Graph = simulated hardware on MNIST, and modelled = simulated cycles",
    "format_equality": "every method, alone and in ordered pairs: PyTorch = Graph = simulated hardware (= netlist)",
    "evaluated": "the evaluated PyTorch network = its Graph on MNIST, every method, before and after tuning",
    "qonnx_tfc": "the public QONNX networks TFC as integers: every output bit on MNIST beside qonnx",
    "tfc_hardware": "the public QONNX networks TFC on an ECP5: equality, cycles, cells, clock",
    "run_faults": "signals, misbehaving tools, full disks, two runs at once: nothing is left, and resumed it is equal",
    "hostile_files": "100,000 damaged files over all readers under 4 GiB: right or refused, each within 5 s",
    "placement": "cells and clock of the pruned 4-bit MNIST networks on an ECP5-85F",
    "planted_faults": "how many of 200 faults planted at random in a copy of the tree the tests catch (hours)",
    "formats_mnist": "what one to five bits cost in accuracy on MNIST, by number format (hours)",
    "mnist_accuracy": "what 8 bits, 4 bits and pruning cost in accuracy on MNIST (hours)",
}


def names() -> list[str]:
    """The benchmarks that are there."""
    return [name for name in CLAIMS if (HERE / f"{name}.py").is_file()]


def main(arguments: list[str]) -> int:
    """Run benchmarks one after the other, each in a process of its own; 1 when one failed, 2 for an unknown name."""
    if arguments == ["list"]:
        print("\n".join(f"{name:16} {CLAIMS[name]}" for name in names()))
        return 0
    unknown = [name for name in arguments if name not in names()]
    if unknown:
        print(f"no benchmark is named {unknown[0]!r}: there are {', '.join(names())}", file=sys.stderr)
        return 2
    failed = []
    for name in arguments or names():
        print(f"== {name}: {CLAIMS[name]}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=HERE.parent, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
