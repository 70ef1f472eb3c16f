"""Spellings of one thing: each is read as what it means, as the evaluator and the specifications say, or refused."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from intaglio.exchange import read_qonnx
from intaglio.ir import Type
from intaglio.ir.errors import DataError, GraphError, IntaglioError, RangeError, ShapeError, UnsupportedLayer
from tests.support.exchange import agree, same
from tests.support.onnx_models import OLD, QONNX, Model, evaluate

IMAGE = Type((2, 6, 6), (-8, 7))
LOWEST = float(np.finfo(np.float32).min)


def kinds(graph):
    return [type(node.op).__name__ for node in graph.nodes]


# --- integer formats ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "zero", "span"), [
    ({}, None, (0, 255)), ({"output_dtype": TensorProto.INT8}, None, (-128, 127)),
    ({"output_dtype": TensorProto.UINT8}, None, (0, 255)), ({"output_dtype": TensorProto.INT16}, None, (-32768, 32767)),
    ({"output_dtype": 0}, None, (0, 255)), ({"output_dtype": TensorProto.INT8}, np.int8(3), (-131, 124)),
    ({}, np.int8(3), (-131, 124)), ({}, np.uint16(0), (0, 65535)),
])  # fmt: skip
def test_the_type_that_is_quantised_to(settings, zero, span, tmp_path):
    model = Model(6)
    points = [] if zero is None else [model.constant(zero, zero.dtype)]
    wire = model.add("QuantizeLinear", model.x, 1 / 16, *points, **settings)
    wire = model.add("DequantizeLinear", wire, 1 / 16, *points)
    found = read_qonnx(model.save(tmp_path / "m.onnx", wire, opset=21))
    x = np.random.default_rng(1).normal(0, 4000 if span[1] > 255 else 12, (40, 6)).astype(np.float32)
    right = np.clip(np.rint(x * 16), *span) / np.float32(16)
    assert np.array_equal(found(*found.encode(x))[0], right) and np.abs(right).max() == max(map(abs, span)) / 16


def test_types_that_contradict_each_other(tmp_path):
    model = Model(6)
    wire = model.add("QuantizeLinear", model.x, 1.0, model.constant(0, np.uint8), output_dtype=TensorProto.INT8)
    with pytest.raises(GraphError, match=r"zero point is of uint8.*integers are of int8"):
        read_qonnx(model.save(tmp_path / "m.onnx", wire, opset=21))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT8E4M3FN, TensorProto.INT4, 999])
def test_types_that_are_not_read(kind, tmp_path):
    model = Model(6)
    wire = model.add("QuantizeLinear", model.x, 1.0, output_dtype=kind)
    with pytest.raises(IntaglioError, match=r"QuantizeLinear_0 "):
        read_qonnx(model.save(tmp_path / "m.onnx", wire, opset=21))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1, 1)])
@pytest.mark.parametrize("other", [(), (1,)])
def test_parameters_of_one_element(shape, other, tmp_path):
    of = Type((6,), (-20, 20))
    model = Model(6)
    scale, zero = model.constant(np.full(shape, 2.0)), model.constant(np.full(other, 3), np.int8)
    wire = model.add("DequantizeLinear", model.add("QuantizeLinear", model.x, scale, zero), scale, zero)
    found = read_qonnx(model.save(tmp_path / "m.onnx", wire), of)
    x = np.arange(-20, 20).reshape(-1, 1).repeat(6, 1)
    assert np.array_equal(found(x)[0], np.clip(np.rint(x / 2) + 3, -128, 127) * 2 - 6)
    model = Model(6)
    wire = model.quant(model.x, np.full(shape, 2.0, np.float32), 4, np.full(other, 0, np.float32))
    found = read_qonnx(model.save(tmp_path / "m.onnx", wire), of)
    assert np.array_equal(found(x)[0], np.clip(np.rint(x / 2), -8, 7) * 2)


def test_a_quantiser_on_a_constant(tmp_path):
    model = Model(6)
    zero = model.constant(np.int8(1), np.int8)
    weight = np.random.default_rng(0).normal(0, 40, (6, 4)).astype(np.float32)
    wire = model.add("DequantizeLinear", model.add("QuantizeLinear", weight, 0.5, zero), 0.5, zero)
    agree(model.save(tmp_path / "m.onnx", model.add("MatMul", model.x, wire)), Type((6,), (-8, 7)))


KINDS = [np.float64, np.float16, "bfloat16"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("build", [
    lambda m, of: m.add("Quant", m.x, of(0.1), 0.0, 4.0, domain=QONNX, signed=1),
    lambda m, of: m.add("Quant", m.x, 0.1, of(1), 4.0, domain=QONNX, signed=1),
    lambda m, of: m.add("MatMul", m.x, m.add("Quant", of([[0.1]] * 6), 0.1, 0.0, 4.0, domain=OLD, signed=1)),
    lambda m, of: m.add("BipolarQuant", m.x, of(0.1), domain=QONNX),
    lambda m, of: m.add("MultiThreshold", m.x, of([[0.1]]), domain=QONNX),
    lambda m, of: m.add("QuantizeLinear", m.x, of(0.1)),
    lambda m, of: m.add("DequantizeLinear", m.add("QuantizeLinear", m.x, 0.1), of(0.1)),
    lambda m, of: m.add("Mul", m.x, of(0.1)), lambda m, of: m.add("MatMul", m.x, of([[1]] * 6)),
    lambda m, of: m.add("Gemm", m.x, np.ones((6, 1), np.float32), of([1])),
    lambda m, of: m.add("BatchNormalization", m.x, *[of([1] * 6)] * 4),
])  # fmt: skip
def test_parameters_that_are_not_float32(kind, build, tmp_path):
    """Another type computes in another precision: the file's results are not ours."""
    model = Model(6)

    def of(value):
        name = f"k{len(model.constants)}"
        dtype = helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16) if kind == "bfloat16" else kind
        model.constants.append(numpy_helper.from_array(np.asarray(value, np.float32).astype(dtype), name))
        return name

    with pytest.raises(UnsupportedLayer, match="float32"):
        read_qonnx(model.save(tmp_path / "m.onnx", build(model, of)), Type((6,), (-8, 7)))


