"""Passes: the same integers on random chains, the intended rewrites, and the ones that would be wrong."""

from fractions import Fraction

import numpy as np
import pytest

from intaglio.ir import Builder, Graph, Type, optimise
from intaglio.ir.ops import Add, Concat, Conv2d, Input, MatMul, MaxPool, Pad, Requantize, Reshape, SumPool, Threshold
from intaglio.ir.passes import (
    PASSES,
    _narrowed,
    drop_identity,
    fold_pad,
    fold_permutation,
    fold_threshold,
    fuse_requantize,
    minimise_requantize,
    move_affine,
    nest_concat,
    requantize_to_threshold,
)  # fmt: skip

Rng = np.random.Generator
CHANNELS = 3


def every_value(low: int, high: int) -> np.ndarray:
    """All integers of a range, in every channel: (batch, CHANNELS)."""
    return np.repeat(np.arange(low, high + 1)[:, None], CHANNELS, axis=1)


def random_requantize(rng: Rng) -> Requantize:
    """Often without shift, clip or multiplier, so that all rules of the passes meet."""
    many = [CHANNELS if rng.random() < 0.4 else 1 for _ in range(2)]
    size = [1, 2, 40][rng.integers(3)]
    multiplier = rng.integers(-size if rng.random() < 0.2 else 0, size + 1, many[0])
    if rng.random() < 0.4:
        multiplier = np.ones(1, dtype=int)
    if rng.random() < 0.3:
        multiplier = multiplier * 4
    offset = rng.integers(-300, 300, many[1]) * (rng.random() < 0.7)
    shift = int(rng.integers(0, 7)) * (rng.random() < 0.5)
    low, high = sorted(int(v) for v in rng.integers(-200, 200, 2))
    if rng.random() < 0.4:
        low = [0, -(2**40)][rng.integers(2)]
    if rng.random() < 0.5 or high < low:
        high = 2**40
    return Requantize(multiplier, offset, shift, low, high)


def chain(*ops: Requantize, low: int = -150, high: int = 150, shape: tuple[int, ...] = (CHANNELS,)) -> Graph:
    builder = Builder()
    wire = builder.add("x", Input(Type(shape, (low, high))))
    for position, op in enumerate(ops):
        wire = builder.add(f"r{position}", op, wire)
    return builder.graph([wire])


def requantize(
    m: object = 1, o: object = 0, s: int = 0, low: int = -(2**40), high: int = 2**40
) -> Requantize:
    return Requantize(np.atleast_1d(m), np.atleast_1d(o), s, low, high)


def assert_same(before: Graph, after: Graph, *inputs: np.ndarray) -> None:
    after.verify()
    for a, b, old, new in zip(
        before(*inputs), after(*inputs), before.output_types, after.output_types, strict=True
    ):
        np.testing.assert_array_equal(a, b, err_msg=before.text() + after.text())
        assert (old.shape, old.scale) == (new.shape, new.scale)
        assert old.range[0] <= new.range[0] and new.range[1] <= old.range[1]
    assert before.input_types == after.input_types


@pytest.mark.parametrize("rewrite", [*dict.fromkeys(PASSES), optimise], ids=lambda f: f.__name__)
def test_values_are_preserved_on_random_chains(rewrite: object) -> None:
    """All input values of 300 chains of two to four random Requantize; the passes do something."""
    changed = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        graph = chain(*(random_requantize(rng) for _ in range(rng.integers(2, 5))))
        after = rewrite(graph)  # pyright: ignore
        assert_same(graph, after, every_value(-150, 150))
        changed += after != graph
    elsewhere = (fold_pad, fold_permutation, move_affine, fold_threshold, nest_concat)  # they have their own tests
    assert changed > 5 or rewrite in elsewhere


def test_thresholds_of_many_levels() -> None:
    for seed in range(100):
        graph = chain(random_requantize(np.random.default_rng(seed)))
        assert_same(graph, requantize_to_threshold(graph, 64), every_value(-150, 150))


