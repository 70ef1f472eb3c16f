"""Networks of every number format, written as QONNX and read back: the same integers at the end, biases included."""

import numpy as np
import pytest
import torch
from torch import nn

from intaglio import Recipe, lower
from intaglio.exchange import read_qonnx, write_qonnx
from intaglio.ir.errors import UnsupportedLayer
from intaglio.methods import METHODS, BlockFloatingPoint, FixedPoint, Minifloat, Prune
from tests.support.exchange import draw


def dense():
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    model[3].bias.data.copy_(torch.tensor([0.0, 3.0, 0.0]))
    return model, torch.rand(64, 8)


def image():
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 4)
    )  # fmt: skip
    model[5].bias.data.copy_(torch.tensor([0.0, 3.0, 0.0, -1.0]))
    return model, torch.rand(64, 2, 4, 4)


RECIPES = {method.__name__: (method(),) for method in METHODS if ".formats." in method.__module__} | {
    "Prune": (FixedPoint(), Prune(sparsity=0.5)),
    "four bits": (FixedPoint(weight_bits=4, activation_bits=4),),
    "per channel": (FixedPoint(weight_bits=4, activation_bits=4, per_channel=True),),
    "minifloat activations": (Minifloat(activations="E2M1"),),
    "exponents of their own": (BlockFloatingPoint(block=1, activation_mantissa=3, width=8),),
}


def lowered(make, recipe):
    torch.manual_seed(0)
    model, x = make()
    return lower(Recipe(*recipe).apply(model, x).eval(), x[:1])


@pytest.mark.parametrize("make", [dense, image])
@pytest.mark.parametrize("name", RECIPES)
def test_the_graph_that_was_written(name, make, tmp_path):
    graph = lowered(make, RECIPES[name])
    write_qonnx(graph, tmp_path / "m.onnx")
    found = read_qonnx(tmp_path / "m.onnx")
    x = draw(graph.input_types[0], 64)
    assert np.array_equal(found.graph(x)[0], graph(x)[0])
    assert found.graph.output_types[0].scale == (1,) and found.tails[0].ordered and not found.tails[0].steps


def test_exponents_that_channels_share_are_refused(tmp_path):
    graph = lowered(dense, (BlockFloatingPoint(block=2, activation_mantissa=3, width=8),))
    with pytest.raises(UnsupportedLayer, match=r"\(Align\): .* 2 channels share: use blocks of 1"):
        write_qonnx(graph, tmp_path / "m.onnx")
