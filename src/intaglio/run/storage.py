"""One file with every constant of a Graph, each in its cheapest encoding, from which the same integers come back.

For each array: one byte for the encoding, four for the length, then the encoding's own bytes (header included). The
arrays are the constants of every operation in order: weights, multipliers, offsets, thresholds, tables, then shift,
bounds and scales.
"""

from collections.abc import Iterator
from dataclasses import fields
from fractions import Fraction

import numpy as np

from intaglio.ir.encodings import ENCODINGS, cheapest, rows_of
from intaglio.ir.errors import DataError
from intaglio.ir.graph import Graph
from intaglio.ir.op import Op

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
SETTINGS = ("shift", "low", "high", "base", "block", "mantissa", "value")


def write(graph: Graph) -> bytes:
    """The file's content."""
    parts: list[bytes] = []
    for matrix in constants(graph):
        encoded = cheapest(matrix)
        blob = encoded.to_bytes()
        parts.append(bytes([ENCODINGS.index(type(encoded))]) + len(blob).to_bytes(4, "little") + blob)
    return b"".join(parts)


def read(data: bytes) -> Iterator[IntArray]:
    """The matrices of a file; DataError where it is cut off."""
    place = 0
    while place < len(data):
        length = int.from_bytes(data[place + 1 : place + 5], "little")
        blob = data[place + 5 : place + 5 + length]
        if len(blob) != length or data[place] >= len(ENCODINGS):
            raise DataError(f"the file of constants is damaged at byte {place}: write it again")
        yield ENCODINGS[data[place]].from_bytes(blob).decode()
        place += 5 + length


def verify(graph: Graph, data: bytes) -> None:
    """Raise DataError unless the file holds exactly the constants of `graph`."""
    expected, found = list(constants(graph)), list(read(data))
    if len(expected) != len(found) or not all(map(np.array_equal, expected, found)):
        raise DataError("the file of constants does not hold the integers of the graph: write it again")


def weight_bits(weight: IntArray) -> int:
    """Bits of one weight array as it is stored, the positions of zeros included."""
    return 8 * len(cheapest(rows_of(weight)).to_bytes())


def constants(graph: Graph) -> Iterator[IntArray]:
    """Every constant of the graph as a matrix, in a fixed order."""
    for node in graph.nodes:
        arrays = [np.asarray(getattr(node.op, f.name)) for f in fields(node.op)  # pyright: ignore[reportArgumentType]
                  if isinstance(getattr(node.op, f.name), np.ndarray)]  # fmt: skip
        yield from (rows_of(array) for array in arrays)
        settings = [int(getattr(node.op, name)) for name in SETTINGS if hasattr(node.op, name)]
        settings += [part for scale in _scales(node.op) for part in (scale.numerator, scale.denominator)]
        if settings:
            yield np.array([settings], dtype=np.int64)


def _scales(op: Op) -> tuple[Fraction, ...]:
    return getattr(op, "scale", ())
