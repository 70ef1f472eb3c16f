"""MNIST: what 8 bits, 4 bits and 4 bits with 90 % pruning cost in accuracy, over seeds.

Settings were chosen on the validation split; the test split is read once per finished network. Every
(network, seed, variant) is stored when done, so that a stopped run continues: trained networks and Graphs
in build/mnist/, figures in benchmarks/results/mnist_accuracy.json.

    python benchmarks/mnist_accuracy.py [--seeds 3] [--networks lenet_300_100,lenet5_caffe]
"""

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from statistics import mean

import torch
from torch import nn

from intaglio.datasets import Dataset, mnist, shifted
from intaglio.methods import FixedPoint, Prune, Recipe
from intaglio.models import MODELS
from intaglio.train import Callback, evaluate, fit, load_weights, save_weights
from intaglio.twin.freeze import freeze
from intaglio.twin.lower import equal, lower

RESULTS = Path("benchmarks/results/mnist_accuracy.json")
STORE = Path("build/mnist")
FOUR = {"weight_bits": 4, "activation_bits": 4, "per_channel": True}
VARIANTS = {
    "ptq8": Recipe(FixedPoint(weight_bits=8, activation_bits=8)),
    "qat4": Recipe(FixedPoint(**FOUR)),
    "prune90_qat4": Recipe(Prune(sparsity=0.9, scope="global", score="lamp", schedule="gradual"), FixedPoint(**FOUR)),
}
EPOCHS = {
    "lenet_300_100": {"float": 40, "ptq8": 0, "qat4": 15, "prune90_qat4": 30},
    "lenet5_caffe": {"float": 12, "ptq8": 0, "qat4": 5, "prune90_qat4": 10},
}
RATE = 1e-3
LIMITS = {"ptq8": 0.05, "qat4": 0.2, "prune90_qat4": 0.3}


def build(network: str, seed: int, variant: str, data: Dataset) -> nn.Module:
    """The network of one variant, from the store if it is there."""
    torch.manual_seed(seed)
    model = MODELS[network]()
    file = STORE / f"{network}_{seed}_{variant}.safetensors"
    recipe = VARIANTS.get(variant, Recipe())
    if variant != "float":
        model = recipe.apply(build(network, seed, "float", data), data.train.x[:1024])
    if file.exists():
        return load_weights(model, file).eval()
    epochs = EPOCHS[network][variant]
    if epochs:
        fit(
            model,
            data,
            epochs,
            RATE,
            seed=seed,
            methods=recipe.methods,
            augment=shifted(1),
            checkpoint=STORE / f"{network}_{seed}_{variant}",
            callbacks=[report(network, seed, variant)],
        )
    recipe.verify(model)
    save_weights(model, file)
    return model.eval()


def report(network: str, seed: int, variant: str) -> Callback:
    """A callback that prints one line per epoch."""
    return lambda epoch, record: print(
        network, seed, variant, epoch, f"{record['loss']:.4f}", f"{record['top1']:.2f}", flush=True
    )


def figures(network: str, seed: int, variant: str, data: Dataset) -> dict:
    """Train if needed, then measure one variant."""
    begin = time.time()
    model = build(network, seed, variant, data)
    row = {"network": network, "seed": seed, "variant": variant, "epochs": EPOCHS[network][variant]}
    exact = model
    if variant != "float":
        exact = freeze(model)
        graph = lower(model, data.test.x[:1])
        (STORE / f"{network}_{seed}_{variant}.graph.txt").write_text(graph.text())
        weights = [m.weight for m in exact.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        row["mismatches"] = equal(model, graph, data.test.x)
        row["zeros"] = sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
    row["val_top1"] = evaluate(exact, data.val.x, data.val.y)
    row["test_top1"] = evaluate(exact, data.test.x, data.test.y)
    row["seconds"] = round(time.time() - begin, 1)
    return row


def summary(rows: list[dict]) -> list[dict]:
    """Mean test accuracy per network and variant, beside the float network of the same seeds."""
    found = []
    for network, variant in dict.fromkeys((row["network"], row["variant"]) for row in rows):
        mine = {row["seed"]: row for row in rows if (row["network"], row["variant"]) == (network, variant)}
        base = {row["seed"]: row for row in rows if (row["network"], row["variant"]) == (network, "float")}
        loss = mean(base[seed]["test_top1"] - row["test_top1"] for seed, row in mine.items())
        entry = {
            "network": network,
            "variant": variant,
            "seeds": sorted(mine),
            "n": 10000,
            "test_top1": round(mean(row["test_top1"] for row in mine.values()), 3),
            "loss_points": round(loss, 3),
        }
        if variant in LIMITS:
            entry |= {"limit_points": LIMITS[variant], "within": loss <= LIMITS[variant]}
        found.append(entry)
    return found


def main() -> None:
    """Measure what is missing and write the results after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", default=",".join(EPOCHS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    STORE.mkdir(parents=True, exist_ok=True)
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    done = {(row["network"], row["seed"], row["variant"]) for row in rows}
    data = mnist()
    for seed in range(options.seeds):
        for network in options.networks.split(","):
            for variant in ("float", *VARIANTS):
                if (network, seed, variant) in done:
                    continue
                rows.append(figures(network, seed, variant, data))
                print(rows[-1], flush=True)
                write(rows)


def write(rows: list[dict]) -> None:
    """The results file, with machine and versions."""
    machine = {
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "numpy")},
    }
    text = json.dumps({**machine, "summary": summary(rows), "rows": rows}, indent=1)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    part = RESULTS.with_suffix(".part")
    part.write_text(text + "\n")
    part.replace(RESULTS)


if __name__ == "__main__":
    main()
