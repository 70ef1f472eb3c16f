"""What each encoding is for: the codes that hardware reads, the structure it asks for, and where it wins."""

import re
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intaglio.ir.encodings import (
    ENCODINGS,
    Bases,
    Bipolar,
    BlockExponent,
    Dense,
    Encoding,
    Float,
    PowersOfTwo,
    Sparse,
    Ternary,
    cheapest,
)
from intaglio.ir.encodings.bases import solve

SHAPE = (96, 128)

quick = settings(max_examples=60, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def signs(rng: np.random.Generator, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return rng.choice([-1, 1], shape)


def minifloat(exponents: np.ndarray, fractions: np.ndarray, bits: int) -> np.ndarray:
    """IEEE 754 with subnormals in units of the smallest: exponent 0 has no hidden bit."""
    normal = (2**bits + fractions) << np.maximum(exponents - 1, 0)
    return np.where(exponents > 0, normal, fractions)


def formats() -> dict[str, np.ndarray]:
    """Weights as each number format leaves them, by the name in docs/encodings.md."""
    rng = np.random.default_rng(0)
    scattered = rng.random(SHAPE)
    return {
        "8-bit fixed point": rng.integers(-127, 128, SHAPE),
        "8-bit fixed point, 90 % zeros": rng.integers(-127, 128, SHAPE) * (scattered < 0.1),
        "binary": signs(rng),
        "ternary, 50 % zeros": signs(rng) * (scattered < 0.5),
        "trained ternary {-3, 0, 5}, 50 % zeros": rng.choice([-3, 0, 0, 5], SHAPE),
        "logarithmic, 4 bits": signs(rng) * (1 << rng.integers(0, 8, SHAPE) >> 1),
        "logarithmic to the square root of two, 4 bits": signs(rng) * rng.choice([0, 2, 3, 4, 6, 8, 12, 16], SHAPE),
        "minifloat E4M3": signs(rng) * minifloat(rng.integers(0, 16, SHAPE), rng.integers(0, 8, SHAPE), 3),
        "3 bases (29, 13, 5)": 29 * signs(rng) + 13 * signs(rng) + 5 * signs(rng),
        "block floating point, 16 values, 4 bits": rng.integers(-7, 8, SHAPE)
        << np.repeat(rng.integers(0, 8, (SHAPE[0], SHAPE[1] // 16)), 16, axis=1),
    }


WINNERS = dict(zip(formats(), (Dense, Sparse, Bipolar, Ternary, Ternary, PowersOfTwo, Float, Float, Bases,
                               BlockExponent), strict=True))  # fmt: skip


@pytest.mark.parametrize("name", WINNERS)
def test_the_cheapest_form_is_the_one_made_for_the_format(name: str) -> None:
    matrix = formats()[name]
    form = cheapest(matrix)
    assert type(form) is WINNERS[name]
    np.testing.assert_array_equal(form.decode(), matrix)
    others = (kind.encode(matrix) for kind in ENCODINGS if kind is not type(form))
    assert all(other is None or other.bits() > form.bits() for other in others)


def test_the_page_lists_every_encoding_and_its_bits_are_so() -> None:
    page = (Path(__file__).parents[2] / "docs" / "encodings.md").read_text()
    assert re.findall(r"^\| ([A-Z]\w+) \| .* \| .* \|$", page, re.M) == [kind.__name__ for kind in ENCODINGS]
    size = SHAPE[0] * SHAPE[1]
    for name, matrix in formats().items():
        form, dense = cheapest(matrix), Dense.encode(matrix)
        row = f"| {name} | {type(form).__name__} | {form.bits() / size:.2f} | {dense.bits() / size:.2f} |"
        assert row in page


# What hardware reads: each layout is decoded here once more, from its specification in rtl/ alone.


def dot_shift_weight(code: int, exponent_bits: int, mantissa_bits: int) -> int:
    """{negative, exponent, mantissa}, mantissa lowest, of `ig_dot_shift`."""
    assert 0 <= code < 2 ** (1 + exponent_bits + mantissa_bits)
    negative, rest = divmod(code, 2 ** (exponent_bits + mantissa_bits))
    exponent, mantissa = divmod(rest, 2**mantissa_bits)
    assert mantissa or not (negative or exponent)
    return (-1) ** negative * mantissa * 2**exponent


def dot_bases_weight(code: int, coefficients: tuple[int, ...]) -> int:
    assert 0 <= code < 2 ** len(coefficients)
    return sum(c if code >> k & 1 else -c for k, c in enumerate(coefficients))


def small(matrix: np.ndarray, kind: type[Encoding]) -> Encoding:
    form = kind.encode(matrix)
    assert type(form) is kind
    np.testing.assert_array_equal(form.decode(), matrix)
    assert form.codes().dtype == np.int64 and form.codes().shape == matrix.shape
    return form


@quick
@given(seeds, st.integers(1, 2**40))
def test_codes_of_bipolar(rng: np.random.Generator, unit: int) -> None:
    """1 is plus, 0 is minus."""
    matrix = signs(rng, (5, 7)) * unit
    form = small(matrix, Bipolar)
    assert form.unit == unit
    np.testing.assert_array_equal(np.where(form.codes() == 1, unit, -unit), matrix)
    assert set(np.unique(form.codes())) <= {0, 1}


@quick
@given(seeds, st.integers(0, 2**40), st.integers(0, 2**40))
def test_codes_of_ternary(rng: np.random.Generator, negative: int, positive: int) -> None:
    """Bit 0 not zero, bit 1 negative and never alone; magnitude 0 where a sign does not occur."""
    matrix = rng.choice([-negative, 0, positive], (5, 7))
    form = small(matrix, Ternary)
    assert set(np.unique(form.codes())) <= {0, 1, 3}
    values = {0: 0, 1: form.positive, 3: -form.negative}
    assert [values[code] for code in form.codes().ravel().tolist()] == matrix.ravel().tolist()
    assert (form.negative, form.positive) == (max(-matrix.min(), 0), max(matrix.max(), 0))


@quick
@given(seeds, st.integers(0, 20), st.integers(1, 30), st.booleans())
def test_codes_of_powers_of_two(rng: np.random.Generator, low: int, span: int, zero: bool) -> None:
    matrix = signs(rng, (5, 7)) << low + rng.integers(0, span, (5, 7))
    matrix[2, 3:5] *= not zero
    form = small(matrix, PowersOfTwo)
    found = [dot_shift_weight(code, form.exponent_bits, 1) << form.low for code in form.codes().ravel().tolist()]
    assert found == matrix.ravel().tolist()
    assert (form.zero, form.mantissa_bits) == (zero, 1)
    exponents = {abs(value).bit_length() - 1 for value in found if value}
    assert form.low == min(exponents)
    assert form.exponent_bits == max((max(exponents) - min(exponents)).bit_length(), 1)


@quick
@given(seeds, st.integers(0, 20), st.integers(2, 6), st.integers(3, 20))
def test_codes_of_float(rng: np.random.Generator, low: int, mantissa: int, span: int) -> None:
    """With the narrowest mantissa that holds all values, and then the fewest exponents."""
    matrix = signs(rng, (5, 7)) * rng.integers(0, 2**mantissa, (5, 7)) << low + rng.integers(0, span, (5, 7))
    matrix[0, :2] = (2**mantissa - 1) << low, (2**mantissa - 1) << low + span
    matrix[0, 2] = 1 << low  # without it all may share an odd factor, and a uniform grid can be as narrow
    form = small(matrix, Float)
    bits = (form.exponent_bits, form.mantissa_bits)
    found = [dot_shift_weight(code, *bits) << form.low for code in form.codes().ravel().tolist()]
    assert found == matrix.ravel().tolist()
    odd = [abs(value) // (value & -value) for value in found if value]
    assert form.mantissa_bits == max(odd).bit_length() == mantissa
    widest = max(map(abs, found)).bit_length() - form.low
    assert form.exponent_bits == max((widest - mantissa).bit_length(), 1)


@quick
@given(seeds, st.lists(st.integers(1, 2**30), min_size=2, max_size=5))
def test_codes_of_bases(rng: np.random.Generator, coefficients: list[int]) -> None:
    """Bit k is plane k; as few planes as made the matrix, or fewer."""
    matrix = sum(c * signs(rng, (9, 9)) for c in coefficients)
    if Bipolar.encode(matrix) or Ternary.encode(matrix):
        assert Bases.encode(matrix) is None
        return
    form = small(matrix, Bases)
    assert 2 <= len(form.coefficients) <= len(coefficients)
    found = [dot_bases_weight(code, form.coefficients) for code in form.codes().ravel().tolist()]
    assert found == matrix.ravel().tolist()


@quick
@given(seeds, st.sampled_from([4, 8, 16, 32, 64]), st.integers(2, 8), st.integers(0, 9), st.booleans())
def test_mantissas_and_exponents(
    rng: np.random.Generator, block: int, mantissa: int, low: int, signed: bool
) -> None:
    shifts = low + rng.integers(0, 8, (12, 128 // block))
    mantissas = rng.integers(-(2 ** (mantissa - 1)), 2 ** (mantissa - 1), (12, 128))
    mantissas = mantissas if signed else mantissas & (2**mantissa - 1)
    matrix = mantissas << np.repeat(shifts, block, axis=1)
    form = BlockExponent.encode(matrix)
    assert form is not None
    assert form.block >= block / 2 and form.mantissa_bits <= mantissa and form.signed == signed
    assert form.exponents.shape == (12, 128 // form.block) and form.mantissas().shape == matrix.shape
    np.testing.assert_array_equal(form.mantissas() << np.repeat(form.exponents, form.block, axis=1), matrix)
    least, most = form.mantissas().min(), form.mantissas().max()
    assert -(2 ** (form.mantissa_bits - signed)) * signed <= least <= most < 2 ** (form.mantissa_bits - signed)
    assert form.low == form.exponents.min() and np.ptp(form.exponents) < 2**form.exponent_bits


# What is asked for: one value out of line, and the form is refused.


@pytest.mark.parametrize(("name", "wrong"), [
    ("binary", 0), ("binary", 2), ("ternary, 50 % zeros", 2), ("trained ternary {-3, 0, 5}, 50 % zeros", 3),
    ("logarithmic, 4 bits", 3), ("minifloat E4M3", 2**18 - 1), ("3 bases (29, 13, 5)", 12),
    ("3 bases (29, 13, 5)", 2**40 + 1), ("binary", 2**61 + 2**60),
])  # fmt: skip
@pytest.mark.parametrize("place", [(0, 0), (95, 127)])
def test_one_value_destroys_the_structure(name: str, wrong: int, place: tuple[int, int]) -> None:
    """Also as the very last value, which the first look at a sample does not see."""
    matrix = formats()[name]
    assert isinstance(WINNERS[name].encode(matrix), WINNERS[name])
    matrix[place] = wrong
    assert WINNERS[name].encode(matrix) is None
    np.testing.assert_array_equal(cheapest(matrix).decode(), matrix)


@pytest.mark.parametrize("matrix", [np.zeros((4, 8)), np.zeros((0, 8)), np.full((4, 8), 2.0**62)])
def test_forms_without_a_value_or_of_too_many_bits(matrix: np.ndarray) -> None:
    """Nothing but zeros is Dense, Sparse and Ternary; nothing at all, and 63 bits, are Dense alone."""
    found = [kind for kind in ENCODINGS if kind.encode(matrix.astype(np.int64))]
    assert found == ([Dense] if matrix.any() or not matrix.size else [Dense, Sparse, Ternary])


def test_plain_integers_are_dense_alone() -> None:
    matrix = np.random.default_rng(0).integers(1, 128, (64, 64)) * 2 - 129
    matrix[0, :3] = 120, 6, -127
    assert [kind for kind in ENCODINGS if kind.encode(matrix)] == [Dense]


# Bits, by hand.


def test_bits_of_ternary() -> None:
    """A bit per value and one per sign, unless all have the same."""
    both, one = np.array([[-2, 0, 0, 7], [0, 7, 0, 0]]), np.array([[0, 0, 0, 7], [0, 7, 0, 0]])
    assert Ternary.encode(both).bits() == 8 * 4 + 8 + 3
    assert Ternary.encode(one).bits() == 8 * 4 + 8
    assert Ternary.encode(both).signs == bytes([1]) and Ternary.encode(one).signs == b""


@pytest.mark.parametrize(("values", "width"), [
    ([0, 1, 2, 4, 8, 16, 32, 64], 3), ([1, 2, 4, 8, 16, 32, 64, 128], 3), ([0, 1, -1, 256, -256], 5),
    ([1, 2], 1), ([-1, 2], 2), ([4, 4], 0), ([-8, -8], 1), ([0, 2**61], 1),
])  # fmt: skip
def test_bits_of_powers_of_two(values: list[int], width: int) -> None:
    """The exponents and one code for zero; a sign only when there are negative values."""
    assert PowersOfTwo.encode(np.array([values])).bits() == 8 * 7 + len(values) * width


def test_float_is_coded_as_ieee_754() -> None:
    """All codes of E4M3: the stored code is the format's own byte."""
    byte = np.arange(256).reshape(4, 64)
    values = minifloat(byte >> 3 & 15, byte & 7, 3) * (1 - 2 * (byte >> 7))
    byte[2, 0] = 0  # minus zero is an integer 0
    form = Float.encode(values)
    assert (form.low, form.mantissa_bits, form.exponent_bits, form.width) == (0, 4, 4, 8)
    assert form.data == byte.astype(np.uint8).tobytes()


def test_float_sets_no_code_aside_for_a_zero_that_does_not_occur() -> None:
    values = np.array([[2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384]])
    assert Float.encode(values).width == 4
    values[0, 0] = 0
    assert Float.encode(values).width == 4
    assert Float.encode(np.append(values, [[2]], axis=1)).width == 5
    assert Float.encode(-values).width == 5


@pytest.mark.parametrize("values", [[1, 2, 3], [3, 6, 7], [5, 0, 2], [8, 7, 6], [10, 12]])
def test_float_is_refused_where_it_saves_nothing(values: list[int]) -> None:
    assert Float.encode(np.array([values])) is None


# The coefficients of Bases.


def sums(coefficients: tuple[int, ...]) -> set[int]:
    found = {0}
    for c in coefficients:
        found = {value + sign * c for value in found for sign in (1, -1)}
    return {abs(value) for value in found}


@quick
@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=5), st.data())
def test_coefficients_are_found_from_any_of_their_sums(coefficients: list[int], data: st.DataObject) -> None:
    """However many of the sums occur, the largest or not: never more coefficients than made them."""
    occur = data.draw(st.sets(st.sampled_from(sorted(sums(tuple(coefficients)))), min_size=2)) \
        if len(sums(tuple(coefficients))) > 1 else {1, 3}  # fmt: skip
    found = solve(np.array(sorted(occur, reverse=True)))
    assert found is not None and len(found) <= len(coefficients)
    assert occur <= sums(found)


@quick
@given(st.sets(st.integers(0, 5), min_size=2), st.integers(0, 1))
def test_no_fewer_coefficients_would_do(halves: set[int], odd: int) -> None:
    """Against all coefficients that could be."""
    occur = {2 * half + odd for half in halves}
    found = solve(np.array(sorted(occur, reverse=True)))
    assert found is not None and occur <= sums(found)
    for count in range(2, min(len(found), 4)):
        candidates = combinations_with_replacement(range(1, 2 * max(occur) + 1), count)
        assert not any(occur <= sums(c) for c in candidates)


def test_thresholds_of_the_weights_need_only_their_own_bases() -> None:
    """ABC-Net: base k is the sign of (weight - threshold k), so only 4 of the 8 sums of 3 bases occur."""
    weights = np.random.default_rng(3).normal(size=(40, 40))
    matrix = sum(c * np.where(weights > t, 1, -1) for c, t in ((11, -0.5), (4, 0.1), (20, 0.9)))
    form = Bases.encode(matrix)
    assert len(np.unique(matrix)) == 4 and len(form.coefficients) == 3 and sum(form.coefficients) == 35


@pytest.mark.parametrize("magnitudes", [
    [7], [4, 1], [2**40 + 1, 1], [2**32 + 4, 2], [1, 3, 9, 27, 81, 243, 729], range(1, 63, 2), [2**60 + 1, 2**60 - 1],
])  # fmt: skip
def test_values_that_are_no_sums_of_signs(magnitudes: list[int]) -> None:
    """One magnitude, odd and even, wider than the hardware's words, without relation, too many."""
    assert Bases.encode(np.array([[m, -m] for m in magnitudes])) is None


# The blocks of BlockExponent.


def test_the_block_of_the_fewest_bits() -> None:
    """Exponents alike over 32 values need not be stored for every 16; 24 columns have blocks of 4 or 8."""
    rng = np.random.default_rng(5)
    for columns, made, expected in ((128, 32, 32), (128, 16, 16), (24, 24, 8), (20, 20, 4), (128, 128, 64)):
        shifts = np.repeat(rng.integers(0, 12, (50, columns // made)), made, axis=1)
        form = BlockExponent.encode(rng.integers(-7, 8, (50, columns)) << shifts)
        assert (form.block, form.mantissa_bits, form.exponent_bits) == (expected, 4, 4)
        assert form.bits() == 8 * len(form._header()) + 50 * columns * 4 + 50 * columns // expected * 4


def test_blocks_that_do_not_divide_the_columns_are_refused() -> None:
    rows = np.random.default_rng(6).integers(-7, 8, (50, 22)) << np.arange(50)[:, None] // 4
    assert BlockExponent.encode(rows) is None
    assert BlockExponent.encode(rows[:, :20]).block == 4


def test_exponents_lie_as_close_as_the_mantissas_allow() -> None:
    """Rows of 8 have exponents of 0 to 3 by themselves; beside 4-bit mantissas of 2**5 they take 3, and a
    row of zeros takes any."""
    rows = np.array([[8] * 8, [15 << 5] * 8, [0] * 8, [16] * 8])
    form = BlockExponent.encode(rows)
    assert form.exponents.ravel().tolist() == [3, 5, 3, 3]
    assert (form.mantissa_bits, form.low, form.exponent_bits) == (4, 3, 2)


@pytest.mark.parametrize("rows", [[[0, -1, 0, 0]], [[0, -4, -4, 0]], [[7, 1, 2, 4], [1, 1, 1, 1]], [[4, 8, 0, 12]]])
def test_blocks_that_narrow_nothing_are_refused(rows: list[list[int]]) -> None:
    """A block as wide as all values together, with its factor the common one."""
    assert BlockExponent.encode(np.array(rows)) is None


def test_the_lowest_negative_mantissa_is_used() -> None:
    """-8 fits 4 bits of two's complement, 8 does not."""
    rows = np.array([[-8, 7] * 4, [-8 << 9, 7 << 9] * 4])
    assert BlockExponent.encode(rows).mantissa_bits == 4
    assert BlockExponent.encode(-rows).mantissa_bits == 5
