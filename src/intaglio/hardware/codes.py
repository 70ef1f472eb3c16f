"""Activations that travel as codes: powers of two and minifloats, of which products add the exponents."""

from dataclasses import dataclass

from intaglio.hardware.memory import IntArray, signed_bits
from intaglio.ir.encodings import Float, PowersOfTwo
from intaglio.ir.encodings.exponential import Exponential


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


def exponential(values: IntArray) -> Exponential | None:
    """Integers (rows, columns) as powers of two or else minifloats; None without that, or with a common factor."""
    form: Exponential | None = PowersOfTwo.encode(values) or Float.encode(values)
    return None if form is None or form.low else form


def largest_exponent(form: Exponential) -> int:
    """The largest exponent of any code."""
    return int((form.codes() >> form.mantissa_bits & (1 << form.exponent_bits) - 1).max())


def float_code(values: IntArray) -> tuple[FloatCode, IntArray] | None:
    """The code of activations that take these values (n,), and every value's; None unless it is shorter than they.

    Codes without a sign ascend with their values, so that the largest code is the largest value.
    """
    form = exponential(values[None])
    if form is None:
        return None
    code = FloatCode(form.exponent_bits, largest_exponent(form), form.mantissa_bits, bool(values.min() < 0))
    low, high = int(values.min()), int(values.max())
    plain = signed_bits(low, high) if low < 0 else high.bit_length()
    return (code, form.codes()[0]) if code.bits < plain else None
