"""MNIST: what number formats of one to five bits cost in accuracy, over seeds, beside the float network.

Settings were chosen on the validation split; the test split is read once per finished network. Every
(row, seed) is stored when done and every epoch is saved, so that a stopped run continues: networks and
Graphs in build/formats/, figures in benchmarks/results/formats_mnist.json. A second step compares each
stored network with its Graph on all test images.

    python benchmarks/formats_mnist.py [--seeds 3] [--rows tfc_w1a1,sfc_w1a1] [--equality] [--validate]
"""

import argparse
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule

from benchmarks.records import show
from intaglio.datasets import Dataset, mnist, shifted
from intaglio.ir.errors import IntaglioError
from intaglio.methods import Binary, FixedPoint, Incremental, Logarithmic, Recipe, Ternary
from intaglio.models import MODELS
from intaglio.train import Callback, Step, distilled, evaluate, fit, load_weights, save_weights
from intaglio.twin.flat import module_of
from intaglio.twin.freeze import freeze
from intaglio.twin.lower import equal, lower
from intaglio.twin.placement import only_user
from intaglio.twin.quantizers import ActivationQuantizer

RESULTS = Path("benchmarks/results/formats_mnist.json")
STORE = Path("build/formats")


@dataclass(frozen=True)
class Row:
    """A network, the recipe that it gets, and how it is trained; `target` in per cent of the test images."""

    network: str
    recipe: Recipe
    epochs: int
    lr: float
    target: float | None = None
    loss_limit: float | None = None  # points below the float network
    batch: int = 128
    shift: int = 1  # training images move by up to as many pixels
    teacher: float = 0.0  # share of the float network in the loss (distillation), the rest is the labels'
    temperature: float = 4.0
    soften: float = 1.0  # what divides the logits in the loss: sums of +-1 are larger than the loss wants them


W1A1 = Binary(activations=True)
W2A2 = FixedPoint(activation_bits=2, activation_scale="dyadic"), Ternary(scale="layer")
ONE_BIT_INPUT = FixedPoint(input_bits=1, input_log2_scale=0)
FC: dict[str, Any] = {"batch": 256, "teacher": 0.5, "temperature": 2.0}
ROWS = {
    "tfc_float": Row("tfc", Recipe(), 40, 3e-3),
    "tfc_w1a1": Row("tfc", Recipe(FixedPoint(), W1A1), 100, 1.5e-2, 95.5, batch=256, shift=0, soften=4.0),
    "tfc_w1a1_in1": Row("tfc", Recipe(ONE_BIT_INPUT, W1A1), 100, 1.5e-2, 94.5, batch=256, shift=0, soften=4.0),
    "tfc_w2a2": Row("tfc", Recipe(*W2A2), 25, 5e-3, 97.0, batch=256),
    "sfc_float": Row("sfc", Recipe(), 15, 3e-3, batch=256),
    "sfc_w1a1": Row("sfc", Recipe(FixedPoint(), W1A1), 40, 1.5e-2, 98.0, batch=256, teacher=0.9, temperature=2.0),
    "sfc_w2a2": Row("sfc", Recipe(*W2A2), 20, 5e-3, 98.8, **FC),
    "lenet5_norm_float": Row("lenet5_norm", Recipe(), 10, 3e-3, batch=256, shift=2),
    "lenet5_norm_w1a1": Row("lenet5_norm", Recipe(FixedPoint(), W1A1), 40, 1.5e-2, 99.1, batch=256, soften=8.0),
    "lenet5_norm_ternary": Row("lenet5_norm", Recipe(FixedPoint(), Ternary()), 4, 1e-3, 99.3, batch=256),
    "lenet5_norm_log3": Row("lenet5_norm", Recipe(FixedPoint(), Logarithmic(bits=3)), 3, 1e-3, None, 0.2, batch=256),
    "lenet5_norm_inq5": Row("lenet5_norm", Recipe(FixedPoint(), Incremental()), 6, 1e-3, None, 0.0, batch=256, shift=2),
}


def build(name: str, seed: int, data: Dataset) -> nn.Module:
    """The trained network of one row, from the store if it is there."""
    row, tag = ROWS[name], f"{name}_{seed}"
    model, file = untrained(name, seed, data), STORE / f"{tag}.safetensors"
    if file.exists():
        return load_weights(model, file).eval()
    pairs = pooled(model)
    exchange(model, pairs)
    fit(
        model,
        data,
        row.epochs,
        row.lr,
        seed=seed,
        batch=row.batch,
        methods=row.recipe.methods,
        step=loss(row, seed, data),
        augment=shifted(row.shift) if row.shift else None,
        checkpoint=STORE / tag,
        callbacks=[report(tag)],
    )
    exchange(model, pairs)
    row.recipe.verify(model)
    save_weights(model, file)
    return model.eval()


