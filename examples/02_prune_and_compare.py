"""Prune to several sparsities, fine-tune, and compare accuracy and storage.

    python examples/02_prune_and_compare.py [epochs]

The storage is that of real encodings, from which the same integers are decoded again.
"""

import sys

import torch

from intaglio import FixedPoint, Prune, Recipe, evaluate, fit, lower
from intaglio.datasets import digits
from intaglio.ir.encodings import cheapest
from intaglio.models import DigitsNet

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20

data = digits()
torch.manual_seed(0)
network = DigitsNet()
fit(network, data, epochs=epochs, lr=2e-3, batch=64)
float_bits = 32 * sum(parameter.numel() for parameter in network.parameters())
print(f"float      {evaluate(network, data.test.x, data.test.y):5.1f} %  {float_bits:7,} bits")

for sparsity in (0.0, 0.5, 0.8, 0.9):
    # Methods work from left to right; the number format comes last.
    recipe = Recipe(
        Prune(sparsity=sparsity, schedule="gradual"),
        FixedPoint(weight_bits=4, activation_bits=4),
    )
    small = recipe.apply(network, data.train.x[:512])
    fit(small, data, epochs=epochs, lr=1e-3, batch=64, methods=recipe.methods)
    recipe.verify(small)  # raises if training had destroyed the zeros

    graph = lower(small, data.test.x[:1])
    weights = [node.op.weight for node in graph.nodes if hasattr(node.op, "weight")]
    encodings = [cheapest(weight.reshape(len(weight), -1)) for weight in weights]
    bits = sum(encoding.bits() for encoding in encodings)
    kinds = ", ".join(type(encoding).__name__.lower() for encoding in encodings)
    accuracy = evaluate(small, data.test.x, data.test.y)
    print(f"{sparsity:4.0%} zero  {accuracy:5.1f} %  {bits:7,} bits of weights  ({kinds})")

error = 2 * 100 * (0.9 * 0.1 / len(data.test)) ** 0.5  # two standard errors at 90 %
print(f"{len(data.test)} test images: differences below about {error:.0f} points mean nothing")
