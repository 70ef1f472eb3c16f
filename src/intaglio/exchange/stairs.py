"""The integer operation that equals a float32 function on every integer of a proved range."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from intaglio.exchange.steps import Floats
from intaglio.ir.affine import shared
from intaglio.ir.errors import DataError, RangeError
from intaglio.ir.op import Op
from intaglio.ir.ops import Lookup, Requantize, Threshold
from intaglio.ir.types import Array

Integers = npt.NDArray[np.int64]
Function = Callable[[Integers], Floats]
"""From integers (rows, any) to float32 that are integers, row by row."""

BUDGET = 1 << 22
"""So many values at most are evaluated or stored for one function."""

FEW = 15
"""Up to so many levels, comparisons are kept; beyond, a multiplication is tried."""

MOST_SHIFT = 40


@dataclass(frozen=True)
class Stairs:
    """f(n) = base + how many of the row's limits n reaches, for low <= n <= high.

    limits: (rows, levels), each in low..high + 1, each row ascending.
    """

    low: int
    high: int
    base: int
    limits: Integers

    @property
    def top(self) -> int:
        """The highest level of any row."""
        return self.base + self.limits.shape[1]


def stairs(function: Function, count: int, low: int, high: int) -> Stairs:
    """The limits of a function that never falls, by bisection: for every level the first n that reaches it.

    count: rows.  Raises RangeError when there are too many levels, DataError when it gives no number.
    """
    ends = _whole(function(np.tile(np.array([low, high]), (count, 1))))
    base, top = int(ends[:, 0].min()), int(ends[:, 1].max())
    if (top - base) * count > BUDGET:
        raise RangeError(f"{top - base} levels in {count} rows are too many to tell apart: quantise to fewer bits")
    levels = np.arange(base + 1, top + 1)
    first = np.full((count, len(levels)), low)
    last = np.full((count, len(levels)), high + 1)
    while (open_ := first < last).any():
        middle = (first + last) >> 1
        reached = _whole(function(np.minimum(middle, high))) >= levels
        last = np.where(open_ & reached, middle, last)
        first = np.where(open_ & ~reached, middle + 1, first)
    return Stairs(low, high, base, last)


def _whole(values: Floats) -> Integers:
    if not np.isfinite(values).all():
        raise DataError("the quantised value is not finite for some input: check scales and divisors")
    return values.astype(np.int64)


def operation(steps: Stairs, slopes: Array, scale: tuple[Fraction, ...], moved: int = 0) -> Op:
    """The cheapest operation for the staircase: a clip, comparisons, or a multiplication, whichever is exact.

    slopes: how fast the function rises, per row, as a guess.  moved: what every level stands lower by.
    """
    levels = steps.limits.shape[1]
    # A limit above every input takes a bit more than an input without a sign has.
    above = steps.low >= 0 and bool((steps.limits > steps.high).any())
    clip = fit(steps, np.ones(len(steps.limits)), scale, moved, most_shift=0)
    if clip is not None and (levels not in (1, 2) or above or not clip.offset.any()):
        return clip
    fitted = fit(steps, slopes, scale, moved) if levels > FEW or above else None
    if fitted is not None:
        return fitted
    return Threshold(shared(steps.limits), steps.base - moved, scale)


def fit(
    steps: Stairs, slopes: Array, scale: tuple[Fraction, ...], moved: int = 0, most_shift: int = MOST_SHIFT
) -> Requantize | None:
    """The Requantize of the smallest shift that has exactly these limits, or None.

    (n*m + o) >> s reaches level v first at n = t where m*t + o >= v << s > m*(t-1) + o: two bounds on o per limit.
    """
    limits, levels = steps.limits, np.arange(steps.base + 1, steps.top + 1)
    if not len(levels):
        only = steps.base - moved
        return Requantize.of(0, only, (only, only), scale)
    reach = max(abs(steps.low), abs(steps.high) + 1)
    for shift in range(most_shift + 1):
        multiplier = np.rint(np.broadcast_to(slopes, len(limits)) * 2.0**shift)
        if multiplier.max() * reach >= 2**60 or max(abs(steps.base), abs(steps.top)) << shift >= 2**60:
            return None
        offset = _offset(steps, multiplier.astype(np.int64), levels << shift)
        if offset is not None:
            offset = offset - (moved << shift)
            m, o = (shared(values) for values in (multiplier.astype(np.int64), offset))
            return Requantize(m, o, shift, steps.base - moved, steps.top - moved, scale)
    return None


def _offset(steps: Stairs, multiplier: Integers, targets: Integers) -> Integers | None:
    """An offset per row that puts every limit where it is, or None when some row has none."""
    huge = np.int64(2**61)
    m = multiplier[:, None]
    least: Integers = np.where(steps.limits <= steps.high, targets - m * steps.limits, -huge).max(axis=1)
    most: Integers = np.where(steps.limits > steps.low, targets - 1 - m * (steps.limits - 1), huge).min(axis=1)
    return None if (least > most).any() else np.clip(0, least, most)


def table(values: Floats, low: int, scale: tuple[Fraction, ...], moved: int = 0) -> Lookup:
    """A Lookup of a function that rises and falls; values (rows, n) for n from low on."""
    return Lookup(_whole(values) - moved, low, scale)


def affine(integers: Integers, low: int, scale: tuple[Fraction, ...]) -> Requantize | None:
    """The Requantize clip(n * m + o) that gives integers (rows, n) for n from low on, or None."""
    count = integers.shape[1]
    rises: Integers = np.diff(integers, axis=1) if count > 1 else np.zeros_like(integers)
    place: Integers = np.abs(rises).argmax(axis=1)
    row = np.arange(len(integers))
    multiplier, start = rises[row, place], integers[row, place]
    bounds = int(integers.min()), int(integers.max())
    line = Requantize.of(multiplier, start - multiplier * (place + low), bounds, scale)
    inputs = np.array(range(low, low + count))[:, None].repeat(len(integers), axis=1)
    return line if np.array_equal(line.execute(inputs).T, integers) else None
