"""What a wire carries: integers of a proved range on a grid of real values."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from intaglio.ir.affine import shared
from intaglio.ir.errors import DataError, RangeError, ShapeError, shown

Array = npt.NDArray[Any]

MAX_BITS = 62
"""The widest wire or accumulator; int64 holds every intermediate value with a bit to spare."""

MAX_SIZE = 1 << 31
"""The most elements of a wire: a damaged shape must not ask for all the memory there is."""

MAX_SCALES = 1 << 20
"""The most channels that have a scale each."""

MAX_EXPONENT = 900
"""The largest power of two, up or down, of a scale: float64 holds it times any integer."""

ONE = (Fraction(1),)


def fractions(scale: Fraction | int | Iterable[Fraction | int]) -> tuple[Fraction, ...]:
    """A scale as a tuple of positive fractions that float64 holds; `ShapeError` when empty, else `RangeError`."""
    values = (scale,) if isinstance(scale, Fraction | int) else tuple(scale)
    if not values:
        raise ShapeError("an empty scale: give one value, or one per channel")
    result = tuple(value if isinstance(value, Fraction) else Fraction(value) for value in values)
    if any(value.numerator <= 0 for value in result):
        raise RangeError(f"scale {min(result)} is not positive: move the sign into the integers")
    lengths = ((int(value.numerator).bit_length(), int(value.denominator).bit_length()) for value in result)
    if any(abs(above - below) > MAX_EXPONENT for above, below in lengths):
        raise RangeError(f"a scale lies beyond 2**-{MAX_EXPONENT}..2**{MAX_EXPONENT}: use units nearer to one")
    return result


def width(low: int, high: int) -> int:
    """Bits of the smallest integer that holds low..high: two's complement when low < 0; at least 1."""
    return signed_bits(low, high) if low < 0 else max(high.bit_length(), 1)


def signed_bits(low: int, high: int) -> int:
    """Bits of the smallest two's complement integer that holds every integer of low..high."""
    return max(low, high, -low - 1, -high - 1, 0).bit_length() + 1


@dataclass(frozen=True)
class Type:
    """Integers of one shape (without the batch axis) in a proved range; real value = integer * scale.

    shape: (C, H, W) or (N,).  range: (lowest, highest), both included.
    scale: one value, or one per channel (axis 0); equal values collapse to one.
    Raises ShapeError for an empty shape or a scale of another length, RangeError beyond `MAX_BITS`.
    """

    shape: tuple[int, ...]
    range: tuple[int, int]
    scale: tuple[Fraction, ...] = ONE

    def __post_init__(self) -> None:
        shape = tuple(int(size) for size in self.shape)
        low, high = (int(bound) for bound in self.range)
        scale = fractions(self.scale)
        if not shape or min(shape) < 1:
            raise ShapeError(f"shape {shape} is empty: every axis needs at least one element")
        if prod(shape) > MAX_SIZE:
            raise ShapeError(f"shape {shown(shape)} has more than {MAX_SIZE} elements: use smaller sizes or pads")
        if len(scale) not in (1, shape[0]):
            raise ShapeError(f"{len(scale)} scales for {shape[0]} channels: give one, or one per channel")
        if low > high:
            raise RangeError(f"range {low}..{high} is empty: swap its ends")
        if width(low, high) > MAX_BITS:
            raise RangeError(
                f"{low}..{high} needs {width(low, high)} bits, more than {MAX_BITS}: "
                "use fewer bits for weights or activations, or requantise earlier"
            )
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "range", (low, high))
        object.__setattr__(self, "scale", shared(scale))

    @property
    def signed(self) -> bool:
        """Whether negative values occur."""
        return self.range[0] < 0

    @property
    def bits(self) -> int:
        """Width of the smallest two's complement or unsigned integer that holds the range."""
        return width(*self.range)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def largest(self) -> int:
        """The largest absolute value of the range."""
        return max(abs(self.range[0]), abs(self.range[1]))

    def steps(self) -> npt.NDArray[np.float64]:
        """The scale as float64, shaped so that it broadcasts against (..., *shape)."""
        values = np.array([float(value) for value in self.scale])
        return values.reshape(-1, *[1] * (len(self.shape) - 1))

    def quantize(self, real: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Integers clip(floor(real / scale + 1/2), lowest, highest); `DataError` when not a number."""
        values = np.asarray(real, dtype=np.float64)
        if np.isnan(values).any():
            raise DataError("a value is not a number (NaN): clean the data first")
        rounded = np.floor(values / self.steps() + 0.5)
        return np.clip(rounded, *self.range).astype(np.int64)

    def dequantize(self, integers: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Real values integer * scale."""
        return np.asarray(integers, dtype=np.float64) * self.steps()
