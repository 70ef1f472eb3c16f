"""Reference networks: one per file, listed in MODELS by the names that recipes use."""

from collections.abc import Callable

from torch import nn

from intaglio.models.digits import DigitsNet
from intaglio.models.fully_connected import SFC, TFC
from intaglio.models.jet_mlp import JetMLP
from intaglio.models.lenet5 import LeNet5
from intaglio.models.lenet5_caffe import LeNet5Caffe
from intaglio.models.lenet5_norm import LeNet5Norm
from intaglio.models.lenet_300_100 import LeNet300100
from intaglio.models.residual import Residual

MODELS: dict[str, Callable[..., nn.Module]] = {
    "digits": DigitsNet,
    "jet_mlp": JetMLP,
    "lenet5": LeNet5,
    "lenet5_caffe": LeNet5Caffe,
    "lenet5_norm": LeNet5Norm,
    "lenet_300_100": LeNet300100,
    "residual": Residual,
    "sfc": SFC,
    "tfc": TFC,
}

__all__ = [
    "MODELS",
    "SFC",
    "TFC",
    "DigitsNet",
    "JetMLP",
    "LeNet5",
    "LeNet5Caffe",
    "LeNet5Norm",
    "LeNet300100",
    "Residual",
]
