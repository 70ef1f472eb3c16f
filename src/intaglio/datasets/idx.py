"""IDX files, the format of MNIST: two zero bytes, a type, the number of axes, the sizes, then the values."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from intaglio.ir.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path | str) -> np.ndarray:
    """The array in an IDX file, plain or gzip (told by content, not by name), in native byte order.

    Raises:
        DataError: the file is missing, truncated, too long, or not IDX; says expected and actual bytes.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); set INTAGLIO_DATA to the folder with the data"
        ) from error
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(
                f"{path}: the gzip stream is damaged or truncated at {len(data)} bytes ({error}); fetch the file again"
            ) from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES:
        raise DataError(
            f"{path}: not an IDX file (starts with {data[:4].hex() or 'nothing'}, expected 0000 and a type)"
        )
    kind, axes = np.dtype(_TYPES[data[2]]), data[3]
    head = 4 + 4 * axes
    if len(data) < head:
        raise DataError(f"{path}: expected {head} bytes of header, found {len(data)}; fetch the file again")
    shape = struct.unpack(f">{axes}I", data[4:head])
    expected = head + math.prod(shape) * kind.itemsize
    if len(data) != expected:
        raise DataError(f"{path}: expected {expected} bytes for shape {shape}, found {len(data)}; fetch the file again")
    return np.frombuffer(data, kind, offset=head).reshape(shape).astype(kind.newbyteorder("="))
