"""What a product is: how lanes multiply, and what they need the weights to be written as."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from intaglio.hardware.codes import FloatCode
from intaglio.hardware.memory import IntArray
from intaglio.hardware.plan_part import PlanPart
from intaglio.hardware.stage import Parameter, Parameters, Stage
from intaglio.hardware.streams import Wire
from intaglio.hardware.technology.prices import Prices


@dataclass(frozen=True)
class Lane:
    """What a lane multiplies weights with: activations of `bits` bits, and what else decides how.

    dsp: multiplier blocks may be used. serial: one bit of the activations per cycle. exact: no constant may be left in
    the sums. code: activations are codes, not integers.
    """

    bits: int
    signed: bool
    dsp: bool = False
    serial: bool = False
    exact: bool = False
    code: FloatCode | None = None

    @property
    def planes(self) -> int:
        """Cycles in which an activation comes: one, or one for each bit."""
        return self.bits if self.serial else 1

    @property
    def cycle_bits(self) -> int:
        """Bits of an activation that come in a cycle."""
        return 1 if self.serial else self.bits

    @property
    def cycle_signed(self) -> bool:
        """Whether these are two's complement: the sign of a serial one is its last plane, which is subtracted."""
        return self.signed and not self.serial

    @property
    def complement(self) -> int:
        """a + ~a of an activation a: what complements are cheaper than negations by."""
        return -1 if self.signed else (1 << self.bits) - 1


@dataclass(frozen=True)
class WeightWords:
    """Weights as they are supplied: codes (words, pe, simd) of `bits` bits.

    `shifts` (words, pe), if any, are the exponents that the codes of a row share in a beat.
    """

    codes: IntArray = field(repr=False)
    bits: int
    shifts: IntArray | None = field(default=None, repr=False)

    @property
    def shift_bits(self) -> int:
        """Bits of a shift."""
        return 0 if self.shifts is None else int(self.shifts.max()).bit_length()

    @property
    def width(self) -> int:
        """Bits of the codes of a word."""
        return self.codes.shape[1] * self.codes.shape[2] * self.bits

    @property
    def beside(self) -> int:
        """Bits of the shifts of a word."""
        return self.codes.shape[1] * self.shift_bits


@dataclass(frozen=True)
class Product(PlanPart):
    """Codes of weights, one each and in their shape, of `bits` bits, and how lanes multiply by them.

    A product other than of integers may leave a constant of the weights in its sums: `excess` is what every one
    exceeds the true one by; the stage behind the layer takes it away, per row.
    """

    codes: IntArray = field(repr=False)
    bits: int
    excess: IntArray | None = field(default=None, repr=False)

    about: ClassVar[str]
    """How it multiplies, for people."""

    @classmethod
    @abstractmethod
    def of(cls, weights: IntArray, lane: Lane) -> Self | None:
        """The product of weights (rows, columns); None where they, or the activations, lack what it needs."""

    @abstractmethod
    def luts(self, lane: Lane, prices: Prices) -> float:
        """LUT4 equivalents of a lane, roughly."""

    @abstractmethod
    def dot(self, simd: int, pe: int, lane: Lane, words: WeightWords, beside: int) -> "Dot":
        """The stage of `pe` dot products of `simd` lanes; `beside` bits of its pulses are not its own."""

    def words(self, issued: IntArray, lane: Lane, prices: Prices, sum_bits: int) -> WeightWords:
        """Codes (words, pe, simd) as they are supplied; sums take `sum_bits`."""
        del lane, prices, sum_bits
        return WeightWords(issued, self.bits)

    def scattered(self, places: npt.NDArray[np.bool_]) -> Self:
        """The same with its arrays in the shape of `places`, where those are true in order, and zeros elsewhere."""
        excess = None if self.excess is None else _scattered(self.excess, places)
        return replace(self, codes=_scattered(self.codes, places), excess=excess)


def _scattered(values: IntArray, places: npt.NDArray[np.bool_]) -> IntArray:
    found = np.zeros(places.shape, dtype=np.int64)
    found[places] = values.ravel()
    return found


@dataclass(frozen=True)
class Dot(Stage):
    """`pe` dot products of `simd` lanes in a beat (`ig_dot` and those of other codes).

    Activations lie below the weights, and both below `side_bits` bits that only pass. `kind` names the module,
    `special` are its own parameters; `later` its cycles beyond those of `ig_dot`.
    """

    simd: int
    pe: int
    a_bits: int
    a_signed: bool
    sum_bits: int
    side_bits: int
    kind: str = "ig_dot"
    special: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    later: int = 0

    passes_end = True

    @property
    def module(self) -> str:
        return self.kind

    @property
    def latency(self) -> int:
        """Products 1, a register every second tree level, and what the module takes more."""
        return 1 + ceil((self.simd - 1).bit_length() / 2) + self.later

    @property
    def out(self) -> Wire:
        return Wire(self.pe, self.sum_bits, signed=True)

    @property
    def beside(self) -> int:
        return self.side_bits

    def parameters(self) -> Parameters:
        names = ("simd", "pe", "a_bits", "sum_bits", "side_bits")
        common: Parameters = {name.upper(): getattr(self, name) for name in names}
        return common | {"A_SIGNED": int(self.a_signed), **self.special}


def tree_bits(simd: int) -> int:
    """Bits that a sum of `simd` products has more than a product."""
    return (simd - 1).bit_length()

