"""Damaged files: every reader is right or says so with an IntaglioError, in time and memory in proportion to the file.

Of 100,000 seeded mutations of good files, each is read under an address space of 4 GiB. Right means: a network of an
ONNX file computes what an evaluator written from the specifications computes, a Graph prints as what it was read from,
an array has the shape of its header. Finished blocks are logged, so a run that was stopped, or that crashed, goes on.
"""

import argparse
import gzip
import json
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.mutations import Random, damaged_bytes, damaged_json, damaged_onnx, damaged_text, pick
from benchmarks.records import Target, save, show, show_targets
from intaglio.datasets import Dataset, Split, read_idx
from intaglio.exchange import read_qonnx, write_qonnx
from intaglio.ir import Graph
from intaglio.ir.encodings import ENCODINGS, Dense
from intaglio.ir.errors import IntaglioError
from intaglio.measure import RunFolder
from intaglio.methods import Recipe
from intaglio.reading import read_text
from intaglio.report import from_json, to_json
from intaglio.run import storage
from intaglio.run.job import DEFAULT, load_job
from intaglio.train import fit, load_weights, save_weights
from tests.report.sample import sample
from tests.support.onnx_models import evaluate
from tests.support.random_files import RandomFile
from tests.support.random_graphs import RandomGraph

COUNT, BLOCK, SEED = 100_000, 500, 20
SECONDS, STOPPED, SPACE = 5.0, 30, 4 << 30
FILES = 48
LOG = Path("build/hostile_files.jsonl")
CLAIM = "Every damaged file is read right or refused with an IntaglioError, in 5 s and 4 GiB"

Case = tuple[bytes, Callable[[Path], Any]]
"""A damaged file, and what reads it and checks what was read."""


class Wrong(Exception):
    """What was read is not what stands in the file."""


def _onnx(random: Random, folder: Path) -> Case:
    number = int(random.integers(FILES))
    content, given = _onnx_file(number, folder)

    def read(path: Path) -> None:
        found = read_qonnx(path, given)
        if found.exact and len(found.inputs) == 1 and sum(node.type.size for node in found.graph.nodes) < 20_000:
            _compare(path, found, random)

    return damaged_onnx(random, content), read


@cache
def _onnx_file(number: int, folder: Path) -> tuple[bytes, Any]:
    path = folder / f"seed{number}.onnx"
    if number % 4 == 0:
        with suppress(IntaglioError):  # a Graph that float32 does not hold
            write_qonnx(_graph(number), path)
            return path.read_bytes(), _graph(number).input_types[0]
    file = RandomFile(number)
    return file.save(path).read_bytes(), file.type


def _compare(path: Path, found: Any, random: Random) -> None:
    """The network on one sample against the evaluator, where that knows the file's forms."""
    of, encoder = found.graph.input_types[0], found.inputs[0]
    low, high = of.range
    x = random.integers(max(low, -(2**20)), min(high, 2**20) + 1, (1, *of.shape))
    real = (x * float(of.scale[0].numerator) / float(of.scale[0].denominator)).astype(np.float32)
    real = real.reshape(1, *encoder.shape)
    try:
        theirs = evaluate(path, real)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, TypeError, ValueError):
        return
    for mine, other in zip(found(*found.encode(real)), theirs, strict=False):
        if mine.shape == np.shape(other) and not np.array_equal(mine, other):
            raise Wrong(f"{int((mine != other).sum())} of {mine.size} outputs differ")


@cache
def _graph(number: int) -> Graph:
    """A random Graph."""
    return RandomGraph(number).graph


def _text(random: Random, folder: Path) -> Case:
    def read(path: Path) -> None:
        graph = Graph.parse(read_text(path))
        if Graph.parse(graph.text()) != graph:
            raise Wrong("the Graph prints as another one")

    return damaged_text(random, _printed(int(random.integers(FILES)))), read


@cache
def _printed(number: int) -> str:
    return _graph(number).text()


