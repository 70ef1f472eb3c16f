"""Alignment at run time: blocks of channels keep the leading bits of their largest value (operation Align)."""

from typing import Any

import torch
from torch import Tensor, nn

from intaglio.ir.ops import Align
from intaglio.twin.placement import Role, role
from intaglio.twin.rules import Scope, lower, uniform
from intaglio.twin.uneven import binade, leading_bits_

SMALLEST = 2.0**-100
"""Stands for the largest value of a block of zeros."""


def align(x: Tensor, block: int, mantissa: int) -> Tensor:
    """The operation Align on reals that are integers times any power of two: (N, C, ...), blocks along axis 1.

    Leading bits do not depend on such a scale: a value of `mantissa` bits or fewer is unchanged by finer steps.
    """
    if block == 1:
        return leading_bits_(x.clone(), mantissa)
    blocks = x.reshape(len(x), -1, block, *x.shape[2:])
    # ~x has the bits of -x - 1, one fewer than -x exactly at a power of two
    below = 1 - torch.finfo(x.dtype).eps / 2
    size = torch.maximum(blocks.amax(2, keepdim=True), blocks.amin(2, keepdim=True).mul_(-below))
    step = binade(size.clamp_min_(SMALLEST)).mul_(2.0 ** (1 - mantissa))
    return (blocks / step).add_(0.5).floor_().clamp_(max=2**mantissa - 1).mul_(step).reshape(x.shape)


class _Align(torch.autograd.Function):
    """`align`, with the gradient passed straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, block: int, mantissa: int) -> Tensor:
        del ctx
        return align(x, block, mantissa)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        del ctx
        return gradients[0], None, None


class BlockAlign(nn.Module):
    """Rounds blocks of `block` channels (axis 1) to the leading `mantissa` bits of their largest, sign extra.

    Its input must lie on a power-of-two scale: it follows a quantiser.
    """

    def __init__(self, block: int, mantissa: int) -> None:
        super().__init__()
        self.block, self.mantissa = block, mantissa

    def forward(self, x: Tensor) -> Tensor:
        """Align each block."""
        return _Align.apply(x, self.block, self.mantissa)  # type: ignore[return-value]

    def extra_repr(self) -> str:
        """Settings, for printing a model."""
        return f"block={self.block}, mantissa={self.mantissa}"


@role.register
def _role(module: BlockAlign) -> Role:
    del module
    return "passive"


@lower.register
def _lower(module: BlockAlign, scope: Scope, x: int) -> int:
    x = uniform(scope, x, "input")
    scale = scope.type(x).scale[0]
    if scale.numerator.bit_count() != 1 or scale.denominator.bit_count() != 1:
        raise scope.fail(
            module,
            f"aligns leading bits on the scale {scale}, which is not a power of two: use power_of_two scales for "
            f"activations, or put the method that aligns after FixedPoint",
        )
    return scope.add(Align(module.block, module.mantissa), x)
