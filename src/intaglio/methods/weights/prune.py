"""Pruning: the smallest weights become zero (survey section 5.1; Han et al. 2015).

A mask multiplies the weight: w = mask * original, so masked weights get no gradient. The mask is a
parametrisation below the number format, wherever Prune stands in the recipe, so zeros stay zeros and the rest lies
on the grid. Gradual pruning raises the sparsity while training (Zhu & Gupta 2017): s(t) = S (1 - (1 - t)**3).

What it does not do: remove whole channels, or choose the sparsity. All layers with weights are pruned, the
first and the last too, unless `select` says otherwise; biases never.
Exploited by: the sparse encoding, and hardware that skips blocks of zeros.
"""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from intaglio.ir.errors import StructureError
from intaglio.twin.layers import Batches, weighted_layers
from intaglio.twin.method import Choice, Method, SearchSpace, Span
from intaglio.twin.stack import before_grid, grid_of, parametrisations, put_below

Share = Annotated[float, Field(ge=0, le=1)]


class Mask(nn.Module):
    """weight * mask; `stage` counts the updates of a gradual schedule, `owner` is the method that sets it."""

    mask: Tensor
    stage: Tensor
    owner: "Prune | None" = None

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight))
        self.register_buffer("stage", torch.tensor(-1))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with zeros where the mask is zero."""
        return weight * self.mask


class Prune(Method):
    """Zeroes a share `sparsity` of the weights by magnitude.

    scope: "layer" gives every layer that sparsity; "global" ranks the weights of all selected layers
    together. score: "magnitude" |w|, or "lamp" w^2 / (sum of w^2 not smaller in its layer) (Lee et al.,
    ICLR 2021), which keeps a global ranking from emptying a layer. schedule: "one_shot" prunes in `apply`;
    "gradual" prunes during training, between the shares `begin` and `end` of it, in `updates` steps.
    """

    sparsity: Annotated[float, Field(ge=0, lt=1)]
    scope: Literal["layer", "global"] = "layer"
    score: Literal["magnitude", "lamp"] = "magnitude"
    schedule: Literal["one_shot", "gradual"] = "one_shot"
    begin: Share = 0.0
    end: Share = 0.6
    updates: Annotated[int, Field(ge=1)] = 100

    @model_validator(mode="after")
    def _ordered(self) -> "Prune":
        if self.begin >= self.end:
            raise ValueError(f"begin {self.begin} must be before end {self.end}")
        return self

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Put a mask under every selected layer's weight; prune at once unless gradual."""
        for _, layer in weighted_layers(model, self.select):
            mask = mask_of(layer)
            if mask is None:
                mask = Mask(before_grid(layer))
                put_below(layer, mask)
            mask.owner = self
        if self.schedule == "one_shot":
            self._prune(model, self.sparsity)
        return model

    def step(self, model: nn.Module, progress: float) -> None:
        """Raise the sparsity along the cubic schedule."""
        if self.schedule == "one_shot":
            return
        t = min(max((progress - self.begin) / (self.end - self.begin), 0.0), 1.0)
        stage = int(t * self.updates)
        masks = [entry for entry in self._masks(model) if entry[2].owner == self]
        if all(int(mask.stage) >= stage for _, _, mask in masks):
            return
        self._prune(model, self.sparsity * (1 - (1 - stage / self.updates) ** 3))
        for _, _, mask in masks:
            mask.stage.fill_(stage)

    def verify(self, model: nn.Module) -> None:
        """Every masked weight is still zero, after all later methods."""
        for name, layer, mask in self._masks(model):
            with torch.no_grad():
                lost = int(((mask.mask == 0) & (layer.weight != 0)).sum())  # type: ignore[operator]
            if lost:
                total = int((mask.mask == 0).sum())
                raise StructureError(
                    f"{name}: {lost} of {total} pruned weights are no longer zero; a later method "
                    f"moved them: put Prune after it, or give that method a zero"
                )

    def structured(self, whole: np.ndarray) -> bool:
        """A share `sparsity` of zeros; where all layers are ranked together, a layer may have fewer."""
        return self.scope == "global" or int((whole == 0).sum()) >= round(self.sparsity * whole.size)

    @classmethod
    def space(cls) -> SearchSpace:
        """Sparsity, and how it is shared out."""
        return {"sparsity": Span(0.0, 0.98), "scope": Choice(("layer", "global"))}

    def _masks(self, model: nn.Module) -> list[tuple[str, nn.Module, Mask]]:
        found = [(name, layer, mask_of(layer)) for name, layer in weighted_layers(model, self.select)]
        lost = [name for name, _, mask in found if mask is None]
        if lost:
            raise StructureError(
                f"{lost[0]}: its pruning mask is gone; a later method replaced the layer: put Prune after it"
            )
        return [(name, layer, mask) for name, layer, mask in found if mask is not None]

    @torch.no_grad()
    def _prune(self, model: nn.Module, sparsity: float) -> None:
        """Set the masks so that exactly round(sparsity * n) weights are zero, per layer or in all."""
        masks = [entry for entry in self._masks(model) if entry[2].owner == self]
        scores = [self._scores(_structure(layer)).flatten() for _, layer, _ in masks]
        groups = [range(len(masks))] if self.scope == "global" else [[i] for i in range(len(masks))]
        for group in groups:
            joined = torch.cat([scores[i] for i in group])
            keep = torch.ones_like(joined)
            order = torch.argsort(joined, stable=True)
            keep[order[: round(sparsity * joined.numel())]] = 0
            for i, part in zip(group, keep.split([scores[i].numel() for i in group]), strict=True):
                masks[i][2].mask.copy_(part.reshape(masks[i][2].mask.shape))

    def _scores(self, weight: Tensor) -> Tensor:
        if self.score == "magnitude":
            return weight.abs().double()
        squares = weight.double().square().flatten()
        order = torch.argsort(squares, stable=True, descending=True)
        remaining = torch.empty_like(squares)
        remaining[order] = squares[order].cumsum(0)
        return (squares / remaining.clamp_min(1e-300)).reshape(weight.shape)


def mask_of(layer: nn.Module) -> Mask | None:
    """The pruning mask of a layer."""
    return next((part for part in parametrisations(layer) if isinstance(part, Mask)), None)


def _structure(layer: nn.Module) -> Tensor:
    """The weight below the mask and the grid: masked weights keep their magnitude and may return."""
    value: Tensor = layer.parametrizations["weight"].original  # type: ignore[index]
    for part in parametrisations(layer):
        if not isinstance(part, Mask) and part is not grid_of(layer):
            value = part(value)
    return value.detach()
