"""A training step of LeNet-5 Caffe with a recipe, or float. Arguments: recipe as YAML (or "float"), batch, threads."""

import sys

import torch
from qat import train
from turns import versions

from intaglio.methods.recipe import Recipe
from intaglio.models import LeNet5Caffe

if __name__ == "__main__":
    torch.manual_seed(0)
    model = LeNet5Caffe()
    methods = ()
    if sys.argv[1] != "float":
        recipe = Recipe.from_yaml(sys.argv[1])
        model, methods = recipe.apply(model, torch.rand(256, 1, 28, 28)), recipe.methods
    train(model, int(sys.argv[2]), int(sys.argv[3]), versions("torch"), methods)