# --- pads ------------------------------------------------------------------------------------------------


def pooled(model: Model, value: float, pads=(1, 1, 1, 1), before=lambda m: m.x, **settings) -> str:
    sides = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]])
    wire = model.add("Pad", before(model), sides, np.float32(value))
    return model.add("MaxPool", wire, **{"kernel_shape": [3, 3], "strides": [2, 2], **settings})


@pytest.mark.parametrize("value", [-math.inf, LOWEST, -8.0, -100.0])
@pytest.mark.parametrize("before", [
    lambda m: m.x, lambda m: m.add("Neg", m.x), lambda m: m.add("Mul", m.x, np.array([[[0.5]], [[-2.0]]], np.float32)),
    lambda m: m.add("Relu", m.x),
])  # fmt: skip
def test_a_border_that_never_wins_is_the_padding_of_the_pool(value, before, tmp_path):
    model = Model(2, 6, 6)
    found = agree(model.save(tmp_path / "m.onnx", pooled(model, value, before=before)), IMAGE)
    assert value >= -20 or "Pad" not in kinds(found.graph)


@pytest.mark.parametrize("value", [0.0, 3.0, -1.0])
def test_a_border_that_may_win_is_made(value, tmp_path):
    model = Model(2, 6, 6)
    assert "Pad" in kinds(agree(model.save(tmp_path / "m.onnx", pooled(model, value)), IMAGE).graph)


def test_borders_between_steps_that_keep_them(tmp_path):
    """The smallest value of every window: of what is padded with infinity, the largest negative."""
    model = Model(2, 6, 6)
    wire = model.add("Neg", model.add("Pad", model.x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(math.inf)))
    wire = model.add("Neg", model.add("MaxPool", wire, kernel_shape=[3, 3]))
    agree(model.save(tmp_path / "m.onnx", wire), IMAGE)
    model = Model(2, 6, 6)
    wire = model.add("Pad", model.x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(-math.inf))
    agree(model.save(tmp_path / "m.onnx", model.add("GlobalMaxPool", wire)), IMAGE)


def test_the_border_of_a_rectified_tensor_is_zero_in_windows_of_its_own(tmp_path):
    """Windows that lie in the border alone hold zeros, which padding does not have."""
    model = Model(2, 6, 6)
    relu = model.add("Relu", model.x)
    wire = model.add("Pad", relu, np.array([0, 0, 4, 4, 0, 0, 4, 4]))
    wire = model.add("MaxPool", wire, kernel_shape=[2, 2], strides=[2, 2])
    assert "Pad" in kinds(agree(model.save(tmp_path / "m.onnx", wire), IMAGE).graph)


