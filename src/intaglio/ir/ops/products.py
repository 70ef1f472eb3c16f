"""What MatMul and Conv2d share: proved ranges, bounds, scales and counts of dot products."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from intaglio.ir.op import Work
from intaglio.ir.types import Array

_BLOCK = 1 << 17
"""Weights of so many rows at a time: what is derived from them stays in the cache."""


@dataclass(frozen=True)
class RowSums:
    """Per row of a weight the sums of its positive and of its negative entries: all that bounds its dot products."""

    positive: tuple[int, ...]
    negative: tuple[int, ...]

    @staticmethod
    def of(weight: Array) -> "RowSums":
        """Sums over all axes but the first, as Python integers (never overflowing)."""
        rows = weight.reshape(len(weight), -1)
        largest = max(abs(int(rows.min())), abs(int(rows.max())))
        exact = rows if largest * rows.shape[1] < 2**62 else rows.astype(object)
        step = max(1, _BLOCK // rows.shape[1])
        blocks = [exact[start : start + step] for start in range(0, len(exact), step)]
        positive, negative = (
            tuple(int(total) for block in blocks for total in part(block, 0).sum(axis=1))
            for part in (np.maximum, np.minimum)
        )
        return RowSums(positive, negative)

    @property
    def totals(self) -> list[int]:
        """The sum of every row."""
        return [p + n for p, n in zip(self.positive, self.negative, strict=True)]

    def range(self, interval: tuple[int, int]) -> tuple[int, int]:
        """Lowest and highest of sum_i w[o, i] * x[i] over all rows o and x in the interval; attained."""
        low, high = interval
        pairs = list(zip(self.positive, self.negative, strict=True))
        return min(p * low + n * high for p, n in pairs), max(p * high + n * low for p, n in pairs)

    def magnitude(self, largest: int) -> int:
        """max_o sum_i |w[o, i]| * largest: bounds every weight and partial sum in any order; at least `largest`."""
        return max(1, *(p - n for p, n in zip(self.positive, self.negative, strict=True))) * largest


_TERMS = 64
"""Terms of a partial sum from which float32 products and adding up in float64 beat one product in float64."""


def channel_parts(weight: Array, largest: int, limit: int = 2**24) -> list[slice]:
    """Ranges of the input channels (axis 1) over which every sum of |weight| * largest is below the limit.

    Empty where one channel alone reaches it, or where a range would hold too few terms to pay.
    """
    sizes = np.abs(weight.reshape(*weight.shape[:2], -1)).astype(np.float64).sum(axis=2).T * largest
    starts, total = [0], np.zeros(len(weight))
    for channel, size in enumerate(sizes):
        total += size
        if total.max() >= limit:
            starts.append(channel)
            total = size.copy()
    terms = weight[0].size // len(starts)
    if max(largest, sizes.max()) >= limit or terms < _TERMS:
        return []
    return [slice(*ends) for ends in zip(starts, [*starts[1:], len(sizes)], strict=True)]


def scaled(inputs: tuple[Fraction, ...], weights: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    """Products of two scales, each of one value or one per output."""
    count = max(len(inputs), len(weights))
    left, right = (scale * (count // len(scale)) for scale in (inputs, weights))
    return tuple(a * b for a, b in zip(left, right, strict=True))


def product_work(weight: Array, input_bits: int, positions: int) -> Work:
    """Work of multiplying every weight with an input, at so many positions, and accumulating the products.

    A zero costs nothing, +-1 an add (an XNOR and an add when the input has one bit), +-2**k a shift and an
    add, anything else a multiplication and an add.
    """
    size = np.abs(weight)
    zeros, ones = int((size == 0).sum()), int((size == 1).sum())
    powers = int(((size & (size - 1)) == 0).sum()) - zeros - ones
    others = size.size - zeros - ones - powers
    return Work(
        multiplies=others * positions,
        adds=(size.size - zeros) * positions,
        shifts=powers * positions,
        xnors=ones * positions if input_bits == 1 else 0,
    )


def factor_work(factors: Array, positions: int) -> Work:
    """Work of multiplying by constants without accumulating, each at so many positions."""
    work = product_work(factors, 0, positions)
    return Work(multiplies=work.multiplies, shifts=work.shifts)
