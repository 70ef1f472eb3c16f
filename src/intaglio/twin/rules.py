"""How each frozen module becomes integer operations: `lower` is open, a method registers what it adds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor, nn

from intaglio.ir.affine import reach, spread, unit
from intaglio.ir.errors import ShapeError, UnsupportedLayer
from intaglio.ir.graph import Builder
from intaglio.ir.op import Op
from intaglio.ir.ops import Add, ArgMax, Concat, Conv2d, MatMul, MaxPool, Pad, Requantize, Reshape, SumPool
from intaglio.ir.types import Type
from intaglio.twin import modules
from intaglio.twin.grid import fractions
from intaglio.twin.layers import added_by_same
from intaglio.twin.quantizers import ActivationQuantizer
from intaglio.twin.stack import integers
from intaglio.twin.supported import ANYTHING_ELSE


@dataclass(frozen=True)
class Scope:
    """A builder that names what it adds after the layer being lowered."""

    builder: Builder
    name: str

    def add(self, op: Op, *inputs: int, part: str = "") -> int:
        """Add an operation; `part` distinguishes the operations of one layer."""
        return self.builder.add(f"{self.name}.{part}" if part else self.name, op, *inputs)

    def type(self, index: int) -> Type:
        """What a wire carries."""
        return self.builder.type(index)

    def fail(self, module: nn.Module, problem: str) -> UnsupportedLayer:
        """The error that names this layer."""
        return UnsupportedLayer(f"{self.name} ({type(module).__name__}): {problem}")


@singledispatch
def lower(module: nn.Module, scope: Scope, *inputs: int) -> int:
    """Add the operations of a frozen module to the graph and return the index of its result.

    Raises:
        UnsupportedLayer: there is no rule for this type, or for its settings.
    """
    raise scope.fail(
        module,
        f"has no integer form; {ANYTHING_ELSE.words}, or register a rule with @intaglio.twin.rules.lower.register",
    )


def affine(scope: Scope, x: int, gain: Sequence[Fraction], offset: Sequence[Fraction], part: str = "") -> int:
    """real -> real * gain + offset per channel, exactly: all channels on the coarsest grid that holds the
    results.

    Several scales become one. `gain` and `offset` have one entry or one per channel; a gain may be negative
    or zero.
    """
    wire = scope.type(x)
    channels = max(len(wire.scale), len(gain), len(offset))
    steps = [s * g for s, g in zip(spread(wire.scale, channels), spread(gain, channels), strict=True)]
    offsets = spread(offset, channels)
    grid = unit([*steps, *offsets])
    multiplier = [int(step / grid) for step in steps]
    moved = [int(value / grid) for value in offsets]
    if all(m == 1 for m in multiplier) and not any(moved) and len(wire.scale) == 1:
        return x
    op = Requantize.of(multiplier, moved, reach(multiplier, moved, wire.range), (grid,))
    return scope.add(op, x, part=part)


def uniform(scope: Scope, x: int, part: str = "uniform") -> int:
    """Bring the channels of a wire on one scale."""
    return affine(scope, x, (Fraction(1),), (Fraction(0),), part)


def quantize(scope: Scope, x: int, reciprocal: Fraction, bounds: tuple[int, int], scale: Fraction) -> int:
    """clip(floor(real * reciprocal + 1/2), bounds), the arithmetic of a quantiser, as one Requantize."""
    steps = [s * reciprocal for s in scope.type(x).scale]
    return scope.add(Requantize.of(steps, Fraction(1, 2), bounds, (scale,)), x)


def _bias(scope: Scope, x: int, bias: Tensor | None) -> int:
    if bias is None:
        return x
    return affine(scope, x, (Fraction(1),), fractions(bias.detach().double().tolist()), "bias")


def _pair(value: int | tuple[int, ...], fill: int) -> tuple[int, int]:
    """A module's setting for one or two axes as a pair; a missing second axis gets `fill`."""
    values = tuple(value) if isinstance(value, tuple) else (value,)
    return (values[0], values[1] if len(values) > 1 else fill)


def _settings(value: int | tuple[int, ...], axes: int, fill: int) -> tuple[int, int]:
    values = value if isinstance(value, tuple) else (value,) * axes
    return _pair(values, fill)


@lower.register
def _linear(module: nn.Linear, scope: Scope, x: int) -> int:
    whole, scales = integers(module, scope.name)
    if len(scope.type(x).shape) != 1:
        raise ShapeError(f"{scope.name}: a Linear layer on shape {scope.type(x).shape}; flatten the input first")
    x = uniform(scope, x, "input")
    return _bias(scope, scope.add(MatMul(whole, scales), x), module.bias)


@lower.register
def _conv2d(module: nn.Conv2d, scope: Scope, x: int) -> int:
    return _conv(module, scope, x, 2)


@lower.register
def _conv1d(module: nn.Conv1d, scope: Scope, x: int) -> int:
    return _conv(module, scope, x, 1)


def _conv(module: nn.Conv1d | nn.Conv2d, scope: Scope, x: int, axes: int) -> int:
    """A convolution; one-dimensional signals have width 1."""
    whole, scales = integers(module, scope.name)
    if isinstance(module.padding, str):
        padding = _same(module)
    else:
        padding = _settings(module.padding, axes, 0)
    stride, dilation = _settings(module.stride, axes, 1), _settings(module.dilation, axes, 1)
    x = uniform(scope, x, "input")
    op = Conv2d(whole.reshape(*whole.shape[:2], whole.shape[2], -1), scales, stride, padding, dilation, module.groups)
    return _bias(scope, scope.add(op, x), module.bias)


