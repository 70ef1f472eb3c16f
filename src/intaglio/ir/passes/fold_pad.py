"""fold_pad: a constant border becomes the padding of the convolution or the pool behind it."""

from dataclasses import replace

from intaglio.ir.errors import ShapeError
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Conv2d, MaxPool, Pad, SumPool
from intaglio.ir.passes.rebuild import rebuild
from intaglio.ir.types import Type


def fold_pad(graph: Graph) -> Graph:
    """A convolution or a pool of Pad(x) takes the border as its own padding, where the values agree.

    A convolution takes any value, or what it pads with itself; a sum takes zeros; a maximum takes values that are
    never above its input, unless a window would lie in the border alone.
    """

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        border = builder.nodes[inputs[0]] if inputs else node
        if not isinstance(border.op, Pad):
            return None
        op = _padded(node.op, border.op, builder.type(border.inputs[0]))
        try:
            return None if op is None else builder.add(node.name, op, *border.inputs)
        except ShapeError:  # a window in the border alone
            return None

    return rebuild(graph, rule)


def _padded(op: object, border: Pad, kind: Type) -> Conv2d | MaxPool | SumPool | None:
    """The operation with the border as its padding; None where the values differ."""
    match op:
        case Conv2d() if not any(op.padding) or op.pad_value == border.value:
            return replace(op, padding=_sum(op.padding, border.padding), pad_value=border.value)
        case MaxPool() if border.value <= kind.range[0]:
            return replace(op, padding=_sum(op.padding, border.padding))
        case SumPool() if border.value == 0:
            return replace(op, padding=_sum(op.padding, border.padding))
        case _:
            return None


def _sum(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] + b[0], a[1] + b[1]