def loss(row: Row, seed: int, data: Dataset) -> Step:
    """Cross entropy, in part with the float network as teacher, of the logits divided by `soften`."""
    taught = distilled(start(row, seed, data), row.teacher, row.temperature) if row.teacher else None

    def step(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        def softened(images: Tensor) -> Tensor:
            return model(images) / row.soften

        return taught(softened, x, y) if taught else F.cross_entropy(softened(x), y)  # type: ignore[arg-type]

    return step


def pooled(model: nn.Module) -> list[tuple[str, str]]:
    """The quantisers with a max pool right behind them, and those pools, by name."""
    if not isinstance(model, GraphModule):
        return []
    behind = [(node, only_user(node)) for node in model.graph.nodes]
    return [
        (str(node.target), str(after.target))
        for node, after in behind
        if after is not None
        and isinstance(module_of(model, node), ActivationQuantizer)
        and isinstance(module_of(model, after), nn.MaxPool2d)
    ]


def exchange(model: nn.Module, pairs: list[tuple[str, str]]) -> None:
    """Let each quantiser and its pool change places, which changes no result: both are monotone.

    In training the pool comes first, so that the gradient goes to the largest sum and not to the first of equal
    signs, and the quantiser has a quarter of the work. Hardware pools the few bits behind the quantiser.
    """
    for first, then in pairs:
        a, b = model.get_submodule(first), model.get_submodule(then)
        model.set_submodule(first, b)
        model.set_submodule(then, a)


def start(row: Row, seed: int, data: Dataset) -> nn.Module:
    """The float network that a row approximates."""
    return build(f"{row.network}_float", seed, data)


def untrained(name: str, seed: int, data: Dataset) -> nn.Module:
    """The network of one row before its training: random weights, or the recipe on the float network."""
    row = ROWS[name]
    torch.manual_seed(seed)
    model = MODELS[row.network]()
    if row.recipe.methods:
        model = row.recipe.apply(start(row, seed, data), data.train.x[:1024])
    # convolutions train in two thirds of the time
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def seconds(tag: str) -> Path:
    """The file that adds up the training time of a network over interruptions."""
    return STORE / f"{tag}.seconds.json"


def report(tag: str) -> Callback:
    """A callback that prints one line per epoch and adds up the wall and CPU time."""
    last = [time.time(), time.process_time()]

    def callback(epoch: int, record: dict[str, float]) -> None:
        now = [time.time(), time.process_time()]
        before = json.loads(seconds(tag).read_text()) if epoch > 1 and seconds(tag).exists() else [0.0, 0.0]
        seconds(tag).write_text(json.dumps([b + n - p for b, n, p in zip(before, now, last, strict=True)]))
        last[:] = now
        print(tag, epoch, f"{record['loss']:.4f}", f"{record['top1']:.2f}", f"{now[1]:.0f} s", flush=True)

    return callback


def figures(name: str, seed: int, data: Dataset, test: bool) -> dict[str, Any]:
    """Train one network if needed, then measure it; on the test images only if `test`."""
    model, row = build(name, seed, data), ROWS[name]
    wall, cpu = json.loads(seconds(f"{name}_{seed}").read_text())
    found = {
        "row": name,
        "network": row.network,
        "seed": seed,
        "recipe": row.recipe.to_yaml(),
        "epochs": row.epochs,
        "lr": row.lr,
        "batch": row.batch,
        "shift": row.shift,
        "teacher": row.teacher,
        "temperature": row.temperature,
        "soften": row.soften,
        "train_wall_s": round(wall, 1),
        "train_cpu_s": round(cpu, 1),
        "val_top1": evaluate(model, data.val.x, data.val.y),
    }
    return found | ({"test_top1": evaluate(model, data.test.x, data.test.y)} if test else {})


def equality(name: str, seed: int, data: Dataset) -> dict[str, Any]:
    """The Graph of a stored network beside PyTorch on all test images; accuracy is the frozen network's."""
    model = build(name, seed, data)
    graph = lower(model, data.test.x[:1])
    (STORE / f"{name}_{seed}.graph.txt").write_text(graph.text())
    return {
        "mismatches.torch_graph": equal(model, graph, data.test.x),
        "graph_top1": evaluate(freeze(model), data.test.x, data.test.y),
    }


def summary(rows: list[dict]) -> list[dict]:
    """Mean test accuracy per row, beside the float network of the same seeds."""
    found = []
    for name in [name for name in ROWS if any(row["row"] == name for row in rows)]:
        mine = {row["seed"]: row for row in rows if row["row"] == name}
        base = {row["seed"]: row for row in rows if row["row"] == f"{ROWS[name].network}_float"}
        top1 = {seed: row.get("graph_top1", row["test_top1"]) for seed, row in sorted(mine.items())}
        entry = {
            "row": name,
            "n": 10000,
            "seeds": list(top1),
            "test_top1": round(mean(top1.values()), 3),
            "each": list(top1.values()),
        }
        pairs = [base[seed]["test_top1"] - value for seed, value in top1.items() if seed in base]
        if pairs:
            entry |= {
                "float_top1": round(mean(base[s]["test_top1"] for s in top1 if s in base), 3),
                "loss_points": round(mean(pairs), 3),
            }
        found.append(entry | verdict(ROWS[name], entry) | totals(list(mine.values())))
    return found


def verdict(row: Row, entry: dict) -> dict:
    """Whether the target holds."""
    found = {}
    if row.target is not None:
        found = {"target_top1": row.target, "met": entry["test_top1"] >= row.target}
    if row.loss_limit is not None and "loss_points" in entry:
        found = {"limit_points": row.loss_limit, "met": entry["loss_points"] <= row.loss_limit}
    return found


def totals(rows: list[dict]) -> dict:
    """Time over the seeds, and the mismatches where they were counted."""
    found = {key: round(mean(row[key] for row in rows), 1) for key in ("train_wall_s", "train_cpu_s")}
    counted = [row["mismatches.torch_graph"] for row in rows if "mismatches.torch_graph" in row]
    return found | {"mismatches.torch_graph": sum(counted) if len(counted) == len(rows) else None}


def table(rows: list[dict]) -> None:
    """Print the summary."""
    heads = ("row", "test top1 %", "each seed", "float %", "target", "met", "train CPU s", "mismatches")
    found = [
        (
            row["row"], f"{row['test_top1']:.2f}", " ".join(f"{each:.2f}" for each in row["each"]),
            f"{row.get('float_top1', 0):.2f}", str(row.get("target_top1", row.get("limit_points", ""))),
            {True: "yes", False: "no"}.get(row.get("met"), ""), row["train_cpu_s"], row["mismatches.torch_graph"],
        )
        for row in summary(rows)
    ]  # fmt: skip
    show("MNIST by number format", heads, found)


def stored() -> list[dict]:
    """The rows measured so far."""
    return json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []


@contextmanager
def alone() -> Iterator[None]:
    """Only one process at a time reads and replaces the results."""
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def store(new: dict) -> None:
    """Add figures to the row and seed that they belong to and write the results, with machine and versions."""
    with alone():
        rows = {(row["row"], row["seed"]): row for row in stored()}
        key = new["row"], new["seed"]
        rows[key] = rows.get(key, {}) | new
        order = sorted(rows.values(), key=lambda row: (list(ROWS).index(row["row"]), row["seed"]))
        machine = {
            "machine": platform.machine(),
            "system": platform.system(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in ("torch", "numpy")},
        }
        text = json.dumps({**machine, "summary": summary(order), "rows": order}, indent=1)
        part = RESULTS.with_suffix(".part")
        part.write_text(text + "\n")
        part.replace(RESULTS)


def train_all(names: list[str], seeds: int, data: Dataset, test: bool) -> None:
    """Measure the networks that are missing, seed by seed."""
    for seed in range(seeds):
        for name in names:
            if test and any((row["row"], row["seed"]) == (name, seed) for row in stored()):
                continue
            found = figures(name, seed, data, test)
            print(found, flush=True)
            if test:
                store(found)


def compare_all(names: list[str], data: Dataset) -> None:
    """Compare the stored networks that were not compared yet with their Graphs."""
    for row in stored():
        name, seed = row["row"], row["seed"]
        if name not in names or not ROWS[name].recipe.methods or "mismatches.torch_graph" in row:
            continue
        try:
            store({"row": name, "seed": seed} | equality(name, seed, data))
        except IntaglioError as error:
            print(f"{name}, seed {seed}: {error}", flush=True)


def main() -> None:
    """Measure what is missing and write the results after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--equality", action="store_true", help="only compare stored networks with their Graphs")
    parser.add_argument("--validate", action="store_true", help="train, but leave the test images alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    STORE.mkdir(parents=True, exist_ok=True)
    data, names = mnist(), options.rows.split(",")
    if not options.equality:
        train_all(names, options.seeds, data, not options.validate)
    if not options.validate:
        compare_all(names, data)
        table(stored())


if __name__ == "__main__":
    main()
