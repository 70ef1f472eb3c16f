"""Small ONNX files for the tests, and an evaluator of them written from the ONNX and QONNX specifications alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"
OLD = "onnx.brevitas"


class Model:
    """An ONNX file under construction."""

    def __init__(self, *shape: int | str, name: str = "x", kind: int = TensorProto.FLOAT, batch: int | str = 1) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs = [helper.make_tensor_value_info(name, kind, [batch, *shape])]
        self.x = name

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def _constant(self, value: Any) -> str:
        return self.constant(value, np.int64 if getattr(value, "dtype", None) == np.int64 else np.float32)

    def add(self, op: str, *inputs: Any, domain: str = "", outputs: int = 1, **attributes: Any) -> str:
        """A node; inputs that are not names are constants: float32, or int64 arrays as they are. None is left out."""
        names = ["" if i is None else i if isinstance(i, str) else self._constant(i) for i in inputs]
        made = [f"t{len(self.nodes)}" + "_" * i for i in range(outputs)]
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, made, name=name, domain=domain, **attributes))
        return made[0]

    def quant(
        self, x: Any, scale: Any = 1.0, bits: float = 4, zero: Any = 0.0, signed: int = 1, narrow: int = 0,
        mode: str = "ROUND", domain: str = QONNX, op: str = "Quant",
    ) -> str:  # fmt: skip
        attributes = {"signed": signed, "narrow": narrow, "rounding_mode": mode}
        return self.add(op, x, scale, zero, bits, domain=domain, **attributes)

    def bipolar(self, x: Any, scale: Any = 1.0, domain: str = QONNX) -> str:
        return self.add("BipolarQuant", x, scale, domain=domain)

    def proto(self, *outputs: str, opset: int = 13, version: int = 1, shapes: dict[str, Sequence[int]] | None = None,
              kind: int = TensorProto.FLOAT) -> onnx.ModelProto:  # fmt: skip
        ends = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
        declared = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (shapes or {}).items()]
        graph = helper.make_graph(self.nodes, "g", self.inputs, ends, self.constants, value_info=declared)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(QONNX, version), helper.make_opsetid(OLD, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def save(self, path: Path, *outputs: str, **settings: Any) -> Path:
        path.write_bytes(self.proto(*outputs, **settings).SerializeToString())
        return path


F = np.float32
Arrays = list[np.ndarray]


def evaluate(path: Path, *inputs: np.ndarray) -> Arrays:
    """Outputs of a file for inputs with any batch, in float32, one rounding per operation."""
    graph = (model := onnx.load(path)).graph
    wires: dict[str, np.ndarray | None] = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    names = [port.name for port in graph.input if port.name not in wires]
    wires |= dict(zip(names, inputs, strict=True)) | {"": None}
    version = {o.domain: o.version for o in model.opset_import}
    for node in graph.node:
        a = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        values = [wires[name] for name in node.input]
        rule = RULES[node.op_type]
        a["version"] = version.get(node.domain, 1)
        with np.errstate(all="ignore"):
            result = rule(a, *values)
        results = result if isinstance(result, tuple) else (result,)
        wires |= {name: np.asarray(value) for name, value in zip(node.output, results, strict=False)}
    return [wires[port.name] for port in graph.output]


def rounded(x: np.ndarray, mode: str) -> np.ndarray:
    """The QONNX rounding modes, by cases."""
    down, up = np.floor(x), np.ceil(x)
    towards, away = np.where(x < 0, up, down), np.where(x < 0, down, up)
    fraction = np.abs(x - towards)
    half = {"ROUND": np.where(np.mod(towards, 2) == 0, towards, away), "HALF_UP": away, "HALF_DOWN": towards}
    half["HALF_EVEN"] = half["ROUND"]
    if mode in half:
        return np.where(fraction > 0.5, away, np.where(fraction < 0.5, towards, half[mode]))
    return {"CEIL": up, "FLOOR": down, "UP": away, "DOWN": towards, "ROUND_TO_ZERO": towards}[mode]


def _limits(a: dict[str, Any], bits: np.ndarray) -> tuple[float, float]:
    n, narrow = float(bits), int(a.get("narrow", 0) != 0)
    return (-(2 ** (n - 1)) + narrow, 2 ** (n - 1) - 1) if a.get("signed", 1) else (0, 2**n - 1 - narrow)


def _mode(a: dict[str, Any], default: bytes) -> str:
    return a.get("rounding_mode", default).decode().upper()


def _quant(a: dict[str, Any], x: np.ndarray, scale: np.ndarray, zero: np.ndarray, bits: np.ndarray) -> np.ndarray:
    y = x / scale + zero
    if float(bits) == 1 and a["signed"]:
        y = np.where(y >= 0, F(1), F(-1))
    else:
        low, high = _limits(a, bits)
        y = rounded(np.minimum(np.maximum(y, F(low)), F(high)), _mode(a, b"ROUND"))
    return (y - zero) * scale


def _trunc(a: dict[str, Any], x: np.ndarray, scale: np.ndarray, zero: np.ndarray, *rest: np.ndarray) -> np.ndarray:
    y = rounded(x / scale + zero, "ROUND")
    mode = _mode(a, b"FLOOR")
    if a["version"] == 1:
        bits_in, bits_out = rest
        return (rounded(y / F(2.0 ** float(bits_in - bits_out)), mode) - zero) * scale
    _, scale_out, bits_out = rest
    ratio = F(2) ** np.rint(np.log2(scale_out / scale))
    low, high = _limits(a, bits_out)
    return (rounded(np.clip(y / ratio, F(low), F(high)), mode) - zero / ratio) * scale_out


def _thresholds(a: dict[str, Any], x: np.ndarray, limits: np.ndarray) -> np.ndarray:
    wide = limits.reshape(1, len(limits), *[1] * (x.ndim - 2), limits.shape[1])
    count = (x[..., None] >= wide).sum(axis=-1).astype(F)
    return F(a.get("out_scale", 1)) * count + F(a.get("out_bias", 0))


def _norm(a: dict[str, Any], x: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
    weight, bias, mean, variance = (p.reshape(1, -1, *[1] * (x.ndim - 2)) for p in parameters)
    gain = F(1) / np.sqrt(variance + F(a.get("epsilon", 1e-5))) * weight
    return x * gain + (bias - mean * gain)


def _windows(a: dict[str, Any], x: np.ndarray, kernel: Sequence[int], fill: float) -> np.ndarray:
    """(N, C, OH, OW, kh, kw) of an image (N, C, H, W)."""
    stride, dilation = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    pads = list(a.get("pads", [0, 0, 0, 0]))
    rule = a.get("auto_pad", b"NOTSET")
    pads = [0, 0, 0, 0] if rule == b"VALID" else pads
    for axis in (0, 1):
        if rule in (b"SAME_UPPER", b"SAME_LOWER"):
            size, extent = x.shape[axis + 2], (kernel[axis] - 1) * dilation[axis] + 1
            total = max((-(-size // stride[axis]) - 1) * stride[axis] + extent - size, 0)
            sides = [total // 2, total - total // 2]
            pads[axis], pads[axis + 2] = sides if rule == b"SAME_UPPER" else sides[::-1]
    x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=fill)
    sizes = [(x.shape[i + 2] - (kernel[i] - 1) * dilation[i] - 1) // stride[i] + 1 for i in (0, 1)]
    taps = [
        [
            x[:, :, j * dilation[0] :, i * dilation[1] :][:, :, :: stride[0], :: stride[1]][
                :, :, : sizes[0], : sizes[1]
            ]
            for i in range(kernel[1])
        ]
        for j in range(kernel[0])
    ]
    return np.moveaxis(np.array(taps), (0, 1), (-2, -1))


def _image(a: dict[str, Any], x: np.ndarray, rule: Callable[..., np.ndarray], *rest: Any) -> np.ndarray:
    """A rule for images on an image, or on a signal as an image of width 1."""
    if x.ndim == 4:
        return rule(a, x, *rest)
    wide = {k: [*v, 1] for k, v in a.items() if k in ("strides", "dilations", "kernel_shape")}
    pads = a.get("pads", [0, 0])
    return rule({**a, **wide, "pads": [pads[0], 0, pads[1], 0]}, x[..., None], *rest)[..., 0]


def _conv(a: dict[str, Any], x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    w = w if w.ndim == 4 else w[..., None]

    def rule(a: dict[str, Any], x: np.ndarray) -> np.ndarray:
        taps, groups = _windows(a, x, w.shape[2:], 0), a.get("group", 1)
        parts = zip(np.split(taps, groups, axis=1), np.split(w, groups), strict=True)
        sums = [np.einsum("nchwji,ocji->nohw", t.astype(float), k.astype(float)) for t, k in parts]
        y = np.concatenate(sums, axis=1).astype(F)
        return y if b is None else y + b.reshape(1, -1, 1, 1)

    return _image(a, x, rule)


def _max_pool(a: dict[str, Any], x: np.ndarray) -> np.ndarray:
    return _image(a, x, lambda a, x: _windows(a, x, a["kernel_shape"], -np.inf).max(axis=(-2, -1)))


def _average_pool(a: dict[str, Any], x: np.ndarray) -> np.ndarray:
    def rule(a: dict[str, Any], x: np.ndarray) -> np.ndarray:
        sums = _windows(a, x, a["kernel_shape"], 0).astype(float).sum(axis=(-2, -1)).astype(F)
        return sums / F(np.prod(a["kernel_shape"]))

    return _image(a, x, rule)


def _mean(x: np.ndarray, keep: bool = True) -> np.ndarray:
    axes = tuple(range(2, x.ndim))
    return x.astype(float).sum(axis=axes, keepdims=keep).astype(F) / F(np.prod(x.shape[2:]))


def _quant_average(a: dict[str, Any], x: np.ndarray) -> np.ndarray:
    k, s = a["kernel"], a["stride"]
    sums = _windows({"strides": [s, s]}, x, (k, k), 0).sum(axis=(-2, -1))
    bits = int((2 ** a["ibits"] - 1) * k * k).bit_length()
    return (sums.astype(int) >> max(bits - a["obits"], 0)).astype(F)


def _product(a: dict[str, Any], x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return (x.astype(float) @ w.astype(float)).astype(F)


def _gemm(a: dict[str, Any], x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    y = _product(a, x, w.T if a.get("transB", 0) else w)
    return y if b is None else y + b


def _power(a: dict[str, Any], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x.astype(float) ** y.astype(float)).astype(x.dtype)


def _clip(a: dict[str, Any], x: np.ndarray, low: Any = None, high: Any = None) -> np.ndarray:
    low, high = a.get("min", low), a.get("max", high)
    x = x if low is None else np.maximum(x, x.dtype.type(low))
    return x if high is None else np.minimum(x, x.dtype.type(high))


def _reshape(a: dict[str, Any], x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    return x.reshape([x.shape[i] if size == 0 else int(size) for i, size in enumerate(shape)])


def _axes(a: dict[str, Any], axes: np.ndarray | None) -> tuple[int, ...] | None:
    return tuple(a["axes"]) if "axes" in a else None if axes is None else tuple(int(i) for i in axes)


def _slice(a: dict[str, Any], x: np.ndarray, starts: np.ndarray, ends: np.ndarray, axes: np.ndarray) -> np.ndarray:
    cut = [slice(None)] * x.ndim
    for start, end, axis in zip(starts, ends, axes, strict=True):
        cut[axis] = slice(start, end)
    return x[tuple(cut)]


def _pad(a: dict[str, Any], x: np.ndarray, pads: np.ndarray, value: np.ndarray | None = None) -> np.ndarray:
    sides = list(zip(pads[: x.ndim], pads[x.ndim :], strict=True))
    return np.pad(x, sides, constant_values=0 if value is None else value)


def _top(a: dict[str, Any], x: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.max(axis=-1, keepdims=True), x.argmax(axis=-1)[..., None]


def _arg_max(a: dict[str, Any], x: np.ndarray) -> np.ndarray:
    y = x.argmax(axis=a.get("axis", 0))
    return np.expand_dims(y, a.get("axis", 0)) if a.get("keepdims", 1) else y


def _quantize_linear(a: dict[str, Any], x: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    shape = [1, -1, *[1] * (x.ndim - 2)] if scale.ndim else []
    ends = np.iinfo(zero.dtype)
    y = np.rint(x / scale.reshape(shape)) + zero.reshape(shape).astype(F)
    return np.clip(y, ends.min, ends.max).astype(zero.dtype)


def _dequantize_linear(a: dict[str, Any], x: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    shape = [1] * x.ndim
    shape[a.get("axis", 1)] = -1
    shape = shape if scale.ndim else []
    return (x.astype(F) - zero.reshape(shape).astype(F)) * scale.reshape(shape)


RULES: dict[str, Callable[..., Any]] = {
    "Quant": _quant, "IntQuant": _quant, "Trunc": _trunc, "MultiThreshold": _thresholds, "Conv": _conv, "Gemm": _gemm,
    "BipolarQuant": lambda a, x, scale: np.where(x >= 0, scale, -scale), "MatMul": _product, "Pow": _power,
    "Add": lambda a, x, y: x + y, "Sub": lambda a, x, y: x - y, "Mul": lambda a, x, y: x * y,
    "Div": lambda a, x, y: x / y, "BatchNormalization": _norm, "Relu": lambda a, x: np.maximum(x, F(0)),
    "Clip": _clip, "Abs": lambda a, x: np.abs(x), "Neg": lambda a, x: -x, "Sign": lambda a, x: np.sign(x),
    "Floor": lambda a, x: np.floor(x), "Ceil": lambda a, x: np.ceil(x), "Round": lambda a, x: rounded(x, "ROUND"),
    "Sqrt": lambda a, x: np.sqrt(x), "MaxPool": _max_pool, "AveragePool": _average_pool,
    "GlobalAveragePool": lambda a, x: _mean(x), "ReduceMean": lambda a, x: _mean(x, bool(a.get("keepdims", 1))),
    "GlobalMaxPool": lambda a, x: x.max(axis=tuple(range(2, x.ndim)), keepdims=True), "QuantAvgPool2d": _quant_average,
    "Reshape": _reshape, "Flatten": lambda a, x: x.reshape(int(np.prod(x.shape[: a.get("axis", 1)])), -1),
    "Transpose": lambda a, x: np.transpose(x, a.get("perm")), "Identity": lambda a, x: x, "Dropout": lambda a, x: x,
    "Squeeze": lambda a, x, axes=None: np.squeeze(x, _axes(a, axes)), "Slice": _slice, "Pad": _pad, "TopK": _top,
    "Unsqueeze": lambda a, x, axes=None: np.expand_dims(x, _axes(a, axes)), "ArgMax": _arg_max,
    "Shape": lambda a, x: np.array(x.shape), "Gather": lambda a, x, i: np.take(x, i, a.get("axis", 0)),
    "Concat": lambda a, *xs: np.concatenate(xs, a["axis"]), "QuantizeLinear": _quantize_linear,
    "Cast": lambda a, x: x.astype(helper.tensor_dtype_to_np_dtype(a["to"])), "DequantizeLinear": _dequantize_linear,
    "Constant": lambda a: numpy_helper.to_array(a["value"]) if "value" in a else np.array(a["value_float"], F),
    "ConstantOfShape": lambda a, shape: np.full(shape, numpy_helper.to_array(a["value"])[0]),
}  # fmt: skip
