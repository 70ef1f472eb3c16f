"""What every pass is made of: a walk over the nodes that builds a new Graph."""

from collections.abc import Callable

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.node import Node
from intaglio.ir.ops import Input

Rule = Callable[[Builder, int, tuple[int, ...]], int | None]
"""(builder, position in the old Graph, inputs in the new one) -> position in the new one, or None to copy."""


def rebuild(graph: Graph, rule: Rule) -> Graph:
    """Build the Graph again by a rule per node, then drop nodes that nothing reads (never an Input)."""
    builder = Builder()
    places: list[int] = []
    for position, node in enumerate(graph.nodes):
        inputs = tuple(places[wire] for wire in node.inputs)
        place = rule(builder, position, inputs)
        old = [graph.nodes[wire].type for wire in node.inputs]
        places.append(builder.keep(node, old, *inputs) if place is None else place)
    return _reached(builder.nodes, [places[output] for output in graph.outputs])


def _reached(nodes: list[Node], outputs: list[int]) -> Graph:
    needed = set(outputs)
    for position in range(len(nodes) - 1, -1, -1):
        if position in needed:
            needed.update(nodes[position].inputs)
    builder = Builder()
    places: dict[int, int] = {}
    for position, node in enumerate(nodes):
        if position in needed or isinstance(node.op, Input):
            old = [nodes[wire].type for wire in node.inputs]
            places[position] = builder.keep(node, old, *(places[wire] for wire in node.inputs))
    return builder.graph(places[output] for output in outputs)
