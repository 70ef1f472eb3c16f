"""What a file does behind its last sum: in the Graph wherever that is exact, so that its integers are the scores."""

import numpy as np
import pytest
from onnx import TensorProto

from intaglio.exchange import read_qonnx
from intaglio.ir import Type
from tests.support.exchange import agree, draw, same
from tests.support.onnx_models import Model, evaluate

FEW, SCORES = 6, 4
VECTOR = Type((FEW,), (-20, 20))
RNG = np.random.default_rng(0)
WEIGHTS = RNG.integers(-7, 8, (FEW, SCORES)).astype(np.float32)
BIAS = np.array([0.0123, 61.7, -3.3, 40.1], np.float32)
GAIN = np.array([0.037, 1.1, 0.6, -0.21], np.float32)


def sums(m: Model) -> str:
    return m.add("MatMul", m.x, WEIGHTS)


EXACT = {
    "bias": lambda m: m.add("Add", sums(m), BIAS),
    "bias of Gemm": lambda m: m.add("Gemm", m.x, WEIGHTS, np.round(BIAS)),
    "bias on a scale": lambda m: m.add("Add", m.add("Mul", sums(m), 0.125), BIAS),
    "scale per channel": lambda m: m.add("Mul", sums(m), GAIN),
    "quotient per channel": lambda m: m.add("Div", sums(m), np.array([3, 0.7, 1, 2], np.float32)),
    "scale of weights per channel": lambda m: m.add(
        "MatMul", m.x, m.quant(RNG.normal(size=(FEW, SCORES)), np.array([[0.25, 0.75, 2.5, 1]]), 6)
    ),
    "rectified": lambda m: m.add("Relu", m.add("Add", sums(m), BIAS)),
    "rectified alone": lambda m: m.add("Relu", sums(m)),
    "rectified, then scaled": lambda m: m.add("Mul", m.add("Relu", sums(m)), 0.5),
    "clipped": lambda m: m.add("Clip", m.add("Sub", BIAS, sums(m)), -17.3, 33.1),
    "falling": lambda m: m.add("Neg", sums(m)),
    "dyadic norm": lambda m: m.add("Add", m.add("Mul", sums(m), np.array([0.5, -2, 3, 1.25], np.float32)), BIAS),
    "signs": lambda m: m.bipolar(sums(m), 0.3),
    "of both sides": lambda m: m.add("Abs", m.add("Add", sums(m), np.round(BIAS))),
    "nothing": lambda m: m.add("Mul", sums(m), np.zeros(SCORES, np.float32)),
}


@pytest.mark.parametrize("name", EXACT)
def test_integers_are_the_scores(name, tmp_path):
    model = Model(FEW)
    found = agree(model.save(tmp_path / "m.onnx", EXACT[name](model)), VECTOR, count=100)
    x = draw(VECTOR, 200)
    (whole,), (real,) = found.graph(x), found(x)
    assert found.tails[0].ordered and len(found.tails[0].wire.scale) == 1 and not found.tails[0].steps
    assert np.array_equal((whole * float(found.tails[0].wire.scale[0])).astype(np.float32), real)


def test_a_common_scale_stays_outside(tmp_path):
    """No multiplication for what is the same in all channels."""
    for scale in (0.037, 0.75, 8.0):
        model = Model(FEW)
        found = agree(model.save(tmp_path / "m.onnx", model.add("Mul", sums(model), scale)), VECTOR)
        assert [type(node.op).__name__ for node in found.graph.nodes] == ["Input", "MatMul"]
        assert found.tails[0].ordered and len(found.tails[0].steps) == 1


def test_what_rounds_on_the_way_stays_outside_and_says_so(tmp_path):
    """float32 rounds the product and then the sum; only a common function keeps the order of the integers."""
    for gain, bias, ordered in ((0.3, 0.1, True), (GAIN, BIAS, False), (-0.3, 0.1, False)):
        model = Model(FEW)
        wire = model.add("Add", model.add("Mul", sums(model), gain), bias)
        (tail,) = agree(model.save(tmp_path / "m.onnx", wire), Type((FEW,), (-2000, 2000))).tails
        assert len(tail.steps) == 2 and tail.ordered is ordered


