"""The evaluated PyTorch network beside its Graph on all MNIST test images, before and after tuning.

LeNet-5 (Caffe) at 8 and 4 bits, a residual network with batch norm at 8 and 4 bits, and every method of the
catalogue on a small residual network. In float64 every output must agree bit for bit; in float32 outputs may differ
on 0.5 % of the images and classes on 2 of 10,000 (an output of more than 24 bits is rounded to float32 first).
Networks train briefly: this measures agreement, not accuracy.
Saves after every network, so it resumes.

    python -m benchmarks evaluated
"""

import copy
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.records import RESULTS, Target, save, show, show_targets
from intaglio.datasets import Dataset, mnist
from intaglio.datasets.dataset import Split
from intaglio.ir.graph import Graph
from intaglio.methods import METHODS, FixedPoint, Recipe
from intaglio.models import MODELS
from intaglio.train import fit
from intaglio.twin.freezing import freezing
from intaglio.twin.lower import lower

CLAIM = "the evaluated PyTorch network and its Graph give the same outputs, before and after tuning"
KNOBS: Mapping[str, Mapping[str, Any]] = {
    "prune": {"sparsity": 0.7},
    "minifloat": {"weights": "E3M2", "activations": "E3M3"},
    "logarithmic": {"activation_bits": 3},
}
FLOAT_IMAGES, TUNE_IMAGES, CALIBRATION, BATCH = 4096, 2048, 512, 500
FLOAT32_IMAGES, FLOAT32_CLASSES = 0.5, 2  # per cent of images; images of 10,000


def cases() -> dict[str, tuple[Callable[[], nn.Module], Recipe]]:
    """Networks and recipes by name."""
    small, wide = partial(MODELS["residual"], width=4), partial(MODELS["residual"], width=16)
    found: dict[str, tuple[Callable[[], nn.Module], Recipe]] = {}
    for bits in (8, 4):
        method = FixedPoint(weight_bits=bits, activation_bits=bits)
        found[f"lenet5_caffe, {bits} bits"] = (MODELS["lenet5_caffe"], Recipe(method))
        found[f"residual, {bits} bits"] = (wide, Recipe(method))
    for kind in METHODS:
        method = kind(**KNOBS.get(kind.key(), {}))
        alone = ".formats." not in kind.__module__ or kind.key() == "pact"  # not a number format of weights
        found[f"small residual, {kind.key()}"] = (small, Recipe(method, *([FixedPoint()] if alone else [])))
    return found


def reals(graph: Graph, x: Tensor) -> np.ndarray:
    """The Graph's outputs as real numbers, (N, values)."""
    kind, out = graph.input_types[0], graph.output_types[0]
    parts = [kind.quantize(part.double().numpy().reshape(-1, *kind.shape)) for part in x.split(BATCH)]
    return np.concatenate([out.dequantize(graph(part)[0]).reshape(len(part), -1) for part in parts])


@torch.no_grad()
def evaluated(model: nn.Module, x: Tensor, dtype: torch.dtype) -> np.ndarray:
    """The network's outputs in evaluation mode, float64 numbers, (N, values)."""
    model = copy.deepcopy(model).to(dtype).eval()
    return torch.cat([model(part.to(dtype)).double().reshape(len(part), -1) for part in x.split(BATCH)]).numpy()


def agreement(model: nn.Module, data: Dataset) -> dict[str, Any]:
    """How many outputs and images differ, in both precisions, and what freezing changed."""
    x = data.test.x
    right = reals(lower(model, x[:1]), x)
    double, single = evaluated(model, x, torch.float64), evaluated(model, x, torch.float32)
    change = freezing(model, x)
    return {
        "images": len(x),
        "float64_outputs": int((double != right).sum()),
        "float32_images": int((single != right.astype(np.float32)).any(1).sum()),
        "float32_classes": int((single.argmax(1) != right.argmax(1)).sum()),
        "top1": 100 * float((right.argmax(1) == data.test.y.numpy()).mean()),
        "different_outputs": len(np.unique(right, axis=0)),
        "deviation": change.deviation,
        "class_changes": change.class_changes,
    }


def run(name: str, build: Callable[[], nn.Module], recipe: Recipe, data: Dataset) -> list[dict[str, Any]]:
    """One network: trained, approximated, compared, tuned, compared again."""
    torch.manual_seed(0)
    model = build()
    fit(model, part(data, FLOAT_IMAGES), 1, 2e-3, batch=64)
    small = recipe.apply(model, data.train.x[:CALIBRATION])
    rows = [{"name": name, "stage": "before tuning", **agreement(small, data)}]
    fit(small, part(data, TUNE_IMAGES), 1, 5e-4, batch=64, methods=recipe.methods)
    return [*rows, {"name": name, "stage": "after tuning", **agreement(small, data)}]


def part(data: Dataset, count: int) -> Dataset:
    """The data with fewer training images and no validation."""
    train, val = data.train, data.val
    return replace(data, train=Split(train.x[:count], train.y[:count]), val=Split(val.x[:0], val.y[:0]))


def main() -> int:
    """Measure what is missing; exit status 1 when anything differs more than it may."""
    torch.set_num_threads(1)
    path = RESULTS / "evaluated.json"
    figures: list[dict[str, Any]] = json.loads(path.read_text())["figures"] if path.exists() else []
    done, data = {row["name"] for row in figures}, mnist()
    for name, (build, recipe) in cases().items():
        if name not in done:
            figures += run(name, build, recipe, data)
            print(figures[-1], flush=True)
            record(figures)
    targets = record(figures)
    columns = ("name", "stage", "float64_outputs", "float32_images", "float32_classes", "deviation", "class_changes")
    show(CLAIM, columns, [[row[column] for column in columns] for row in figures])
    show_targets(targets)
    return int(not all(target.met for target in targets))


def record(figures: list[dict[str, Any]]) -> list[Target]:
    """Write the record; its targets."""
    share = [100 * row["float32_images"] / row["images"] for row in figures]
    targets = [
        Target("outputs that differ in float64", sum(row["float64_outputs"] for row in figures), 0, at_most=True),
        Target("images in % on which any output differs in float32, worst", max(share), FLOAT32_IMAGES, at_most=True),
        Target("classes of 10,000 that differ in float32, worst", max(row["float32_classes"] for row in figures),
               FLOAT32_CLASSES, at_most=True),
    ]  # fmt: skip
    settings = {"float images": FLOAT_IMAGES, "tune images": TUNE_IMAGES, "epochs": 1, "seed": 0, "knobs": KNOBS}
    save("evaluated", CLAIM, settings, figures, targets, notes=("top1 is of networks trained briefly",))
    return targets


if __name__ == "__main__":
    sys.exit(main())
