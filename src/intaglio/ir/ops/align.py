"""Align: block floating point at run time; neighbouring channels share an exponent."""

from dataclasses import dataclass

import numpy as np

from intaglio.ir.errors import RangeError, ShapeError
from intaglio.ir.op import Op, Work
from intaglio.ir.types import Array, Type

_WIDEST = 32
"""Bits of an input; enough for any activation, and exact in float64."""


@dataclass(frozen=True, eq=False)
class Align(Op):
    """y = min((x + half) >> e, 2**mantissa - 1) << e, the exponent e shared by `block` consecutive channels.

    With L the bits of the block's largest value (of ~x where x < 0), e = max(0, L - mantissa) and
    half = 2**e // 2: the leading `mantissa` bits of the block stay (a sign is extra), rounded half up. Same
    scale. Images: per pixel. A block of 1 makes every value a minifloat.
    """

    block: int
    mantissa: int

    def __post_init__(self) -> None:
        for name in ("block", "mantissa"):
            self._set(name, int(getattr(self, name)))
        if self.block < 1 or not 1 <= self.mantissa <= _WIDEST:
            raise RangeError(f"block {self.block}, mantissa {self.mantissa}: at least 1, mantissa at most {_WIDEST}")

    def largest_shift(self, x: Type) -> int:
        """The largest exponent that occurs."""
        return max(0, x.bits - x.signed - self.mantissa)

    def type(self, *inputs: Type) -> Type:
        (x,) = inputs
        if x.shape[0] % self.block:
            raise ShapeError(f"blocks of {self.block} do not divide {x.shape[0]} channels: choose a divisor")
        if len(x.scale) != 1:
            raise ShapeError("channels of different scales share an exponent: requantise them to one first")
        if x.bits > _WIDEST:
            raise RangeError(f"aligns values of {x.bits} bits, at most {_WIDEST}: requantise them first")
        ends = [[self._rounded(end, e) for e in self._shifts(end, x)] for end in x.range]
        return Type(x.shape, (min(ends[0]), max(ends[1])), x.scale)

    def _shifts(self, value: int, x: Type) -> range:
        """Exponents that a value can meet: its own, and with company any larger one."""
        own = max(0, (value if value >= 0 else ~value).bit_length() - self.mantissa)
        return range(own, (own if self.block == 1 else max(own, self.largest_shift(x))) + 1)

    def _rounded(self, value: int, shift: int) -> int:
        return min((value + ((1 << shift) >> 1)) >> shift, 2**self.mantissa - 1) << shift

    def execute(self, *inputs: Array) -> Array:
        (x,) = inputs
        blocks = x.reshape(x.shape[0], -1, self.block, *x.shape[2:])
        size = np.where(blocks < 0, -1 - blocks, blocks).max(axis=2, keepdims=True)
        shift = np.maximum(np.frexp(size.astype(np.float64))[1] - self.mantissa, 0)
        step = np.ldexp(1.0, shift).astype(x.dtype)
        q = np.floor_divide(blocks + np.floor_divide(step, 2), step)
        return (np.minimum(q, x.dtype.type(2**self.mantissa - 1)) * step).reshape(x.shape)

    def magnitude(self, *inputs: Type) -> int:
        (x,) = inputs
        return max(x.largest, self.type(x).largest) + (1 << self.largest_shift(x))

    def work(self, *inputs: Type) -> Work:
        size = inputs[0].size
        return Work(shifts=size, adds=2 * size)
