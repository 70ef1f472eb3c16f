"""read_qonnx as a whole: what networks become, where reals enter, what is exact, and rounding modes by hand."""

from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto, helper

from intaglio.exchange import read_qonnx
from intaglio.exchange.steps import MODES
from intaglio.ir import Type
from intaglio.ir.errors import GraphError, IntaglioError, RangeError, ShapeError, UnsupportedLayer
from tests.support.exchange import agree, draw, same
from tests.support.onnx_models import QONNX, Model, evaluate
from tests.support.random_files import RandomFile

VECTOR = Type((6,), (-20, 20))


def kinds(graph):
    return [type(node.op).__name__ for node in graph.nodes]


HALVES = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, -1.25, 1.25, -1.75, 1.75, 2.0, -3.0]
TABLE = {
    "ROUND": [-2, -2, 0, 0, 2, 2, -1, 1, -2, 2, 2, -3],
    "HALF_EVEN": [-2, -2, 0, 0, 2, 2, -1, 1, -2, 2, 2, -3],
    "HALF_UP": [-3, -2, -1, 1, 2, 3, -1, 1, -2, 2, 2, -3],
    "HALF_DOWN": [-2, -1, 0, 0, 1, 2, -1, 1, -2, 2, 2, -3],
    "CEIL": [-2, -1, 0, 1, 2, 3, -1, 2, -1, 2, 2, -3],
    "FLOOR": [-3, -2, -1, 0, 1, 2, -2, 1, -2, 1, 2, -3],
    "UP": [-3, -2, -1, 1, 2, 3, -2, 2, -2, 2, 2, -3],
    "DOWN": [-2, -1, 0, 0, 1, 2, -1, 1, -1, 1, 2, -3],
    "ROUND_TO_ZERO": [-2, -1, 0, 0, 1, 2, -1, 1, -1, 1, 2, -3],
}


def test_every_rounding_mode_is_in_the_table():
    assert set(TABLE) == set(MODES)


@pytest.mark.parametrize("mode", TABLE)
def test_rounding_modes(mode, tmp_path):
    """Multiples of a quarter, alone and through files with narrow ranges, zero points and both signs."""
    assert MODES[mode](np.array(HALVES, np.float32)).tolist() == TABLE[mode]
    of = Type((1,), (-40, 40), (Fraction(1, 4),))
    everything = np.arange(-40, 41)[:, None]
    for signed, narrow, zero in ((1, 0, 0.0), (1, 1, 1.0), (0, 0, 2.0), (0, 1, 0.0)):
        model = Model(1, batch=len(everything))
        path = model.save(tmp_path / "m.onnx", model.quant(model.x, 1.0, 3, zero, signed, narrow, mode.lower()))
        found = read_qonnx(path, of)
        expected = [TABLE[mode][HALVES.index(x)] for x in HALVES]
        got = found(np.array([[int(4 * x)] for x in HALVES]))[0][:, 0]
        low, high = {(1, 0): (-4, 3), (1, 1): (-3, 3), (0, 0): (0, 7), (0, 1): (0, 6)}[signed, narrow]
        assert zero or got.tolist() == np.clip(expected, low, high).tolist()
        same(found(everything)[0], evaluate(path, (everything / 4).astype(np.float32))[0])


def test_a_quant_clips_before_it_rounds(tmp_path):
    """3.4 clips to 3, which CEIL leaves: 4 would be outside."""
    model = Model(1)
    path = model.save(tmp_path / "m.onnx", model.quant(model.x, 1.0, 3, mode="CEIL"))
    found = read_qonnx(path, Type((1,), (0, 50), (Fraction(1, 10),)))
    assert found(np.array([[34], [21], [20]]))[0][:, 0].tolist() == [3, 3, 2]


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND", "CEIL", "HALF_UP"])
@pytest.mark.parametrize("scale_out", [0.25, 1.0, 1.3])
def test_trunc_of_version_two(mode, scale_out, tmp_path):
    """A new scale, brought to a power of two above the old one; signs, narrow ranges and zero points."""
    for signed, narrow, zero, bits in ((1, 0, 0.0, 4.0), (1, 1, 4.0, 3.0), (0, 0, 3.0, 4.0), (0, 1, -8.0, 2.0)):
        model = Model(1)
        settings = {"signed": signed, "narrow": narrow, "rounding_mode": mode, "domain": QONNX}
        wire = model.add("Trunc", model.x, 0.25, zero, 8.0, scale_out, bits, **settings)
        path = model.save(tmp_path / "m.onnx", wire, version=2)
        agree(path, Type((1,), (-80, 80), (Fraction(1, 4),)), count=60)


