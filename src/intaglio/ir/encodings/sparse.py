"""Sparse: where the non-zero values are, and these values.

Two forms of the positions, whichever is smaller: a bitmap (one bit per position), or the distances between
non-zero values in a few bits each (Han et al., "Deep Compression", ICLR 2016; there a distance too large for
its bits costs a zero value, here an escape code without a value).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from intaglio.ir.encodings.bits import (
    grid,
    intact,
    pack,
    packed_bytes,
    read_header,
    unpack,
    write_numbers,
)
from intaglio.ir.encodings.encoding import Encoding, Matrix, integers, shape_of
from intaglio.ir.errors import DataError
from intaglio.ir.types import Array

_WIDEST = 24
"""The most bits tried for a distance."""


@dataclass(frozen=True)
class Sparse(Encoding):
    """Non-zero value = low + step * code; `index` is 0 for a bitmap, else the bits of a distance.

    A distance code below 2**index - 1 skips so many zeros to the next value; the code 2**index - 1 skips so
    many zeros and no value follows.
    """

    shape: tuple[int, int]
    low: int
    step: int
    width: int
    index: int
    places: int
    count: int
    positions: bytes
    values: bytes

    @classmethod
    def encode(cls, matrix: Array) -> Self | None:
        values = integers(matrix)
        if values is None or values.all():
            return None
        flat = values.ravel()
        where = np.flatnonzero(flat)
        low, step, width = grid(flat[where])
        index, places = _best(where, flat.size)
        positions = pack(_distances(where, index), index) if index else pack(flat != 0, 1)
        codes = pack((flat[where] - low) // step, width)
        return cls(shape_of(values), low, step, width, index, places, where.size, positions, codes)

    def decode(self) -> Matrix:
        flat = np.zeros(self.shape[0] * self.shape[1], dtype=np.int64)
        where = self._where(flat.size)
        if where.size != self.count or (where.size and int(where[-1]) >= flat.size):
            raise DataError("positions and values of a sparse matrix disagree: the file is damaged")
        codes = unpack(self.values, self.width, self.count).astype(np.int64)
        flat[where] = codes * self.step + self.low
        return flat.reshape(self.shape)

    def _where(self, size: int) -> Array:
        if not self.index:
            return np.flatnonzero(unpack(self.positions, 1, size))
        codes = unpack(self.positions, self.index, self.places).astype(np.int64)
        last = 2**self.index - 1
        ends = np.cumsum(codes + (codes != last)) - 1
        return ends[codes != last]

    def bits(self) -> int:
        index_bits = self.places * max(self.index, 1)
        return 8 * len(self._header()) + index_bits + self.count * self.width

    def _header(self) -> bytes:
        return write_numbers(
            *self.shape, self.low, self.step, self.width, self.index, self.places, self.count
        )

    def to_bytes(self) -> bytes:
        return self._header() + self.positions + self.values

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        shape, (low, step, width, index, places, count), rest = read_header(data, 6)
        intact(0 <= index <= _WIDEST, f"distances of {index} bits")
        intact(min(places, count) >= 0, f"{places} positions of {count} values")
        intact(max(abs(low), abs(step)) < 2**63, f"a grid from {low} in steps of {step}")
        split = packed_bytes(max(index, 1), places)
        result = cls(shape, low, step, width, index, places, count, rest[:split], rest[split:])
        result.decode()
        return result


def _gaps(where: Array) -> Array:
    """Zeros before each non-zero value since the one before it."""
    return np.diff(where, prepend=-1) - 1


def _best(where: Array, size: int) -> tuple[int, int]:
    """(index, places) of the smallest form: bits of a distance (0: a bitmap) and number of codes."""
    count = np.bincount(_gaps(where), minlength=1)
    gaps = np.flatnonzero(count)
    forms = [(size, 0, size)]
    for index in range(1, _WIDEST + 1):
        places = where.size + int((gaps // (2**index - 1) * count[gaps]).sum())
        forms.append((places * index, index, places))
    _, index, places = min(forms)
    return index, places


def _distances(where: Array, index: int) -> Array:
    """Distance codes: every gap as escapes of 2**index - 1 zeros and a remainder."""
    last = 2**index - 1
    gaps = _gaps(where)
    ends = np.cumsum(gaps // last + 1) - 1
    codes = np.full(int(ends[-1]) + 1 if ends.size else 0, last, dtype=np.int64)
    codes[ends] = gaps % last
    return codes
