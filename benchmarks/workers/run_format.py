"""A training step with a recipe, or float. Arguments: recipe as YAML (or "float"), network, batch, threads."""

import sys

import torch
from qat import train
from turns import versions

from intaglio.models import LeNet5Caffe, Residual
from intaglio.recipe import Recipe

NETWORKS = {"lenet5_caffe": (LeNet5Caffe, (1, 28, 28)), "resnet8": (lambda: Residual(3, 16), (3, 32, 32))}

if __name__ == "__main__":
    recipe, network, batch, threads = sys.argv[1:]
    torch.manual_seed(0)
    make, shape = NETWORKS[network]
    model, methods = make(), ()
    if recipe != "float":
        made = Recipe.from_yaml(recipe)
        model, methods = made.apply(model, torch.rand(256, *shape)), made.methods
    train(model, shape, int(batch), int(threads), versions("torch"), methods)
