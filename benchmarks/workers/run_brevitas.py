"""Brevitas: a training step of LeNet-5 Caffe, 4 bits, learned scales. Arguments: batch, threads."""

import sys

import brevitas.nn as qnn
import torch
from brevitas.core.scaling import ScalingImplType
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerTensorFloat, Uint8ActPerTensorFloat
from qat import train
from torch import Tensor, nn
from turns import versions

BITS = 4


class Weight(Int8WeightPerTensorFloat):
    """Signed, per tensor, the scale a parameter that starts from the weights."""

    bit_width = BITS
    scaling_impl_type = ScalingImplType.PARAMETER_FROM_STATS


class Unsigned(Uint8ActPerTensorFloat):
    """Behind a rectifier; the scale is a parameter after two batches of statistics."""

    bit_width = BITS
    collect_stats_steps = 2


class Signed(Int8ActPerTensorFloat):
    """Elsewhere."""

    bit_width = BITS
    collect_stats_steps = 2


class Input(Uint8ActPerTensorFloat):
    """8 bits at the input."""

    collect_stats_steps = 2


class Network(nn.Module):
    """LeNet-5 Caffe: quantisers where ours stand."""

    def __init__(self) -> None:
        super().__init__()
        self.input = qnn.QuantIdentity(act_quant=Input)
        self.conv1 = qnn.QuantConv2d(1, 20, 5, weight_quant=Weight)
        self.pool1, self.quant1 = nn.MaxPool2d(2), qnn.QuantIdentity(act_quant=Signed)
        self.conv2 = qnn.QuantConv2d(20, 50, 5, weight_quant=Weight)
        self.pool2, self.quant2 = nn.MaxPool2d(2), qnn.QuantIdentity(act_quant=Signed)
        self.flatten = nn.Flatten()
        self.fc1 = qnn.QuantLinear(800, 500, bias=True, weight_quant=Weight)
        self.relu1 = qnn.QuantReLU(act_quant=Unsigned)
        self.fc2 = qnn.QuantLinear(500, 10, bias=True, weight_quant=Weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) to logits (N, 10)."""
        x = self.quant1(self.pool1(self.conv1(self.input(x))))
        x = self.quant2(self.pool2(self.conv2(x)))
        return self.fc2(self.relu1(self.fc1(self.flatten(x))))


if __name__ == "__main__":
    torch.manual_seed(0)
    train(Network(), (1, 28, 28), int(sys.argv[1]), int(sys.argv[2]), versions("brevitas", "torch"))
