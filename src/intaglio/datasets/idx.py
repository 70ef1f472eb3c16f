"""IDX files, the format of MNIST: two zero bytes, a type, the number of axes, the sizes, then the values."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.ir.errors import DataError
from intaglio.reading import gunzip, read_bytes

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_AXES = 32
_LONGEST_HEAD = 4 + 4 * _MOST_AXES


def read_idx(path: Path | str) -> np.ndarray:
    """The array in an IDX file, plain or gzip (told by content, not by name), in native byte order.

    Raises:
        DataError: the file is missing, truncated, too long, or not IDX; says expected and actual bytes.
    """
    path = Path(path)
    data = read_bytes(path, DataError, "set INTAGLIO_DATA to the folder with the data")
    packed = data[:2] == b"\x1f\x8b"
    start = gunzip(data, str(path), _LONGEST_HEAD) if packed else data[:_LONGEST_HEAD]
    kind, shape = _header(path, start)
    head = 4 + 4 * len(shape)
    expected = head + math.prod(shape) * kind.itemsize
    if packed:
        data = gunzip(data, str(path), expected + 1)
    if len(data) != expected:
        more = "more" if packed and len(data) > expected else len(data)
        raise DataError(f"{path}: expected {expected} bytes for shape {shape}, found {more}; fetch the file again")
    return np.frombuffer(data, kind, offset=head).reshape(shape).astype(kind.newbyteorder("="))


def _header(path: Path, start: bytes) -> "tuple[np.dtype[Any], tuple[int, ...]]":
    """Type and sizes that the file promises."""
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES:
        raise DataError(
            f"{path}: not an IDX file (starts with {start[:4].hex() or 'nothing'}, expected 0000 and a type)"
        )
    axes = start[3]
    if axes > _MOST_AXES:
        raise DataError(f"{path}: {axes} axes, more than the {_MOST_AXES} of any array; fetch the file again")
    head = 4 + 4 * axes
    if len(start) < head:
        raise DataError(f"{path}: expected {head} bytes of header, found {len(start)}; fetch the file again")
    shape = struct.unpack(f">{axes}I", start[4:head])
    if 0 in shape:
        raise DataError(f"{path}: shape {shape} holds nothing; fetch the file again")
    return np.dtype(_TYPES[start[2]]), shape
