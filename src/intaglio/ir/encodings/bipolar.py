"""Bipolar: one magnitude, a sign each.

The weights of a binary network (Courbariaux et al., "BinaryConnect", NeurIPS 2015; Rastegari et
al., "XNOR-Net", ECCV 2016). Dense takes one bit for them, too; this form is what a unit of XNORs
and pop-counts asks for.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from intaglio.ir.encodings.bits import intact, pack, read_header, unpack, write_numbers
from intaglio.ir.encodings.encoding import Encoding, Matrix, integers, shape_of
from intaglio.ir.types import Array


@dataclass(frozen=True)
class Bipolar(Encoding):
    """value = +unit where the bit is 1, else -unit; unit >= 1. None for any other matrix."""

    shape: tuple[int, int]
    unit: int
    signs: bytes

    @classmethod
    def encode(cls, matrix: Array) -> Self | None:
        values = integers(matrix)
        if values is None:
            return None
        unit = max(int(values.max()), -int(values.min()))
        if not unit or not ((values == unit) | (values == -unit)).all():
            return None
        return cls(shape_of(values), unit, pack(values > 0, 1))

    def codes(self) -> Matrix:
        """(rows, columns): 1 for +unit, 0 for -unit, as `ig_dot_binary` reads them."""
        bits = unpack(self.signs, 1, self.shape[0] * self.shape[1])
        return bits.astype(np.int64).reshape(self.shape)

    def decode(self) -> Matrix:
        return (2 * self.codes() - 1) * self.unit

    def bits(self) -> int:
        return 8 * len(self._header()) + self.shape[0] * self.shape[1]

    def _header(self) -> bytes:
        return write_numbers(*self.shape, self.unit)

    def to_bytes(self) -> bytes:
        return self._header() + self.signs

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        shape, (unit,), rest = read_header(data, 1)
        intact(0 < unit < 2**62, f"a magnitude of {unit}")
        result = cls(shape, unit, rest)
        result.decode()
        return result
