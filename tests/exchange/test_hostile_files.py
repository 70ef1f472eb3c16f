"""Files that ask for more than their size: refused before the work is done, and growth is linear in nodes."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from intaglio.exchange import read_qonnx
from intaglio.exchange.steps import NOTHING, Clamp
from intaglio.ir import Type
from intaglio.ir.errors import DataError, IntaglioError
from tests.support.exchange import agree
from tests.support.onnx_models import Model, evaluate

IMAGE = Type((1, 4, 4), (-8, 7))
BIG = 10**9


@pytest.fixture
def little_memory() -> Iterator[None]:
    """At most 2 GiB more than what the process has now."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (2 << 30), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


def outer(m: Model) -> str:
    """A constant that every Add squares."""
    wire = m.constant(np.ones(256))
    for axis in (0, 1, 2, 3):
        wire = m.add("Add", m.add("Unsqueeze", wire, np.array([0])), m.add("Unsqueeze", wire, np.array([axis + 1])))
    return m.add("Mul", m.x, m.add("ReduceMean", wire))


def gathered(m: Model) -> str:
    wire = m.constant(np.ones((64, 64)))
    for _ in range(6):
        wire = m.add("Gather", wire, np.zeros((64, 64), np.int64))
    return m.add("Add", m.x, wire)


def steps(m: Model) -> str:
    """A long chain, and many quantisers of it."""
    wire = m.add("Conv", m.x, np.full((1, 1, 1, 1), 2.0**16))
    for _ in range(2000):
        wire = m.add("Relu", wire)
    total = m.quant(wire, 1.0, 12)
    for i in range(200):
        total = m.add("Add", total, m.quant(wire, 1.0 + i, 12))
    return total


HOSTILE = {
    "pads of a convolution": lambda m: m.add("Conv", m.x, np.ones((1, 1, 1, 1)), pads=[0, 0, 0, BIG]),
    "even pads of a convolution": lambda m: m.add("Conv", m.x, np.ones((1, 1, 1, 1)), pads=[BIG] * 4),
    "pads": lambda m: m.add("Relu", m.add("Pad", m.x, np.array([0, 0, BIG, BIG, 0, 0, BIG, BIG]))),
    "pads before a convolution": lambda m: m.add(
        "Conv", m.add("Pad", m.x, np.array([0, 0, 0, 0, 0, 0, BIG, 0])), np.ones((1, 1, 1, 1))),
    "kernel": lambda m: m.add("MaxPool", m.x, kernel_shape=[BIG, BIG], pads=[BIG] * 4),
    "kernel of an average": lambda m: m.add(
        "AveragePool", m.x, kernel_shape=[BIG, 1], pads=[BIG, 0, BIG, 0], count_include_pad=1),
    "kernel of a quantised average": lambda m: m.add(
        "QuantAvgPool2d", m.x, domain="qonnx.custom_op.general", kernel=BIG, stride=1, ibits=4, obits=4),
    "dilation": lambda m: m.add("MaxPool", m.x, kernel_shape=[2, 2], dilations=[BIG, BIG], pads=[BIG] * 4),
    "same pads": lambda m: m.add("MaxPool", m.x, kernel_shape=[BIG, BIG], auto_pad="SAME_UPPER"),
    "shape of a constant": lambda m: m.add("Add", m.x, m.add("ConstantOfShape", np.array([BIG, BIG]))),
    "shape of a smaller constant": lambda m: m.add("Add", m.x, m.add("ConstantOfShape", np.array([BIG]))),
    "outer sums": outer, "gathered rows": gathered, "steps times quantisers": steps,
    "infinite bits": lambda m: m.quant(m.x, 1.0, np.float32("inf")),
    "ibits": lambda m: m.add(
        "QuantAvgPool2d", m.x, domain="qonnx.custom_op.general", kernel=1, stride=1, ibits=BIG, obits=4),
}  # fmt: skip


def repeated(op: str, start: str, times: int) -> Callable[[Model], str]:
    """A constant made of text that each node doubles, or squares, in length."""

    def build(m: Model) -> str:
        wire = m.add("Cast", np.array([2**62]), to=TensorProto.STRING) if start == "cast" else start
        if start == "words":
            m.constants.append(helper.make_tensor("words", TensorProto.STRING, [1], [b"word"]))
        for _ in range(times):
            wire = m.add(op, wire, wire)
        return m.add("Reshape", m.x, wire)

    return build


