"""fold_pad: a constant border becomes the padding of the convolution behind it."""

from dataclasses import replace

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Conv2d, Pad
from intaglio.ir.passes.rebuild import rebuild


def fold_pad(graph: Graph) -> Graph:
    """Conv2d(Pad(x)) is a Conv2d with that padding and pad value, where the convolution has none of its own."""

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        if not isinstance(node.op, Conv2d) or any(node.op.padding):
            return None
        border = builder.nodes[inputs[0]]
        if not isinstance(border.op, Pad):
            return None
        op = replace(node.op, padding=border.op.padding, pad_value=border.op.value)
        return builder.add(node.name, op, *border.inputs)

    return rebuild(graph, rule)
