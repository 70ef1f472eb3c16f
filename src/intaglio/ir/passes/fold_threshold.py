"""fold_threshold: comparisons of requantised values become comparisons of the values before."""

import numpy as np

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Requantize, Threshold
from intaglio.ir.passes.rebuild import rebuild
from intaglio.ir.types import Type


def fold_threshold(graph: Graph) -> Graph:
    """Threshold(r(x)) is a Threshold of x, exactly, for an increasing Requantize r that nothing else reads.

    r(x) >= t holds always for t <= low, never for t > high, else from x = ceil((t * 2**s - o) / m) on.
    """

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        if not isinstance(node.op, Threshold):
            return None
        source = node.inputs[0]
        first = builder.nodes[inputs[0]]
        if source in graph.outputs or len(graph.users(source)) > 1 or not isinstance(first.op, Requantize):
            return None
        folded = fold(first.op, node.op, builder.type(first.inputs[0]))
        return None if folded is None else builder.add(node.name, folded, *first.inputs)

    return rebuild(graph, rule)


def fold(first: Requantize, second: Threshold, x: Type) -> Threshold | None:
    """The Threshold that equals second(first(x)) for every x of that Type; None when first does not increase."""
    if any(m <= 0 for m, _ in first.pairs()):
        return None
    channels = max(first.channels, len(second.thresholds))
    pairs = first.pairs() * (channels // first.channels)
    limits = second.thresholds.tolist() * (channels // len(second.thresholds))
    rows = [[_least(first, m, o, t, x) for t in row] for (m, o), row in zip(pairs, limits, strict=True)]
    return Threshold(np.array(rows, dtype=object), second.base, second.scale)


def _least(op: Requantize, m: int, o: int, level: int, x: Type) -> int:
    """The least x of the range with r(x) >= level, or one above the range."""
    low, high = x.range
    if level <= op.low:
        return low
    return high + 1 if level > op.high else min(max(-((o - (level << op.shift)) // m), low), high + 1)
