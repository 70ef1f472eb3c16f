"""Powers of two and minifloats: shifts, and products of short mantissas; also for activations in codes."""

from dataclasses import dataclass
from typing import ClassVar, Self

from intaglio.hardware.codes import exponential, largest_exponent
from intaglio.hardware.memory import IntArray, signed_bits
from intaglio.hardware.products.product import Dot, Lane, Product, WeightWords, tree_bits
from intaglio.hardware.technology.prices import Prices


@dataclass(frozen=True)
class ShiftProduct(Product):
    """A weight is {negative, exponent, mantissa}; without `exponent_bits` an integer, for activations in codes."""

    exponent_bits: int = 0
    largest: int = 0
    mantissa_bits: int = 1

    name: ClassVar[str] = "shift"
    about: ClassVar[str] = "shifts"
    needs: ClassVar[str] = "weights that are powers of two or minifloats, and activations that are not serial"

    @classmethod
    def of(cls, weights: IntArray, lane: Lane) -> Self | None:
        """Only for a common factor of 1, which lowering sees to; activations in codes take any weights."""
        form = None if lane.serial else exponential(weights)
        largest = 0 if form is None else largest_exponent(form)
        if form is None or not largest:
            bits = max(signed_bits(int(weights.min()), int(weights.max())), 2)
            return None if lane.code is None else cls(weights, bits)
        codes, bits = form.codes(), 1 + form.exponent_bits + form.mantissa_bits
        excess = -(codes >> (bits - 1))
        if lane.exact and excess.any():
            return None
        return cls(codes, bits, excess, form.exponent_bits, largest, form.mantissa_bits)

    def luts(self, lane: Lane, prices: Prices) -> float:
        if not self.exponent_bits:
            return prices.product * self.bits * lane.bits
        wide = lane.bits + self.mantissa_bits + self.largest
        mantissas = prices.product * lane.bits * self.mantissa_bits if self.mantissa_bits > 1 else 0
        return mantissas + prices.shifter * self.exponent_bits * wide + wide

    def dot(self, simd: int, pe: int, lane: Lane, words: WeightWords, beside: int) -> Dot:
        own: dict[str, int | str] = {"W_BITS": self.bits, "W_EXP_BITS": self.exponent_bits, "DSP": int(lane.dsp)}
        if self.exponent_bits:
            own |= {"W_EXP_MAX": self.largest, "W_MANT_BITS": self.mantissa_bits}
        if lane.code is not None:
            own |= {"A_EXP_BITS": lane.code.exponent_bits, "A_EXP_MAX": lane.code.largest}
        farthest = self.largest + (lane.code.largest if lane.code is not None else 0)
        bits = lane.bits + self.bits + farthest + tree_bits(simd)
        return Dot(simd, pe, lane.bits, lane.signed, bits, beside, "ig_dot_shift", own, later=1)
