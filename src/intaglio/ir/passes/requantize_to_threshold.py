"""requantize_to_threshold: few levels are cheaper by comparison than by multiplication."""

import numpy as np

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Requantize, Threshold
from intaglio.ir.passes.rebuild import rebuild
from intaglio.ir.types import Type


def requantize_to_threshold(graph: Graph, max_levels: int = 2) -> Graph:
    """Replace an increasing Requantize of at most `max_levels` output levels by a Threshold, exactly."""

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        if not isinstance(node.op, Requantize):
            return None
        staircase = to_threshold(node.op, builder.type(inputs[0]), max_levels)
        return None if staircase is None else builder.add(node.name, staircase, *inputs)

    return rebuild(graph, rule)


def to_threshold(op: Requantize, x: Type, max_levels: int) -> Threshold | None:
    """The Threshold that equals op for every x of that Type; None when op falls, has other levels, or x has no sign.

    A level that no x reaches is x.range[1] + 1, which needs one bit more than an x without a sign has.
    """
    low, high = op.type(x).range
    if not x.signed or not 1 <= high - low < max_levels or any(m <= 0 for m, _ in op.pairs()):
        return None
    rows = op.first_inputs([range(low + 1, high + 1)], x.range)
    return Threshold(np.array(rows, dtype=object), low, op.scale)
