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

from intaglio.ir.affine import first_integer, shared, spread
from intaglio.ir.ops import Lookup, Requantize, Threshold
from intaglio.twin.placement import Role, role
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.rules import Scope, lower

MOST_LEVELS = 16
"""A uniform quantiser of more levels is a multiplication, not a staircase."""


_WIDE = np.longdouble
_ERROR = 8 * np.finfo(_WIDE).eps if np.finfo(_WIDE).nmant in (63, 112) else np.inf
"""Of a few operations, relative to the largest operand; unknown where the machine has nothing wider than float64."""
_NORMAL = 2.0**-500, 2.0**500
"""Magnitudes whose quotients float64 neither loses nor overflows."""


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
    thresholds = torch.from_numpy(least_inputs(quantizer.edges(), gain, offset, bias))
    return Staircase(thresholds, quantizer.levels(), quantizer.scale)


def least_inputs(
    edges: Sequence[Fraction], gain: Sequence[float], offset: Sequence[float], bias: Sequence[float]
) -> np.ndarray:
    """float64 (channels, edges): the least x with gain * (x + bias) + offset >= edge, infinite where none or all are.

    Extended precision decides wherever its error leaves one answer; the rest, ties above all, are exact fractions.
    """
    g, o, b = (np.array(values, dtype=_WIDE)[:, None] for values in (gain, offset, bias))
    heads = [float(edge) for edge in edges]
    tails = [float(edge - Fraction(head)) for edge, head in zip(edges, heads, strict=True)]
    e = np.array(heads, dtype=_WIDE) + np.array(tails, dtype=_WIDE)
    with np.errstate(all="ignore"):
        value = (e - o) / g - b
        error = _ERROR * ((abs(e) + abs(o) + 2.0**-1000) / abs(g) + abs(b))
        result, above = _rounded_up(value - error), _rounded_up(value + error)
    for row, column in np.argwhere(result != above):
        exact = (Fraction(values[row]) for values in (gain, offset, bias))
        result[row, column] = _up(_threshold(edges[column], *exact))
    return result


def _rounded_up(values: np.ndarray) -> np.ndarray:
    """The least float64 that is not below each value; NaN, which equals nothing, for what is not a number."""
    nearest = values.astype(np.float64)
    return np.where((nearest < values) & np.isfinite(nearest), np.nextafter(nearest, np.inf), nearest)


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
    steps = spread(wire.scale, channels)
    rows = shared(least_integers(np.broadcast_to(table, (channels, table.shape[1])), steps, wire.range))
    values = [int(value) for value in module.values.tolist()]
    distances = set(np.diff(values).tolist())
    if not rows.size:
        return scope.add(Requantize.of(0, values[0], (values[0], values[0]), scale), x)
    if distances == {1}:
        return scope.add(Threshold(rows, values[0], scale), x)
    count = scope.add(Threshold(rows, 0, scale), x, part="count")
    if len(distances) > 1:
        return scope.add(Lookup(np.array([values]), 0, scale), count)
    (distance,) = distances
    return scope.add(Requantize.of(distance, values[0], (values[0], values[-1]), scale), count)


def least_integers(table: np.ndarray, steps: Sequence[Fraction], bounds: tuple[int, int]) -> np.ndarray:
    """int64 (channels, n): the least integers at or above thresholds in units of a channel's step.

    Kept within the range and one above it. Quotients in float64, of an error below 2**-50, decide where that leaves
    one answer; the rest, ties above all, are exact fractions.
    """
    low, high = bounds
    with np.errstate(all="ignore"):
        step = np.array([float(step) for step in steps])[:, None]
        quotient = table / step
        error = abs(quotient) * 2.0**-50
        least, most = np.ceil(quotient - error), np.ceil(quotient + error)
    normal = (abs(table) > _NORMAL[0]) & (step > _NORMAL[0]) & (step < _NORMAL[1])
    sure = normal & (least == most)
    result = np.clip(np.where(sure, least, 0).astype(np.int64), low, high + 1)
    for row, column in np.argwhere(~sure):
        result[row, column] = _integer(float(table[row, column]), steps[row], bounds)
    return result


def _integer(threshold: float, step: Fraction, bounds: tuple[int, int]) -> int:
    """The least integer at or above a threshold in units of `step`, kept within the range and one above it."""
    return first_integer(threshold if math.isinf(threshold) else Fraction(threshold) / step, bounds)
