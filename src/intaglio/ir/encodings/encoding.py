"""What an encoding is: a way to store a constant integer matrix, side tables included."""

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
import numpy.typing as npt

from intaglio.ir.types import Array

Matrix = npt.NDArray[np.int64]


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
