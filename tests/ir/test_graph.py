"""Graph, Builder, text and execution: errors that name the node, chunks, threads, dtypes."""

import pickle
import re
import textwrap
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from intaglio.ir import Builder, Graph, Node, Type, Work, execute
from intaglio.ir.encodings import ENCODINGS
from intaglio.ir.errors import DataError, GraphError, IntaglioError, RangeError, ShapeError, StructureError
from intaglio.ir.ops import OPS, Add, Align, ArgMax, Conv2d, Input, MatMul, MaxPool, Requantize, Reshape, Threshold
from intaglio.ir.passes import PASSES


def network(weight_scale: int = 20) -> Graph:
    """A small convolutional network with two inputs and two outputs."""
    rng = np.random.default_rng(7)
    b = Builder()
    x = b.add("image", Input(Type((2, 8, 8), (0, 255), (Fraction(1, 256),))))
    conv = rng.integers(-weight_scale, weight_scale, (6, 2, 3, 3))
    y = b.add("conv.0", Conv2d(conv, (Fraction(1, 64),), padding=(1, 1)), x)
    y = b.add("act", Requantize(rng.integers(90, 130, 6), rng.integers(-99, 99, 6), 12, 0, 255), y)
    y = b.add("pool", MaxPool((2, 2), (2, 2)), y)
    y = b.add("flat", Reshape((96,)), y)
    y = b.add("fc", MatMul(rng.integers(-90, 90, (10, 96))), y)
    extra = b.add("extra", Input(Type((10,), (-8, 7))))
    total = b.add("total", Add(), y, extra)
    return b.graph([total, b.add("class", ArgMax(), total)])


def types_of(graph: Graph, node: Node) -> list[Type]:
    return [graph.nodes[i].type for i in node.inputs]


def inputs(graph: Graph, batch: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(t.range[0], t.range[1] + 1, (batch, *t.shape)) for t in graph.input_types]


