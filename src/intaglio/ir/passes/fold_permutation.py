"""fold_permutation: a convolution that only rearranges channels becomes part of the weights behind it."""

from dataclasses import replace

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Conv2d
from intaglio.ir.passes.rebuild import rebuild


def fold_permutation(graph: Graph) -> Graph:
    """Conv2d(P x) of one group, P a permutation of channels, takes the columns of its weights in another order."""

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        before = builder.nodes[inputs[0]] if inputs else node
        if not isinstance(node.op, Conv2d) or node.op.groups != 1:
            return None
        if not isinstance(before.op, Conv2d) or not _permutes(before.op):
            return None
        order = before.op.weight[:, :, 0, 0].argmax(0)
        return builder.add(node.name, replace(node.op, weight=node.op.weight[:, order]), *before.inputs)

    return rebuild(graph, rule)


def _permutes(op: Conv2d) -> bool:
    """Whether a convolution is 1 x 1 with a permutation as weight, on a scale of one."""
    if op.weight.shape[2:] != (1, 1) or op.groups != 1 or set(op.scale) != {1}:
        return False
    plain = op.stride == (1, 1) and op.padding == (0, 0)
    matrix = op.weight[:, :, 0, 0]
    one = bool((matrix.sum(0) == 1).all() and (matrix.sum(1) == 1).all() and (matrix >= 0).all())
    return plain and matrix.shape[0] == matrix.shape[1] and one
