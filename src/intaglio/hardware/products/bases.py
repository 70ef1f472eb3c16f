"""Weights that are sums of a few coefficients: a sum of activations for each."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from intaglio.hardware.memory import IntArray, signed_bits
from intaglio.hardware.products.product import Dot, Lane, Product, WeightWords, tree_bits
from intaglio.hardware.technology.prices import Prices
from intaglio.ir.encodings import Bases, Ternary


@dataclass(frozen=True)
class BasesProduct(Product):
    """A bit for each of the `coefficients`: 1 or 0 where `unipolar`, else 1 or -1."""

    coefficients: tuple[int, ...] = ()
    unipolar: bool = False

    name: ClassVar[str] = "bases"
    about: ClassVar[str] = "a sum for each base"
    needs: ClassVar[str] = "weights that are a zero and two values, or sums of a few bases"

    @classmethod
    def of(cls, weights: IntArray, lane: Lane) -> Self | None:
        if lane.code is not None:
            return None
        several = None if lane.exact else cls._several(weights, lane)
        found = [form for form in (cls._two_values(weights), several) if form is not None]
        return min(found, key=lambda form: form.bits, default=None)

    @classmethod
    def _two_values(cls, weights: IntArray) -> Self | None:
        """Weights {-n, 0, p}; exact."""
        form = Ternary.encode(weights)
        if form is None or max(form.negative, form.positive) == 1:
            return None
        codes = form.codes()
        planes = np.where(codes == 1, 1, 0) + np.where(codes == 3, 2, 0)
        return cls(planes, 2, None, (form.positive, -form.negative), unipolar=True)

    @classmethod
    def _several(cls, weights: IntArray, lane: Lane) -> Self | None:
        form = Bases.encode(weights)
        if form is None:
            return None
        codes = form.codes()
        negative = [(codes >> k & 1 == 0) * c for k, c in enumerate(form.coefficients)]
        excess = lane.complement * np.sum(negative, axis=0)
        return cls(codes, len(form.coefficients), excess, form.coefficients)

    def luts(self, lane: Lane, prices: Prices) -> float:
        if self.unipolar:
            return prices.two_planes[0] * lane.bits + prices.two_planes[1]
        return self.bits * (prices.plane[0] * lane.bits + prices.plane[1])

    def dot(self, simd: int, pe: int, lane: Lane, words: WeightWords, beside: int) -> Dot:
        wide = signed_bits(min(self.coefficients), max(self.coefficients)) + tree_bits(self.bits)
        text = "_".join(f"{c & 0xFFFFFFFF:08x}" for c in reversed(self.coefficients))
        own = {
            "W_BITS": self.bits, "UNIPOLAR": int(self.unipolar), "COEFFICIENTS": f"{32 * self.bits}'h{text}",
        }  # fmt: skip
        bits = lane.cycle_bits + tree_bits(simd) + wide + 1
        return Dot(simd, pe, lane.cycle_bits, lane.cycle_signed, bits, beside, "ig_dot_bases", own, later=1)
