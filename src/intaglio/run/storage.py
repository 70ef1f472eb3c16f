"""One file with every constant of a Graph, each in its cheapest encoding, from which the same integers come back.

For each array: one byte for the encoding, four for the length, then the encoding's own bytes (header included). The
arrays are the constants of every operation in order: weights, multipliers, offsets, thresholds, tables, then shift,
bounds and scales.
"""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from intaglio.ir.encodings import ENCODINGS, Encoding, cheapest, rows_of
from intaglio.ir.errors import DataError
from intaglio.ir.graph import Graph
from intaglio.ir.op import Op
from intaglio.ir.ops import Conv2d, MatMul

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
SETTINGS = ("shift", "low", "high", "base", "block", "mantissa", "value")


def write(graph: Graph) -> bytes:
    """The file's content."""
    parts: list[bytes] = []
    for encoded in encodings(graph):
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


def weight_bits(op: MatMul | Conv2d) -> int:
    """Bits of one layer's weights as they are stored, the positions of zeros included."""
    return 8 * len(op.encoded("weight").to_bytes())


def constants(graph: Graph) -> Iterator[IntArray]:
    """Every constant of the graph as a matrix, in a fixed order."""
    for node in graph.nodes:
        yield from (rows_of(getattr(node.op, name)) for name in _arrays(node.op))
        yield from _settings(node.op)


def encodings(graph: Graph) -> Iterator[Encoding]:
    """The cheapest encoding of every one of `constants`, in the same order."""
    for node in graph.nodes:
        yield from (node.op.encoded(name) for name in _arrays(node.op))
        yield from (cheapest(matrix) for matrix in _settings(node.op))


def _arrays(op: Op) -> list[str]:
    """Names of the fields that hold arrays."""
    return [name for name, value in op.values().items() if isinstance(value, np.ndarray)]


def _settings(op: Op) -> Iterator[IntArray]:
    """The integers of an operation that are no arrays, as one row; nothing without them."""
    settings = [int(getattr(op, name)) for name in SETTINGS if hasattr(op, name)]
    settings += [part for scale in _scales(op) for part in (scale.numerator, scale.denominator)]
    if settings:
        yield np.array([settings], dtype=np.int64)


def _scales(op: Op) -> tuple[Fraction, ...]:
    return getattr(op, "scale", ())
