"""Block floating point: neighbours share an exponent, products are those of short integers (survey section 4.1).

Weights: the channels of one tap (the inputs of a Linear, channels of one pixel where it reads a flattened image) in
blocks of `block` consecutive ones, as hardware reads them, a beat at a time. With m bits of mantissa, sign included,

    step = 2**(floor(log2 max|w|) + 2 - m)        w ~ step * clip(floor(w / step + 1/2), -L, L)      L = 2**(m-1) - 1

per block; steps are scale * 2**k with k in 0 .. 2**exponent_bits - 1, and a block of smaller weights keeps fewer
bits. Mantissas are symmetric (-2**(m-1) does not occur), because a batch norm may turn the sign of a row.

Activations: `activation_mantissa` aligns at run time what selected layers read. The quantiser before them gives wide
integers; in every block of channels of one pixel these are rounded to the leading bits of the largest, by the rule in
`ir/ops/align.py`. The quantiser of the network's input is not widened: a first layer aligns what it gives.

Training: always quantised. Gradients pass straight through, except to weights beyond the largest step. The exponents
of weights follow the weights at every step, within a range fixed in `apply`; so are the scales of the wide quantisers.
A quarter of the exponents lies above the largest weight or activation that is found then, for growth.

What it does not do: exponents shared across taps or rows, blocks across pixels, accumulation in floating point (sums
are exact integers). A FixedPoint after it changes the integers that are aligned, not the alignment.
Source: Drumond et al., NeurIPS 2018; Koester et al. (Flexpoint), NeurIPS 2017; Song et al., AAAI 2018.
Exploited by: the block-exponent encoding, and dot products that shift once a beat.
"""

import math
from collections.abc import Iterable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from intaglio.ir.errors import ShapeError, StructureError
from intaglio.twin.align import SMALLEST, BlockAlign
from intaglio.twin.calibrate import log2_scale, observe
from intaglio.twin.flat import module_of
from intaglio.twin.format import Format
from intaglio.twin.layers import Batches, Inputs, each, inputs, several, weighted_layers
from intaglio.twin.method import SearchSpace, Span
from intaglio.twin.quantise import quantised
from intaglio.twin.quantizers import ActivationQuantizer, Grid, WeightGrid
from intaglio.twin.reads import Read, align_at, integers_read, quantizer_behind, reads
from intaglio.twin.stack import before_grid, odd_parts, put_last
from intaglio.twin.uneven import binade, uneven


