"""Weight sharing: the weights of a layer take few values (survey section 5.2; Han, Mao & Dally, ICLR 2016, section 3).

K-means finds `clusters` values for the weights of a layer that are not zero: they start evenly spaced between the
smallest and the largest weight (linear initialisation, which keeps large weights and which the paper found best), and
Lloyd's steps run until no weight changes its cluster. Then the clusters are fixed, and training moves their values c:

    w_i = c[k(i)]        dL/dc[k] = sum of dL/dw_i over the weights i of cluster k

A weight that is zero, below or by a mask, stays zero, so pruned weights stay pruned. The number format behind rounds
the values, so in integers they may become fewer.

What it does not do: Huffman coding, clusters across layers, another assignment while training; biases are left alone.
Formats whose rounding differs by channel or by block may give one value several integers: that is reported.
Exploited by: encodings that count the values that occur.
"""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from intaglio.ir.errors import StructureError
from intaglio.twin.layers import Batches, weighted_layers
from intaglio.twin.method import Choice, Method, SearchSpace
from intaglio.twin.stack import before_grid, grid_of, integers, parametrisations, put_below

STEPS = 300
"""Lloyd's steps at most; in one dimension they end long before."""


class Codebook(nn.Module):
    """values[codes], and 0 where the weight is 0; `codes` says for every weight which value it has."""

    codes: Tensor

    def __init__(self, weight: Tensor, clusters: int) -> None:
        super().__init__()
        used = weight[weight != 0].double()
        values = _centroids(used if used.numel() else weight.new_zeros(1).double(), clusters)
        self.values = nn.Parameter(values.to(weight))
        self.register_buffer("codes", _nearest(weight.double(), values))

    def forward(self, weight: Tensor) -> Tensor:
        """The value of each weight's cluster."""
        return self.values.index_select(0, self.codes.flatten()).reshape(weight.shape) * (weight != 0)


class ShareWeights(Method):
    """Lets the weights of each selected layer take `clusters` values, besides zero, which training moves."""

    clusters: Annotated[int, Field(ge=1, le=256)] = 16

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Cluster every selected layer's weights; a codebook that is there is made anew."""
        del data
        for _, layer in weighted_layers(model, self.select):
            codebook, old = Codebook(before_grid(layer), self.clusters), codebook_of(layer)
            if old is None:
                put_below(layer, codebook)
            else:
                old.values, old.codes = codebook.values, codebook.codes
        return model

    def structured(self, whole: np.ndarray) -> bool:
        """No more values than clusters, and zero."""
        return len(np.unique(whole[whole != 0])) <= self.clusters

    def verify(self, model: nn.Module) -> None:
        """Every selected layer has its codebook, and integers no more values than that has."""
        for name, layer in weighted_layers(model, self.select):
            if codebook_of(layer) is None:
                raise StructureError(f"{name}: its codebook is gone; a later method replaced the layer: share after it")
            if grid_of(layer) is not None and not self.structured(integers(layer, name)[0]):
                raise StructureError(
                    f"{name}: its weights take more than {self.clusters} values; the number format rounds one value in "
                    f"several ways: give it one scale for the whole layer (per_channel: false, granularity: layer)"
                )

    @classmethod
    def space(cls) -> SearchSpace:
        """How many values."""
        return {"clusters": Choice((4, 8, 16, 32, 64))}


def codebook_of(layer: nn.Module) -> Codebook | None:
    """The codebook of a layer."""
    return next((part for part in parametrisations(layer) if isinstance(part, Codebook)), None)


def _nearest(weight: Tensor, values: Tensor) -> Tensor:
    """The number of the value, of ascending ones, that is nearest to each weight; the lower one in the middle."""
    return torch.bucketize(weight, (values[1:] + values[:-1]) / 2)


def _centroids(weight: Tensor, clusters: int) -> Tensor:
    """Ascending values of which the mean squared distance is least nearby (k-means); empty clusters keep theirs."""
    values = torch.linspace(float(weight.min()), float(weight.max()), clusters, dtype=weight.dtype).to(weight.device)
    codes = _nearest(weight, values)
    for _ in range(STEPS):
        counts = torch.bincount(codes, minlength=clusters)
        sums = torch.bincount(codes, weights=weight, minlength=clusters)
        values = torch.where(counts > 0, sums / counts.clamp_min(1), values)
        before, codes = codes, _nearest(weight, values)
        if torch.equal(before, codes):
            break
    return values
