"""PACT: activations clipped at a learned end (survey section 4.1; Choi et al. 2018, arXiv 1805.06085, section 3).

    y = clip(x, 0, alpha),   quantised to the 2**bits levels k * alpha / (2**bits - 1)
    dy/dx = 1 where 0 < x < alpha, else 0         dy/dalpha = 1 where x >= alpha, else 0

alpha is one parameter for each activation, calibrated on data or set to `alpha`. `loss` adds
penalty * (sum of alpha**2), which pulls the ends in and so makes the steps finer; the paper uses the weight decay
of the weights for `penalty`. The step alpha / (2**bits - 1) is snapped to a dyadic number of 8 mantissa bits (or to
a power of two), and the clip is at its last level, so the frozen form is exact.

What it does not do: weights (put FixedPoint, Dorefa or another format before it), or values that can be negative:
PACT takes the place of a rectifier, so quantisers behind chains without one stay as they are.
Exploited by: the multipliers' widths; thresholds where there are few levels.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.fx import GraphModule

from intaglio.ir.errors import RecipeError
from intaglio.twin.calibrate import Calibration, log2_scale, observe
from intaglio.twin.grid import Kind
from intaglio.twin.layers import Batches, Inputs, inputs, several
from intaglio.twin.method import Choice, Method, SearchSpace, Span
from intaglio.twin.placement import replace_clips
from intaglio.twin.quantise import quantised
from intaglio.twin.quantizers import ClippedQuantizer


class LearnedClip(ClippedQuantizer):
    """A clip that belongs to `owner`."""

    def __init__(self, owner: "Pact") -> None:
        super().__init__(owner.bits, owner.scale, owner.alpha or 1.0, owner.learn)
        self.owner = owner


class Pact(Method):
    """Learned clips of `bits` bits behind the selected layers, where values are never negative.

    `alpha` None calibrates each clip on `samples` of the data; the paper starts from 10. `learn` makes the clips
    parameters; an optimiser's own weight decay acts on them besides `penalty`.
    """

    bits: Annotated[int, Field(ge=1, le=16)] = 4
    penalty: Annotated[float, Field(ge=0)] = 1e-4
    alpha: Annotated[float, Field(gt=0)] | None = None
    scale: Kind = "dyadic"
    calibration: Calibration = "mse"
    learn: bool = True
    samples: Annotated[int, Field(ge=1)] = 1024

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Put clips in place of the quantisers behind selected layers.

        Raises:
            RecipeError: no selected layer has a rectifier behind it.
        """
        gm = quantised(model, data)
        clips = replace_clips(gm, self.select, lambda: LearnedClip(self))
        if not clips:
            raise RecipeError(
                f"pact: no activation behind {self.select!r} is never negative: select layers with a ReLU"
            )
        if self.alpha is None:
            self._calibrate(gm, clips, inputs(data, self.samples))
        return gm

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor | float:
        """penalty * (sum of alpha**2) over all learned clips."""
        del x, y
        if not self.penalty or not self.learn:
            return 0.0
        clips = [m.alpha for m in model.modules() if isinstance(m, LearnedClip) and m.owner == self]
        return self.penalty * torch.cat(clips).square().sum() if clips else 0.0

    @classmethod
    def space(cls) -> SearchSpace:
        """Word length and kind of scale."""
        return {"bits": Span(2, 8, integer=True), "scale": Choice(("power_of_two", "dyadic"))}

    def _calibrate(self, gm: GraphModule, clips: list[ClippedQuantizer], batches: list[Inputs]) -> None:
        """Set each clip to the last level of the grid that suits what it sees."""
        for clip, observer in zip(clips, observe(gm, clips, batches), strict=True):
            log2 = log2_scale(observer.values(), clip.low, clip.high, clip.kind, self.calibration)
            clip.alpha.data.fill_(clip.high * 2.0 ** float(log2[0]))
            clip.to(several(batches[0])[0].device)