class BlockGrid(Grid, WeightGrid):
    """A weight whose blocks of consecutive inputs are mantissas of `mantissa` bits (sign included) times 2**k.

    Weight (O, I, ...): blocks of `block` along I; a Linear's (O, C * pixels): along C for each pixel.
    """

    def __init__(self, weight: Tensor, block: int, pixels: int, mantissa: int, exponent_bits: int) -> None:
        self.limit, self.largest = 2 ** (mantissa - 1) - 1, 2**exponent_bits - 1
        high = self.limit << self.largest
        super().__init__(-high, high, "power_of_two", weight.new_zeros(1), learn=False)
        self.block, self.pixels, self.bits = block, pixels, mantissa
        top = weight.abs().max().double()
        if top > 0:
            spare = 2**exponent_bits // 4
            octave = math.log2(float(binade(top.clamp(SMALLEST, 1 / SMALLEST))))
            self.log2_scale.fill_(octave + 2 - mantissa - self.largest + spare)

    def whole(self, t: Tensor) -> Tensor:
        """The integers for a weight divided by its scale."""
        channels = t.shape[1] if t.dim() > 2 else t.shape[1] // self.pixels
        blocks = t.reshape(len(t), channels // self.block, self.block, -1)
        step = binade(blocks.abs().amax(2, keepdim=True)).mul_(2.0 ** (2 - self.bits)).clamp_(1, 2**self.largest)
        return (blocks / step).add_(0.5).floor_().clamp_(-self.limit, self.limit).mul_(step).reshape(t.shape)

    def forward(self, x: Tensor) -> Tensor:
        """The weight in blocks."""
        end = (self.limit + 0.5) * 2**self.largest
        return uneven(self, x, self.whole, (-end, end))

    def extra_repr(self) -> str:
        """Settings, for printing a model."""
        return f"blocks of {self.block}, mantissas of {self.bits} bits, exponents 0 .. {self.largest}"


class BlockFloatingPoint(Format):
    """Weights, and with `activation_mantissa` what selected layers read, in blocks that share an exponent.

    A layer with fewer input channels than `block` (images of 1 or 3 channels) takes all of them as one block; with
    more, `block` must divide their number (per group). weight_mantissa and activation_mantissa count the sign where
    there is one. width: bits of the activations that are aligned, at least 4 more for room to grow; the input keeps
    its own. `samples` of the data calibrate the wide quantisers.
    """

    block: Annotated[int, Field(ge=1)] = 16
    weight_mantissa: Annotated[int, Field(ge=2, le=12)] = 4
    exponent_bits: Annotated[int, Field(ge=1, le=4)] = 4
    activation_mantissa: Annotated[int, Field(ge=2, le=16)] | None = None
    width: Annotated[int, Field(ge=3, le=24)] = 12
    samples: Annotated[int, Field(ge=1)] = 1024

    @model_validator(mode="after")
    def _wide(self) -> "BlockFloatingPoint":
        if self.activation_mantissa is not None and self.width <= self.activation_mantissa:
            raise ValueError(f"width {self.width} must exceed activation_mantissa {self.activation_mantissa}")
        return self

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Put weights in blocks, and align what the layers read.

        Raises:
            ShapeError: blocks do not divide a layer's channels; UnsupportedLayer: a layer reads no integers.
        """
        gm = quantised(model, data)
        batches = inputs(data, self.samples)
        layers = dict(weighted_layers(gm, self.select))
        found = reads(gm, layers, each(batches[0], lambda part: part[:1]))
        shapes = {str(read.call.target): read.shape for read in found}
        blocks = {name: self._block(name, layer, shapes.get(name)) for name, layer in layers.items()}
        for name, layer in layers.items():
            weight = before_grid(layer)
            pixels = math.prod(shapes[name][2:]) if name in shapes else 1
            grid = BlockGrid(weight, blocks[name], pixels, self.weight_mantissa, self.exponent_bits)
            put_last(layer, grid)
        if self.activation_mantissa is not None:
            self._align(gm, found, blocks, batches)
        return gm

    def weight_grid(self, weight: Tensor, name: str) -> BlockGrid:
        """Blocks of a weight whose inputs are channels (not pixels and channels)."""
        del name
        return BlockGrid(weight, min(self.block, weight.shape[1]), 1, self.weight_mantissa, self.exponent_bits)

    def verify(self, model: nn.Module) -> None:
        """Every selected weight is on a grid, and what is aligned on scales that are powers of two."""
        super().verify(model)
        assert isinstance(model, GraphModule)
        for node in model.graph.nodes:
            source = quantizer_behind(model, node) if isinstance(module_of(model, node), BlockAlign) else None
            if source is not None and model.get_submodule(str(source.target)).mantissa != 1:
                raise StructureError(
                    f"{source.target}: a later method gave it a scale that is not a power of two, and the integers "
                    f"behind it share exponents ({node.target}): put that method before BlockFloatingPoint"
                )

    def structured(self, whole: np.ndarray) -> bool:
        """Mantissas of `weight_mantissa` bits, sign included."""
        return int(odd_parts(whole).max()) < 2 ** (self.weight_mantissa - 1)

    @classmethod
    def space(cls) -> SearchSpace:
        """Mantissa."""
        return {"weight_mantissa": Span(2, 8, integer=True)}

    def _block(self, name: str, layer: nn.Module, shape: tuple[int, ...] | None) -> int:
        """The size of a layer's blocks; ShapeError if it does not divide the channels."""
        channels = int(layer.weight.shape[1])  # type: ignore[union-attr,index]
        if isinstance(layer, nn.Linear) and shape is not None:
            channels = shape[1]
        if channels > self.block and channels % self.block:
            divisors = [d for d in range(2, self.block) if channels % d == 0]
            remedy = f"choose a divisor such as {divisors[-1]}" if divisors else "choose 1"
            raise ShapeError(
                f"{name}: blocks of {self.block} do not divide its {channels} input channels; {remedy}, or leave the "
                f"layer out with `select`"
            )
        return min(self.block, channels)

    def _align(self, gm: GraphModule, found: list[Read], blocks: dict[str, int], batches: list[Inputs]) -> None:
        """Widen the quantisers before selected layers and align what the layers read."""
        sources = [integers_read(gm, read) for read in found]
        self._widen(gm, sources, batches)
        for read, source in zip(found, sources, strict=True):
            quantizer = gm.get_submodule(str(source.target))
            assert isinstance(quantizer, ActivationQuantizer) and self.activation_mantissa is not None
            signed = quantizer.low < 0
            mantissa = self.activation_mantissa - signed
            wide = quantizer.bits - signed > mantissa
            align_at(gm, read, BlockAlign(blocks[str(read.call.target)], mantissa) if wide else None)
        gm.graph.lint()
        gm.delete_all_unused_submodules()
        gm.recompile()

    def _widen(self, gm: GraphModule, sources: Iterable[Node], batches: list[Inputs]) -> None:
        """Quantisers of `width` bits, with room for growth, in place of those at `sources`; the input's stays."""
        placed: dict[str, ActivationQuantizer] = {}
        for node in sources:
            old = gm.get_submodule(str(node.target))
            assert isinstance(old, ActivationQuantizer)
            if node.all_input_nodes[0].op != "placeholder":
                new = ActivationQuantizer(self.width, old.low < 0, "power_of_two").to(several(batches[0])[0].device)
                gm.set_submodule(str(node.target), new)
                placed[str(node.target)] = new
        quantizers = list(placed.values())
        for quantizer, observer in zip(quantizers, observe(gm, quantizers, batches), strict=True):
            log2 = log2_scale(observer.values(), quantizer.low, quantizer.high, "power_of_two", "minmax")
            spare = (self.width - (self.activation_mantissa or 0)) // 4
            quantizer.log2_scale.copy_(torch.from_numpy(log2 + spare))
