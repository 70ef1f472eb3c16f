"""Choosing scales from data: minmax, percentile, and least squares."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from intaglio.ir.errors import IntaglioError, RangeError, ShapeError
from intaglio.twin.grid import Kind, mantissa_bits, reciprocal, snap
from intaglio.twin.layers import Inputs, evaluating, several, shape_of
from intaglio.twin.quantizers import ActivationQuantizer

Calibration = Literal["minmax", "percentile", "mse"]
PERCENTILE = 99.99
SAMPLES = 1 << 17
_SMALLEST = 2.0**-40
OCTAVES_APART = 10
"""Octaves between the largest and the smallest scale of a layer, so that its sums keep a common grid."""


class Observer:
    """Keeps the extreme values of an activation and an evenly spaced sample of at most `SAMPLES` values."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.low, self.high = float("inf"), float("-inf")
        self.parts: list[Tensor] = []

    def __call__(self, x: Tensor) -> None:
        """See one batch; RangeError where a value is infinite or not a number."""
        flat = x.detach().reshape(-1)
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RangeError(
                f"{self.name}: its input reaches {high if math.isfinite(low) else low} on the calibration data: the "
                "weights before it, or the data, are too large for floating point or hold NaN"
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.parts.append(flat[:: max(1, flat.numel() * 8 // SAMPLES)])

    def values(self) -> np.ndarray:
        """The sample as float64, extremes included."""
        values = torch.cat(self.parts).double().cpu().numpy()
        values = values[:: max(1, -(-values.size // SAMPLES))]
        return np.concatenate([values, [self.low, self.high]])


def observe(gm: GraphModule, quantizers: Sequence[ActivationQuantizer], batches: Sequence[Inputs]) -> list[Observer]:
    """What each of these quantisers sees while the network runs on the data; they pass values unchanged meanwhile."""
    names = {module: name for name, module in gm.named_modules()}
    observers = [Observer(names[quantizer]) for quantizer in quantizers]
    for quantizer, observer in zip(quantizers, observers, strict=True):
        quantizer.observer = observer
    with evaluating(gm), torch.no_grad():
        for x in batches:
            _show(gm, x)
    for quantizer in quantizers:
        quantizer.observer = None
    return observers


class _Watch(Interpreter):
    """Runs a network and shows the values of some nodes to observers."""

    def __init__(self, gm: GraphModule, observers: Mapping[Node, Observer]) -> None:
        super().__init__(gm)
        self.observers = observers

    def run_node(self, n: Node) -> Any:
        """Run one node."""
        value = super().run_node(n)
        if n in self.observers:
            self.observers[n](value)
        return value


def observe_nodes(gm: GraphModule, nodes: Sequence[Node], batches: Sequence[Inputs]) -> list[Observer]:
    """What these nodes give on the data."""
    observers = {node: Observer(str(node.target)) for node in nodes}
    training = gm.training
    gm.eval()
    with torch.no_grad():
        for x in batches:
            _Watch(gm, observers).run(*several(x))
    gm.train(training)
    return [observers[node] for node in nodes]


def _show(gm: GraphModule, x: Inputs) -> None:
    """Run the network on calibration data; ShapeError where it does not accept them."""
    try:
        gm(*several(x))
    except IntaglioError:
        raise
    except (RuntimeError, ValueError) as error:
        raise ShapeError(
            f"the network does not accept calibration data of shape {shape_of(x)} "
            f"({str(error).partition(chr(10))[0]}); give inputs as its first layer takes them"
        ) from error


def log2_scale(values: np.ndarray, low: int, high: int, kind: Kind, how: Calibration) -> np.ndarray:
    """log2 of the scale for each row of `values` (R, N), for integers in [low, high].

    minmax: the largest magnitude is the last integer (never clipped). percentile: the same for the 99.99th
    percentile. mse: the candidate scale with the least squared error of quantised values, searched over powers of
    two, or geometrically in 48 steps, from the minmax scale down to 1/64 of it. Rows of zeros get 1/high. No scale is
    below 2**-10 of the largest.
    """
    values = np.atleast_2d(values)
    if how == "percentile":
        top = np.maximum(
            np.percentile(values, PERCENTILE, axis=1) / max(high, 1),
            -np.percentile(values, 100 - PERCENTILE, axis=1) / max(-low, 1),
        )
    else:
        top = np.maximum(values.max(1) / max(high, 1), -values.min(1) / max(-low, 1) if low else 0)
    start = np.log2(np.where(top > 0, np.maximum(top, _SMALLEST), 1 / max(high, 1)))
    mantissa = mantissa_bits(kind, max(abs(low), high).bit_length())
    if mantissa == 1:
        start = np.ceil(start - 1e-9)
    elif how == "minmax":
        start += 1.5 * 2.0**-mantissa
    if how == "mse":
        steps = np.arange(7.0) if mantissa == 1 else np.linspace(0, 6, 49)
        errors = np.stack([_error(values, start - step, low, high, mantissa) for step in steps])
        start = start - steps[errors.argmin(0)]
    return not_far_apart(start, top > 0)


def not_far_apart(log2: np.ndarray, used: np.ndarray) -> np.ndarray:
    """log2 of scales, none more than `OCTAVES_APART` below the largest of those `used`."""
    return np.maximum(log2, log2[used].max(initial=-np.inf) - OCTAVES_APART)


def _error(values: np.ndarray, log2: np.ndarray, low: int, high: int, mantissa: int) -> np.ndarray:
    """Mean squared error of quantising each row with its scale."""
    scale = snap(log2, mantissa)[:, None]
    r = reciprocal(scale, mantissa)
    q = values * r
    q += 0.5
    np.floor(q, out=q)
    np.clip(q, low, high, out=q)
    q *= scale
    q -= values
    return np.einsum("rn,rn->r", q, q)
