"""What number formats with uneven levels share: rounding by the bits of the exponent, gradients, calibration."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from intaglio.twin.calibrate import PERCENTILE, Calibration, not_far_apart
from intaglio.twin.grid import snap
from intaglio.twin.quantizers import Grid

Whole = Callable[[Tensor], Tensor]
"""Rounds values divided by their scale to the integers of a format."""

_LAYOUT = {
    torch.float64: (torch.int64, 52),
    torch.float32: (torch.int32, 23),
    torch.bfloat16: (torch.int16, 7),
    torch.float16: (torch.int16, 10),
}
"""For each floating-point type an integer of its size, and the bits of its fraction."""

OCTAVES = 4  # how far below the scale that clips nothing least squares looks
_ENDS = 100  # largest and smallest exponent of a scale, well within float32


def nearest_power(x: Tensor, edge: float, half_up: bool = False) -> Tensor:
    """sign(x) * 2**k with edge * 2**(k - 1) <= |x| < edge * 2**k; 0 stays 0, NaN stays NaN.

    1 < edge <= 2, of at most 23 fractional bits. The exponent field of a float is its logarithm: adding what the
    edge lacks to 2 to the fraction carries into the exponent exactly where |x| rounds up. `half_up` moves a negative
    x that lies on an edge towards zero, so that every step up begins at x >= an edge.
    """
    integer, width = _LAYOUT[x.dtype]
    bits = x.view(integer)
    carried = bits + int((2 - edge) * 2**width)
    if half_up:
        carried += bits >> (8 * bits.element_size() - 1)
    return torch.add(carried.bitwise_and_(-1 << width).view(x.dtype), x, alpha=0)  # 0 * NaN is NaN


def binade(x: Tensor) -> Tensor:
    """2**floor(log2 x) for x > 0, and 0 for 0."""
    return nearest_power(x, 2.0)


def power_of_two(exponent: Tensor, dtype: torch.dtype) -> Tensor:
    """2**exponent for whole exponents within +-126, exactly: written into the exponent's bits of a float."""
    if dtype == torch.float64:
        return exponent.to(torch.int64).add_(1023).bitwise_left_shift_(52).view(torch.float64)
    return exponent.to(torch.int32).add_(127).bitwise_left_shift_(23).view(torch.float32).to(dtype)


def leading_bits_(x: Tensor, count: int) -> Tensor:
    """The leading `count` bits of every value, in place: the operation Align with blocks of one.

    Half up, towards +infinity for negative values too; a positive value that would round to the next power of two
    stays just below it. In the bits of a float the part to drop is a number of its own: adding one half of it rounds
    (one unit less, where the sign is set), and the largest fraction of the same exponent bounds it. NaN stays NaN.
    """
    integer, width = _LAYOUT[x.dtype]
    drop = width + 1 - count
    if drop <= 0:
        return x
    bits = x.view(integer)
    lost = x * 0 if count == 1 else None  # no bit of the fraction stays, which alone tells NaN from infinity
    sign = bits >> (8 * bits.element_size() - 1)
    rounded = torch.add(bits, sign).add_(1 << (drop - 1))
    bounds = sign.bitwise_or_((1 << width) - 1).bitwise_or_(bits)
    torch.minimum(rounded, bounds, out=bits).bitwise_and_(-1 << drop)
    return x if lost is None else x.add_(lost)


class _Uneven(torch.autograd.Function):
    """whole(x * r) * s, for one scale or one per channel."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        log2_scale: Tensor,
        whole: Whole,
        s: Tensor | float,
        r: Tensor | float,
        ends: tuple[float, float],
        high: int,
    ) -> Tensor:
        t = x * r
        y = whole(t).mul_(s)
        ctx.save_for_backward(t, y if ctx.needs_input_grad[1] else None, log2_scale)
        ctx.constants = (s, ends, high)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (gradient,) = gradients
        t, y, log2_scale = ctx.saved_tensors
        s, ends, high = ctx.constants
        dx = torch.ops.aten.hardtanh_backward(gradient, t, *ends)
        ds = None
        if ctx.needs_input_grad[1]:
            channels = log2_scale.numel()
            rows = [part.reshape(channels, -1) for part in (gradient, y, dx, t)]
            s = s.flatten() if isinstance(s, Tensor) else s
            total = torch.linalg.vecdot(rows[0], rows[1]) - s * torch.linalg.vecdot(rows[2], rows[3])
            ds = (total * (math.log(2) / math.sqrt(rows[0].shape[1] * high))).reshape(log2_scale.shape)
        return dx, ds, None, None, None, None, None


def uneven(grid: Grid, x: Tensor, whole: Whole, ends: tuple[float, float]) -> Tensor:
    """whole(x * r) * s with the scale s of a grid and its reciprocal r.

    The gradient passes straight through where x * r lies between `ends`. The gradient of log2 s is that of LSQ (see
    `quantizers`), with levels of any distance.
    """
    pair = grid.snapped()
    if grid.log2_scale.numel() == 1:
        s, r = (float(values[0]) for values in pair)
    else:
        s, r = torch.from_numpy(np.stack(pair)).to(x).reshape(2, -1, *[1] * (x.dim() - 1)).unbind()
    return _Uneven.apply(x, grid.log2_scale, whole, s, r, ends, grid.high)  # type: ignore[return-value]


def fit(grid: Grid, rows: Tensor, limit: float, whole: Whole, how: Calibration) -> None:
    """Set the scales of a grid from `rows` (R, N), one for each.

    minmax: the smallest scale with which no magnitude reaches `limit` scales, where clipping begins. percentile:
    with which 99.99 per cent do not. mse: the least squared error among the scales of the four octaves below that
    (powers of two, or 8 steps each). Rows of zeros get the scale that covers 1; no scale is below 2**-10 of the
    largest.
    """
    rows = rows.detach().double().cpu()
    top = rows.abs().amax(1).numpy()
    if how == "percentile":
        top = np.percentile(rows.abs().numpy(), PERCENTILE, axis=1)
    log2 = np.log2(np.where(top > 0, top, 1.0) / limit).clip(-_ENDS, _ENDS)
    log2 = np.ceil(log2) if grid.mantissa == 1 else log2 + 1.5 * 2.0**-grid.mantissa
    if how == "mse":
        steps = np.arange(0.0, OCTAVES, 1.0 if grid.mantissa == 1 else 0.125)
        errors = np.stack([_error(rows, snap(log2 - step, grid.mantissa), whole) for step in steps])
        log2 = log2 - steps[errors.argmin(0)]
    with torch.no_grad():
        grid.log2_scale.copy_(torch.from_numpy(not_far_apart(log2, top > 0)))


def _error(rows: Tensor, scale: np.ndarray, whole: Whole) -> np.ndarray:
    """Squared error of each row, rounded with its scale."""
    columns = torch.from_numpy(scale).reshape(-1, 1)
    return whole(rows / columns).mul_(columns).sub_(rows).square_().sum(1).numpy()
