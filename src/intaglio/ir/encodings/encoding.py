"""What an encoding is: a way to store a constant integer matrix, side tables included."""

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
import numpy.typing as npt

from intaglio.ir.types import MAX_BITS, Array, width

Matrix = npt.NDArray[np.int64]

SAMPLE = 4096
"""Values looked at before all are: most matrices without a structure show it at once."""


class Encoding(ABC):
    """A stored integer matrix. `decode(encode(w)) == w` and `from_bytes(to_bytes())` are exact."""

    @classmethod
    @abstractmethod
    def encode(cls, matrix: Array) -> Self | None:
        """The matrix (rows, columns) in this form, or None when it lacks the structure."""

    @abstractmethod
    def decode(self) -> Matrix:
        """The matrix, bit for bit."""

    @abstractmethod
    def bits(self) -> int:
        """Storage in bits, header and side tables included; to_bytes() rounds every part up to bytes."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The real file, without a name of the form."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`; DataError when the bytes are damaged."""


def integers(matrix: Array) -> Matrix | None:
    """The matrix as int64; None when empty or wider than any wire: only Dense stores those."""
    values = matrix.astype(np.int64, copy=False)
    if not values.size or width(int(values.min()), int(values.max())) > MAX_BITS:
        return None
    return values


def shape_of(matrix: Array) -> tuple[int, int]:
    """Rows and columns."""
    return int(matrix.shape[0]), int(matrix.shape[1])
