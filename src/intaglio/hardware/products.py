"""How a layer's weights are written and multiplied: the forms of `ig_matmul`, chosen by the structure of the weights.

A form other than plain integers may leave a constant of the weights in its sums (complements are cheaper than
negations, by one); the stage behind the layer subtracts it, per row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from intaglio.hardware.memory import IntArray, signed_bits
from intaglio.ir.encodings import Bases, Bipolar, Float, PowersOfTwo, Ternary
from intaglio.ir.encodings.exponential import Exponential

INTEGER, BINARY, TERNARY, SHIFT, BASES = range(5)  # parameter FORM of ig_matmul


@dataclass(frozen=True)
class Product:
    """A form with its codes, one per weight and in the weights' shape, of `bits` bits each.

    excess: what every product exceeds the true one by, in the weights' shape.  luts: LUT4 equivalents of one lane,
    roughly.
    """

    form: int
    bits: int
    codes: IntArray = field(repr=False)
    luts: float
    excess: IntArray | None = field(default=None, repr=False)
    parameters: Mapping[str, int | str] = field(default_factory=dict[str, int | str])

    @property
    def latency(self) -> int:
        """Cycles that the form takes beyond those of plain integers."""
        return int(self.form >= SHIFT)


def product(
    weight: IntArray, in_bits: int, in_signed: bool, dsp: bool, serial: bool = False, exact: bool = False
) -> Product:
    """The form that takes the fewest look-up tables for these weights (outputs first) and activations.

    With multiplier blocks plain integers win unless a form needs hardly any logic. Serial multipliers do not shift.
    `exact` wants a form that leaves no constant in the sums.
    """
    matrix = weight.reshape(len(weight), -1)
    complement = -1 if in_signed else (1 << in_bits) - 1
    found = [make(matrix, in_bits, complement) for make in _FORMS]
    allowed = [form for form in found if form is not None and not (serial and form.form == SHIFT)]
    allowed = [form for form in allowed if form.excess is None] if exact else allowed
    best = min([_integer(matrix, in_bits, dsp), *allowed], key=lambda form: form.luts)
    excess = None if best.excess is None else best.excess.reshape(weight.shape)
    return replace(best, codes=best.codes.reshape(weight.shape), excess=excess)


DSP_LUTS = 60.0  # exchange rate for a multiplier block where one is used, so that few multipliers are preferred


def _integer(matrix: IntArray, in_bits: int, dsp: bool) -> Product:
    """Two's complement, at least 2 bits: the narrowest that the multiplier array takes."""
    bits = max(signed_bits(int(matrix.min()), int(matrix.max())), 2)
    luts = 1.35 * in_bits * bits + 8
    return Product(INTEGER, bits, matrix, min(luts, DSP_LUTS) if dsp else luts)


def _binary(matrix: IntArray, in_bits: int, complement: int) -> Product | None:
    form = Bipolar.encode(matrix)
    if form is None or form.unit != 1:
        return None
    codes = form.codes()
    return Product(BINARY, 1, codes, 1.1 * in_bits + 2, complement * (codes == 0))


def _ternary(matrix: IntArray, in_bits: int, complement: int) -> Product | None:
    form = Ternary.encode(matrix)
    if form is None:
        return None
    codes = form.codes()
    if max(form.negative, form.positive) == 1:
        return Product(TERNARY, 2, codes, 2.2 * in_bits + 2, complement * (codes == 3))
    planes = np.where(codes == 1, 1, 0) + np.where(codes == 3, 2, 0)
    return Product(BASES, 2, planes, 2.4 * in_bits + 6, None, _bases((form.positive, -form.negative), unipolar=True))


def _multi_base(matrix: IntArray, in_bits: int, complement: int) -> Product | None:
    form = Bases.encode(matrix)
    if form is None:
        return None
    codes, count = form.codes(), len(form.coefficients)
    negative = [(codes >> k & 1 == 0) * c for k, c in enumerate(form.coefficients)]
    excess = complement * np.sum(negative, axis=0)
    return Product(BASES, count, codes, count * (1.2 * in_bits + 4), excess, _bases(form.coefficients, unipolar=False))


