"""Fixed point: weights and activations as integers of 2 to 16 bits (survey section 4.1).

Weights: symmetric signed, per tensor or per output channel. Activations: one scale each, unsigned after a
rectifier. Without training this is post-training quantisation with scales calibrated on data; training the
returned network is quantisation-aware training with a straight-through estimator and learned steps (LSQ,
Esser et al. 2020).

rounding "stochastic" (Gupta et al. 2015): while training q = clip(floor(x * r + u), low, high) with u uniform in
[0, 1), so that the mean of q is x * r inside the range; evaluation rounds to nearest. Data are never rounded at
random: the input's quantiser rounds to nearest.

scale_update "overflow" is dynamic fixed point (Courbariaux et al. 2014, section 5): after every `update_steps`
training steps the share of values outside low .. high decides for each layer, or output channel of a weight:

    the scale doubles  if  overflow(scale) > overflow_rate
    the scale halves   if  overflow(scale / 2) <= overflow_rate

It starts from the calibrated scale, stays within 2**-24 .. 2**24, and leaves channels that were all zero alone.
Counts are in the state_dict, so a resumed run continues exactly.

What it does not do: bits below 2 (see Binary), zero points, scales per group of inputs, or integers for gradients
and for the update of weights.
Exploited by: dense and sparse encodings; the multipliers' widths.
"""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.fx import GraphModule

from intaglio.ir.errors import StructureError
from intaglio.twin.calibrate import Calibration
from intaglio.twin.grid import Kind
from intaglio.twin.layers import Batches, Inputs, inputs, matches, weighted_layers
from intaglio.twin.method import Choice, Method, SearchSpace, Span
from intaglio.twin.quantise import calibrate, keep_inputs, place_activations, place_input, weight_scale
from intaglio.twin.quantizers import ActivationQuantizer, Grid, Overflow, WeightQuantizer
from intaglio.twin.stack import before_grid, grid_of, put_last
from intaglio.twin.trace import trace

Bits = Annotated[int, Field(ge=2, le=16)]


class FixedPoint(Method):
    """Integers for weights, activations and the input. The selector `input` picks the input's quantiser.

    `input_signed` None decides from the calibration data. `input_log2_scale` None calibrates a power of
    two: 2**-8 for 8-bit images in [0, 1]. `samples` of the data are used for calibration. `learn` makes
    the scales parameters. scale_update: "gradient" trains scales that are parameters, "overflow" doubles and
    halves them as values overflow (powers of two only; `learn` has no effect). `norm_mantissa` is how many bits the
    scale of a channel has once a batch norm is merged into its layer (None: 8, or `weight_bits` where that is more);
    more bits cost area and clock.
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
    rounding: Literal["nearest", "stochastic"] = "nearest"
    scale_update: Literal["gradient", "overflow"] = "gradient"
    overflow_rate: Annotated[float, Field(ge=0, lt=1)] = 1e-4
    update_steps: Annotated[int, Field(ge=1)] = 100
    norm_mantissa: Annotated[int, Field(ge=2, le=16)] | None = None
    samples: Annotated[int, Field(ge=1)] = 1024

    @model_validator(mode="after")
    def _doubles(self) -> Self:
        kinds = {"weight_scale": self.weight_scale, "activation_scale": self.activation_scale}
        wrong = [knob for knob, kind in kinds.items() if kind != "power_of_two"]
        if self.scale_update == "overflow" and wrong:
            raise ValueError(f"scale_update overflow doubles and halves scales: set {wrong[0]} to power_of_two")
        return self

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Quantise weights, put activation quantisers in, and calibrate them on `data`."""
        batches = inputs(data, self.samples)
        chosen = weighted_layers(model, self.select)
        gm = trace(model)
        keep_inputs(gm)
        for name, layer in chosen:
            grid = self._weight_quantizer(before_grid(layer), name)
            self._equip(grid)
            if self.norm_mantissa is not None:
                grid.norm_mantissa = self.norm_mantissa
            put_last(layer, grid)
        selected = matches("input", nn.Module(), self.select)
        placed = place_input(
            gm, batches, self.input_bits, self.input_signed, self.input_log2_scale, replace=selected
        )
        placed += place_activations(gm, self.select, self._equipped)
        gm.recompile()
        self._calibrate(gm, placed, batches)
        return gm

    def step(self, model: nn.Module, progress: float) -> None:
        """Double and halve the scales that follow overflows."""
        if self.scale_update == "overflow" and progress < 1:
            for module in model.modules():
                if isinstance(module, Grid):
                    module.follow_overflow()

    def verify(self, model: nn.Module) -> None:
        """Every selected layer still ends with a grid."""
        for name, layer in weighted_layers(model, self.select):
            if grid_of(layer) is None:
                raise StructureError(f"{name}: the fixed-point grid is no longer the last step of its weight")

    def structured(self, whole: np.ndarray) -> bool:
        """No integer has more than `weight_bits` bits."""
        return int(abs(whole).max()) < 2 ** (self.weight_bits - 1)

    @classmethod
    def space(cls) -> SearchSpace:
        """Word lengths and kinds of scale."""
        return {
            "weight_bits": Span(2, 8, integer=True),
            "activation_bits": Span(2, 8, integer=True),
            "per_channel": Choice((False, True)),
            "weight_scale": Choice(("power_of_two", "dyadic")),
        }

    def _weight_quantizer(self, weight: Tensor, name: str) -> WeightQuantizer:
        """The grid of the layer `name`, calibrated on its weight."""
        del name
        bits = self.weight_bits
        return WeightQuantizer(bits, self.weight_scale, self._weight_scale(weight, bits), self._learned)

    def _weight_scale(self, weight: Tensor, bits: int) -> Tensor:
        """log2 of the calibrated scale, or one per output channel."""
        return weight_scale(weight, bits, self.per_channel, self.weight_scale, self.calibration)

    @property
    def _learned(self) -> bool:
        return self.learn and self.scale_update == "gradient"

    def _equip(self, grid: Grid) -> None:
        """Give a grid this method's rounding and, if scales follow overflows, its counter."""
        grid.stochastic = self.rounding == "stochastic"
        if self.scale_update == "overflow":
            counter = Overflow(grid.log2_scale.numel(), self.overflow_rate, self.update_steps)
            grid.overflow = counter.to(grid.log2_scale.device)

    def _equipped(self, name: str, unsigned: bool) -> ActivationQuantizer:
        quantizer = self._activation_quantizer(name, unsigned)
        self._equip(quantizer)
        return quantizer

    def _activation_quantizer(self, name: str, unsigned: bool) -> ActivationQuantizer:
        """The quantiser behind the chain that starts at `name`, not calibrated yet."""
        del name
        return ActivationQuantizer(self.activation_bits, not unsigned, self.activation_scale, learn=self._learned)

    def _calibrate(self, gm: GraphModule, placed: list[ActivationQuantizer], batches: list[Inputs]) -> None:
        """Set the scales of new quantisers from what they see of the data."""
        calibrate(gm, placed, batches, self.calibration)
