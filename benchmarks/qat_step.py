"""Training cost: processor time of a 4-bit training step over the float one's, ours beside Brevitas'.

LeNet-5 Caffe, batch 128, 4-bit weights and activations with learned scales, 8-bit input; a step is forward, loss,
backward and SGD with momentum. Brevitas runs in its own environment with its own torch.
"""

import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import peers
from benchmarks.peers import PeerError, Worker, turn
from benchmarks.records import Target, save, show, show_targets, spread

BATCH, ROUNDS, SECONDS, THREADS = 128, 32, 0.4, 1
WANTED = 1.5
CLAIM = "A quantisation-aware training step costs at most 1.5 float steps of processor time"


def contestants(batch: int) -> tuple[list[Worker], list[str]]:
    """Workers (the float step first), and what could not be had."""
    environment = {"PYTHONPATH": str(peers.ROOT / "src")}
    sizes = (str(batch), str(THREADS))
    kinds = ("float", "ours", "ours_dyadic")
    here = Path(sys.executable)
    workers = [Worker(kind, here, (kind, *sizes), THREADS, environment, "qat") for kind in kinds]
    try:
        return [*workers, Worker("brevitas", peers.python("brevitas"), sizes, THREADS)], []
    except PeerError as error:
        return workers, [f"Brevitas could not be installed: {error}"]


def rounds(workers: list[Worker], count: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    """Seconds per step, by processor and by wall time, in every round; the order changes."""
    found: dict[str, dict[str, list[float]]] = {w.name: {"cpu": [], "wall": []} for w in workers}
    for number in range(count):
        for worker in turn(workers, number):
            answer = worker.ask(seconds=seconds)
            for clock in ("cpu", "wall"):
                found[worker.name][clock].append(answer[clock] / answer["calls"])
    return found


def figures(workers: list[Worker], found: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """Medians and ratios to the float step of the same round."""
    rows = []
    for worker in workers:
        times = found[worker.name]
        row: dict[str, Any] = {
            "contestant": worker.name,
            "cpu_ms": 1e3 * median(times["cpu"]),
            "wall_ms": 1e3 * median(times["wall"]),
            "setup": worker.setup,
            "rounds": times,
        }
        for clock in ("cpu", "wall"):
            pairs = zip(times[clock], found["float"][clock], strict=True)
            row[f"{clock}_over_float"] = spread([mine / plain for mine, plain in pairs])
        rows.append(row)
    return rows


def main(count: int = ROUNDS, seconds: float = SECONDS, batch: int = BATCH) -> None:
    """Run, write the record, print the table."""
    workers, missing = contestants(batch)
    with ExitStack() as stack:
        running = [stack.enter_context(worker) for worker in workers]
        rows = figures(running, rounds(running, count, seconds))
    by_name = {row["contestant"]: row for row in rows}
    goals = [
        Target(f"{name}: processor time over the float step", by_name[name]["cpu_over_float"]["median"], WANTED, True)
        for name in ("ours", "ours_dyadic")
    ]
    if "brevitas" in by_name:
        ratio = by_name["brevitas"]["cpu_ms"] / by_name["ours"]["cpu_ms"]
        goals.append(Target("Brevitas' step over ours, processor time", ratio, 1.0))
    settings = {
        "network": "lenet5_caffe",
        "batch": batch,
        "rounds": count,
        "seconds_per_turn": seconds,
        "threads": THREADS,
        "weight_bits": 4,
        "activation_bits": 4,
        "input_bits": 8,
    }
    notes = [
        "ours: power-of-two scales; ours_dyadic: scales with an 8-bit mantissa; both learned.",
        "One thread each, freed memory is kept; contestants take turns, a ratio is formed within a round.",
        *missing,
    ]
    versions = {worker.name: worker.setup["versions"] for worker in running}
    save("qat_step", CLAIM, settings, rows, goals, versions, notes)
    cells = [(r["contestant"], r["cpu_ms"], r["wall_ms"], *r["cpu_over_float"].values()) for r in rows]
    show("Training step, LeNet-5 Caffe", ("step", "cpu ms", "wall ms", "over float: min", "median", "max"), cells)
    show_targets(goals)


if __name__ == "__main__":
    main()
