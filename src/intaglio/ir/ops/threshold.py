"""Threshold: a monotone staircase by integer comparisons."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from intaglio.ir.errors import RangeError
from intaglio.ir.op import Op, Work, one_of
from intaglio.ir.types import ONE, Array, Type, width

_FEW = 6
"""Up to so many thresholds, comparing with each is faster than a binary search."""


@dataclass(frozen=True, eq=False)
class Threshold(Op):
    """y = base + sum_i (x >= thresholds[c, i]); thresholds (1, n) or one row per channel, each ascending."""

    keeps_order = True

    thresholds: Array
    base: int = 0
    scale: tuple[Fraction, ...] = ONE

    def __post_init__(self) -> None:
        self._integers("thresholds", 2)
        self._set("base", int(self.base))
        self._scale()
        if (np.diff(self.thresholds, axis=1) < 0).any():
            raise RangeError("thresholds are not ascending: sort every row")

    def type(self, *inputs: Type) -> Type:
        (x,) = inputs
        one_of("thresholds", len(self.thresholds), x.shape[0])
        one_of("scale", len(self.scale), x.shape[0])
        low, high = (int((self.thresholds <= end).sum(axis=1).min()) for end in x.range)
        high = int((self.thresholds <= x.range[1]).sum(axis=1).max())
        return Type(x.shape, (self.base + low, self.base + high), self.scale)

    def execute(self, *inputs: Array) -> Array:
        (x,) = inputs
        limits = self.constant("thresholds", x.dtype)
        if limits.shape[1] <= _FEW:
            return self._compared(x, limits)
        if len(limits) == 1:
            return self._searched(x, limits[0])
        parts = [self._searched(x[:, c : c + 1], row) for c, row in enumerate(limits)]
        return np.concatenate(parts, axis=1)

    def _compared(self, x: Array, limits: Array) -> Array:
        shape = (1, -1, *[1] * (x.ndim - 2))
        y = (x >= limits[:, 0].reshape(shape)).astype(x.dtype)
        for column in limits.T[1:]:
            y += x >= column.reshape(shape)
        y += x.dtype.type(self.base)
        return y

    def _searched(self, x: Array, row: Array) -> Array:
        return (np.searchsorted(row, x, side="right") + self.base).astype(x.dtype)

    def magnitude(self, *inputs: Type) -> int:
        (x,) = inputs
        return max(x.largest, abs(self.base) + self.thresholds.shape[1])

    def work(self, *inputs: Type) -> Work:
        (x,) = inputs
        low, high = int(self.thresholds.min()), int(self.thresholds.max())
        bits = self.thresholds.size * width(low, high)
        return Work(adds=x.size * self.thresholds.shape[1], weight_bits=bits)
