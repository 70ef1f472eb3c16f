"""Rewrites of a Graph, each exactly value preserving, and the list that `optimise` runs."""

from collections.abc import Callable

from intaglio.ir.graph import Graph
from intaglio.ir.passes.drop_identity import drop_identity
from intaglio.ir.passes.fuse_requantize import fuse_requantize
from intaglio.ir.passes.minimise_requantize import minimise_requantize
from intaglio.ir.passes.requantize_to_threshold import requantize_to_threshold

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    drop_identity,
    fuse_requantize,
    drop_identity,
    minimise_requantize,
    requantize_to_threshold,
)


def optimise(graph: Graph) -> Graph:
    """Run every pass of `PASSES`, in order."""
    for rewrite in PASSES:
        graph = rewrite(graph)
    return graph


__all__ = [
    "PASSES", "drop_identity", "fuse_requantize", "minimise_requantize", "optimise",
    "requantize_to_threshold",
]  # fmt: skip
