"""The algebra of grids: units, one value or one per channel, the integer that first reaches a level, Requantize.of."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.ir import Type
from intaglio.ir.affine import dyadic_shift, first_integer, reach, shared, spread, unit
from intaglio.ir.errors import RangeError, ShapeError
from intaglio.ir.ops import Requantize
from intaglio.ir.types import signed_bits, width
from intaglio.ir.window import extent, steps

DYADIC = st.builds(lambda n, s: Fraction(n, 2**s), st.integers(-40, 40), st.integers(0, 6))


@given(st.lists(st.fractions(-9, 9, max_denominator=60), min_size=1, max_size=4))
def test_the_unit_is_the_largest_of_which_all_are_multiples(values):
    found = unit(values)
    wholes = [value / found for value in values]
    assert found > 0 and all(whole.denominator == 1 for whole in wholes)
    assert math.gcd(*(int(whole) for whole in wholes)) == (1 if any(values) else 0)


def test_one_value_stands_for_all_channels():
    assert spread([5], 3) == [5, 5, 5] and spread((1, 2), 2) == [1, 2]
    with pytest.raises(ShapeError, match="2 values for 4 channels"):
        spread([1, 2], 4)
    assert shared([3, 3]) == [3] and shared((3, 4)) == (3, 4)
    assert shared(np.array([[1, 2], [1, 2]])).tolist() == [[1, 2]]
    assert shared(np.array([[1, 2], [1, 3]])).tolist() == [[1, 2], [1, 3]]


@given(st.lists(DYADIC, min_size=1, max_size=3), DYADIC, st.integers(-9, 9), st.integers(0, 30))
def test_requantize_of_is_the_exact_map(gain, offset, low, span):
    bounds = low, low + span
    op = Requantize.of(gain, offset, bounds)
    wire = Type((len(gain),), (-50, 50))
    x = np.arange(-50, 51)[:, None].repeat(len(gain), 1)
    expected = [[min(max(math.floor(int(n) * g + offset), low), low + span) for g in gain] for n in x[:, 0]]
    assert op.execute(x).tolist() == expected
    assert len(op.multiplier) == len(set(gain)) or len(set(gain)) > 1
    assert op.shift == max(g.denominator for g in gain).bit_length() - 1
    assert op.type(wire).range[0] >= low


def test_gains_must_be_dyadic_and_equal_channels_become_one():
    with pytest.raises(RangeError, match="denominator 3"):
        Requantize.of([1, Fraction(2, 3)], 0, (0, 1))
    assert dyadic_shift([Fraction(3, 8), 2]) == 3
    op = Requantize.of(np.array([2, 2]), [Fraction(1, 2)], (0, 9))
    assert (op.multiplier.tolist(), op.offset.tolist(), op.shift) == ([2], [0], 0)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(-30, 30)), min_size=1, max_size=3), st.integers(0, 4),
       st.integers(-8, 8))  # fmt: skip
def test_first_inputs_are_where_the_levels_begin(pairs, shift, level):
    multiplier, offset = (np.array(values) for values in zip(*pairs, strict=True))
    op = Requantize(multiplier, offset, shift, -5, 6)
    interval = (-11, 12)
    x = np.arange(interval[0], interval[1] + 1)[:, None].repeat(op.channels, 1)
    rows = op.first_inputs([[level, level + 1]], interval)
    for channel, row in enumerate(rows):
        values = op.execute(x)[:, channel]
        for wanted, found in zip((level, level + 1), row, strict=True):
            reached = np.flatnonzero(values >= wanted)
            assert found == (x[reached[0], 0] if len(reached) else interval[1] + 1)


def test_the_first_integer_at_or_above_a_limit_stays_near_the_interval():
    assert [first_integer(v, (-2, 3)) for v in (Fraction(1, 3), 1, -9, 4, math.inf, -math.inf)] == [1, 1, -2, 4, 4, -2]
    assert reach([2, -3], [1], (-1, 4)) == (-11, 9)


def test_widths_and_windows():
    for low in range(-9, 10):
        for high in range(low, 10):
            signed = next(b for b in range(1, 9) if -(2 ** (b - 1)) <= low and high < 2 ** (b - 1))
            assert signed_bits(low, high) == signed
            assert width(low, high) == (signed if low < 0 else max(high.bit_length(), 1))
    for size in range(1, 9):
        for stride in (1, 2, 3):
            reached = list(range(0, size - 3 + 1, stride))
            count, left = steps(size, extent(2, 2), stride)
            assert max(count, 0) == len(reached)
            assert not reached or left == size - 3 - reached[-1]
