"""Binary weights, and sign activations (survey section 4.2).

Weights: s * sign(w) with sign(0) = +1, in every forward pass; the latent weight w is what the optimiser moves.
s is 1 (BinaryConnect, Courbariaux et al. 2015; BNN, Hubara et al. 2016), or the mean |w| of the layer or of each
output channel (XNOR-Net, Rastegari et al. 2016), rounded to 8 bits of mantissa. Stochastic binarisation draws +1
with probability clip((w / h + 1) / 2, 0, 1), in training only. The gradient passes straight through to w where
|w| <= h (as in DoReFa, without a factor s), and `step` clips w to [-h, h]. The reach h is 1 (H in BinaryConnect); in
stochastic training it is the mean |w| that a layer begins with, since the small weights of a trained network would be
fair coins next to 1.

Activations: sign(x) in {-1, +1}, sign(0) = +1, gradient 1 where |x| <= 1 (BNN). Zero is not one bit, so a selected
convolution that reads signs is padded with -1, in training as in hardware.

What it does not do: XNOR-Net's scaling of activations by the local mean |x|, which depends on the data and costs
multiplications at every position (BNN, DoReFa and FINN leave it out too; batch norm does its work), nor its
centring of weights; a one-bit input (that is `FixedPoint(input_bits=1)` before this method).
Exploited by: the bipolar encoding, XNOR and popcount, thresholds instead of batch norm.
"""

from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.fx import GraphModule, Node

from intaglio.ir.errors import RangeError, RecipeError
from intaglio.twin.borders import pad_with
from intaglio.twin.calibrate import log2_scale, observe
from intaglio.twin.fitted import MeanGrid, dyadic
from intaglio.twin.flat import module_of
from intaglio.twin.format import Format
from intaglio.twin.layers import WEIGHTED, Batches, inputs, matches, weighted_layers
from intaglio.twin.method import Choice, SearchSpace
from intaglio.twin.placement import chains
from intaglio.twin.quantizers import ActivationQuantizer, LevelQuantizer, WeightGrid
from intaglio.twin.rectifiers import carried, replace_rectifiers, require_in_place, unrectified_chains
from intaglio.twin.stack import grid_of

SAMPLES = 1024
"""Inputs on which sums of +-1 are calibrated."""

BinaryScale = Literal["one", "layer", "channel"]


