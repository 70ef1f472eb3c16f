"""Texts and Types from anywhere: read as what they say, or a GraphError, at a cost in proportion to their length."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from intaglio.ir import Builder, Graph, Type
from intaglio.ir.errors import GraphError, IntaglioError, ShapeError
from intaglio.ir.ops import Concat, Input, MaxPool, Reshape, SumPool
from intaglio.ir.text import HEADER
from intaglio.ir.window import Window

BIG = 10**9


def graph(*lines: str, end: str = 'return "y"') -> str:
    first = '"x" = Input(wire=Type(shape=(2, 4, 4), range=(-8, 7), scale=(1,))) : (2, 4, 4) -8..7 * 1'
    return "\n".join([HEADER, first, *lines, end]) + "\n"


MAX = '"y" = MaxPool("x", kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1)) : (2, 2, 2) -8..7 * 1'


def test_the_text_that_the_others_are_made_of():
    assert isinstance(Graph.parse(graph(MAX)).nodes[1].op, MaxPool)


@pytest.mark.parametrize("line", [
    MAX.replace("(2, 2), stride", f"({BIG}, {BIG}), stride"), MAX.replace("kernel=(2, 2)", "kernel=(2)"),
    MAX.replace("kernel=(2, 2)", "kernel=(2, 2, 2)"), MAX.replace("kernel=(2, 2)", "kernel=(2, 1/2)"),
    MAX.replace("kernel=(2, 2)", "kernel=(2, 2), kernel=(2, 2)"), MAX.replace('"x"', "x"), MAX.replace('"x"', '"x", x'),
    MAX.replace('"x"', "1"), MAX.replace("kernel=(2, 2)", "kernel=" + "(" * 10_000 + ")" * 10_000),
    MAX.replace("kernel=(2, 2)", "kernel=" + "-" * 10_000 + "1"),
    MAX.replace("kernel=(2, 2)", "kernel=1" + "/1" * 50_000),
    MAX.replace("kernel=(2, 2)", "kernel=(0x" + "f" * 10**6 + ", 2)"),
    MAX.replace("kernel=(2, 2)", "kernel=(" + "9" * 10**6 + ", 2)"),
    MAX.replace("kernel=(2, 2)", "kernel=(2, 1/0)"), MAX.replace("kernel=(2, 2)", 'kernel=(2, "2")'),
    MAX.replace("kernel=(2, 2)", "kernel=__import__('os').getpid()"), MAX.replace("kernel=(2, 2)", "kernel=(2, 2.0)"),
    MAX.replace("kernel=(2, 2)", "kernel=[2, [2]]"), MAX.replace("kernel=(2, 2)", "kernel=(2, 1e999)"),
    MAX.replace("padding=(0, 0)", f"padding=({BIG}, {BIG})"), MAX.replace("\"y\" = ", "\"y\" = \0"),
    '"y" = Input(wire=5) : (1,) 0..1 * 1', '"y" = Input(wire=Type(shape=(1,), range=(0, 1, 2))) : (1,) 0..1 * 1',
    '"y" = Input(wire=Type(shape=(1,), range=(0, 3/2))) : (1,) 0..1 * 1',
    f'"y" = Input(wire=Type(shape=({BIG}, {BIG}), range=(0, 1), scale=(1,))) : ({BIG}, {BIG}) 0..1 * 1',
    '"y" = MatMul("x", weight=[[1, [2]]], scale=(1,)) : (1,) 0..1 * 1', '"y" = MatMul("x", weight=5) : (1,) 0..1 * 1',
    '"y" = MatMul("x", weight=[[0.5]], scale=(1,)) : (1,) 0..1 * 1', '"y" = Reshape("x", shape=()) : (1,) 0..1 * 1',
    '"y" = MatMul("x", weight=[[' + "9" * 30 + "]], scale=(1,)) : (1,) 0..1 * 1",
    '"y" = Requantize("x", multiplier=[1], offset=[0], shift=1/2, low=0, high=1) : (2, 4, 4) 0..1 * 1',
    f'"y" = Reshape("x", shape=({"1, " * 40}32)) : (1,) 0..1 * 1', MAX.replace('"y"', f'"{"a." * 600}"'),
    *(f'"y" = Conv2d("x", weight=[[[[1]], [[1]]]], padding=(1, 1), {words}) : (1, 6, 6) -16..14 * 1'
      for words in ("pad_value=(1,)", "pad_value=[1]", "pad_value=()", "groups=(1,)", "groups=[1]")),
    *(f'"y" = Input(wire=Type(shape=(1,), range=(0, 1), scale=({scale},))) : (1,) 0..1 * {scale}'
      for scale in (2**1000, f"1/{2**1000}")),
])  # fmt: skip
def test_lines_that_are_no_nodes(line):
    with pytest.raises(IntaglioError) as error:
        Graph.parse(graph(line))
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("end", ['return "y" nonsense', "return ", "return y", 'return "z"', 'return "y",', ""])
def test_ends_that_are_no_outputs(end):
    with pytest.raises(GraphError):
        Graph.parse(graph(MAX, end=end))


@pytest.mark.parametrize("blob", [
    "constant c int8 (9999999999999999999, 4)\nAAAA", "constant c int99 (1, 3)\nAAAA", "constant c int8 (1, 3)\n!!!!",
    f"constant c int8 ({'9' * 5000})\nAAAA", "constant c int16 (1, 3)\nAAAA", "constant",
])  # fmt: skip
def test_damaged_constants(blob):
    with pytest.raises(GraphError, match="constant"):
        Graph.parse(graph(MAX) + "\n" + blob + "\n")


def test_long_chains_of_nodes_are_read():
    text = graph(*(f'"y{i}" = Reshape("{f"y{i - 1}" if i else "x"}", shape=(2, 4, 4)) : (2, 4, 4) -8..7 * 1'
                   for i in range(3000)), end='return "y2999"')  # fmt: skip
    assert len(Graph.parse(text).nodes) == 3001


# --- shapes that promise too much ---------------------------------------------------------------------------


def test_wires_have_an_end():
    assert Type((1 << 31,), (0, 1)).size == 1 << 31
    for shape in ((1, (1 << 31) + 1), (BIG, BIG), (1 << 10**5, 1)):
        with pytest.raises(ShapeError, match="elements"):
            Type(shape, (0, 1))


def test_scales_of_many_channels_are_not_written_out():
    a, b = Type((BIG, 1, 1), (0, 1)), Type((1, 1, 1), (0, 1), (Fraction(1, 2),))
    assert Concat((1, 1)).type(a, a).shape == (2 * BIG, 1, 1)
    with pytest.raises(ShapeError, match="different scales"):
        Concat((1, 1)).type(a, b)
    scales = Type((2, BIG), (0, 1), (Fraction(1), Fraction(2)))
    with pytest.raises(ShapeError, match="a scale each"):
        Reshape((2 * BIG,)).type(scales)
    assert Reshape((2, 1000, 10**6)).type(scales).scale == (1, 2)
    assert Reshape((4, 3)).type(Type((2, 6), (0, 1), (Fraction(1), Fraction(2)))).scale == (1, 1, 2, 2)


def slow(window: Window, size: int) -> tuple[int, int]:
    """Fewest and most taps inside an axis, by trying every tap of every window."""
    (outputs, _) = window.output(Type((1, size, 1), (0, 1)))
    starts = [window.stride[0] * o - window.padding[0] for o in range(outputs)]
    taps = [window.dilation[0] * tap for tap in range(window.kernel[0])]
    counts = [sum(0 <= start + tap < size for tap in taps) for start in starts]
    return min(counts), max(counts)


@pytest.mark.parametrize("dilation", [1, 2, 3, 4])
def test_taps_inside_an_image(dilation):
    for size, kernel, stride, padding in product((1, 2, 3, 5, 8), (1, 2, 3, 4, 6), (1, 2, 3, 5), (0, 1, 2, 4, 7)):
        window = Window((kernel, 1), (stride, 1), (padding, 0), (dilation, 1))
        if size + 2 * padding >= window.extent[0]:
            assert window.inside(Type((1, size, 1), (0, 1)))[0] == slow(window, size), (size, window)


def test_windows_over_long_axes_are_counted_at_once():
    of = Type((1, 1 << 28, 1), (0, 1))
    assert SumPool((1 << 20, 1), (1, 1), (1 << 19, 0)).type(of).range == (0, 1 << 20)
    window = Window((2, 1), (1, 1), (1 << 29, 0), (1 << 30, 1))
    assert window.inside(Type((1, 1 << 16, 1), (0, 1)))[0] == (0, 1)
    builder = Builder()
    x = builder.add("x", Input(of))
    with pytest.raises(ShapeError, match=r"padding .* alone"):
        builder.add("y", MaxPool((2, 1), (1, 1), (1 << 10, 0)), x)
    assert np.prod(builder.type(builder.add("z", MaxPool((1 << 27, 1), (1, 1)), x)).shape) > 1 << 27
