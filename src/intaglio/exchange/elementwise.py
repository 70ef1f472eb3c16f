"""Nodes that work element by element: arithmetic with constants, clips, normalisation, quantisers."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import prod

import numpy as np

from intaglio.exchange.file import FileNode
from intaglio.exchange.scope import Levels, ReadScope
from intaglio.exchange.steps import MODES, Absolute, BinaryStep, Clamp, Count, Floats, FloatStep, Round, Sign, run
from intaglio.exchange.values import EXACT, FLOAT, Constant, Live, ReadWire, Value, channel_constant, odd
from intaglio.ir.affine import reach
from intaglio.ir.errors import RangeError, ShapeError
from intaglio.ir.ops import Add, Requantize
from intaglio.ir.types import Array

Inputs = list[Value | None]
Handler = Callable[[ReadScope, FileNode, Inputs], Value]


def _fold(kind: str, a: Array, b: Array) -> Array:
    """A binary operator on constants, as ONNX means it; ZeroDivisionError for integers."""
    if kind == "Div" and b.dtype.kind in "iu" and not b.all():
        raise ZeroDivisionError("an integer is divided by zero")
    with np.errstate(all="ignore"):
        match kind:
            case "Add":
                return a + b
            case "Sub":
                return a - b
            case "Mul":
                return a * b
            case "Div":
                return np.trunc(a / b).astype(a.dtype) if a.dtype.kind in "iu" else a / b
            case _:
                return np.power(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype)


def folded_size(node: FileNode, constants: Sequence[Array]) -> int:
    """A bound on the elements of what a node makes of constants, before it makes them."""
    sizes = [value.size for value in constants]
    match node.op:
        case "ConstantOfShape" if sizes:
            return prod(max(int(size), 0) for size in constants[0].reshape(-1))
        case "Gather" if len(sizes) == 2:
            data, chosen = constants
            return chosen.size * data.size // max(data.shape[int(node.get("axis", 0))] if data.ndim else 1, 1)
        case "Concat":
            return sum(sizes)
        case _:
            axes = max((value.ndim for value in constants), default=0)
            shapes = [(1,) * (axes - value.ndim) + value.shape for value in constants]
            wide = prod(max(column) for column in zip(*shapes, strict=True))
            return wide if node.op in _BROADCAST else max(sizes, default=0)


_BROADCAST = (
    "Add", "Sub", "Mul", "Div", "Pow", "Quant", "IntQuant", "BipolarQuant", "DequantizeLinear", "QuantizeLinear",
)  # fmt: skip


def _binary(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    a, b = inputs
    if isinstance(a, Constant) and isinstance(b, Constant):
        if a.value.dtype != b.value.dtype and node.op != "Pow":
            raise scope.fail(f"computes with {a.value.dtype} and {b.value.dtype}: cast one of them before export")
        return Constant(scope.finite(np.asarray(_fold(node.op, a.value, b.value)), "result"))
    if node.op == "Pow":
        raise scope.fail("only constants can be raised to a power: use a look-up, or a quantiser before it")
    if isinstance(b, Constant):
        x = scope.live(a)
        return x.then(_step(scope, node.op, b, x))
    if isinstance(a, Constant):
        x = scope.live(b)
        if node.op == "Div" and isinstance(x, ReadWire) and not scope.values(x).all():
            raise RangeError("divides by a tensor whose range holds zero: add a constant to it, or clip it, before")
        return x.then(_step(scope, node.op, a, x, swapped=node.op in ("Sub", "Div")))
    if node.op in ("Mul", "Div"):
        raise scope.fail("multiplies or divides two tensors that depend on the input: only constants are supported")
    return _sum(scope, scope.integers(a), scope.integers(b), node.op == "Sub")


def _step(scope: ReadScope, kind: str, constant: Constant, x: Live, swapped: bool = False) -> FloatStep:
    if constant.value.dtype != np.float32 or x.dtype != FLOAT:
        raise scope.fail(f"computes in {constant.value.dtype}: only float32 is supported")
    value = channel_constant(scope.finite(constant.value, "constant"), x.shape)
    if kind == "Div" and not swapped and not value.all():
        raise scope.fail("divides by zero")
    return BinaryStep(kind, value, swapped)


def _sum(scope: ReadScope, a: ReadWire, b: ReadWire, negative: bool) -> ReadWire:
    """a + b or a - b of two tensors: float32 rounds the exact sum once, and so does reading it."""
    if a.shape != b.shape:
        raise ShapeError(f"adds shapes {a.shape} and {b.shape}: they must be equal")
    if negative:
        flip = Requantize.of(-1, 0, reach([-1], [0], scope.type(b).range), scope.type(b).scale)
        b = ReadWire(b.shape, node=scope.add(flip, b.node, part="negative"))
    sides = (scope.type(a).scale, scope.type(b).scale)
    count = max(map(len, sides))
    ratios = {x / y for x, y in zip(*(side * (count // len(side)) for side in sides), strict=True)}
    if len(ratios) > 1:
        a, b, ratios = scope.on_grid(a, *sides[1]), scope.on_grid(b, *sides[0]), {Fraction(1)}
    ratio = ratios.pop()
    if max(ratio.as_integer_ratio()) >= EXACT:
        raise RangeError(f"adds values on grids {ratio} apart: quantise both with the same scale")
    node = scope.add(Add(ratio.as_integer_ratio()), a.node, b.node)
    total = ReadWire(a.shape, node=node)
    if any(scope.type(total).largest * scale.numerator >= 2**53 for scale in scope.type(total).scale):
        scope.may_round("the sum is wider than 53 bits")
    return total


def _unary(make: Callable[[FileNode], FloatStep]) -> Handler:
    """A handler of a step without parameters."""

    def handler(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
        (x,) = inputs
        step = make(node)
        return _folded(scope, step, x) if isinstance(x, Constant) else scope.live(x).then(step)

    return handler


def _whole(step: FloatStep) -> Handler:
    """A handler of a step that gives integers."""

    def handler(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
        (x,) = inputs
        return _folded(scope, step, x) if isinstance(x, Constant) else scope.quantised(x, Levels((step,)))

    return handler


def _folded(scope: ReadScope, step: FloatStep, x: Constant) -> Constant:
    """A step on a constant, in its own type."""
    if x.value.dtype.kind not in "iuf":
        raise scope.fail(f"computes with {x.value.dtype}: only numbers are supported")
    return Constant(np.asarray(step(x.value)).astype(x.value.dtype))


def _clip(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    x, *bounds = inputs
    ends = [node.get("min", -math.inf), node.get("max", math.inf)]
    for side, bound in enumerate(bounds):
        if bound is not None:
            ends[side] = scope.constant(bound, "bound").value.item()
    if math.isnan(ends[0]) or math.isnan(ends[1]) or ends[0] > ends[1]:
        raise scope.fail(f"clips to {ends[0]:g}..{ends[1]:g}, an empty range")
    return _unary(lambda _: Clamp(float(ends[0]), float(ends[1])))(scope, node, [x])


def _normalise(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """x * gain + offset, both rounded to float32 first, as onnxruntime does."""
    x, parameters = scope.live(inputs[0]), inputs[1:]
    if node.get("training_mode", 0) or not node.get("spatial", 1):
        raise scope.fail("is in training mode, or not per channel: export the network in evaluation mode")
    names = ("scale", "bias", "mean", "variance")
    values = [scope.reals(value, what) for value, what in zip(parameters, names, strict=True)]
    channels = (x.shape[0] if x.shape else 1,)
    if any(value.shape != channels for value in values):
        raise ShapeError(f"parameters of shapes {[value.shape for value in values]} for {channels[0]} channels")
    weight, bias, mean, variance = values
    spread = variance + np.float32(node.get("epsilon", 1e-5))
    if (spread <= 0).any():
        raise RangeError(f"the variance {variance.min():g} is negative: train or export it again")
    gain = (np.reciprocal(np.sqrt(spread)) * weight).astype(np.float32)
    offset = (bias - mean * gain).astype(np.float32)
    scope.finite(gain + offset, "gain")
    return x.then(BinaryStep("Mul", gain), BinaryStep("Add", offset))


def _per_channel(scope: ReadScope, value: Value | None, what: str, x: Live, positive: bool = False) -> Floats:
    """A parameter of a quantiser, (1,) or (C,)."""
    known = _check_scale(scope.reals(value, what)) if positive else scope.reals(value, what)
    return channel_constant(known.reshape(()) if known.size == 1 else known, x.shape)


def _check_scale(scale: Floats) -> Floats:
    if not (scale > 0).all():
        raise RangeError(f"its scale {float(scale.min()):g} is not positive: a sign belongs to the weights")
    return scale


def _mode(scope: ReadScope, node: FileNode, default: str) -> str:
    mode = node.text("rounding_mode", default).upper()
    if mode not in MODES:
        raise scope.fail(f"rounding mode {mode} is unknown; there are {', '.join(MODES)}")
    return mode


def _bounds(scope: ReadScope, node: FileNode, bits: Value | None) -> tuple[float, float, float]:
    """Lowest and highest level, and the number of bits."""
    value = scope.finite(scope.constant(bits, "bit width").value, "bit width")
    if value.size != 1 or not value.item() >= 1:
        raise scope.fail(f"its bit width {value.tolist()} is not one number of at least 1")
    if "signed" not in node.attributes and node.op != "Trunc":
        raise scope.fail("its attribute 'signed' is missing")
    width = value.reshape(()).astype(np.float32)
    signed, narrow = bool(node.get("signed", 1)), bool(node.get("narrow", 0))
    with np.errstate(over="ignore"):  # beyond all float32, a clip does nothing
        half, whole = np.float32(2) ** (width - 1), np.float32(2) ** width
    if signed:
        return float(-half + narrow), float(half - 1), float(width)
    return 0.0, float(whole - 1 - narrow), float(width)


def _rescaled(steps: tuple[FloatStep, ...], zero: Floats, scale: Floats) -> Levels:
    """Levels y that stand for (y - zero) * scale."""
    if (zero == np.rint(zero)).all() and (zero == zero[0]).all() and abs(zero[0]) < EXACT:
        return Levels(steps, int(zero[0]), tuple(Fraction(float(value)) for value in scale))
    return Levels(steps, after=(BinaryStep("Sub", zero), BinaryStep("Mul", scale)))


_POSITIVE = Count(np.zeros((1, 1), np.float32))
"""0 below zero, else 1: the bit of a sign."""


def _signed_bit(steps: tuple[FloatStep, ...], zero: Floats, scale: Floats) -> Levels:
    """Bits b that stand for (2b - 1 - zero) * scale: exact, for 2b - 1 is 1 or -1."""
    one, two = (np.full(1, value, np.float32) for value in (1, 2))
    after: list[FloatStep] = [BinaryStep("Mul", two), BinaryStep("Sub", one)]
    after += [BinaryStep("Sub", zero)] if zero.any() else []
    after += [BinaryStep("Mul", scale)] if (scale != 1).any() else []
    return Levels((*steps, _POSITIVE), after=tuple(after))


def _quant(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """Quant (IntQuant): (round(clip(x / scale + zero)) - zero) * scale; clips before it rounds."""
    first, _, _, bits = inputs
    low, high, width = _bounds(scope, node, bits)
    mode = _mode(scope, node, "ROUND")
    if isinstance(first, Constant):
        return _quant_constant(scope, first.value, inputs, (low, high), mode, width)
    x = scope.live(first)
    scale = _per_channel(scope, inputs[1], "scale", x, True)
    zero = _per_channel(scope, inputs[2], "zero point", x)
    steps: tuple[FloatStep, ...] = (BinaryStep("Div", scale), BinaryStep("Add", zero))
    if width == 1 and node.get("signed"):
        return scope.quantised(x, _signed_bit(steps, zero, scale))
    return scope.quantised(x, _rescaled((*steps, Clamp(low, high), Round(mode)), zero, scale))


def _quant_constant(
    scope: ReadScope, x: Array, inputs: Inputs, bounds: tuple[float, float], mode: str, width: float
) -> Constant:
    scale, zero = (_beside(x, value) for value in (_check_scale(scope.reals(inputs[1], "scale")),
                                                   scope.reals(inputs[2], "zero point")))  # fmt: skip
    with np.errstate(over="ignore"):
        moved = np.asarray(scope.reals(Constant(x), "constant") / scale + zero, np.float32)
    one_bit = width == 1 and bounds[0] < 0
    steps: tuple[FloatStep, ...] = (Clamp(*bounds), Round(mode))
    levels = np.where(moved >= 0, np.float32(1), np.float32(-1)) if one_bit else run(steps, moved)
    integers = np.asarray(levels - zero, np.float32)
    known = bool((integers == np.rint(integers)).all())
    value = np.asarray(integers * scale, np.float32)
    return Constant(value, integers, np.broadcast_to(scale, value.shape)) if known else Constant(value)


def _beside(x: Array, parameter: Floats) -> Floats:
    """A quantiser's parameter; one value whatever its shape, else it must not enlarge the constant."""
    parameter = parameter.reshape(()) if parameter.size == 1 else parameter
    if np.broadcast_shapes(x.shape, parameter.shape) != x.shape:
        raise ShapeError(f"a parameter of shape {parameter.shape} does not fit a constant of shape {x.shape}")
    return parameter