class _Sign(torch.autograd.Function):
    """scale where x >= edge, else -scale; the gradient passes where |x| <= reach."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, edge: Tensor | float, scale: Tensor | float, reach: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.reach = reach
        above = torch.ge(x, edge, out=torch.empty_like(x))
        return above.sub_(0.5).mul_(2 * scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        end = ctx.reach * (1 + torch.finfo(x.dtype).eps)  # hardtanh excludes its ends, on which clipped weights lie
        return torch.ops.aten.hardtanh_backward(gradients[0], x, -end, end), None, None, None


class BinaryWeights(MeanGrid):
    """A weight as +-scale; the integers are -1 and +1. Latent weights live in [-reach, reach]."""

    reach: Tensor

    def __init__(self, weight: Tensor, scale: BinaryScale, stochastic: bool) -> None:
        super().__init__(weight, scale == "channel")
        self.mean = scale != "one"
        self.stochastic = stochastic
        self.register_buffer("reach", weight.abs().mean() if stochastic else weight.new_ones(()))
        self.fit(weight)

    def fit(self, weight: Tensor) -> None:
        """The scale is the mean magnitude, unless it is one."""
        if self.mean:
            self.scale.copy_(dyadic(self.rows(weight).abs().mean(1)))

    def quantized(self, weight: Tensor) -> Tensor:
        """sign(weight) * scale; while training stochastically, the sign is drawn."""
        reach = float(self.reach)
        edge = reach * (1 - 2 * torch.rand_like(weight)) if self.stochastic and self.training else 0.0
        return _Sign.apply(weight, edge, self.columns(self.scale, weight), reach)  # type: ignore[return-value]


class SignQuantizer(LevelQuantizer):
    """-1 or +1; one bit in hardware."""

    def __init__(self) -> None:
        super().__init__(2, True, "power_of_two")
        self.low, self.high = -1, 1

    def _quantized(self, x: Tensor) -> Tensor:
        signs: Tensor = _Sign.apply(x, 0.0, 1.0, 1.0)  # type: ignore[assignment]
        return signs if len(self.levels()) == 2 else signs.clamp(self.low, self.high)

    def levels(self) -> tuple[int, ...]:
        """-1 and 1; one of them where a clip comes before."""
        return tuple(level for level in (-1, 1) if self.low <= level <= self.high)

    def edges(self) -> tuple[Fraction, ...]:
        """Zero."""
        return (Fraction(0),) * (len(self.levels()) - 1)


class Binary(Format):
    """One bit for each weight: +-scale. `activations` also makes the activations of selected layers +-1.

    scale: "one" (a batch norm must follow, since sums grow), "layer" or "channel" (mean magnitude). stochastic:
    draw the signs while training.

    With `activations` the quantiser behind each selected layer becomes a sign. The ReLU or Hardtanh there goes, as
    it would make the sign constant. Where a batch norm follows behind a pool, the sign comes behind the batch norm
    and the first quantiser stays. Selected convolutions that read signs are padded with -1 by a module of their own.
    """

    scale: BinaryScale = "channel"
    stochastic: bool = False
    activations: bool = False

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Binarise weights, then activations.

        Raises:
            RangeError: all weights of a layer are zero; RecipeError: `activations`, and nothing to binarise.
        """
        gm = super().apply(model, data)
        assert isinstance(gm, GraphModule)
        if self.activations:
            self._binarise(gm)
        if self.scale == "one":
            self._calibrate(gm, data)
        return gm

    def weight_grid(self, weight: Tensor, name: str) -> WeightGrid:
        """+-1, +-mean of the layer, or +-mean of each channel."""
        if not bool(weight.any()):
            raise RangeError(f"{name}: all weights are zero, and binary has no zero: leave it out with `select`")
        return BinaryWeights(weight, self.scale, self.stochastic)

    @torch.no_grad()
    def step(self, model: nn.Module, progress: float) -> None:
        """Clip the latent weights to their reach."""
        del progress
        for _, layer in weighted_layers(model, self.select):
            grid = grid_of(layer)
            if isinstance(grid, BinaryWeights):
                reach = float(grid.reach)
                layer.parametrizations["weight"].original.clamp_(-reach, reach)  # type: ignore[index]

    def verify(self, model: nn.Module) -> None:
        """Every selected weight is on a grid, and every sign activation is in its place."""
        super().verify(model)
        if not self.activations:
            return
        assert isinstance(model, GraphModule)
        require_in_place(model, self.select, SignQuantizer, "Binary")

    def structured(self, whole: np.ndarray) -> bool:
        """One magnitude, and no zero."""
        return bool(whole.all()) and len(np.unique(abs(whole))) == 1

    @classmethod
    def space(cls) -> SearchSpace:
        """Which scale."""
        return {"scale": Choice(("layer", "channel"))}

    def _binarise(self, gm: GraphModule) -> None:
        """Signs for quantisers; convolutions that read signs padded with -1."""
        found = unrectified_chains(gm, self.select)
        if not found:
            raise RecipeError(
                "binary: activations is true, but no selected layer has an activation behind it: select others"
            )
        replace_rectifiers(gm, found, [SignQuantizer() for _ in found])
        pad_with(gm, self.select, _signed(gm), -1.0)
        gm.graph.lint()
        gm.recompile()

    def _calibrate(self, gm: GraphModule, data: Batches) -> None:
        """New scales for the quantisers that read the sums of +-1 without a batch norm between."""
        found: list[ActivationQuantizer] = []
        for chain in chains(gm):
            modules = [module_of(gm, node) for node in chain.nodes]
            quantizer = None if chain.quantizer is None else module_of(gm, chain.quantizer)
            grown = isinstance(modules[0], WEIGHTED) and matches(str(chain.start.target), modules[0], self.select)
            normed = any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in modules)
            if grown and not normed and type(quantizer) is ActivationQuantizer:
                found.append(quantizer)
        for quantizer, observer in zip(found, observe(gm, found, inputs(data, SAMPLES)), strict=True):
            log2 = log2_scale(observer.values(), quantizer.low, quantizer.high, quantizer.kind, "mse")
            quantizer.log2_scale.data.copy_(torch.from_numpy(log2))


def _signed(gm: GraphModule) -> set[Node]:
    """The nodes whose values are all -1 or +1."""
    signs = {node for node in gm.graph.nodes if isinstance(module_of(gm, node), SignQuantizer)}
    return carried(gm, signs, borders=(-1.0, 1.0))