def _bases(coefficients: tuple[int, ...], unipolar: bool) -> Mapping[str, int | str]:
    words = "_".join(f"{c & 0xFFFFFFFF:08x}" for c in reversed(coefficients))
    return {"COEFFICIENTS": f"{32 * len(coefficients)}'h{words}", "UNIPOLAR": int(unipolar)}


def _shift(matrix: IntArray, in_bits: int, complement: int) -> Product | None:
    """Powers of two and minifloats; only for a common factor of 1, which lowering sees to."""
    del complement
    form: Exponential | None = PowersOfTwo.encode(matrix) or Float.encode(matrix)
    if form is None or form.low:
        return None
    codes, mantissa = form.codes(), form.mantissa_bits
    largest = _largest_exponent(form)
    if not largest:
        return None
    bits = 1 + form.exponent_bits + mantissa
    wide = in_bits + mantissa + largest
    luts = (1.35 * in_bits * mantissa if mantissa > 1 else 0) + 0.5 * form.exponent_bits * wide + wide
    parameters = {"W_EXP_BITS": form.exponent_bits, "W_EXP_MAX": largest, "W_MANT_BITS": mantissa}
    return Product(SHIFT, bits, codes, luts, -(codes >> (bits - 1)), parameters)


def _largest_exponent(form: Exponential) -> int:
    return int((form.codes() >> form.mantissa_bits & (1 << form.exponent_bits) - 1).max())


@dataclass(frozen=True)
class FloatCode:
    """Activations +-mantissa << exponent on a stream: {negative if signed, exponent, mantissa}, mantissa lowest."""

    exponent_bits: int
    largest: int
    mantissa_bits: int
    signed: bool

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return self.signed + self.exponent_bits + self.mantissa_bits


def float_code(values: IntArray) -> tuple[FloatCode, IntArray] | None:
    """The code of activations that take these values (n,), and every value's; None unless it is shorter than they.

    Codes without a sign ascend with their values, so that the largest code is the largest value.
    """
    form: Exponential | None = PowersOfTwo.encode(values[None]) or Float.encode(values[None])
    if form is None or form.low:
        return None
    code = FloatCode(form.exponent_bits, _largest_exponent(form), form.mantissa_bits, bool(values.min() < 0))
    low, high = int(values.min()), int(values.max())
    plain = signed_bits(low, high) if low < 0 else high.bit_length()
    return (code, form.codes()[0]) if code.bits < plain else None


def float_product(weight: IntArray, code: FloatCode) -> Product:
    """How weights (outputs first) meet activations in a FloatCode: powers of two and minifloats add exponents."""
    matrix = weight.reshape(len(weight), -1)
    activation = {"A_EXP_BITS": code.exponent_bits, "A_EXP_MAX": code.largest}
    found = _shift(matrix, code.bits, 0)
    if found is None:
        bits = max(signed_bits(int(matrix.min()), int(matrix.max())), 2)
        return Product(SHIFT, bits, weight, 1.35 * bits * code.bits, None, activation)
    excess = None if found.excess is None else found.excess.reshape(weight.shape)
    return replace(
        found, codes=found.codes.reshape(weight.shape), excess=excess, parameters={**found.parameters, **activation}
    )


_FORMS: tuple[Callable[[IntArray, int, int], Product | None], ...] = (_binary, _ternary, _multi_base, _shift)


def shared_shifts(codes: IntArray, bits: int, in_bits: int, acc_bits: int) -> tuple[IntArray, int, IntArray | None]:
    """Integers (words, pe, simd) as (mantissas, their bits, the shift (words, pe) that a row shares in a beat).

    The weights of block floating point. Shifts are None where narrower multipliers do not pay for the shifter.
    """
    joined = np.bitwise_or.reduce(codes, axis=2)
    shifts = np.where(joined == 0, 0, np.bitwise_count((joined & -joined) - 1).astype(np.int64))
    shifts -= shifts[joined != 0].min(initial=int(shifts.max()))
    shifts = np.maximum(shifts, 0)
    mantissas = codes >> shifts[:, :, None]
    narrow = max(signed_bits(int(mantissas.min()), int(mantissas.max())), 2)
    saved = 1.35 * (bits - narrow) * codes.shape[2] * in_bits
    if saved <= 0.6 * int(shifts.max()).bit_length() * acc_bits:
        return codes, bits, None
    return mantissas, narrow, shifts
