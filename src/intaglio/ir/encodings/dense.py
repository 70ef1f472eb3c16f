"""Dense: every value, on the coarsest grid that holds them all."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from intaglio.ir.encodings.bits import grid, pack, read_numbers, unpack, write_numbers
from intaglio.ir.encodings.encoding import Encoding, Matrix
from intaglio.ir.types import Array


@dataclass(frozen=True)
class Dense(Encoding):
    """value = low + step * code, codes of `width` bits in row-major order: +-1 takes one bit a value."""

    shape: tuple[int, int]
    low: int
    step: int
    width: int
    data: bytes

    @classmethod
    def encode(cls, matrix: Array) -> Self:
        low, step, width = grid(matrix)
        codes = (matrix.astype(np.int64) - low) // step
        return cls((matrix.shape[0], matrix.shape[1]), low, step, width, pack(codes, width))

    def decode(self) -> Matrix:
        codes = unpack(self.data, self.width, self.shape[0] * self.shape[1])
        return (codes.astype(np.int64) * self.step + self.low).reshape(self.shape)

    def bits(self) -> int:
        return 8 * len(self._header()) + self.shape[0] * self.shape[1] * self.width

    def _header(self) -> bytes:
        return write_numbers(*self.shape, self.low, self.step, self.width)

    def to_bytes(self) -> bytes:
        return self._header() + self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        (rows, columns, low, step, width), rest = read_numbers(data, 5)
        result = cls((rows, columns), low, step, width, rest)
        result.decode()
        return result
