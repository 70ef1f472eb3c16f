"""minimise_requantize: the narrowest constants of a Requantize."""

import numpy as np

from intaglio.ir.affine import shared
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Requantize
from intaglio.ir.passes.rebuild import rebuild
from intaglio.ir.types import Type


def minimise_requantize(graph: Graph) -> Graph:
    """Strip powers of two that all multipliers share, and clip to the proved range.

    floor((x * m * 2**j + o) / 2**s) = floor((x * m + floor(o / 2**j)) / 2**(s - j)), exactly.
    """

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        if not isinstance(node.op, Requantize):
            return None
        return builder.add(node.name, minimise(node.op, builder.type(inputs[0])), *inputs)

    return rebuild(graph, rule)


def minimise(op: Requantize, x: Type) -> Requantize:
    """The same function of x with the smallest multipliers, shift and clip range."""
    common = int(np.gcd.reduce(op.multiplier))
    twos = (common & -common).bit_length() - 1 if common else op.shift
    strip = min(twos, op.shift)
    low, high = op.type(x).range
    return Requantize(
        shared(op.multiplier >> strip), shared(op.offset >> strip), op.shift - strip, low, high, op.scale
    )