def test_a_falling_norm_negates_rows_of_weights(tmp_path):
    model = Model(6)
    weights = np.random.default_rng(0).integers(-1, 2, (6, 4)).astype(np.float32)
    wire = model.add("MatMul", model.x, weights)
    wire = model.add("BatchNormalization", wire, [1, -1, 2, -0.5], [0.3] * 4, [1] * 4, [2] * 4, epsilon=1e-5)
    found = agree(model.save(tmp_path / "m.onnx", model.bipolar(wire)), VECTOR)
    assert kinds(found.graph)[:3] == ["Input", "MatMul", "Threshold"]
    assert np.array_equal(found.graph.nodes[1].op.weight, weights.T * [[1], [-1], [1], [-1]])


@pytest.mark.parametrize("other", [lambda m, x: x, lambda m, x: m.quant(x, 8.0, 3)])
def test_signs_stay_where_something_else_reads_the_sums(other, tmp_path):
    model = Model(6)
    wire = model.add("MatMul", model.x, np.eye(6) * 3)
    path = model.save(tmp_path / "m.onnx", model.bipolar(model.add("Mul", wire, -1.0)), other(model, wire))
    found = agree(path, VECTOR)
    assert np.array_equal(found.graph.node("MatMul_0").op.weight, np.eye(6) * 3)


def test_operations_are_the_cheapest_that_are_exact(tmp_path):
    def op(of, build):
        model = Model(*of.shape)
        return kinds(agree(model.save(tmp_path / "m.onnx", build(model)), of).graph)[1:]

    wide = Type((3,), (-5000, 5000))
    assert op(VECTOR, lambda m: m.add("MatMul", m.quant(m.x, 1.0, 8), np.eye(6))) == ["MatMul"]
    assert op(wide, lambda m: m.quant(m.x, 300.0, 3)) == ["Threshold"]
    assert op(Type((3,), (0, 255)), lambda m: m.bipolar(m.add("Sub", m.x, 99.0)))[0] == "Threshold"
    assert op(wide, lambda m: m.quant(m.x, 30.0, 8, mode="FLOOR")) == ["Requantize"]
    assert op(wide, lambda m: m.quant(m.add("Add", m.x, 0.1), 40.1, 8)) == ["Requantize"]
    # Half to even at every second limit is no line, so no multiplication will do.
    assert op(wide, lambda m: m.quant(m.x, 32.0, 8)) == ["Threshold"]
    assert op(VECTOR, lambda m: m.quant(m.add("Abs", m.x), 1.0, 4)) == ["Lookup"]
    assert op(VECTOR, lambda m: m.quant(m.add("Relu", m.x), 1.0, 8)) == ["Requantize"]


def test_offsets_and_scales_merge_into_what_counts(tmp_path):
    model = Model(6)
    zero = model.constant(3, np.uint8)
    whole = model.add("QuantizeLinear", model.x, 16.0, zero)
    wire = model.add("MatMul", model.add("DequantizeLinear", whole, 16.0, zero), np.eye(6))
    found = agree(model.save(tmp_path / "m.onnx", wire), VECTOR)
    assert kinds(found.graph) == ["Input", "Threshold", "MatMul"]
    assert found.graph.nodes[1].type.scale == (16,) and found.graph.nodes[1].type.range == (-1, 1)


def test_a_scalar_affine_at_the_end_stays_outside(tmp_path):
    model = Model(6)
    wire = model.add("Add", model.add("Mul", model.add("MatMul", model.x, np.eye(6)), 0.3), 0.1)
    found = agree(model.save(tmp_path / "m.onnx", wire), VECTOR)
    assert kinds(found.graph) == ["Input", "MatMul"] and len(found.tails[0].steps) == 2


def test_pixels_are_the_nearest_floats(tmp_path):
    """Every k / 255 in float32, before a threshold that sits on every other one."""
    k = np.arange(256)
    model = Model(256)
    edges = k.astype(np.float32) / np.float32(255)
    path = model.save(tmp_path / "m.onnx", model.bipolar(model.add("Sub", model.x, edges[None])))
    found = read_qonnx(path, Type((256,), (0, 255), (Fraction(1, 255),)))
    assert np.array_equal(found(np.tile(k[:, None], 256))[0], np.where(k[:, None] < k, -1, 1))


def test_without_a_type_the_first_quantiser_is_the_input(tmp_path):
    model = Model(2, 3, 3)
    wire = model.quant(model.add("Mul", model.x, 1.7), 0.25, 5, zero=2.0)
    wire = model.add("Conv", model.add("Relu", wire), np.ones((1, 2, 2, 2)))
    path = model.save(tmp_path / "m.onnx", wire)
    found = read_qonnx(path)
    assert found.graph.input_types == (Type((2, 3, 3), (-18, 13), (Fraction(1, 4),)),)
    x = np.random.default_rng(0).normal(0, 3, (50, 2, 3, 3)).astype(np.float32)
    same(found(*found.encode(x))[0], evaluate(path, x)[0])


