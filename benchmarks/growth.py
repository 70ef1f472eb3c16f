"""How processor time grows with the size of a network, and what the largest networks of the field take.

A curve is timed at a few sizes; its exponent is the slope of a line through the logarithms. To add one is one line in
`CURVES`: a name, the sizes, and what to prepare and then to time at a size.
"""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isqrt
from typing import Any

import numpy as np

from benchmarks.records import Target, save, show, show_targets
from intaglio.hardware.design import carve
from intaglio.hardware.folding import carve_for_interval, fold_for_area
from intaglio.ir import ops
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.types import Type

CLAIM = "Lowering, carving, timing and text grow with at most the 1.2th power of the nodes; large networks take seconds"
EXPONENT, ROUNDS = 1.2, 3
RESNET8_INTERVAL = 147_456


@dataclass(frozen=True)
class Curve:
    """`prepare(size)` makes the call that is timed."""

    name: str
    sizes: tuple[int, ...]
    prepare: Callable[[int], Callable[[], object]]


@dataclass(frozen=True)
class Limit:
    """The processor seconds that the call which `prepare()` makes may take."""

    name: str
    seconds: float
    prepare: Callable[[], Callable[[], object]]


class Residual:
    """Builds residual networks of random 4-bit weights and activations; `wire` is the end so far."""

    def __init__(self, channels: int, side: int, widest: int = 255) -> None:
        self.random, self.builder = np.random.default_rng(0), Builder()
        self.wire = self.builder.add("x", ops.Input(Type((channels, side, side), (0, widest))))

    def conv(self, wire: int, outputs: int, kernel: int, stride: int = 1, low: int = 0) -> int:
        """A padded convolution and its requantisation to 4 bits, from `low`."""
        inputs, number = self.builder.type(wire).shape[0], len(self.builder.nodes)
        weight = self.random.integers(-7, 8, (outputs, inputs, kernel, kernel))
        conv = ops.Conv2d(weight, stride=(stride, stride), padding=(kernel // 2, kernel // 2))
        wire = self.builder.add(f"conv{number}", conv, wire)
        return self.builder.add(f"q{number}", ops.Requantize(np.ones(1), np.ones(1), 8, low, low + 15), wire)

    def block(self, outputs: int, stride: int = 1) -> None:
        """Two 3x3 convolutions and a shortcut, of 1x1 where the shape changes."""
        start, number = self.wire, len(self.builder.nodes)
        inner = self.conv(self.conv(start, outputs, 3, stride), outputs, 3, low=-8)
        same = self.builder.type(start).shape == self.builder.type(inner).shape
        shortcut = start if same else self.conv(start, outputs, 1, stride, low=-8)
        total = self.builder.add(f"add{number}", ops.Add((1, 1)), inner, shortcut)
        self.wire = self.builder.add(f"relu{number}", ops.Requantize(np.ones(1), np.zeros(1), 0, 0, 15), total)

    def graph(self, classes: int = 0) -> Graph:
        """The network, with average pooling and a dense layer behind it if there are classes."""
        if not classes:
            return self.builder.graph((self.wire,))
        channels, height, width = self.builder.type(self.wire).shape
        size = (height, width)
        wire = self.builder.add("pool", ops.SumPool(size, size, (0, 0)), self.wire)
        wire = self.builder.add("flat", ops.Reshape((channels,)), wire)
        dense = ops.MatMul(self.random.integers(-7, 8, (classes, channels)))
        return self.builder.graph((self.builder.add("fc", dense, wire),))


def resnet(blocks: int, side: int = 32, widths: Sequence[int] = (16, 32, 64)) -> Graph:
    """The CIFAR shape: a convolution, `blocks` residual blocks of each width, pooling, ten classes."""
    network = Residual(3, side)
    network.wire = network.conv(network.wire, widths[0], 3)
    for number, width in enumerate(widths):
        for block in range(blocks):
            network.block(width, 2 if number and not block else 1)
    return network.graph(10)


def chain(blocks: int) -> Graph:
    """Tiny residual blocks one behind the other: 2 channels of 4x4."""
    network = Residual(2, 4)
    network.wire = network.conv(network.wire, 2, 3)
    for _ in range(blocks):
        network.block(2)
    return network.graph()


def dense(layers: int, width: int = 64) -> Graph:
    """Dense layers one behind the other."""
    random, builder = np.random.default_rng(0), Builder()
    wire = builder.add("x", ops.Input(Type((width,), (0, 15))))
    for number in range(layers):
        wire = builder.add(f"fc{number}", ops.MatMul(random.integers(-7, 8, (width, width))), wire)
        wire = builder.add(f"q{number}", ops.Requantize(np.ones(1), np.ones(1), 8, 0, 15), wire)
    return builder.graph((wire,))


def lowered(network: str, *sizes: int) -> Callable[[], Graph]:
    """The call that lowers a network of `torch_networks`; torch is imported here: carving does without."""
    from benchmarks import torch_networks
    from intaglio.twin.lower import lower

    return partial(lower, *getattr(torch_networks, network)(*sizes))


CURVES = (
    Curve("carve, blocks", (12, 25, 50, 100, 200), lambda n: partial(carve, chain(n))),
    Curve("timing, blocks", (25, 50, 100, 200, 400), lambda n: partial(carve(chain(n)).timing, 3)),
    Curve("carve, side of one block", (8, 16, 32, 64), lambda n: partial(carve, resnet(1, n, (4,)))),
    Curve("fold for an area, layers", (8, 16, 32, 64), lambda n: partial(fold_for_area, dense(n), 1e6)),
    Curve("lower, layers", (25, 50, 100, 200, 400), lambda n: lowered("dense", n, 4)),
    Curve("lower, residual blocks", (12, 25, 50, 100, 200), lambda n: lowered("residual", n)),
    Curve("text, residual blocks", (50, 100, 200, 400, 800), lambda n: chain(n).text),
    Curve("text, weights of a layer", (2**16, 2**18, 2**20, 2**22), lambda n: dense(1, isqrt(n)).text),
    Curve("parse, residual blocks", (50, 100, 200, 400, 800), lambda n: partial(Graph.parse, chain(n).text())),
)
LIMITS = (
    Limit("carve ResNet-8", 10, lambda: partial(carve, resnet(1))),
    Limit("carve ResNet-8 for an interval", 10, lambda: partial(carve_for_interval, resnet(1), RESNET8_INTERVAL)),
    Limit("carve ResNet-20", 60, lambda: partial(carve, resnet(3))),
    Limit("carve 100 tiny residual blocks", 30, lambda: partial(carve, chain(100))),
    Limit("lower ResNet-18", 3, lambda: lowered("resnet18")),
    Limit("lower four layers of 4096x4096", 20, lambda: lowered("dense", 4, 4096)),
)
GIGABYTE = 1024.0
"""MiB that carving ResNet-8 may take."""


def seconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Processor seconds of a call, the least of a few."""
    found: list[float] = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def exponent(sizes: Sequence[int], times: Sequence[float]) -> float:
    """The slope of the least squares line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def peak() -> float:
    """MiB that this process has taken at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run, write the record, print the tables."""
    figures: list[dict[str, Any]] = []
    goals: list[Target] = []
    for limit in LIMITS:
        taken = seconds(limit.prepare(), 1)
        figures.append({"case": limit.name, "cpu_s": taken, "peak_mib": peak()})
        goals.append(Target(f"{limit.name}: processor seconds", taken, limit.seconds, at_most=True))
    goals.append(Target("carve ResNet-8: MiB of the process", figures[0]["peak_mib"], GIGABYTE, at_most=True))
    for curve in CURVES:
        times = [seconds(curve.prepare(size)) for size in curve.sizes]
        slope = exponent(curve.sizes, times)
        figures.append({"case": curve.name, "sizes": curve.sizes, "cpu_s": times, "exponent": slope})
        if "side" not in curve.name:
            goals.append(Target(f"{curve.name}: exponent", slope, EXPONENT, at_most=True))
    save("growth", CLAIM, {"rounds": ROUNDS, "seed": 0}, figures, goals, notes=["One thread; least of the rounds."])
    show("Growth", ("case", "exponent"), [(f["case"], f.get("exponent")) for f in figures if "exponent" in f])
    show_targets(goals)


if __name__ == "__main__":
    main()
