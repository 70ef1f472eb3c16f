"""fold_threshold: comparisons of requantised values become comparisons of the values before."""

import numpy as np

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Requantize, Threshold
from intaglio.ir.passes.rebuild import rebuild
from intaglio.ir.types import Type


def fold_threshold(graph: Graph) -> Graph:
    """Threshold(r(x)) is a Threshold of x, exactly, for an increasing Requantize r that nothing else reads.

    r(x) >= t is a comparison of x with the first input that reaches t.
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
    rows = first.first_inputs(second.thresholds.tolist(), x.range)
    return Threshold(np.array(rows, dtype=object), second.base, second.scale)
