"""DoReFa-Net: weights through tanh, activations clipped to [0, 1] (Zhou et al. 2016, arXiv 1606.06160, section 2).

Weights of k bits, with n = 2**k - 1 and M = max |tanh w| of the layer (their equation 9):

    w_q = 2 * quantize_k(tanh(w) / (2 M) + 1/2) - 1,     quantize_k(r) = floor(n r + 1/2) / n

so the integers are the odd numbers -n, -n + 2, .. n, in steps of 1/n. For k = 1, w_q = sign(w) * mean |w| of the layer
with sign(0) = +1 (their equation 7). Activations: quantize_k(clip(a, 0, 1)). Rounding is passed straight through
and M counts as a constant:

    dw_q/dw = (1 - tanh(w)**2) / M    (1 for k = 1)           da_q/da = 1 where 0 < a < 1, else 0

The step 1/n is not dyadic: it is snapped to the nearest number of 8 mantissa bits, relative error at most 2**-8, so
the largest weight is 1 only within 2**-8; likewise mean |w|, and the last level of activations.

Weights reach +-1 whatever their size was, so `scale` "unit", as published, needs a batch norm behind every selected
layer. "least_squares" multiplies the integers q by s = <w, q> / <q, q> instead, fitted in every training step and
a constant for the gradient, for layers without one; for k = 1 both are mean |w|.

What it does not do: zeros (all integers are odd: after Prune the zeros are lost, which is reported), or quantised
gradients, which make training hardware cheaper and leave inference as it is. The paper keeps the first and the last
layer in full precision: leave them out with `select`.
Exploited by: the multipliers' widths; for k = 1 the bipolar encoding.
"""

from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.fx import GraphModule

from intaglio.ir.errors import RangeError
from intaglio.twin.fitted import MeanGrid, dyadic
from intaglio.twin.format import Format
from intaglio.twin.layers import Batches
from intaglio.twin.method import Choice, SearchSpace, Span
from intaglio.twin.placement import replace_clips
from intaglio.twin.quantizers import ClippedQuantizer, WeightGrid

DorefaScale = Literal["unit", "least_squares"]
Bits = Annotated[int, Field(ge=1, le=8)]


class _Tanh(torch.autograd.Function):
    """The odd integers of a weight times s: floor(n (tanh(w) / (2 M) + 1/2) + 1/2) * 2 s - n s."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, n: int, s: float) -> Tensor:
        t = torch.tanh(w)
        top = max(float(t.abs().max()), n * torch.finfo(w.dtype).tiny)
        ctx.save_for_backward(t)
        ctx.gain = n * s / top
        return torch.add(w.new_tensor((n + 1) / 2), t, alpha=n / (2 * top)).floor_().mul_(2 * s).sub_(n * s)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (t,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(gradients[0], t).mul_(ctx.gain), None, None


class _Sign(torch.autograd.Function):
    """sign(w) * s, sign(0) = +1, with the gradient passed straight through."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, s: float) -> Tensor:
        del ctx
        return (w >= 0).to(w.dtype).mul_(2 * s).sub_(s)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        del ctx
        return gradients[0], None


class DorefaGrid(MeanGrid):
    """Odd integers from -(2**bits - 1) to 2**bits - 1, times one scale."""

    def __init__(self, weight: Tensor, bits: int, scale: DorefaScale) -> None:
        super().__init__(weight, per_channel=False)
        self.bits, self.high = bits, 2**bits - 1
        self.low = -self.high
        self.fitted = scale == "least_squares" or bits == 1
        self.scale.copy_(dyadic(self.scale / self.high))
        self.fit(weight)

    def fit(self, weight: Tensor) -> None:
        """The scale is <w, q> / <q, q> for the integers q; unless it is 1 / (2**bits - 1)."""
        if self.fitted:
            q = self._values(weight, 1.0)
            best = torch.dot(weight.reshape(-1), q.reshape(-1)) / q.square().sum()
            self.scale.copy_(dyadic(best.reshape(1)))

    def quantized(self, weight: Tensor) -> Tensor:
        """Integers times the scale."""
        return self._values(weight, float(self.scale))

    def _values(self, weight: Tensor, s: float) -> Tensor:
        return _Sign.apply(weight, s) if self.bits == 1 else _Tanh.apply(weight, self.high, s)  # type: ignore[return-value]


class Dorefa(Format):
    """`weight_bits` for weights, `activation_bits` for activations; None leaves activations to other methods.

    Activations are clipped to [0, 1] where they are never negative; other quantisers stay as they are.
    scale: "unit" as published (batch norm must follow), or "least_squares".
    """

    weight_bits: Bits = 2
    activation_bits: Bits | None = 4
    scale: DorefaScale = "unit"

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Quantise weights, then activations."""
        gm = super().apply(model, data)
        assert isinstance(gm, GraphModule)
        if self.activation_bits is not None:
            bits = self.activation_bits
            replace_clips(gm, self.select, lambda: ClippedQuantizer(bits, "dyadic", 1.0, learn=False))
        return gm

    def weight_grid(self, weight: Tensor, name: str) -> WeightGrid:
        """Odd integers."""
        if not bool(weight.any()):
            raise RangeError(f"{name}: all weights are zero, and DoReFa has no zero: leave it out with `select`")
        return DorefaGrid(weight, self.weight_bits, self.scale)

    def structured(self, whole: np.ndarray) -> bool:
        """2**weight_bits values, none of them zero."""
        return bool(whole.all()) and len(np.unique(whole)) <= 2**self.weight_bits

    @classmethod
    def space(cls) -> SearchSpace:
        """Word lengths and the scale."""
        return {
            "weight_bits": Span(1, 8, integer=True),
            "activation_bits": Span(1, 8, integer=True),
            "scale": Choice(("unit", "least_squares")),
        }
