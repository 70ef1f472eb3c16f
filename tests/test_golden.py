"""Small graphs as text and the SystemVerilog they become, compared letter by letter.

After a change that is meant: `python -m tests.test_golden` writes the files anew; review them by `git diff`.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from intaglio.hardware.design import Fold, carve
from intaglio.hardware.emit import emit
from intaglio.ir import ops
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.types import Type

HERE = Path(__file__).parent / "golden"


def pattern(*shape: int) -> np.ndarray:
    """Weights -3..3 that need no random numbers."""
    size = int(np.prod(shape))
    return (np.arange(size).reshape(shape) * 5 + 2) % 7 - 3


def scaled(builder: Builder, name: str, wire: int, bits: int, signed: bool = False) -> int:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    channels = builder.nodes[wire].type.shape[0]
    return builder.add(name, ops.Requantize(np.arange(channels) + 3, np.arange(channels) * 4 + 16, 5, low, high), wire)


def dense() -> tuple[Graph, Mapping[str, Fold]]:
    """A folded dense layer and the index of its largest output."""
    builder = Builder()
    wire = builder.add("x", ops.Input(Type((8,), (0, 15))))
    wire = scaled(builder, "fc.q", builder.add("fc", ops.MatMul(pattern(6, 8)), wire), 5, signed=True)
    return builder.graph((builder.add("argmax", ops.ArgMax(), wire),)), {"fc": Fold(4, 3)}


def convolution() -> tuple[Graph, Mapping[str, Fold]]:
    """Padded convolution, pooling, flattening, dense layer: the usual classifier."""
    builder = Builder()
    wire = builder.add("x", ops.Input(Type((1, 6, 6), (0, 255))))
    wire = builder.add("conv", ops.Conv2d(pattern(4, 1, 3, 3), padding=(1, 1)), wire)
    wire = builder.add("pool", ops.MaxPool((2, 2), (2, 2), (0, 0)), scaled(builder, "conv.q", wire, 4))
    wire = builder.add("flat", ops.Reshape((36,)), wire)
    graph = builder.graph((builder.add("fc", ops.MatMul(pattern(3, 36)), wire),))
    return graph, {"conv": Fold(1, 2), "pool": Fold(2), "fc": Fold(4, 1)}


def residual() -> tuple[Graph, Mapping[str, Fold]]:
    """A fork, a depthwise convolution with pad value, an addition, thresholds, a concatenation."""
    builder = Builder()
    x = builder.add("x", ops.Input(Type((2, 4, 3), (-8, 7))))
    wire = builder.add("conv", ops.Conv2d(pattern(2, 1, 3, 3), padding=(1, 1), groups=2, pad_value=-2), x)
    wire = builder.add("add", ops.Add((1, 1)), scaled(builder, "conv.q", wire, 4, signed=True), x)
    wire = builder.add("steps", ops.Threshold(np.array([[-5, 0, 6]]), 0), wire)
    return builder.graph((builder.add("concat", ops.Concat((1, 1)), wire, x),)), {"x": Fold(2)}


def sparse() -> tuple[Graph, Mapping[str, Fold]]:
    """A dense layer with whole blocks of zeros, which are skipped, and a look-up table."""
    builder = Builder()
    weight = pattern(4, 16)
    weight[:, 2:12] = 0
    wire = builder.add("x", ops.Input(Type((16,), (0, 3))))
    wire = builder.add("table", ops.Lookup(np.array([[0, 1, 3, 7]]), 0), wire)
    return builder.graph((builder.add("fc", ops.MatMul(weight), wire),)), {"fc": Fold(2, 2)}


CASES = {case.__name__: case for case in (dense, convolution, residual, sparse)}


def texts(name: str) -> dict[str, str]:
    """What the files of a case should hold, by suffix."""
    graph, folding = CASES[name]()
    with tempfile.TemporaryDirectory() as directory:
        rtl = emit(carve(graph, folding, dsp=False), Path(directory), f"ig_{name}")
        modules = [path.stem for path in rtl.sources]
        memories = "".join(f"// {path.name}\n{path.read_text()}" for path in rtl.memories)
        top = rtl.sources[-1].read_text()
    return {"txt": graph.text(), "sv": f"// {' '.join(modules)}\n{top}", "mem": memories}


@pytest.mark.parametrize("name", CASES)
def test_text_and_hardware_are_as_they_were(name: str) -> None:
    for suffix, text in texts(name).items():
        assert (HERE / f"{name}.{suffix}").read_text() == text, f"{name}.{suffix}: see the top of this file"


@pytest.mark.parametrize("name", CASES)
def test_the_kept_text_is_the_graph(name: str) -> None:
    assert Graph.parse((HERE / f"{name}.txt").read_text()) == CASES[name]()[0]


def test_nothing_else_lies_there() -> None:
    expected = {f"{name}.{suffix}" for name in CASES for suffix in ("txt", "sv", "mem")}
    assert {path.name for path in HERE.iterdir()} == expected


if __name__ == "__main__":
    for case in CASES:
        for ending, content in texts(case).items():
            (HERE / f"{case}.{ending}").write_text(content)
