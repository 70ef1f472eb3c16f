"""Fixed point: weights and activations as integers of 2 to 16 bits (survey section 4.1).

Weights: symmetric signed, per tensor or per output channel. Activations: one scale each, unsigned after a
rectifier. Without training this is post-training quantisation with scales calibrated on data; training the
returned network is quantisation-aware training with a straight-through estimator and learned steps (LSQ,
Esser et al. 2020).

What it does not do: bits below 2 (see Binary), zero points, or scales per group of inputs.
Exploited by: dense and sparse encodings; the multipliers' widths.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.fx import GraphModule

from intaglio.ir.errors import DataError, StructureError
from intaglio.methods.calibrate import Calibration, log2_scale, observe
from intaglio.methods.grid import Kind
from intaglio.methods.method import (
    Batches,
    Choice,
    Method,
    SearchSpace,
    Span,
    inputs,
    matches,
    weighted_layers,
)
from intaglio.methods.network import insert_after, module_of, trace
from intaglio.methods.placement import chains, never_negative
from intaglio.methods.quantizers import ActivationQuantizer, WeightQuantizer
from intaglio.methods.stack import before_grid, grid_of, put_last

Bits = Annotated[int, Field(ge=2, le=16)]
INPUT = "input_quantizer"


class FixedPoint(Method):
    """Integers for weights, activations and the input. The selector `input` picks the input's quantiser.

    `input_signed` None decides from the calibration data. `input_log2_scale` None calibrates a power of
    two: 2**-8 for 8-bit images in [0, 1]. `samples` of the data are used for calibration. `learn` makes
    the scales parameters.
    """

    weight_bits: Bits = 8
    activation_bits: Bits = 8
    per_channel: bool = False
    weight_scale: Kind = "power_of_two"
    activation_scale: Kind = "power_of_two"
    calibration: Calibration = "mse"
    input_bits: Annotated[int, Field(ge=1, le=16)] = 8
    input_signed: bool | None = None
    input_log2_scale: int | None = None
    learn: bool = True
    samples: Annotated[int, Field(ge=1)] = 1024

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Quantise weights, put activation quantisers in, and calibrate them on `data`."""
        batches = inputs(data, self.samples)
        chosen = weighted_layers(model, self.select)
        gm = trace(model)
        for module in gm.modules():
            if isinstance(module, nn.ReLU | nn.Hardtanh):
                module.inplace = False
        for _, layer in chosen:
            put_last(layer, self._weight_quantizer(before_grid(layer)))
        placed = self._place_input(gm, batches) + self._place(gm)
        gm.recompile()
        self._calibrate(gm, placed, batches)
        return gm

    def verify(self, model: nn.Module) -> None:
        """Every selected layer still ends with a grid."""
        for name, layer in weighted_layers(model, self.select):
            if grid_of(layer) is None:
                raise StructureError(f"{name}: the fixed-point grid is no longer the last step of its weight")

    @classmethod
    def space(cls) -> SearchSpace:
        """Word lengths and kinds of scale."""
        return {
            "weight_bits": Span(2, 8, integer=True),
            "activation_bits": Span(2, 8, integer=True),
            "per_channel": Choice((False, True)),
            "weight_scale": Choice(("power_of_two", "dyadic")),
        }

    def _weight_quantizer(self, weight: Tensor) -> WeightQuantizer:
        rows = weight.double().reshape(len(weight) if self.per_channel else 1, -1).cpu().numpy()
        top = 2 ** (self.weight_bits - 1) - 1
        scale = torch.from_numpy(log2_scale(rows, -top, top, self.weight_scale, self.calibration))
        return WeightQuantizer(self.weight_bits, self.weight_scale, scale.to(weight.dtype), self.learn).to(
            weight.device
        )

    def _place_input(self, gm: GraphModule, batches: list[Tensor]) -> list[ActivationQuantizer]:
        """The quantiser of the input; an existing one stays unless `input` is selected."""
        lowest = min(float(x.min()) for x in batches)
        signed = lowest < 0 if self.input_signed is None else self.input_signed
        if lowest < 0 and not signed:
            raise DataError(f"the input has negative values ({lowest:g}) but input_signed is false: set it to true")
        quantizer = ActivationQuantizer(self.input_bits, signed, "power_of_two")
        for node in [n for n in gm.graph.nodes if n.op == "placeholder"]:
            existing = next((u for u in node.users if isinstance(module_of(gm, u), ActivationQuantizer)), None)
            if existing is None:
                insert_after(gm, node, INPUT, quantizer)
            elif matches("input", nn.Module(), self.select):
                gm.set_submodule(str(existing.target), quantizer)
            else:
                return []
        if self.input_log2_scale is not None:
            quantizer.log2_scale.fill_(float(self.input_log2_scale))
            return []
        return [quantizer]

    def _place(self, gm: GraphModule) -> list[ActivationQuantizer]:
        """Quantisers at the ends of the chains that start at a selected module."""
        positive = never_negative(gm)
        placed: list[ActivationQuantizer] = []
        for chain in chains(gm):
            start = module_of(gm, chain.start)
            if start is None or not matches(str(chain.start.target), start, self.select):
                continue
            unsigned = chain.end in positive
            quantizer = ActivationQuantizer(self.activation_bits, not unsigned, self.activation_scale, learn=self.learn)
            if chain.quantizer is not None:
                gm.set_submodule(str(chain.quantizer.target), quantizer)
            else:
                insert_after(gm, chain.end, f"{chain.end.target}_quantizer", quantizer)
            placed.append(quantizer)
        return placed

    def _calibrate(self, gm: GraphModule, placed: list[ActivationQuantizer], batches: list[Tensor]) -> None:
        """Set the scales of new quantisers from what they see of the data."""
        for quantizer, observer in zip(placed, observe(gm, placed, batches), strict=True):
            log2 = log2_scale(observer.values(), quantizer.low, quantizer.high, quantizer.kind, self.calibration)
            with torch.no_grad():
                quantizer.log2_scale.copy_(torch.from_numpy(log2))
            quantizer.to(batches[0].device)