@pytest.mark.parametrize(("before", "span"), [
    (lambda m: m.add("Clip", m.x, -0.6, 0.8), (-2, 3)),
    (lambda m: m.add("Neg", m.add("Clip", m.x, -0.6, 0.8)), (-3, 2)),
    (lambda m: m.add("Abs", m.x), (-16, 15)),
    (lambda m: m.add("Mul", m.x, np.array([[0.0, 1.0]])), (-16, 15)),
])  # fmt: skip
def test_what_comes_before_the_first_quantiser_bounds_the_input(before, span, tmp_path):
    model = Model(2)
    path = model.save(tmp_path / "m.onnx", model.quant(before(model), 0.25, 5))
    found = read_qonnx(path)
    assert found.graph.input_types[0].range == span
    x = np.random.default_rng(0).normal(0, 2, (50, 2)).astype(np.float32)
    same(found(*found.encode(x))[0], evaluate(path, x)[0])


def test_inputs_of_integers(tmp_path):
    model = Model(4, kind=TensorProto.UINT8)
    path = model.save(tmp_path / "m.onnx", model.quant(model.add("Cast", model.x, to=TensorProto.FLOAT), 3.0, 4))
    found = read_qonnx(path)
    assert found.graph.input_types == (Type((4,), (0, 255)),)
    x = draw(found.graph.input_types[0], 20)
    same(found(x)[0], evaluate(path, x.astype(np.uint8))[0])


def test_two_inputs_by_name(tmp_path):
    model = Model(3, batch="batch")
    model.inputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3]))
    path = model.save(tmp_path / "m.onnx", model.add("Sub", model.x, "y"))
    types = {"x": Type((3,), (0, 7), (Fraction(1, 2),)), "y": Type((3,), (-3, 3))}
    found = read_qonnx(path, types)
    x, y = (draw(of, 9) for of in types.values())
    same(found(x, y)[0], evaluate(path, (x / 2).astype(np.float32), y.astype(np.float32))[0])
    assert [encoder.name for encoder in found.inputs] == ["x", "y"]
    assert np.array_equal(found.encode(x / 2, y)[0], x)


def inexact(seed: int, path):
    """A dense layer whose scales have 24 bits of mantissa, as Brevitas makes them."""
    random = np.random.default_rng(seed)
    model = Model(40)
    x = model.quant(model.x, 0.1, 6)
    wire = model.add("MatMul", x, model.quant(random.normal(size=(40, 8)), 0.037, 5))
    return model.save(path, model.quant(wire, 0.11, 4))


def test_sums_that_may_round_are_refused_or_named(tmp_path):
    path = inexact(0, tmp_path / "m.onnx")
    of = Type((40,), (-100, 100), (Fraction(1, 32),))
    with pytest.raises(RangeError, match=r"MatMul_2 \(MatMul\): .*exact=False"):
        read_qonnx(path, of)
    found = read_qonnx(path, of, exact=False)
    assert not found.exact and found.rounded == ("MatMul_2",)
    x = draw(of, 400)
    theirs = np.concatenate([evaluate(path, (row[None] / 32).astype(np.float32))[0] for row in x])
    assert (found(x)[0] != theirs).mean() < 0.01


@pytest.mark.parametrize("between", [
    lambda m, x: m.add("GlobalAveragePool", x),
    lambda m, x: m.add("Relu", x),
    lambda m, x: m.add("Mul", x, np.float32(0.37)),
    lambda m, x: m.add("Clip", x, -0.3, 0.5),
])  # fmt: skip
def test_steps_between_long_scales_are_what_they_mean(between, tmp_path):
    """Products of 0.1 after steps that keep multiples multiples: integers stay small, outputs nearly equal."""
    model = Model(3, 4, 4)
    x = between(model, model.quant(model.x, 0.1, 5))
    wire = model.add("Conv", x, model.quant(np.random.default_rng(0).normal(size=(4, 3, 1, 1)), 0.3, 3))
    path = model.save(tmp_path / "m.onnx", wire)
    of = Type((3, 4, 4), (-60, 60), (Fraction(1, 16),))
    with pytest.raises(RangeError, match="exact=False"):
        read_qonnx(path, of)
    found = read_qonnx(path, of, exact=False)
    assert found.graph.node("Conv_3").op.weight.max() <= 3 and found.graph.node("Conv_3").type.bits <= 14
    x = draw(of, 5)
    for sample, mine in zip(x, found(x)[0], strict=True):
        assert np.allclose(mine, evaluate(path, (sample[None] / 16).astype(np.float32))[0][0], atol=1e-5)


