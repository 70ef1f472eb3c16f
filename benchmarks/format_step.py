"""Training cost of every number format: processor time of a training step over the float one's.

LeNet-5 Caffe, batch 128; a step is the method's schedule, forward, loss with the method's term, backward and SGD with
momentum. Formats that need another one below them (activations only, portions) stand on 8-bit fixed point.
"""

import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks import peers
from benchmarks.peers import Worker
from benchmarks.qat_step import figures, rounds
from benchmarks.records import Target, save, show, show_targets
from intaglio.methods import METHODS

BATCH, ROUNDS, SECONDS, THREADS = 128, 12, 0.4, 1
WANTED = 2.0
CLAIM = "A training step of every number format costs at most 2 float steps of processor time"
EXTRA = {
    "binary_activations": "- binary: {activations: true}",
    "binary_stochastic": "- binary: {stochastic: true}",
    "logarithmic_activations": "- logarithmic: {activation_bits: 4}",
    "minifloat_activations": "- minifloat: {activations: E3M4}",
    "block_floating_point_activations": "- block_floating_point: {block: 10, activation_mantissa: 5}",
    "fixed_point_4_bits": "- fixed_point: {weight_bits: 4, activation_bits: 4}",
    "fixed_point_per_channel": "- fixed_point: {per_channel: true}",
    "fixed_point_stochastic": "- fixed_point: {rounding: stochastic}",
    "multi_base_activations": "- multi_base: {activation_bases: 3}",
    "learned_bits_per_weight": "- learned_bits: {granularity: weight}",
}
KNOBS = {"prune": "{sparsity: 0.9}", "block_floating_point": "{block: 10}"}
"""Blocks of 10 divide the 20, 800 and 500 channels of this network."""


def recipes() -> dict[str, str]:
    """Every method with its defaults, and some with knobs that cost something."""
    plain = {kind.key(): f"- {kind.key()}: {KNOBS.get(kind.key(), '{}')}" for kind in METHODS}
    return {"float": "float"} | plain | EXTRA


def main(count: int = ROUNDS, seconds: float = SECONDS, batch: int = BATCH) -> None:
    """Run, write the record, print the table."""
    environment = {"PYTHONPATH": str(peers.ROOT / "src")}
    sizes = (str(batch), str(THREADS))
    here = Path(sys.executable)
    chosen = recipes().items()
    workers = [Worker(name, here, (recipe, *sizes), THREADS, environment, "format") for name, recipe in chosen]
    with ExitStack() as stack:
        running = [stack.enter_context(worker) for worker in workers]
        rows = figures(running, rounds(running, count, seconds))
    goals = [
        Target(f"{row['contestant']}: over the float step", row["cpu_over_float"]["median"], WANTED, True)
        for row in rows[1:]
    ]
    settings = {"network": "lenet5_caffe", "batch": batch, "rounds": count, "seconds_per_turn": seconds,
                "threads": THREADS, "recipes": recipes()}  # fmt: skip
    notes = ["One thread each, freed memory is kept; contestants take turns, a ratio is formed within a round."]
    save("format_step", CLAIM, settings, rows, goals, {"float": running[0].setup["versions"]}, notes)
    cells = [(r["contestant"], r["cpu_ms"], *r["cpu_over_float"].values()) for r in rows]
    show("Training step, LeNet-5 Caffe", ("step", "cpu ms", "over float: min", "median", "max"), cells)
    show_targets(goals)


if __name__ == "__main__":
    main()
