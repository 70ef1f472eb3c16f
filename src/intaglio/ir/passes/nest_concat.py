"""nest_concat: a concatenation of many tensors becomes a chain of concatenations of two, as hardware joins them."""

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Concat
from intaglio.ir.passes.rebuild import rebuild


def nest_concat(graph: Graph) -> Graph:
    """Concat(a, b, c) is Concat(Concat(a, b), c): multipliers stay with their tensors, what is joined keeps a grid."""

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        if not isinstance(node.op, Concat) or len(inputs) <= 2:
            return None
        multipliers = node.op.multipliers
        joined, factor = inputs[0], multipliers[0]
        for number, (wire, multiplier) in enumerate(zip(inputs[1:], multipliers[1:], strict=True), start=2):
            name = node.name if number == len(inputs) else f"{node.name}.{number}"
            joined, factor = builder.add(name, Concat((factor, multiplier)), joined, wire), 1
        return joined

    return rebuild(graph, rule)
