"""Quantisers put into a network and calibrated: what FixedPoint does with its knobs, and a trial without."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from intaglio.ir.errors import DataError
from intaglio.twin.calibrate import Calibration, log2_scale, observe
from intaglio.twin.flat import insert_after, module_of
from intaglio.twin.grid import Kind
from intaglio.twin.layers import Batches, Inputs, inputs, matches, several, weighted_layers
from intaglio.twin.placement import chains, never_negative
from intaglio.twin.quantizers import ActivationQuantizer, WeightQuantizer
from intaglio.twin.stack import before_grid, put_last
from intaglio.twin.trace import trace

INPUT = "input_quantizer"

BITS, SAMPLES = 8, 1024
"""What a network without quantisers is given before another number format, and the inputs that calibrate it."""

MakeActivation = Callable[[str, bool], ActivationQuantizer]
"""The quantiser behind the chain that starts at a layer, from the layer's name and whether values are unsigned."""


def keep_inputs(gm: GraphModule) -> None:
    """Let rectifiers leave the tensor that they read alone: a quantiser may read it, too."""
    for module in gm.modules():
        if isinstance(module, nn.ReLU | nn.Hardtanh):
            module.inplace = False


def weight_scale(weight: Tensor, bits: int, per_channel: bool, kind: Kind, how: Calibration) -> Tensor:
    """log2 of the calibrated scale of a symmetric grid of `bits` bits, or one per output channel."""
    rows = weight.double().reshape(len(weight) if per_channel else 1, -1).cpu().numpy()
    top = 2 ** (bits - 1) - 1
    return torch.from_numpy(log2_scale(rows, -top, top, kind, how)).to(weight)


def place_input(
    gm: GraphModule, batches: list[Inputs], bits: int, signed: bool | None, log2: int | None, replace: bool
) -> list[ActivationQuantizer]:
    """The quantisers of the inputs that are new and need calibration; those that are there stay unless `replace`.

    `signed` None decides for each input from its data, `log2` None leaves the scales to calibration.

    Raises:
        DataError: the data have negative values and `signed` is false.
    """
    placed: list[ActivationQuantizer] = []
    for number, node in enumerate([n for n in gm.graph.nodes if n.op == "placeholder"]):
        lowest = min(float(several(x)[number].min()) for x in batches)
        if lowest < 0 and signed is False:
            raise DataError(f"the input has negative values ({lowest:g}) but input_signed is false: set it to true")
        quantizer = ActivationQuantizer(bits, lowest < 0 if signed is None else signed, "power_of_two")
        existing = next((u for u in node.users if isinstance(module_of(gm, u), ActivationQuantizer)), None)
        if existing is None:
            insert_after(gm, node, INPUT, quantizer)
        elif replace:
            gm.set_submodule(str(existing.target), quantizer)
        else:
            continue
        if log2 is not None:
            quantizer.log2_scale.fill_(float(log2))
        else:
            placed.append(quantizer)
    return placed


def place_activations(
    gm: GraphModule, select: str | Iterable[str], make: MakeActivation
) -> list[ActivationQuantizer]:
    """Quantisers at the ends of the chains that start at a selected module, in place of those that are there."""
    positive = never_negative(gm)
    placed: list[ActivationQuantizer] = []
    for chain in chains(gm):
        start = module_of(gm, chain.start)
        if start is None or not matches(str(chain.start.target), start, select):
            continue
        quantizer = make(str(chain.start.target), chain.end in positive)
        if chain.quantizer is not None:
            gm.set_submodule(str(chain.quantizer.target), quantizer)
        else:
            insert_after(gm, chain.end, f"{chain.end.target}_quantizer", quantizer)
        placed.append(quantizer)
    return placed


def calibrate(gm: GraphModule, placed: list[ActivationQuantizer], batches: list[Inputs], how: Calibration) -> None:
    """Set the scales of new quantisers from what they see of the data."""
    for quantizer, observer in zip(placed, observe(gm, placed, batches), strict=True):
        log2 = log2_scale(observer.values(), quantizer.low, quantizer.high, quantizer.kind, how)
        with torch.no_grad():
            quantizer.log2_scale.copy_(torch.from_numpy(log2))
        quantizer.to(several(batches[0])[0].device)


def quantised(model: nn.Module, data: Batches) -> GraphModule:
    """The traced network, made fixed point of 8 bits, scales calibrated and trainable, if it has no quantiser yet."""
    gm = trace(model)
    if any(isinstance(module, ActivationQuantizer) for module in gm.modules()):
        return gm
    return _in_fixed_point(gm, inputs(data, SAMPLES), BITS, "mse", learn=True)


def on_trial(model: nn.Module, data: Batches, bits: int, samples: int = 1) -> GraphModule:
    """`model` itself, traced, with `bits` bits everywhere and scales that clip nothing: what a check looks at."""
    return _in_fixed_point(model, inputs(data, samples), bits, "minmax", learn=False)


def _in_fixed_point(
    model: nn.Module, batches: list[Inputs], bits: int, how: Calibration, learn: bool
) -> GraphModule:
    """Every weight, activation and input in `bits` bits at powers of two."""
    chosen = weighted_layers(model)
    gm = trace(model)
    keep_inputs(gm)
    for _, layer in chosen:
        scale = weight_scale(before_grid(layer), bits, False, "power_of_two", how)
        put_last(layer, WeightQuantizer(bits, "power_of_two", scale, learn))
    placed = place_input(gm, batches, bits, None, None, replace=False)
    placed += place_activations(
        gm, "*", lambda name, unsigned: ActivationQuantizer(bits, not unsigned, "power_of_two", learn=learn)
    )
    gm.recompile()
    calibrate(gm, placed, batches, how)
    return gm
