"""Bases: sums of a few coefficients, each with a sign per weight.

Lin et al., "Towards Accurate Binary Convolutional Neural Network" (ABC-Net), NeurIPS 2017; Xu et
al., "Alternating Multi-bit Quantization for Recurrent Neural Networks", ICLR 2018.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Self

import numpy as np
import numpy.typing as npt

from intaglio.ir.encodings.bits import (
    intact,
    pack,
    read_header,
    read_numbers,
    unpack,
    write_numbers,
)
from intaglio.ir.encodings.encoding import SAMPLE, Encoding, Matrix, integers, shape_of
from intaglio.ir.types import Array

MOST = 5
"""Bases that are tried; with one it is Bipolar."""

_WORD = 1 << 31
"""Coefficients of the hardware are signed words of 32 bits."""

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bases(Encoding):
    """value = sum of +-coefficient, the sign of coefficient k in bit k: 1 is +.

    2 to 5 coefficients, positive and descending, the fewest that exist. None when there are none,
    or when `Bipolar` or `Ternary` hold the matrix.
    """

    shape: tuple[int, int]
    coefficients: tuple[int, ...]
    data: bytes

    @classmethod
    def encode(cls, matrix: Array) -> Self | None:
        values = integers(matrix)
        levels = _levels(values) if values is not None else None
        if values is None or levels is None:
            return None
        coefficients = solve(np.unique(np.abs(levels))[::-1])
        if coefficients is None:
            return None
        sums = _sums(coefficients)
        order = np.argsort(sums, kind="stable")
        codes = order[np.searchsorted(sums[order], values)]
        return cls(shape_of(values), coefficients, pack(codes, len(coefficients)))

    def codes(self) -> Matrix:
        """(rows, columns): bit k is the sign of coefficient k, as `ig_dot_bases` reads them."""
        count = self.shape[0] * self.shape[1]
        codes = unpack(self.data, len(self.coefficients), count)
        return codes.astype(np.int64).reshape(self.shape)

    def decode(self) -> Matrix:
        return _sums(self.coefficients)[self.codes()]

    def bits(self) -> int:
        return 8 * len(self._header()) + self.shape[0] * self.shape[1] * len(self.coefficients)

    def _header(self) -> bytes:
        return write_numbers(*self.shape, len(self.coefficients), *self.coefficients)

    def to_bytes(self) -> bytes:
        return self._header() + self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        shape, (count,), rest = read_header(data, 1)
        intact(1 < count <= MOST, f"{count} bases")
        coefficients, rest = read_numbers(rest, count)
        intact(min(coefficients) > 0 and max(coefficients) < _WORD, f"bases {coefficients}")
        result = cls(shape, tuple(coefficients), rest)
        result.decode()
        return result


def solve(magnitudes: Matrix) -> tuple[int, ...] | None:
    """The fewest positive coefficients whose signed sums include all of `magnitudes` (descending).

    None when `MOST` are not enough, or for a single magnitude. The search is complete: with the
    fewest coefficients some choice of as many magnitudes is linearly independent in their signs, so
    it determines the coefficients, and all signs of such a choice are tried.
    """
    fewest = max(len(magnitudes) - 1, 0).bit_length() + 1
    for count in range(max(fewest, 2), min(MOST, len(magnitudes)) + 1):
        for chosen in _choices(count, len(magnitudes)):
            found = _fitting(magnitudes, magnitudes[list(chosen)])
            if found:
                return min(found, key=lambda c: (sum(c), c))
    return None


def _choices(count: int, size: int) -> Iterator[tuple[int, ...]]:
    """Choices of `count` magnitudes of `size`, one of which is surely independent.

    Three different magnitudes always are. The rows of signs that depend on three such are these and
    at most one more, so of any two further magnitudes one is independent; the fifth is any other.
    """
    if count < 4:
        yield tuple(range(count))
    for fourth in range(3, min(size, 5)) if count > 3 else ():
        yield from (
            (0, 1, 2, fourth, *fifth)
            for fifth in combinations(range(fourth + 1, size), count - 4)
        )


@cache
def _signs(count: int) -> Matrix:
    """(2**(count - 1), count): all choices of +-1 with + first."""
    return np.array([(1, *rest) for rest in product((1, -1), repeat=count - 1)])


@cache
def _systems(count: int) -> tuple[Reals, Reals]:
    """Adjugates (n, count, count), determinants (n, 1) without sign, of all regular sign matrices.

    Their rows are the magnitudes, their columns the coefficients. The first row is all +, because a
    coefficient may be negative; the order of the columns does not matter.
    """
    columns = _signs(count)
    matrices = columns[list(combinations(range(len(columns)), count))].transpose(0, 2, 1)
    determinants = np.rint(np.linalg.det(matrices))
    matrices, determinants = matrices[determinants != 0], determinants[determinants != 0]
    adjugates = np.rint(np.linalg.inv(matrices) * determinants[:, None, None])
    return adjugates, np.abs(determinants)[:, None]


def _fitting(magnitudes: Matrix, chosen: Matrix) -> list[tuple[int, ...]]:
    """All coefficients that give the chosen magnitudes by some signs, and the others too."""
    adjugates, determinants = _systems(len(chosen))
    # In float64: exact for sums of coefficients below 2**31, and the comparison refuses all others.
    found = np.abs(adjugates @ chosen.astype(np.float64)) / determinants
    found = found[((found == np.rint(found)) & (found > 0) & (found < _WORD)).all(axis=1)]
    sums = np.abs(found @ _signs(len(chosen)).T.astype(np.float64))
    for magnitude in magnitudes:
        holds = (sums == magnitude).any(axis=1)
        found, sums = found[holds], sums[holds]
    return [tuple(sorted((int(c) for c in row), reverse=True)) for row in found]


def _levels(values: Matrix) -> Matrix | None:
    """The different values; None when they cannot be such sums, or are Bipolar or Ternary."""
    if _distinct(values.ravel()[:SAMPLE]) is None:
        return None
    levels = _distinct(values)
    if levels is None or max(np.count_nonzero(levels > 0), np.count_nonzero(levels < 0)) < 2:
        return None
    return levels


def _distinct(values: Matrix) -> Matrix | None:
    """The different values when they are few and all odd or all even, as such sums are."""
    levels = np.unique(values)
    return None if len(levels) > 2**MOST or np.ptp(levels & 1) else levels


def _sums(coefficients: tuple[int, ...]) -> Matrix:
    """The value of every code."""
    sums = np.zeros(1, dtype=np.int64)
    for coefficient in coefficients:
        sums = np.concatenate((sums - coefficient, sums + coefficient))
    return sums
