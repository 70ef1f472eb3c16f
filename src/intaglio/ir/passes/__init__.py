"""Rewrites of a Graph, each exactly value preserving, and the list that `optimise` runs."""

from collections.abc import Callable
from dataclasses import replace

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Requantize
from intaglio.ir.passes.drop_identity import drop_identity
from intaglio.ir.passes.fold_pad import fold_pad
from intaglio.ir.passes.fold_permutation import fold_permutation
from intaglio.ir.passes.fold_threshold import fold_threshold
from intaglio.ir.passes.fuse_requantize import fuse_requantize
from intaglio.ir.passes.minimise_requantize import minimise_requantize
from intaglio.ir.passes.move_affine import move_affine
from intaglio.ir.passes.nest_concat import nest_concat
from intaglio.ir.passes.rebuild import rebuild
from intaglio.ir.passes.requantize_to_threshold import requantize_to_threshold

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    drop_identity,
    nest_concat,
    fold_pad,
    fold_permutation,
    move_affine,
    fuse_requantize,
    drop_identity,
    fold_threshold,
    minimise_requantize,
    requantize_to_threshold,
)


def optimise(graph: Graph) -> Graph:
    """Run every pass of `PASSES`, in order; the outputs keep the ranges that were proved before."""
    bounds = [kind.range for kind in graph.output_types]
    for rewrite in PASSES:
        graph = rewrite(graph)
    return _narrowed(graph, bounds)


def _narrowed(graph: Graph, bounds: list[tuple[int, int]]) -> Graph:
    """Clip outputs that a merged affine per row made look wider than they are."""
    narrow = dict(zip(graph.outputs, bounds, strict=True))

    def rule(builder: Builder, position: int, inputs: tuple[int, ...]) -> int | None:
        node = graph.nodes[position]
        if position not in narrow or not isinstance(node.op, Requantize):
            return None
        low, high = (max(node.op.low, narrow[position][0]), min(node.op.high, narrow[position][1]))
        return builder.add(node.name, replace(node.op, low=low, high=high), *inputs) if low <= high else None

    return rebuild(graph, rule)


__all__ = [
    "PASSES", "drop_identity", "fold_pad", "fold_permutation", "fold_threshold", "fuse_requantize",
    "minimise_requantize", "move_affine", "nest_concat", "optimise", "requantize_to_threshold",
]  # fmt: skip
