"""Exact choice of folding: the cheapest Fold of every layer for an interval, or the fastest within an area.

A layer's cycles per frame depend on its own Fold alone, so for a given interval the cheapest network is the
cheapest Fold of every layer: enumeration is exact. For a budget, the candidate intervals are the layers' own cycle
counts; cost falls as the interval grows, so bisection finds the smallest affordable one. `Choice.bound` is the
proof: no folding has a shorter interval at that cost, up to stalls between layers that `Design.interval` shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from intaglio.hardware.design import Design, Fold, Forced, carve
from intaglio.hardware.fifos import Progress
from intaglio.hardware.units import Option, fold_options
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Graph


@dataclass(frozen=True)
class FoldingChoice:
    """A folding, the interval that its slowest layer sets, and its estimated area."""

    folding: dict[str, Fold]
    bound: int
    area: float


Options = Mapping[str, Sequence[Option]]


def fold_for_interval(
    graph: Graph, interval: int, dsp: bool = True, forced: Mapping[str, Forced] | None = None
) -> FoldingChoice:
    """The cheapest folding whose every layer takes at most `interval` cycles per frame.

    `dsp` allows multipliers, `forced` gives parts of plans (`carve`).
    """
    return _cheapest(layer_options(graph, dsp, forced), interval)


def _cheapest(options: Options, interval: int) -> FoldingChoice:
    folding: dict[str, Fold] = {}
    area, bound = 0.0, 0
    for name, choices in options.items():
        fitting = [o for o in choices if o.cycles <= interval]
        if not fitting:
            fastest = min(o.cycles for o in choices)
            raise DesignError(f"{name}: cannot run in {interval} cycles per frame; its fastest folding takes {fastest}")
        best = min(fitting, key=lambda o: (o.area, o.cycles))
        folding[name], area, bound = best.fold, area + best.area, max(bound, best.cycles)
    return FoldingChoice(folding, bound, area)


def fold_for_area(
    graph: Graph, area: float, dsp: bool = True, forced: Mapping[str, Forced] | None = None
) -> FoldingChoice:
    """The folding with the shortest interval whose estimated area is at most `area` LUT4 equivalents."""
    options = layer_options(graph, dsp, forced)
    slowest_fastest = max(min(o.cycles for o in choices) for choices in options.values())
    intervals = sorted({o.cycles for choices in options.values() for o in choices if o.cycles >= slowest_fastest})
    low, high = 0, len(intervals) - 1
    smallest = _cheapest(options, intervals[-1])
    if smallest.area > area:
        raise DesignError(
            f"the smallest folding needs about {ceil(smallest.area)} LUT4 equivalents, "
            f"{ceil(smallest.area - area)} more than the budget of {ceil(area)}; take a larger device, "
            "or prune or quantise further"
        )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _cheapest(options, intervals[middle]).area <= area else (middle + 1, high)
    return _cheapest(options, intervals[low])


def carve_for_interval(
    graph: Graph, interval: int, dsp: bool = True, progress: Progress | None = None,
    forced: Mapping[str, Forced] | None = None,
) -> Design:  # fmt: skip
    """The cheapest Design that is found to take at most `interval` cycles per frame.

    Joins can make a network slower than its slowest layer; then a proportionally shorter interval is asked of the
    layers, until the whole keeps to `interval`.
    """
    options, target = layer_options(graph, dsp, forced), interval
    while True:
        choice = _cheapest(options, target)
        design = carve(graph, choice.folding, dsp, progress=progress, forced=forced)
        if design.interval <= interval:
            return design
        target = min(target - 1, target * interval // design.interval, choice.bound - 1)


def layer_options(
    graph: Graph, dsp: bool = True, forced: Mapping[str, Forced] | None = None
) -> dict[str, list[Option]]:
    """Every Fold of every foldable node of `graph`, priced with multiplier blocks or without."""
    given = forced or {}
    found = {
        node.name: fold_options(node.op, graph, index, dsp, given.get(node.name, Forced()))
        for index, node in enumerate(graph.nodes)
    }
    return {name: options for name, options in found.items() if options}