def test_chunks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One chunk, chunks of one, chunks over threads, an empty batch: the same integers."""
    graph = network()
    arrays = inputs(graph, 37)
    whole = graph(*arrays)
    wires = graph.run(*arrays)
    assert list(wires) == [node.name for node in graph.nodes]
    np.testing.assert_array_equal(wires["total"], whole[0])
    np.testing.assert_array_equal(wires["conv.0"].shape, (37, 6, 8, 8))
    for chunk, threaded in ((1, 1), (1, 1 << 40), (5000, 1), (60000, 1)):
        monkeypatch.setattr(execute, "_CHUNK", chunk)
        monkeypatch.setattr(execute, "_THREADED", threaded)
        for found, expected in zip(graph(*arrays), whole, strict=True):
            assert found.dtype == np.int64 and found.flags.c_contiguous
            np.testing.assert_array_equal(found, expected)
    assert [x.shape for x in graph(*inputs(graph, 0))] == [(0, 10), (0, 1)]


@pytest.mark.parametrize("bits", [6, 14, 30, 45])
def test_exact_at_every_magnitude(bits: int) -> None:
    """Sums just below a power of two, in float32, float64 and int64, against Python integers."""
    rng = np.random.default_rng(bits)
    weight = rng.integers(-(2**bits), 2**bits, (7, 12))
    b = Builder()
    x = b.add("x", Input(Type((12,), (-1023, 1023))))
    half = 2 ** (bits - 1)
    y = b.add("y", MatMul(weight), x)
    z = b.add("z", Requantize(np.array([3]), np.array([half]), bits, -(2**40), 2**40), y)
    graph = b.graph([y, z])
    array = rng.choice([-1023, 1023, 1022], (50, 12))
    sums = array.astype(object) @ weight.T.astype(object)
    np.testing.assert_array_equal(graph(array)[0], sums.astype(np.int64))
    np.testing.assert_array_equal(graph(array)[1], ((sums * 3 + half) // 2**bits).astype(np.int64))


def test_dtype_boundaries() -> None:
    found = [execute.exact_dtype(m).name for m in (2**24 - 1, 2**24, 2**53 - 1, 2**53)]
    assert found == ["float32", "float64", "float64", "int64"]


def test_blas_threads_are_restored() -> None:
    before = [library.num_threads for library in execute._blas()]
    assert before
    with execute.one_blas_thread():
        assert {library.num_threads for library in execute._blas()} == {1}
    assert [library.num_threads for library in execute._blas()] == before


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float32, np.float64])
def test_inputs_of_any_dtype_that_holds_integers(kind: type) -> None:
    graph = network()
    image, extra = inputs(graph, 4)
    np.testing.assert_array_equal(graph(image.astype(kind), extra)[0], graph(image, extra)[0])


def spoilt(value: float) -> np.ndarray:
    array = np.zeros((1, 2, 8, 8))
    array[0, 1, 2, 3] = value
    return array


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (spoilt(256), DataError, r"image holds 256.*outside 0..255"),
        (spoilt(-1), DataError, r"image holds -1.*outside 0..255"),
        (spoilt(0.5), DataError, r"image holds 0.5, not an integer"),
        (spoilt(np.nan), DataError, r"image holds nan"),
        (spoilt(np.inf), DataError, r"image holds inf"),
        (np.zeros((2, 8, 8)), ShapeError, r"image has shape \(2, 8, 8\): expected \(batch, 2, 8, 8\)"),
        (np.zeros((2, 2, 8, 8)), ShapeError, r"different batch sizes \[1, 2\]"),
        (np.full((1, 2, 8, 8), "a"), DataError, r"image has dtype <U1"),
    ],
)
def test_wrong_inputs_are_named(image: np.ndarray, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        network()(image, np.zeros((1, 10), dtype=int))


def test_wrong_number_of_inputs() -> None:
    with pytest.raises(ShapeError, match=r"1 arrays for 2 inputs \(image, extra\)"):
        network()(spoilt(0))


def test_users_and_types() -> None:
    graph = network()
    assert [graph.nodes[i].name for i in graph.inputs] == ["image", "extra"]
    assert graph.users(0) == (1,) and graph.users(7) == (8,)
    assert graph.input_types[1].shape == (10,) and graph.output_types[1].range == (0, 9)
    assert graph.node("pool").op == MaxPool((2, 2), (2, 2))
    with pytest.raises(GraphError, match="no node is named 'pol'"):
        graph.node("pol")
    assert sum((node.op.work(*types_of(graph, node)) for node in graph.nodes), Work()) == graph.work()


def test_equal_graphs_pickle_and_hash() -> None:
    graph = network()
    graph(*inputs(graph, 2))
    again = pickle.loads(pickle.dumps(graph))
    assert again == graph == network() and hash(again) == hash(graph)
    assert network(21) != graph


def build(op: object, type: Type | None = None) -> Graph:
    b = Builder()
    type = type or Type((4,), (-8, 7))
    return b.graph([b.add("layer7", op, b.add("x", Input(type)))])  # pyright: ignore


@pytest.mark.parametrize(
    ("op", "error", "words"),
    [
        (MatMul(np.ones((3, 5))), ShapeError, r"layer7: weight \(3, 5\) does not fit input \(4,\)"),
        (MatMul(np.full((3, 4), 2**58)), RangeError, r"layer7: .* 64 bits, more than 62: .*requantise"),
        (Reshape((5,)), ShapeError, r"layer7: cannot reshape \(4,\) to \(5,\)"),
        (MaxPool((2, 2), (2, 2)), ShapeError, "layer7: needs an image"),
        (Add(), GraphError, "layer7: Add cannot take 1 inputs"),
        (Requantize(np.ones(3), np.ones(1), 0, 0, 1), ShapeError, "layer7: multiplier has 3 entries for 4"),
    ],
)
def test_errors_name_the_node(op: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        build(op)


def test_an_accumulator_may_overflow_where_its_result_does_not() -> None:
    """(x * 2**58) >> 58 fits in four bits, its product does not fit in 62."""
    with pytest.raises(RangeError, match=r"layer7: an accumulator of 6\d bits"):
        build(Requantize(np.array([2**58]), np.zeros(1), 58, -8, 7), Type((4,), (-80, 7)))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: MatMul(np.array([[0.5]])), StructureError, r"weight holds 0.5, not an integer: quantise"),
        (lambda: MatMul(np.array([[np.nan]])), StructureError, "weight holds nan"),
        (lambda: MatMul(np.array([[np.inf]])), StructureError, "weight holds inf"),
        (lambda: MatMul(np.array([["a"]])), StructureError, "weight of dtype <U1"),
        (lambda: MatMul(np.array([[2**63]], dtype=object)), RangeError, "more than 62 bits"),
        (lambda: MatMul(np.zeros((0, 3))), ShapeError, r"weight has shape \(0, 3\)"),
        (lambda: MatMul(np.zeros((2, 3)), (Fraction(1),) * 3), ShapeError, "weight scale has 3 entries"),
        (lambda: MatMul(np.zeros((2, 3)), (Fraction(-1),)), RangeError, "scale -1 is not positive"),
        (lambda: Conv2d(np.zeros((3, 1, 2, 2)), groups=2), ShapeError, "2 groups do not divide 3"),
        (lambda: Conv2d(np.zeros((3, 1, 2, 2)), stride=(0, 1)), ShapeError, r"stride \(0, 1\)"),
        (lambda: Add((0, 1)), RangeError, "at least 1"),
        (lambda: Requantize(np.ones(1), np.ones(1), 63, 0, 1), RangeError, "shift 63"),
        (lambda: Requantize(np.ones(1), np.ones(1), 0, 1, 0), RangeError, "empty range"),
        (lambda: Threshold(np.array([[1, 2, 3], [1, 3, 2]])), RangeError, "not ascending: sort every row"),
        (lambda: Align(0, 4), RangeError, "block 0, mantissa 4: at least 1"),
        (lambda: Align(4, 0), RangeError, "mantissa 0"),
        (lambda: Align(4, 33), RangeError, "mantissa 33"),
        (lambda: Type((2,), (0, 1), ()), ShapeError, "an empty scale"),
        (lambda: Type((), (0, 1)), ShapeError, "empty"),
        (lambda: Type((2, 0), (0, 1)), ShapeError, r"\(2, 0\) is empty"),
        (lambda: Type((2,), (1, 0)), RangeError, "range 1..0 is empty"),
        (lambda: Type((2,), (0, 2**62)), RangeError, "63 bits, more than 62"),
        (lambda: Type((2,), (0, 1), (Fraction(1),) * 3), ShapeError, "3 scales for 2 channels"),
    ],
)
def test_wrong_constants_are_refused(make: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()  # pyright: ignore


def test_builder_refuses_what_is_not_a_graph() -> None:
    b = Builder()
    x = b.add("x", Input(Type((4,), (0, 1))))
    for name, wires, words in (("x", (x,), "two nodes"), ("a b", (x,), "not a name"), ("y", (3,), "earlier")):
        with pytest.raises(GraphError, match=words):
            b.add(name, Reshape((4,)), *wires)
    with pytest.raises(GraphError, match="name at least one node"):
        b.graph([])
    graph = b.graph([b.add("y", Reshape((4,)), x)])
    for wires in ((1,), (2,), (-1,)):
        late = replace(graph.nodes[1], inputs=wires)
        with pytest.raises(GraphError, match=r"y reads .*: inputs must be earlier nodes"):
            replace(graph, nodes=(graph.nodes[0], late))


def test_a_kept_node_is_derived_again_where_what_it_reads_has_changed() -> None:
    graph = network()
    node, old = graph.nodes[1], [graph.nodes[0].type]
    for kind, same in ((old[0], True), (Type((2, 8, 8), (0, 7), old[0].scale), False)):
        b = Builder()
        place = b.keep(node, old, b.add("image", Input(kind)))
        assert (b.type(place) is node.type) == same
        assert b.type(place).range == node.op.type(kind).range
        with pytest.raises(GraphError, match="two nodes are named"):
            b.keep(node, old, 0)


def test_a_builder_knows_the_layers_it_holds() -> None:
    b = Builder()
    b.add("body.10.bias", Input(Type((1,), (0, 1))))
    assert all(b.holds(name) for name in ("body", "body.10", "body.10.bias"))
    assert not any(b.holds(name) for name in ("body.1", "bod", "10", "bias", ""))


def test_verify_finds_a_wrong_type() -> None:
    graph = network()
    graph.verify()
    node = graph.nodes[5]
    wrong = Node(node.name, node.op, node.inputs, Type((10,), (0, 1)))
    with pytest.raises(GraphError, match=r"fc is declared \(10,\) 0..1 \* 1, but is \(10,\) -"):
        Graph((*graph.nodes[:5], wrong, *graph.nodes[6:]), graph.outputs).verify()


def test_text_for_people() -> None:
    """Names, small constants and types in the line; large constants after it, in base64."""
    lines = network().text().splitlines()
    assert lines[0] == "intaglio graph 1"
    assert lines[4] == (
        '"pool" = MaxPool("act", kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1))'
        " : (6, 4, 4) 0..255 * 1"
    )
    assert 'return "total", "class"' in lines
    heads = [line for line in lines if line.startswith("constant")]
    assert len(heads) == 2 and "int8 (6, 2, 3, 3) # -20..19" in heads[0]
    assert max(len(line) for line in lines) < 250


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("intaglio graph 1", "intaglio graph 2"),
        ('return "total", "class"', ""),
        ('return "total"', 'return "totl"'),
        ("MaxPool", "MinPool"),
        ('MaxPool("act"', 'MaxPool("fc"'),
        ("kernel=(2, 2), stride", "stride"),
        (": (6, 4, 4) 0..255", ": (6, 4, 4) 0..254"),
        ("kernel=(2, 2)", "kernel=__import__('os')"),
        ("constant c", "constant d"),
        ("int8 (6, 2, 3, 3)", "int8 (6, 2, 3, 4)"),
        ("# -20..19, 5 % zeros\n", "# -20..19, 5 % zeros\n!!"),
        ('"pool" = ', "pool = "),
        ('"pool" = MaxPool("act"', '"pool" = [MaxPool]("act"'),
    ],
)
def test_damaged_text_is_refused(old: str, new: str) -> None:
    text = network().text()
    assert old in text
    with pytest.raises(IntaglioError):
        Graph.parse(text.replace(old, new))


def test_a_changed_weight_changes_few_lines() -> None:
    """Diffable: one weight of 96 x 10 changes its data line and the constant's name."""
    graph = network()
    weight = np.array(graph.node("fc").op.values()["weight"])
    weight[3, 3] += 1
    b = Builder()
    for node in graph.nodes:
        b.add(node.name, MatMul(weight) if node.name == "fc" else node.op, *node.inputs)
    before, after = graph.text().splitlines(), b.graph(graph.outputs).text().splitlines()
    assert len(before) == len(after)
    assert sum(x != y for x, y in zip(before, after, strict=True)) <= 5


