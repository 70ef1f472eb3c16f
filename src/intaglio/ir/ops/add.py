"""Add: the sum of two tensors on one grid."""

from dataclasses import dataclass

import numpy as np

from intaglio.ir.errors import RangeError, ShapeError
from intaglio.ir.op import Op, Work
from intaglio.ir.ops.products import factor_work
from intaglio.ir.types import Array, Type


def check_multipliers(multipliers: tuple[int, ...]) -> tuple[int, ...]:
    """Multipliers as integers >= 1."""
    values = tuple(int(value) for value in multipliers)
    if not values or min(values) < 1:
        raise RangeError(f"multipliers {values} must be at least 1: negate with a Requantize first")
    return values


@dataclass(frozen=True, eq=False)
class Add(Op):
    """y = m0 * a + m1 * b, element by element; a.scale / m0 must equal b.scale / m1, the result's scale."""

    keeps_order = True

    multipliers: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        self._set("multipliers", check_multipliers(self.multipliers))

    def type(self, *inputs: Type) -> Type:
        a, b = inputs
        if a.shape != b.shape:
            raise ShapeError(f"adds shapes {a.shape} and {b.shape}: they must be equal")
        scales = [tuple(s / m for s in x.scale) for x, m in zip(inputs, self.multipliers, strict=True)]
        if scales[0] != scales[1]:
            raise ShapeError(
                f"adds values on different grids, {scales[0][0]} and {scales[1][0]}: align by multipliers"
            )
        pairs = list(zip(self.multipliers, (a.range, b.range), strict=True))
        return Type(a.shape, (sum(m * r[0] for m, r in pairs), sum(m * r[1] for m, r in pairs)), scales[0])

    def execute(self, *inputs: Array) -> Array:
        a, b = (x if m == 1 else x * x.dtype.type(m) for x, m in zip(inputs, self.multipliers, strict=True))
        return np.add(a, b)

    def magnitude(self, *inputs: Type) -> int:
        return sum(m * x.largest for m, x in zip(self.multipliers, inputs, strict=True))

    def work(self, *inputs: Type) -> Work:
        size = inputs[0].size
        return factor_work(np.array(self.multipliers), size) + Work(adds=size)
