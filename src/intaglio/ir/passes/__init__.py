"""Rewrites of a Graph, each exactly value preserving, and the list that `optimise` runs."""

from collections.abc import Callable

from intaglio.ir.graph import Graph

PASSES: tuple[Callable[[Graph], Graph], ...] = ()


def optimise(graph: Graph) -> Graph:
    """Run every pass of `PASSES`, in order."""
    for rewrite in PASSES:
        graph = rewrite(graph)
    return graph
