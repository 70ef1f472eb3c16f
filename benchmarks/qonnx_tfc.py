"""Public QONNX networks read as integers, beside qonnx's own execution on all MNIST test images, bit by bit.

The three TFC networks of the QONNX model zoo: 784-64-64-64-10, weights and activations of one or two bits, with batch
norm in float32 between them.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.peers import Worker
from benchmarks.records import Target, save, show, show_targets
from intaglio.datasets import read_idx
from intaglio.datasets.mnist import data_folder
from intaglio.exchange import Imported, read_qonnx
from intaglio.ir import Graph, Type

NAMES = ("TFC_1W1A", "TFC_1W2A", "TFC_2W2A")
PIXELS = Type((1, 28, 28), (0, 255), (Fraction(1, 255),))
BATCH, ALONE = 1000, 20
WORK = peers.ROOT / "build" / "bench"
CLAIM = "A QONNX network read as an integer Graph gives every output bit that qonnx gives"


@dataclass(frozen=True)
class Subject:
    """A network and what it is tried on: integers (N, 1, 28, 28) for the Graph, labels (N,)."""

    name: str
    file: Path
    imported: Imported
    images: np.ndarray
    labels: np.ndarray

    @property
    def pair(self) -> tuple[Graph, np.ndarray]:
        """The Graph and its inputs, for whatever else should give the same integers."""
        return self.imported.graph, self.images

    def right(self, outputs: np.ndarray) -> int:
        """How many images are classified as their label says."""
        return int((outputs.argmax(axis=1) == self.labels).sum())


def subject(name: str, count: int | None = None) -> Subject:
    """One network with the first `count` test images of MNIST, or all."""
    parts = ("images-idx3-ubyte", "labels-idx1-ubyte")
    images, labels = (read_idx(data_folder() / "mnist" / f"t10k-{part}.gz")[:count] for part in parts)
    file = (data_folder() / "models" / f"{name}.onnx").resolve()
    return Subject(name, file, read_qonnx(file, PIXELS), images[:, None].astype(np.int64), labels)


def by_qonnx(what: Subject) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Outputs of qonnx in batches, of the first images one by one, and what its worker says."""
    WORK.mkdir(parents=True, exist_ok=True)
    data, target = WORK / "tfc_images.npz", WORK / f"{what.name}.npz"
    np.savez(data, images=what.images.astype(np.uint8))
    arguments = (str(what.file), str(data), str(target), str(BATCH), str(ALONE))
    with Worker("qonnx", peers.python("qonnx"), arguments, script="tfc") as worker:
        setup = worker.setup
    found = np.load(target)
    return found["outputs"], found["single"], setup


def differing(mine: np.ndarray, theirs: np.ndarray) -> int:
    """How many float32 differ in any bit."""
    assert mine.dtype == theirs.dtype == np.float32 and mine.shape == theirs.shape
    return int((mine.view(np.int32) != theirs.view(np.int32)).sum())


def measure(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Figures of one network, and the peer's versions."""
    what = subject(name)
    graph, images = what.pair
    outputs = what.imported(images)[0]
    theirs, single, setup = by_qonnx(what)
    figure = {
        "network": name,
        "exact_by_proof": what.imported.exact,
        "images": len(images),
        "outputs": outputs.size,
        "outputs_that_differ": differing(outputs, theirs),
        "outputs_that_differ_one_by_one": differing(outputs[:ALONE], single),
        "right": what.right(outputs),
        "right_by_qonnx": what.right(theirs),
        "top1_percent": 100 * what.right(outputs) / len(images),
        "nodes": [f"{node.name}: {type(node.op).__name__}, {node.type.bits} bits" for node in graph.nodes],
    }
    return figure, setup["versions"]


def targets(figures: list[dict[str, Any]]) -> list[Target]:
    """No bit differs, and as many images are right."""
    found: list[Target] = []
    for f in figures:
        bits = f["outputs_that_differ"] + f["outputs_that_differ_one_by_one"]
        found.append(Target(f"{f['network']}: of {f['outputs']} outputs, differ in a bit", bits, 0, at_most=True))
        found.append(Target(f"{f['network']}: images right", f["right"], f["right_by_qonnx"]))
    return found


def main(names: tuple[str, ...] = NAMES) -> None:
    """Run the networks, write the record, print the table."""
    measured = [measure(name) for name in names]
    figures = [figure for figure, _ in measured]
    goals = targets(figures)
    notes = [
        "All 10,000 MNIST test images; the file gets float32(k / 255), the Graph the byte k.",
        f"qonnx runs node by node. Its ChangeBatchSize set the batch axis to {BATCH}, since it needs 0.2 s a run; the "
        f"first {ALONE} images also ran through the file as it is, one by one.",
    ]
    save("qonnx_tfc", CLAIM, {"batch": BATCH, "alone": ALONE}, figures, goals, {"qonnx": measured[0][1]}, notes)
    rows = [(f["network"], f["outputs"], f["outputs_that_differ"], f["right"], f["right_by_qonnx"]) for f in figures]
    show(CLAIM, ("network", "outputs", "that differ", "right", "right by qonnx"), rows)
    show_targets(goals)


if __name__ == "__main__":
    main()
