"""A training step of LeNet-5 Caffe: ours in 4 bits with learned steps, or float. Arguments: kind, batch, threads."""

import sys

import torch
from qat import train
from torch import nn
from turns import versions

from intaglio.methods.formats.fixed_point import FixedPoint
from intaglio.models import LeNet5Caffe
from intaglio.recipe import Recipe


def network(kind: str) -> nn.Module:
    """The float network, or the one that FixedPoint made of it."""
    torch.manual_seed(0)
    model = LeNet5Caffe()
    if kind == "float":
        return model
    scale = "dyadic" if kind == "ours_dyadic" else "power_of_two"
    recipe = Recipe(FixedPoint(weight_bits=4, activation_bits=4, weight_scale=scale, activation_scale=scale))
    return recipe.apply(model, torch.rand(256, 1, 28, 28))


if __name__ == "__main__":
    train(network(sys.argv[1]), (1, 28, 28), int(sys.argv[2]), int(sys.argv[3]), versions("torch"))