def test_steps_off_the_scale_are_refused_even_then(tmp_path):
    model = Model(3, 4, 4)
    wire = model.add("Add", model.quant(model.x, 0.1, 5), 0.033)
    path = model.save(tmp_path / "m.onnx", model.add("Conv", wire, np.ones((1, 3, 1, 1))))
    with pytest.raises(UnsupportedLayer, match=r"Conv_2 \(Conv\).*quantise it first"):
        read_qonnx(path, Type((3, 4, 4), (-9, 9)), exact=False)


@pytest.mark.parametrize(("build", "name"), [
    (lambda m: m.add("Add", m.quant(m.x, 0.1, 5), m.quant(m.x, 0.1, 6)), "Add_2"),
    (lambda m: m.add("GlobalAveragePool", m.x), "GlobalAveragePool_0"),
    (lambda m: m.add("Conv", m.x, np.full((1, 1, 64, 64), 3.0)), "Conv_0"),
])  # fmt: skip
def test_other_sums_that_may_round(build, name, tmp_path):
    """Values that are no multiples themselves; sums of 4096 values in units of three."""
    model = Model(1, 64, 64)
    path, of = model.save(tmp_path / "m.onnx", build(model)), Type((1, 64, 64), (0, 2047), (Fraction(3),))
    with pytest.raises(RangeError, match=f"{name} .*exact=False"):
        read_qonnx(path, of)
    assert read_qonnx(path, of, exact=False).rounded == (name,)


def test_exactness_is_a_matter_of_mantissas(tmp_path):
    """3 * 2**k has two bits: sums of 22 more are exact, 23 are not; the weights lie on a grid of their own."""

    def read(limit):
        model = Model(8)
        weights = np.full((8, 1), 0.75 * limit)
        return read_qonnx(model.save(tmp_path / "m.onnx", model.add("MatMul", model.x, weights)), Type((8,), (0, 1)))

    assert read(2**18).exact
    model = Model(4)
    wire = model.add("MatMul", model.quant(model.x, 1.5, 12), model.quant(np.full((4, 1), 1023 * 1.5), 1.5, 11))
    with pytest.raises(RangeError, match="27 bits of mantissa"):
        read_qonnx(model.save(tmp_path / "m.onnx", wire), Type((4,), (-5000, 5000)))


def test_a_bias_before_the_products_must_lie_on_their_grid(tmp_path):
    model = Model(6)
    path = model.save(tmp_path / "m.onnx", model.add("Gemm", model.x, np.ones((6, 1)), [0.1]))
    with pytest.raises(RangeError, match="bias"):
        read_qonnx(path, VECTOR)
    assert read_qonnx(path, VECTOR, exact=False).rounded == ("Gemm_0",)


@pytest.mark.parametrize("seed", range(25))
def test_random_files(seed, tmp_path):
    file = RandomFile(seed)
    path = file.save(tmp_path / "m.onnx")
    found = read_qonnx(path, file.type)
    x = file.real(8)
    theirs = np.concatenate([evaluate(path, sample)[0] for sample in x])
    same(found(*found.encode(x[:, 0]))[0], theirs)
    assert found.exact


def test_a_dynamic_batch(tmp_path):
    model = Model(4, batch="batch")
    wire = model.add("Reshape", model.x, np.array([0, 2, 2]))
    path = model.save(tmp_path / "m.onnx", wire)
    assert read_qonnx(path, Type((4,), (0, 1)))(np.zeros((5, 4)))[0].shape == (5, 2, 2)


@pytest.mark.parametrize(("given", "error", "words"), [
    (Type((3,), (0, 1)), ShapeError, r"\(3,\).*\(6,\)"),
    ({"y": VECTOR}, GraphError, "'y'"),
    (None, UnsupportedLayer, "MatMul_0.*input_type"),
])  # fmt: skip
def test_types_that_do_not_fit(given, error, words, tmp_path):
    model = Model(6)
    path = model.save(tmp_path / "m.onnx", model.add("MatMul", model.x, np.eye(6)))
    with pytest.raises(error, match=words):
        read_qonnx(path, given)


def test_encode_wants_every_input(tmp_path):
    model = Model(6)
    found = read_qonnx(model.save(tmp_path / "m.onnx", model.add("Relu", model.x)), VECTOR)
    with pytest.raises(IntaglioError, match="2 arrays for 1 inputs"):
        found.encode(np.zeros((1, 6)), np.zeros((1, 6)))
