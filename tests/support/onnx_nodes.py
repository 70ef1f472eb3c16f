"""A small file for every node that read_qonnx knows, and for every way of writing it."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from onnx import TensorProto

from intaglio.ir import Type
from tests.support.onnx_models import OLD, Model


def whole(values: object) -> np.ndarray:
    """Integer parameters, such as shapes."""
    return np.asarray(values, np.int64)


RNG = np.random.default_rng(1)
IMAGE = Type((4, 6, 5), (-8, 7), (Fraction(1, 4),))
VECTOR = Type((12,), (0, 15), (Fraction(3, 8),))
SIGNAL = Type((3, 9), (-4, 3))

Build = Callable[[Model], str]


def build(case: Build, of: Type, path: Path) -> Path:
    """The file of one case, the same whenever it is built."""
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state
    model = Model(*of.shape)
    output = case(model)
    kind = TensorProto.INT64 if model.nodes[-1].op_type == "ArgMax" else TensorProto.FLOAT
    return model.save(path, output, kind=kind)


def weights(*shape: int) -> np.ndarray:
    return RNG.integers(-3, 4, shape).astype(np.float32)


def channels(low: float, high: float, axes: int = 2, count: int = 4) -> np.ndarray:
    return RNG.uniform(low, high, (1, count, *[1] * axes)).astype(np.float32)


def norm(m: Model, x: str, count: int) -> str:
    scale, bias, mean = RNG.normal(size=(3, count))
    return m.add("BatchNormalization", x, scale, bias, mean, RNG.random(count) + 0.1, epsilon=1e-3)


def conv(m: Model, x: str, *shape: int, bias: bool = False, **attributes: object) -> str:
    extra = [RNG.normal(size=shape[0])] if bias else []
    return m.add("Conv", x, m.quant(weights(*shape), 0.5, 3), *extra, **attributes)


IMAGES: dict[str, Build] = {
    "identity": lambda m: m.add("Identity", m.x),
    "quant": lambda m: m.quant(m.x, 0.5, 3),
    "quant per channel": lambda m: m.quant(m.add("Mul", m.x, 1.7), channels(0.1, 2), 3, zero=channels(0, 3).round()),
    "quant, zero point between": lambda m: m.quant(m.x, 0.3, 4, zero=0.25, signed=0),
    "quant of one bit, signed": lambda m: m.quant(m.x, 0.3, 1, zero=1.0),
    "quant of one bit, unsigned": lambda m: m.quant(m.x, 0.3, 1, signed=0),
    "quant of 2.5 bits": lambda m: m.quant(m.x, 0.3, 2.5),
    "quant of the same grid": lambda m: m.quant(m.x, 0.25, 8),
    "IntQuant": lambda m: m.quant(m.x, 0.7, 3, op="IntQuant", narrow=1),
    "bipolar": lambda m: m.bipolar(m.add("Sub", m.x, 0.5), 0.3, OLD),
    "bipolar per channel": lambda m: m.bipolar(m.add("Mul", m.x, channels(-1, 1)), channels(0.5, 2)),
    "Trunc 1": lambda m: m.add("Trunc", m.x, 0.25, 0.0, 8.0, 6.0, rounding_mode="FLOOR", domain=OLD),
    "Trunc 1 rounds": lambda m: m.add("Trunc", m.x, 0.25, 1.0, 4.0, 2.0, rounding_mode="ROUND", domain=OLD),
    "add, subtract": lambda m: m.add("Sub", m.add("Add", m.x, channels(-1, 1)), 0.7),
    "the other way round": lambda m: m.quant(m.add("Sub", 0.3, m.add("Sub", m.x, 0.7)), 0.5, 4),
    "multiply, divide": lambda m: m.quant(m.add("Div", m.add("Mul", m.x, channels(-2, 2)), channels(-2, -1)), 0.2, 5),
    "constant over x": lambda m: m.quant(m.add("Div", 3.0, m.add("Add", m.x, 0.1)), 0.5, 5),
    "absolute": lambda m: m.quant(m.add("Abs", m.add("Add", m.x, 0.3)), 0.5, 5),
    "negative": lambda m: m.quant(m.add("Neg", m.x), 0.5, 3, mode="FLOOR"),
    "rectifier": lambda m: m.quant(m.add("Relu", m.add("Mul", m.x, -1.3)), 0.5, 3),
    "clip": lambda m: m.quant(m.add("Clip", m.x, -0.6, 0.9), 0.25, 4),
    "clip from below": lambda m: m.add("Clip", m.x, -0.6, None),
    "sign": lambda m: m.add("Sign", m.add("Sub", m.x, 0.25)),
    "floor": lambda m: m.add("Floor", m.add("Mul", m.x, 1.9)),
    "ceil": lambda m: m.add("Ceil", m.add("Mul", m.x, 1.9)),
    "round": lambda m: m.add("Round", m.add("Mul", m.x, 2.0)),
    "norm alone": lambda m: norm(m, m.x, 4),
    "norm": lambda m: m.quant(norm(m, m.x, 4), 0.5, 4),
    "dropout": lambda m: m.add("Dropout", m.x),
    "thresholds": lambda m: m.add("MultiThreshold", m.x, RNG.normal(size=(4, 7)), out_dtype="UINT3", domain=OLD),
    "one row of thresholds": lambda m: m.add(
        "MultiThreshold", m.x, [[0.5, -1.0, 0.5]], out_scale=0.5, out_bias=-1.0, out_dtype="INT3", domain=OLD
    ),
    "bipolar thresholds": lambda m: m.add(
        "MultiThreshold", m.x, [[0.1]], out_scale=2.0, out_bias=-1.0, out_dtype="BIPOLAR", domain=OLD
    ),
    "scaled thresholds": lambda m: m.add(
        "MultiThreshold", m.x, [[0.1, 0.4]], out_scale=0.3, out_bias=0.1, out_dtype="INT3", domain=OLD
    ),
    "conv": lambda m: conv(m, m.x, 5, 4, 3, 3),
    "conv with bias": lambda m: conv(m, m.x, 5, 4, 3, 3, bias=True, pads=[1, 1, 1, 1]),
    "strides, dilations, groups": lambda m: conv(
        m, m.x, 6, 2, 2, 3, strides=[2, 1], dilations=[2, 1], group=2, pads=[1, 0, 1, 0], kernel_shape=[2, 3]
    ),
    "depthwise, scales per channel": lambda m: conv(
        m, m.quant(m.x, channels(1, 1) * [[[[1]], [[2]], [[4]], [[1]]]], 3), 4, 1, 3, 3, group=4
    ),
    "scales per channel": lambda m: conv(
        m, m.quant(m.x, channels(1, 1) * [[[[1]], [[2]], [[4]], [[3]]]], 3), 2, 4, 1, 1
    ),
    "more padding before": lambda m: conv(m, m.x, 2, 4, 2, 3, pads=[1, 2, 0, 0]),
    "more padding behind": lambda m: conv(m, m.x, 2, 4, 3, 2, pads=[0, 0, 2, 1], strides=[2, 1]),
    "same upper": lambda m: conv(m, m.x, 2, 4, 2, 2, auto_pad="SAME_UPPER"),
    "same lower": lambda m: conv(m, m.x, 2, 4, 4, 2, auto_pad="SAME_LOWER", strides=[2, 2]),
    "valid": lambda m: conv(m, m.x, 2, 4, 2, 2, auto_pad="VALID"),
    "bipolar input padded with zero": lambda m: conv(m, m.bipolar(m.x), 3, 4, 3, 3, pads=[1, 1, 1, 1]),
    "weights per output channel": lambda m: m.add(
        "Conv", m.x, m.quant(RNG.normal(size=(3, 4, 2, 2)), [[[[0.5]]], [[[0.25]]], [[[2.0]]]], 4)
    ),
    "weights with a zero point": lambda m: m.add(
        "Conv", m.x, m.quant(weights(2, 4, 2, 2), 0.5, 4, zero=2.0, signed=0)
    ),
    "plain integer weights": lambda m: m.add("Conv", m.x, weights(2, 4, 2, 2)),
    "pad": lambda m: conv(m, m.add("Pad", m.x, whole([0, 0, 1, 0, 0, 0, 2, 1])), 2, 4, 3, 3),
    "pad with a value": lambda m: conv(
        m, m.add("Pad", m.x, whole([0, 0, 1, 1, 0, 0, 1, 1]), -0.375), 2, 4, 3, 3
    ),
    "pad, then something else": lambda m: m.add(
        "MaxPool", m.add("Pad", m.quant(m.x, 0.5, 3), whole([0, 0, 1, 2, 0, 0, 1, 2]), 0.25), kernel_shape=[2, 2]
    ),
    "pad at the end": lambda m: m.add("Pad", m.x, whole([0, 0, 1, 0, 0, 0, 1, 0])),
    "max pool": lambda m: m.add("MaxPool", m.x, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 0]),
    "max pool behind falling steps": lambda m: m.quant(
        m.add("MaxPool", m.add("Mul", m.x, channels(-2, 2)), kernel_shape=[2, 2], dilations=[2, 1]), 0.5, 4
    ),
    "max pool behind steps that do both": lambda m: m.add("MaxPool", m.add("Abs", m.x), kernel_shape=[2, 2]),
    "global max pool": lambda m: m.add("GlobalMaxPool", m.x),
    "average pool": lambda m: m.add("AveragePool", m.x, kernel_shape=[3, 2], strides=[1, 2]),
    "average pool with padding": lambda m: m.quant(
        m.add("AveragePool", m.x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1), 0.125, 5
    ),
    "global average pool": lambda m: m.quant(m.add("GlobalAveragePool", m.x), 0.125, 5),
    "mean": lambda m: m.add("ReduceMean", m.x, axes=[2, 3], keepdims=0),
    "average, then a product": lambda m: conv(m, m.add("AveragePool", m.x, kernel_shape=[2, 2]), 2, 4, 2, 2),
    "QuantAvgPool2d": lambda m: m.add(
        "QuantAvgPool2d", m.quant(m.x, 1.0, 3), kernel=2, stride=2, ibits=3, obits=3, signed=1, domain=OLD
    ),
    "sum of two": lambda m: m.quant(m.add("Add", m.quant(m.x, 0.5, 3), m.quant(m.x, 0.75, 4)), 0.5, 4),
    "difference": lambda m: m.add("Sub", m.quant(m.x, 0.5, 3), m.x),
    "sum on grids per channel": lambda m: m.add("Add", m.quant(m.x, [[[[1]], [[2]], [[1]], [[3]]]], 3), m.x),
    "sum behind a rectifier": lambda m: m.add("Add", m.add("Relu", m.x), m.add("Mul", m.x, channels(1, 1) * -2)),
    "concat": lambda m: conv(m, m.add("Concat", m.quant(m.x, 0.75, 2), m.add("Relu", m.x), axis=1), 2, 8, 2, 2),
    "look-up": lambda m: m.add(
        "Gather", m.constant(RNG.integers(-9, 9, 16) / 4),
        m.add("Cast", m.add("Add", m.add("Mul", m.x, 4.0), 8.0), to=TensorProto.INT64),
    ),
    "flatten": lambda m: m.add("MatMul", m.add("Flatten", m.add("Mul", m.x, channels(1, 1) * 2)), weights(120, 3)),
    "reshape": lambda m: m.quant(
        m.add("Reshape", m.add("Mul", m.x, channels(-1, 1)), whole([1, 8, -1])), 0.5, 3
    ),
    "view by the shape": lambda m: m.add(
        "Reshape", m.x, m.add("Concat", m.add("Unsqueeze", m.add("Gather", m.add("Shape", m.x), whole(0)), whole([0])),
                              whole([-1]), axis=0)
    ),
    "slice of the shape": lambda m: m.add(
        "Reshape", m.x, m.add("Concat", m.add("Slice", m.add("Shape", m.x), whole([0]), whole([2]), whole([0])),
                              whole([-1]), axis=0)
    ),
    "transpose that moves nothing": lambda m: m.add(
        "Transpose", m.add("GlobalMaxPool", m.x), perm=[0, 2, 3, 1]
    ),
    "QCDQ": lambda m: conv(m, qcdq(m, m.x), 2, 4, 2, 2),
    "QCDQ with pools and joins of integers": lambda m: m.add(
        "DequantizeLinear", m.add("Concat", pooled(m, m.x), pooled(m, m.add("Neg", m.x)), axis=1), 0.5, three(m)
    ),
    "QCDQ, weights per channel": lambda m: m.add("Conv", qcdq(m, m.x), m.add(
        "DequantizeLinear", m.constant(weights(2, 4, 1, 1), np.int8), [0.5, 0.25], m.constant([0, 1], np.int8), axis=0
    )),
}  # fmt: skip


def three(m: Model) -> str:
    return m.constant(3, np.uint8)


def qcdq(m: Model, x: str) -> str:
    whole = m.add("Clip", m.add("QuantizeLinear", x, 0.5, three(m)), m.constant(1, np.uint8), m.constant(9, np.uint8))
    return m.add("DequantizeLinear", whole, 0.5, three(m))


def pooled(m: Model, x: str) -> str:
    return m.add("MaxPool", m.add("QuantizeLinear", x, 0.5, three(m)), kernel_shape=[2, 2])


VECTORS: dict[str, Build] = {
    "product": lambda m: m.add("MatMul", m.x, weights(12, 5)),
    "product with scales per output": lambda m: m.add(
        "MatMul", m.x, m.add("Transpose", m.quant(RNG.normal(size=(3, 12)), [[0.5], [0.25], [0.75]], 4), perm=[1, 0])
    ),
    "affine": lambda m: m.add("Gemm", m.x, weights(12, 5), RNG.integers(-99, 99, 5) * 0.375),
    "affine, transposed": lambda m: m.add("Gemm", m.x, weights(5, 12), transB=1),
    "norm behind a product": lambda m: m.quant(norm(m, m.add("MatMul", m.x, weights(12, 6)), 6), 2.0, 3),
    "sign behind a norm": lambda m: m.bipolar(norm(m, m.add("MatMul", m.x, weights(12, 6)), 6)),
    "eight bits behind a norm": lambda m: m.quant(norm(m, m.add("MatMul", m.x, weights(12, 6)), 6), 0.07, 8),
    "class": lambda m: m.add("ArgMax", m.add("MatMul", m.x, weights(12, 5)), axis=1),
    "class behind a falling step": lambda m: m.add("ArgMax", m.add("Mul", m.x, -0.3), axis=-1, keepdims=0),
    "class of different channels": lambda m: m.add("ArgMax", m.add("Mul", m.x, [[1, 2, 4] * 4]), axis=1),
    "class of equal values": lambda m: m.add("ArgMax", m.add("Relu", m.add("Sub", m.x, 4.5)), axis=1),
    "power of constants": lambda m: m.add("Div", m.x, m.add("Pow", [7.0], 0.5)),
    "root of constants": lambda m: m.add("Mul", m.x, m.add("Sqrt", [7.0])),
    "constants": lambda m: m.add("Mul", m.x, m.add("Constant", value_float=0.3)),
    "one channel each": lambda m: m.quant(m.add("Mul", m.x, channels(-1, 1, 0, 12)), 0.5, 2),
    "unsqueeze, squeeze": lambda m: m.add("Squeeze", m.add("Unsqueeze", m.x, whole([2])), whole([2])),
    "to an image": lambda m: conv(m, m.add("Reshape", m.x, whole([1, 3, 2, 2])), 2, 3, 2, 2),
}


SIGNALS: dict[str, Build] = {
    "signal": lambda m: m.add("Conv", m.x, weights(2, 3, 3), pads=[1, 1], strides=[2], kernel_shape=[3]),
    "padded signal": lambda m: m.add(
        "Conv", m.add("Pad", m.x, whole([0, 0, 2, 0, 0, 0])), weights(2, 3, 3)
    ),
    "pooled signal": lambda m: m.add(
        "AveragePool", m.add("MaxPool", m.x, kernel_shape=[2], pads=[1, 1]), kernel_shape=[2], strides=[2]
    ),
    "mean of a signal": lambda m: m.add("ReduceMean", m.x, axes=[2]),
}  # fmt: skip

CASES: dict[str, tuple[Type, Build]] = {
    name: (of, case)
    for of, table in ((IMAGE, IMAGES), (VECTOR, VECTORS), (SIGNAL, SIGNALS))
    for name, case in table.items()
}
