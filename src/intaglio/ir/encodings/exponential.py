"""What powers of two and minifloats share: mantissas of a few bits, each with its own exponent."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from intaglio.ir.encodings.bits import (
    intact,
    lengths,
    pack,
    read_header,
    unpack,
    write_numbers,
    zeros_below,
)
from intaglio.ir.encodings.encoding import SAMPLE, Encoding, Matrix, shape_of


@dataclass(frozen=True)
class Exponential(Encoding):
    """value = +-mantissa * 2**(low + exponent), mantissas of `mantissa_bits`.

    Magnitudes m, divided by 2**low, are numbered in ascending order, as the bits of IEEE 754 do with
    their hidden leading one: rank = exponent * 2**(mantissa_bits - 1) + m / 2**exponent, where
    exponent = max(0, bit_length(m) - mantissa_bits). Stored is rank - first, or 0 for zero and
    rank - first + 1 for the others when there are zeros (`zero`), in the fewest bits that hold the
    rank `last`; above it a sign when there are negative values (`signed`).
    """

    shape: tuple[int, int]
    low: int
    mantissa_bits: int
    first: int
    last: int
    zero: bool
    signed: bool
    data: bytes

    @classmethod
    def _of(cls, values: Matrix, mantissa: int) -> Self:
        """Values that are not all zero, with mantissas of as many bits as they need."""
        low = zeros_below(common_factor(values))
        ranks = _ranks(np.abs(values) >> low, mantissa)
        zero, negative = not values.all(), values < 0
        first = int(ranks[ranks > 0].min()) if zero else int(ranks.min())
        last, signed = int(ranks.max()), bool(negative.any())
        form = cls(shape_of(values), low, mantissa, first, last, zero, signed, b"")
        codes = np.where(ranks > 0, ranks - first + zero, 0)
        codes |= negative.astype(np.int64) << form._rank_bits()
        return replace(form, data=pack(codes, form.width))

    def _rank_bits(self) -> int:
        return (self.last - self.first + self.zero).bit_length()

    @property
    def width(self) -> int:
        """Stored bits of a value."""
        return self._rank_bits() + self.signed

    @property
    def exponent_bits(self) -> int:
        """Bits of an exponent in `codes`, at least 1."""
        return max(self._exponent(self.last), 1).bit_length()

    def _exponent(self, rank: int) -> int:
        return max((rank >> (self.mantissa_bits - 1)) - 1, 0)

    def _parts(self) -> tuple[Matrix, Matrix, Matrix]:
        """(negative, exponent, mantissa) of every value, flat; a mantissa of 0 is zero."""
        codes = unpack(self.data, self.width, self.shape[0] * self.shape[1]).astype(np.int64)
        negative = codes >> self._rank_bits()
        codes &= (1 << self._rank_bits()) - 1
        ranks = codes + (self.first - self.zero)
        if self.zero:
            ranks[codes == 0] = 0
        fraction = self.mantissa_bits - 1
        exponents = np.maximum((ranks >> fraction) - 1, 0)
        return negative, exponents, ranks - (exponents << fraction)

    def codes(self) -> Matrix:
        """(rows, columns): {negative, exponent, mantissa}, mantissa lowest, for `ig_dot_shift`.

        Of the exponent there are `exponent_bits`, of the mantissa `mantissa_bits`;
        value = +-(mantissa << exponent) * 2**low.
        """
        negative, exponents, mantissas = self._parts()
        codes = (negative << self.exponent_bits | exponents) << self.mantissa_bits | mantissas
        return codes.reshape(self.shape)

    def decode(self) -> Matrix:
        negative, exponents, mantissas = self._parts()
        magnitudes = mantissas << (exponents + self.low)
        return np.where(negative > 0, -magnitudes, magnitudes).reshape(self.shape)

    def bits(self) -> int:
        return 8 * len(self._header()) + self.shape[0] * self.shape[1] * self.width

    def _header(self) -> bytes:
        flags = self.zero + 2 * self.signed
        return write_numbers(
            *self.shape, self.low, self.mantissa_bits, self.first, self.last, flags
        )

    def to_bytes(self) -> bytes:
        return self._header() + self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        shape, (low, mantissa, first, last, flags), rest = read_header(data, 5)
        intact(low >= 0 and 0 < mantissa < 62 and 0 <= flags < 4, f"mantissas of {mantissa} bits")
        intact(0 < first <= last < 2**62, f"magnitudes from {first} to {last}")
        result = cls(shape, low, mantissa, first, last, bool(flags & 1), flags > 1, rest)
        widest = result._exponent(last) + mantissa + low
        intact(widest < 63, f"a magnitude of {widest} bits")
        result.decode()
        return result


def mantissa_bits(values: Matrix, most: int) -> int | None:
    """Bits of the largest odd factor, 0 when all values are 0; None when more than `most`."""
    if _largest_odd(values.ravel()[:SAMPLE]) >> most:
        return None
    odd = _largest_odd(values)
    return None if odd >> most else odd.bit_length()


def common_factor(values: Matrix) -> int:
    """A number with as many trailing zeros as all values have."""
    return int(np.bitwise_or.reduce(values, axis=None))


def _largest_odd(values: Matrix) -> int:
    magnitudes = np.abs(values)
    return int((magnitudes // np.maximum(magnitudes & -magnitudes, 1)).max())


def _ranks(magnitudes: Matrix, mantissa: int) -> Matrix:
    """The number of each magnitude in ascending order, as in the class; 0 for zero."""
    exponents = np.maximum(lengths(magnitudes) - mantissa, 0)
    return (exponents << (mantissa - 1)) + (magnitudes >> exponents)
