"""What a data set is: three splits of inputs and labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from intaglio.ir.errors import DataError


@dataclass(frozen=True)
class Split:
    """Inputs `x` (N, ...) float32 and labels `y` (N,) int64."""

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise DataError(f"{len(self.x)} inputs but {len(self.y)} labels")

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test splits. Settings are tuned on `val`; `test` is for the final figure
    only."""

    name: str
    train: Split
    val: Split
    test: Split
    classes: int


def split_off(x: Tensor, y: Tensor, count: int, seed: int) -> tuple[Split, Split]:
    """(rest, `count` samples drawn with the seed)."""
    if not 0 <= count < len(x):
        raise DataError(f"cannot take {count} validation samples from {len(x)}")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    held, rest = order[:count].sort().values, order[count:].sort().values
    return Split(x[rest], y[rest]), Split(x[held], y[held])