def test_quantize_rounds_half_up_and_clips() -> None:
    of = Type((2,), (-8, 7), (Fraction(1, 2), Fraction(1, 4)))
    np.testing.assert_array_equal(
        of.quantize([[0.25, 0.125], [-0.25, -0.125], [9, -9]]), [[1, 1], [0, 0], [7, -8]]
    )
    np.testing.assert_array_equal(of.dequantize([[3, 3]]), [[1.5, 0.75]])
    with pytest.raises(DataError, match="NaN"):
        of.quantize([[np.nan, 0]])


@pytest.mark.parametrize(
    ("low", "high", "bits", "signed"),
    [(0, 0, 1, False), (0, 1, 1, False), (0, 255, 8, False), (0, 256, 9, False), (-1, 0, 1, True),
     (-1, 1, 2, True), (-128, 127, 8, True), (-129, 0, 9, True), (-1, 128, 9, True), (5, 9, 4, False)],
)  # fmt: skip
def test_widths(low: int, high: int, bits: int, signed: bool) -> None:
    found = Type((1,), (low, high))
    assert (found.bits, found.signed) == (bits, signed)


def test_the_specification_lists_every_operation_and_its_example_is_a_graph() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ir.md").read_text()
    assert re.findall(r"^### (\w+)$", page, re.M) == [op.__name__ for op in OPS]
    for name in [form.__name__ for form in ENCODINGS] + [f"`{rewrite.__name__}`" for rewrite in PASSES]:
        assert f"| {name} |" in page
    example = textwrap.dedent(page[page.index("    intaglio graph 1") : page.index("## Encodings")]).strip()
    assert Graph.parse(example + "\n").text() == example + "\n"
