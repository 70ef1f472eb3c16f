"""The stack of weight parametrisations: structure (masks, shared values) below, the grid last."""

import copy
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from intaglio.ir.errors import StructureError
from intaglio.twin.quantizers import WeightGrid


def parametrisations(layer: nn.Module) -> list[nn.Module]:
    """The parametrisations of `weight`, first applied first."""
    if not parametrize.is_parametrized(layer, "weight"):
        return []
    return list(layer.parametrizations["weight"])  # type: ignore[index]


def grid_of(layer: nn.Module) -> WeightGrid | None:
    """The quantiser that ends the stack, if there is one."""
    stack = parametrisations(layer)
    return stack[-1] if stack and isinstance(stack[-1], WeightGrid) else None


def before_grid(layer: nn.Module) -> Tensor:
    """The weight that the quantiser sees, or the weight itself; detached."""
    stack = parametrisations(layer)
    if not stack:
        return layer.weight.detach()  # type: ignore[return-value]
    with torch.no_grad():
        value = layer.parametrizations["weight"].original  # type: ignore[index]
        for part in stack[:-1] if isinstance(stack[-1], WeightGrid) else stack:
            value = part(value)
    return value.detach()


def put_last(layer: nn.Module, grid: WeightGrid) -> None:
    """End the stack with `grid`, in place of a grid that is there."""
    grid.train(layer.training)
    if grid_of(layer) is None:
        parametrize.register_parametrization(layer, "weight", grid)
    else:
        layer.parametrizations["weight"][-1] = grid  # type: ignore[index]


def put_below(layer: nn.Module, part: nn.Module) -> None:
    """Add a parametrisation on top of the structure, but below the grid."""
    grid = grid_of(layer)
    if grid is None:
        parametrize.register_parametrization(layer, "weight", part)
    else:
        stack: nn.ModuleList = layer.parametrizations["weight"]  # type: ignore[index,assignment]
        stack.insert(len(stack) - 1, part)


def integers(layer: nn.Module, name: str = "layer") -> tuple[np.ndarray, tuple[Fraction, ...]]:
    """The weight as int64 with its scale (one, or one per output channel): weight = integers * scale.

    Raises:
        StructureError: the weight is not on the grid that the layer declares, or declares none.
    """
    scales = declared_scales(layer, name)
    layer = layer if hasattr(layer, "integer_scale") else copy.deepcopy(layer).double().eval()
    with torch.no_grad():
        weight = layer.weight.detach().double().cpu().numpy()  # type: ignore[operator]
    columns = np.array([float(scale) for scale in scales]).reshape(-1, *[1] * (weight.ndim - 1))
    whole = np.rint(weight / columns)
    wrong = np.argwhere(whole * columns != weight)
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise StructureError(
            f"{name}: weight{list(at)} = {weight[at]!r} is not a multiple of its scale; a method after "
            f"the number format moved it: put the number format last"
        )
    return _settle(whole.astype(np.int64), scales)


def declared_scales(layer: nn.Module, name: str = "layer") -> tuple[Fraction, ...]:
    """The scales of a frozen layer, or of the quantiser that ends its stack; StructureError without either."""
    frozen: tuple[Fraction, ...] | None = getattr(layer, "integer_scale", None)
    grid = grid_of(layer)
    if frozen is not None:
        return frozen
    if grid is None:
        raise StructureError(
            f"{name}: the weights are floating point; add FixedPoint (or another number format) to the "
            f"recipe, after every other weight method"
        )
    return grid.scales()


def _settle(whole: np.ndarray, scales: tuple[Fraction, ...]) -> tuple[np.ndarray, tuple[Fraction, ...]]:
    """The same weight on the coarsest grid: a factor that all integers share moves into the scale.

    Channels of zeros get the scale of the first other channel.
    """
    common = int(np.gcd.reduce(whole, axis=None)) or 1
    scales = tuple(scale * common for scale in scales)
    if len(scales) > 1:
        used = [scale for scale, row in zip(scales, whole, strict=True) if row.any()] or list(scales)
        scales = tuple(s if row.any() else used[0] for s, row in zip(scales, whole, strict=True))
    return whole // common, scales
