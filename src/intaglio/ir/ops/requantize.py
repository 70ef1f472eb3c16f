"""Requantize: bias, batch norm, rectifier and rounding to a narrower integer, in one operation."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from intaglio.ir.errors import RangeError
from intaglio.ir.op import Op, Work, one_of
from intaglio.ir.ops.products import factor_work
from intaglio.ir.types import MAX_BITS, ONE, Array, Type, width

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Requantize(Op):
    """y = clip((x * multiplier + offset) >> shift, low, high), the shift rounding towards minus infinity.

    multiplier, offset: one integer, or one per channel (axis 0). With half of 2**shift in the offset the
    result is rounded half up. scale: of the result, one value or one per channel.
    """

    in_integers: ClassVar[bool] = True
    multiplier: Array
    offset: Array
    shift: int
    low: int
    high: int
    scale: tuple[Fraction, ...] = ONE

    def __post_init__(self) -> None:
        self._integers("multiplier", 1)
        self._integers("offset", 1)
        self._scale()
        for name in ("shift", "low", "high"):
            self._set(name, int(getattr(self, name)))
        if not 0 <= self.shift <= MAX_BITS:
            raise RangeError(f"shift {self.shift} is outside 0..{MAX_BITS}")
        if self.low > self.high:
            raise RangeError(f"clips to {self.low}..{self.high}, an empty range: swap its ends")

    @property
    def channels(self) -> int:
        """Number of different (multiplier, offset) pairs: 1 or one per channel."""
        return max(len(self.multiplier), len(self.offset))

    def pairs(self) -> list[Pair]:
        """(multiplier, offset) of every channel, or the one pair."""
        columns = ([int(v) for v in values] for values in (self.multiplier, self.offset))
        m, o = (values * (self.channels // len(values)) for values in columns)
        return list(zip(m, o, strict=True))

    def unclipped(self, interval: Pair) -> list[Pair]:
        """Exact range of (x * multiplier + offset) >> shift per channel, for x in the interval."""
        ends = [[(x * m + o) >> self.shift for x in interval] for m, o in self.pairs()]
        return [(min(pair), max(pair)) for pair in ends]

    def type(self, *inputs: Type) -> Type:
        (x,) = inputs
        for name in ("multiplier", "offset", "scale"):
            one_of(name, len(getattr(self, name)), x.shape[0])
        ranges = self.unclipped(x.range)
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        clipped = (min(max(low, self.low), self.high), min(max(high, self.low), self.high))
        return Type(x.shape, clipped, self.scale)

    def execute(self, *inputs: Array) -> Array:
        (x,) = inputs
        y = self._shifted(x) if x.dtype.kind == "i" else self._floored(x)
        low, high = self._bounds(x.dtype)
        return y.clip(low, high, out=y)

    def _bounds(self, dtype: "np.dtype[Any]") -> tuple[Any, Any]:
        """The clip in a dtype; a bound that int32 does not hold is beyond all that it computes here."""
        if dtype != np.int32:
            return dtype.type(self.low), dtype.type(self.high)
        ends = np.iinfo(dtype)
        return tuple(dtype.type(min(max(bound, ends.min), ends.max)) for bound in (self.low, self.high))

    def _shifted(self, x: Array) -> Array:
        y = x * self.constant("multiplier", x.dtype, x.ndim)
        y += self.constant("offset", x.dtype, x.ndim)
        y >>= self.shift
        return y

    def _floored(self, x: Array) -> Array:
        """floor(x * (m / 2**s) + o / 2**s): scaling by a power of two changes no mantissa."""
        m, o = self._factors(x.dtype, x.ndim)
        y = x * m
        if o is not None:
            y += o
        return np.floor(y, out=y) if self.shift else y

    def _factors(self, dtype: "np.dtype[Any]", axes: int) -> tuple[Array, Array | None]:
        key = ("factors", dtype, axes)
        if key not in self._cache:
            step = dtype.type(2.0**-self.shift)
            m, o = (self.constant(name, dtype, axes) * step for name in ("multiplier", "offset"))
            self._cache[key] = m, (o if o.any() else None)
        return self._cache[key]

    def magnitude(self, *inputs: Type) -> int:
        (x,) = inputs
        largest = max(abs(m) * x.largest + abs(o) for m, o in self.pairs())
        constants = max(max(abs(m), abs(o)) for m, o in self.pairs())
        return max(largest, constants, x.largest, self.type(x).largest)

    def work(self, *inputs: Type) -> Work:
        (x,) = inputs
        each = x.size // self.channels
        m, o = (np.array(values) for values in zip(*self.pairs(), strict=True))
        bits = sum(
            len(values) * width(int(values.min()), int(values.max()))
            for values in (self.multiplier, self.offset)
            if len(values) > 1
        )
        return factor_work(m, each) + Work(adds=int((o != 0).sum()) * each, weight_bits=bits)
