"""Mixed precision: every layer its own number of bits, by measured noise or by assignment (survey section 4.1).

A layer quantised to b bits has the noise-to-signal ratio r(b) = |w - Q_b(w)|**2 / |w|**2 with the scale calibrated for
these bits. Noise of the layers adds up at the output (Lin, Talathi & Annapureddy, ICML 2016, section 3: 1 / SQNR of
the network is the sum of 1 / SQNR of its parts), so `allocate` minimises

    sum of r_l(b_l)      subject to      sum of n_l * b_l <= average_bits * sum of n_l

for layers of n_l weights, within 0.1 %: marginal analysis (Fox 1966: one more bit where it lowers the noise most per
bit of storage) bounds a search by dynamic programming. Where r falls by 6.02 dB a bit, the optimum has equal
r_l / n_l but for whole bits, the paper's closed form. Activations share `average_activation_bits` in the same way: r
measured on data, n_l the values of one sample.

Training afterwards is that of FixedPoint; the bits stay. They are in the state_dict, so weights load into a network
for which other bits were chosen.

What it does not do: weigh layers by the loss (their noise counts the same wherever it enters), reallocate while
training (see LearnedBits), or count accumulators and scales.
Exploited by: encodings and multipliers of each layer's own width.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.fx import GraphModule

from intaglio.ir.errors import RecipeError, unknown
from intaglio.methods.formats.fixed_point import Bits, FixedPoint
from intaglio.twin.budget import WIDTHS, share
from intaglio.twin.calibrate import SAMPLES, log2_scale, observe
from intaglio.twin.layers import Batches, Inputs, matches, weighted_layers
from intaglio.twin.method import Choice, SearchSpace, Span
from intaglio.twin.quantizers import ActivationQuantizer, Grid, WeightQuantizer
from intaglio.twin.stack import before_grid

Average = Annotated[float, Field(ge=2, le=16)]


class StoredWeightQuantizer(WeightQuantizer):
    """A weight quantiser whose number of bits is in the state_dict."""

    def get_extra_state(self) -> Tensor:
        """The number of bits."""
        return torch.tensor(self.bits)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the number of bits over."""
        self.bits = int(state)
        top = 2 ** (self.bits - 1) - 1
        self.set_range(-top, top)