def _idx(random: Random, folder: Path) -> Case:
    shape = tuple(int(size) for size in random.integers(1, 9, int(random.integers(1, 5))))
    data = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape) + random.bytes(int(np.prod(shape)))
    if random.random() < 0.3:
        data = data[:4] + struct.pack(">I", int(pick(random, (10**9, 2**32 - 1, 0)))) + data[8:]
    if random.random() < 0.5:
        bomb = bytes(1 << 24) if random.random() < 0.01 else b""
        data = gzip.compress(data + bomb)
    return damaged_bytes(random, data), read_idx


JOB = DEFAULT.read_text(encoding="utf-8")
RECIPE = "allow_loss: false\nmethods:\n- prune: {sparsity: 0.5}\n- fixed_point: {weight_bits: 4, input_bits: 8}\n"


def _job(random: Random, folder: Path) -> Case:
    def read(path: Path) -> None:
        name = load_job(path).name
        if Path("runs", name).resolve().parent != Path("runs").resolve():
            raise Wrong(f"the name {name!r} leaves its folder")

    return damaged_text(random, JOB), read


def _recipe(random: Random, folder: Path) -> Case:
    return damaged_text(random, RECIPE), lambda path: Recipe.from_yaml(read_text(path))


@cache
def _stored(number: int) -> tuple[Graph, bytes]:
    return _graph(number), storage.write(_graph(number))


def _constants(random: Random, folder: Path) -> Case:
    graph, data = _stored(int(random.integers(FILES)))

    def read(path: Path) -> None:
        total = sum(matrix.size for matrix in storage.read(path.read_bytes()))
        if total > 1 << 29:
            raise Wrong(f"{total} values of {len(data)} bytes")
        storage.verify(graph, path.read_bytes())

    return damaged_bytes(random, data), read


def _encoding(random: Random, folder: Path) -> Case:
    shape = tuple(int(size) for size in random.integers(1, 20, 2))
    matrix = random.integers(-8, 8, shape) * (random.random(shape) < random.random()) << int(random.integers(20))
    form = pick(random, ENCODINGS).encode(matrix) or Dense.encode(matrix)

    def read(path: Path) -> None:
        type(form).from_bytes(path.read_bytes()).decode()

    return damaged_bytes(random, form.to_bytes()), read


@cache
def _samples() -> tuple[str, str]:
    return json.dumps([m.record() for m in sample().measurements]), to_json(sample())


def _measurements(random: Random, folder: Path) -> Case:
    return damaged_json(random, _samples()[0]), lambda path: RunFolder(path.parent).read_measurements()


def _report(random: Random, folder: Path) -> Case:
    return damaged_json(random, _samples()[1]), lambda path: from_json(read_text(path))


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))


@cache
def _weights(folder: Path) -> bytes:
    save_weights(_network(), folder / "seed.safetensors")
    return (folder / "seed.safetensors").read_bytes()


def _safetensors(random: Random, folder: Path) -> Case:
    return damaged_bytes(random, _weights(folder)), lambda path: load_weights(_network(), path)


def _trained(folder: Path) -> None:
    torch.manual_seed(0)
    split = Split(torch.rand(4, 4), torch.tensor([0, 1, 2, 0]))
    history = fit(_network(), Dataset("set", split, split, split, 3), 2, 0.1, checkpoint=folder)
    if len(history) != 2:
        raise Wrong(f"{len(history)} epochs")


@cache
def _state(folder: Path) -> bytes:
    _trained(folder / "seed")
    return (folder / "seed" / "checkpoint.pt").read_bytes()


def _checkpoint(random: Random, folder: Path) -> Case:
    return damaged_bytes(random, _state(folder)), lambda path: _trained(path.parent)