@pytest.mark.parametrize("value", [math.inf, -math.inf, LOWEST, -LOWEST])
@pytest.mark.parametrize("after", [
    lambda m, x: m.add("Conv", x, np.ones((1, 2, 3, 3))), lambda m, x: m.add("Add", x, 1.0), lambda m, x: m.quant(x),
    lambda m, x: m.add("AveragePool", x, kernel_shape=[2, 2]), lambda m, x: x,
])  # fmt: skip
def test_borders_that_only_a_max_pool_takes(value, after, tmp_path):
    model = Model(2, 6, 6)
    wire = model.add("Pad", model.x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(value))
    with pytest.raises(UnsupportedLayer, match="only a MaxPool"):
        read_qonnx(model.save(tmp_path / "m.onnx", after(model, wire)), IMAGE)


def test_infinity_that_wins(tmp_path):
    model = Model(2, 6, 6)
    with pytest.raises(UnsupportedLayer, match="padded with inf"):
        read_qonnx(model.save(tmp_path / "m.onnx", pooled(model, math.inf)), IMAGE)


@pytest.mark.parametrize(("axes", "pads"), [
    ([2, 3], [1, 2, 1, 2]), ([-1, -2], [2, 1, 2, 1]), ([3], [2, 2]), ([0, 2], [0, 1, 0, 1])
])  # fmt: skip
def test_pads_of_some_axes(axes, pads, tmp_path):
    model = Model(2, 6, 6)
    wire = model.add("Pad", model.x, np.array(pads), np.float32(0), np.array(axes))
    found = read_qonnx(model.save(tmp_path / "m.onnx", model.add("Conv", wire, np.ones((1, 2, 3, 3))), opset=18), IMAGE)
    sides = np.zeros((4, 2), int)
    for i, axis in enumerate(axes):
        sides[axis] = pads[i], pads[i + len(axes)]
    x = np.random.default_rng(0).integers(-8, 8, (3, 2, 6, 6))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, sides), (3, 3), (2, 3))
    assert np.array_equal(found(x)[0][:, 0], windows.sum((1, 4, 5)))


@pytest.mark.parametrize(("axes", "pads"), [([2], [1]), ([2, 2], [1] * 4), ([7], [1, 1]), ([-5], [1, 1])])
def test_axes_of_pads_that_are_wrong(axes, pads, tmp_path):
    model = Model(2, 6, 6)
    wire = model.add("Pad", model.x, np.array(pads), np.float32(0), np.array(axes))
    with pytest.raises(GraphError, match="give two for each"):
        read_qonnx(model.save(tmp_path / "m.onnx", wire, opset=18), IMAGE)


# --- transposes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", [
    lambda m, x: x, lambda m, x: m.add("Relu", x), lambda m, x: m.quant(m.add("Mul", x, 0.75), 0.5, 3),
    lambda m, x: m.add("Add", m.add("Relu", x), m.add("Neg", x)),
    lambda m, x: m.add("Transpose", m.add("Transpose", x, perm=[0, 2, 1, 3]), perm=[0, 2, 1, 3]),
])  # fmt: skip
def test_transposes_that_cancel(between, tmp_path):
    model = Model(2, 6, 5)
    wire = between(model, model.add("Transpose", model.quant(model.x), perm=[0, 2, 3, 1]))
    wire = model.add("Conv", model.add("Transpose", wire, perm=[0, 3, 1, 2]), np.ones((1, 2, 3, 3)))
    found = agree(model.save(tmp_path / "m.onnx", wire), Type((2, 6, 5), (-8, 7)))
    assert "Reshape" not in kinds(found.graph)


@pytest.mark.parametrize("after", [
    lambda m, x: x, lambda m, x: m.add("Flatten", x), lambda m, x: m.add("Add", x, np.arange(2.0, dtype=np.float32)),
    lambda m, x: m.add("MaxPool", x, kernel_shape=[2, 2]), lambda m, x: m.add("Add", x, m.x),
    lambda m, x: m.add("Transpose", x, perm=[0, 1, 3, 2]), lambda m, x: m.add("GlobalAveragePool", x),
])  # fmt: skip
def test_transposes_that_do_not(after, tmp_path):
    model = Model(2, 2, 2)
    wire = after(model, model.add("Transpose", model.x, perm=[0, 2, 3, 1]))
    with pytest.raises(UnsupportedLayer, match="channels first"):
        read_qonnx(model.save(tmp_path / "m.onnx", wire), Type((2, 2, 2), (-8, 7)))


@pytest.mark.parametrize("perm", [[0, 1, 1, 2], [0, 1, 2], [0, 1, 2, 4]])
def test_a_perm_that_is_none(perm, tmp_path):
    model = Model(2, 2, 2)
    path = model.save(tmp_path / "m.onnx", model.add("Transpose", model.x, perm=perm))
    with pytest.raises(GraphError, match=r"perm \["):
        read_qonnx(path, Type((2, 2, 2), (-8, 7)))


