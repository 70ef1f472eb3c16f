"""Weights of -1 and 1: an activation or its complement."""

from dataclasses import dataclass
from typing import ClassVar, Self

from intaglio.hardware.memory import IntArray
from intaglio.hardware.products.product import Dot, Lane, Product, WeightWords, tree_bits
from intaglio.hardware.technology.prices import Prices
from intaglio.ir.encodings import Bipolar


@dataclass(frozen=True)
class BinaryProduct(Product):
    """One bit for a weight."""

    name: ClassVar[str] = "binary"
    about: ClassVar[str] = "additions and complements"
    needs: ClassVar[str] = "weights of -1 and 1 alone"

    @classmethod
    def of(cls, weights: IntArray, lane: Lane) -> Self | None:
        form = Bipolar.encode(weights)
        if lane.code is not None or lane.exact or form is None or form.unit != 1:
            return None
        codes = form.codes()
        return cls(codes, 1, lane.complement * (codes == 0))

    def luts(self, lane: Lane, prices: Prices) -> float:
        return prices.binary[0] * lane.bits + prices.binary[1]

    def dot(self, simd: int, pe: int, lane: Lane, words: WeightWords, beside: int) -> Dot:
        bits = lane.cycle_bits
        return Dot(simd, pe, bits, lane.cycle_signed, bits + tree_bits(simd) + 1, beside, kind="ig_dot_binary")