HOSTILE |= {
    "text that doubles": repeated("Add", "words", 64), "integers of any length": repeated("Mul", "cast", 64),
    "an axis that is none": lambda m: m.add("Reshape", m.x, m.add("Gather", np.array([1]), np.array([0]), axis=7)),
    "an infinite shape": lambda m: m.add("Add", m.x, m.add("ConstantOfShape", m.constant([np.inf]))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_numbers_of_a_hostile_file(name, tmp_path, little_memory):
    model = Model(1, 4, 4)
    with pytest.raises(IntaglioError) as error:
        read_qonnx(model.save(tmp_path / "m.onnx", HOSTILE[name](model)), IMAGE)
    assert "MemoryError" not in str(error.value) and "Unable to allocate" not in str(error.value)


@pytest.mark.parametrize("shape", [[1, BIG, BIG, BIG], [1, 2**62, 1, 1], [1, 2**31 + 1]])
def test_the_shape_of_an_input(shape, tmp_path, little_memory):
    model = Model(*shape[1:])
    with pytest.raises(IntaglioError, match="elements"):
        read_qonnx(model.save(tmp_path / "m.onnx", model.quant(model.x)))


def tensor(**fields) -> onnx.TensorProto:
    return onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, **fields)


@pytest.mark.parametrize("made", [
    tensor(dims=[BIG, BIG]), tensor(dims=[-1], raw_data=bytes(16)), tensor(dims=[2**62, 4], raw_data=bytes(16)),
    tensor(dims=[0, BIG]), tensor(dims=[4, 1], raw_data=bytes(15)),
    onnx.TensorProto(name="w", data_type=99, dims=[4], raw_data=bytes(16)),
    onnx.TensorProto(name="w", data_type=TensorProto.STRING, dims=[1], string_data=[b"x"]),
])  # fmt: skip
def test_dimensions_of_a_constant(made, tmp_path, little_memory):
    model = Model(4)
    model.constants.append(made)
    with pytest.raises(IntaglioError):
        read_qonnx(model.save(tmp_path / "m.onnx", model.add("MatMul", model.x, "w")), Type((4,), (0, 1)))


def test_a_node_without_outputs(tmp_path):
    model = Model(4)
    proto = model.proto(model.add("Relu", model.x))
    proto.graph.node.insert(0, helper.make_node("Relu", ["x"], []))
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    assert read_qonnx(tmp_path / "m.onnx", Type((4,), (-8, 7))).exact


@pytest.mark.parametrize("name", [b"Relu_0", b"t0", b"c0", b"narrow", b"Quant"])
def test_names_that_are_no_text(name, tmp_path):
    model = Model(4)
    path = model.save(tmp_path / "m.onnx", model.quant(model.add("Relu", model.x)))
    path.write_bytes(path.read_bytes().replace(name, b"\xff" * len(name)))
    with pytest.raises(IntaglioError):
        read_qonnx(path)


def test_a_graph_in_a_graph_in_a_graph(tmp_path):
    inner = helper.make_graph([], "g", [], [])
    for _ in range(30):
        inner = helper.make_graph([helper.make_node("If", ["c"], ["y"], then_branch=inner)], "g", [], [])
    model = Model(4)
    model.nodes.append(helper.make_node("If", ["c"], ["y"], then_branch=inner))
    with pytest.raises(IntaglioError):
        read_qonnx(model.save(tmp_path / "m.onnx", "y"))


def chain(path: Path, length: int, backwards: bool = False) -> Path:
    model = Model(4)
    wire = model.x
    for i in range(length):
        wire = model.add("Add", wire, 1.0) if i % 100 == 0 else model.add("Relu", wire)
    if backwards:
        model.nodes.reverse()
    return model.save(path, wire)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_chain_of_any_length(backwards, tmp_path):
    """Every tensor of the chain holds one step, and not all steps before it."""
    path = chain(tmp_path / "m.onnx", 3000, backwards)
    found = read_qonnx(path, Type((4,), (-8, 7)))
    x = np.arange(-8, 8)[:, None].repeat(4, 1)
    assert np.array_equal(found(x)[0], evaluate(chain(path, 3000), x.astype(np.float32))[0])


def test_a_longer_chain_holds_the_shorter_one():
    steps = [Clamp(0, i + 1) for i in range(5)]
    short = NOTHING.then(*steps[:3])
    long = short.then(*steps[3:])
    assert long.before is not None and long.before.before is short and list(long) == steps and len(long) == 5
    assert list(NOTHING) == [] and not NOTHING and NOTHING.rows == 1


def test_one_name_for_all_nodes(tmp_path):
    model = Model(4)
    wire = model.x
    for _ in range(60):
        wire = model.quant(wire)
    for node in model.nodes:
        node.name = "same"
    found = agree(model.save(tmp_path / "m.onnx", wire), Type((4,), (-8, 7)))
    assert len({node.name for node in found.graph.nodes}) == len(found.graph.nodes)


def test_the_budget_grows_with_the_file(tmp_path, monkeypatch):
    model = Model(4)
    path = model.save(tmp_path / "m.onnx", model.quant(model.x, 1.0, 8))
    read_qonnx(path, Type((4,), (-8, 7)))
    monkeypatch.setattr("intaglio.exchange.read.FLOOR", 0)
    read_qonnx(path, Type((4,), (-8, 7)))
    monkeypatch.setattr("intaglio.exchange.read.PER_BYTE", 0)
    with pytest.raises(DataError, match=r"Quant_0.*a file of this size"):
        read_qonnx(path, Type((4,), (-8, 7)))
