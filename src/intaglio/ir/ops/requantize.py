"""Requantize: bias, batch norm, rectifier and rounding to a narrower integer, in one operation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np

from intaglio.ir.affine import Numbers, Pair, dyadic_shift, first_integer, listed, shared, spread
from intaglio.ir.errors import RangeError
from intaglio.ir.op import Op, Work, one_of
from intaglio.ir.ops.products import factor_work
from intaglio.ir.types import MAX_BITS, ONE, Array, Type, width


@dataclass(frozen=True, eq=False)
class Requantize(Op):
    """y = clip((x * multiplier + offset) >> shift, low, high), the shift rounding towards minus infinity.

    multiplier, offset: one integer, or one per channel (axis 0). With half of 2**shift in the offset the
    result is rounded half up. scale: of the result, one value or one per channel.
    """

    keeps_order: ClassVar[bool] = True

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

    @classmethod
    def of(cls, gain: Numbers, offset: Numbers, bounds: Pair, scale: tuple[Fraction, ...] = ONE) -> Self:
        """clip(floor(x * gain + offset), *bounds), exactly: each one value or one per channel; equal ones become one.

        Raises:
            RangeError: a gain is not a whole multiple of a power of two.
        """
        gains, offsets = listed(gain), listed(offset)
        shift = dyadic_shift(gains)
        multiplier = shared([int(each * 2**shift) for each in gains])
        moved = shared([math.floor(each * 2**shift) for each in offsets])  # x * multiplier is whole: nothing is lost
        return cls(np.array(multiplier, dtype=object), np.array(moved, dtype=object), shift, *bounds, scale)

    @property
    def channels(self) -> int:
        """Number of different (multiplier, offset) pairs: 1 or one per channel."""
        return max(len(self.multiplier), len(self.offset))

    def pairs(self) -> list[Pair]:
        """(multiplier, offset) of every channel, or the one pair."""
        columns = ([int(v) for v in values] for values in (self.multiplier, self.offset))
        m, o = (spread(values, self.channels) for values in columns)
        return list(zip(m, o, strict=True))

    def first_inputs(self, levels: Sequence[Sequence[int]], interval: Pair) -> list[list[int]]:
        """Per channel and level the least x of the interval that reaches the level, else one above the interval.

        levels: one row, or one per channel. Gains must be positive: (x * m + o) >> s >= v holds from
        x = ceil((v * 2**s - o) / m) on; up to `low` always, above `high` never.
        """
        channels = max(self.channels, len(levels))
        pairs = zip(spread(self.pairs(), channels), spread(levels, channels), strict=True)
        return [[first_integer(self._least(level, *pair), interval) for level in row] for pair, row in pairs]

    def _least(self, level: int, m: int, o: int) -> float | int:
        """The least integer x that reaches a level, infinite where all or none do."""
        if not self.low < level <= self.high:
            return -math.inf if level <= self.low else math.inf
        return -((o - (level << self.shift)) // m)

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
