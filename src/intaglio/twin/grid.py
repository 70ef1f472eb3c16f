"""Numbers that binary hardware represents exactly: dyadic scales as arrays and as fractions."""

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Literal

import numpy as np

Kind = Literal["power_of_two", "dyadic"]

OFFSET_GRID = Fraction(1, 2**24)
"""Biases and affine offsets are whole multiples of this, unless the accumulator is on a coarser grid."""


def mantissa_bits(kind: Kind, bits: int) -> int:
    """Bits of a scale's mantissa: 8, fewer for wide integers.

    Integer and mantissa together stay within 16 bits, so that products of two such numbers, summed over
    thousands of inputs, are exact in float64. At 15 bits or more a dyadic scale is a power of two.
    """
    return 1 if kind == "power_of_two" else max(1, min(8, 16 - bits))


def snap(log2_scale: np.ndarray, mantissa: int) -> np.ndarray:
    """The nearest `m * 2**-k` to `2**log2_scale` with an integer m of `mantissa` bits (1: a power of two).

    A power of two is nearest in the logarithm, m*2**-k nearest in value.
    """
    log2_scale = np.asarray(log2_scale, np.float64)
    if mantissa == 1:
        return np.ldexp(1.0, np.floor(log2_scale + 0.5).astype(np.int64))
    whole = np.floor(log2_scale)
    m = np.floor(np.exp2(log2_scale - whole) * 2 ** (mantissa - 1) + 0.5)
    return np.ldexp(m, whole.astype(np.int64) - (mantissa - 1))


def reciprocal(scale: np.ndarray, mantissa: int) -> np.ndarray:
    """The nearest dyadic number of `mantissa` bits to 1/scale."""
    return round_mantissa(1.0 / scale, mantissa)


def round_mantissa(values: np.ndarray, bits: int) -> np.ndarray:
    """Each value rounded (half up in magnitude) to a mantissa of `bits` bits; zero stays zero."""
    m, e = np.frexp(np.asarray(values, np.float64))
    return np.ldexp(np.sign(m) * np.floor(np.abs(m) * 2**bits + 0.5), e - bits)


def fractions(values: Iterable[float]) -> tuple[Fraction, ...]:
    """Floats as exact fractions."""
    return tuple(Fraction(float(value)) for value in values)


def floor_half_up(value: Fraction) -> int:
    """floor(value + 1/2), exactly."""
    return math.floor(value + Fraction(1, 2))
