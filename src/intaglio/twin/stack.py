"""The stack of weight parametrisations: structure (masks, shared values) below, the grid last."""

import copy
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from intaglio.ir.errors import StructureError
from intaglio.twin.quantizers import WeightGrid

_BLOCK = 1 << 17
"""Weights that are divided by their scales at a time."""


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


def stacked(layer: nn.Module) -> Tensor:
    """The weight after its whole stack, computed in float64; that of a plain layer as it is."""
    stack = parametrisations(layer)
    value: Tensor = layer.parametrizations["weight"].original if stack else layer.weight  # type: ignore[index,assignment]
    value = value.double()
    for part in stack:
        value = part(value)
    return value


def plain(layer: nn.Module) -> nn.Module:
    """The layer without parametrisations, with a weight and a bias of its own still to be set.

    torch's own removal would take `weight` from the class, which copies of a parametrised layer share.
    """
    kind = type(layer).__mro__[1] if parametrize.is_parametrized(layer) else type(layer)
    made: nn.Module = object.__new__(kind)
    made.__dict__.update(layer.__dict__)
    made._modules, made._buffers = {}, dict(layer._buffers)
    made._parameters = {"weight": None, "bias": None, **layer._parameters}
    return made


def set_weight(layer: nn.Module, whole: np.ndarray, scales: tuple[Fraction, ...]) -> None:
    """Store integers times scales as a layer's weight, exactly."""
    columns = np.array([float(scale) for scale in scales]).reshape(-1, *[1] * (whole.ndim - 1))
    layer.weight = nn.Parameter(torch.from_numpy(whole * columns), requires_grad=False)
    layer.integer_scale = scales  # type: ignore[assignment]


def integers(
    layer: nn.Module, name: str = "layer", settled: bool = True
) -> tuple[np.ndarray, tuple[Fraction, ...]]:
    """The weight as int64 with its scale (one, or one per output channel): weight = integers * scale.

    `settled` moves a factor that all integers share into the scale.

    Raises:
        StructureError: the weight is not on the grid that the layer declares, or declares none.
    """
    scales = declared_scales(layer, name)
    layer = layer if hasattr(layer, "integer_scale") or _evaluates(layer) else copy.deepcopy(layer).double().eval()
    with torch.no_grad():
        weight = layer.weight.detach().double().cpu().numpy()  # type: ignore[operator]
    columns = np.array([float(scale) for scale in scales]).reshape(-1, *[1] * (weight.ndim - 1))
    columns = np.broadcast_to(columns, (len(weight), *columns.shape[1:]))
    whole = np.empty(weight.shape, dtype=np.int64)
    for rows in _blocks(weight):
        whole[rows] = _divided(weight[rows], columns[rows], rows.start, name)
    return _settle(whole, scales) if settled else (whole, scales)


def _evaluates(layer: nn.Module) -> bool:
    """Whether a layer gives its weight in float64 and evaluation as it is."""
    return not layer.training and all(p.dtype == torch.float64 for p in layer.parameters())


def _blocks(weight: np.ndarray) -> list[slice]:
    """Rows so few at a time that what is computed of them stays in the cache."""
    step = max(1, _BLOCK * len(weight) // max(weight.size, 1))
    return [slice(start, start + step) for start in range(0, len(weight), step)]


def _divided(weight: np.ndarray, columns: np.ndarray, start: int, name: str) -> np.ndarray:
    """Rows of a weight, from row `start` on, over their scales: integers; StructureError where they are none."""
    whole = np.rint(weight / columns)
    exact = whole * columns == weight
    if not exact.all():
        at = tuple(int(i) for i in np.argwhere(~exact)[0])
        raise StructureError(
            f"{name}: weight{[start + at[0], *at[1:]]} = {weight[at]!r} is not a multiple of its scale; a method after "
            f"the number format moved it: put the number format last"
        )
    return whole


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


def odd_parts(whole: np.ndarray) -> np.ndarray:
    """|q| of every integer divided by the largest power of two in it; 0 stays 0."""
    return abs(whole) // np.gcd(whole, 1 << 62)


def _settle(whole: np.ndarray, scales: tuple[Fraction, ...]) -> tuple[np.ndarray, tuple[Fraction, ...]]:
    """The same weight on the coarsest grid: a factor that all integers share moves into the scale.

    Channels of zeros get the scale of the first other channel.
    """
    common = _common(whole)
    scales = tuple(scale * common for scale in scales)
    if len(scales) > 1:
        used = [scale for scale, row in zip(scales, whole, strict=True) if row.any()] or list(scales)
        scales = tuple(s if row.any() else used[0] for s, row in zip(scales, whole, strict=True))
    return whole if common == 1 else whole // common, scales


def _common(whole: np.ndarray) -> int:
    """The greatest common divisor of all integers; 1 when all are zero. Looks no further once it is 1."""
    common = 0
    for rows in _blocks(whole):
        common = int(np.gcd(common, np.gcd.reduce(whole[rows], axis=None)))
        if common == 1:
            break
    return common or 1
