"""Forms of products: which one structured weights get, and that its codes give the product and the stated excess."""

import numpy as np
import pytest

from intaglio.hardware.carve import row_bias, search_tables
from intaglio.hardware.products import (
    BASES,
    BINARY,
    INTEGER,
    SHIFT,
    TERNARY,
    Product,
    float_code,
    float_product,
    product,
    shared_shifts,
)

WEIGHTS = {
    "integers": ([-7, -3, 0, 2, 5, 6, 7], INTEGER),
    "binary": ([-1, 1], BINARY),
    "ternary": ([-1, 0, 1], TERNARY),
    "trained ternary": ([-3, 0, 7], BASES),
    "multi-base": ([-41, -23, -11, 7, -7, 11, 23, 41], BASES),
    "logarithmic": ([-64, -8, -1, 0, 2, 16, 128], SHIFT),
    "minifloat": ([-(15 << 9), -(9 << 3), 0, 1, 5, 11 << 2, 13 << 8], SHIFT),
}


def lane(form: Product, code: int, a: int, bits: int, signed: bool) -> int:
    """What one lane of `form` adds for an activation, as the headers of the modules say."""
    inverted = -a - 1 if signed else (1 << bits) - 1 - a
    if form.form == INTEGER:
        return code * a
    if form.form == BINARY:
        return a if code else inverted
    if form.form == TERNARY:
        return (inverted if code & 2 else a) if code & 1 else 0
    if form.form == SHIFT:
        mantissa, exponent = int(form.parameters["W_MANT_BITS"]), int(form.parameters["W_EXP_BITS"])
        value = (code & (1 << mantissa) - 1) << (code >> mantissa & (1 << exponent) - 1)
        return -value * a - 1 if code >> mantissa + exponent else value * a
    text = str(form.parameters["COEFFICIENTS"]).partition("'h")[2].split("_")
    words = [int(word, 16) - (int(word, 16) >> 31 << 32) for word in reversed(text)]
    zero = 0 if form.parameters["UNIPOLAR"] else inverted
    return sum(word * (a if code >> k & 1 else zero) for k, word in enumerate(words))


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize(("bits", "signed"), [(1, False), (3, False), (8, False), (2, True), (8, True)])
def test_codes_give_the_products_and_the_stated_excess(name: str, bits: int, signed: bool) -> None:
    rng = np.random.default_rng(0)
    values, kind = WEIGHTS[name]
    weight = rng.choice(np.array(values), (4, 2, 3, 3))
    weight.flat[: len(values)] = values
    form = product(weight, bits, signed, dsp=False)
    if bits > 2:
        assert form.form == kind
    excess = np.zeros_like(weight) if form.excess is None else form.excess
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    for code, true, more in zip(form.codes.flat, weight.flat, excess.flat, strict=True):
        assert form.form == INTEGER or 0 <= code < 1 << form.bits
        for a in {low, high, int(rng.integers(low, high + 1))}:
            assert lane(form, int(code), a, bits, signed) == int(true) * a + int(more)


def test_multiplier_blocks_leave_only_cheap_forms() -> None:
    rng = np.random.default_rng(1)
    assert product(rng.choice([-1, 1], (4, 8)), 8, False, dsp=True).form == BINARY
    assert product(rng.choice([-64, 3, 128, 96], (4, 8)), 16, False, dsp=True).form == INTEGER


def test_serial_products_do_not_shift_and_exact_ones_have_no_excess() -> None:
    rng = np.random.default_rng(2)
    powers = rng.choice([-64, -8, 0, 1, 128], (4, 8))
    assert product(powers, 8, False, dsp=False).form == SHIFT
    assert product(powers, 8, False, dsp=False, serial=True).form == INTEGER
    assert product(rng.choice([-1, 1], (4, 8)), 8, False, dsp=False, exact=True).excess is None


def test_the_bias_of_a_row_leaves_out_skipped_beats() -> None:
    excess = np.arange(2 * 3 * 2 * 4).reshape(2, 3, 2, 4)
    skipped = np.array([[False, True, False], [False, False, True]])
    expected = [sum(excess[f, b, p].sum() for b in range(3) if not skipped[f, b]) for f in range(2) for p in range(2)]
    assert row_bias(excess, skipped).tolist() == expected


@pytest.mark.parametrize("values", [[0, 1, 2, 4, 8, 64], [0, 1, 3, 6, 12, 96], [-64, -2, 0, 1, 32, 128]])
def test_codes_of_activations(values: list[int]) -> None:
    found = float_code(np.array(values))
    assert found is not None
    code, codes = found
    for value, word in zip(values, codes.tolist(), strict=True):
        mantissa = word & (1 << code.mantissa_bits) - 1
        exponent = word >> code.mantissa_bits & (1 << code.exponent_bits) - 1
        negative = word >> code.mantissa_bits + code.exponent_bits
        assert (-1) ** negative * (mantissa << exponent) == value and exponent <= code.largest and word < 1 << code.bits
    if not code.signed:
        assert (np.diff(codes) > 0).all()
    weight = np.array([[3, -5], [0, 7]])
    assert float_product(weight, code).parameters["A_EXP_BITS"] == code.exponent_bits


def test_no_code_for_activations_that_are_shorter_as_they_are() -> None:
    assert float_code(np.array([0, 1, 2, 3])) is None
    assert float_code(np.array([0, 2, 4])) is None


def test_rows_of_a_beat_share_a_shift() -> None:
    rng = np.random.default_rng(3)
    shifts = rng.integers(0, 7, (10, 2))
    codes = rng.integers(-7, 8, (10, 2, 8)) << shifts[:, :, None]
    codes[0, 0] = 0
    mantissas, bits, found = shared_shifts(codes, 10, 8, 20)
    assert found is not None and bits == 4 and (mantissas << found[:, :, None] == codes).all()
    assert int(np.abs(mantissas).max()) < 8 and found.min() == 0
    _, bits, none = shared_shifts(rng.integers(-500, 500, (10, 2, 8)) | 1, 10, 8, 20)
    assert none is None and bits == 10


@pytest.mark.parametrize("count", [1, 3, 6, 7, 12, 15])
def test_a_search_through_the_tables_counts_thresholds(count: int) -> None:
    rng = np.random.default_rng(count)
    rows = np.sort(rng.integers(-60, 60, (3, 2, count)), axis=2)
    tables = search_tables(rows, 8)
    mask, sign = (1 << 9) - 1, 1 << 8
    for word, lane_, x in rng.integers(0, (3, 2, 128), (200, 3)):
        x, found = int(x) - 64, 0
        for level, table in enumerate(tables):
            value = table.words[word * 2**level + found] >> 9 * lane_ & mask
            found = 2 * found + (x >= (value ^ sign) - sign)
        assert found == (rows[word, lane_] <= x).sum()
