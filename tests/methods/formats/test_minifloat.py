"""Minifloat weights and activations: formula, structure, gradients, scales, equality with the Graph."""

import copy
import math
from bisect import bisect_right
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intaglio.ir.errors import RangeError, RecipeError
from intaglio.ir.ops import Align, Lookup
from intaglio.methods import FixedPoint, Minifloat, Prune, Recipe
from intaglio.methods.formats.minifloat import MinifloatGrid, MinifloatQuantizer, bits
from intaglio.train import load_weights, save_weights
from intaglio.twin.lower import equal, lower
from intaglio.twin.stack import integers

FORMATS = ["E1M0", "E1M3", "E2M0", "E2M1", "E3M2", "E4M3", "E5M2"]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 8),
        nn.ReLU(), nn.Linear(8, 3),
    )  # fmt: skip


def data(count: int = 64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    x = torch.rand(count, 1, 6, 6)
    return x, x.reshape(count, 3, 12).sum(2).argmax(1)


def magnitudes(exponent: int, mantissa: int) -> list[int]:
    """All codes but the sign, decoded as the docstring says."""
    codes = [(k, f) for k in range(2**exponent) for f in range(2**mantissa)]
    return [f if not k else (2**mantissa + f) << (k - 1) for k, f in codes]


def nearest(value: float, levels: list[int]) -> float:
    """The nearest of the ascending magnitudes, the larger of two that are equally near."""
    at = bisect_right(levels, abs(value))
    near = levels[max(at - 1, 0) : at + 1]
    return math.copysign(min(near, key=lambda level: (abs(abs(value) - level), -level)), value)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_by_the_formula(name: str, dtype: torch.dtype):
    torch.manual_seed(0)
    levels = magnitudes(*bits(name))
    grid = MinifloatGrid(*bits(name), "power_of_two", torch.tensor([-3.0]), False)
    assert levels == sorted(set(levels)) and grid.high == levels[-1]
    t = torch.randn(3000, dtype=dtype) * levels[-1] * torch.exp2(-(2.0 ** bits(name)[0]) * torch.rand(3000))
    halves = torch.tensor([(a + b) / 2 for a, b in pairwise(levels)][:2000], dtype=dtype)
    t = torch.cat([t.to(dtype), halves, -halves, torch.tensor([0.0, -0.0], dtype=dtype)])
    assert (grid(t / 8) * 8).tolist() == [nearest(v, levels) for v in t.tolist()]


def test_the_known_formats():
    assert magnitudes(2, 1) == [0, 1, 2, 3, 4, 6, 8, 12]
    assert magnitudes(4, 3)[-1] == 480 * 2**9 and magnitudes(5, 2)[-2] == 6 * 2**30
    assert magnitudes(1, 3) == list(range(16)) and magnitudes(2, 0) == [0, 1, 2, 4]


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "mse"])
@pytest.mark.parametrize("kind", ["power_of_two", "dyadic"])
def test_scales_per_channel(calibration: str, kind: str):
    torch.manual_seed(0)
    weight = torch.randn(3, 4000, dtype=torch.float64) * torch.tensor([[1.0], [0.1], [30.0]])
    method = Minifloat(weights="E2M1", per_channel=True, calibration=calibration, weight_scale=kind)
    grid = method.weight_grid(weight, "layer")
    top = weight.abs().amax(1) / torch.tensor([float(s) * grid.limit for s in grid.scales()])
    assert (top <= 1 if calibration == "minmax" else top < 8).all() and (top > 0.49).all()
    error = (grid(weight) - weight).square().sum(1)
    for other in ("minmax", "percentile"):
        assert calibration != "mse" or (error <= (method.replaced(calibration=other).weight_grid(weight, "")(weight)
                                                  - weight).square().sum(1) * 1.05).all()  # fmt: skip


