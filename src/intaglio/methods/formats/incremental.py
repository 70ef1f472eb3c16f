"""Incremental network quantisation: weights become powers of two in portions, largest first (Zhou et al., ICLR 2017).

The codebook of b bits is {0, +-2**n2, ..., +-2**n1} with s = max |W| of the layer,

    n1 = floor(log2(4 s / 3))        n2 = n1 + 1 - 2**(b - 1) / 2        2**(b - 2) magnitudes and zero,

and |w| becomes the magnitude beta, between its neighbours alpha (0 below the smallest) and 2 beta, where
(alpha + beta) / 2 <= |w| < 3 beta / 2: the nearest in value, not in the logarithm (see Logarithmic).

Training: at each of `positions` (shares of the training) the largest weights that are still free are quantised and
frozen, until `shares` of the layer's weights are frozen; the others train on in full precision and make up for the
error. The first portion, which also fixes s, is frozen in `apply` if its position is 0. In the forward pass of
training frozen weights are their codes and free ones are themselves, and only free ones have a gradient. In
evaluation the whole weight is quantised, frozen or not, so the network can be lowered at any time; at the end both
agree. What is frozen is in the state_dict, so a run that is resumed freezes nothing twice.

Weights that a mask below makes zero stay zero and count in no share. What it does not do: ranges per output channel,
random portions, activations (put Logarithmic(activation_bits=...) or FixedPoint before it).
Exploited by: the power-of-two encoding, and dot products by shifts.
"""

import math
from itertools import pairwise
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from intaglio.twin.format import Format
from intaglio.twin.layers import Batches
from intaglio.twin.method import SearchSpace, Span
from intaglio.twin.quantizers import Grid, WeightGrid
from intaglio.twin.stack import before_grid, grid_of, odd_parts
from intaglio.twin.uneven import nearest_power, uneven

EDGE = 1.5  # between 1 and 2: a power of two begins at 3/4 of itself
Share = Annotated[float, Field(ge=0, le=1)]


class IncrementalGrid(Grid, WeightGrid):
    """0 or +-2**e times a power-of-two scale; `frozen` weights have the values `held`, others follow the weight.

    `stage` counts the portions that are frozen, `owner` is the method that freezes them.
    """

    frozen: Tensor
    held: Tensor
    stage: Tensor
    owner: "Incremental | None" = None

    def __init__(self, bits: int, weight: Tensor) -> None:
        high = 1 << (2 ** (bits - 2) - 1)
        super().__init__(-high, high, "power_of_two", weight.new_zeros(1), learn=False)
        self.register_buffer("frozen", torch.zeros_like(weight, dtype=torch.bool))
        self.register_buffer("held", torch.zeros_like(weight))
        self.register_buffer("stage", torch.tensor(0))
        self.fit(weight)

    def fit(self, weight: Tensor) -> None:
        """Take n1 from the largest magnitude of a weight; 1 if all are zero."""
        top = weight.abs().max().double().clamp(2.0**-100, 2.0**100)
        n1 = math.log2(float(nearest_power(top, EDGE))) if bool(weight.any()) else 0.0
        self.log2_scale.fill_(n1 - math.log2(self.high))

    def whole(self, t: Tensor) -> Tensor:
        """The integers for a weight divided by its scale."""
        size = t.abs()
        powers = torch.where(size < 1, (size >= 0.5).to(t.dtype), nearest_power(size, EDGE))
        return powers.clamp_(max=self.high).copysign_(t)

    def forward(self, x: Tensor) -> Tensor:
        """Frozen values, and free weights as they are in training, quantised in evaluation."""
        free = x if self.training else self._quantised(x)
        return torch.where(self.frozen & (x != 0), self.held, free)

    def _quantised(self, x: Tensor) -> Tensor:
        return uneven(self, x, self.whole, (-EDGE * self.high, EDGE * self.high))

    @torch.no_grad()
    def freeze(self, weight: Tensor, share: float, stage: int) -> None:
        """Quantise and freeze the largest of `weight` until `share` of what is not zero is frozen; 1 freezes all."""
        if not int(self.stage):
            self.fit(weight)
        size = weight.abs().masked_fill(self.frozen, torch.inf).flatten()
        count = round(share * int((weight != 0).sum())) if share < 1 else weight.numel()
        chosen = torch.zeros_like(self.frozen).flatten()
        chosen[torch.argsort(size, descending=True, stable=True)[:count]] = True
        chosen = chosen.reshape(weight.shape) & ~self.frozen
        self.held[chosen] = self._quantised(weight)[chosen]
        self.frozen |= chosen
        self.stage.fill_(stage)

    def extra_repr(self) -> str:
        """Levels and progress, for printing a model."""
        return f"0, 1 .. {self.high}, {int(self.frozen.sum())} of {self.frozen.numel()} frozen"


class Incremental(Format):
    """Weights of `bits` bits at powers of two, quantised in portions while the others train on.

    shares: what part of a layer's weights is frozen after each portion, ascending to 1. positions: when, as shares
    of the training. `step` must be called before each training step, as `fit` does.
    """

    bits: Annotated[int, Field(ge=2, le=6)] = 5
    shares: tuple[Share, ...] = (0.5, 0.75, 0.875, 1.0)
    positions: tuple[Share, ...] = (0.0, 0.25, 0.5, 0.75)

    @model_validator(mode="after")
    def _ordered(self) -> "Incremental":
        for name, values in (("shares", self.shares), ("positions", self.positions)):
            if any(a >= b for a, b in pairwise(values)):
                raise ValueError(f"{name} {values} must ascend")
        if len(self.shares) != len(self.positions) or not self.shares or self.shares[-1] != 1:
            raise ValueError(f"shares {self.shares} must end with 1 and be as many as positions {self.positions}")
        return self

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Give every selected layer its codebook; freeze the first portion if its position is 0."""
        model = super().apply(model, data)
        self.step(model, 0.0)
        return model

    def weight_grid(self, weight: Tensor, name: str) -> IncrementalGrid:
        """The codebook of a layer, nothing frozen."""
        del name
        grid = IncrementalGrid(self.bits, weight)
        grid.owner = self
        return grid

    def step(self, model: nn.Module, progress: float) -> None:
        """Freeze the portions whose position is reached."""
        due = sum(position <= progress for position in self.positions)
        for layer in model.modules():
            grid = grid_of(layer)
            if isinstance(grid, IncrementalGrid) and grid.owner == self and int(grid.stage) < due:
                grid.freeze(before_grid(layer), self.shares[due - 1], due)

    def structured(self, whole: np.ndarray) -> bool:
        """Zero and powers of two."""
        return bool(np.isin(odd_parts(whole), (0, 1)).all())

    @classmethod
    def space(cls) -> SearchSpace:
        """Word length."""
        return {"bits": Span(3, 5, integer=True)}
