"""BlockExponent: blocks of a row share an exponent (block floating point).

Köster et al., "Flexpoint", NeurIPS 2017; Drumond et al., "Training DNNs with Hybrid Block Floating
Point", NeurIPS 2018.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from intaglio.ir.encodings.bits import (
    intact,
    lengths,
    pack,
    packed_bytes,
    read_header,
    unpack,
    write_numbers,
    zeros_below,
)
from intaglio.ir.encodings.encoding import Encoding, Matrix, integers, shape_of
from intaglio.ir.types import Array

BLOCKS = (4, 8, 16, 32, 64)
"""Sizes of a block that are tried where they divide the columns."""

_ANY = 62
"""The exponent that a block of zeros allows: any."""


@dataclass(frozen=True)
class BlockExponent(Encoding):
    """value = mantissa << exponent, one exponent for every `block` consecutive columns of a row.

    exponent = low + code, codes of `exponent_bits`, row-major; mantissas of `mantissa_bits`, two's
    complement when `signed`. The mantissas are as narrow as the blocks allow, then the exponents.
    None where no block size narrows the mantissas.
    """

    shape: tuple[int, int]
    block: int
    mantissa_bits: int
    signed: bool
    low: int
    exponent_bits: int
    shifts: bytes
    data: bytes

    @classmethod
    def encode(cls, matrix: Array) -> Self | None:
        values = integers(matrix)
        if values is None or not values.any():
            return None
        signed = bool(values.min() < 0)
        best = min(_candidates(values, signed), key=lambda found: found[0], default=None)
        if best is None:
            return None
        _, block, mantissa, exponents = best
        low = int(exponents.min())
        width = int(exponents.max() - low).bit_length()
        codes = (values >> np.repeat(exponents, block, axis=1)) & ((1 << mantissa) - 1)
        return cls(shape_of(values), block, mantissa, signed, low, width,
                   pack(exponents - low, width), pack(codes, mantissa))  # fmt: skip

    @property
    def exponents(self) -> Matrix:
        """(rows, columns / block): what the mantissas of a block are shifted by; at least `low`."""
        rows, blocks = self.shape[0], self.shape[1] // self.block
        codes = unpack(self.shifts, self.exponent_bits, rows * blocks).astype(np.int64)
        return codes.reshape(rows, blocks) + self.low

    def mantissas(self) -> Matrix:
        """(rows, columns): the integers that are shifted."""
        count = self.shape[0] * self.shape[1]
        codes = unpack(self.data, self.mantissa_bits, count).astype(np.int64)
        sign = self.signed << (self.mantissa_bits - self.signed)
        return ((codes ^ sign) - sign).reshape(self.shape)

    def decode(self) -> Matrix:
        return self.mantissas() << np.repeat(self.exponents, self.block, axis=1)

    def bits(self) -> int:
        blocks = self.shape[0] * self.shape[1] // self.block
        mantissas = self.shape[0] * self.shape[1] * self.mantissa_bits
        return 8 * len(self._header()) + mantissas + blocks * self.exponent_bits

    def _header(self) -> bytes:
        return write_numbers(
            *self.shape, self.block, self.mantissa_bits, self.signed, self.low, self.exponent_bits
        )

    def to_bytes(self) -> bytes:
        return self._header() + self.shifts + self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        shape, (block, mantissa, signed, low, width), rest = read_header(data, 5)
        intact(block > 0 and shape[1] % block == 0, f"{shape[1]} columns in blocks of {block}")
        intact(signed in (0, 1) and signed <= mantissa < 63, f"mantissas of {mantissa} bits")
        intact(0 <= low < 63 and 0 <= width < 7, f"exponents of {width} bits from {low}")
        split = packed_bytes(width, shape[0] * shape[1] // block)
        form = cls(shape, block, mantissa, bool(signed), low, width, rest[:split], rest[split:])
        form.decode()
        return form


def _candidates(values: Matrix, signed: bool) -> Iterator[tuple[int, int, int, Matrix]]:
    """(bits, block, bits of a mantissa, exponents) of every block size that narrows the mantissas.

    Each saves storage: with d bits fewer per value, the exponents of a block differ by at most d.
    """
    factors, tops = values, values ^ (values >> 63)
    high = int(np.bitwise_or.reduce(tops, axis=None)).bit_length()
    low = zeros_below(int(np.bitwise_or.reduce(factors, axis=None)))
    for block in BLOCKS:
        if values.shape[1] % block:
            return
        while factors.shape[1] * block > values.shape[1]:
            factors, tops = _joined(factors), _joined(tops)
        # A block as wide as all values together allows nothing narrower; nor do larger blocks.
        if high <= low or ((tops >> (high - 1)) & (factors >> low) & 1).any():
            return
        mantissa, exponents = _exponents(factors, tops)
        spread = int(exponents.max() - exponents.min()).bit_length()
        bits = values.size * (mantissa + signed) + exponents.size * spread
        yield bits, block, mantissa + signed, exponents


def _joined(values: Matrix) -> Matrix:
    """Bits that occur in either of two neighbours."""
    return values[:, 0::2] | values[:, 1::2]


def _exponents(factors: Matrix, tops: Matrix) -> tuple[int, Matrix]:
    """The narrowest mantissa without its sign; the exponents that do with it, least apart."""
    most = np.where(factors != 0, lengths(factors & -factors) - 1, _ANY)
    wide = lengths(tops)
    mantissa = max(int((wide - most).max()), 0)
    least = np.maximum(wide - mantissa, 0)
    return mantissa, np.maximum(least, min(int(most.min()), int(least.max())))
