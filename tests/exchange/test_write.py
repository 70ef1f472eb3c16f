"""write_qonnx: an evaluator of its own gives the Graph's integers for the file, and so does the Graph read from it."""

from fractions import Fraction

import numpy as np
import onnx
import pytest

from intaglio.exchange import read_qonnx, write_qonnx
from intaglio.ir import Builder, Type, ops
from intaglio.ir.errors import RangeError, UnsupportedLayer
from tests.support.exchange import draw
from tests.support.onnx_models import evaluate
from tests.support.random_graphs import RandomGraph


def check(graph, path, count=16):
    """Written and evaluated, and written and read: the same integers, whatever the input."""
    write_qonnx(graph, path, batch=count)
    onnx.checker.check_model(onnx.load(path), full_check=False)
    x = [draw(of, count, seed) for seed, of in enumerate(graph.input_types)]
    expected = graph(*x)
    for mine, theirs in zip(evaluate(path, *(value.astype(np.float32) for value in x)), expected, strict=True):
        assert mine.dtype == np.float32 and np.array_equal(mine, theirs)
    names = [graph.nodes[i].name for i in graph.inputs]
    types = {name: Type(of.shape, of.range) for name, of in zip(names, graph.input_types, strict=True)}
    for given in (types, None):
        found = read_qonnx(path, given)
        assert all(of.scale == (1,) for of in found.graph.output_types)
        for mine, whole, theirs in zip(found(*x), found.graph(*x), expected, strict=True):
            assert np.array_equal(mine, theirs) and np.array_equal(whole.reshape(theirs.shape), theirs)


# The ranges of graph 425 are not all proved again when its file is read.
@pytest.mark.parametrize("seed", [*range(40), 425])
def test_random_graphs(seed, tmp_path):
    random = RandomGraph(seed)
    check(random.graph, tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def one(op, *types):
    builder = Builder()
    wires = [builder.add(f"x{i}", ops.Input(of)) for i, of in enumerate(types)]
    return builder.graph([builder.add("node", op, *wires)])


SMALL = Type((3, 5, 4), (-6, 9), (Fraction(1, 3),))
VECTOR = Type((7,), (0, 100))
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("op", "types"), [
    (ops.MatMul(RNG.integers(-9, 9, (4, 7))), [VECTOR]),
    (ops.MatMul(RNG.choice([-1, 1], (4, 7))), [VECTOR]),
    (ops.Conv2d(RNG.integers(-9, 9, (4, 3, 2, 3)), (1,), (2, 1), (1, 2), (1, 2), pad_value=5), [SMALL]),
    (ops.Conv2d(RNG.integers(0, 2, (6, 1, 1, 1)), groups=3), [SMALL]),
    (ops.Pad((1, 2), -9), [SMALL]),
    (ops.Add((3, 1)), [Type((7,), (-3, 5), (Fraction(3),)), VECTOR]),
    (ops.Concat((1, 4)), [SMALL, SMALL]),
    (ops.Requantize(np.array([3, -5, 1]), np.array([1, 7, -9]), 4, -2, 1), [SMALL]),
    (ops.Requantize(np.array([1]), np.array([-4]), 0, -100, 100), [SMALL]),
    (ops.Requantize(np.array([1]), np.array([0]), 0, 0, 5), [SMALL]),
    (ops.Requantize(np.array([3]), np.array([8]), 4, -1, 0), [SMALL]),
    (ops.Threshold(np.sort(RNG.integers(-9, 12, (3, 5)), axis=1), -2), [SMALL]),
    (ops.Threshold(np.array([[-99, 0, 999]])), [VECTOR]),
    (ops.Lookup(RNG.integers(-99, 99, (1, 16)), -6), [SMALL]),
    (ops.Lookup(RNG.integers(-99, 99, (3, 20)), -8), [SMALL]),
    (ops.Lookup(4 * RNG.integers(-99, 99, (1, 16)), -6), [SMALL]),
    (ops.Requantize(np.array([8]), np.array([0]), 0, -100, 100), [SMALL]),
    (ops.Align(1, 1), [SMALL]),
    (ops.Align(1, 3), [Type((5,), (-2000, 1999))]),
    (ops.Align(1, 4), [Type((5, 2, 2), (0, 300))]),
    (ops.MaxPool((2, 3), (1, 2), (1, 1), (2, 1)), [SMALL]),
    (ops.SumPool((3, 2), (2, 2), (1, 1)), [SMALL]),
    (ops.Reshape((5, 12)), [SMALL]),
    (ops.ArgMax(), [SMALL]),
    (ops.ArgMax(), [VECTOR]),
], ids=lambda value: type(value).__name__ if not isinstance(value, list) else "")  # fmt: skip
def test_operation(op, types, tmp_path):
    check(one(op, *types), tmp_path / "m.onnx")


