"""Lookup: any function of one value, by table."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from intaglio.ir.errors import RangeError
from intaglio.ir.op import Op, Work, one_of
from intaglio.ir.types import ONE, Array, Type, width


@dataclass(frozen=True, eq=False)
class Lookup(Op):
    """y = table[c, x - low]; table (1, n) or one row per channel. Inputs lie in low .. low + n - 1."""

    keeps_order = True

    table: Array
    low: int = 0
    scale: tuple[Fraction, ...] = ONE

    def __post_init__(self) -> None:
        self._integers("table", 2)
        self._set("low", int(self.low))
        self._scale()

    def type(self, *inputs: Type) -> Type:
        (x,) = inputs
        one_of("table", len(self.table), x.shape[0])
        one_of("scale", len(self.scale), x.shape[0])
        last = self.low + self.table.shape[1] - 1
        if x.range[0] < self.low or x.range[1] > last:
            raise RangeError(
                f"the table covers {self.low}..{last}, the input {x.range[0]}..{x.range[1]}: "
                "extend the table or requantise the input"
            )
        reached = self.table[:, x.range[0] - self.low : x.range[1] - self.low + 1]
        return Type(x.shape, (int(reached.min()), int(reached.max())), self.scale)

    def execute(self, *inputs: Array) -> Array:
        (x,) = inputs
        table = self.constant("table", x.dtype)
        index = x.astype(np.intp)
        index -= self.low
        if len(table) == 1:
            return table[0][index]
        channels = np.arange(len(table)).reshape(1, -1, *[1] * (x.ndim - 2))
        return table[channels, index]

    def magnitude(self, *inputs: Type) -> int:
        (x,) = inputs
        return max(x.largest, abs(int(self.table.min())), abs(int(self.table.max())))

    def work(self, *inputs: Type) -> Work:
        bits = self.table.size * width(int(self.table.min()), int(self.table.max()))
        return Work(lookups=inputs[0].size, weight_bits=bits)