# --- divisions --------------------------------------------------------------------------------------------


def test_a_constant_over_a_range(tmp_path):
    for low, high in ((1, 9), (-9, -1), (0, 9), (-9, 9), (-9, 0)):
        model = Model(3)
        wire = model.quant(model.add("Div", 3.0, model.x), 0.25, 6)
        path = model.save(tmp_path / "m.onnx", wire)
        if low * high > 0:
            agree(path, Type((3,), (low, high)))
            continue
        with pytest.raises(RangeError, match=r"Div_0.*holds zero"):
            read_qonnx(path, Type((3,), (low, high)))


# --- operator sets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("build", "opset", "error", "words"), [
    (lambda m: m.add("Clip", m.x, min=-1.0, max=2.0), 13, GraphError, "'max' is not one of opset 13"),
    (lambda m: m.add("Clip", m.x, -1.0, 2.0), 10, GraphError, "has 3 inputs; of opset 10 it takes 1 to 1"),
    (lambda m: m.add("Relu", m.x, m.x), 13, GraphError, "has 2 inputs"),
    (lambda m: m.add("Pad", m.x, pads=[0] * 8), 11, GraphError, "has 1 inputs"),
    (lambda m: m.add("ReduceMean", m.x, np.array([2, 3])), 13, GraphError, "has 2 inputs"),
    (lambda m: m.add("MaxPool", m.x), 13, GraphError, "'kernel_shape' is missing"),
    (lambda m: m.add("MaxPool", m.x, kernel_shape=2), 13, GraphError, "'kernel_shape' is of type int, not ints"),
    (lambda m: m.add("Flatten", m.x, axis="1"), 13, GraphError, "'axis' is of type string, not int"),
    (lambda m: m.add("QuantizeLinear", m.x, 1.0), 9, UnsupportedLayer, "opset 9 has no such operator"),
    (lambda m: m.add("Relu", m.x), 6, UnsupportedLayer, "opset 6 is not read.*from 7 to"),
    (lambda m: m.add("Relu", m.x), 99, UnsupportedLayer, "opset 99 is not read"),
    (lambda m: m.add("Relu", m.x), -1, UnsupportedLayer, "opset -1 is not read"),
    (lambda m: m.add("BatchNormalization", m.x, *[np.ones(2)] * 4, training_mode=1), 14, UnsupportedLayer, "evaluat"),
    (lambda m: m.add("Dropout", m.x, 0.5, m.constant(True, np.bool_)), 13, UnsupportedLayer, "evaluation"),
    (lambda m: m.add("TopK", m.x, np.array([1])), 13, GraphError, "has 1 outputs; of opset 13 it makes 2 to 2"),
    *((lambda m, axis=axis: m.add("QuantizeLinear", m.x, np.ones(2), m.constant([0, 0], np.int8), axis=axis), 13,
       ShapeError, f"axis {axis}") for axis in (5, -7)),
    (lambda m: m.add("DequantizeLinear", m.add("QuantizeLinear", m.x, 1.0), 1.0, m.constant(0, np.int8)), 13,
     GraphError, "zero point is of int8, its integers are of uint8"),
    (lambda m: m.inputs.append(m.inputs[0]) or m.add("Relu", m.x), 13, GraphError, "two have one name"),
])  # fmt: skip
def test_nodes_that_are_not_of_their_operator_set(build, opset, error, words, tmp_path):
    model = Model(2, 6, 6)
    path = model.save(tmp_path / "m.onnx", build(model), opset=opset)
    with pytest.raises(error, match=words):
        read_qonnx(path, IMAGE)


def test_bounds_of_a_clip_are_where_the_operator_set_says(tmp_path):
    model = Model(2, 6, 6)
    agree(model.save(tmp_path / "m.onnx", model.add("Clip", model.x, min=-1.0, max=2.0), opset=10), IMAGE)
    model = Model(2, 6, 6)
    agree(model.save(tmp_path / "m.onnx", model.add("Clip", model.x, -1.0, 2.0), opset=11), IMAGE)


def test_operator_sets_told_twice_or_not_at_all(tmp_path):
    model = Model(4)
    proto = model.proto(model.add("Relu", model.x))
    for change, words in (
        (lambda p: p.opset_import.append(helper.make_opsetid("ai.onnx", 11)), "versions 13 and 11"),
        (lambda p: p.opset_import.remove(p.opset_import[0]), "no version of the standard"),
        (lambda p: p.opset_import.append(helper.make_opsetid("finn.custom_op.general", 9)), "version 9"),
    ):
        other = onnx.ModelProto()
        other.CopyFrom(proto)
        change(other)
        (tmp_path / "m.onnx").write_bytes(other.SerializeToString())
        with pytest.raises(IntaglioError, match=words):
            read_qonnx(tmp_path / "m.onnx", Type((4,), (0, 1)))


