"""Functions of one float32 value, one per channel, and whether they rise: what lies between integers in a file.

Every operation of IEEE 754 is rounded correctly, and rounding never reverses an order. So a step with a constant
rises or falls over all of float32, rounding accidents included, and a chain of steps does.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Self, cast

import numpy as np
import numpy.typing as npt

from intaglio.ir.types import Array

Floats = npt.NDArray[np.float32]


class FloatStep(ABC):
    """A function of float32, element by element; its constants have one row, or one per channel."""

    @abstractmethod
    def __call__(self, x: Floats, axes: int = 2) -> Floats:
        """The function; the channel is the axis of x that is `axes` from the last one (1: the last)."""

    @abstractmethod
    def signs(self) -> npt.NDArray[np.int64]:
        """Per row +1 where it never falls, -1 where it never rises, 0 where it may do both."""

    @property
    def rows(self) -> int:
        """1, or one per channel."""
        return len(self.signs())

    def spread(self, each: int) -> Self:
        """The same step after every channel became so many."""
        return self


def column(constant: Array, axes: int) -> Array:
    """Constants per row in the shape that fits x."""
    return constant.reshape(len(constant), *[1] * (axes - 1))


_UFUNCS: dict[str, np.ufunc] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


@dataclass(frozen=True, eq=False)
class BinaryStep(FloatStep):
    """x + c, x - c, x * c or x / c; `swapped`: c - x or c / x. constant: float32, (1,) or (C,)."""

    kind: str
    constant: Floats
    swapped: bool = False

    def __call__(self, x: Floats, axes: int = 2) -> Floats:
        constant = column(self.constant, axes)
        pair = (constant, x) if self.swapped else (x, constant)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return _UFUNCS[self.kind](*pair)

    def signs(self) -> npt.NDArray[np.int64]:
        if self.kind in ("Mul", "Div") and not self.swapped:
            return np.where(self.constant < 0, -1, 1)
        direction = {"Sub": -1, "Div": 0}[self.kind] if self.swapped else 1
        return np.full(len(self.constant), direction)

    def spread(self, each: int) -> Self:
        return replace(self, constant=np.repeat(self.constant, each))


@dataclass(frozen=True, eq=False)
class Clamp(FloatStep):
    """min(max(x, low), high)."""

    low: float
    high: float

    def __call__(self, x: Floats, axes: int = 2) -> Floats:
        return np.clip(x, np.float32(self.low), np.float32(self.high))

    def signs(self) -> npt.NDArray[np.int64]:
        return np.ones(1, np.int64)


Rounding = Callable[[Floats], Floats]


def _half_up(x: Floats) -> Floats:
    return np.sign(x) * np.floor(np.abs(x) + np.float32(0.5))


def _half_down(x: Floats) -> Floats:
    return np.sign(x) * np.ceil(np.abs(x) - np.float32(0.5))


def _away(x: Floats) -> Floats:
    return np.sign(x) * np.ceil(np.abs(x))


MODES: dict[str, Rounding] = {
    "ROUND": np.rint, "HALF_EVEN": np.rint, "CEIL": np.ceil, "FLOOR": np.floor, "UP": _away, "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc, "HALF_UP": _half_up, "HALF_DOWN": _half_down,
}  # fmt: skip
"""Rounding modes as qonnx runs them: HALF_UP and UP go away from zero, HALF_DOWN and DOWN towards it."""


@dataclass(frozen=True, eq=False)
class Round(FloatStep):
    """Round to an integer by a mode of `MODES`."""

    mode: str

    def __call__(self, x: Floats, axes: int = 2) -> Floats:
        return MODES[self.mode](x)

    def signs(self) -> npt.NDArray[np.int64]:
        return np.ones(1, np.int64)


@dataclass(frozen=True, eq=False)
class Sign(FloatStep):
    """-1, 0 or 1."""

    def __call__(self, x: Floats, axes: int = 2) -> Floats:
        return np.sign(x)

    def signs(self) -> npt.NDArray[np.int64]:
        return np.ones(1, np.int64)


@dataclass(frozen=True, eq=False)
class Absolute(FloatStep):
    """The absolute value."""

    def __call__(self, x: Floats, axes: int = 2) -> Floats:
        return np.abs(x)

    def signs(self) -> npt.NDArray[np.int64]:
        return np.zeros(1, np.int64)


@dataclass(frozen=True, eq=False)
class Count(FloatStep):
    """How many of the row's limits x reaches. limits: float32, (1 or C, n), each row ascending."""

    limits: Floats

    def __call__(self, x: Floats, axes: int = 2) -> Floats:
        if len(self.limits) == 1:
            return self._counted(x, self.limits[0])
        axis = x.ndim - axes
        rows = [self._counted(np.take(x, c, axis), row) for c, row in enumerate(self.limits)]
        return np.stack(rows, axis)

    def _counted(self, x: Floats, row: Floats) -> Floats:
        return np.searchsorted(row, x, side="right").astype(np.float32)

    def signs(self) -> npt.NDArray[np.int64]:
        return np.ones(len(self.limits), np.int64)

    def spread(self, each: int) -> Self:
        return replace(self, limits=np.repeat(self.limits, each, axis=0))


@dataclass(frozen=True, eq=False, repr=False)
class StepChain:
    """Steps one after the other. A longer chain holds the shorter one, so that n tensors in a row hold n steps in all.

    directions: per row +1 where the chain never falls, -1 where it never rises, 0 where it may do both.
    """

    before: "StepChain | None" = None
    last: FloatStep | None = None
    count: int = 0
    directions: npt.NDArray[np.int64] = field(default_factory=lambda: np.ones(1, np.int64))

    def then(self, *steps: FloatStep) -> "StepChain":
        """The chain with more steps behind it."""
        chain = self
        for step in steps:
            chain = StepChain(chain, step, chain.count + 1, chain.directions * step.signs())
        return chain

    @property
    def rows(self) -> int:
        """1 when all channels are alike, else their number."""
        return len(self.directions)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[FloatStep]:
        found: list[FloatStep] = []
        link: StepChain | None = self
        while link is not None and link.last is not None:
            found.append(link.last)
            link = link.before
        return reversed(found)


NOTHING = StepChain()
"""No steps."""


def run(steps: Iterable[FloatStep], x: Floats, axes: int = 2) -> Floats:
    """One step after the other."""
    for step in steps:
        x = step(x, axes)
    return x


def gains(steps: Iterable[FloatStep]) -> npt.NDArray[np.float64]:
    """What the multiplications and divisions of a chain amount to, per row: its slope where it is not clipped."""
    result = np.ones(1)
    for step in steps:
        if isinstance(step, BinaryStep) and step.kind in ("Mul", "Div"):
            factors = step.constant.astype(np.float64)
            result = result * factors if step.kind == "Mul" else result / np.where(factors == 0, 1, factors)
    return cast("npt.NDArray[np.float64]", result)
