"""Float: a sign, an exponent and a few bits of mantissa each.

Minifloats such as E4M3 (Micikevicius et al., "FP8 Formats for Deep Learning", 2022), and logarithms
to the base of the square root of two, with 3/2 for it (Miyashita et al., 2016).
"""

from dataclasses import dataclass
from typing import Self

from intaglio.ir.encodings.bits import grid, zeros_below
from intaglio.ir.encodings.encoding import integers
from intaglio.ir.encodings.exponential import Exponential, common_factor, mantissa_bits
from intaglio.ir.types import Array


@dataclass(frozen=True)
class Float(Exponential):
    """value = +-mantissa * 2**(low + exponent), mantissas of at least 2 bits (1: `PowersOfTwo`).

    None unless a value takes fewer bits than in Dense; never with a mantissa as wide as the widest.
    """

    @classmethod
    def encode(cls, matrix: Array) -> Self | None:
        values = integers(matrix)
        if values is None or not (factor := common_factor(values)):
            return None
        largest = max(int(values.max()), -int(values.min()))
        widest = largest.bit_length() - zeros_below(factor)
        mantissa = mantissa_bits(values, widest - 1)
        if mantissa is None or mantissa < 2:
            return None
        form = cls._of(values, mantissa)
        return form if form.width < grid(values)[2] else None
