"""The golden model's speed beside torch, qonnx, hls4ml and da4ml, taking turns in one run.

On the MLP, qonnx, hls4ml and da4ml run the same integers and their outputs are compared with ours: a peer
with wrong outputs is reported, not ranked.
"""

import sys
from contextlib import ExitStack
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
CLAIM = "The golden model is at least half as fast as torch float32, and 10 to 50 times faster than others"


def contestants(network: str, threads: int) -> list[Worker]:
    """Workers for one network: ours first."""
    here = Path(sys.executable)
    environment = {"PYTHONPATH": str(peers.ROOT / "src")}
    data = jet_mlp(final=False).save(WORK / "jet_mlp.npz", BATCH)
    mine = str(data) if network == "jet_mlp" else network
    batch, many = str(BATCH), str(threads)
    workers = [
        Worker("ours", here, (mine, batch), threads, environment),
        Worker("torch", here, (network, batch, many), threads, environment),
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


def measure(network: str, threads: int, count: int, seconds: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Figures of every contestant on one network, and the versions that ran."""
    with ExitStack() as stack:
        workers = [stack.enter_context(worker) for worker in contestants(network, threads)]
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


def main(count: int = ROUNDS, seconds: float = SECONDS) -> None:
    """Run both networks, write the record, print the tables."""
    threads = cores()
    figures: list[dict[str, Any]] = []
    versions: dict[str, Any] = {}
    for network in ("jet_mlp", "lenet5_caffe"):
        found, used = measure(network, threads, count, seconds)
        figures += found
        versions |= used
    goals = targets(figures)
    settings = {"batch": BATCH, "rounds": count, "seconds_per_turn": seconds, "threads": threads}
    notes = [
        "All contestants run as processes of their own that take turns; a ratio is formed within a round.",
        "jet_mlp: ours, qonnx, hls4ml and da4ml compute the same integers (wrong_outputs counts differences); "
        "torch computes the float network of the same shape.",
        "lenet5_caffe: 8-bit weights and activations by FixedPoint, lowered; torch: the float network.",
    ]
    save("golden_speed", CLAIM, settings, figures, goals, versions, notes)
    for clock, title in (("wall", "wall time"), ("cpu", "processor time, all threads")):
        rate = "samples_per_s" if clock == "wall" else "samples_per_cpu_s"
        rows = [
            (f"{f['network']} {f['contestant']}", f[rate], *f[f"ours_over_it_{clock}"].values(), f["wrong_outputs"])
            for f in figures
        ]
        show(
            f"Golden model, {title}",
            ("network, contestant", "samples/s", "ours/it min", "median", "max", "wrong"),
            rows,
        )
    show_targets(goals)


if __name__ == "__main__":
    main()
