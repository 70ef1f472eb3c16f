"""Stacks of four rectified convolutions of 64 channels on 32x32: what one kind of layer costs."""

from torch import nn

LAYERS, CHANNELS, SIDE = 4, 64, 32
KINDS = {"stack_3x3": (3, 1), "stack_1x1": (1, 1), "stack_depthwise": (3, CHANNELS)}
"""Kernel and groups by name."""
SHAPE = (CHANNELS, SIDE, SIDE)


def stack(name: str) -> nn.Module:
    """The float network of a name."""
    kernel, groups = KINDS[name]
    layers: list[nn.Module] = []
    for _ in range(LAYERS):
        layers += [nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=kernel // 2, groups=groups), nn.ReLU()]
    return nn.Sequential(*layers)
