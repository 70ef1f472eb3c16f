"""What MatMul and Conv2d share: proved ranges, bounds, scales and counts of dot products."""

from fractions import Fraction

import numpy as np

from intaglio.ir.op import Work
from intaglio.ir.types import Array


def row_sums(weight: Array) -> list[int]:
    """Sums over all axes but the first, as Python integers (never overflowing)."""
    rows = weight.reshape(len(weight), -1)
    largest = max(abs(int(rows.min())), abs(int(rows.max())))
    exact = rows if largest * rows.shape[1] < 2**62 else rows.astype(object)
    return [int(total) for total in exact.sum(axis=1)]


def dot_range(weight: Array, interval: tuple[int, int]) -> tuple[int, int]:
    """Lowest and highest of sum_i w[o, i] * x[i] over all rows o and x in the interval; attained."""
    low, high = interval
    positive = row_sums(np.maximum(weight, 0))
    negative = row_sums(np.minimum(weight, 0))
    pairs = list(zip(positive, negative, strict=True))
    return min(p * low + n * high for p, n in pairs), max(p * high + n * low for p, n in pairs)


def dot_magnitude(weight: Array, largest: int) -> int:
    """max_o sum_i |w[o, i]| * largest: bounds every partial sum in any order; at least `largest`."""
    return max(1, *row_sums(np.abs(weight)), int(np.abs(weight).max())) * largest


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
