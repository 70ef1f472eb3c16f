"""Dense: every value, on the coarsest grid that holds them all."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from intaglio.ir.encodings.bits import (
    grid,
    intact,
    offsets,
    pack,
    read_header,
    unpack,
    write_numbers,
)
from intaglio.ir.encodings.encoding import Encoding, Matrix, shape_of
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
        codes = offsets(matrix, low)
        codes = codes if step == 1 else codes // np.uint64(step)
        return cls(shape_of(matrix), low, step, width, pack(codes, width))

    def decode(self) -> Matrix:
        codes = unpack(self.data, self.width, self.shape[0] * self.shape[1])
        # Modulo 2**64, so that a difference of 64 bits is exact too.
        values = codes * np.uint64(self.step) + np.uint64(self.low % 2**64)
        return values.view(np.int64).reshape(self.shape)

    def bits(self) -> int:
        return 8 * len(self._header()) + self.shape[0] * self.shape[1] * self.width

    def _header(self) -> bytes:
        return write_numbers(*self.shape, self.low, self.step, self.width)

    def to_bytes(self) -> bytes:
        return self._header() + self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        shape, (low, step, width), rest = read_header(data, 3)
        intact(0 < step < 2**64, f"a step of {step}")
        result = cls(shape, low, step, width, rest)
        result.decode()
        return result
