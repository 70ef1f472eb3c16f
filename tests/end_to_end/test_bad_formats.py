"""Bad input of number formats: one clear error with the layer, the value and the remedy, before anything is trained.

Bad QONNX files are in tests/exchange.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from intaglio import FixedPoint, IntaglioError, Prune, Recipe, equal, lower
from intaglio.ir.errors import RangeError, RecipeError, ShapeError, StructureError
from intaglio.methods import (
    Binary,
    BlockFloatingPoint,
    Dorefa,
    Logarithmic,
    Method,
    Minifloat,
    MixedPrecision,
    MultiBase,
    Pact,
    Ternary,
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)
    )  # fmt: skip


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(8, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def said(error: type[IntaglioError], action: Callable[[], object], *words: str) -> None:
    with pytest.raises(error) as caught:
        action()
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize("width", [0, 64])
@pytest.mark.parametrize(("method", "knob"), [
    ("fixed_point", "weight_bits"), ("fixed_point", "activation_bits"), ("fixed_point", "input_bits"),
    ("logarithmic", "bits"), ("logarithmic", "activation_bits"), ("incremental", "bits"), ("pact", "bits"),
    ("dorefa", "weight_bits"), ("dorefa", "activation_bits"), ("trained_ternary", "scale_bits"),
    ("multi_base", "bases"),
    ("block_floating_point", "block"), ("block_floating_point", "weight_mantissa"), ("learned_bits", "initial_bits"),
])  # fmt: skip
def test_a_width_that_is_none(method: str, knob: str, width: int) -> None:
    if (knob, width) == ("block", 64):
        width = -1  # blocks of 64 are fine
    said(RecipeError, lambda: Recipe.from_yaml(f"- {method}: {{{knob}: {width}}}"), method, f"{knob} = {width}")


@pytest.mark.parametrize("text", ["E0M3", "E4M64", "8 bits"])
def test_a_minifloat_that_is_none(text: str) -> None:
    said(RecipeError, lambda: Recipe.from_yaml(f"- minifloat: {{weights: {text}}}"), "minifloat", f"weights = '{text}'")


def test_a_threshold_that_zeroes_a_layer(images: Tensor) -> None:
    model = network()
    said(RangeError, lambda: Recipe(Ternary(threshold=50)).apply(model, images), "0", "threshold")


def test_a_range_that_underflows_everything(images: Tensor) -> None:
    recipe = Recipe(Logarithmic(full_scale=40))
    said(RangeError, lambda: recipe.apply(network(), images), "0", "full_scale")


def test_blocks_that_do_not_divide(images: Tensor) -> None:
    recipe = Recipe(BlockFloatingPoint(block=4))
    said(ShapeError, lambda: recipe.apply(network(), images), "4", "6", "block")


@pytest.mark.parametrize("method", [Binary(), Dorefa()])
def test_a_format_without_zero_after_pruning(method: Method, images: Tensor) -> None:
    recipe = Recipe(Prune(sparsity=0.5), method)
    said(StructureError, lambda: recipe.apply(network(), images), "pruned weights are no longer zero")


@pytest.mark.parametrize(
    "method", [FixedPoint(weight_bits=3), Binary(), Ternary(), Logarithmic(), Minifloat()], ids=lambda m: m.key()
)
def test_constant_and_dead_channels_are_no_errors(method: Method, images: Tensor) -> None:
    """A channel without variance, one that is switched off, and one of equal weights: nothing is divided by zero."""
    model = network().eval()
    layer, norm = model[0], model[1]
    assert isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None
    with torch.no_grad():
        layer.weight[0] = 0.25
        layer.weight[1] = 0
        norm.running_var[1] = 0
        norm.weight[2] = 0
        norm.weight[3] = -1
    for recipe in (Recipe(method), Recipe(FixedPoint(activation_bits=2), method)):
        small = recipe.apply(model, images).eval()
        graph = lower(small, images[:1])
        assert equal(small, graph, images) == 0


@pytest.mark.parametrize("size", [1e-9, 1e-12, 1e-30])
@pytest.mark.parametrize("method", [
    FixedPoint(per_channel=True), FixedPoint(per_channel=True, weight_scale="dyadic"), FixedPoint(weight_bits=16),
    FixedPoint(weight_bits=16, per_channel=True), Binary(), Ternary(scale="channel"), Logarithmic(per_channel=True),
    Minifloat(per_channel=True),
])  # fmt: skip
def test_a_channel_that_is_nearly_dead(method: Method, size: float, images: Tensor) -> None:
    torch.manual_seed(0)
    first = nn.Conv2d(2, 6, 3, padding=1)
    model = nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)).eval()
    with torch.no_grad():
        first.weight[0] *= size
    small = Recipe(method).apply(model, images).eval()
    assert equal(small, lower(small, images[:1]), images) == 0


@pytest.mark.parametrize("method", [
    FixedPoint(), Pact(), Minifloat(activations="E3M2"), Logarithmic(activation_bits=4), MultiBase(activation_bases=2),
    BlockFloatingPoint(block=1, activation_mantissa=4), MixedPrecision(average_activation_bits=4),
])  # fmt: skip
def test_activations_that_overflow_while_calibrating(method: Method, images: Tensor) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e38)
    said(RangeError, lambda: Recipe(method).apply(model, images), "its input reaches", "calibration data")


@pytest.mark.parametrize("bits", [1, 8])
def test_weights_below_the_smallest_float(bits: int, images: Tensor) -> None:
    model = network()
    assert isinstance(model[0], nn.Conv2d)
    with torch.no_grad():
        model[0].weight.fill_(1e-42)
    small = Recipe(Dorefa(weight_bits=bits, scale="least_squares")).apply(model, images).eval()
    assert equal(small, lower(small, images[:1]), images) == 0
