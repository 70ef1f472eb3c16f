"""Quantise a trained network to 8, 4 and 3 bits after training, and see what each costs in accuracy.

    python examples/01_quantise_digits.py [epochs]
"""

import sys

import torch

from intaglio import FixedPoint, Recipe, equal, evaluate, fit, lower
from intaglio.datasets import digits
from intaglio.models import DigitsNet

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20

data = digits()
torch.manual_seed(0)
network = DigitsNet()
fit(network, data, epochs=epochs, lr=2e-3, batch=64)
print(f"float32          {evaluate(network, data.test.x, data.test.y):5.1f} % of {len(data.test)} test images")

for bits in (8, 4, 3):
    # The training images only calibrate the scales; nothing is trained again.
    recipe = Recipe(FixedPoint(weight_bits=bits, activation_bits=bits, per_channel=True))
    small = recipe.apply(network, data.train.x[:512])

    # The Graph holds integers only. It must agree with PyTorch in every output of every image.
    graph = lower(small, data.test.x[:1])
    assert equal(small, graph, data.test.x) == 0

    images = graph.input_types[0].quantize(data.test.x.numpy())
    right = graph(images)[0].argmax(axis=1) == data.test.y.numpy()
    print(f"{bits} bits, integers {100 * right.mean():5.1f} %")