# --- inputs -------------------------------------------------------------------------------------------------


def reader(tmp_path: Path, kind: int = TensorProto.FLOAT, quantised: bool = True):
    model = Model(3, 4, 5, kind=kind)
    wire = model.add("Cast", model.x, to=TensorProto.FLOAT) if kind != TensorProto.FLOAT else model.x
    wire = model.add("Conv", model.quant(wire, 0.5) if quantised else wire, np.ones((1, 3, 2, 2)))
    given = None if quantised else Type((3, 4, 5), (-8, 7))
    return read_qonnx(model.save(tmp_path / "m.onnx", wire), given)


@pytest.mark.parametrize("shape", [(1, 4, 5, 3), (3, 4, 5), (1, 60), (60,), (), (1, 3, 4, 5, 1), (1, 3, 5, 4)])
def test_arrays_of_another_shape_are_not_encoded(shape, tmp_path):
    for quantised in (True, False):
        with pytest.raises(ShapeError, match=r"'x' has shape .*expected \(batch, 3, 4, 5\)"):
            reader(tmp_path, quantised=quantised).encode(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, "a", None, 1j])
def test_what_is_no_number_is_not_encoded(value, tmp_path):
    for quantised in (True, False):
        with pytest.raises(DataError, match="'x'"):
            reader(tmp_path, quantised=quantised).encode(np.full((2, 3, 4, 5), value))


def test_infinity_is_what_the_quantiser_makes_of_it(tmp_path):
    x = np.full((1, 3, 4, 5), np.inf)
    assert (reader(tmp_path).encode(x)[0] == 7).all()
    assert (reader(tmp_path).encode(np.full_like(x, -1e300))[0] == -8).all()
    with pytest.raises(DataError, match="infinite"):
        reader(tmp_path, quantised=False).encode(x)


@pytest.mark.parametrize("value", [128, -129, 0.5])
def test_inputs_of_integers_take_only_these(value, tmp_path):
    model = reader(tmp_path, TensorProto.INT8)
    assert (model.encode(np.full((1, 3, 4, 5), -128))[0] == -128).all()
    with pytest.raises(DataError, match="'x' takes integers from -128 to 127"):
        model.encode(np.full((1, 3, 4, 5), value))


def test_an_input_that_nothing_reads_is_left_out(tmp_path):
    model = Model(4)
    ports = (("n", TensorProto.INT64, [7]), ("s", TensorProto.STRING, []), ("f", TensorProto.FLOAT, None))
    for name, kind, shape in ports:
        model.inputs.insert(0, helper.make_tensor_value_info(name, kind, shape))
    model.add("Add", "f", "f")
    path = model.save(tmp_path / "m.onnx", model.quant(model.x))
    found = read_qonnx(path)
    assert [encoder.name for encoder in found.inputs] == ["x"] and len(found.graph.inputs) == 1
    x = np.random.default_rng(0).normal(0, 5, (4, 4)).astype(np.float32)
    same(found(*found.encode(x))[0], evaluate(one_input(path), x)[0])


def one_input(path: Path) -> Path:
    model = onnx.load(path)
    del model.graph.input[:-1]
    del model.graph.node[0]
    path.write_bytes(model.SerializeToString())
    return path


# --- the ends of float32 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [-120, 120])
def test_sums_that_float32_makes_zero_or_infinite_are_not_exact(power, tmp_path):
    """x * 2**-120 * 2**-120 * 2**120 is zero in float32, and what no scale says; so is the other way round."""
    model = Model(2)
    wire = model.quant(model.x)
    for exponent in (power, power, -power):
        wire = model.add("MatMul", wire, np.eye(2) * 2.0**exponent)
    path = model.save(tmp_path / "m.onnx", wire)
    with pytest.raises(RangeError, match=r"MatMul_\d .*no multiple of a power of two that float32 has"):
        read_qonnx(path)
    assert not read_qonnx(path, exact=False).exact


@pytest.mark.parametrize("power", [-120, 120])
def test_scales_beyond_all_numbers(power, tmp_path):
    model = Model(2)
    wire = model.quant(model.x)
    for _ in range(9):
        wire = model.add("MatMul", wire, np.eye(2) * 2.0**power)
    with pytest.raises(RangeError, match=r"MatMul_\d.*nearer to one"):
        read_qonnx(model.save(tmp_path / "m.onnx", wire), exact=False)
