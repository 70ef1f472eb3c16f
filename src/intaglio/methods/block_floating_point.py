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
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, fx, nn
from torch.fx import GraphModule, Node

from intaglio.ir.errors import IntaglioError, ShapeError, StructureError, UnsupportedLayer
from intaglio.methods.format import Format, quantised
from intaglio.methods.method import SearchSpace, Span
from intaglio.twin.align import SMALLEST, BlockAlign
from intaglio.twin.calibrate import log2_scale, observe
from intaglio.twin.flat import free_name, is_reshape, module_of
from intaglio.twin.layers import Batches, inputs, weighted_layers
from intaglio.twin.placement import role_of
from intaglio.twin.quantizers import ActivationQuantizer, Grid, WeightGrid
from intaglio.twin.stack import before_grid, put_last
from intaglio.twin.uneven import binade, uneven

_SAME = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)


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


@dataclass(frozen=True)
class _Read:
    """What one call of a layer reads: `source`, by the nodes `path` (last first); `shape` is that of the source."""

    call: Node
    source: Node
    path: tuple[Node, ...]
    shape: tuple[int, ...]


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
        reads = _reads(gm, layers, batches[0][:1])
        shapes = {str(read.call.target): read.shape for read in reads}
        blocks = {name: self._block(name, layer, shapes.get(name)) for name, layer in layers.items()}
        for name, layer in layers.items():
            weight = before_grid(layer)
            pixels = math.prod(shapes[name][2:]) if name in shapes else 1
            grid = BlockGrid(weight, blocks[name], pixels, self.weight_mantissa, self.exponent_bits)
            put_last(layer, grid)
        if self.activation_mantissa is not None:
            self._align(gm, reads, blocks, batches)
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
            source = _quantizer(model, node) if isinstance(module_of(model, node), BlockAlign) else None
            if source is not None and model.get_submodule(str(source.target)).mantissa != 1:
                raise StructureError(
                    f"{source.target}: a later method gave it a scale that is not a power of two, and the integers "
                    f"behind it share exponents ({node.target}): put that method before BlockFloatingPoint"
                )

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

    def _align(self, gm: GraphModule, reads: list[_Read], blocks: dict[str, int], batches: list[Tensor]) -> None:
        """Widen the quantisers before selected layers and align what the layers read."""
        sources = [_integers(gm, read) for read in reads]
        self._widen(gm, sources, batches)
        for read, source in zip(reads, sources, strict=True):
            quantizer = gm.get_submodule(str(source.target))
            assert isinstance(quantizer, ActivationQuantizer) and self.activation_mantissa is not None
            signed = quantizer.low < 0
            mantissa = self.activation_mantissa - signed
            wide = quantizer.bits - signed > mantissa
            _reroute(gm, read, BlockAlign(blocks[str(read.call.target)], mantissa) if wide else None)
        gm.graph.lint()
        gm.delete_all_unused_submodules()
        gm.recompile()

    def _widen(self, gm: GraphModule, sources: Iterable[Node], batches: list[Tensor]) -> None:
        """Quantisers of `width` bits, with room for growth, in place of those at `sources`; the input's stays."""
        placed: dict[str, ActivationQuantizer] = {}
        for node in sources:
            old = gm.get_submodule(str(node.target))
            assert isinstance(old, ActivationQuantizer)
            if node.all_input_nodes[0].op != "placeholder":
                new = ActivationQuantizer(self.width, old.low < 0, "power_of_two").to(batches[0].device)
                gm.set_submodule(str(node.target), new)
                placed[str(node.target)] = new
        quantizers = list(placed.values())
        for quantizer, observer in zip(quantizers, observe(gm, quantizers, batches), strict=True):
            log2 = log2_scale(observer.values(), quantizer.low, quantizer.high, "power_of_two", "minmax")
            spare = (self.width - (self.activation_mantissa or 0)) // 4
            quantizer.log2_scale.copy_(torch.from_numpy(log2 + spare))


