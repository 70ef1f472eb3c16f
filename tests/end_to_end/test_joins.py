"""Where streams split and join again: FIFO depths are minimal in the hardware, not only in the model."""

from pathlib import Path

import numpy as np
import pytest
from support.check import check

from intaglio.hardware.design import Design, Fold, carve
from intaglio.hardware.emit import emit
from intaglio.hardware.simulate import build
from intaglio.hardware.verify import Comparison, compare
from intaglio.ir import ops
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.types import Type

FRAMES = 12


def residual(convolutions: int, concat: bool, shape: tuple[int, int, int] = (2, 6, 5)) -> Graph:
    """x joined with a chain of convolutions of x."""
    random, builder = np.random.default_rng(0), Builder()
    wire = inner = builder.add("x", ops.Input(Type(shape, (0, 7))))
    for number in range(convolutions):
        weight = random.integers(-3, 4, (shape[0], shape[0], 3, 3))
        inner = builder.add(f"conv{number}", ops.Conv2d(weight, padding=(1, 1)), inner)
        inner = builder.add(f"q{number}", ops.Requantize(np.ones(1), np.ones(1), 4, 0, 7), inner)
    return builder.graph((builder.add("join", ops.Concat((1, 1)) if concat else ops.Add((1, 1)), inner, wire),))


def blocks(strides: tuple[int, ...]) -> Graph:
    """Residual blocks one behind the other; those that stride have a 1x1 convolution as shortcut."""
    random, builder = np.random.default_rng(0), Builder()

    def conv(name: str, wire: int, outputs: int, kernel: int, stride: int) -> int:
        weight = random.integers(-3, 4, (outputs, builder.nodes[wire].type.shape[0], kernel, kernel))
        padding = (kernel // 2, kernel // 2)
        wire = builder.add(name, ops.Conv2d(weight, stride=(stride, stride), padding=padding), wire)
        return builder.add(f"{name}.q", ops.Requantize(np.ones(1), np.ones(1), 4, 0, 7), wire)

    wire = builder.add("x", ops.Input(Type((2, 8, 6), (0, 7))))
    for n, stride in enumerate(strides):
        inner = conv(f"b{n}", conv(f"a{n}", wire, 2 * stride, 3, stride), 2 * stride, 3, 1)
        same = builder.nodes[wire].type.shape == builder.nodes[inner].type.shape
        wire = wire if same else conv(f"s{n}", wire, 2 * stride, 1, stride)
        wire = builder.add(f"add{n}", ops.Add((1, 1)), inner, wire)
        wire = builder.add(f"relu{n}", ops.Requantize(np.ones(1), np.zeros(1), 1, 0, 7), wire)
    return builder.graph((wire,))


@pytest.mark.parametrize(
    "graph",
    [residual(2, False, (4, 16, 16)), blocks((1, 2, 2)), blocks((1, 1, 1, 1))],
    ids=["16x16", "strided", "chain"],
)
def test_residual_networks_take_the_cycles_that_were_modelled(graph: Graph, tmp_path: Path) -> None:
    folding = {n.name: Fold(2, 1) for n in graph.nodes if isinstance(n.op, ops.Conv2d)}
    low, high = graph.input_types[0].range
    inputs = np.random.default_rng(1).integers(low, high + 1, (4, *graph.input_types[0].shape))
    assert not check(graph, folding, inputs, tmp_path, backends=("verilator",), netlist_units=0).problems


def run(design: Design, directory: Path) -> Comparison:
    """A saturated run of the emitted design."""
    low, high = design.graph.input_types[0].range
    images = np.random.default_rng(1).integers(low, high + 1, (FRAMES, *design.graph.input_types[0].shape))
    return compare(design, build(emit(design, directory)), images, patience=20_000)


@pytest.mark.parametrize(("convolutions", "concat"), [(1, False), (2, False), (1, True)])
def test_one_word_less_slows_or_deadlocks(convolutions: int, concat: bool, tmp_path: Path) -> None:
    graph = residual(convolutions, concat)
    design = carve(graph, {node.name: Fold(1, 2) for node in graph.nodes if isinstance(node.op, ops.Conv2d)})
    right = run(design, tmp_path / "right")
    assert right.equal
    interval = int(np.diff(right.trace.last_out)[-1])
    assert interval == design.interval
    depths = design.forks[0].depths
    assert max(depths) > 1
    for branch in [b for b, depth in enumerate(depths) if depth > 1]:
        less = tuple(d - (b == branch) for b, d in enumerate(depths))
        starved = run(design.with_depths({design.forks[0].name: less}), tmp_path / f"less{branch}")
        assert not starved.trace.finished or int(np.diff(starved.trace.last_out)[-1]) > interval