def test_wide_sums_take_their_bias_along(tmp_path):
    """More values than are looked at one by one."""
    of = Type((FEW,), (0, 300_000))
    model = Model(FEW)
    found = agree(model.save(tmp_path / "m.onnx", model.add("Add", sums(model), BIAS)), of, count=60)
    assert not found.tails[0].steps and found.graph.output_types[0].range[1] > 2**40


@pytest.mark.parametrize("build", [
    lambda m: m.add("Add", sums(m), np.array([1e-20, 1, 2, 3], np.float32)),
    lambda m: m.add("Div", sums(m), np.array([32749, 32719, 1, 1], np.float32)),
])  # fmt: skip
def test_integers_that_float64_could_not_bring_back_stay_outside(build, tmp_path):
    model = Model(FEW)
    (tail,) = agree(model.save(tmp_path / "m.onnx", build(model)), VECTOR).tails
    assert len(tail.steps) == 1 and not tail.ordered


@pytest.mark.parametrize("powers", [(-100, -60, 120), (100, 60, -120)])
def test_what_leaves_the_range_of_float32(powers, tmp_path):
    model = Model(FEW)
    wire = sums(model)
    for power in powers:
        wire = model.add("Mul", wire, 2.0**power)
    agree(model.save(tmp_path / "m.onnx", model.add("Mul", wire, GAIN)), VECTOR)


def test_tables_are_for_what_has_another_order(tmp_path):
    of = Type((FEW,), (1, 4))
    for kind, build in (
        ("Input", lambda m: m.add("Mul", m.x, 0.5)),
        ("Lookup", lambda m: m.add("Div", 12.0, m.x)),
    ):
        for cast in (TensorProto.FLOAT, TensorProto.INT64):
            model = Model(FEW)
            wire = model.add("Cast", build(model), to=cast)
            found = agree(model.save(tmp_path / "m.onnx", wire, kind=cast), of)
            assert type(found.graph.nodes[-1].op).__name__ == kind and found.tails[0].ordered


def ends(random: np.random.Generator, m: Model, wire: str) -> str:
    """Some steps with constants of few and of many bits."""
    for _ in range(random.integers(1, 4)):
        kind = random.choice(["Add", "Sub", "Mul", "Div", "Relu"])
        if kind == "Relu":
            wire = m.add("Relu", wire)
            continue
        few = random.choice([-3, -1, 1, 2, 4, 5, 7], (1, SCORES)) * 2.0 ** random.integers(-3, 4)
        constant = (few if random.random() < 0.6 else random.normal(size=(1, SCORES))).astype(np.float32)
        constant = constant[:, : random.choice([1, SCORES])]
        wire = m.add(kind, constant, wire) if kind == "Sub" and random.random() < 0.5 else m.add(kind, wire, constant)
    return wire


@pytest.mark.parametrize("seed", range(60))
def test_random_ends(seed, tmp_path):
    random = np.random.default_rng(seed)
    model = Model(FEW, batch=300)
    high = int(random.choice([3, 40, 3000]))
    of = Type((FEW,), (-high, high))
    path = model.save(tmp_path / "m.onnx", ends(random, model, sums(model)))
    found, x = read_qonnx(path, of), draw(of, 300, seed)
    same(found(x)[0], evaluate(path, x.astype(np.float32))[0])
    if found.tails[0].ordered:
        real = found(x)[0]
        chosen = np.take_along_axis(real, found.graph(x)[0].argmax(axis=1)[:, None], axis=1)
        assert np.array_equal(chosen[:, 0], real.max(axis=1))


@pytest.mark.parametrize("kind", [TensorProto.INT32, TensorProto.INT64])
def test_integers_of_either_size(kind, tmp_path):
    model = Model(FEW)
    wire = model.add("Cast", model.add("Add", sums(model), BIAS), to=kind)
    agree(model.save(tmp_path / "m.onnx", wire, kind=kind), VECTOR)
    model = Model(FEW)
    place = model.add("Cast", model.add("Clip", model.x, 0.0, 3.0), to=kind)
    agree(model.save(tmp_path / "m.onnx", model.add("Gather", np.array([5.0, -1, 2, 9]), place)), VECTOR)
