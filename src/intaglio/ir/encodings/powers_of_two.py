"""PowersOfTwo: zero and +-2**e: products are shifts.

Miyashita et al., "Convolutional Neural Networks using Logarithmic Data Representation", 2016; Zhou
et al., "Incremental Network Quantization", ICLR 2017.
"""

from dataclasses import dataclass
from typing import Self

from intaglio.ir.encodings.encoding import integers
from intaglio.ir.encodings.exponential import Exponential, mantissa_bits
from intaglio.ir.types import Array


@dataclass(frozen=True)
class PowersOfTwo(Exponential):
    """value = 0 or +-2**(low + exponent): a sign, and an exponent or the code of zero.

    None where there is any other value, or nothing but zeros.
    """

    @classmethod
    def encode(cls, matrix: Array) -> Self | None:
        values = integers(matrix)
        if values is None or mantissa_bits(values, 1) != 1:
            return None
        return cls._of(values, 1)
