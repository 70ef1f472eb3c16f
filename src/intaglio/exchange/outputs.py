"""What stands behind the last sum of a file: as integers of one scale, wherever that is exact."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from intaglio.exchange.scope import MOST_ENTRIES, ReadScope
from intaglio.exchange.stairs import affine
from intaglio.exchange.steps import NOTHING, BinaryStep, Clamp, FloatStep, StepChain
from intaglio.exchange.values import EXACT, ReadWire, grid, odd, rows
from intaglio.ir.affine import unit
from intaglio.ir.op import Op
from intaglio.ir.ops import Lookup, Requantize
from intaglio.ir.types import ONE, Type

DOUBLE = 1 << 53
"""float64, through which integers become float32, holds every integer up to this magnitude."""

Line = list[tuple[Fraction, Fraction]]
"""(slope, offset) per row: what a tensor holds is slope * n + offset."""


def settled(scope: ReadScope, x: ReadWire, whole: bool) -> ReadWire:
    """An output as integers of one scale, without offsets and factors per channel in the steps behind them.

    Left as it is where float32 rounds on the way, so that no integers give the file's values.
    whole: the scale is 1, or divides it.
    """
    of = scope.type(x)
    line = _line(of, x.steps)
    if line is not None and (op := _affine(of, line, x.steps.last, whole)) is not None:
        return x if _is_nothing(op, of) else replace(x, steps=NOTHING, node=scope.add(op, x.node, part="units"))
    found = _looked_at(scope, x)
    if found is None or (isinstance(found, Lookup) and ordered(of, x.steps)):
        return x
    return replace(x, steps=NOTHING, node=scope.add(found, x.node, part="units"))


def ordered(of: Type, steps: StepChain) -> bool:
    """Whether the integers are in the order of the values: one function for all channels, which never falls."""
    return rows(of, steps) == 1 and bool((steps.directions > 0).all())


def _line(of: Type, steps: StepChain) -> Line | None:
    """The steps, but for a clip at the end, as lines of which only the last operation may round."""
    count = rows(of, steps)
    line = [(scale, Fraction(0)) for scale in of.scale * (count // len(of.scale))]
    for step in steps.before or () if isinstance(steps.last, Clamp) else steps:
        if not isinstance(step, BinaryStep) or (step.kind, step.swapped) == ("Div", True):
            return None
        if not all(_is_held(pair, of.range) for pair in line):
            return None
        constants = [Fraction(float(value)) for value in step.constant] * (count // len(step.constant))
        line = [_after(step, pair, constant) for pair, constant in zip(line, constants, strict=True)]
    return line


def _after(step: BinaryStep, pair: tuple[Fraction, Fraction], constant: Fraction) -> tuple[Fraction, Fraction]:
    slope, offset = pair
    match step.kind:
        case "Mul":
            return slope * constant, offset * constant
        case "Div":
            return slope / constant, offset / constant
        case "Add":
            return slope, offset + constant
        case _:
            return (-slope, constant - offset) if step.swapped else (slope, offset - constant)


def _is_held(pair: tuple[Fraction, Fraction], interval: tuple[int, int]) -> bool:
    """Whether float32 holds slope * n + offset for every n of the interval."""
    step, (slope, offset) = unit(pair), pair
    if not odd(step):
        return False
    return max(abs(slope * n + offset) for n in interval) <= EXACT * step / odd(step)


def _affine(of: Type, line: Line, last: FloatStep | None, whole: bool) -> Requantize | None:
    """The lines, clipped, in units of one scale; None where float32 would not be got from those integers."""
    ends = [slope * n + offset for slope, offset in line for n in of.range]
    span = [_clipped(end, last) for end in (min(ends), max(ends))]
    step = unit([*(value for pair in line for value in pair), *span, *(ONE if whole else ())])
    multiplier, offset = ([int(value / step) for value in values] for values in zip(*line, strict=True))
    reach = max(map(abs, multiplier)) * of.largest + max(map(abs, offset))
    power = step.denominator & -step.denominator
    # A quotient of denominator 2**28 is further from the middle of two float32 than float64 rounds.
    if reach * step.numerator >= DOUBLE or step.denominator // power >= 1 << 28:
        return None
    return Requantize.of(multiplier, offset, (int(span[0] / step), int(span[1] / step)), (step,))


def _clipped(value: Fraction, last: FloatStep | None) -> Fraction:
    if isinstance(last, Clamp):
        low, high = (float(np.float32(end)) for end in (last.low, last.high))
        value = value if low == -math.inf else max(value, Fraction(low))
        value = value if high == math.inf else min(value, Fraction(high))
    return value


def _is_nothing(op: Requantize, of: Type) -> bool:
    """Whether the integers stay what they are: all that is left is a scale."""
    same = (op.multiplier == 1).all() and not op.offset.any()
    return bool(same) and (op.low, op.high) == of.range


def _looked_at(scope: ReadScope, x: ReadWire) -> Op | None:
    """A multiplication, or else a table, of what the file computes, where that lies on a grid."""
    of = scope.type(x)
    low, high = of.range
    if (high - low + 1) * rows(of, x.steps) > MOST_ENTRIES:
        return None
    values = scope.values(x)
    step = grid(values)
    if step is None:
        return None
    whole = np.rint(values.astype(np.float64) / float(step)).astype(np.int64)
    return affine(whole, low, (step,)) or Lookup(whole, low, (step,))
