"""Reference networks: one per file, listed in MODELS by the names that recipes use."""

from collections.abc import Callable

from torch import nn

from intaglio.models.digits import DigitsNet
from intaglio.models.jet_mlp import JetMLP
from intaglio.models.lenet5 import LeNet5
from intaglio.models.lenet5_caffe import LeNet5Caffe
from intaglio.models.lenet_300_100 import LeNet300100
from intaglio.models.residual import Residual

MODELS: dict[str, Callable[..., nn.Module]] = {
    "digits": DigitsNet,
    "jet_mlp": JetMLP,
    "lenet5": LeNet5,
    "lenet5_caffe": LeNet5Caffe,
    "lenet_300_100": LeNet300100,
    "residual": Residual,
}

__all__ = ["MODELS", "DigitsNet", "JetMLP", "LeNet5", "LeNet5Caffe", "LeNet300100", "Residual"]