READERS: dict[str, tuple[str, Callable[[Random, Path], Case]]] = {
    "onnx": ("file.onnx", _onnx), "onnx again": ("file.onnx", _onnx), "graph": ("graph.txt", _text),
    "idx": ("images", _idx),
    "job": ("job.yaml", _job), "recipe": ("recipe.yaml", _recipe), "constants": ("constants.bin", _constants),
    "encoding": ("form", _encoding), "measurements": ("measurements.json", _measurements),
    "report": ("report.json", _report), "weights": ("w.safetensors", _safetensors),
    "checkpoint": ("checkpoint.pt", _checkpoint),
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of one file: `right`, `refused`, or a problem in words; processor seconds."""

    reader: str
    what: str
    seconds: float


def one(number: int, folder: Path) -> Outcome:
    """Damage a file by the number as seed, and read it."""
    name = list(READERS)[number % len(READERS)]
    file, make = READERS[name]
    content, read = make(np.random.default_rng([SEED, number]), folder)
    path = folder / file
    path.write_bytes(content)
    start = time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, STOPPED)
    try:
        read(path)
        what = "right"
    except IntaglioError as error:
        what = "refused" if str(error) else "an error without words"
    except Exception:
        what = traceback.format_exc(limit=-3)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return Outcome(name, what, time.process_time() - start)


def block(first: int, count: int, folder: Path, mark: Path) -> dict[str, Any]:
    """Outcomes of numbers from `first` on, counted; `mark` names the one at work, should it end the process."""
    counts: Counter[str] = Counter()
    problems, slowest = {}, 0.0
    for number in range(first, first + count):
        mark.write_text(str(number), encoding="utf-8")
        found = one(number, folder)
        counts[f"{found.reader}, {found.what if found.what in ('right', 'refused') else 'problem'}"] += 1
        if found.what not in ("right", "refused") or found.seconds > SECONDS:
            problems[str(number)] = f"{found.seconds:.1f} s: {found.what}"
        slowest = max(slowest, found.seconds)
    return {"first": first, "count": count, "counts": counts, "problems": problems, "slowest": slowest}


def _finished(log: Path) -> dict[int, dict[str, Any]]:
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return {record["first"]: record for line in lines if line.endswith("}") for record in [json.loads(line)]}


def _run(count: int, log: Path) -> list[dict[str, Any]]:
    """All blocks; those of the log are done already, and one that crashed is a problem."""
    log.parent.mkdir(parents=True, exist_ok=True)
    mark = log.with_suffix(".at")
    crashed = mark.read_text(encoding="utf-8") if mark.exists() else ""
    with tempfile.TemporaryDirectory() as folder, log.open("a", encoding="utf-8") as out:
        out.write("\n")  # behind a line that was cut off
        for first in range(0, count, BLOCK):
            if first in _finished(log):
                continue
            if crashed.isdigit() and first <= int(crashed) < first + BLOCK:
                print(f"number {crashed} ended the process, or it was stopped there", flush=True)
            record = block(first, min(BLOCK, count - first), Path(folder), mark)
            out.write(json.dumps(record) + "\n")
            out.flush()
            for number, problem in record["problems"].items():
                print(number, problem, flush=True)
    mark.unlink(missing_ok=True)
    return [record for first, record in _finished(log).items() if first < count]


def _stop(*_: object) -> None:
    raise TimeoutError(f"more than {STOPPED} s of processor time")


def main() -> int:
    """Run, log, sum up; exit status 1 when a reader was wrong, crashed or took too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--log", type=Path, default=LOG)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
    signal.signal(signal.SIGVTALRM, _stop)
    records = _run(options.count, options.log)
    counts = sum((Counter(record["counts"]) for record in records), Counter[str]())
    problems = {number: text for record in records for number, text in record["problems"].items()}
    slowest = max(record["slowest"] for record in records)
    rows = [(name, *(counts[f"{name}, {what}"] for what in ("right", "refused", "problem"))) for name in READERS]
    show("Damaged files", ("reader", "right", "refused", "problem"), rows)
    figures = [dict(zip(("reader", "right", "refused", "problem"), row, strict=True)) for row in rows]
    targets = [
        Target("damaged files that were read", sum(counts.values()), COUNT),
        Target("files with another outcome than right or refused", len(problems), 0, at_most=True),
        Target("processor seconds of the slowest file", slowest, SECONDS, at_most=True),
    ]
    settings = {"seed": SEED, "address_space_bytes": SPACE, "block": BLOCK}
    save("hostile_files", CLAIM, settings, figures, targets, notes=[f"{n}: {text}" for n, text in problems.items()])
    show_targets(targets)
    return 0 if all(target.met for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
