"""Random changes to training images."""

from collections.abc import Callable

import torch
from torch import Tensor


def shifted(pixels: int, groups: int = 16) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Moves images (N, C, H, W) by up to `pixels` in each direction; a batch falls into `groups` that move
    alike.

    Pixels that leave on one side come back on the other, so use it where the border is empty (MNIST).
    """

    def augment(x: Tensor, generator: torch.Generator) -> Tensor:
        moves = torch.randint(-pixels, pixels + 1, (groups, 2), generator=generator).tolist()
        parts = zip(x.chunk(groups), moves, strict=False)
        return torch.cat([torch.roll(part, (dy, dx), (2, 3)) for part, (dy, dx) in parts])

    return augment
