"""Bit packing: integers of any width, and short headers, as bytes."""

from math import gcd

import numpy as np
import numpy.typing as npt

from intaglio.ir.errors import DataError
from intaglio.ir.types import Array

Unsigned = npt.NDArray[np.uint64]

_BLOCK = 1 << 16
"""Values packed at a time; a multiple of 8, so that every block ends on a byte."""


def pack(values: Array, width: int) -> bytes:
    """Unsigned values of `width` bits each, lowest bit first, the last byte filled with zeros."""
    places = np.arange(width, dtype=np.uint64)
    flat = values.astype(np.uint64).ravel()
    blocks = (flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK))
    bits = (((block[:, None] >> places) & np.uint64(1)).astype(np.uint8) for block in blocks)
    return b"".join(np.packbits(block.ravel(), bitorder="little").tobytes() for block in bits)


def unpack(data: bytes, width: int, count: int) -> Unsigned:
    """The inverse of `pack`; DataError when the bytes do not hold so many values."""
    if len(data) != packed_bytes(width, count):
        raise DataError(f"{len(data)} bytes do not hold {count} values of {width} bits: the file is damaged")
    if not width:
        return np.zeros(count, dtype=np.uint64)
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=count * width, bitorder="little")
    rows = bits.reshape(count, width)
    values = np.zeros(count, dtype=np.uint64)
    for place in range(width):
        values |= rows[:, place].astype(np.uint64) << np.uint64(place)
    return values


def packed_bytes(width: int, count: int) -> int:
    """Bytes that `pack` makes."""
    return (width * count + 7) // 8


def grid(values: Array) -> tuple[int, int, int]:
    """(low, step, width): values = low + step * code codes of `width` bits, 0 when all are equal."""
    levels = [int(value) for value in np.unique(values)]
    if len(levels) < 2:
        return (levels[0] if levels else 0), 1, 0
    step = gcd(*(level - levels[0] for level in levels))
    return levels[0], step, ((levels[-1] - levels[0]) // step).bit_length()


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
    """So many numbers of `write_numbers`, and the bytes after them."""
    numbers: list[int] = []
    value = shift = position = 0
    while len(numbers) < count:
        if position == len(data):
            raise DataError("the header of an encoding is cut off: the file is damaged")
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(value >> 1 if value % 2 == 0 else -(value + 1) // 2)
            value = shift = 0
    return numbers, data[position:]