def _same(module: nn.Conv1d | nn.Conv2d) -> tuple[int, int]:
    """The symmetric padding of padding='same' or 'valid'."""
    each = tuple(total // 2 for total in added_by_same(module))
    return (0, 0) if module.padding == "valid" else _pair(each, 0)


@lower.register
def _relu(module: nn.ReLU, scope: Scope, x: int) -> int:
    wire = scope.type(x)
    return scope.add(Requantize.of(1, 0, (0, max(wire.range[1], 0)), wire.scale), x)


@lower.register
def _hardtanh(module: nn.Hardtanh, scope: Scope, x: int) -> int:
    x = uniform(scope, x)
    (scale,) = scope.type(x).scale
    low, high = Fraction(float(module.min_val)), Fraction(float(module.max_val))
    grid = unit([scale, low, high])
    return scope.add(Requantize.of(int(scale / grid), 0, (int(low / grid), int(high / grid)), (grid,)), x)


@lower.register
def _quantizer(module: ActivationQuantizer, scope: Scope, x: int) -> int:
    return quantize(scope, x, module.reciprocal, (module.low, module.high), module.scale)


@lower.register
def _affine(module: modules.Affine, scope: Scope, x: int) -> int:
    return affine(scope, x, fractions(module.gain.tolist()), fractions(module.offset.tolist()))


@lower.register
def _max_pool2d(module: nn.MaxPool2d, scope: Scope, x: int) -> int:
    return _max_pool(module, scope, x, 2)


@lower.register
def _max_pool1d(module: nn.MaxPool1d, scope: Scope, x: int) -> int:
    return _max_pool(module, scope, x, 1)


def _max_pool(module: nn.MaxPool1d | nn.MaxPool2d, scope: Scope, x: int, axes: int) -> int:
    kernel, stride, dilation = (
        _settings(value, axes, 1) for value in (module.kernel_size, module.stride, module.dilation)
    )
    return scope.add(MaxPool(kernel, stride, _settings(module.padding, axes, 0), dilation), x)


@lower.register
def _pad2d(module: nn.ConstantPad2d, scope: Scope, x: int) -> int:
    left, _, top, _ = module.padding
    return _pad(module, scope, x, (top, left))


@lower.register
def _pad1d(module: nn.ConstantPad1d, scope: Scope, x: int) -> int:
    return _pad(module, scope, x, (module.padding[0], 0))


def _pad(module: nn.ConstantPad1d | nn.ConstantPad2d, scope: Scope, x: int, sides: tuple[int, int]) -> int:
    """A constant border of an integer on the wire's scale; minus infinity, for a max pool, the wire's lowest."""
    x = uniform(scope, x)
    (scale,) = scope.type(x).scale
    if module.value == -math.inf:
        return scope.add(Pad(sides, scope.type(x).range[0]), x)
    value = Fraction(float(module.value)) / scale
    if value.denominator != 1:
        raise scope.fail(
            module,
            f"its value {module.value:g} is not a multiple of the step {float(scale):g} of what it pads: "
            f"pad with zero, or with a multiple of that step",
        )
    return scope.add(Pad(sides, int(value)), x)


@lower.register
def _sum_pool(module: modules.SumPool, scope: Scope, x: int) -> int:
    wire = scope.type(x)
    if module.kernel is None:
        kernel = stride = (wire.shape[1], wire.shape[2])
        padding = (0, 0)
    else:
        kernel, stride, padding = _pair(module.kernel, 1), _pair(module.stride, 1), _pair(module.padding, 0)
    x = scope.add(SumPool(kernel, stride, padding), uniform(scope, x), part="sum")
    return rescale(scope, x, Fraction(module.gain(math.prod(kernel))))


def rescale(scope: Scope, x: int, gain: Fraction) -> int:
    """The same integers with the scale times `gain`."""
    wire = scope.type(x)
    scale = tuple(s * gain for s in wire.scale)
    return scope.add(Requantize.of(1, 0, wire.range, scale), x)


@lower.register
def _add(module: modules.Add, scope: Scope, a: int, b: int) -> int:
    parts, multipliers = _aligned(scope, (a, b))
    return scope.add(Add((multipliers[0], multipliers[1])), *parts)


@lower.register
def _concat(module: modules.Concat, scope: Scope, *inputs: int) -> int:
    parts, multipliers = _aligned(scope, inputs)
    return scope.add(Concat(tuple(multipliers)), *parts)


def _aligned(scope: Scope, inputs: Sequence[int]) -> tuple[list[int], list[int]]:
    """Wires of one scale each, and the multipliers that bring them on one common grid."""
    parts = [uniform(scope, x, f"input{number}") for number, x in enumerate(inputs)]
    scales = [scope.type(x).scale[0] for x in parts]
    grid = unit(scales)
    return parts, [int(scale / grid) for scale in scales]


@lower.register
def _flatten(module: nn.Flatten, scope: Scope, x: int) -> int:
    return reshape(scope, x, (scope.type(x).size,))


@lower.register
def _shuffle(module: nn.ChannelShuffle, scope: Scope, x: int) -> int:
    """A permutation of channels: a convolution of kernel 1 whose rows hold a single one."""
    channels = scope.type(x).shape[0]
    order = module(torch.arange(channels).reshape(1, channels, 1)).flatten()
    return scope.add(Conv2d(np.eye(channels, dtype=np.int64)[order.numpy()][:, :, None, None]), uniform(scope, x))


@lower.register
def _argmax(module: modules.ArgMax, scope: Scope, x: int) -> int:
    return scope.add(ArgMax(), uniform(scope, x, "logits"))


def reshape(scope: Scope, x: int, to: tuple[int, ...]) -> int:
    """Another shape of the same values."""
    return x if scope.type(x).shape == to else scope.add(Reshape(to), x)
