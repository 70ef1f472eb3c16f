"""Exact choice of folding: the cheapest Fold of every layer for an interval, or the fastest within an area.

A layer's cycles per frame depend on its own Fold alone, so for a given interval the cheapest network is the
cheapest Fold of every layer: enumeration is exact. For a budget, the candidate intervals are the layers' own cycle
counts; cost falls as the interval grows, so bisection finds the smallest affordable one. `Choice.bound` is the
proof: no folding has a shorter interval at that cost, up to stalls between layers that `Design.interval` shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from intaglio.hardware.carve import SPARSE_WORTH, listed_beats, weight_blocks
from intaglio.hardware.carver import vector_order
from intaglio.hardware.design import Design, Fold, carve
from intaglio.hardware.fifos import Progress
from intaglio.hardware.memory import IntArray
from intaglio.hardware.products import DSP_LUTS, Product, product
from intaglio.ir import ops
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Graph, Node


@dataclass(frozen=True)
class Option:
    """One Fold of one layer: cycles per frame and estimated LUT4 equivalents (a DSP counts as `DSP_LUTS`)."""

    fold: Fold
    cycles: int
    area: float


@dataclass(frozen=True)
class Choice:
    """A folding, the interval that its slowest layer sets, and its estimated area."""

    folding: dict[str, Fold]
    bound: int
    area: float


Options = Mapping[str, Sequence[Option]]


def fold_for_interval(graph: Graph, interval: int, dsp: bool = True) -> Choice:
    """The cheapest folding whose every layer takes at most `interval` cycles per frame; `dsp` allows multipliers."""
    return _cheapest(layer_options(graph, dsp), interval)


def _cheapest(options: Options, interval: int) -> Choice:
    folding: dict[str, Fold] = {}
    area, bound = 0.0, 0
    for name, choices in options.items():
        fitting = [o for o in choices if o.cycles <= interval]
        if not fitting:
            fastest = min(o.cycles for o in choices)
            raise DesignError(f"{name}: cannot run in {interval} cycles per frame; its fastest folding takes {fastest}")
        best = min(fitting, key=lambda o: (o.area, o.cycles))
        folding[name], area, bound = best.fold, area + best.area, max(bound, best.cycles)
    return Choice(folding, bound, area)


def fold_for_area(graph: Graph, area: float, dsp: bool = True) -> Choice:
    """The folding with the shortest interval whose estimated area is at most `area` LUT4 equivalents."""
    options = layer_options(graph, dsp)
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


def carve_for_interval(graph: Graph, interval: int, dsp: bool = True, progress: Progress | None = None) -> Design:
    """The cheapest Design that is found to take at most `interval` cycles per frame.

    Joins can make a network slower than its slowest layer; then a proportionally shorter interval is asked of the
    layers, until the whole keeps to `interval`.
    """
    options, target = layer_options(graph, dsp), interval
    while True:
        choice = _cheapest(options, target)
        design = carve(graph, choice.folding, dsp, progress=progress)
        if design.interval <= interval:
            return design
        target = min(target - 1, target * interval // design.interval, choice.bound - 1)


def layer_options(graph: Graph, dsp: bool = True) -> dict[str, list[Option]]:
    """Every Fold of every foldable node of `graph`, priced with multiplier blocks or without."""
    found: dict[str, list[Option]] = {}
    for node in graph.nodes:
        if isinstance(node.op, ops.MatMul | ops.Conv2d):
            found[node.name] = _matmul_options(graph, node, node.op, dsp)
        elif isinstance(node.op, ops.MaxPool | ops.SumPool):
            found[node.name] = _pool_options(graph, node, node.op)
    return found


def _matmul_options(graph: Graph, node: Node, op: ops.MatMul | ops.Conv2d, dsp: bool) -> list[Option]:
    source = graph.nodes[node.inputs[0]].type
    groups = 1 if isinstance(op, ops.MatMul) else op.groups
    pixels = 1 if len(node.type.shape) == 1 else node.type.shape[1] * node.type.shape[2]
    taps = 1 if isinstance(op, ops.MatMul) else op.weight.shape[2] * op.weight.shape[3]
    inputs, outputs = source.shape[0] // groups, op.weight.shape[0] // groups
    form, order = product(op.weight, source.bits, source.signed, dsp), vector_order(graph, node.inputs[0])
    options: list[Option] = []
    for simd in divisors(inputs):
        for pe in divisors(outputs):
            beats = groups * (outputs // pe) * taps * (inputs // simd)
            beats = min(beats, _sparse_beats(op, simd, pe, order)) if simd * pe <= 64 else beats
            load = source.size // simd
            options.append(Option(Fold(simd, pe), max(beats * pixels, load), _mac_area(simd, pe, source.bits, form)))
    return options


def _sparse_beats(op: ops.MatMul | ops.Conv2d, simd: int, pe: int, order: IntArray) -> int:
    """Beats per window once zero blocks are skipped; a very large number when skipping is not worth it."""
    blocks = weight_blocks(op, simd, pe, order)
    mask = listed_beats(blocks)
    return int(mask.sum()) if mask.mean() <= SPARSE_WORTH else 1 << 60


def _pool_options(graph: Graph, node: Node, op: ops.MaxPool | ops.SumPool) -> list[Option]:
    source = graph.nodes[node.inputs[0]].type
    channels = source.shape[0]
    pixels, taps = node.type.shape[1] * node.type.shape[2], op.kernel[0] * op.kernel[1]
    return [
        Option(
            Fold(lanes),
            max(pixels * taps, source.shape[1] * source.shape[2]) * channels // lanes,
            40 + 3.0 * lanes * source.bits,
        )
        for lanes in divisors(channels)
    ]


def _mac_area(simd: int, pe: int, a_bits: int, form: Product) -> float:
    """Rough LUT4 equivalents of a folded layer: multipliers, their accumulators and requantisers, control."""
    return 120 + simd * pe * form.luts + pe * (3 * (a_bits + form.bits + 8) + DSP_LUTS) + simd * a_bits


def divisors(n: int) -> list[int]:
    """Divisors of n, ascending."""
    return [d for d in range(1, n + 1) if n % d == 0]