def test_values_are_preserved_around_branches() -> None:
    """A node read twice, or an output, is not fused away; a residual sum and a join keep their values."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        b = Builder()
        x = b.add("x", Input(Type((CHANNELS, 4, 4), (-150, 150))))
        first = b.add("first", random_requantize(rng), x)
        second = b.add("second", random_requantize(rng), first)
        third = b.add("third", random_requantize(rng), first)
        same = b.add("same", Reshape((CHANNELS, 4, 4)), second)
        total = b.add("total", Add(), same, third)
        pool = b.add("pool", MaxPool((1, 1), (1, 1)), total)
        join = b.add("join", Concat((1, 1)), pool, first)
        last = b.add("last", requantize(1, 5, 1, -50, 50), join)
        graph = b.graph([last, first] if seed % 2 else [last])
        inputs = rng.integers(-150, 151, (20, CHANNELS, 4, 4))
        for rewrite in (*PASSES, optimise):
            assert_same(graph, rewrite(graph), inputs)


def test_a_layer_becomes_two_nodes() -> None:
    """Dense, bias, rectifier, quantiser: after the passes one MatMul and one Requantize."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.add("x", Input(Type((8,), (0, 255))))
    wire = b.add("fc", MatMul(rng.integers(-9, 10, (5, 8))), x)
    for name, op in (
        ("bias", requantize(4, rng.integers(-90, 90, 5))),
        ("relu", requantize(1, 0, 0, 0)),
        ("quant", requantize(np.full(5, 6), 64, 7, 0, 15)),
    ):
        wire = b.add(name, op, wire)
    graph = b.graph([wire])
    after = optimise(graph)
    assert [node.name for node in after.nodes] == ["x", "fc", "quant"]
    op = after.nodes[2].op
    assert isinstance(op, Requantize)
    assert (op.multiplier.tolist(), op.shift, op.low, op.high) == ([3], 4, 0, 15)
    assert_same(graph, after, rng.integers(0, 256, (500, 8)))


def nodes(graph: Graph) -> int:
    return len(graph.nodes)


def test_what_is_fused() -> None:
    assert nodes(fuse_requantize(chain(requantize(-3, 7), requantize(-5, 1, 3)))) == 2
    assert nodes(fuse_requantize(chain(requantize(3, 7, 4), requantize(1, 9, 2)))) == 2
    assert nodes(fuse_requantize(chain(requantize(1, [1, 2, 3]), requantize(1, 0, 0, 0)))) == 2
    assert nodes(fuse_requantize(chain(requantize(1, 0, 0, 0), requantize([1, 2, 3], 4, 3)))) == 2


def test_what_is_not_fused() -> None:
    """Two floors; a clip before a negative multiplier; bounds that differ per channel; 62 bits."""
    for pair in (
        (requantize(3, 7, 4), requantize(3, 9, 2)),
        (requantize(1, 0, 0, 0), requantize(-1)),
        (requantize(1, 0, 0, -20, 20), requantize([1, 2, 3], 0)),
    ):
        assert nodes(fuse_requantize(chain(*pair))) == 3
    huge = (requantize(2**40, 0, 0, -(2**20), 2**20), requantize(2**30))
    assert nodes(fuse_requantize(chain(*huge))) == 3


@pytest.mark.parametrize("outputs", [("y", "z"), ("y", "w")])
def test_a_node_with_other_readers_is_not_fused(outputs: tuple[str, str]) -> None:
    """w is read by y and z, or by y and as an output: computing it twice would cost more."""
    b = Builder()
    w = b.add("w", requantize(3), b.add("x", Input(Type((2,), (0, 9)))))
    b.add("y", requantize(5, 0, 2), w)
    if "z" in outputs:
        b.add("z", requantize(7, 0, 2), w)
    graph = b.graph([b.find(name) for name in outputs])
    assert fuse_requantize(graph) == graph


def test_identities() -> None:
    """Dropped where nothing changes; kept where scale or value change, or an output would be an Input."""
    b = Builder()
    x = b.add("x", Input(Type((2, 4, 4), (-9, 9))))
    y = b.add("work", requantize(2), x)
    for name, op in (
        ("clip", requantize(1, 0, 0, -18, 18)),
        ("max", MaxPool((1, 1), (1, 1))),
        ("sum", SumPool((1, 1), (1, 1))),
        ("shape", Reshape((2, 4, 4))),
        ("join", Concat((1,))),
    ):
        y = b.add(name, op, y)
    assert [n.name for n in drop_identity(b.graph([y])).nodes] == ["x", "work"]
    for op in (
        requantize(1, 0, 0, -17, 18),
        Requantize(np.ones(1), np.zeros(1), 0, -99, 99, (Fraction(1, 2),)),
        MaxPool((1, 1), (2, 1)),
        Reshape((4, 2, 4)),
    ):
        z = b.add(f"kept{len(b.nodes)}", op, y)
        assert b.nodes[z].name in [n.name for n in drop_identity(b.graph([z])).nodes]
    assert nodes(drop_identity(chain(requantize()))) == 2