class _Shapes(fx.Interpreter):
    """Runs a network once and keeps the shape of every tensor."""

    def __init__(self, gm: GraphModule) -> None:
        super().__init__(gm)
        self.shapes: dict[Node, tuple[int, ...]] = {}
        self.extra_traceback = False

    def run_node(self, n: Node) -> Any:
        """Run one node."""
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        return value


def _shapes(gm: GraphModule, example: Tensor) -> dict[Node, tuple[int, ...]]:
    """The shape of every tensor; ShapeError where the network does not accept the example."""
    training = gm.training
    runner = _Shapes(gm.eval())
    try:
        with torch.no_grad():
            runner.run(example)
    except IntaglioError:
        raise
    except (RuntimeError, ValueError) as error:
        raise ShapeError(
            f"the network does not accept data of shape {tuple(example.shape)} ({str(error).partition(chr(10))[0]}); "
            f"give inputs as its first layer takes them"
        ) from error
    finally:
        gm.train(training)
    return runner.shapes


def _reads(gm: GraphModule, names: Iterable[str], example: Tensor) -> list[_Read]:
    """What the named layers read: behind dropouts, and behind flattening where the layer takes vectors."""
    shapes, names = _shapes(gm, example), set(names)
    found: list[_Read] = []
    for node in gm.graph.nodes:
        if node.op != "call_module" or str(node.target) not in names:
            continue
        source, path = node.all_input_nodes[0], []
        while _passes(gm, source, len(shapes[source])):
            path.append(source)
            source = source.all_input_nodes[0]
        found.append(_Read(node, source, tuple(path), shapes[source]))
    return found


def _passes(gm: GraphModule, node: Node, axes: int) -> bool:
    """Whether a node gives the values that it reads, so that they may be aligned before it."""
    module = module_of(gm, node)
    return isinstance(module, (BlockAlign, *_SAME)) or (
        axes == 2 and (is_reshape(node) or isinstance(module, nn.Flatten))
    )


def _quantizer(gm: GraphModule, node: Node) -> Node | None:
    """The quantiser whose integers a node passes on, perhaps with a border, if there is one."""
    while role_of(gm, node) == "passive" or isinstance(module_of(gm, node), nn.ConstantPad1d | nn.ConstantPad2d):
        node = node.all_input_nodes[0]
    return node if isinstance(module_of(gm, node), ActivationQuantizer) else None


def _integers(gm: GraphModule, read: _Read) -> Node:
    """The quantiser whose integers a layer reads; UnsupportedLayer without one."""
    node = _quantizer(gm, read.source)
    if node is None:
        raise UnsupportedLayer(
            f"{read.call.target}: reads {read.source.name}, which is not quantised, so there are no integers to align; "
            f"put FixedPoint before this method, or leave the layer out with `select`"
        )
    return node


def _reroute(gm: GraphModule, read: _Read, made: BlockAlign | None) -> None:
    """Let a layer read its source through `made`, copying the path, which others may use as well."""
    value = read.source if made is None else _aligned(gm, read, made)
    before, last = read.source, read.call.all_input_nodes[0]
    for node in reversed(read.path):
        if not isinstance(module_of(gm, node), BlockAlign):
            with gm.graph.inserting_before(read.call):
                value = gm.graph.node_copy(node, lambda n, old=before, new=value: new if n is old else n)
        before = node
    read.call.replace_input_with(last, value)
    for node in read.path:
        if not node.users:
            gm.graph.erase_node(node)


def _aligned(gm: GraphModule, read: _Read, made: BlockAlign) -> Node:
    """The source aligned, by a module that does so already or by `made`."""
    for user in read.source.users:
        module = module_of(gm, user)
        if isinstance(module, BlockAlign) and (module.block, module.mantissa) == (made.block, made.mantissa):
            return user
    name = free_name(gm, f"{read.call.target}_align")
    gm.add_submodule(name, made)
    with gm.graph.inserting_after(read.source):
        return gm.graph.call_module(name, (read.source,))
