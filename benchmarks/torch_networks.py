"""Networks in torch of a size that is asked for, quantised to 8 bits: what `lower` is timed on."""

import torch
from torch import Tensor, nn

from intaglio.methods import FixedPoint, Recipe

BLOCKS = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))
"""Outputs and stride of the residual blocks of ResNet-18 (He et al., CVPR 2016)."""


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut, of 1x1 where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        same = stride == 1 and inputs == outputs
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut, self.relu = nn.Identity() if same else shortcut, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The rectified sum."""
        return self.relu(self.body(x) + self.shortcut(x))


def resnet18() -> tuple[nn.Module, Tensor]:
    """ResNet-18 for 224x224 and 1000 classes, 11.7 million weights."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    inputs = 64
    for outputs, stride in BLOCKS:
        layers.append(Block(inputs, outputs, stride))
        inputs = outputs
    return quantised([*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)], (3, 224, 224))


def dense(layers: int, width: int) -> tuple[nn.Module, Tensor]:
    """Rectified dense layers of one width."""
    each = [module for _ in range(layers) for module in (nn.Linear(width, width), nn.ReLU())]
    return quantised(each[:-1], (width,))


def residual(blocks: int) -> tuple[nn.Module, Tensor]:
    """Residual blocks of 2 channels of 4x4."""
    return quantised(
        [nn.Conv2d(2, 2, 1), *(Block(2, 2) for _ in range(blocks)), nn.Flatten(), nn.Linear(32, 3)], (2, 4, 4)
    )


def quantised(layers: list[nn.Module], shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    """The network in 8 bits, calibrated on two random inputs, and one of them."""
    torch.manual_seed(0)
    x = torch.rand(2, *shape)
    return Recipe(FixedPoint()).apply(nn.Sequential(*layers).eval(), x).eval(), x[:1]
