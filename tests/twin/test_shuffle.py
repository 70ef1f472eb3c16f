"""Shuffles of channels: however they are written, they are nn.ChannelShuffle, and exact."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import intaglio as ig
from intaglio.ir.errors import UnsupportedLayer
from tests.support.eager import carried, same, samples


class Shuffle(nn.Module):
    """Channels shuffled as ShuffleNet's authors write it."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.way = nn.Conv2d(3, 12, 1), nn.Conv2d(12, 4, 1, bias=False), way

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        n, c, h, w = x.size()
        if self.way == "layer":
            return self.b(nn.functional.channel_shuffle(x, 3))
        if self.way == "permute":
            return self.b(x.reshape(n, 3, c // 3, h, w).permute(0, 2, 1, 3, 4).reshape(n, c, h, w))
        return self.b(torch.transpose(x.view(n, 3, -1, h, w), 2, 1).contiguous().view(n, -1, h, w))


@pytest.mark.parametrize("way", ["layer", "permute", "transpose"])
def test_channels_are_shuffled(way: str):
    x = samples(3, 4, 5)
    same(Shuffle(way), x)
    small = ig.Recipe(ig.FixedPoint(weight_bits=12, activation_bits=12, input_bits=12)).apply(Shuffle(way).float(), x)
    graph = ig.lower(small, x[:1])
    assert ig.equal(small, graph, x) == 0
    assert any(isinstance(module, nn.ChannelShuffle) for module in small.modules())
    ig.carve(graph)
    carried(Shuffle(way), x)


def test_another_swap_is_no_shuffle():
    class Swapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return x.view(-1, 2, 2, 4, 4).transpose(2, 3).reshape(-1, 4, 4, 4)

    same(Swapped(), samples(4, 4, 4))
    with pytest.raises(UnsupportedLayer, match="transpose"):
        ig.check(Swapped(), samples(4, 4, 4))
