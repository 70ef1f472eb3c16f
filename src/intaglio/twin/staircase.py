"""Quantisers of few levels as exact comparisons: what freezing makes of them, batch norm included.

A quantiser gives level k + 1 from x >= edge_k on. Behind a batch norm y = g x + o that is x >= (edge_k - o) / g
for g > 0; for g < 0 the layer's row changes its sign. Thresholds are computed as exact fractions and rounded up
to float64, which changes no comparison with a float64: batch norm folds without any rounding (the observation
of FINN, Umuroglu et al., FPGA 2017, section 4.2.2, here for every quantiser).
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

from intaglio.ir.ops import Lookup, Requantize, Threshold
from intaglio.twin.placement import Role, role
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.rules import Scope, lower

MOST_LEVELS = 16
"""A uniform quantiser of more levels is a multiplication, not a staircase."""


class Staircase(nn.Module):
    """values[number of thresholds that x reaches] * scale, per channel (axis 1).

    thresholds: float64 (C or 1, n), ascending in every row, infinite where a level is never or always reached.
    values: the n + 1 integers.
    """

    thresholds: Tensor
    values: Tensor

    def __init__(self, thresholds: Tensor, values: Sequence[int], scale: Fraction) -> None:
        super().__init__()
        self.register_buffer("thresholds", thresholds)
        self.register_buffer("values", torch.tensor(values, dtype=torch.float64))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Count, then look the level up."""
        shape = (1, -1) + (1,) * (x.dim() - 2)
        count = torch.zeros_like(x, dtype=torch.long)
        for column in self.thresholds.unbind(1):
            count += x >= column.reshape(shape)
        return self.values[count] * float(self.scale)


@role.register
def _role(module: Staircase) -> Role:
    del module
    return "quantizer"


def staircase(
    quantizer: ActivationQuantizer,
    gain: Sequence[float] = (1.0,),
    offset: Sequence[float] = (0.0,),
    bias: Sequence[float] = (0.0,),
) -> Staircase:
    """quantizer(gain * (x + bias) + offset) per channel as comparisons of x; a gain must not be negative."""
    edges = quantizer.edges()
    rows = [
        [_up(_threshold(edge, Fraction(g), Fraction(o), Fraction(b))) for edge in edges]
        for g, o, b in zip(gain, offset, bias, strict=True)
    ]
    thresholds = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(edges))
    return Staircase(thresholds, quantizer.levels(), quantizer.scale)


def _threshold(edge: Fraction, gain: Fraction, offset: Fraction, bias: Fraction) -> Fraction | float:
    """The least x with gain * (x + bias) + offset >= edge."""
    if gain == 0:
        return -math.inf if offset >= edge else math.inf
    return (edge - offset) / gain - bias


def _up(value: Fraction | float) -> float:
    """The least float64 that is not below an exact value."""
    try:
        nearest = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return nearest if nearest >= value else math.nextafter(nearest, math.inf)


@lower.register
def _lower(module: Staircase, scope: Scope, x: int) -> int:
    """A Threshold; then an affine or a Lookup where the levels are not consecutive integers."""
    wire = scope.type(x)
    table, scale = module.thresholds.numpy(), (module.scale,)
    channels = max(len(table), len(wire.scale))
    steps = wire.scale * (channels // len(wire.scale))
    rows = [
        [_integer(t, step, wire.range) for t in row]
        for row, step in zip(np.broadcast_to(table, (channels, table.shape[1])).tolist(), steps, strict=True)
    ]
    if all(row == rows[0] for row in rows):
        rows = rows[:1]
    values = [int(value) for value in module.values.tolist()]
    distances = set(np.diff(values).tolist())
    if not rows[0]:
        return scope.add(Requantize(np.array([0]), np.array(values), 0, values[0], values[0], scale), x)
    if distances == {1}:
        return scope.add(Threshold(np.array(rows, dtype=object), values[0], scale), x)
    count = scope.add(Threshold(np.array(rows, dtype=object), 0, scale), x, part="count")
    if len(distances) > 1:
        return scope.add(Lookup(np.array([values]), 0, scale), count)
    (distance,) = distances
    return scope.add(
        Requantize(np.array([distance]), np.array(values[:1]), 0, values[0], values[-1], scale), count
    )


def _integer(threshold: float, step: Fraction, bounds: tuple[int, int]) -> int:
    """The least integer at or above a threshold in units of `step`, kept within the range and one above it."""
    low, high = bounds
    if math.isinf(threshold):
        return low if threshold < 0 else high + 1
    return min(max(math.ceil(Fraction(threshold) / step), low), high + 1)