def test_minimise_by_hand() -> None:
    """(12 x + 13) >> 3 is (3 x + 3) >> 1, clipped to what is reached."""
    (_, node) = minimise_requantize(chain(requantize(12, 13, 3), low=0, high=10)).nodes
    op = node.op
    assert isinstance(op, Requantize)
    assert (op.multiplier.tolist(), op.offset.tolist(), op.shift) == ([3], [3], 1)
    assert (op.low, op.high) == (1, 16)


def test_sign_becomes_one_comparison() -> None:
    (_, node) = optimise(chain(requantize(1, 5, 0, 0, 1))).nodes
    assert node.op == Threshold(np.array([[-4]]), 0)


def test_nodes_nobody_reads_go_and_inputs_stay() -> None:
    b = Builder()
    x = b.add("x", Input(Type((2,), (0, 9))))
    b.add("unread", Input(Type((2,), (0, 9))))
    b.add("dead", requantize(3), x)
    y = b.add("y", requantize(2), x)
    assert [n.name for n in optimise(b.graph([y])).nodes] == ["x", "unread", "y"]


@pytest.mark.parametrize("value", [-1, 0])
@pytest.mark.parametrize("own", [(0, 0), (1, 0)])
def test_a_border_becomes_the_padding_of_its_convolution(value: int, own: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.add("x", Input(Type((2, 4, 5), (-1, 1))))
    border = b.add("border", Pad((1, 2), value), x)
    conv = b.add("conv", Conv2d(rng.integers(-3, 4, (3, 2, 3, 3)), padding=own), border)
    graph = b.graph([conv])
    after = fold_pad(graph)
    assert_same(graph, after, rng.integers(-1, 2, (20, 2, 4, 5)))
    assert len(after.nodes) == (3 if any(own) and value else 2)


@pytest.mark.parametrize(("op", "value", "folds"), [
    (MaxPool((3, 3), (2, 2)), -5, True), (MaxPool((3, 3), (1, 1), (1, 0)), -6, True),
    (MaxPool((3, 3), (2, 2)), -4, False),  # above some inputs: it may win
    (MaxPool((1, 2), (1, 1)), -5, False),  # a window in the border alone
    (SumPool((3, 2), (2, 1), (1, 0)), 0, True), (SumPool((3, 2), (1, 1)), -5, False),
])  # fmt: skip
def test_a_border_becomes_the_padding_of_its_pool(op: MaxPool | SumPool, value: int, folds: bool) -> None:
    b = Builder()
    x = b.add("x", Input(Type((2, 4, 5), (-5, 3))))
    graph = b.graph([b.add("pool", op, b.add("border", Pad((1, 1), value), x))])
    after = fold_pad(graph)
    assert_same(graph, after, np.random.default_rng(0).integers(-5, 4, (20, 2, 4, 5)))
    assert len(after.nodes) == (2 if folds else 3)


@pytest.mark.parametrize("multipliers", [(1, 1, 1), (2, 3, 1), (4, 1, 2, 5)])
def test_a_concatenation_of_many_becomes_a_chain(multipliers: tuple[int, ...]) -> None:
    b = Builder()
    x = b.add("x", Input(Type((2,), (-5, 3))))
    parts = [b.add(f"p{m}", requantize(m + 1, -m), x) for m in range(len(multipliers))]
    graph = b.graph([b.add("cat", Concat(multipliers), *parts)])
    after = nest_concat(graph)
    assert_same(graph, after, np.random.default_rng(0).integers(-5, 4, (20, 2)))
    joins = [node for node in after.nodes if isinstance(node.op, Concat)]
    assert [len(node.inputs) for node in joins] == [2] * (len(parts) - 1) and joins[-1].name == "cat"


def bipolar_network(seed: int) -> tuple[Graph, np.ndarray]:
    """Bits, made -1 and +1, through a border, convolutions, a pool and a dense layer, with random constants."""
    rng = np.random.default_rng(seed)
    m, o = int(rng.integers(1, 4)), int(rng.integers(-3, 4))
    b = Builder()
    x = b.add("x", Input(Type((2, 5, 5), (0, 1))))
    wire = b.add("affine", Requantize(np.array([m]), np.array([o]), 0, -(2**40), 2**40), x)
    wire = b.add("border", Pad((1, 1), [o, o + m, o + 2 * m, 0][rng.integers(4)]), wire)
    pad = int(rng.integers(0, 2))
    wire = b.add("conv", Conv2d(rng.choice([-1, 1], (4, 2, 3, 3)), padding=(pad, pad), pad_value=o), wire)
    levels = np.sort(rng.integers(-20, 20, (4, 1)), axis=1)
    wire = b.add("sign", Threshold(levels), wire)
    wire = b.add("again", Requantize(np.array([2]), np.array([-1]), 0, -1, 1), wire)
    wire = b.add("pool", MaxPool((2, 2), (2, 2)), wire)
    wire = b.add("flat", Reshape((4 * b.type(wire).shape[1] * b.type(wire).shape[2],)), wire)
    wire = b.add("dense", MatMul(rng.choice([-1, 1], (3, b.type(wire).size))), wire)
    wire = b.add("bias", Requantize(np.array([1]), rng.integers(-5, 6, 3), 0, -(2**40), 2**40), wire)
    return b.graph([wire]), rng.integers(0, 2, (30, 2, 5, 5))


def test_affines_move_behind_products_so_that_bits_flow() -> None:
    moved = 0
    for seed in range(60):
        graph, x = bipolar_network(seed)
        assert_same(graph, optimise(graph), x)
        after = move_affine(graph)
        for before, found in zip(graph(x), after(x), strict=True):
            np.testing.assert_array_equal(before, found)
        after.verify()
        dense = after.node("dense")
        assert after.nodes[dense.inputs[0]].type.range == (0, 1)
        conv = after.node("conv")
        moved += after.nodes[conv.inputs[0]].type.bits == 1
    assert moved > 10


def test_a_clip_that_binds_or_a_second_reader_keeps_an_affine_in_place() -> None:
    for clip, read_twice in ((0, False), (-1, True)):
        b = Builder()
        x = b.add("x", Input(Type((4,), (0, 1))))
        wire = b.add("affine", Requantize(np.array([2]), np.array([-1]), 0, clip, 1), x)
        outputs = [b.add("dense", MatMul(np.ones((2, 4))), wire)] + ([wire] if read_twice else [])
        graph = b.graph(outputs)
        assert move_affine(graph) == graph


def test_comparisons_move_before_an_increasing_requantize() -> None:
    folded = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        b = Builder()
        wire = b.add("r", random_requantize(rng), b.add("x", Input(Type((CHANNELS,), (-150, 150)))))
        rows = CHANNELS if rng.random() < 0.5 else 1
        wire = b.add("t", Threshold(np.sort(rng.integers(-200, 200, (rows, 4)), axis=1), -2), wire)
        graph = b.graph([wire])
        after = fold_threshold(graph)
        assert_same(graph, after, every_value(-150, 150))
        folded += len(after.nodes) == 2
    assert folded > 50


@pytest.mark.parametrize(
    ("proved", "found"), [((2, 5), (2, 5)), ((4, 4), (4, 4)), ((-5, 3), (0, 3)), ((20, 30), (0, 10))]
)
def test_outputs_are_clipped_to_what_was_proved_of_them(proved: tuple[int, int], found: tuple[int, int]) -> None:
    """Also to a single value; where the two have nothing in common the output stays as it is."""
    graph = chain(requantize(low=0, high=10))
    assert _narrowed(graph, [proved]).output_types[0].range == found


def test_only_permutations_of_channels_become_an_order_of_weights() -> None:
    rng = np.random.default_rng(0)
    image = Type((4, 3, 3), (-8, 7))
    weight = rng.integers(-3, 4, (5, 4, 2, 2))
    eye = np.eye(4, dtype=np.int64)
    x = rng.integers(-8, 8, (6, 4, 3, 3))
    for matrix, folds in ((eye[[2, 0, 3, 1]], True), (2 * eye, False), (eye[[0, 0, 1, 2]], False), (-eye, False)):
        builder = Builder()
        source = builder.add("x", Input(image))
        first = builder.add("p", Conv2d(matrix.reshape(4, 4, 1, 1)), source)
        graph = builder.graph([builder.add("c", Conv2d(weight), first)])
        folded = fold_permutation(graph)
        assert np.array_equal(folded(x)[0], graph(x)[0])
        assert (np.array_equal(folded.node("c").op.weight, weight) and folded == graph) is not folds
    builder = Builder()
    first = builder.add("p", Conv2d(eye[[1, 0, 3, 2]].reshape(4, 4, 1, 1)), builder.add("x", Input(image)))
    pooled = builder.graph([builder.add("m", MaxPool((2, 2), (1, 1)), first)])
    assert fold_permutation(pooled) == pooled
