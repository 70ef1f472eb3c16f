"""The networks of the benchmarks as plain integers, so that every contestant runs the very same arithmetic.

Jet MLP 16-64-32-32-5, int8: y = clip((W x + b + 2**(s-1)) >> s, low, 127), low = 0 for rectified layers.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.ops import Input, MatMul, Requantize
from intaglio.ir.types import Type

Ints = NDArray[np.int64]

SIZES = (16, 64, 32, 32, 5)
LIMIT = 127
"""Largest magnitude of an 8-bit weight or activation, both ends alike."""
WIDE = 1 << 30


@dataclass(frozen=True, eq=False)
class IntegerMlp:
    """Weights (outputs, inputs), biases and shifts; `final`: the last layer is rounded to 8 bits too."""

    weights: tuple[Ints, ...]
    biases: tuple[Ints, ...]
    shifts: tuple[int, ...]
    final: bool = True

    @cached_property
    def graph(self) -> Graph:
        """As an integer graph; its layers are named dense0, dense1, ..."""
        builder = Builder()
        wire = builder.add("input", Input(Type((self.weights[0].shape[1],), (-LIMIT, LIMIT))))
        last, one = len(self.weights) - 1, np.array([1])
        for i, (weight, bias, shift) in enumerate(zip(self.weights, self.biases, self.shifts, strict=True)):
            wire = builder.add(f"dense{i}", MatMul(weight, (Fraction(1),)), wire)
            low, high = (0, LIMIT) if i < last else (-LIMIT, LIMIT) if self.final else (-WIDE, WIDE)
            shift = shift if i < last or self.final else 0
            wire = builder.add(f"round{i}", Requantize(one, bias + (1 << shift >> 1), shift, low, high), wire)
        return builder.graph([wire])

    def inputs(self, count: int, seed: int = 1) -> Ints:
        """Random inputs (count, features)."""
        rng = np.random.default_rng(seed)
        return rng.integers(-LIMIT, LIMIT + 1, (count, self.weights[0].shape[1]))

    def save(self, path: Path, samples: int = 256) -> Path:
        """Weights, shifts, inputs and the outputs they give, for a worker."""
        inputs = self.inputs(samples)
        arrays = {f"w{i}": weight for i, weight in enumerate(self.weights)}
        arrays |= {f"b{i}": bias for i, bias in enumerate(self.biases)}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            shifts=np.array(self.shifts),
            inputs=inputs,
            outputs=self.graph(inputs)[0],
            graph=self.graph.text(),
            **arrays,
        )
        return path


def jet_mlp(final: bool = True, seed: int = 0) -> IntegerMlp:
    """The MLP with random weights, and shifts that let few activations clip."""
    rng = np.random.default_rng(seed)
    weights, biases, shifts = [], [], []
    x = rng.integers(-LIMIT, LIMIT + 1, (1000, SIZES[0]))
    for i, (inputs, outputs) in enumerate(pairwise(SIZES)):
        weight = np.clip(np.rint(rng.normal(0.0, 40.0, (outputs, inputs))), -LIMIT, LIMIT).astype(np.int64)
        bias = rng.integers(-1000, 1001, outputs)
        y = x @ weight.T + bias
        shift = max(1, int(np.ceil(np.log2(np.quantile(np.abs(y), 0.99) / LIMIT))))
        x = np.clip((y + (1 << shift - 1)) >> shift, 0 if i < len(SIZES) - 2 else -LIMIT, LIMIT)
        weights.append(weight)
        biases.append(bias)
        shifts.append(shift)
    return IntegerMlp(tuple(weights), tuple(biases), tuple(shifts), final)
