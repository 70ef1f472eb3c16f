"""ArgMax: the class."""

from dataclasses import dataclass

import numpy as np

from intaglio.ir.errors import ShapeError
from intaglio.ir.op import Op, Work
from intaglio.ir.types import Array, Type


@dataclass(frozen=True, eq=False)
class ArgMax(Op):
    """y[0] = position of the largest value of the flattened tensor; of equal ones the lowest."""

    def type(self, *inputs: Type) -> Type:
        (x,) = inputs
        if len(x.scale) != 1:
            raise ShapeError("compares values of different scales: requantise them to one scale first")
        return Type((1,), (0, x.size - 1 if x.range[0] < x.range[1] else 0))

    def execute(self, *inputs: Array) -> Array:
        (x,) = inputs
        return np.argmax(x.reshape(len(x), -1), axis=1, keepdims=True).astype(x.dtype)

    def magnitude(self, *inputs: Type) -> int:
        return max(inputs[0].largest, inputs[0].size)

    def work(self, *inputs: Type) -> Work:
        return Work(adds=inputs[0].size - 1)
