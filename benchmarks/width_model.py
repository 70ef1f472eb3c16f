"""What a layer of a dense network takes on an ECP5 or a Zynq, by its folding, and the fastest folding of a device.

ECP5: dot products as measured by `area_per_mac`; memories and buffers counted from their shapes; what is left
(comparisons, multipliers behind layers, wires between units, control) by four coefficients that are fitted on
synthesised networks. Zynq UltraScale+: the formula of FINN-R (Blott et al. 2018, as in FINN's source), and its DSP
packing.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import ceil, log2
from typing import Any

import numpy as np
from scipy.optimize import nnls

from intaglio.hardware.design import Design, Fold, carve
from intaglio.hardware.folding import layer_options
from intaglio.hardware.memory import Memory
from intaglio.hardware.stage import Stage
from intaglio.hardware.unit import Unit
from intaglio.hardware.units.requantize import RequantizeStage
from intaglio.hardware.units.threshold import ThresholdSearchStage, ThresholdStage
from intaglio.ir.graph import Graph
from intaglio.ir.ops import MatMul

EBR_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
"""Width and depth of a block RAM of 18 kbit, of an ECP5's as of a Xilinx's."""
PACKED = {8: 2, 4: 4}
"""Multiplications that a DSP48E2 does at once, by bits (Xilinx WP486 and WP521)."""


@dataclass(frozen=True)
class Use:
    """Resources; LUT4 equivalents on ECP5, 6-input look-up tables on Zynq."""

    lut: float = 0.0
    ff: float = 0.0
    bram: int = 0
    dsp: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(self.lut + other.lut, self.ff + other.ff, self.bram + other.bram, self.dsp + other.dsp)

    def __rmul__(self, times: float) -> "Use":
        return Use(times * self.lut, times * self.ff, round(times * self.bram), round(times * self.dsp))

    def within(self, other: "Use") -> bool:
        """Whether `other` has as much of everything."""
        return self.lut <= other.lut and self.ff <= other.ff and self.bram <= other.bram and self.dsp <= other.dsp


@dataclass(frozen=True)
class Core:
    """The numbers of a layer's plan that decide its area: bits of an activation, a weight, a sum, a shared shift."""

    in_bits: int
    weight_bits: int
    acc_bits: int
    weight_shift: int = 0


