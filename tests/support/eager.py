"""What torch computes in eager execution, and what tracing and lowering make of it."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

import intaglio as ig
from intaglio.twin.trace import trace

COUNT = 7
"""Samples: none is trusted alone."""


def same(model: nn.Module, x: Tensor) -> None:
    """The flat form of a copy gives what the model gives, to the last digits of float64, for all samples."""
    model = model.double().eval()
    with torch.no_grad():
        expected = model(x.double().clone())
        found = trace(copy.deepcopy(model))(x.double().clone())
    assert expected.shape == found.shape
    assert float((expected - found).abs().max()) <= 1e-9 * float(expected.abs().max())


def samples(*shape: int) -> Tensor:
    return torch.randn(COUNT, *shape, generator=torch.Generator().manual_seed(1))


def carried(model: nn.Module, x: Tensor | None = None) -> None:
    """12 bits of the network are near the network."""
    x = samples(6) if x is None else x
    small = ig.Recipe(ig.FixedPoint(weight_bits=12, activation_bits=12, input_bits=12)).apply(model, x)
    graph = ig.lower(small, x[:1])
    (wire,), (kind,) = graph.output_types, graph.input_types
    found = wire.dequantize(graph(kind.quantize(x.double().numpy()))[0])
    with torch.no_grad():
        real = model.eval()(x).double().numpy()
    assert np.linalg.norm(found - real) < 0.01 * np.linalg.norm(real)