def test_least_squares_is_nearly_best():
    torch.manual_seed(0)
    weight = torch.randn(1, 5000, dtype=torch.float64)
    found = Minifloat(weights="E2M1", weight_scale="dyadic").weight_grid(weight, "layer")
    errors = []
    for log2 in np.linspace(-4, 1, 300):
        grid = MinifloatGrid(2, 1, "dyadic", torch.tensor([log2]), False)
        errors.append(float((grid(weight) - weight).square().sum()))
    assert float((found(weight) - weight).square().sum().detach()) <= 1.05 * min(errors)


@pytest.mark.parametrize("name", ["E2M1", "E3M2", "E4M3"])
def test_integers_have_few_significant_bits(name: str):
    x, _ = data()
    model = Recipe(Minifloat(weights=name, per_channel=True)).apply(net(), x)
    for layer in ("0", "5", "7"):
        whole, _ = integers(model.get_submodule(layer))
        assert set(np.abs(whole).ravel().tolist()) <= set(magnitudes(*bits(name)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["power_of_two", "dyadic"])
def test_gradients(channels: int, kind: str):
    torch.manual_seed(0)
    weight, upstream = torch.randn(2, 3, 50, dtype=torch.float64).unbind()
    grid = MinifloatGrid(2, 1, kind, torch.linspace(-3.6, -2.1, channels, dtype=torch.float64), True)
    scale = torch.tensor([float(s) for s in grid.scales()], dtype=torch.float64).reshape(-1, 1)
    t, inside = weight / scale, (weight / scale).abs() < 14
    error = torch.where(inside, grid.whole(t.clone()) - t, grid.whole(t.clone()))
    expected = (upstream * error * scale * math.log(2)).reshape(channels, -1).sum(1)
    expected /= math.sqrt(weight.numel() / channels * 12)
    weight.requires_grad_()
    found = torch.autograd.grad((grid(weight) * upstream).sum(), [weight, grid.log2_scale])
    assert torch.equal(found[0], torch.where(inside, upstream, 0)) and not inside.all()
    torch.testing.assert_close(found[1], expected, rtol=2e-2, atol=2e-3)


def operation(q: int, leading: int) -> int:
    return int(Align(1, leading).execute(np.array([[q]], dtype=np.int64))[0, 0])


@pytest.mark.parametrize("name", ["E1M0", "E2M1", "E3M2", "E4M0", "E2M4"])
@pytest.mark.parametrize("signed", [False, True])
def test_activations_are_aligned_integers(name: str, signed: bool):
    exponent, mantissa = bits(name)
    quantizer = MinifloatQuantizer(exponent, mantissa, signed, False)
    quantizer.log2_scale.fill_(-4.0)
    if not signed:
        assert list(quantizer.levels()) == magnitudes(exponent, mantissa)
    torch.manual_seed(0)
    edges = torch.tensor([float(edge) for edge in quantizer.edges()], dtype=torch.float64)
    top = float(quantizer.high * quantizer.scale)
    x = torch.cat([top * 1.3 * torch.rand(500).double() * torch.rand(500) * (2 * signed - 1), edges, edges - 1e-9])
    for low, high in ((quantizer.low, quantizer.high), (0, max(quantizer.high - 1, 0))):
        quantizer.low, quantizer.high = low, high
        wide = [min(max(math.floor(Fraction(v) * 16 + Fraction(1, 2)), low), high) for v in x.tolist()]
        expected = [operation(q, mantissa + 1) for q in wide]
        assert (quantizer(x) * 16).tolist() == expected
        levels, begins = quantizer.levels(), quantizer.edges()
        assert [levels[bisect_right(begins, v)] for v in x.tolist()] == expected
        assert [quantizer.quantize(Fraction(v)) for v in x.tolist()[:30]] == expected[:30]


def test_gradients_of_activations():
    quantizer = MinifloatQuantizer(2, 1, False, False)
    x = torch.tensor([-0.6, -0.4, 0.0, 7.1, 15.4, 15.6], requires_grad=True)
    assert quantizer(x).tolist() == [0, 0, 0, 6, 12, 12]
    assert torch.autograd.grad(quantizer(x).sum(), [x])[0].tolist() == [0, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("knobs", [{"weights": "E4M3"}, {"weights": "E3M2", "activations": "E4M3"},
                                   {"weights": "E2M1", "activations": "E2M1", "weight_scale": "dyadic"},
                                   {"weights": "E3M0", "activations": "E3M3", "per_channel": True}])  # fmt: skip
@pytest.mark.parametrize("trained", [False, True])
def test_torch_equals_the_graph(knobs: dict[str, object], trained: bool):
    x, y = data()
    model = Recipe(Minifloat(**knobs)).apply(net(), x)
    if trained:
        train(model, x, y, 6)
    graph = lower(model, x[:1])
    assert equal(model, graph, x) == 0
    kinds = [type(node.op) for node in graph.nodes]
    tables = kinds.count(Lookup)  # 16 integers behind a batch norm are a table
    assert kinds.count(Align) + tables == (2 if "activations" in knobs else 0)
    assert tables == (knobs.get("activations") == "E2M1")


def test_without_a_rectifier():
    x = torch.randn(40, 6)
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.Hardtanh(-0.3, 0.7), nn.Linear(8, 3))
    for name in ("E2M1", "E4M2"):
        made = Recipe(Minifloat(activations=name)).apply(model, x)
        assert equal(made, lower(made, x[:1]), x) == 0
        exact = made.eval()(x)
        low = [m.low < 0 for m in made.modules() if isinstance(m, MinifloatQuantizer)]
        assert low == [True, True] and torch.equal(exact, made(x))


def train(model: nn.Module, x: Tensor, y: Tensor, steps: int) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model.train()(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_training_lowers_the_loss():
    x, y = data(96)
    losses = train(Recipe(Minifloat(weights="E2M1", activations="E2M1")).apply(net(), x), x, y, 60)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])