@dataclass(frozen=True)
class Layer:
    """A dense layer with one output lane, as it is carved: its product, and what is fused behind it."""

    name: str
    inputs: int
    outputs: int
    core: Core
    after: tuple[Stage, ...]

    @property
    def out_bits(self) -> int:
        """Bits of what leaves the layer."""
        return self.after[-1].out.bits if self.after else self.core.acc_bits

    def tables(self, fold: Fold) -> list[tuple[int, int, int, bool]]:
        """(copies, width, depth, in block RAM) of the tables behind the product; those of a search are one per lane."""
        found: list[tuple[int, int, int, bool]] = []
        for stage in self.after:
            if isinstance(stage, ThresholdSearchStage):
                for table in stage.tables:
                    depth = table.depth // fold.pe
                    found.append((fold.pe, table.width, depth, in_blocks(table.width * fold.pe, depth)))
            elif isinstance(stage, ThresholdStage | RequantizeStage):
                width, depth = stage.table.width * fold.pe, max(stage.table.depth // fold.pe, 1)
                block = isinstance(stage, RequantizeStage) and in_blocks(width, depth)
                found.append((1, width, depth, block))
        return found


def layers(graph: Graph) -> list[Layer]:
    """The dense layers of a graph."""
    products = {node.name: node.op.weight.shape for node in graph.nodes if isinstance(node.op, MatMul)}
    rows = {name: Fold(inputs, 1) for name, (_, inputs) in products.items()}
    found: list[Layer] = []
    design = carve(graph, rows, dsp=False)
    for unit in design.units:
        if isinstance(unit, Unit) and unit.name in products:
            (outputs, inputs), plan = products[unit.name], design.plans[unit.name]
            core = Core(plan.lane.bits, plan.words.bits, plan.sum_bits, plan.words.shift_bits)
            reduced = next(i for i, stage in enumerate(unit.stages) if stage.reduces)
            found.append(Layer(unit.name, inputs, outputs, core, unit.stages[reduced + 1 :]))
    return found


@cache
def blocks(width: int, depth: int) -> tuple[int, float]:
    """Block RAMs of 18 kbit for a memory, as few as possible, and LUT4 that select between banks of words.

    A shape takes all columns that fill it, another one the rest, as Yosys does it. A bank more costs 0.85 LUT4 per
    column (measured: 7 banks 5.0, 13 banks 10.3).
    """
    found: list[tuple[int, float]] = []
    for w, d in EBR_SHAPES:
        banks, (whole, rest) = ceil(depth / d), divmod(width, w)
        if whole:
            more, luts = blocks(rest, depth) if rest else (0, 0.0)
            found.append((banks * whole + more, 0.85 * (banks - 1) * whole * w + luts))
        found.append((banks * ceil(width / w), 0.85 * (banks - 1) * width))
    return min(found)


def rom(width: int, depth: int) -> int:
    """LUT4 of a constant memory in logic: 16 words each and a tree of selectors; equal columns are made once."""
    if depth == 1:
        return 0
    columns = min(width, 1 << depth) if depth < 16 else width
    return columns * (2 * ceil(depth / 16) - 1)


def ram(width: int, depth: int) -> int:
    """LUT4 equivalents of a distributed memory that is written: TRELLIS_DPR16X4, and selectors."""
    return ceil(depth / 16) * 4 * ceil(width / 4) + (ceil(depth / 16) - 1) * width


def in_blocks(width: int, depth: int) -> bool:
    """The generator's rule for constant memories."""
    return Memory("", width, (0,) * depth).in_block_ram()


# -- ECP5 -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lane:
    """Dot products of one number format as measured: LUT4 equivalents and flip-flops by SIMD, no accumulator."""

    dots: Mapping[int, tuple[float, float]]

    def use(self, simd: int) -> Use:
        """Of a dot product of any SIMD: per lane between what was measured, by the logarithm of SIMD."""
        sizes = sorted(self.dots)
        at, each = [log2(size) for size in sizes], [np.array(self.dots[size]) / size for size in sizes]
        lut, ff = (simd * float(np.interp(log2(simd), at, [pair[i] for pair in each])) for i in (0, 1))
        return Use(lut, ff)


def lanes(figures: Iterable[Mapping[str, Any]]) -> dict[str, Lane]:
    """The lanes in a record of `area_per_mac`, with bindings.

    Their accumulators take a LUT4 equivalent per bit, and two flip-flops, since results wait in a register.
    """
    found: dict[str, dict[int, tuple[float, float]]] = {}
    for row in figures:
        if row["bound"] and not row.get("placed"):
            dot = row["lut4_eq"] - row["acc_bits"], row["ff"] - 2 * row["acc_bits"]
            found.setdefault(row["lane"], {})[row["simd"]] = dot
    return {name: Lane(dots) for name, dots in found.items()}


def memory(width: int, depth: int, block: bool) -> Use:
    """A constant memory and its two registers, of which a block RAM has one inside."""
    if block:
        number, luts = blocks(width, depth)
        return Use(luts, width, number)
    return Use(rom(width, depth), 2 * min(width, 1 << depth) if depth < 16 else 2 * width)


def counted(layer: Layer, fold: Fold, lane: Lane) -> Use:
    """What needs no fit: products, accumulators, the weights, tables in block RAM, the ring of inputs."""
    core, dot = layer.core, lane.use(fold.simd)
    use = Use(fold.pe * (dot.lut + core.acc_bits), fold.pe * (dot.ff + core.acc_bits))
    width = fold.pe * (core.weight_shift + fold.simd * core.weight_bits)
    depth = layer.inputs * layer.outputs // (fold.simd * fold.pe)
    use += memory(width, depth, in_blocks(width, depth))
    use = sum((copies * memory(*table) for copies, *table in layer.tables(fold) if table[-1]), use)
    return use + ring(fold.simd * core.in_bits, 2 * layer.inputs // fold.simd)


def ring(width: int, words: int) -> Use:
    """The memory of two input vectors: block RAM above 64 words."""
    if words <= 64:
        return Use(ram(width, words), 2 * width)
    number, luts = blocks(width, words)
    return Use(luts, width, number)


def features(layer: Layer, fold: Fold) -> list[float]:
    """What the fitted coefficients multiply.

    LUT4 of tables in logic, bits compared at once, bits compared by search, partial products behind the layer, bits
    on its streams, and one.
    """
    tables = sum(copies * rom(width, depth) for copies, width, depth, block in layer.tables(fold) if not block)
    compared = searched = multiplied = 0
    for stage in layer.after:
        if isinstance(stage, ThresholdSearchStage):
            searched += fold.pe * len(stage.tables) * (stage.source.bits + 1)
        elif isinstance(stage, ThresholdStage):
            compared += fold.pe * stage.count * (stage.source.bits + 1)
        elif isinstance(stage, RequantizeStage):
            multiplied += fold.pe * (stage.multiplier_bits + 2) * stage.source.bits
    streams = fold.simd * layer.core.in_bits + fold.pe * layer.out_bits
    return [float(n) for n in (tables, compared, searched, multiplied, streams, 1)]


def fitted(rows: Sequence[tuple[Sequence[float], float, float]]) -> list[float]:
    """Coefficients, none negative, for rows (features, counted, synthesised): least squares of relative errors."""
    a = np.array([np.array(row) / whole for row, _, whole in rows])
    b = np.array([(whole - known) / whole for _, known, whole in rows])
    return [float(c) for c in nnls(a, b)[0]]


@dataclass(frozen=True)
class Ecp5:
    """The area model of a number format on ECP5."""

    lane: Lane
    lut: Sequence[float]
    ff: Sequence[float]

    def uses(self, layer: Layer, fold: Fold) -> list[Use]:
        """The one way in which the generator makes this layer."""
        numbers = features(layer, fold)
        lut, ff = (sum(c * n for c, n in zip(fit, numbers, strict=True)) for fit in (self.lut, self.ff))
        return [counted(layer, fold, self.lane) + Use(lut, ff)]


# -- Zynq UltraScale+ -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Zynq:
    """FINN-R's area model of a matrix-vector unit: c0 + c1 * PE * (products + tree + accumulator + comparisons).

    More than 15 levels are scaled by a multiplier block per PE instead of compared.
    """

    def uses(self, layer: Layer, fold: Fold) -> list[Use]:
        """Products in logic or in DSP blocks; weights in block RAM or in distributed RAM."""
        bits = layer.core.weight_bits
        both = bits + layer.core.in_bits
        logic = fold.simd * (2 * ceil(both / 6) - 1) * both
        products = [Use(1.1 * fold.pe * logic)]
        if pack := PACKED.get(max(bits, layer.core.in_bits)):
            products.append(Use(dsp=ceil(fold.simd * fold.pe / pack)))
        width = fold.simd * fold.pe * bits
        depth = layer.inputs * layer.outputs // (fold.simd * fold.pe)
        memories = [Use(bram=blocks(width, depth)[0]), Use(width * ceil(depth / 64))]
        rest = self._rest(layer, fold, both)
        return [rest + a + b for a in products for b in memories]

    def _rest(self, layer: Layer, fold: Fold, both: int) -> Use:
        acc = both + ceil(log2(layer.inputs))
        tree = both * (2 * fold.simd - 1)
        levels = (1 << layer.out_bits) - 1 if layer.out_bits <= 8 and layer.after else 0
        tables = levels * acc * ceil(layer.outputs / fold.pe / 64) if levels <= 15 else 0
        compare = levels * acc if levels <= 15 else 0
        scale = Use(dsp=fold.pe) if levels > 15 else Use()
        return Use(300 + 1.1 * fold.pe * (tree + acc + compare + tables)) + scale


# -- choice -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Option:
    """A Fold of a layer: its cycles per frame and what it uses in one of the ways to build it."""

    fold: Fold
    cycles: int
    use: Use


@dataclass(frozen=True)
class Choice:
    """A folding, the cycles of its slowest layer, and what it uses."""

    folding: Mapping[str, Fold]
    bound: int
    use: Use


@dataclass(frozen=True)
class Network:
    """A graph's layers with all their folds."""

    graph: Graph

    @cached_property
    def layers(self) -> list[Layer]:
        """Its dense layers."""
        return layers(self.graph)

    @cached_property
    def folds(self) -> dict[str, list[tuple[Fold, int]]]:
        """Every Fold of every layer and its cycles."""
        return {name: [(o.fold, o.cycles) for o in found] for name, found in layer_options(self.graph).items()}

    def options(self, uses: Callable[[Layer, Fold], list[Use]]) -> list[list[Option]]:
        """All options of every layer."""
        return [
            [Option(fold, cycles, use) for fold, cycles in self.folds[layer.name] for use in uses(layer, fold)]
            for layer in self.layers
        ]

    def fastest(self, uses: Callable[[Layer, Fold], list[Use]], limits: Use) -> Choice:
        """The folding with the shortest interval that keeps within the limits, and of those one of least logic."""
        options = self.options(uses)
        for interval in sorted({option.cycles for found in options for option in found}):
            fitting = [front([o for o in found if o.cycles <= interval and o.use.within(limits)]) for found in options]
            if choice := self._cheapest(fitting, limits):
                return choice
        raise ValueError("no folding keeps within the limits")

    def _cheapest(self, fitting: Sequence[Sequence[Option]], limits: Use) -> Choice | None:
        best: tuple[Option, ...] | None = None
        for picked in itertools.product(*fitting):
            use = total(picked)
            if use.within(limits) and (best is None or use.lut < total(best).lut):
                best = picked
        if best is None:
            return None
        folding = {layer.name: option.fold for layer, option in zip(self.layers, best, strict=True)}
        return Choice(folding, max(option.cycles for option in best), total(best))

    def use(self, uses: Callable[[Layer, Fold], list[Use]], folding: Mapping[str, Fold]) -> Use:
        """What a given folding uses, built in the first way."""
        return sum((uses(layer, folding[layer.name])[0] for layer in self.layers), Use())

    def design(self, folding: Mapping[str, Fold]) -> Design:
        """Carved without multiplier blocks."""
        return carve(self.graph, folding, dsp=False)


def total(picked: Iterable[Option]) -> Use:
    """What some options use together."""
    return sum((option.use for option in picked), Use())


def front(options: Iterable[Option]) -> list[Option]:
    """Those that no other beats in every resource; of equal ones the first."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda o: (o.use.lut, o.use.ff, o.use.bram, o.use.dsp)):
        if not any(other.use.within(option.use) for other in kept):
            kept.append(option)
    return kept
