"""Weights of -1, 0 and 1: an activation, its complement, or nothing."""

from dataclasses import dataclass
from typing import ClassVar, Self

from intaglio.hardware.memory import IntArray
from intaglio.hardware.products.product import Dot, Lane, Product, WeightWords, tree_bits
from intaglio.hardware.technology.prices import Prices
from intaglio.ir.encodings import Ternary

NEGATIVE = 3  # the code of -1


@dataclass(frozen=True)
class TernaryProduct(Product):
    """Two bits for a weight: whether it is not zero, and whether it is negative."""

    name: ClassVar[str] = "ternary"
    about: ClassVar[str] = "additions and complements"
    needs: ClassVar[str] = "weights of -1, 0 and 1 alone"

    @classmethod
    def of(cls, weights: IntArray, lane: Lane) -> Self | None:
        form = Ternary.encode(weights)
        if lane.code is not None or lane.exact or form is None or max(form.negative, form.positive) != 1:
            return None
        codes = form.codes()
        return cls(codes, 2, lane.complement * (codes == NEGATIVE))

    def luts(self, lane: Lane, prices: Prices) -> float:
        return prices.ternary[0] * lane.bits + prices.ternary[1]

    def dot(self, simd: int, pe: int, lane: Lane, words: WeightWords, beside: int) -> Dot:
        bits = lane.cycle_bits
        return Dot(simd, pe, bits, lane.cycle_signed, bits + tree_bits(simd) + 1, beside, kind="ig_dot_ternary")
