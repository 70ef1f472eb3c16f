"""How one layer is carved, decided here and nowhere else: a schedule, a supply and a product.

schedule: which beats are issued. supply: where the weights of a beat come from. product: how a lane multiplies. The
three are chosen one after the other, each for what the ones before leave: the product for the weights that are issued,
the supply for the words that the product reads. Folding ranks plans, carving builds them, the report prints them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from intaglio.hardware.memory import IntArray, Memory, signed_bits
from intaglio.hardware.plan_part import offers
from intaglio.hardware.products import PRODUCTS, Lane, Product, WeightWords
from intaglio.hardware.schedules import SCHEDULES, DenseSchedule, Schedule
from intaglio.hardware.supplies import SUPPLIES, Supply
from intaglio.hardware.technology.ecp5 import PRICES
from intaglio.hardware.technology.prices import Prices
from intaglio.ir.ops import Conv2d, MatMul

WIDEST_LISTED = 64  # lanes: hardly any weights have zero blocks of more, and to look is slow


@dataclass(frozen=True)
class Fold:
    """Parallelism of one layer: `simd` input lanes and `pe` output lanes (pooling uses `simd` only).

    `serial` multiplies one bit of every activation per cycle: as many times the cycles, multipliers of one bit.
    """

    simd: int = 1
    pe: int = 1
    serial: bool = False


def divisors(n: int) -> list[int]:
    """Divisors of n, ascending: what a dimension of that size can be folded by."""
    return [d for d in range(1, n + 1) if n % d == 0]


@dataclass(frozen=True)
class Forced:
    """Parts of a plan that are not chosen but given, by name; empty ones are chosen."""

    schedule: str = ""
    supply: str = ""
    product: str = ""


@dataclass(frozen=True, eq=False)
class Layer:
    """What all plans of a layer depend on.

    order: IR index of each input in stream order (dense layers). pixels: windows per frame. sums: their proved range.
    """

    name: str
    op: MatMul | Conv2d
    lane: Lane
    order: IntArray
    pixels: int
    inputs_per_frame: int
    sums: tuple[int, int]
    prices: Prices = PRICES

    @property
    def groups(self) -> int:
        """Groups of channels that are summed apart."""
        return 1 if isinstance(self.op, MatMul) else self.op.groups

    @property
    def kernel(self) -> tuple[int, int]:
        """Taps of a window, down and across."""
        return (1, 1) if isinstance(self.op, MatMul) else (self.op.weight.shape[2], self.op.weight.shape[3])

    @property
    def inputs(self) -> int:
        """Input channels of a group."""
        return self.op.weight.shape[1]

    @property
    def outputs(self) -> int:
        """Output channels of a group."""
        return self.op.weight.shape[0] // self.groups

    @cached_property
    def matrix(self) -> IntArray:
        """Weights (groups, outputs, taps * inputs), inputs in stream order and innermost."""
        weight = self.op.weight
        if isinstance(self.op, MatMul):
            return weight[None, :, self.order]
        return weight.transpose(0, 2, 3, 1).reshape(self.groups, self.outputs, -1)

    def blocks(self, fold: Fold, values: IntArray | None = None) -> IntArray:
        """Weights, or `values` in the matrix's shape, as hardware reads them: (groups * folds, beats, pe, simd)."""
        matrix = self.matrix if values is None else values
        groups, rows, columns = matrix.shape
        blocks = matrix.reshape(groups, rows // fold.pe, fold.pe, columns // fold.simd, fold.simd)
        return blocks.transpose(0, 1, 3, 2, 4).reshape(-1, columns // fold.simd, fold.pe, fold.simd)

    def product(self, zeros: bool, name: str) -> Product:
        """The cheapest product for the weights, or for those that are not zero; the named one, where one is named.

        Raises DesignError when the named one is not for these weights.
        """
        key = (zeros, name)
        if key not in self._products:
            self._products[key] = self._product(zeros, name)
        return self._products[key]

    @cached_property
    def _products(self) -> dict[tuple[bool, str], Product]:
        return {}

    def _product(self, zeros: bool, name: str) -> Product:
        kept = np.ones(self.matrix.shape, np.bool_) if zeros else self.matrix != 0
        weights = self.matrix[kept].reshape(1, -1)
        found = offers(self.name, "product", PRODUCTS, name, lambda kind: kind.of(weights, self.lane))
        best = min(found, key=lambda product: product.luts(self.lane, self.prices))
        return best.scattered(kept)


@dataclass(frozen=True, eq=False)
class Plan:
    """How a layer is carved at a fold."""

    layer: Layer
    fold: Fold
    schedule: Schedule
    product: Product
    forced: Forced = Forced()

    @property
    def lane(self) -> Lane:
        """What the lanes multiply with."""
        return self.layer.lane

    @property
    def cycles(self) -> int:
        """Cycles per frame, of the window or of its input, without stalls."""
        busy = self.schedule.beats * self.lane.planes * self.layer.pixels
        return max(busy, self.layer.inputs_per_frame // self.fold.simd)

    @property
    def luts(self) -> float:
        """LUT4 equivalents, roughly: multipliers, their accumulators and what is behind them, control."""
        fold, lane, prices = self.fold, self.lane, self.layer.prices
        row = prices.row * (lane.bits + self.product.bits + 8) + prices.multiplier_block
        lanes = fold.simd * fold.pe * self.product.luts(lane, prices)
        return prices.layer + lanes + fold.pe * row + fold.simd * lane.bits

    @cached_property
    def bias(self) -> IntArray | None:
        """What the sums of every output channel exceed the true ones by; None where they do not."""
        if self.product.excess is None or not self.product.excess.any():
            return None
        excess = self.layer.blocks(self.fold, self.product.excess)
        return np.where(self.schedule.issued[:, :, None, None], excess, 0).sum(axis=(1, 3)).ravel()

    @property
    def sum_bits(self) -> int:
        """Bits of a sum, two's complement."""
        return signed_bits(*biased(self.layer.sums, self.bias))

    @cached_property
    def words(self) -> WeightWords:
        """The weights of every beat that is issued."""
        issued = self.layer.blocks(self.fold, self.product.codes)[self.schedule.issued]
        return self.product.words(issued, self.lane, self.layer.prices, self.sum_bits)

    @cached_property
    def supply(self) -> Supply:
        """The cheapest supply of these words, or the one that is forced."""
        words = self.words
        found = offers(self.layer.name, "supply", SUPPLIES, self.forced.supply, lambda kind: kind.of(words))
        return min(found, key=lambda supply: supply.luts(self.layer.prices))

    @property
    def memories(self) -> tuple[Memory, ...]:
        """What the supply stores."""
        return self.supply.memories

    @property
    def about(self) -> str:
        """For people."""
        bits = sum(memory.bits for memory in self.memories)
        stored = f"stored as {self.words.bits}-bit codes, {bits:,} bits"
        if self.words.shifts is not None:
            stored += f" with shifts of {self.words.shift_bits} bits"
        serial = ", bit by bit" if self.lane.serial else ""
        return (
            f"{stored}; fetched from {self.supply.about}, {self.schedule.about}; "
            f"multiplied as {self.product.about}{serial}"
        )


def plan(layer: Layer, fold: Fold, forced: Forced | None = None) -> Plan:
    """The cheapest plan of a layer at a fold: the fewest beats, then the cheapest product and the cheapest supply.

    Raises DesignError when a forced part is unknown, or needs what the weights lack.
    """
    forced = forced or Forced()
    schedule = _schedule(layer, fold, forced.schedule)
    zeros = schedule.every or bool((layer.blocks(fold)[schedule.issued] == 0).any())
    chosen = Plan(layer, fold, schedule, layer.product(zeros, forced.product), forced)
    if forced.supply:
        _ = chosen.supply  # refused now if at all
    return chosen


def _schedule(layer: Layer, fold: Fold, name: str) -> Schedule:
    """The shortest schedule that pays, or the named one."""
    if not name and fold.simd * fold.pe > WIDEST_LISTED:
        return DenseSchedule.over(layer.groups * layer.outputs // fold.pe, layer.matrix.shape[2] // fold.simd)
    blocks = layer.blocks(fold)
    found = offers(layer.name, "schedule", SCHEDULES, name, lambda kind: kind.of(blocks))
    worth = [schedule for schedule in found if name or schedule.pays(layer.prices)]
    return min(worth, key=lambda schedule: schedule.beats)


def biased(span: tuple[int, int], bias: IntArray | None) -> tuple[int, int]:
    """The range of sums that exceed the true ones by a constant per channel."""
    return span if bias is None else (span[0] + min(int(bias.min()), 0), span[1] + max(int(bias.max()), 0))
