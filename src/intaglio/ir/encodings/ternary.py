"""Ternary: zero, one negative and one positive value.

Li et al., "Ternary Weight Networks", 2016 ({-1, 0, +1}); Zhu et al., "Trained Ternary
Quantization", ICLR 2017 ({-n, 0, +p}).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from intaglio.ir.encodings.bits import (
    intact,
    pack,
    packed_bytes,
    read_header,
    unpack,
    write_numbers,
)
from intaglio.ir.encodings.encoding import Encoding, Matrix, integers, shape_of
from intaglio.ir.types import Array

Plane = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ternary(Encoding):
    """value = 0, -negative or +positive; a magnitude of 0 says that there is no such value.

    A bitmap of the non-zero values, then the signs of these alone (1: negative); no signs where one
    of the magnitudes is 0, because they are all the same.
    """

    shape: tuple[int, int]
    negative: int
    positive: int
    nonzero: bytes
    signs: bytes

    @classmethod
    def encode(cls, matrix: Array) -> Self | None:
        values = integers(matrix)
        if values is None:
            return None
        negative, positive = max(-int(values.min()), 0), max(int(values.max()), 0)
        if not ((values == 0) | (values == positive) | (values == -negative)).all():
            return None
        nonzero = values != 0
        signs = pack(values[nonzero] < 0, 1) if negative and positive else b""
        return cls(shape_of(values), negative, positive, pack(nonzero, 1), signs)

    def _nonzero(self) -> Plane:
        return unpack(self.nonzero, 1, self.shape[0] * self.shape[1]).astype(np.bool_)

    def _planes(self) -> tuple[Plane, Plane]:
        """Where values are not zero, and where they are negative."""
        nonzero = self._nonzero()
        below = nonzero & bool(self.negative)
        signs = unpack(self.signs, self._sign_bits(), int(np.count_nonzero(nonzero)))
        if self._sign_bits():
            below[nonzero] = signs.astype(np.bool_)
        return nonzero.reshape(self.shape), below.reshape(self.shape)

    def _sign_bits(self) -> int:
        return int(bool(self.negative and self.positive))

    def codes(self) -> Matrix:
        """(rows, columns): bit 0 not zero, bit 1 negative, as `ig_dot_ternary` reads them."""
        nonzero, below = self._planes()
        return nonzero + 2 * below.astype(np.int64)

    def decode(self) -> Matrix:
        nonzero, below = self._planes()
        return np.where(below, -self.negative, self.positive) * nonzero.astype(np.int64)

    def bits(self) -> int:
        signs = int(np.count_nonzero(self._nonzero())) * self._sign_bits()
        return 8 * len(self._header()) + self.shape[0] * self.shape[1] + signs

    def _header(self) -> bytes:
        return write_numbers(*self.shape, self.negative, self.positive)

    def to_bytes(self) -> bytes:
        return self._header() + self.nonzero + self.signs

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        shape, (negative, positive), rest = read_header(data, 2)
        intact(0 <= min(negative, positive) <= max(negative, positive) < 2**62,
               f"magnitudes of {negative} and {positive}")  # fmt: skip
        split = packed_bytes(1, shape[0] * shape[1])
        result = cls(shape, negative, positive, rest[:split], rest[split:])
        result.decode()
        return result