def test_inputs_that_fill_no_bits_stay_in_their_range(tmp_path):
    write_qonnx(one(ops.Reshape((7,)), VECTOR), tmp_path / "m.onnx")
    assert read_qonnx(tmp_path / "m.onnx").graph.input_types == (Type((7,), (0, 100)),)


def test_a_product_beyond_24_bits_becomes_comparisons(tmp_path):
    """x * 40503 needs 31 bits; the 16 levels behind it do not."""
    graph = one(ops.Requantize(np.array([40503]), np.array([777]), 27, -8, 7), Type((3,), (-30000, 30000)))
    check(graph, tmp_path / "m.onnx", count=400)
    assert {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node} >= {"MultiThreshold"}


def test_a_common_factor_and_an_offset_per_channel_are_flattened(tmp_path):
    builder = Builder()
    x = builder.add("x", ops.Input(SMALL))
    x = builder.add("affine", ops.Requantize(np.array([2]), np.array([3, 0, -1]), 0, -99, 99), x)
    x = builder.add("flat", ops.Reshape((60,)), x)
    check(builder.graph([builder.add("dense", ops.MatMul(RNG.integers(-2, 3, (4, 60))), x)]), tmp_path / "m.onnx")


def test_outputs_are_tensors_of_their_own(tmp_path):
    builder = Builder()
    x = builder.add("x", ops.Input(VECTOR))
    y = builder.add("y", ops.MatMul(np.ones((2, 7), int)), x)
    check(builder.graph([y, x, y]), tmp_path / "m.onnx")
    names = [port.name for port in onnx.load(tmp_path / "m.onnx").graph.output]
    assert len(set(names)) == 3


def test_any_batch(tmp_path):
    graph = one(ops.Reshape((5, 12)), SMALL)
    write_qonnx(graph, tmp_path / "m.onnx", batch=None)
    (port,) = onnx.load(tmp_path / "m.onnx").graph.input
    assert [axis.dim_param or axis.dim_value for axis in port.type.tensor_type.shape.dim] == ["batch", 3, 5, 4]
    x = draw(SMALL, 5)
    assert np.array_equal(evaluate(tmp_path / "m.onnx", x.astype(np.float32))[0], graph(x)[0])


def test_widths_are_told(tmp_path):
    """Weights and activations stand behind a Quant of just so many bits."""
    write_qonnx(one(ops.MatMul(np.array([[-4, 3, 0]])), Type((3,), (0, 200))), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    found = [(float(constants[n.input[3]]), n.attribute[2].i) for n in model.graph.node if n.op_type == "Quant"]
    assert sorted(found) == [(3, 1), (8, 0)]
    assert model.ir_version <= 8 and {o.domain: o.version for o in model.opset_import}[""] <= 13


@pytest.mark.parametrize(("graph", "error", "words"), [
    (one(ops.MatMul(np.full((1, 7), 99999)), VECTOR), RangeError, "^node: integers up to 69999300.*24 bits"),
    (one(ops.Add(), *[Type((2,), (0, 2**23))] * 2), RangeError, "^node: integers up to 16777216"),
    (one(ops.Align(7, 4), VECTOR), UnsupportedLayer, r"^node \(Align\): .*7 channels.*blocks of 1"),
    (one(ops.Align(1, 4), Type((7,), (0, 2**16))), UnsupportedLayer, r"^node \(Align\): .*0\.\.65536 is too large"),
    (one(ops.MaxPool((2, 2), (1, 1), (2, 0), (3, 1)), SMALL), UnsupportedLayer, r"^node \(MaxPool\): padding"),
])  # fmt: skip
def test_what_cannot_be_expressed_is_refused_before_writing(graph, error, words, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_text("what was there")
    with pytest.raises(error, match=words):
        write_qonnx(graph, path)
    assert path.read_text() == "what was there" and [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(OSError):
        write_qonnx(one(ops.ArgMax(), VECTOR), tmp_path / "nowhere" / "m.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(OSError):
        write_qonnx(one(ops.ArgMax(), VECTOR), tmp_path / "folder.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.onnx"]
