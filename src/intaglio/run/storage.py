"""One file that is a Graph but for its names: every constant in its cheapest encoding, and the same integers come back.

For each array: one byte for the encoding, four for the length, then the encoding's own bytes (header included). The
first one is the structure, as bytes: for every node its kind, what it reads, and every constant but the arrays, of
which it holds the shapes. Then follow the arrays themselves: weights, multipliers, offsets, thresholds, tables.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from fractions import Fraction
from operator import index
from typing import Any

import numpy as np

from intaglio.ir.encodings import ENCODINGS, Encoding, cheapest, rows_of
from intaglio.ir.encodings.bits import write_numbers
from intaglio.ir.errors import DataError
from intaglio.ir.graph import Graph
from intaglio.ir.op import Op
from intaglio.ir.ops import OPS, Conv2d, MatMul

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

_MOST, _PER_BYTE = 1 << 27, 1 << 10
"""Elements that a small file may hold in all, and for each byte more."""


def write(graph: Graph) -> bytes:
    """The file's content."""
    parts: list[bytes] = []
    for encoded in encodings(graph):
        blob = encoded.to_bytes()
        parts.append(bytes([ENCODINGS.index(type(encoded))]) + len(blob).to_bytes(4, "little") + blob)
    return b"".join(parts)


def read(data: bytes) -> Iterator[IntArray]:
    """The matrices of a file; DataError where it is cut off, or holds more than a file of its size does."""
    place, left = 0, _MOST + _PER_BYTE * len(data)
    while place < len(data):
        length = int.from_bytes(data[place + 1 : place + 5], "little")
        blob = data[place + 5 : place + 5 + length]
        if len(data) < place + 5 + length or data[place] >= len(ENCODINGS) or left <= 0:
            raise DataError(f"the file of constants is damaged at byte {place}: write it again")
        matrix = ENCODINGS[data[place]].from_bytes(blob).decode()
        left -= matrix.size
        yield matrix
        place += 5 + length


def verify(graph: Graph, data: bytes) -> None:
    """Raise DataError unless the file holds exactly the constants of `graph`."""
    found = read(data)
    if not all(np.array_equal(wanted, next(found, ())) for wanted in constants(graph)) or next(found, None) is not None:
        raise DataError("the file of constants does not hold the integers of the graph: write it again")


def weight_bits(op: MatMul | Conv2d) -> int:
    """Bits of one layer's weights as they are stored, the positions of zeros included."""
    return 8 * len(op.encoded("weight").to_bytes())


def constants(graph: Graph) -> Iterator[IntArray]:
    """The structure and every array of constants of the graph as matrices, in a fixed order."""
    yield _structure(graph)
    for node in graph.nodes:
        yield from (rows_of(getattr(node.op, name)) for name in _arrays(node.op))


def encodings(graph: Graph) -> Iterator[Encoding]:
    """The cheapest encoding of every one of `constants`, in the same order."""
    yield cheapest(_structure(graph))
    for node in graph.nodes:
        yield from (node.op.encoded(name) for name in _arrays(node.op))


def _arrays(op: Op) -> list[str]:
    """Names of the fields that hold arrays."""
    return [name for name, value in op.values().items() if isinstance(value, np.ndarray)]


def _structure(graph: Graph) -> IntArray:
    """Kinds, wires and constants but the values of arrays, as one row of bytes."""
    numbers = [len(graph.nodes), *_flat(graph.outputs)]
    for position, node in enumerate(graph.nodes):
        numbers += [OPS.index(type(node.op)), *_flat(tuple(position - wire for wire in node.inputs))]
        numbers += _flat(node.op)
    return np.frombuffer(write_numbers(*numbers), np.uint8).astype(np.int64)[None]


def _flat(value: Any) -> Iterator[int]:
    """All numbers of a constant, so that different constants give different numbers; the shape of an array."""
    if isinstance(value, np.ndarray):
        value = value.shape
    if isinstance(value, tuple):
        yield len(value)
        for item in value:
            yield from _flat(item)
    elif isinstance(value, Fraction):
        yield from value.as_integer_ratio()
    elif is_dataclass(value):
        for field in fields(value):
            yield from _flat(getattr(value, field.name))
    else:
        yield index(value)
