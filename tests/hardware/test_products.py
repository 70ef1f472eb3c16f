"""Products: which one structured weights get, and that its codes give the product and the stated excess."""

import numpy as np
import pytest

from intaglio.hardware.codes import float_code
from intaglio.hardware.products import PRODUCTS, Lane, Product, WeightWords
from intaglio.hardware.products.bases import BasesProduct
from intaglio.hardware.products.binary import BinaryProduct
from intaglio.hardware.products.integer import IntegerProduct, shared_shifts
from intaglio.hardware.products.shift import ShiftProduct
from intaglio.hardware.products.ternary import TernaryProduct
from intaglio.hardware.technology.ecp5 import PRICES
from intaglio.hardware.units.threshold import search_tables

WEIGHTS = {
    "integers": ([-7, -3, 0, 2, 5, 6, 7], IntegerProduct),
    "binary": ([-1, 1], BinaryProduct),
    "ternary": ([-1, 0, 1], TernaryProduct),
    "trained ternary": ([-3, 0, 7], BasesProduct),
    "multi-base": ([-41, -23, -11, 7, -7, 11, 23, 41], BasesProduct),
    "logarithmic": ([-64, -8, -1, 0, 2, 16, 128], ShiftProduct),
    "minifloat": ([-(15 << 9), -(9 << 3), 0, 1, 5, 11 << 2, 13 << 8], ShiftProduct),
}


def product(weight: np.ndarray, lane: Lane) -> Product:
    """The cheapest product."""
    found = [form for kind in PRODUCTS if (form := kind.of(weight, lane)) is not None]
    return min(found, key=lambda form: form.luts(lane, PRICES))


def lane_of(form: Product, code: int, a: int, lane: Lane) -> int:
    """What one lane adds for an activation, as the headers of the modules say."""
    inverted = lane.complement - a
    if isinstance(form, IntegerProduct):
        return code * a
    if isinstance(form, BinaryProduct):
        return a if code else inverted
    if isinstance(form, TernaryProduct):
        return (inverted if code & 2 else a) if code & 1 else 0
    if isinstance(form, ShiftProduct):
        mantissa, exponent = form.mantissa_bits, form.exponent_bits
        value = (code & (1 << mantissa) - 1) << (code >> mantissa & (1 << exponent) - 1)
        return -value * a - 1 if code >> mantissa + exponent else value * a
    assert isinstance(form, BasesProduct)
    zero = 0 if form.unipolar else inverted
    return sum(c * (a if code >> k & 1 else zero) for k, c in enumerate(form.coefficients))


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize(("bits", "signed"), [(1, False), (3, False), (8, False), (2, True), (8, True)])
def test_codes_give_the_products_and_the_stated_excess(name: str, bits: int, signed: bool) -> None:
    rng = np.random.default_rng(0)
    values, kind = WEIGHTS[name]
    weight, lane = rng.choice(np.array(values), (4, 18)), Lane(bits, signed)
    weight.flat[: len(values)] = values
    form = product(weight, lane)
    if bits > 2:
        assert isinstance(form, kind)
    excess = np.zeros_like(weight) if form.excess is None else form.excess
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    for code, true, more in zip(form.codes.flat, weight.flat, excess.flat, strict=True):
        assert isinstance(form, IntegerProduct) or 0 <= code < 1 << form.bits
        for a in {low, high, int(rng.integers(low, high + 1))}:
            assert lane_of(form, int(code), a, lane) == int(true) * a + int(more)


def test_multiplier_blocks_leave_only_cheap_products() -> None:
    rng = np.random.default_rng(1)
    assert isinstance(product(rng.choice([-1, 1], (4, 8)), Lane(8, False, dsp=True)), BinaryProduct)
    assert isinstance(product(rng.choice([-64, 3, 128, 96], (4, 8)), Lane(16, False, dsp=True)), IntegerProduct)


def test_serial_products_do_not_shift_and_exact_ones_have_no_excess() -> None:
    rng = np.random.default_rng(2)
    powers = rng.choice([-64, -8, 0, 1, 128], (4, 8))
    assert isinstance(product(powers, Lane(8, False)), ShiftProduct)
    assert isinstance(product(powers, Lane(8, False, serial=True)), IntegerProduct)
    for weights in (rng.choice([-1, 1], (4, 8)), rng.choice([-1, 0, 1], (4, 8)), powers):
        excess = product(weights, Lane(8, False, exact=True)).excess
        assert excess is None or not excess.any()
    assert isinstance(product(abs(powers), Lane(8, False, exact=True)), ShiftProduct)


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
    lane, weights = Lane(code.bits, code.signed, code=code), np.array([[3, -5], [0, 7]])
    form = product(weights, lane)
    assert isinstance(form, ShiftProduct) and (form.codes == weights).all()
    own = form.dot(2, 1, lane, WeightWords(weights.reshape(2, 1, 2), form.bits), 0).parameters()
    assert own["A_EXP_BITS"] == code.exponent_bits and own["W_EXP_BITS"] == 0


def test_no_code_for_activations_that_are_shorter_as_they_are() -> None:
    assert float_code(np.array([0, 1, 2, 3])) is None
    assert float_code(np.array([0, 2, 4])) is None


def test_rows_of_a_beat_share_a_shift() -> None:
    rng = np.random.default_rng(3)
    shifts = rng.integers(0, 7, (10, 2))
    codes = rng.integers(-7, 8, (10, 2, 8)) << shifts[:, :, None]
    codes[0, 0] = 0
    found = shared_shifts(WeightWords(codes, 10), 8, 20, PRICES)
    assert found.shifts is not None and found.bits == 4 and (found.codes << found.shifts[:, :, None] == codes).all()
    assert int(np.abs(found.codes).max()) < 8 and found.shifts.min() == 0
    same = shared_shifts(WeightWords(rng.integers(-500, 500, (10, 2, 8)) | 1, 10), 8, 20, PRICES)
    assert same.shifts is None and same.bits == 10


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
