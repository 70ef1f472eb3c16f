"""torch and the Graph agree on every integer, and what cannot agree is refused before training."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import intaglio.twin.rules as lowering
from intaglio.ir.errors import RangeError, ShapeError, StructureError, UnsupportedLayer
from intaglio.ir.graph import Graph
from intaglio.ir.ops import Conv2d, Requantize
from intaglio.methods import FixedPoint, Prune, Recipe
from intaglio.models import MODELS
from intaglio.trial import check
from intaglio.twin.freeze import freeze
from intaglio.twin.lower import equal, lower
from intaglio.twin.stack import integers


class Functional(nn.Module):
    """Functional forms, a residual addition and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.c = nn.Conv2d(8, 6, 3)
        self.d = nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a(x))
        y = torch.add(self.b(x), x)
        z = torch.cat([F.hardtanh(y, -0.3, 0.7), x], dim=1)
        z = F.max_pool2d(F.relu6(self.c(z)), 2)
        z = F.dropout(z, 0.5, self.training)
        return F.log_softmax(self.d(z.view(z.size(0), -1)), dim=1)


class Loop(nn.Module):
    """One layer used twice, flattened by reshape with a computed size."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(4 * 36, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.again(self.again(self.first(x)).relu())
        return self.last(x.reshape(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]))


def norm(kind: type[nn.Module], channels: int) -> nn.Module:
    """A batch norm with statistics, and gains of both signs and zero."""
    layer = kind(channels)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(-1.2, 1.5, channels))
        layer.weight[channels // 2] = 0
        layer.bias.uniform_(-0.5, 0.5)
        layer.running_mean.uniform_(-0.3, 0.3)
        layer.running_var.uniform_(0.2, 2.0)
    return layer


def seq(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


IMAGE, SIGNAL, VECTOR = (3, 6, 6), (2, 12), (10,)
NETWORKS = {
    "dense": (VECTOR, lambda: seq(nn.Linear(10, 7), nn.ReLU(), nn.Linear(7, 4, bias=False))),
    "dense_norm": (VECTOR, lambda: seq(nn.Linear(10, 7, bias=False), norm(nn.BatchNorm1d, 7), nn.ReLU(),
                                       nn.Linear(7, 4), norm(nn.BatchNorm1d, 4))),
    "conv": (IMAGE, lambda: seq(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))),
    "conv_norm": (IMAGE, lambda: seq(nn.Conv2d(3, 4, (3, 1), padding="same"), norm(nn.BatchNorm2d, 4), nn.ReLU6(),
                                     nn.Conv2d(4, 5, 2), nn.Softmax(1))),
    "depthwise": (IMAGE, lambda: seq(nn.Conv2d(3, 6, 3, groups=3, dilation=2, padding=2), nn.Hardtanh(),
                                     nn.Conv2d(6, 4, 1, groups=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())),
    "pools": (IMAGE, lambda: seq(nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 4, 1), nn.MaxPool2d(2, dilation=2), nn.ReLU(),
                                 nn.AvgPool2d(3, 1, 1), nn.Conv2d(4, 3, 1), nn.AvgPool2d((2, 1)))),
    "lone_norms": (IMAGE, lambda: seq(norm(nn.BatchNorm2d, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.MaxPool2d(2),
                                      norm(nn.BatchNorm2d, 4), nn.Hardtanh(0, 1), nn.Flatten(), nn.Linear(16, 3))),
    "signal": (SIGNAL, lambda: seq(nn.Conv1d(2, 4, 3, 2, 1), norm(nn.BatchNorm1d, 4), nn.ReLU(), nn.MaxPool1d(2),
                                   nn.Conv1d(4, 4, 2, groups=2, dilation=2), nn.AvgPool1d(1), nn.Dropout(),
                                   nn.Flatten(), nn.Linear(4, 3), nn.LogSoftmax(dim=1))),
    "functional": (IMAGE, Functional),
    "loop": (IMAGE, Loop),
}  # fmt: skip
SCALES = ("power_of_two", "dyadic")


def made(name: str, seed: int, signed: bool, recipe: Recipe) -> tuple[nn.Module, torch.Tensor]:
    """A quantised random network and inputs of which some lie outside the calibrated range."""
    torch.manual_seed(seed)
    shape, build = NETWORKS[name]
    x = torch.randn(40, *shape) if signed else torch.rand(40, *shape)
    return recipe.apply(build().eval(), x[:20]), x * 1.3


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("signed", [False, True])
def test_torch_equals_graph(name: str, signed: bool):
    cases = itertools.product((2, 5, 8, 16), SCALES, (False, True))
    for seed, (bits, scale, per_channel) in enumerate(cases):
        method = FixedPoint(weight_bits=bits, activation_bits=bits, per_channel=per_channel, weight_scale=scale,
                            activation_scale=scale, input_bits=min(bits + 1, 16))  # fmt: skip
        model, x = made(name, seed, signed, Recipe(method))
        for optimised in (True, False)[: 1 + (bits == 5)]:
            graph = lower(model, x[:1], optimised)
            assert equal(model, graph, x) == 0, (bits, scale, per_channel, optimised)
        assert Graph.parse(graph.text()) == graph


@pytest.mark.parametrize("bits", range(2, 17))
def test_every_width(bits: int):
    for other in (2, 7, 16):
        method = FixedPoint(weight_bits=bits, activation_bits=other, weight_scale="dyadic", activation_scale="dyadic")
        model, x = made("functional", bits, True, Recipe(Prune(sparsity=0.4), method))
        graph = lower(model, x[:1])
        assert equal(model, graph, x) == 0
        weights = [node.op.weight for node in graph.nodes if hasattr(node.op, "weight")]
        assert all(abs(w).max() <= 2 ** (bits - 1) - 1 and (w == 0).mean() >= 0.35 for w in weights)


@pytest.mark.parametrize("name", MODELS)
def test_reference_networks(name: str):
    torch.manual_seed(0)
    shape = {"jet_mlp": (16,), "digits": (1, 8, 8), "residual": (1, 12, 12)}.get(name, (1, 28, 28))
    x = torch.rand(4, *shape)
    model = Recipe(FixedPoint(weight_bits=4, per_channel=True)).apply(MODELS[name](), x)
    graph = lower(model, x[:1])
    assert equal(model, graph, x) == 0
    assert graph.output_types[0].shape == ((5,) if name == "jet_mlp" else (10,))


def test_parameter_counts():
    counts = {name: sum(p.numel() for p in build().parameters()) for name, build in MODELS.items()}
    assert counts["lenet_300_100"] == 266610 and counts["lenet5"] == 61706 and counts["lenet5_caffe"] == 431080
    assert counts["tfc"] == 59402 and counts["sfc"] == 335882 and counts["lenet5_norm"] == 431650
    assert counts["jet_mlp"] == 4389 and counts["digits"] == 6090


def test_trained_scales_and_statistics_still_agree():
    recipe = Recipe(FixedPoint(weight_bits=3, activation_bits=4, per_channel=True, activation_scale="dyadic"))
    model, x = made("conv_norm", 0, True, recipe)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    model.train()
    for _ in range(20):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    assert equal(model, lower(model, x[:1]), x) == 0


def test_the_comparison_can_fail(monkeypatch):
    """Planted faults: rounding down, and a pad value that is not zero."""
    model, x = made("conv", 0, False, Recipe(FixedPoint(weight_bits=5, activation_bits=4)))
    assert equal(model, lower(model, x[:1]), x) == 0

    class Floor(Requantize):
        @classmethod
        def of(cls, gain, offset, *rest):
            return Requantize.of(gain, 0 if offset == Fraction(1, 2) else offset, *rest)

    def padded(*fields):
        return Conv2d(*fields, pad_value=1)

    for name, fault in (("Requantize", Floor), ("Conv2d", padded)):
        with monkeypatch.context() as patch:
            patch.setattr(lowering, name, fault)
            assert equal(model, lower(model, x[:1]), x) > 0


def test_frozen_is_close_to_the_trained_network():
    for name in NETWORKS:
        model, x = made(name, 0, False, Recipe(FixedPoint(weight_bits=8, activation_bits=8)))
        frozen = freeze(model)
        inside = x[:20] / 1.3
        with torch.no_grad():
            real, exact = model.eval()(inside).double(), frozen(inside.double())
        if name in ("functional", "conv_norm", "signal"):
            exact = exact.log_softmax(1) if name != "conv_norm" else exact.softmax(1)
        assert float((real - exact).abs().max()) < 0.02 * float(real.abs().max()) + 0.02, name


def test_freezing_twice_changes_nothing():
    model, x = made("functional", 0, False, Recipe(FixedPoint()))
    once = freeze(model)
    twice = freeze(once)
    assert torch.equal(once(x.double()), twice(x.double()))
    assert lower(once, x[:1]) == lower(model, x[:1])


def test_clips_are_exact_whatever_their_bounds():
    model = nn.Sequential(nn.Linear(4, 4), nn.Hardtanh(-0.371, 0.529), nn.Linear(4, 2))
    x = torch.randn(200, 4)
    model = Recipe(FixedPoint(activation_bits=4, calibration="minmax")).apply(model, x)
    seen = []
    graph = lower(model, x[:1])
    model.get_submodule("1_quantizer").register_forward_hook(lambda m, i, o: seen.append(o))
    model.double().eval()(x.double())
    wires = graph.run(graph.input_types[0].quantize(x.numpy()))
    wire = graph.node("1_quantizer").type
    assert np.array_equal(wires["1_quantizer"] * wire.steps(), seen[0].detach().numpy())
    assert wire.range != (-8, 7)


def test_module_names_survive():
    model = MODELS["residual"]()
    names = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)}
    quantised = Recipe(FixedPoint()).apply(model, torch.rand(2, 1, 8, 8))
    assert names <= {n for n, _ in quantised.named_modules()}


def test_integers_refuses_floats():
    with pytest.raises(StructureError, match=r"conv.*floating point"):
        integers(nn.Conv2d(1, 1, 1), "conv")
    model = Recipe(FixedPoint(select="0")).apply(NETWORKS["dense"][1](), torch.rand(4, 10))
    with pytest.raises(StructureError, match="2: the weights are floating point"):
        lower(model, torch.rand(1, 10))


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x


class Exp(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x)


@pytest.mark.parametrize(("layer", "words"), [
    (nn.GELU(), r"1 \(GELU\): has no integer form"),
    (nn.LayerNorm(4), r"1 \(LayerNorm\)"),
    (Branch(), "cannot be recorded"),
    (Exp(), "exp.*has no integer form"),
    (nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2)), r"1\.1 \(Softmax\).*only supported as the last"),
    (nn.BatchNorm1d(4, track_running_stats=False), r"1 \(BatchNorm1d\): uses the statistics of the batch"),
])  # fmt: skip
def test_check_refuses(layer: nn.Module, words: str):
    with pytest.raises(UnsupportedLayer, match=words):
        check(nn.Sequential(nn.Linear(4, 4), layer), torch.rand(3, 4))


@pytest.mark.parametrize(("layer", "words"), [
    (nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect"), "padding_mode other than 'zeros'"),
    (nn.Conv2d(3, 2, 2, padding="same"), "even kernel"),
    (nn.AvgPool2d(3, padding=1, count_include_pad=False), "count_include_pad"),
    (nn.AvgPool2d(4, ceil_mode=True), "ceil_mode"),
    (nn.MaxPool2d(4, ceil_mode=True), "ceil_mode"),
    (nn.AdaptiveAvgPool2d(2), "adapts to another size"),
    (nn.Flatten(2), "flattens only some axes"),
    (nn.Upsample(scale_factor=2), "Upsample"),
])  # fmt: skip
def test_check_refuses_settings(layer: nn.Module, words: str):
    with pytest.raises(UnsupportedLayer, match=words):
        check(nn.Sequential(nn.Conv2d(3, 3, 1), layer), torch.rand(2, 3, 6, 6))


def test_wrong_shapes():
    with pytest.raises(ShapeError, match=r"conv1.*3, 9, 9"):
        check(MODELS["digits"](), torch.rand(2, 3, 9, 9))
    with pytest.raises(ShapeError, match="fc"):
        check(MODELS["digits"](), torch.rand(2, 1, 12, 12))
    with pytest.raises(ShapeError, match="at least one sample"):
        check(MODELS["digits"](), torch.rand(0, 1, 8, 8))


def test_check_passes_and_changes_nothing():
    for name in NETWORKS:
        shape, build = NETWORKS[name]
        model = build()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        check(model, torch.rand(1, *shape))
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()) and model.training


def test_inexact_widths_are_refused():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2000, 2), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].weight[:, 0] = 1 - 2.0**-14  # no factor that all integers share
    x = torch.rand(2, 2000)
    recipe = Recipe(FixedPoint(weight_bits=16, activation_bits=16, activation_scale="dyadic", input_bits=16,
                               weight_scale="dyadic"))  # fmt: skip
    quantised = recipe.apply(model, x)
    quantised.get_submodule("0").bias.data.fill_(2.0**25)
    with pytest.raises(RangeError, match=r"0\.bias.*float64"):
        lower(quantised, x[:1])


def test_a_hardtanh_at_the_output_of_per_channel_weights():
    """Its input has a scale per channel and no quantiser follows: channels are brought on one scale, once."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Hardtanh()).eval()
    x = torch.rand(5, 3)
    small = Recipe(FixedPoint(per_channel=True)).apply(model, x)
    assert equal(small, lower(small, x[:1]), x) == 0
