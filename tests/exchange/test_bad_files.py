"""Files that cannot be read: the error has the right class, names the node and says what to do."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from intaglio.exchange import read_qonnx
from intaglio.ir import Type
from intaglio.ir.errors import DataError, GraphError, RangeError, ShapeError, UnsupportedLayer
from tests.support.onnx_models import QONNX, Model

IMAGE = Type((2, 4, 4), (-8, 7))
NAN, INF = np.float32("nan"), np.float32("inf")


def dynamic(m: Model) -> str:
    """A tensor that depends on the input where a parameter should be."""
    return m.add("Relu", m.x)


def pads(*values: int) -> np.ndarray:
    return np.array([0, 0, *values[:2], 0, 0, *values[2:]])


NODES = {
    "unknown node": (lambda m: m.add("Softmax", m.x), UnsupportedLayer, r"Softmax_0 \(Softmax\).*there are"),
    "unknown domain": (lambda m: m.add("Quant", m.x, domain="some.where"), UnsupportedLayer, "'some.where'"),
    "rounding mode": (lambda m: m.quant(m.x, mode="SIDEWAYS"), UnsupportedLayer, "Quant_0.*SIDEWAYS.*HALF_UP"),
    "dynamic scale": (lambda m: m.quant(m.x, dynamic(m)), UnsupportedLayer, "Quant_1.*its scale is not a constant"),
    "dynamic zero": (lambda m: m.quant(m.x, zero=dynamic(m)), UnsupportedLayer, "Quant_1.*its zero point"),
    "dynamic bits": (lambda m: m.quant(m.x, bits=dynamic(m)), UnsupportedLayer, "Quant_1.*its bit width"),
    "dynamic weights": (lambda m: m.add("Conv", m.x, dynamic(m)), UnsupportedLayer, "Conv_1.*its weight"),
    "no bits": (lambda m: m.quant(m.x, bits=0), UnsupportedLayer, r"bit width 0\.0"),
    "bits per channel": (lambda m: m.quant(m.x, bits=[3, 4]), UnsupportedLayer, "bit width"),
    "scale of zero": (lambda m: m.quant(m.x, 0.0), RangeError, "Quant_0.*scale 0 "),
    "negative scale": (lambda m: m.bipolar(m.x, -1.0), RangeError, "scale -1 "),
    "infinite scale": (lambda m: m.quant(m.x, INF), DataError, "its scale is not finite"),
    "scale per pixel": (
        lambda m: m.quant(m.x, np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)), ShapeError, "within a channel"
    ),
    "scale of another shape": (lambda m: m.quant(m.x, np.ones((1, 3, 1, 1))), ShapeError, "does not fit"),
    "no signed": (lambda m: m.add("Quant", m.x, 1.0, 0.0, 3.0, domain=QONNX), UnsupportedLayer, "signed"),
    "too few inputs": (lambda m: m.add("Quant", m.x, 1.0, domain=QONNX, signed=1), GraphError, "Quant_0.*malformed"),
    "constant that is NaN": (lambda m: m.add("Add", m.x, NAN), DataError, "'c0'.*NaN"),
    "constant that is infinite": (lambda m: m.add("Mul", m.x, INF), DataError, "Mul_0.*not finite"),
    "result that is not finite": (lambda m: m.add("Add", m.x, m.add("Div", 1.0, 0.0)), DataError, "Div_0.*not finite"),
    "division by zero": (lambda m: m.add("Div", m.x, 0.0), UnsupportedLayer, "divides by zero"),
    "zero over zero": (lambda m: m.quant(m.add("Div", 0.0, m.x)), RangeError, "Div_0.*holds zero"),
    "product of two": (lambda m: m.add("Mul", m.x, dynamic(m)), UnsupportedLayer, "Mul_1.*two tensors"),
    "power of x": (lambda m: m.add("Pow", m.x, 2.0), UnsupportedLayer, "only constants"),
    "sum of shapes": (lambda m: m.add("Add", m.x, m.add("GlobalMaxPool", m.x)), ShapeError, "adds shapes"),
    "float64": (lambda m: m.add("Add", m.x, m.constant(1.5, np.float64)), UnsupportedLayer, "float64"),
    "wrong norm": (lambda m: m.add("BatchNormalization", m.x, *[np.ones(3)] * 4), ShapeError, "2 channels"),
    "norm in training": (
        lambda m: m.add("BatchNormalization", m.x, *[np.ones(2)] * 4, training_mode=1), GraphError, "training_mode.*13"
    ),
    "negative variance": (
        lambda m: m.add("BatchNormalization", m.x, *[np.ones(2)] * 3, [1.0, -2.0]), RangeError, "variance -2 "
    ),
    "weights on no grid": (
        lambda m: m.add("Conv", m.x, np.array([[[[0.1]], [[0.7]]]])), RangeError, "quantise them"
    ),
    "weights of another shape": (lambda m: m.add("Conv", m.x, np.ones((1, 3, 3, 3))), ShapeError, "input channels"),
    "product of an image": (lambda m: m.add("MatMul", m.x, np.ones((4, 4))), ShapeError, "flatten"),
    "kernel that lies": (
        lambda m: m.add("Conv", m.x, np.ones((1, 2, 3, 3)), kernel_shape=[2, 2]), ShapeError, "beside"
    ),
    "negative pads": (
        lambda m: m.add("Conv", m.x, np.ones((1, 2, 1, 1)), pads=[0, -1, 0, 0]), UnsupportedLayer, "pads"
    ),
    "auto_pad": (lambda m: m.add("MaxPool", m.x, kernel_shape=[2, 2], auto_pad="SOME"), UnsupportedLayer, "SOME"),
    "pool pads": (
        lambda m: m.add("MaxPool", m.x, kernel_shape=[2, 2], pads=[1, 0, 0, 0]), UnsupportedLayer, "differ"
    ),
    "partial window": (
        lambda m: m.add("MaxPool", m.x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), UnsupportedLayer, "ceil_mode"
    ),
    "average of fewer": (
        lambda m: m.add("AveragePool", m.x, kernel_shape=[3, 3], pads=[1] * 4), UnsupportedLayer, "count_include_pad"
    ),
    "pad, then a pad": (
        lambda m: m.add("Conv", m.add("Pad", m.x, pads(1, 1, 1, 1), 2.0), np.ones((1, 2, 1, 1)), pads=[1] * 4),
        UnsupportedLayer, "only one of them",
    ),
    "uneven pad": (lambda m: m.add("Relu", m.add("Pad", m.x, pads(1, 0, 0, 0))), UnsupportedLayer, "not even"),
    "reflecting pad": (
        lambda m: m.add("Pad", m.x, pads(1, 1, 1, 1), mode="reflect"), UnsupportedLayer, "constant padding"
    ),
    "transpose": (lambda m: m.add("Transpose", m.x, perm=[0, 2, 3, 1]), UnsupportedLayer, "channels first"),
    "reshape": (lambda m: m.add("Reshape", m.x, np.array([1, 7])), ShapeError, "sizes differ"),
    "reshape without a batch": (lambda m: m.add("Reshape", m.x, np.array([32])), ShapeError, "batch"),
    "reshape to five axes": (lambda m: m.add("Reshape", m.x, np.array([1, 2, 2, 2, 2, 2])), ShapeError, "three axes"),
    "concat of pixels": (lambda m: m.add("Concat", m.x, m.x, axis=2), UnsupportedLayer, "axis 2"),
    "argmax of an image": (lambda m: m.add("ArgMax", m.x, axis=1), UnsupportedLayer, "classes"),
    "TopK": (lambda m: m.add("TopK", m.add("Flatten", m.x), np.array([2]), outputs=2), UnsupportedLayer, "k = 1"),
    "largest value": (
        lambda m: m.add("Relu", m.add("TopK", m.add("Flatten", m.x), np.array([1]), outputs=2)),
        UnsupportedLayer, "second output",
    ),
    "unbounded look-up": (
        lambda m: m.add("Gather", np.ones(3), m.add("Cast", m.x, to=TensorProto.INT64)), RangeError, "places -8..7 of 3"
    ),
    "layout": (
        lambda m: m.add("MultiThreshold", m.x, np.ones((2, 1)), domain=QONNX, data_layout="NHWC"),
        UnsupportedLayer, "channels last",
    ),
    "thresholds of another shape": (
        lambda m: m.add("MultiThreshold", m.x, np.ones((3, 1)), domain=QONNX), ShapeError, "one per channel"
    ),
    "Trunc of another version": (
        lambda m: m.add("Trunc", m.x, 1.0, 0.0, 8.0, 2.0, 4.0, domain=QONNX, rounding_mode="FLOOR"),
        UnsupportedLayer, "6 inputs, but version 1",
    ),
    "affine": (lambda m: m.add("Gemm", m.add("Flatten", m.x), np.ones((32, 1)), alpha=2.0), UnsupportedLayer, "alpha"),
    "levels beyond counting": (
        lambda m: m.add("Floor", m.add("Mul", m.add("Conv", m.x, np.full((1, 2, 1, 1), 2.0**18)), 4.0)), RangeError,
        "too many",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_node(name, tmp_path):
    case, error, words = NODES[name]
    model = Model(2, 4, 4)
    path = model.save(tmp_path / "m.onnx", case(model))
    with pytest.raises(error, match=words):
        read_qonnx(path, IMAGE)


def good() -> onnx.ModelProto:
    model = Model(2, 4, 4)
    return model.proto(model.add("Conv", model.quant(model.x), np.ones((1, 2, 3, 3))))


def change(edit) -> bytes:
    model = good()
    edit(model.graph)
    return model.SerializeToString()


def circle(graph) -> None:
    graph.node[0].input[0] = graph.node[1].output[0]


def external(graph) -> None:
    graph.initializer[0].data_location = TensorProto.EXTERNAL
    graph.initializer[0].external_data.add(key="location", value="weights.bin")


def loop(graph) -> None:
    graph.node[1].attribute.append(helper.make_attribute("body", helper.make_graph([], "b", [], [])))


def lie(graph) -> None:
    graph.value_info.append(helper.make_tensor_value_info("t0", TensorProto.FLOAT, [1, 2, 5, 4]))


def told(name: str, *shape: int | str, of: str = "value_info", kind: int = TensorProto.FLOAT) -> bytes:
    """The good file with one more declaration."""
    return change(lambda g: getattr(g, of).append(helper.make_tensor_value_info(name, kind, shape)))


def folded(*shape: int) -> bytes:
    """A file that computes its weights, with a declaration of them."""
    model = Model(2, 4, 4)
    weights = model.quant(np.ones((1, 2, 3, 3)))
    return model.proto(model.add("Conv", model.x, weights), shapes={weights: shape}).SerializeToString()


FILES = {
    "nothing": (b"", DataError, "no graph"),
    "text": (b"<html>not found</html>", DataError, "truncated, or not an ONNX"),
    "truncated": (good().SerializeToString()[:-40], DataError, "truncated|no graph"),
    "no outputs": (change(lambda g: g.ClearField("output")), DataError, "no graph with nodes and outputs"),
    "circle": (change(circle), GraphError, "Quant_0.*Conv_1.*circle"),
    "nothing makes it": (change(lambda g: g.initializer.pop()), GraphError, "Conv_1 reads 'c3'"),
    "made twice": (change(lambda g: g.node[1].output.append("t0")), GraphError, "Conv_1: makes 't0'.*Quant_0"),
    "external data": (change(external), DataError, "'c0' lies in another file"),
    "short constant": (change(lambda g: setattr(g.initializer[3], "raw_data", b"123")), DataError, "'c3'.*damaged"),
    "loop": (change(loop), UnsupportedLayer, "Conv_1.*body"),
    "a shape that lies": (change(lie), ShapeError, r"Quant_0.*'t0' is declared with shape \(1, 2, 5, 4\)"),
    "an output that lies": (
        change(lambda g: g.output[0].CopyFrom(helper.make_tensor_value_info("t1", TensorProto.FLOAT, [1, 10]))),
        ShapeError, r"\(1, 10\), but is \(1, 1, 2, 2\)",
    ),
    "a shape of an output that lies": (
        told("t1", 1, 10), ShapeError, r"Conv_1.*'t1' is declared with shape \(1, 10\), but is \(1, 1, 2, 2\).*infer"
    ),
    "a shape of a computed constant that lies": (
        folded(1, 2, 3, 4), ShapeError, r"Quant_0.*'t0' .*shape \(1, 2, 3, 4\), but is \(1, 2, 3, 3\): infer"
    ),
    "a shape of a constant that lies": (
        told("c3", 1, 2, 3), ShapeError, r"'c3' is declared with shape \(1, 2, 3\), but is \(1, 2, 3, 3\): infer"
    ),
    "an input that is a constant and lies": (
        told("c3", 1, 2, 3, 5, of="input"), ShapeError, r"'c3' .*\(1, 2, 3, 5\), but is \(1, 2, 3, 3\): infer"
    ),
    "a shape of the input that lies": (
        told("x", 1, 2, 5, 4), ShapeError, r"'x' .*twice, with shapes \(1, 2, 4, 4\) and \(1, 2, 5, 4\): infer"
    ),
    "two shapes": (
        change(lambda g: (lie(g), g.value_info.append(helper.make_tensor_value_info("t0", TensorProto.FLOAT, [1, 2])))),
        ShapeError, r"'t0' .*twice, with shapes \(1, 2, 5, 4\) and \(1, 2\): infer",
    ),
    "a type that is none": (told("t0", kind=99), DataError, "'t0' is declared with an unknown type"),
    "two types": (told("x", 1, 2, 4, 4, kind=TensorProto.INT8), GraphError, "'x' .*twice, as FLOAT and as INT8"),
    "a type of an output that lies": (
        change(lambda g: g.output[0].CopyFrom(helper.make_tensor_value_info("t1", TensorProto.INT64, None))),
        GraphError, "'t1' is declared as INT64, but is FLOAT",
    ),
    "an output without a name": (change(lambda g: setattr(g.output[0], "name", "")), GraphError, "output.*no name"),
    "an open axis": (
        change(lambda g: g.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, "h", 4]))),
        ShapeError, "'x'.*fix every axis",
    ),
    "half precision": (
        change(lambda g: g.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, 2, 4, 4]))),
        UnsupportedLayer, "FLOAT16",
    ),
    "output of constants": (change(lambda g: setattr(g.output[0], "name", "c3")), GraphError, "'c3'.*nothing is left"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_file(name, tmp_path):
    content, error, words = FILES[name]
    path = Path(tmp_path / "m.onnx")
    path.write_bytes(content)
    with pytest.raises(error, match=words):
        read_qonnx(path, IMAGE)


def test_every_truncation_is_an_error_of_ours(tmp_path):
    """But for one behind the graph, where only the versions of further operators are missing."""
    content, path = good().SerializeToString(), tmp_path / "m.onnx"
    for size in range(len(content) - len(QONNX) - 40):
        path.write_bytes(content[:size])
        with pytest.raises((DataError, GraphError, ShapeError, UnsupportedLayer, RangeError)):
            read_qonnx(path, IMAGE)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.onnx: cannot be read"):
        read_qonnx(tmp_path / "nowhere.onnx")


def opened(graph) -> None:
    """The input leaves an axis open that value_info knows."""
    axes = graph.input[0].type.tensor_type.shape.dim
    axes[2].Clear()
    graph.value_info.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 4, 4]))


@pytest.mark.parametrize(
    "content", [change(opened), told("t1", "n", 1, "h", 2), told("t0", 1, 2, 4, 4), folded(1, 2, 3, 3)]
)
def test_declarations_that_are_true(content, tmp_path):
    """What one leaves open is as another says."""
    (tmp_path / "m.onnx").write_bytes(content)
    assert read_qonnx(tmp_path / "m.onnx", IMAGE).exact


def test_nodes_in_another_order_and_nodes_that_nothing_needs(tmp_path):
    """Order is repaired; what the outputs do not need is not read."""
    model = good()
    first, second = model.graph.node
    del model.graph.node[:]
    model.graph.node.extend([second, first, helper.make_node("Mystery", ["x"], ["z"])])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert read_qonnx(tmp_path / "m.onnx", IMAGE).exact


def test_an_input_without_a_type(tmp_path):
    for case, words in (
        (lambda m: m.add("MaxPool", m.x, kernel_shape=[2, 2]), "before any quantiser"),
        (lambda m: m.add("Add", m.quant(m.x), m.quant(m.x)), "quantised twice"),
        (lambda m: m.add("Floor", m.x), "no end"),
    ):
        model = Model(2, 4, 4)
        with pytest.raises(UnsupportedLayer, match=words):
            read_qonnx(model.save(tmp_path / "m.onnx", case(model)))