def _bipolar(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """BipolarQuant: scale where x >= 0, else -scale."""
    x, scale = inputs
    if isinstance(x, Constant):
        known = _beside(x.value, _check_scale(scope.reals(scale, "scale")))
        signs = np.where(scope.reals(x, "constant") >= 0, np.float32(1), np.float32(-1))
        value = np.asarray(signs * known, np.float32)
        return Constant(value, signs, np.broadcast_to(known, value.shape))
    steps = _per_channel(scope, scale, "scale", scope.live(x), True)
    return scope.quantised(x, _signed_bit((), np.zeros(1, np.float32), steps))


def _trunc(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """Trunc: of version 1, five inputs and the scale stays; of version 2, six inputs, a new scale and a clip."""
    version = 2 if scope.state.opsets.get(node.domain, 1) >= 2 else 1
    if len(inputs) != 4 + version:
        raise scope.fail(f"has {len(inputs)} inputs, but version {version} of its domain has {4 + version}")
    x = scope.wire(inputs[0])
    scale = _per_channel(scope, inputs[1], "scale", x, True)
    zero = _per_channel(scope, inputs[2], "zero point", x)
    steps: list[FloatStep] = [BinaryStep("Div", scale), BinaryStep("Add", zero), Round("ROUND")]
    mode = Round(_mode(scope, node, "FLOOR"))
    if version == 1:
        widths = [scope.reals(value, "bit width").item() for value in inputs[3:]]
        dropped = np.full(1, np.float32(2.0) ** np.float32(widths[0] - widths[1]))
        return scope.quantised(x, _rescaled((*steps, BinaryStep("Div", dropped), mode), zero, scale))
    result = _per_channel(scope, inputs[4], "output scale", x, True)
    ratio = (np.float32(2) ** np.rint(np.log2(result / scale))).astype(np.float32)
    low, high, _ = _bounds(scope, node, inputs[5])
    steps += [BinaryStep("Div", ratio), Clamp(low, high), mode]
    return scope.quantised(x, _rescaled(tuple(steps), (zero / ratio).astype(np.float32), result))


def _multi_threshold(scope: ReadScope, node: FileNode, inputs: Inputs) -> Value:
    """MultiThreshold: out_scale * (how many thresholds x reaches) + out_bias."""
    x, rows = scope.live(inputs[0]), scope.reals(inputs[1], "thresholds")
    if rows.ndim != 2 or len(rows) not in (1, x.shape[0] if x.shape else 1):
        raise ShapeError(f"thresholds of shape {rows.shape} for shape {x.shape}: one row, or one per channel")
    layout = node.text("data_layout", "") or {2: "NWC"}.get(len(x.shape), "NC")
    if len(rows) > 1 and layout.find("C") != 1:
        raise scope.fail(f"its layout {layout} has the channels last: transpose to channels first before export")
    count = Count(np.sort(rows, axis=1))
    scale, bias = np.float32(node.get("out_scale", 1.0)), np.float32(node.get("out_bias", 0.0))
    scope.finite(np.array([scale, bias]), "output scale or bias")
    moved = Fraction(float(bias)) / Fraction(float(scale)) if scale > 0 else Fraction(1, 2)
    if moved.denominator == 1 and 0 < odd(Fraction(float(scale))) * (rows.shape[1] + abs(moved)) <= EXACT:
        return scope.quantised(x, Levels((count,), -int(moved), (Fraction(float(scale)),)))
    after = (BinaryStep("Mul", np.full(1, scale)), BinaryStep("Add", np.full(1, bias)))
    return scope.quantised(x, Levels((count,), after=after))


STANDARD: dict[str, Handler] = {
    "Add": _binary, "Sub": _binary, "Mul": _binary, "Div": _binary, "Pow": _binary,
    "Relu": _unary(lambda _: Clamp(0, math.inf)), "Clip": _clip, "Abs": _unary(lambda _: Absolute()),
    "Neg": _unary(lambda _: BinaryStep("Mul", np.full(1, -1, np.float32))), "BatchNormalization": _normalise,
    "Sign": _whole(Sign()), "Floor": _whole(Round("FLOOR")), "Ceil": _whole(Round("CEIL")),
    "Round": _whole(Round("ROUND")),
}  # fmt: skip

QUANTISERS: dict[str, Handler] = {
    "Quant": _quant, "IntQuant": _quant, "BipolarQuant": _bipolar, "Trunc": _trunc, "MultiThreshold": _multi_threshold,
}  # fmt: skip