class StoredActivationQuantizer(ActivationQuantizer):
    """An activation quantiser whose number of bits is in the state_dict."""

    def get_extra_state(self) -> Tensor:
        """The number of bits."""
        return torch.tensor(self.bits)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the number of bits over."""
        self.bits = int(state)
        values = 2**self.bits
        self.set_range(*((-values // 2, values // 2 - 1) if self.signed else (0, values - 1)))


class MixedPrecision(FixedPoint):
    """Fixed point with bits of its own for every layer; all other knobs are FixedPoint's.

    `assignment` states bits by selector (name, glob, `type:Class`; the last that picks a layer wins). The other
    selected layers share `average_bits` per weight, chosen by measured noise; None gives each `weight_bits`.
    `average_activation_bits` does the same for activations; None gives each `activation_bits`.
    """

    average_bits: Average | None = 4.0
    average_activation_bits: Average | None = None
    assignment: dict[str, Bits] = Field(default={})

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Choose the bits, then quantise as FixedPoint does.

        Raises:
            RecipeError: a selector of `assignment` picks no selected layer.
        """
        chosen = self._assigned(model)
        rest = [name for name, _ in weighted_layers(model, self.select) if name not in chosen]
        if self.average_bits is not None and rest:
            chosen |= allocate(model, self.average_bits, self.replaced(select=tuple(rest)))
        return FixedPoint.apply(self.replaced(assignment=chosen), model, data)

    def structured(self, whole: np.ndarray) -> bool:
        """No integer has more bits than a layer may be given."""
        return int(abs(whole).max()) < 2 ** (WIDTHS[-1] - 1)

    @classmethod
    def space(cls) -> SearchSpace:
        """The average word lengths and kinds of scale."""
        return {
            "average_bits": Span(2, 8),
            "average_activation_bits": Span(2, 8),
            "per_channel": Choice((False, True)),
            "weight_scale": Choice(("power_of_two", "dyadic")),
        }

    def _assigned(self, model: nn.Module) -> dict[str, int]:
        """The stated bits of each layer that `assignment` picks."""
        layers = weighted_layers(model, self.select)
        chosen: dict[str, int] = {}
        for pattern, bits in self.assignment.items():
            picked = {name: bits for name, layer in layers if matches(name, layer, pattern)}
            if not picked:
                raise RecipeError(
                    unknown("mixed_precision: assignment picks no layer:", pattern, [name for name, _ in layers])
                )
            chosen |= picked
        return chosen

    def _weight_quantizer(self, weight: Tensor, name: str) -> WeightQuantizer:
        bits = self.assignment.get(name, self.weight_bits)
        return StoredWeightQuantizer(bits, self.weight_scale, self._weight_scale(weight, bits), self._learned)

    def _activation_quantizer(self, name: str, unsigned: bool) -> ActivationQuantizer:
        if self.average_activation_bits is None:
            return super()._activation_quantizer(name, unsigned)
        return StoredActivationQuantizer(self.activation_bits, not unsigned, self.activation_scale, learn=self._learned)

    def _calibrate(self, gm: GraphModule, placed: list[ActivationQuantizer], batches: list[Inputs]) -> None:
        """Choose the bits of activations where they share a budget, then the scales."""
        shared = [quantizer for quantizer in placed if isinstance(quantizer, StoredActivationQuantizer)]
        if shared and self.average_activation_bits is not None:
            curves, sizes = self._measured(gm, shared, batches)
            for quantizer, bits in zip(shared, share(curves, sizes, self.average_activation_bits), strict=True):
                quantizer.set_extra_state(torch.tensor(bits))
        super()._calibrate(gm, placed, batches)

    def _measured(
        self, gm: GraphModule, quantizers: Sequence[ActivationQuantizer], batches: list[Inputs]
    ) -> tuple[list[list[float]], list[int]]:
        """The noise of each activation at every width, and how many values it has for one sample."""
        sizes: dict[nn.Module, int] = {}

        def see(module: nn.Module, given: object, result: Tensor) -> None:
            del given
            sizes[module] = result[0].numel()

        hooks = [quantizer.register_forward_hook(see) for quantizer in quantizers]
        observers = observe(gm, quantizers, batches)
        for hook in hooks:
            hook.remove()
        curves: list[list[float]] = []
        for quantizer, observer in zip(quantizers, observers, strict=True):
            values = torch.from_numpy(observer.values())
            trials = [ActivationQuantizer(bits, quantizer.signed, quantizer.kind) for bits in WIDTHS]
            for grid in trials:
                log2 = log2_scale(values.numpy(), grid.low, grid.high, grid.kind, self.calibration)
                grid.log2_scale.fill_(float(log2[0]))
            curves.append([_noise(values, grid) for grid in trials])
        return curves, [sizes[quantizer] for quantizer in quantizers]

    def weight_noise(self, weight: Tensor) -> list[float]:
        """|w - Q(w)|**2 / |w|**2 with 2, 3, .. 16 bits, on at most 2**17 evenly spaced weights."""
        rows = weight.reshape(len(weight), -1)
        rows = rows[:, :: max(1, -(-weight.numel() // SAMPLES))]
        scales = [self._weight_scale(rows, bits) for bits in WIDTHS]
        grids = [WeightQuantizer(b, self.weight_scale, s, False) for b, s in zip(WIDTHS, scales, strict=True)]
        return [_noise(rows, grid) for grid in grids]


def allocate(model: nn.Module, average_bits: float, method: MixedPrecision | None = None) -> dict[str, int]:
    """Bits for every layer that `method` selects, at most `average_bits` per weight, with little noise.

    `method` says how weights are quantised (default: MixedPrecision's own knobs). The network is not changed.
    """
    method = method or MixedPrecision()
    layers = weighted_layers(model, method.select)
    weights = [before_grid(layer) for _, layer in layers]
    curves = [method.weight_noise(weight) for weight in weights]
    bits = share(curves, [weight.numel() for weight in weights], average_bits)
    return dict(zip([name for name, _ in layers], bits, strict=True))


def _noise(values: Tensor, grid: Grid) -> float:
    """Squared error of quantised values over their squared size; 0 for zeros."""
    wanted = values.double()
    error = (grid.double()(wanted) - wanted).square().sum()
    return float(error / wanted.square().sum().clamp_min(1e-300))
