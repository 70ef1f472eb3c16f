"""Training cost of every number format: processor time of a training step over the float one's.

LeNet-5 Caffe at batch 128, and ResNet-8 at batch 64 (MLPerf Tiny: 3x32x32 images, 16, 32 and 64 channels, batch norm).
A step is the method's schedule, forward, loss with the method's term, backward and SGD with momentum. Formats that
need another one below them (activations only, portions) stand on 8-bit fixed point.
"""

import sys
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.peers import Worker
from benchmarks.qat_step import figures, rounds
from benchmarks.records import Target, save, show, show_targets
from intaglio.methods import METHODS

ROUNDS, THREADS = 20, 1
WANTED = 2.0
CLAIM = "A training step of every number format costs at most 2 float steps of processor time"
NETWORKS = {"lenet5_caffe": (128, 10), "resnet8": (64, 16)}
"""Batch, and a block that divides the channels (20, 800 and 500; 16, 32 and 64)."""
EXTRA = {
    "binary_activations": "- binary: {activations: true}",
    "binary_stochastic": "- binary: {stochastic: true}",
    "block_floating_point_activations": "- block_floating_point: {block: BLOCK, activation_mantissa: 5}",
    "dorefa_least_squares": "- dorefa: {scale: least_squares}",
    "fixed_point_4_bits": "- fixed_point: {weight_bits: 4, activation_bits: 4}",
    "fixed_point_dyadic": "- fixed_point: {weight_scale: dyadic, activation_scale: dyadic}",
    "fixed_point_overflow": "- fixed_point: {scale_update: overflow}",
    "fixed_point_per_channel": "- fixed_point: {per_channel: true}",
    "fixed_point_stochastic": "- fixed_point: {rounding: stochastic}",
    "learned_bits_per_weight": "- learned_bits: {granularity: weight}",
    "logarithmic_activations": "- logarithmic: {activation_bits: 4}",
    "logarithmic_sqrt2": "- logarithmic: {base: sqrt2, per_channel: true, weight_scale: dyadic}",
    "minifloat_activations": "- minifloat: {activations: E3M4}",
    "multi_base_activations": "- multi_base: {activation_bases: 3}",
    "multi_base_5_of_5": "- multi_base: {bases: 5, activation_bases: 5}",
}
KNOBS = {"prune": "{sparsity: 0.9}", "block_floating_point": "{block: BLOCK}"}


def recipes(block: int) -> dict[str, str]:
    """Every method with its defaults, and some with knobs that cost something; with blocks of `block` channels."""
    plain = {kind.key(): f"- {kind.key()}: {KNOBS.get(kind.key(), '{}')}" for kind in METHODS}
    return {name: recipe.replace("BLOCK", str(block)) for name, recipe in (plain | EXTRA).items()}


def measured(network: str, count: int) -> list[dict[str, Any]]:
    """A row for the float step and for every format, each of which takes turns with the float step."""
    batch, block = NETWORKS[network]
    environment = {"PYTHONPATH": str(peers.ROOT / "src")}

    def worker(name: str, recipe: str) -> Worker:
        arguments = (recipe, network, str(batch), str(THREADS))
        return Worker(name, Path(sys.executable), arguments, THREADS, environment, "format")

    rows: list[dict[str, Any]] = []
    with worker("float", "float") as plain:
        for name, recipe in recipes(block).items():
            with worker(name, recipe) as format:
                pair = figures([plain, format], rounds([plain, format], count, 0.0))
            rows += pair[len(rows) > 0 :]
            print(f"{network} {name}: {pair[1]['cpu_over_float']['median']:.2f}", flush=True)
    return [{"network": network, **row} for row in rows]


def main(count: int = ROUNDS) -> None:
    """Run, write the record, print the table."""
    rows = [row for network in NETWORKS for row in measured(network, count)]
    goals = [
        Target(f"{r['network']}, {r['contestant']}: over the float step", r["cpu_over_float"]["median"], WANTED, True)
        for r in rows
        if r["contestant"] != "float"
    ]
    settings = {"networks": NETWORKS, "rounds": count, "threads": THREADS,
                "recipes": {network: recipes(block) for network, (_, block) in NETWORKS.items()}}  # fmt: skip
    notes = [
        "One thread, freed memory is kept; a round is one step of the format and one of the float network, in turns, "
        "and a ratio is formed within a round."
    ]
    save("format_step", CLAIM, settings, rows, goals, {"float": rows[0]["setup"]["versions"]}, notes)
    cells = [(f"{r['network']} {r['contestant']}", r["cpu_ms"], *r["cpu_over_float"].values()) for r in rows]
    show("Training step", ("step", "cpu ms", "over float: min", "median", "max"), cells)
    show_targets(goals)


if __name__ == "__main__":
    main()
