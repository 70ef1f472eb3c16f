"""Concat: tensors one after the other."""

from dataclasses import dataclass

import numpy as np

from intaglio.ir.errors import ShapeError
from intaglio.ir.op import Op, Work
from intaglio.ir.ops.add import check_multipliers
from intaglio.ir.ops.products import factor_work
from intaglio.ir.types import Array, Type


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """Tensors one after the other along axis 0, each times its multiplier (to bring them on one grid)."""

    multipliers: tuple[int, ...]

    def __post_init__(self) -> None:
        self._set("multipliers", check_multipliers(self.multipliers))

    def type(self, *inputs: Type) -> Type:
        if len(inputs) != len(self.multipliers):
            raise ShapeError(f"{len(self.multipliers)} multipliers for {len(inputs)} inputs")
        if len({x.shape[1:] for x in inputs}) != 1:
            raise ShapeError(f"joins shapes {[x.shape for x in inputs]}: only axis 0 may differ")
        pairs = list(zip(self.multipliers, inputs, strict=True))
        low, high = min(m * x.range[0] for m, x in pairs), max(m * x.range[1] for m, x in pairs)
        scale = [s / m for m, x in pairs for s in x.scale * (x.shape[0] // len(x.scale))]
        return Type((len(scale), *inputs[0].shape[1:]), (low, high), tuple(scale))

    def execute(self, *inputs: Array) -> Array:
        parts = [x if m == 1 else x * x.dtype.type(m) for x, m in zip(inputs, self.multipliers, strict=True)]
        return np.moveaxis(np.concatenate([np.moveaxis(part, 0, -1) for part in parts]), -1, 0)

    def magnitude(self, *inputs: Type) -> int:
        return max(m * x.largest for m, x in zip(self.multipliers, inputs, strict=True))

    def work(self, *inputs: Type) -> Work:
        works = [factor_work(np.array([m]), x.size) for m, x in zip(self.multipliers, inputs, strict=True)]
        return sum(works, Work())
