"""The golden model's speed beside torch, qonnx, hls4ml and da4ml, taking turns in one run.

On the MLP, qonnx, hls4ml and da4ml run the same integers and their outputs are compared with ours: a peer
with wrong outputs is reported, not ranked.

Stacks of one kind of layer run on one thread beside torch alone, by processor time, and have a record of their own;
`python -m benchmarks.golden_speed stacks` measures nothing else.
"""

import sys
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import peers
from benchmarks.machine import cores
from benchmarks.networks import jet_mlp
from benchmarks.peers import Worker, turn
from benchmarks.records import Target, save, show, show_targets, spread

BATCH, ROUNDS, SECONDS = 256, 31, 0.1
WORK = peers.ROOT / "build" / "bench"
TARGETS = {"torch": 0.5, "qonnx": 50.0, "hls4ml": 50.0, "da4ml": 10.0}
STACKS = {"stack_3x3": 0.5, "stack_1x1": 0.5, "stack_depthwise": 0.3}
BATCHES, STACK_ROUNDS = (1, 16, 256), 9
STACK_CLAIM = "On stacks of one kind of layer the golden model has half the speed of torch float32, depthwise 0.3 of it"
CLAIM = "The golden model is at least half as fast as torch float32, and 10 to 50 times faster than others"


def contestants(network: str, threads: int, batch: int = BATCH) -> list[Worker]:
    """Workers for one network: ours first."""
    here = Path(sys.executable)
    environment = {"PYTHONPATH": str(peers.ROOT / "src")}
    data = jet_mlp(final=False).save(WORK / "jet_mlp.npz", BATCH)
    mine = str(data) if network == "jet_mlp" else network
    many = str(threads)
    workers = [
        Worker("ours", here, (mine, str(batch)), threads, environment),
        Worker("torch", here, (network, str(batch), many), threads, environment),
    ]
    if network == "jet_mlp":
        arguments = {"qonnx": (mine,), "hls4ml": (mine, str(WORK / "hls4ml")), "da4ml": (mine, many)}
        workers += [Worker(name, peers.python(name), given, threads) for name, given in arguments.items()]
    return workers


def rounds(workers: list[Worker], count: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    """Samples per second of every worker in every round, by wall and processor time; the order changes."""
    found: dict[str, dict[str, list[float]]] = {w.name: {"wall": [], "cpu": []} for w in workers}
    for number in range(count):
        for worker in turn(workers, number):
            answer = worker.ask(seconds=seconds)
            samples = answer["calls"] * worker.setup["batch"]
            found[worker.name]["wall"].append(samples / answer["wall"])
            found[worker.name]["cpu"].append(samples / max(answer["cpu"], 1e-9))
    return found


def measure(
    network: str, threads: int, count: int, seconds: float, batch: int = BATCH
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Figures of every contestant on one network, and the versions that ran."""
    with ExitStack() as stack:
        workers = [stack.enter_context(worker) for worker in contestants(network, threads, batch)]
        found = rounds(workers, count, seconds)
    ours = found["ours"]
    figures = []
    for worker in workers:
        rates = found[worker.name]
        figure: dict[str, Any] = {
            "network": network,
            "contestant": worker.name,
            "batch": worker.setup["batch"],
            "samples_per_s": median(rates["wall"]),
            "samples_per_cpu_s": median(rates["cpu"]),
            "wrong_outputs": worker.setup.get("wrong"),
            "setup": worker.setup,
            "rounds": rates,
        }
        for clock in ("wall", "cpu"):
            ratios = [a / b for a, b in zip(ours[clock], rates[clock], strict=True)]
            figure[f"ours_over_it_{clock}"] = spread(ratios)
        figures.append(figure)
    return figures, {worker.name: worker.setup["versions"] for worker in workers}


def stack_targets(figures: list[dict[str, Any]]) -> list[Target]:
    """Ratios of processor time to torch's on one thread."""
    return [
        Target(
            f"{f['network']}, batch {f['batch']}: ours / torch, samples per processor second",
            f["ours_over_it_cpu"]["median"],
            STACKS[f["network"]],
        )
        for f in figures
        if f["contestant"] == "torch" and f["network"] in STACKS
    ]


def targets(figures: list[dict[str, Any]]) -> list[Target]:
    """Ratios of wall time, where the peer's outputs are right."""
    return [
        Target(
            f"{f['network']}: ours / {f['contestant']}, samples per second",
            None if f["wrong_outputs"] else f["ours_over_it_wall"]["median"],
            TARGETS[f["contestant"]],
        )
        for f in figures
        if f["contestant"] in TARGETS
    ]


def stacks() -> None:
    """Run the stacks, write their record, print the tables."""
    figures: list[dict[str, Any]] = []
    versions: dict[str, Any] = {}
    for network, batch in product(STACKS, BATCHES):
        found, used = measure(network, 1, STACK_ROUNDS, SECONDS, batch)
        figures += found
        versions |= used
    settings = {"batches": BATCHES, "rounds": STACK_ROUNDS, "seconds_per_turn": SECONDS, "threads": 1}
    notes = [
        "Both run as processes of their own that take turns; a ratio is formed within a round.",
        "Four rectified convolutions of 64 channels on 32x32. Ours: 8 bits by FixedPoint, lowered; "
        "torch: the float network.",
    ]
    report("golden_stacks", STACK_CLAIM, settings, figures, stack_targets(figures), versions, notes)


def whole_networks() -> None:
    """Run both networks, write the record, print the tables."""
    threads = cores()
    figures: list[dict[str, Any]] = []
    versions: dict[str, Any] = {}
    for network in ("jet_mlp", "lenet5_caffe"):
        found, used = measure(network, threads, ROUNDS, SECONDS)
        figures += found
        versions |= used
    settings = {"batch": BATCH, "rounds": ROUNDS, "seconds_per_turn": SECONDS, "threads": threads}
    notes = [
        "All contestants run as processes of their own that take turns; a ratio is formed within a round.",
        "jet_mlp: ours, qonnx, hls4ml and da4ml compute the same integers (wrong_outputs counts differences); "
        "torch computes the float network of the same shape.",
        "lenet5_caffe: 8-bit weights and activations by FixedPoint, lowered; torch: the float network.",
    ]
    report("golden_speed", CLAIM, settings, figures, targets(figures), versions, notes)


def report(
    name: str,
    claim: str,
    settings: dict[str, Any],
    figures: list[dict[str, Any]],
    goals: list[Target],
    versions: dict[str, Any],
    notes: list[str],
) -> None:
    """Write a record and print its tables."""
    save(name, claim, settings, figures, goals, versions, notes)
    for clock, title in (("wall", "wall time"), ("cpu", "processor time, all threads")):
        rate = "samples_per_s" if clock == "wall" else "samples_per_cpu_s"
        rows = [
            (
                f"{f['network']} {f['batch']} {f['contestant']}",
                f[rate],
                *f[f"ours_over_it_{clock}"].values(),
                f["wrong_outputs"],
            )
            for f in figures
        ]
        show(
            f"Golden model, {title}",
            ("network, batch, contestant", "samples/s", "ours/it min", "median", "max", "wrong"),
            rows,
        )
    show_targets(goals)


def main(only_stacks: bool = False) -> None:
    """Run the stacks, and before them the networks beside all peers."""
    if not only_stacks:
        whole_networks()
    stacks()


if __name__ == "__main__":
    main("stacks" in sys.argv[1:])
