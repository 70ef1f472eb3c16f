"""drop_identity: remove operations that change nothing."""

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.node import Node
from intaglio.ir.ops import Align, Concat, Input, MaxPool, Requantize, Reshape, SumPool
from intaglio.ir.passes.rebuild import rebuild
from intaglio.ir.types import Type


def drop_identity(graph: Graph) -> Graph:
    """Let the users of an identity read its input; kept where an output would become a bare Input."""

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        if len(inputs) != 1 or not is_identity(node, builder.type(inputs[0])):
            return None
        if position in graph.outputs and isinstance(builder.nodes[inputs[0]].op, Input):
            return None
        return inputs[0]

    return rebuild(graph, rule)


def is_identity(node: Node, x: Type) -> bool:
    """Whether a node with one input of that Type gives it back: the same values, shape and scale.

    An equal Type says that shape and scale stay, and that no clip binds.
    """
    if node.op.type(x) != x:
        return False
    match node.op:
        case Requantize() as op:
            return op.shift == 0 and all(pair == (1, 0) for pair in op.pairs())
        case MaxPool() | SumPool():
            return node.op.kernel == (1, 1) and node.op.padding == (0, 0)
        case Align():
            return node.op.largest_shift(x) == 0
        case Concat():
            return node.op.multipliers == (1,)
        case _:
            return isinstance(node.op, Reshape)
