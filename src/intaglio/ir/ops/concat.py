"""Concat: tensors one after the other."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from intaglio.ir.errors import ShapeError
from intaglio.ir.op import Op, Work
from intaglio.ir.ops.add import check_multipliers
from intaglio.ir.ops.products import factor_work
from intaglio.ir.types import MAX_SCALES, Array, Type


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
        channels = sum(x.shape[0] for x in inputs)
        return Type((channels, *inputs[0].shape[1:]), (low, high), self._scale_of(inputs, channels))

    def _scale_of(self, inputs: tuple[Type, ...], channels: int) -> tuple[Fraction, ...]:
        parts = [tuple(s / m for s in x.scale) for m, x in zip(self.multipliers, inputs, strict=True)]
        if len({scale for part in parts for scale in part}) == 1:
            return parts[0][:1]
        if channels > MAX_SCALES:
            raise ShapeError(f"joins {channels} channels of different scales: requantise them to one scale first")
        return tuple(s for part, x in zip(parts, inputs, strict=True) for s in part * (x.shape[0] // len(part)))

    def execute(self, *inputs: Array) -> Array:
        parts = [x if m == 1 else x * x.dtype.type(m) for x, m in zip(inputs, self.multipliers, strict=True)]
        return np.moveaxis(np.concatenate([np.moveaxis(part, 0, -1) for part in parts]), -1, 0)

    def magnitude(self, *inputs: Type) -> int:
        return max(m * x.largest for m, x in zip(self.multipliers, inputs, strict=True))

    def work(self, *inputs: Type) -> Work:
        works = [factor_work(np.array([m]), x.size) for m, x in zip(self.multipliers, inputs, strict=True)]
        return sum(works, Work())
