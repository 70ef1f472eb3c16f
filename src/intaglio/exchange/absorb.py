"""What reading a file leaves behind an operation and what that operation can do itself: signs, offsets, scales."""

from dataclasses import replace

import numpy as np

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Conv2d, Lookup, MatMul, Requantize, Threshold
from intaglio.ir.passes.rebuild import rebuild
from intaglio.ir.types import Array


def absorb_signs(graph: Graph) -> Graph:
    """Negate rows of weights instead of their sums, where nothing else reads the sums."""
    moved = {user: position for position in range(len(graph.nodes)) if (user := _sign_behind(graph, position))}
    taken = {position: user for user, position in moved.items()}

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        if position in moved:
            return inputs[0]
        if position not in taken or not isinstance(node.op, MatMul | Conv2d):
            return None
        signs = np.broadcast_to(_signs(graph, taken[position]), len(node.op.weight))
        weight = node.op.weight * signs.reshape(-1, *[1] * (node.op.weight.ndim - 1))
        return builder.add(node.name, replace(node.op, weight=weight), *inputs)

    return rebuild(graph, rule)


def _sign_behind(graph: Graph, position: int) -> int | None:
    """The only reader of a product, where it does nothing but change signs."""
    users = graph.users(position)
    if not isinstance(graph.nodes[position].op, MatMul | Conv2d) or len(users) != 1 or position in graph.outputs:
        return None
    reader = graph.nodes[users[0]]
    if not isinstance(reader.op, Requantize) or reader.type.scale != graph.nodes[position].type.scale:
        return None
    op, low, high = reader.op, *graph.nodes[position].type.range
    plain = op.shift == 0 and not op.offset.any() and (np.abs(op.multiplier) == 1).all()
    bound = max(abs(low), abs(high))
    return users[0] if plain and op.low <= -bound and op.high >= bound else None


def _signs(graph: Graph, position: int) -> Array:
    op = graph.nodes[position].op
    assert isinstance(op, Requantize)
    return op.multiplier


def absorb_offsets(graph: Graph) -> Graph:
    """Count from another base, or look other integers up, instead of adding a constant to the result."""

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        if not isinstance(node.op, Requantize) or node.inputs[0] in graph.outputs:
            return None
        before = builder.nodes[inputs[0]]
        if len(graph.users(node.inputs[0])) > 1 or not _only_adds(node.op, before.type.range):
            return None
        offset = int(node.op.offset[0])
        match before.op:
            case Threshold() as op:
                return builder.add(node.name, replace(op, base=op.base + offset, scale=node.op.scale), *before.inputs)
            case Lookup() as op:
                return builder.add(node.name, replace(op, table=op.table + offset, scale=node.op.scale), *before.inputs)
            case _:
                return None

    return rebuild(graph, rule)


def _only_adds(op: Requantize, interval: tuple[int, int]) -> bool:
    (low, high), *others = op.unclipped(interval)
    plain = not others and op.shift == 0 and op.multiplier[0] == 1
    return bool(plain and low >= op.low and high <= op.high)
