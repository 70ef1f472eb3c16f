"""move_affine: wires carry narrow integers, and the affine that widens them moves behind the next operation.

A sign activation is 2 b - 1 with one bit b. Behind a dot product the affine is another one, with an offset per row,
which merges into the thresholds that follow: what flows is the bit.
"""

from dataclasses import replace
from fractions import Fraction

from intaglio.ir.affine import Pair, reach
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.op import Op
from intaglio.ir.ops import Conv2d, MatMul, MaxPool, Pad, Requantize, Reshape, Threshold
from intaglio.ir.passes.rebuild import rebuild
from intaglio.ir.types import Type


def move_affine(graph: Graph) -> Graph:
    """f(m x + o) = m f'(x) + o' for f a MatMul, Conv2d, MaxPool, Pad or Reshape, where x has fewer bits than m x + o.

    Only one pair (m > 0, o) without shift or a clip that binds, read by nothing else; a pad value must have an
    integer preimage. The walk is in order, so an affine moves on until something stops it.
    """

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        if len(node.inputs) != 1 or node.inputs[0] in graph.outputs or len(graph.users(node.inputs[0])) > 1:
            return None
        affine = builder.nodes[inputs[0]]
        if not isinstance(affine.op, Requantize):
            return None
        x = builder.type(affine.inputs[0])
        pair = _affine(affine.op, x, affine.type)
        moved = None if pair is None else _moved(node.op, *pair)
        if pair is None or moved is None:
            return None
        core = builder.add(node.name, moved[0], affine.inputs[0])
        bounds = None if _merges(graph, position) else node.type.range
        behind = _requantize(pair[0], moved[1], builder.type(core), node.type.scale, bounds)
        return builder.add(f"{node.name}.affine", behind, core)

    return rebuild(graph, rule)


def _affine(op: Requantize, x: Type, result: Type) -> Pair | None:
    """(m, o) of a Requantize that only widens, without shift and clip."""
    if op.shift or op.channels != 1 or len(x.scale) != 1 or x.bits >= result.bits:
        return None
    (pair,), ((low, high),) = op.pairs(), op.unclipped(x.range)
    return None if pair[0] < 1 or low < op.low or high > op.high else pair


def _moved(op: Op, m: int, o: int) -> tuple[Op, list[int]] | None:
    """The operation on x, and the offsets (one, or one per row) of the affine behind it."""
    match op:
        case Reshape() | MaxPool():
            return op, [o]
        case MatMul():
            return op, [o * total for total in op.sums.totals]
        case Pad() if (op.value - o) % m == 0:
            return replace(op, value=(op.value - o) // m), [o]
        case Conv2d() if not any(op.padding) or (op.pad_value - o) % m == 0:
            inner = (op.pad_value - o) // m if any(op.padding) else 0
            return replace(op, pad_value=inner), [o * total for total in op.sums.totals]
        case _:
            return None


def _merges(graph: Graph, position: int) -> bool:
    """Whether what reads a node takes an affine in."""
    users = [graph.nodes[user].op for user in graph.users(position)]
    return position not in graph.outputs and len(users) == 1 and isinstance(users[0], Requantize | Threshold)


def _requantize(m: int, offsets: list[int], x: Type, scale: tuple[Fraction, ...], bounds: Pair | None) -> Requantize:
    """m x + o per channel, clipped to the proved bounds, or, to be merged, at ends that never bind."""
    return Requantize.of(m, offsets, bounds or reach([m], offsets, x.range), scale)