def test_what_is_too_wide_is_said():
    x, _ = data()
    model = net()
    model[5].weight.data[0, 0] = 1e-10
    model = Recipe(Minifloat(weights="E5M7", activations="E4M7")).apply(model, x)
    with pytest.raises(RangeError, match=r"5.*use fewer bits"):
        lower(model, x[:1])
    for knobs in ({"weights": "E6M1"}, {"weights": "E4"}, {"activations": "E5M2"}, {"weights": "xE4M3"}):
        with pytest.raises(RecipeError, match="minifloat"):
            Minifloat(**knobs)


def test_zeros_constants_and_a_single_weight():
    method = Minifloat(weights="E2M1", per_channel=True)
    weight = torch.tensor([[0.0, 0.0], [0.3, 0.3]])
    found = method.weight_grid(weight, "layer")(weight)
    assert found[0].tolist() == [0, 0] and abs(found[1, 0] / 0.3 - 1) < 0.2
    zeros = torch.zeros(3, 2)
    assert Minifloat().weight_grid(zeros, "layer")(zeros).tolist() == zeros.tolist()
    single = torch.tensor([[-0.75]])
    assert Minifloat(weights="E1M1").weight_grid(single, "layer")(single).tolist() == [[-0.75]]
    assert MinifloatGrid(2, 1, "power_of_two", torch.zeros(1), False)(torch.tensor([math.nan])).isnan().all()


def test_copies_files_and_precisions_agree(tmp_path):
    x, y = data()
    recipe = Recipe(Minifloat(weights="E3M2", activations="E3M3", select=("0", "5")), Prune(sparsity=0.5))
    model = recipe.apply(net(), x)
    train(model, x, y, 3)
    recipe.verify(model)
    graph = lower(model, x[:1])
    assert lower(copy.deepcopy(model).double(), x[:1]) == graph
    save_weights(model, tmp_path / "a.safetensors")
    again = load_weights(recipe.apply(net(), 3 * x), tmp_path / "a.safetensors")
    assert lower(again, x[:1]) == graph
    assert torch.equal(model.eval()(x), model(x))
    double = recipe.apply(net().double(), x.double())
    assert equal(double, lower(double, x[:1]), x) == 0


def test_a_later_fixed_point_wins():
    x, _ = data()
    model = Recipe(Minifloat(activations="E2M1"), FixedPoint()).apply(net(), x)
    assert not any(isinstance(module, MinifloatGrid | MinifloatQuantizer) for module in model.modules())
