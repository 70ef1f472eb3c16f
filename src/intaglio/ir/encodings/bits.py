"""Bit packing: integers of any width, and short headers, as bytes."""

import numpy as np
import numpy.typing as npt

from intaglio.ir.errors import DataError
from intaglio.ir.types import Array

Unsigned = npt.NDArray[np.uint64]

_BLOCK = 1 << 16
"""Values packed at a time; a multiple of 8, so that every block ends on a byte."""

_MOST, _PER_BYTE = 1 << 25, 1 << 10
"""Elements of a matrix that a few bytes may hold, and for each byte more: a damaged header asks for no more memory."""

_GROUPS = 10
"""Groups of 7 bits of the longest header number: a sign and more than 64 bits."""


def pack(values: Array, width: int) -> bytes:
    """Unsigned values of `width` bits each, lowest bit first, the last byte filled with zeros."""
    if not width:
        return b""
    flat = values.astype("<u8").ravel()
    blocks = (flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK))
    rows = (block.view(np.uint8).reshape(-1, 8)[:, : packed_bytes(width, 1)] for block in blocks)
    bits = (np.unpackbits(row, axis=1, count=width, bitorder="little") for row in rows)
    return b"".join(np.packbits(row.ravel(), bitorder="little").tobytes() for row in bits)


def unpack(data: bytes, width: int, count: int) -> Unsigned:
    """The inverse of `pack`; DataError when the bytes do not hold so many values."""
    if not 0 <= width <= 64 or len(data) != packed_bytes(width, count):
        raise DataError(
            f"{len(data)} bytes do not hold {count} values of {width} bits: the file is damaged"
        )
    result = np.zeros((count, 8), dtype=np.uint8)
    if width and count:
        packed = np.frombuffer(data, dtype=np.uint8)
        rows = np.unpackbits(packed, count=count * width, bitorder="little").reshape(count, width)
        result[:, : packed_bytes(width, 1)] = np.packbits(rows, axis=1, bitorder="little")
    return result.view("<u8").ravel().astype(np.uint64, copy=False)


def packed_bytes(width: int, count: int) -> int:
    """Bytes that `pack` makes."""
    return (width * count + 7) // 8


def offsets(values: Array, low: int) -> Unsigned:
    """values - low for values >= low: exact even where the difference needs 64 bits."""
    return values.astype(np.int64, copy=False).view(np.uint64) - np.uint64(low % 2**64)


def grid(values: Array) -> tuple[int, int, int]:
    """(low, step, width): values = low + step * code codes of `width` bits, 0 when all are equal."""
    if not values.size:
        return 0, 1, 0
    low, high = int(values.min()), int(values.max())
    if low == high:
        return low, 1, 0
    step = int(np.gcd.reduce(offsets(values, low), axis=None))
    return low, step, ((high - low) // step).bit_length()


def lengths(values: Array) -> npt.NDArray[np.int64]:
    """int.bit_length of each non-negative value, by halves, because a float64 rounds 54 bits."""
    high, low = values >> 31, values & (2**31 - 1)
    low_length = np.frexp(low.astype(np.float64))[1]
    if not high.any():
        return low_length.astype(np.int64)
    high_length = np.frexp(high.astype(np.float64))[1]
    return np.where(high > 0, high_length + 31, low_length).astype(np.int64)


def zeros_below(value: int) -> int:
    """Trailing zeros of a number that is not 0: the exponent of the largest power of two in it."""
    return (value & -value).bit_length() - 1


def write_numbers(*numbers: int) -> bytes:
    """Signed numbers in groups of 7 bits (zigzag, lowest first), the eighth bit set while more follow."""
    result = bytearray()
    for number in numbers:
        rest = 2 * number if number >= 0 else -2 * number - 1
        while rest > 127:
            result.append(rest & 127 | 128)
            rest >>= 7
        result.append(rest)
    return bytes(result)


def read_numbers(data: bytes, count: int) -> tuple[list[int], bytes]:
    """So many numbers of `write_numbers`, and the bytes after them; DataError when cut off."""
    numbers: list[int] = []
    value = shift = position = 0
    while len(numbers) < count:
        if position == len(data) or shift == 7 * _GROUPS:
            raise DataError("the header of an encoding is cut off: the file is damaged")
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(value >> 1 if value % 2 == 0 else -(value + 1) // 2)
            value = shift = 0
    return numbers, data[position:]


def read_header(data: bytes, count: int) -> tuple[tuple[int, int], list[int], bytes]:
    """A shape, so many numbers, and the bytes after them; DataError when it is not a shape."""
    (rows, columns, *numbers), rest = read_numbers(data, 2 + count)
    most = max(_MOST, _PER_BYTE * len(data))
    intact(rows >= 0 and columns >= 0 and rows * columns < most, f"a shape of {rows} x {columns}")
    return (rows, columns), numbers, rest


def intact(condition: bool, found: str) -> None:
    """Raise DataError unless what was read makes sense."""
    if not condition:
        raise DataError(f"{found} in the header of an encoding: the file is damaged")
