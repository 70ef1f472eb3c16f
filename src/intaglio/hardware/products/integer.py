"""Weights in two's complement, multiplied by blocks or by bit planes."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from intaglio.hardware.memory import IntArray, signed_bits
from intaglio.hardware.products.product import Dot, Lane, Product, WeightWords, tree_bits
from intaglio.hardware.technology.prices import Prices


@dataclass(frozen=True)
class IntegerProduct(Product):
    """Any integers, at least 2 bits: the narrowest that the multiplier array takes."""

    name: ClassVar[str] = "integer"
    about: ClassVar[str] = "integers"
    needs: ClassVar[str] = "activations that are integers"

    @classmethod
    def of(cls, weights: IntArray, lane: Lane) -> Self | None:
        if lane.code is not None:
            return None
        return cls(weights, max(signed_bits(int(weights.min()), int(weights.max())), 2))

    def luts(self, lane: Lane, prices: Prices) -> float:
        luts = prices.product * lane.bits * self.bits + prices.lane
        return min(luts, prices.multiplier_block) if lane.dsp else luts

    def dot(self, simd: int, pe: int, lane: Lane, words: WeightWords, beside: int) -> Dot:
        bits = lane.cycle_bits + max(words.bits, 2) + tree_bits(simd)
        own = {"W_BITS": words.bits, "DSP": int(lane.dsp)}
        return Dot(simd, pe, lane.cycle_bits, lane.cycle_signed, bits, beside, special=own)

    def words(self, issued: IntArray, lane: Lane, prices: Prices, sum_bits: int) -> WeightWords:
        """Without multiplier blocks, mantissas and the shift that a row shares in a beat, where that is cheaper."""
        plain = WeightWords(issued, self.bits)
        return plain if lane.dsp else shared_shifts(plain, lane.bits, sum_bits, prices)


def shared_shifts(words: WeightWords, in_bits: int, sum_bits: int, prices: Prices) -> WeightWords:
    """Integers as the mantissas and shifts of block floating point; as they are where shifters cost more."""
    codes = words.codes
    joined = np.bitwise_or.reduce(codes, axis=2)
    shifts = np.where(joined == 0, 0, np.bitwise_count((joined & -joined) - 1).astype(np.int64))
    shifts -= shifts[joined != 0].min(initial=int(shifts.max()))
    shifts = np.maximum(shifts, 0)
    mantissas = codes >> shifts[:, :, None]
    narrow = max(signed_bits(int(mantissas.min()), int(mantissas.max())), 2)
    saved = prices.product * (words.bits - narrow) * codes.shape[2] * in_bits
    if saved <= prices.shared_shift * int(shifts.max()).bit_length() * sum_bits:
        return words
    return WeightWords(mantissas, narrow, shifts)
