"""Grids and affine maps: the unit of scales, one value or one per channel, and where a level is first reached."""

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from intaglio.ir.errors import RangeError, ShapeError

T = TypeVar("T")
S = TypeVar("S", npt.NDArray[Any], list[Any], tuple[Any, ...])
Pair = tuple[int, int]
Number = int | Fraction
Numbers = Number | Sequence[Number] | npt.NDArray[Any]
"""One value, or one per channel."""


def unit(values: Iterable[Fraction]) -> Fraction:
    """The largest number of which every value is a whole multiple; 1 if all are zero."""
    known = [value for value in values if value]
    if not known:
        return Fraction(1)
    denominator = math.lcm(*(value.denominator for value in known))
    return Fraction(math.gcd(*(int(value * denominator) for value in known)), denominator)


def spread(values: Sequence[T], channels: int) -> list[T]:
    """One value per channel, of one value or as many; `ShapeError` for another number."""
    if len(values) not in (1, channels):
        raise ShapeError(f"{len(values)} values for {channels} channels: give one, or one per channel")
    return list(values) * (channels // len(values))


def shared(values: S) -> S:
    """The first entry (along axis 0) alone where all are equal, else all of them."""
    if isinstance(values, np.ndarray):
        return values[:1] if (values == values[0]).all() else values
    return values[:1] if all(value == values[0] for value in values) else values


def listed(values: Numbers) -> list[Number]:
    """One value or several as a list of exact numbers."""
    if isinstance(values, np.ndarray):
        return values.reshape(-1).tolist()
    return [values] if isinstance(values, int | Fraction) else list(values)


def dyadic_shift(values: Iterable[Number]) -> int:
    """The least s for which every value is a whole multiple of 2**-s; `RangeError` where there is none."""
    denominators = [value.denominator for value in values]
    odd = next((each for each in denominators if each & (each - 1)), None)
    if odd is not None:
        raise RangeError(f"a factor with the denominator {odd} is no multiple of a power of two: snap the scales")
    return max(denominators).bit_length() - 1


def reach(gain: Sequence[int], offset: Sequence[int], interval: Pair) -> Pair:
    """The lowest and the highest n * gain + offset of any channel, for n in the interval."""
    channels = max(len(gain), len(offset))
    pairs = zip(spread(gain, channels), spread(offset, channels), strict=True)
    ends = [m * n + o for m, o in pairs for n in interval]
    return min(ends), max(ends)


def first_integer(limit: Number | float, interval: Pair) -> int:
    """The least integer of an interval that is not below a limit (which may be infinite); else one above it."""
    low, high = interval
    if isinstance(limit, float) and math.isinf(limit):
        return low if limit < 0 else high + 1
    return min(max(math.ceil(limit), low), high + 1)
